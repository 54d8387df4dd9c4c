/**
 * What alerts, dashboards and the status page tell the person on call alike: where the runbooks are, and from when on
 * something is not well. Said here once, so that the page cannot be calm while an alert fires.
 */
import { type CatalogueEntry, describeCode } from './callback/catalogue.ts';

/** An alert, and thereby its runbook. */
export type AlertName = `TencentChat${string}`;

/** The folder of the runbooks, where grafana/compose.yml has Prometheus serve them. */
export const runbooksUrlDefault = 'http://localhost:9090/user/runbooks';

export function runbookUrl(runbooksUrl: string, name: AlertName): string {
  return `${runbooksUrl}/${name}.md`;
}

/** Where the runbooks explain a code; without a label, their page of all codes. */
export function errorCodesUrl(runbooksUrl: string, errorCode?: string): string {
  const page = `${runbooksUrl}/error-codes.md`;
  if (errorCode === undefined) return page;
  const entry = describeCode(Number(errorCode));
  return `${page}#${entry === undefined ? anchorOfOther(errorCode) : anchorOf(entry)}`;
}

/** The anchor of a code's entry in error-codes.md: `10023`, `-10113`, `10100-10200`. */
export function anchorOf({ code }: CatalogueEntry): string {
  return typeof code === 'number' ? String(code) : `${code.from}-${code.to}`;
}

/** `other`, `unknown` and `invalid` have anchors; numbers outside the catalogue share one. */
function anchorOfOther(errorCode: string): string {
  return /^-?\d+$/.test(errorCode) ? 'other-codes' : errorCode;
}

/** Delivery takes seconds, and a collector's restart a minute or two. */
export const undeliveredSecondsMax = 300;

/** Of `JOURNAL_MAX_BYTES`, beyond which undelivered telemetry is dropped. A fifth leaves time to act. */
export const journalFilledRatioMax = 0.8;

/** What went wrong once counts for so long. */
export const recentMinutes = 15;

/** By reason, in `recentMinutes`. A port scan leaves one or two; a wrong token or clock fails every callback. */
export const signatureFailuresMax = 5;

/** By any other reason, in `recentMinutes`. Strangers on the open port leave a few. */
export const rejectionsMax = 10;
