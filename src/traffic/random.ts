/** Random numbers that a seed repeats. */

/** From 0 to 1 (mulberry32). */
export type Random = () => number;

export function createRandom(seed: number): Random {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A whole number from `from` to `to`, both included. */
export function between(random: Random, from: number, to: number): number {
  return from + Math.floor(random() * (to - from + 1));
}

export function pick<T>(random: Random, values: readonly T[]): T {
  return values[Math.floor(random() * values.length)]!;
}

/** A key, as often as its share says; the shares sum to 1. */
export function pickShare(random: Random, shares: Readonly<Record<string, number>>): string {
  let left = random();
  for (const [key, share] of Object.entries(shares)) {
    left -= share;
    if (left < 0) return key;
  }
  return Object.keys(shares)[0]!;
}
