/**
 * The short form of the soak: 40 s, `SOAK_SECONDS` for another length, `SEED=1234` to repeat one. And what its longer
 * forms judge a process's memory by.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { openSocket, requestBytes } from '../support/raw-socket.ts';
import { send } from '../support/request.ts';
import { type MemorySample, memoryProblem } from './memory.ts';
import { runSoak } from './soak.ts';

const soak = suite('soak');
soak.after.each(cleanUp);

soak('all faults at once lose nothing and count nothing twice', async () => {
  const seed = newSeed();
  console.log(`\nsoak: SEED=${seed}`);
  const seconds = Number(process.env.SOAK_SECONDS ?? 40);
  const { problems, summary } = await runSoak({ seed, seconds, tell: line => console.log(line) });
  console.log(summary);
  assert.equal(problems, []);
});

soak('the collector outlives an exporter that is killed in the middle of a batch', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const { socket } = await openSocket(collector.endpoint);
  socket.write(
    requestBytes({
      target: '/v1/traces',
      headers: [['Content-Length', 1_000]],
      framing: 'own',
      body: 'half',
    }),
  );
  // A round trip later it is being read.
  await send(`${collector.endpoint}/`);
  socket.resetAndDestroy();
  await send(`${collector.endpoint}/`);
  assert.is(collector.requests.traces, 0);
});

/** A sample every half second, with a noise of 30 MB. */
function samples(minutes: number, megabytesAt: (seconds: number) => number): MemorySample[] {
  const random = createRandom(1);
  return Array.from({ length: minutes * 120 }, (_, index) => ({
    atMs: 5_000 + index * 500,
    megabytes: megabytesAt(index / 2) + 30 * random(),
  }));
}

const sound: [what: string, memory: MemorySample[]][] = [
  ['stays as it is', samples(10, () => 150)],
  ['grows while it gets warm, and no more', samples(10, seconds => Math.min(250, 90 + seconds))],
  ['is filled by a backlog for a while', samples(10, seconds => (seconds % 120 < 40 ? 300 : 150))],
  ['has lived for half a minute', samples(0.5, seconds => 100 + 10 * seconds)],
  ['was never looked at', []],
];
for (const [what, memory] of sound)
  soak(`says nothing against memory that ${what}`, () => assert.is(memoryProblem(memory), null));

const leaking: [what: string, memory: MemorySample[]][] = [
  ['leaks a megabyte a second, in two minutes', samples(2, seconds => 150 + seconds)],
  ['leaks a megabyte in ten seconds, in half an hour', samples(30, seconds => 150 + seconds / 10)],
  ['doubles', samples(60, seconds => 150 * (1 + seconds / 3600))],
];
for (const [what, memory] of leaking)
  soak(`notices memory that ${what}`, () => assert.match(memoryProblem(memory)!, /^memory grew from /));

soak.run();
