/**
 * The journal: the durable, deduplicated log of exceptions. This file is its contract; every engine keeps it, and
 * one conformance suite (test/journal/conformance.ts) checks each engine against it.
 *
 * Invariants, cited by number in the tests:
 *  1. An exception is answered OK only after its transaction is durable, or was put aside under `journal_up 0`.
 *  2. A label set's total is the number of distinct identities ever appended with it.
 *  3. An exception leaves the outbox only after delivery of every signal, as a counted drop, or as a dead letter; and a
 *     dead letter is gone only when somebody removed it, when it is in the outbox again, or beyond `deadLettersMax`.
 *  4. Appending anything twice, in any order, across restarts, changes nothing the second time
 *     (for as long as identities are kept: `identityRetentionMs`).
 *  5. Damage is never passed on silently: a row whose CRC-32 is wrong is counted and reported by its number.
 *  6. Nothing private is stored that the settings do not allow to leave.
 */
import type { MessagePort } from 'node:worker_threads';
import type { ExceptionLabels } from '../callback/exception.ts';

/** What is delivered to OTLP. A label value: keep it closed. */
export const signals = ['traces', 'logs'] as const;
export type Signal = (typeof signals)[number];

/** Identities are promised for 24 h; the hour above it absorbs a clock that jumps. */
export const identityRetentionMs = 25 * 60 * 60 * 1000;

/** One exception, ready to be appended. */
export interface JournalEntry {
  /** 32 lower-case hex digits; equal identities are one exception. It is the exception's trace ID, too. */
  identity: string;
  labels: ExceptionLabels;
  /** Milliseconds since the Unix epoch. */
  receivedAt: number;
  /** Keyed 48-bit hashes, for counting distinct ones; 0 where the callback named none. */
  senderHash: number;
  groupHash: number;
  /** The encoded `ExceptionRecord`; `null` where no signal is delivered. */
  record: string | null;
}

export type AppendOutcome = 'new' | 'duplicate';

/** The number of distinct exceptions of one label set. */
export interface Total {
  labels: ExceptionLabels;
  count: number;
  /** When the label set was first appended; milliseconds since the Unix epoch. */
  bornAt: number;
}

/** Who sent and where, of one recent exception. */
export interface RecentException {
  receivedAt: number;
  errorCategory: ExceptionLabels['error_category'];
  senderHash: number;
  groupHash: number;
}

/** What a journal knows when it is opened. */
export interface JournalContents {
  /** 32 random bytes, made when the journal was created: the key of every hash that leaves this exporter. */
  key: Buffer;
  totals: Total[];
  /** The exceptions received since `recentSince`, oldest first. */
  recent: RecentException[];
}

/** One stored exception, for as long as its identity is kept. */
export interface StoredException {
  /** Grows from one to the next in order of storage; no two have the same. */
  sequence: number;
  /** 32 lower-case hex digits: its trace ID. */
  identity: string;
  /** Milliseconds since the Unix epoch. */
  receivedAt: number;
  labels: ExceptionLabels;
}

export interface JournalStats {
  /** Bytes in use: pages that hold something, and the write-ahead log. */
  bytes: number;
  /** Exceptions whose identity is kept. */
  events: number;
  /** Exceptions that at least one signal still has to deliver. */
  backlogEvents: number;
  /** Receipt time of the oldest of them, milliseconds since the Unix epoch; `null` when there is none. */
  oldestUndeliveredAt: number | null;
}

/** What a journal tells unasked, so that metrics and logs can be made of it in one place. */
export type JournalReport =
  | { type: 'stats'; stats: JournalStats }
  /**
   * A row failed its checksum. One of the outbox was set aside as a dead letter of these signals, or is not there any
   * more; after damaged cursors delivery begins again with the oldest record; a damaged key of `meta` makes other hashes.
   */
  | {
      type: 'damage';
      table: 'totals' | 'outbox' | 'cursors' | 'meta';
      row: number;
      deadLettered: Signal[];
    }
  /** The journal holds fewer exceptions than were acknowledged: its log or its file was damaged, lost, or replaced. */
  | { type: 'lost'; count: number }
  /** Identities and their index did not agree; it was made anew. Duplicates of some exceptions may count again. */
  | { type: 'reindexed'; problem: string }
  | { type: 'dropped'; signal: Signal; count: number }
  /** Somebody had dead letters delivered again, or removed. */
  | { type: 'dead_letters_retried'; signal: Signal; count: number }
  | { type: 'dead_letters_removed'; signal: Signal; count: number }
  /** `tencent-chat-exporter journal` will not reach this exporter; nothing else depends on it. */
  | { type: 'unreachable'; problem: string };

