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

/** `null`: nothing to say against it. The samples are of one process, in order. */
export function memoryProblem(samples: readonly MemorySample[]): string | null {
  const stretchMs = (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
  if (stretchMs < stretchMsMin) return null;
  const quarter = (number: number) =>
    median(
      samples
        .filter(({ atMs }) => Math.min(4, Math.ceil((4 * (atMs - samples[0]!.atMs)) / stretchMs)) === number)
        .map(({ megabytes }) => megabytes),
    );
  const [second, last] = [quarter(2), quarter(4)];
  if (last - second <= growthMegabytesMax) return null;
  const minutes = ((stretchMs * 0.5) / 60_000).toFixed(1);
  return `memory grew from ${second.toFixed(0)} to ${last.toFixed(0)} MB in ${minutes} minutes`;
}

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}
