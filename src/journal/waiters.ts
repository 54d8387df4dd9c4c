/** Who waits for a row beyond theirs: `Outbox.waitBeyond`, for engines that hold their rows in this thread. */
export class Waiters {
  readonly #hasBeyond: (after: number) => boolean;
  #waiting: { after: number; resolve: () => void }[] = [];

  constructor(hasBeyond: (after: number) => boolean) {
    this.#hasBeyond = hasBeyond;
  }

  waitBeyond(after: number): Promise<void> {
    if (this.#hasBeyond(after)) return Promise.resolve();
    return new Promise(resolve => this.#waiting.push({ after, resolve }));
  }

  get isAnyone(): boolean {
    return this.#waiting.length > 0;
  }

  /** To be called when rows were added. */
  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ after }) => !this.#hasBeyond(after));
    for (const waiter of waiting) if (!this.#waiting.includes(waiter)) waiter.resolve();
  }
}
