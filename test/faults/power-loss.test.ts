/**
 * Power cuts, and kills at every file operation, from one recorded run; what breaks the promise on purpose is caught by
 * the same check. `node test/faults/campaign.ts` has the long form.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { killsAtOperations, powerLosses, type Recording, record } from './power-loss.ts';

const power = suite('power loss');
power.after.each(cleanUp);

const images = 48;
const kills = 48;
const seed = newSeed();
let recording: Recording;

power('(1) a run with a stop in order, a kill at a sync and failed syncs is recorded', async () => {
  recording = await record(seed);
  console.log(
    `\npower loss: SEED=${seed}, ${recording.operations.length} operations, ${recording.answeredAt.size} answered`,
  );
  assert.ok(recording.answeredAt.size > 500);
  const count = (type: string) => recording.operations.filter(operation => operation.type === type).length;
  assert.ok(count('write') > 1_000);
  assert.ok(count('sync') > 100);
  assert.is(count('syncFailed'), 9);
  assert.is(count('start'), 3);
});

power('(1)(2) after a cut no answered exception is missing, and totals are exact, with torn sectors', () => {
  assert.equal(powerLosses(recording, images, seed), []);
});

power('(1)(2) nor after a kill at any file operation', () => {
  assert.equal(killsAtOperations(recording, kills, createRandom(seed)), []);
});

power('catches an engine with synchronous=NORMAL', async () => {
  const normal = await record(seed, 'synchronous=NORMAL');
  const problems = powerLosses(normal, images, seed);
  console.log(`\nsynchronous=NORMAL: SEED=${seed}, ${problems.length} of ${images} images with problems`);
  // The others are journals that are damaged, not only short.
  const losses = problems.filter(problem => problem.includes('answered exceptions are lost'));
  assert.ok(losses.length > images / 4);
  assert.equal(
    killsAtOperations(normal, 8, createRandom(seed)),
    [],
    'a kill alone does not show it: only what the disk lacks does',
  );
});

power.run();
