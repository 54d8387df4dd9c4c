/** Whether a process grows without end, told from how much memory it had when. */

export interface MemorySample {
  atMs: number;
  megabytes: number;
}

/** A shorter stretch says nothing: a process that has just started grows until its caches and heaps are filled. */
export const stretchMsMin = 50_000;
/**
 * Between the middles of the second and the last quarter. A backlog that comes and goes moves the median by less; what
 * leaks a megabyte a second passes it in two minutes, what leaks one a minute in an hour and a half.
 */
export const growthMegabytesMax = 40;

/** How much more it had in the last quarter of its life than in the second; `null` when it did not live long enough. */
export interface MemoryGrowth {
  from: number;
  to: number;
  /** Between the middles of the two. */
  minutes: number;
}

/** The samples are of one process, in order. */
export function memoryGrowth(samples: readonly MemorySample[]): MemoryGrowth | null {
  const stretchMs = (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
  if (stretchMs < stretchMsMin) return null;
  const quarter = (number: number) =>
    median(
      samples
        .filter(({ atMs }) => Math.min(4, Math.ceil((4 * (atMs - samples[0]!.atMs)) / stretchMs)) === number)
        .map(({ megabytes }) => megabytes),
    );
  return { from: quarter(2), to: quarter(4), minutes: (stretchMs * 0.5) / 60_000 };
}

/** `null`: nothing to say against it. */
export function memoryProblem(samples: readonly MemorySample[]): string | null {
  const growth = memoryGrowth(samples);
  if (growth === null || growth.to - growth.from <= growthMegabytesMax) return null;
  return `memory grew ${describeGrowth(growth)}`;
}

/** `from 187 to 192 MB in 10.0 minutes`. */
export function describeGrowth({ from, to, minutes }: MemoryGrowth): string {
  return `from ${from.toFixed(0)} to ${to.toFixed(0)} MB in ${minutes.toFixed(1)} minutes`;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
