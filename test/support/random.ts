/** Random numbers that a seed repeats, and where the seed comes from. */
export { between, createRandom, type Random } from '../../src/traffic/random.ts';

/** `SEED` repeats a run; tests print the one they took. */
export function newSeed(): number {
  return Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
}