/** One undelivered exception. `sequence` grows by one from row to row, and is never used again. */
export interface OutboxRow {
  sequence: number;
  /** The encoded `ExceptionRecord`. */
  record: string;
  /** A dead letter that was put back is for its signal alone; the others acknowledge it, and deliver nothing. */
  only?: Signal;
}

/** The delivery side of a journal. Each signal has its own cursor: everything up to it was delivered. */
export interface Outbox {
  /** The last sequence that each enabled signal acknowledged; 0 before the first. */
  cursors(): Promise<Record<Signal, number>>;
  /** Up to `limit` rows above `after`, in order. Damaged rows are set aside as dead letters, not returned. */
  read(after: number, limit: number): Promise<OutboxRow[]>;
  /** Resolves as soon as there is a row above `after`. */
  waitBeyond(after: number): Promise<void>;
  /**
   * Moves a signal's cursor to `upTo`, a row that was read; rows that every enabled signal is past leave the outbox. An
   * acknowledgement lost in a crash means delivery again, never loss.
   */
  acknowledge(signal: Signal, upTo: number): Promise<void>;
  /**
   * Sets one row aside for one signal, with the reason it was refused for good; a second time changes nothing. Does not
   * move the cursor.
   */
  deadLetter(signal: Signal, row: OutboxRow, reason: string): Promise<void>;
}

/**
 * Rows of one page, and dead letters of one transaction, at most: 1 to 3 ms of the journal's thread. A commit that waits
 * for it is no later than on a disk that syncs slowly; its answers have 1,500 ms.
 */
export const pageRowsMax = 256;

/** Lists are read page by page, in the order of storage or its reverse. */
export type Order = 'oldest_first' | 'latest_first';

/** A record that some signal still has to deliver. */
export interface UndeliveredRecord {
  /** Its place in the outbox, in the order of storage; where exporters share the outbox, not the one that `read` tells. */
  sequence: number;
  /** Milliseconds since the Unix epoch. */
  receivedAt: number;
  /** The encoded `ExceptionRecord`; `null` where it is damaged. */
  record: string | null;
  /** Who lacks it, of the signals that are delivered. */
  signals: Signal[];
  /** Was a dead letter. These alone are not in the order in which their exceptions were stored. */
  isRetried: boolean;
  /** The sequence of its exception; `null` where that is not known, or its identity is not kept any more. */
  exception: number | null;
}

/** A record that was refused for good, or came back damaged. */
export interface DeadLetter extends DeadLetterKey {
  reason: string;
  /** The encoded `ExceptionRecord`; `null` where it is damaged: it cannot be delivered. */
  record: string | null;
  /** As in `UndeliveredRecord`. */
  exception: number | null;
}

/** No two have the same, and none is used again. */
export interface DeadLetterKey {
  /** Of the row in the outbox that it was. */
  sequence: number;
  signal: Signal;
}

/** The last so many are kept. */
export const deadLettersMax = 10_000;

/** Why a dead letter was left as it is. */
export type LeftReason = 'unknown' | 'damaged' | 'signal_off';

/** What became of each dead letter that was asked for. */
export interface Settlement {
  done: DeadLetterKey[];
  left: (DeadLetterKey & { why: LeftReason })[];
}

/** By signal, as engines report what became of dead letters. */
export function reportSettled(
  type: 'dead_letters_retried' | 'dead_letters_removed',
  { done }: Settlement,
  report: (report: JournalReport) => void,
): void {
  for (const signal of signals) {
    const count = done.filter(key => key.signal === signal).length;
    if (count > 0) report({ type, signal, count });
  }
}

