/** What became of the callbacks since the start, and which was the last. Noted by `receive`, for the status page. */
import type { Outcome } from '../metrics/table.ts';

export interface CallbackCounts extends Record<Outcome, number> {
  last: LastCallback | null;
}

export class CallbackTally implements CallbackCounts {
  counted = 0;
  duplicate = 0;
  ignored = 0;
  rejected = 0;
  last: LastCallback | null = null;

  /** `command` is a label value; `at` in milliseconds since the Unix epoch. */
  note(outcome: Outcome, command: string, at: number): void {
    this[outcome] += 1;
    if (this.last === null) {
      this.last = { outcome, command, at };
      return;
    }
    this.last.outcome = outcome;
    this.last.command = command;
    this.last.at = at;
  }

  /** As it is now, whatever comes. */
  snapshot(): CallbackCounts {
    const { counted, duplicate, ignored, rejected, last } = this;
    return { counted, duplicate, ignored, rejected, last: last === null ? null : { ...last } };
  }
}

export interface LastCallback {
  outcome: Outcome;
  command: string;
  /** Milliseconds since the Unix epoch. */
  at: number;
}
