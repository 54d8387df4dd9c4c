import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inTurns } from '../../src/http/turns.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { startListener } from './fixtures.ts';
import type { SendersInput, SendersResult } from './turns-senders.ts';

const turns = suite('turns');
turns.after.each(cleanUp);

const numbers = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, index) => first + index);

function setUp(): { begin: (number: number) => void; begun: number[] } {
  const begun: number[] = [];
  return { begin: inTurns((number: number) => begun.push(number), { waitingMax: 2_000 }), begun };
}

turns('begins 8 at once, and the rest in order, 8 in each of the next turns', async () => {
  const { begin, begun } = setUp();
  for (const number of numbers(1, 20)) begin(number);
  assert.equal(begun, numbers(1, 8));
  await turn();
  assert.equal(begun, numbers(1, 16));
  await turn();
  assert.equal(begun, numbers(1, 20));
});

turns('lets nobody overtake those who wait', async () => {
  const { begin, begun } = setUp();
  for (const number of numbers(1, 16)) begin(number);
  await turn();
  begin(17);
  assert.equal(begun, numbers(1, 16));
  await turn();
  assert.equal(begun, numbers(1, 17));
});

turns('begins at once again when nobody waits', async () => {
  const { begin, begun } = setUp();
  for (const number of numbers(1, 10)) begin(number);
  for (let count = 0; count < 3; count += 1) await turn();
  for (const number of numbers(11, 18)) begin(number);
  assert.equal(begun, numbers(1, 18));
});

turns('lets 2,000 wait, and then begins them all', async () => {
  const { begin, begun } = setUp();
  for (const number of numbers(1, 2_007)) begin(number);
  assert.equal(begun, numbers(1, 8));
  begin(2_008);
  assert.equal(begun, numbers(1, 2_008));
  begin(2_009);
  await turn();
  assert.equal(begun, numbers(1, 2_009));
});

turns('takes new connections while many old ones always have the next callback ready', async () => {
  const { port, receiver } = await startListener({
    inFlight: { callbacksMax: 1_000, bytesMax: 64 * 2 ** 20 },
  });
  // A machine on which a callback takes a millisecond.
  const { append } = receiver.writer;
  receiver.writer.append = (...args) => {
    const until = performance.now() + 1;
    while (performance.now() < until);
    return append.apply(receiver.writer, args);
  };
  const senders = new Worker(new URL('./turns-senders.ts', import.meta.url), {
    workerData: { port, oldCount: 200, newCount: 20 } satisfies SendersInput,
  });
  onCleanUp(() => senders.terminate());
  const [{ answeredMeanwhile }] = (await once(senders, 'message')) as [SendersResult];
  // One connection is taken in a turn, and a turn is about 8 callbacks, not 200: 4,300 when all begin at once.
  assert.ok(answeredMeanwhile < 1_000, `${answeredMeanwhile} callbacks of the others were answered first`);
});

turns.run();
