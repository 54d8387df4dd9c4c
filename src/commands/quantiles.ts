/** Quantiles of any number of durations in bounded memory, each at most 1 % too large. */

const growth = 1.01;

export class Quantiles {
  /** How many durations, by the power of `growth` that they are rounded up to. */
  readonly #counts = new Map<number, number>();
  #count = 0;
  #max = 0;

  /** `milliseconds` is above 0. */
  add(milliseconds: number): void {
    const power = Math.ceil(Math.log(milliseconds) / Math.log(growth));
    this.#counts.set(power, (this.#counts.get(power) ?? 0) + 1);
    this.#count += 1;
    this.#max = Math.max(this.#max, milliseconds);
  }

  /** Milliseconds; `null` before the first. 1 gives the largest, as it was. */
  at(quantile: number): number | null {
    if (this.#count === 0) return null;
    let left = Math.max(1, Math.ceil(quantile * this.#count));
    if (left === this.#count) return this.#max;
    for (const [power, count] of [...this.#counts].sort(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return growth ** power;
    }
    return this.#max;
  }
}
