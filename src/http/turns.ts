/**
 * Takes turns: of what comes at once only so much is begun before the event loop looks for I/O again.
 *
 * libuv accepts one connection each time it looks. Where a thousand connections have their next callback ready, one
 * look is 30 ms from the next, and whoever connects then waits behind the hundreds that connected before: for seconds,
 * unread and uncounted (measured under twice the load that can be taken: up to 5.9 s). With 8 begun at a time it was at
 * most 2.5 s, mostly below 1.8 s, at the same CPU.
 */

/** With 16 it was 2.7 s and more; 4 cost 7 % of CPU. */
const perTurn = 8;
/** Half of what may be in flight. What comes beyond waits no more: most likely it is refused, which takes little. */
const waitingMax = 1_000;

/** `begin`, called at once or in one of the next turns, in order of arrival. */
export function inTurns<Args extends unknown[]>(begin: (...args: Args) => void): (...args: Args) => void {
  const waiting: Args[] = [];
  let begunCount = 0;

  function nextTurn(): void {
    const next = waiting.splice(0, perTurn);
    begunCount = next.length;
    if (begunCount > 0) setImmediate(nextTurn);
    for (const args of next) begin(...args);
  }

  return (...args) => {
    if (begunCount >= perTurn && waiting.length < waitingMax) {
      waiting.push(args);
      return;
    }
    if (begunCount === 0) setImmediate(nextTurn);
    begunCount += 1;
    begin(...args);
  };
}
