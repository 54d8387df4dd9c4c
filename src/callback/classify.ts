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

/** The elements a message is made of, as documented: https://www.tencentcloud.com/document/product/1047/33527. */
export const elementTypeLabels = [
  'TIMTextElem',
  'TIMLocationElem',
  'TIMFaceElem',
  'TIMCustomElem',
  'TIMSoundElem',
  'TIMImageElem',
  'TIMFileElem',
  'TIMVideoFileElem',
  'TIMRelayElem',
  'TIMStreamElem',
  'other',
] as const;
export type ElementTypeLabel = (typeof elementTypeLabels)[number];

/** The label of one of an exception's `elementTypes`. */
export function elementTypeLabel(type: string): ElementTypeLabel {
  return elementTypeLabels.find(label => label === type) ?? 'other';
}

const indexOfGroupType = createSpellings(groupTypeLabels, {
  // The product's names of two types, whose names on the wire are older.
  Work: 'Private',
  Meeting: 'ChatRoom',
});

const indexOfPlatform = createSpellings(platformLabels, {
  // Chinese pages write Mac, English ones macOS; a misspelt Unknown was seen in captures.
  macOS: 'Mac',
  'mac os': 'Mac',
  Unkown: 'unknown',
});

/** How one code is labelled. */
interface CodeLabel {
  label: string;
  category: ErrorCategory;
  entry: CatalogueEntry | undefined;
  folded: 'error_code' | null;
  /** Its label sets so far, by app, at the place that `placeOf` gives. */
  labelSets: Map<string, Readonly<ExceptionLabels>[]>;
}

/** A number for each combination of the three labels from small closed sets: cheaper to look up than their text. */
function placeOf(groupType: number, platform: number, isAdmin: boolean): number {
  return (groupType * platformLabels.length + platform) * 2 + (isAdmin ? 1 : 0);
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
    [null, createCodeLabel('unknown', undefined)],
    ['invalid', createCodeLabel('invalid', undefined)],
  ]);
  /** What the codes beyond a cap share, by capped range; `undefined` is outside the catalogue. */
  const foldedLabels = new Map<CatalogueEntry | undefined, CodeLabel>();
  /** Distinct codes admitted so far, by capped range. */
  const admittedCounts = new Map<CatalogueEntry | undefined, number>();

  const admit = (code: number, entry: CatalogueEntry | undefined): CodeLabel => {
    const codeLabel = createCodeLabel(String(code), entry);
    codeLabels.set(code, codeLabel);
    if (isCapped(entry)) admittedCounts.set(entry, (admittedCounts.get(entry) ?? 0) + 1);
    return codeLabel;
  };

  const labelCode = (code: Exception['errorCode']): CodeLabel => {
    const known = codeLabels.get(code);
    if (known !== undefined) return known;
    const entry = describeCode(code as number);
    if (!isCapped(entry) || (admittedCounts.get(entry) ?? 0) < codesMax) return admit(code as number, entry);
    const folded = foldedLabels.get(entry) ?? createCodeLabel('other', entry, 'error_code');
    foldedLabels.set(entry, folded);
    return folded;
  };

  for (const label of options.admittedCodes) {
    if (/^-?\d+$/.test(label) && !codeLabels.has(Number(label)))
      admit(Number(label), describeCode(Number(label)));
  }

  return {
    classify({ sdkAppId, errorCode, groupType, platform, operatorAccount }) {
      const codeLabel = labelCode(errorCode);
      const groupTypeIndex = indexOfGroupType(groupType);
      const platformIndex = indexOfPlatform(platform);
      const isAdmin =
        platformLabels[platformIndex] === 'RESTAPI' ||
        (operatorAccount !== null && options.adminAccounts.has(operatorAccount));

      let labelSets = codeLabel.labelSets.get(sdkAppId);
      if (labelSets === undefined) {
        labelSets = [];
        codeLabel.labelSets.set(sdkAppId, labelSets);
      }
      const place = placeOf(groupTypeIndex, platformIndex, isAdmin);
      labelSets[place] ??= Object.freeze({
        sdk_app_id: sdkAppId,
        error_code: codeLabel.label,
        error_category: codeLabel.category,
        group_type: groupTypeLabels[groupTypeIndex]!,
        platform: platformLabels[platformIndex]!,
        initiator: isAdmin ? 'admin' : 'user',
      });
      return { labels: labelSets[place], entry: codeLabel.entry, folded: codeLabel.folded };
    },
  };
}

function createCodeLabel(
  label: string,
  entry: CatalogueEntry | undefined,
  folded: CodeLabel['folded'] = null,
): CodeLabel {
  return { label, category: entry?.category ?? 'unknown', entry, folded, labelSets: new Map() };
}

function isCapped(entry: CatalogueEntry | undefined): boolean {
  if (entry === undefined) return true;
  return typeof entry.code === 'object' && entry.code.to - entry.code.from >= rangeCodesMax;
}

/**
 * Finds the label of what is on the wire, as its index, without regard to case: `IOS`, `iOS` and `ios` are all in use.
 * The usual spelling is found at once; only another one is lower-cased.
 */
function createSpellings<Label extends string>(
  labels: readonly (Label | 'unknown' | 'other')[],
  aliases: Record<string, Label>,
): (spelling: string | null) => number {
  const byExactSpelling = new Map<string, number>([
    ...labels.map((label, index) => [label, index] as const),
    ...Object.entries(aliases).map(([alias, label]) => [alias, labels.indexOf(label)] as const),
  ]);
  const byLowerCase = new Map(
    [...byExactSpelling].map(([spelling, index]) => [spelling.toLowerCase(), index]),
  );
  const [unknown, other] = [labels.indexOf('unknown'), labels.indexOf('other')];
  return spelling => {
    if (spelling === null) return unknown;
    return byExactSpelling.get(spelling) ?? byLowerCase.get(spelling.toLowerCase()) ?? other;
  };
}
