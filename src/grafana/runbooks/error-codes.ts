/**
 * `runbooks/error-codes.md`: an entry per code of the catalogue, in order of number, and one for what is not in it.
 *
 * A link of a dashboard knows only a code, so that each entry has an anchor of just that: `error-codes.md#10023`,
 * `error-codes.md#-10113`, `error-codes.md#unknown`. A range has one of its two ends, `#10100-10200`. A link to a code
 * without an anchor of its own, in a range or outside the catalogue, opens the page at its top, where those stand.
 */
import { type CatalogueEntry, catalogue } from '../../callback/catalogue.ts';
import { codesMax } from '../../callback/classify.ts';
import { type ErrorCategory, errorCategories } from '../../callback/exception.ts';
import { anchorOf } from '../../guidance.ts';
import { toLogRecord } from '../../telemetry/mapping.ts';
import { dashboardUids } from '../dashboards/uids.ts';
import type { Alert } from '../rules/model.ts';
import { links } from '../settings.ts';

type Alerts = ReadonlyMap<Alert['name'], readonly Alert[]>;

/** What a category means to the person on call, before anything is known of the code. */
const categories: Record<ErrorCategory, string> = {
  internal_error: 'Tencent failed. Sending again later may help; mending it is Tencent’s.',
  invalid_parameter:
    'The message or the request is wrong. It fails again until the client or the server is changed.',
  group_unavailable: 'The group or topic is gone, or its ID is wrong.',
  not_permitted: 'The sender may not do this: no member, no right, no valid login.',
  muted: 'The sender is muted. Somebody wanted it so.',
  rate_limited: 'Too many messages or requests in too short a time.',
  quota_exceeded: 'A limit of the plan is used up, a feature is not in it, or the service is stopped.',
  moderated: 'Content moderation blocked the message. It works as intended, unless it blocks too much.',
  rejected_by_app: 'Your own before-send callback refused the message, or failed.',
  other: 'Known codes that tell nothing about sending. None is expected here.',
  unknown: 'Codes that the catalogue does not have, or no code at all.',
};

const likelihoods: Record<CatalogueEntry['likelihood'], string> = {
  high: 'often seen here',
  medium: 'now and then',
  low: 'hardly ever seen here',
};

export function errorCodesPage(alerts: Alerts): string {
  return `# Error codes

Codes that \`Group.CallbackSendMsgException\` can carry, in order of their numbers. Names, categories, and how often a
code is seen are this exporter's judgement; meanings follow Tencent's
[error-code pages](https://www.tencentcloud.com/document/product/1047/34348). Tencent's words about a single failure are in
\`ErrorInfo\`, the body of the log record.

**A link has brought you here, and not to an entry?** The code has none of its own:

- 10100 to 10200: [your own app's codes](#10100-10200)
- 120001 to 130000: [your own app's codes, too](#120001-130000)
- any other number: [other codes](#other-codes)

Page made by \`npm run grafana\` from \`src/callback/catalogue.ts\`. Do not change it here.

## By category

Codes that are often seen here come first, in bold.

${errorCategories.map(category => categoryText(category, alerts)).join('\n')}
## By number

${catalogue.map(entry => entryText(entry, alerts)).join('\n')}
${otherCodesText(alerts)}`;
}

function categoryText(category: ErrorCategory, alerts: Alerts): string {
  const entries = catalogue.filter(entry => entry.category === category);
  const often = entries
    .filter(({ likelihood }) => likelihood === 'high')
    .map(entry => `**${linkTo(entry)}**`);
  const rest = entries.filter(({ likelihood }) => likelihood !== 'high').map(linkTo);
  const codes = category === 'unknown' ? ['[other codes](#other-codes)'] : [...often, ...rest];
  return `### ${anchor(`category-${category}`)}${category}

${categories[category]} Watched by ${watchersText(category, alerts)}. Log records: ${logSeverity(category)}.

${codes.join(' · ')}
`;
}

function entryText(entry: CatalogueEntry, alerts: Alerts): string {
  const { name, category, likelihood, meaning, remedy } = entry;
  return `### ${anchor(anchorOf(entry))}${codeText(entry)} ${name}

${meaning}. **Do:** ${remedy}.

[${category}](#category-${category}), ${likelihoods[likelihood]} · log record ${logSeverity(category)} · ${watchersText(category, alerts)} · [dashboard](${drillDown(entry)})
`;
}

