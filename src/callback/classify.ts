/**
 * From an exception to the labels under which it is counted. Every label value is from a closed set, but for
 * `error_code`, whose numbers outside the catalogue are capped: Tencent adds codes without notice, and an app chooses
 * its own, so that their number is out of our hands.
 */
import { type CatalogueEntry, describeCode } from './catalogue.ts';
import type { ErrorCategory, Exception, ExceptionLabels } from './exception.ts';

export interface Classification {
  /** Frozen, and the same object for the same label set: a caller may use it as a key. */
  labels: Readonly<ExceptionLabels>;
  /** What the catalogue says of the code, also where its label was folded. */
  entry: CatalogueEntry | undefined;
  /** The label whose value was folded into `other` because its cap is reached. */
  folded: 'error_code' | null;
}

export interface Classifier {
  classify(exception: Exception): Classification;
}

/** Distinct codes that keep their number, outside the catalogue, and again in each wide range of it. */
export const codesMax = 100;

/** 10100 to 10200, the app's own codes, is the widest range that needs no cap. */
const rangeCodesMax = 101;

export const groupTypeLabels = [
  'Private',
  'Public',
  'ChatRoom',
  'AVChatRoom',
  'Community',
  'BChatRoom',
  'Live',
  'Room',
  'unknown',
  'other',
] as const;

export const platformLabels = [
  'RESTAPI',
  'Web',
  'Android',
  'iOS',
  'Windows',
  'Mac',
  'iPad',
  'unknown',
  'other',
] as const;

const labelOfGroupType = createSpellings(groupTypeLabels, {
  // The product's names of two types, whose names on the wire are older.
  Work: 'Private',
  Meeting: 'ChatRoom',
});

const labelOfPlatform = createSpellings(platformLabels, {
  // Chinese pages write Mac, English ones macOS; a misspelt Unknown was seen in captures.
  macOS: 'Mac',
  'mac os': 'Mac',
  Unkown: 'unknown',
});

/** The label of each code that has one, and how it came by it. */
interface CodeLabel {
  label: string;
  category: ErrorCategory;
  entry: CatalogueEntry | undefined;
  folded: 'error_code' | null;
}

/**
 * `admittedCodes` are the `error_code` labels in the journal's totals, all of them. Their series exist, so they keep
 * their number and fill the caps again: after a restart the same codes are folded as before it.
 */
export function createClassifier(options: {
  adminAccounts: ReadonlySet<string>;
  admittedCodes: Iterable<string>;
}): Classifier {
  const codeLabels = new Map<Exception['errorCode'], CodeLabel>([
    [null, { label: 'unknown', category: 'unknown', entry: undefined, folded: null }],
    ['invalid', { label: 'invalid', category: 'unknown', entry: undefined, folded: null }],
  ]);
  /** Distinct codes admitted so far, by capped range; `undefined` is outside the catalogue. */
  const admittedCounts = new Map<CatalogueEntry | undefined, number>();
  const labelSets = new Map<string, Readonly<ExceptionLabels>>();

  const admit = (code: number, entry: CatalogueEntry | undefined): CodeLabel => {
    const category = entry?.category ?? 'unknown';
    const codeLabel: CodeLabel = { label: String(code), category, entry, folded: null };
    codeLabels.set(code, codeLabel);
    if (isCapped(entry)) admittedCounts.set(entry, (admittedCounts.get(entry) ?? 0) + 1);
    return codeLabel;
  };

  const labelCode = (code: Exception['errorCode']): CodeLabel => {
    const known = codeLabels.get(code);
    if (known !== undefined) return known;
    const entry = describeCode(code as number);
    if (!isCapped(entry) || (admittedCounts.get(entry) ?? 0) < codesMax) return admit(code as number, entry);
    return { label: 'other', category: entry?.category ?? 'unknown', entry, folded: 'error_code' };
  };

  for (const label of options.admittedCodes) {
    if (/^-?\d+$/.test(label) && !codeLabels.has(Number(label)))
      admit(Number(label), describeCode(Number(label)));
  }

  return {
    classify(exception) {
      const { label, category, entry, folded } = labelCode(exception.errorCode);
      const groupType = labelOfGroupType(exception.groupType);
      const platform = labelOfPlatform(exception.platform);
      const isAdmin =
        platform === 'RESTAPI' ||
        (exception.operatorAccount !== null && options.adminAccounts.has(exception.operatorAccount));
      const initiator = isAdmin ? 'admin' : 'user';

      // No value can hold a line feed: all are from closed sets, numbers, or our own SDKAppIDs.
      const key = `${exception.sdkAppId}\n${label}\n${category}\n${groupType}\n${platform}\n${initiator}`;
      let labels = labelSets.get(key);
      if (labels === undefined) {
        labels = Object.freeze({
          sdk_app_id: exception.sdkAppId,
          error_code: label,
          error_category: category,
          group_type: groupType,
          platform,
          initiator,
        });
        labelSets.set(key, labels);
      }
      return { labels, entry, folded };
    },
  };
}

function isCapped(entry: CatalogueEntry | undefined): boolean {
  if (entry === undefined) return true;
  return typeof entry.code === 'object' && entry.code.to - entry.code.from >= rangeCodesMax;
}

/**
 * Maps what is on the wire to a label without regard to case: `IOS`, `iOS` and `ios` are all in use. The usual spelling
 * is found at once; only another one is lower-cased.
 */
function createSpellings<Label extends string>(
  labels: readonly Label[],
  aliases: Record<string, Label>,
): (spelling: string | null) => Label | 'unknown' | 'other' {
  const byExactSpelling = new Map<string, Label>([
    ...labels.map(label => [label, label] as const),
    ...Object.entries(aliases),
  ]);
  const byLowerCase = new Map(
    [...byExactSpelling].map(([spelling, label]) => [spelling.toLowerCase(), label]),
  );
  return spelling => {
    if (spelling === null) return 'unknown';
    return byExactSpelling.get(spelling) ?? byLowerCase.get(spelling.toLowerCase()) ?? 'other';
  };
}
