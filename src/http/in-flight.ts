/** How much is being worked on at once: a bound on memory that no sender can pass. */
export class InFlight {
  #callbacksMax: number;
  readonly #bytesMax: number;
  #callbacks = 0;
  #bytes = 0;
  #onEmpty: () => void = () => {};

  constructor(limits: { callbacksMax: number; bytesMax: number }) {
    this.#callbacksMax = limits.callbacksMax;
    this.#bytesMax = limits.bytesMax;
  }

  /** `false`: too much is in flight. Whoever was let in leaves with the same number of bytes. */
  enter(bytes: number): boolean {
    if (this.#callbacks >= this.#callbacksMax || this.#bytes + bytes > this.#bytesMax) return false;
    this.#callbacks += 1;
    this.#bytes += bytes;
    return true;
  }

  leave(bytes: number): void {
    this.#callbacks -= 1;
    this.#bytes -= bytes;
    if (this.#callbacks === 0) this.#onEmpty();
  }

  /** Lets nobody in any more. Resolves when all have left. */
  async close(): Promise<void> {
    this.#callbacksMax = 0;
    if (this.#callbacks === 0) return;
    await new Promise<void>(resolve => {
      this.#onEmpty = resolve;
    });
  }

  get callbacks(): number {
    return this.#callbacks;
  }
}