/** What a counter can show beside numbers, and numbers without an entry. */
function otherCodesText(alerts: Alerts): string {
  return `## Other codes

Tencent adds codes without notice. The first ${codesMax} distinct ones outside the catalogue are counted under their own
number, all in the category [unknown](#category-unknown); likewise the first ${codesMax} of 120001 to 130000, in the category
[rejected_by_app](#category-rejected_by_app). Watched by ${watchersText('unknown', alerts)}; the first of a kind by
[TencentChatNewErrorCode](TencentChatNewErrorCode.md).

1. Read \`ErrorInfo\` in the log record: Tencent says in English what is wrong.
2. Look the number up in Tencent's [error-code pages](https://www.tencentcloud.com/document/product/1047/34348). 6000 to
   9999 and 2000 to 2999 are made on devices, and cannot come from Tencent's servers: suspect an invented callback.
3. Ask who owns the before-send callback: an app can return codes of its own.
4. Have it added to \`src/callback/catalogue.ts\`: then it has a name, a category, an alert, and an entry here.

### ${anchor('other')}\`other\`

Further codes, beyond the first ${codesMax}. The log record has the number: see
[TencentChatLabelValuesFolded](TencentChatLabelValuesFolded.md).

### ${anchor('unknown')}\`unknown\`

The callback had no \`ErrorCode\`. It is counted in \`tencent_chat_invalid_fields_total{field="ErrorCode"}\`, too. A few
may be odd callbacks of Tencent's; many, while callbacks are not authenticated, are invented.

### ${anchor('invalid')}\`invalid\`

The callback had an \`ErrorCode\` that is no integer. Everything said of \`unknown\` holds.
`;
}

function codeText({ code }: CatalogueEntry): string {
  return typeof code === 'number' ? String(code) : `${code.from} to ${code.to}`;
}

/** Also where Markdown would make an anchor of its heading: those differ between renderers. */
function anchor(id: string): string {
  return `<a id="${id}"></a>`;
}

function linkTo(entry: CatalogueEntry): string {
  return `[${codeText(entry)}](#${anchorOf(entry)})`;
}

/** A range has no value of the dashboard's variable `error_code`; its category has. */
function drillDown({ code, category }: CatalogueEntry): string {
  const variable = typeof code === 'number' ? `error_code=${code}` : `error_category=${category}`;
  return `${links.grafanaUrl}/d/${dashboardUids.errorCode}?var-${variable}`;
}

function watchersText(category: ErrorCategory, alerts: Alerts): string {
  return watchers(category, alerts)
    .map(name => `[${name}](${name}.md)`)
    .join(', ');
}

/** The alerts about this category, by the matchers in their conditions. */
export function watchers(category: ErrorCategory, alerts: Alerts): Alert['name'][] {
  const isWatching = ({ expr }: Alert): boolean =>
    [...expr.matchAll(/\{error_category(=|!=|=~|!~)"([^"]*)"\}/g)].some(([, operator, value]) => {
      const isNamed = value!.split('|').includes(category);
      return operator!.startsWith('!') ? !isNamed : isNamed;
    });
  return [...alerts].filter(([, rules]) => rules.some(isWatching)).map(([name]) => name);
}

/** As the exporter itself decides it. */
function logSeverity(category: ErrorCategory): string {
  const record = {
    traceId: '',
    spanId: '',
    occurredAt: 0,
    receivedAt: 0,
    labels: {
      sdk_app_id: '',
      error_code: '',
      error_category: category,
      group_type: '',
      platform: '',
      initiator: 'user' as const,
    },
    errorName: null,
    errorInfo: '',
    errorCode: null,
    groupId: null,
    topicId: null,
    isOnlineOnly: null,
    elementTypes: [],
    random: null,
    userHash: null,
    userId: null,
    clientAddress: null,
    messageText: null,
  };
  return toLogRecord(record, {} as Parameters<typeof toLogRecord>[1]).severityText!;
}
