/** What the status page is made of, as HTML and as JSON. Times are in milliseconds since the Unix epoch. */
import type { JournalStats, Signal } from '../journal/journal.ts';
import type { ActivityView } from './activity.ts';
import type { CallbackCounts } from './callback-tally.ts';
import type { Rejection } from './rejections.ts';

export interface Status {
  version: string;
  replica: string;
  now: number;
  startedAt: number;
  sdkAppIds: readonly string[];
  callbacks: CallbacksStatus;
  /** How many tokens are valid; 0: callbacks are not authenticated. */
  tokens: number;
  journal: JournalStatus;
  /** Empty: delivery is off. */
  delivery: readonly SignalStatus[];
  activity: ActivityView;
  rejections: readonly Rejection[];
  links: StatusLinks;
}

export interface CallbacksStatus {
  isReady: boolean;
  path: string;
  /** As Tencent reaches it; `null`: not told. */
  publicUrl: string | null;
  tally: CallbackCounts;
  /** Also from before the start; `null`: none is known. */
  lastExceptionAt: number | null;
}

export interface JournalStatus {
  location: string;
  /** Whether it outlives the process. */
  isDurable: boolean;
  /** Since when it cannot be written; `null`: it can. */
  downSince: number | null;
  /** Exceptions held in memory. */
  unwritten: number;
  stats: JournalStats;
  bytesMax: number;
  /** Writes that failed, and damage found, since the start. */
  failures: number;
  lastFailure: Failure | null;
}

/** Spans or log records, since the start. */
export interface SignalStatus {
  signal: Signal;
  delivered: number;
  lastDeliveredAt: number | null;
  /** Nothing was taken since the last failure. */
  isFailing: boolean;
  lastFailure: Failure | null;
  dropped: number;
  deadLetters: number;
  /** When one was last dropped or became a dead letter. */
  lastLossAt: number | null;
}

export interface Failure {
  at: number;
  /** Fit to be shown: cut, without credentials. */
  message: string;
}

/** Where links lead; `null`: not told. */
export interface StatusLinks {
  runbooks: string;
  dashboards: string | null;
  /** Contains `{trace_id}`. */
  traceTemplate: string | null;
}

/** Received until then, everything was delivered, or given up; `null`: nothing was ever received. */
export function deliveredUpTo({ journal, callbacks }: Status): number | null {
  const { stats, unwritten, downSince } = journal;
  return stats.oldestUndeliveredAt ?? (unwritten > 0 ? downSince : callbacks.lastExceptionAt);
}

export function traceUrl({ traceTemplate }: StatusLinks, traceId: string): string | null {
  return traceTemplate?.replaceAll('{trace_id}', traceId) ?? null;
}
