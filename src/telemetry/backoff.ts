/** How long to wait after a failure: the collector of many exporters must be able to get up again. */

/** A restart of a collector takes seconds; the first retry comes no sooner than half of this. */
const firstMs = 1_000;

/** After a long outage delivery starts again within this time, and an outage costs two requests a minute. */
const longestMs = 30_000;

/**
 * Milliseconds before attempt number `failures` + 1, doubling from 1 s to 30 s. Half of it is jitter (`random` is from
 * 0 to 1), so that exporters that failed together do not come back together.
 */
export function backoffMs(failures: number, random: number): number {
  return Math.min(firstMs * 2 ** failures, longestMs) * (0.5 + random / 2);
}
