/**
 * Colours, the same on every dashboard. Red stands for failure alone. The categories' differ in lightness as well as in
 * hue, after Okabe and Ito and Paul Tol, so that they can be told apart without red or green; a test holds them to it.
 */
import { catalogue } from '../../callback/catalogue.ts';
import { elementTypeLabels, groupTypeLabels, platformLabels } from '../../callback/classify.ts';
import { type ErrorCategory, fieldNames, rejectionReasons } from '../../callback/exception.ts';

export const colors = {
  good: '#37872D',
  warning: '#E69F00',
  failure: '#E02F44',
  plain: '#5794F2',
  /** What is only there to compare with. */
  faint: '#8E8E8E',
} as const;

export const categoryColors: Record<ErrorCategory, string> = {
  internal_error: colors.failure,
  invalid_parameter: '#999933',
  group_unavailable: '#009E73',
  not_permitted: '#56B4E9',
  muted: '#0072B2',
  rate_limited: '#E69F00',
  quota_exceeded: '#7A5FD0',
  moderated: '#E3A6CC',
  rejected_by_app: '#F0E442',
  other: '#D9D9D9',
  unknown: '#7F7F7F',
};

/** For names without a meaning of their own, after Okabe and Ito; no red. */
const sequence = [
  '#56B4E9',
  '#E69F00',
  '#009E73',
  '#E3A6CC',
  '#F0E442',
  '#0072B2',
  '#D9D9D9',
  '#7A5FD0',
  '#999933',
];

function inTurn(names: readonly (string | number)[]): Record<string, string> {
  return Object.fromEntries(names.map((name, index) => [String(name), sequence[index % sequence.length]!]));
}

/** A series' colour by its name, where the legend is the label alone. Others have Grafana’s own, of which the fifth is red. */
export const labelColors: Record<string, Record<string, string>> = {
  '{{error_category}}': categoryColors,
  '{{group_type}}': inTurn(groupTypeLabels),
  '{{platform}}': inTurn(platformLabels),
  '{{msg_type}}': inTurn(elementTypeLabels),
  '{{reason}}': inTurn(rejectionReasons),
  '{{field}}': inTurn(fieldNames),
  '{{signal}}': inTurn(['traces', 'logs']),
  '{{error_code}}': inTurn(
    catalogue.filter(({ likelihood }) => likelihood === 'high').map(({ code }) => code as number),
  ),
};
