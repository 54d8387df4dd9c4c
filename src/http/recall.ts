/** After a start: reads back from the journal what failed in the hour before it, without holding up callbacks. */
import { type Inquiry, pageRowsMax } from '../journal/journal.ts';
import { type Activity, windowMinutes } from './activity.ts';

/** So many times as long as a page took is left to others. An hour at 600 a second is then back after a minute. */
const restFactor = 4;

export interface RecallOptions {
  activity: Activity;
  journal: Pick<Inquiry, 'exceptions'>;
  /** The last sequence that was stored before the start: what comes later is noted as it comes. */
  lastSequence: number;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
  /** Resolves after `milliseconds`, or rejects when the signal is aborted. */
  delay: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
  /** Ends it: `recall` rejects, unless it waits for the journal. */
  signal: AbortSignal;
}

/** Resolves when the hour is told, or the journal has no more of it. Rejects when the journal cannot be read. */
export async function recall({
  activity,
  journal,
  lastSequence,
  now,
  delay,
  signal,
}: RecallOptions): Promise<void> {
  let before = lastSequence + 1;
  for (;;) {
    const startedAt = performance.now();
    const page = await journal.exceptions(before, pageRowsMax);
    signal.throwIfAborted();
    activity.recall(page, now());
    const anHourAgo = now() - windowMinutes * 60_000;
    // Not as soon as one is older: what was held in memory for a while is stored later than it was received.
    if (page.every(({ receivedAt }) => receivedAt < anHourAgo)) break;
    before = page.at(-1)!.sequence;
    await delay((performance.now() - startedAt) * restFactor, signal);
  }
  activity.recalled();
}
