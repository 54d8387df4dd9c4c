/** How much is being worked on at once: a bound on memory that no sender can pass. */
export class InFlight {
  readonly #callbacksMax: number;
  readonly #bytesMax: number;
  #callbacks = 0;
  #bytes = 0;

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
  }

  get callbacks(): number {
    return this.#callbacks;
  }
}
