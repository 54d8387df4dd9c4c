/** A disk whose syncs and writes fail, that is slow, or full: made to by the shim, under a real exporter. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { newSeed } from '../support/random.ts';
import {
  complaint,
  mistakes,
  type Outcome,
  openingAgainFails,
  slowDisk,
  syncFailsForAWhile,
  syncFailsOnce,
  writesFail,
} from './disk-faults.ts';

const disk = suite('disk');
disk.after.each(cleanUp);

const cases: Record<string, (seed: number) => Outcome> = {
  '(1) a sync that fails once is not taken for durable: the journal is down, then up, and nothing is missing':
    seed => syncFailsOnce(seed, 1),
  '(1) syncs that fail for a while: answers go on, it is told, and all that was answered is kept': seed =>
    syncFailsForAWhile(seed, 1),
  '(1) a journal that cannot even be opened again after a failed sync is back as soon as it can': seed =>
    openingAgainFails(seed, 1),
  '(1) writes that fail with half of their bytes written: nothing is missing, nothing counted twice': seed =>
    writesFail(seed, 1, 'EIO'),
  '(1) a full disk, twice, with half-written frames: all is written once there is room': seed =>
    writesFail(seed, 2, 'ENOSPC'),
};
for (const delayMs of [20, 100, 800, 2_500]) {
  cases[
    `(4) syncs that take ${delayMs} ms more: scrapes stay fast, no answer comes after 2 s, each is counted once`
  ] = seed => slowDisk(seed, delayMs);
}

for (const [name, run] of Object.entries(cases)) {
  disk(name, async () => {
    const seed = newSeed();
    const { answered } = await run(seed);
    console.log(`\n${name}: SEED=${seed}, ${answered} answered`);
  });
}

for (const mistake of mistakes) {
  const { fault, engine, message } = mistake;
  disk(`${fault}: catches an engine that ${engine}`, async () => {
    const seed = newSeed();
    console.log(`\n${engine}: SEED=${seed}`);
    assert.match(await complaint(mistake, seed), message);
  });
}

disk.run();