/** All that can be said of a journal without reading the whole of it. */
export interface JournalSummary {
  /** Of its file; `null` where there is none. */
  format: number | null;
  /** In use: pages that hold something, and the log. The file keeps pages that hold nothing. */
  bytes: { inUse: number; file: number; log: number };
  /** Exceptions whose identity is kept, and when the oldest of them was received. */
  exceptions: number;
  exceptionsSince: number | null;
  /** Of a journal that several exporters share, each with the `REPLICA` that counted it. */
  totals: (Total & { replica?: string })[];
  /** Of the signals that are delivered. */
  undelivered: Partial<Record<Signal, number>>;
  /** Milliseconds since the Unix epoch. */
  oldestUndeliveredAt: number | null;
  /** By signal, and the most frequent reason first. */
  deadLetters: { signal: Signal; reason: string; count: number }[];
  /** Records given up for want of room since the exporter was started; `null` where none is running. */
  dropped: Partial<Record<Signal, number>> | null;
}

/**
 * What people ask a journal. None of it is needed to receive, count or deliver. A page has at most `pageRowsMax` rows,
 * and may be shorter than its limit although there are more; only an empty one is the end.
 */
export interface Inquiry {
  summary(): Promise<JournalSummary>;
  /**
   * Up to `limit` stored exceptions below the sequence `from`, the latest first; `Infinity` begins with the last. Or
   * those above it, the oldest first.
   */
  exceptions(from: number, limit: number, order?: Order): Promise<StoredException[]>;
  /** Up to `limit` records that are not delivered, in the order of the outbox, below or above its sequence `from`. */
  undelivered(from: number, limit: number, order?: Order): Promise<UndeliveredRecord[]>;
  /** Those of `undelivered` that were dead letters, above the sequence `from`. */
  retried(from: number, limit: number): Promise<UndeliveredRecord[]>;
  /** The dead letters above the sequence `from`, in its order; all of one sequence, or none, are on a page. */
  deadLetters(from: number, limit: number): Promise<DeadLetter[]>;
  /**
   * Puts up to `pageRowsMax` dead letters back, in one transaction: each becomes the last row of the outbox, for its
   * signal alone, and is a dead letter no more. It keeps its identity. Delivery begins at once.
   */
  retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement>;
  /** Removes up to `pageRowsMax` dead letters for ever, in one transaction. */
  dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement>;
}

export interface Journal extends Outbox, Inquiry {
  /**
   * Other exporters append to it, too. Which of them stored an exception first is known only once it is stored: what is
   * put aside counts when it is written, and not before. An append that is repeated after its answer was lost tells as
   * new what it had stored.
   */
  readonly isShared?: true;
  /** Creates what is missing, recovers, and reads what must be known at start. Called once, before all else. */
  open(recentSince: number): Promise<JournalContents>;
  /**
   * Stores the entries in one transaction, in order, and adds the new ones to the totals in that transaction. Resolves
   * when that is durable, with one outcome per entry. Rejects with nothing stored, or (after a failed sync) with
   * storage unknown: append the same entries again, invariant 4 makes it right. One call at a time.
   */
  append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]>;
  /**
   * Which of the identities are stored, by an append that resolved. Works without writing, for the time in which
   * writing fails.
   */
  known(identities: readonly string[]): Promise<boolean[]>;
  /** A port for `connectOutbox` in another thread: an engine with a thread of its own serves it from there. */
  outboxPort(): MessagePort;
  /** Makes all durable and lets go of the file. Nothing may be called after it. */
  close(): Promise<void>;
}

/** What every engine is built with. */
export interface JournalOptions {
  /** Signals that are delivered; a row leaves the outbox when each of them is past it. */
  signals: readonly Signal[];
  bytesMax: number;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
  report: (report: JournalReport) => void;
}

/** `open` found something that this version cannot use; the message says what, and what to do. */
export class JournalUnusable extends Error {
  override name = 'JournalUnusable';
}
