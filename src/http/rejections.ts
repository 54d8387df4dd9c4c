/** The last callbacks that were refused, for the operator to look at. */
import type { RejectionReason } from '../callback/exception.ts';

export interface Rejection {
  /** Milliseconds since the Unix epoch. */
  at: number;
  reason: RejectionReason;
  /** A label value, from the closed list of commands. */
  command: string;
  /** Cut at `bodyCharactersMax`; `null` where it was not read, or `MESSAGE_CONTENT` does not allow to keep it. */
  body: string | null;
}

export const rejectionsKeptMax = 100;
const bodyCharactersMax = 2_048;

export class Rejections {
  readonly #keepsBodies: boolean;
  #rejections: Rejection[] = [];

  constructor({ keepsBodies }: { keepsBodies: boolean }) {
    this.#keepsBodies = keepsBodies;
  }

  add(rejection: Rejection): void {
    const body = this.#keepsBodies ? (rejection.body?.slice(0, bodyCharactersMax) ?? null) : null;
    this.#rejections.push({ ...rejection, body });
    if (this.#rejections.length > rejectionsKeptMax) this.#rejections.shift();
  }

  /** The latest first. */
  list(): Rejection[] {
    return this.#rejections.toReversed();
  }
}
