/**
 * The long form of every fault, and of what the checks must catch: a line for each, with its count, its seed and what
 * came of it. About three minutes on two cores.
 *
 *     npm run faults                    all of them
 *     SEED=7 npm run faults -- power    those whose name holds the word, with this seed
 */
import { cleanUp } from '../support/clean-up.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { damageMany, damageRecord, summary } from './damage.ts';
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
import { killAtOperations } from './kills.ts';
import { killsAtOperations, powerLosses, record } from './power-loss.ts';

interface Result {
  count: string;
  problems: string[];
}

const images = 200;
const kills = 400;
const cycles = 40;
const seeds = 500;

/** Of a check that must find something: that it found nothing is the problem. */
const mustFind = (count: string, found: string[]): Result => ({
  count: `${count}, found ${found.length}`,
  problems: found.length > 0 ? [] : ['was not caught'],
});

const answered = ({ answered, scrapeMsP99 }: Awaited<Outcome>): Result => {
  const scrapes =
    scrapeMsP99 === undefined ? '' : `, 99th percentile of scrapes ${Math.round(scrapeMsP99)} ms`;
  return { count: `${answered} answered${scrapes}`, problems: [] };
};

const faults: Record<string, (seed: number) => Promise<Result>> = {
  async 'power loss'(seed) {
    return { count: `${images} images`, problems: powerLosses(await record(seed), images, seed) };
  },
  async 'power loss, synchronous=NORMAL must be caught'(seed) {
    const recording = await record(seed, 'synchronous=NORMAL');
    return mustFind(`${images} images`, powerLosses(recording, images, seed));
  },
  async 'kill at a recorded operation'(seed) {
    const problems = killsAtOperations(await record(seed), kills, createRandom(seed));
    return { count: `${kills} operations`, problems };
  },
  async 'kill of a process in an operation'(seed) {
    const { problems, answered } = await killAtOperations(seed, cycles);
    return { count: `${cycles} kills, ${answered} answered`, problems };
  },
  async 'kill, an answer before the commit must be caught'(seed) {
    return mustFind('1 kill', (await killAtOperations(seed, 1, 'answers before the commit')).problems);
  },
  async 'kill, an identity remembered before the commit must be caught'(seed) {
    const { problems } = await killAtOperations(seed, 1, 'remembers an identity before the commit');
    return mustFind('1 kill', problems);
  },
  async damage(seed) {
    const results = damageMany(seed, seeds);
    const silent = results.filter(({ verdict }) => verdict === 'SILENT');
    return {
      count: `${seeds} seeds: ${summary(results)}`,
      problems: silent.map(({ seed, what, detail }) => `seed ${seed}, ${what}: ${detail}`),
    };
  },
  async 'damage of a record'(seed) {
    const results = damageMany(seed, seeds / 5, damageRecord);
    const silent = results.filter(({ verdict }) => verdict === 'SILENT');
    return { count: `${seeds / 5} seeds: ${summary(results)}`, problems: silent.map(({ detail }) => detail) };
  },
  'sync fails once, 10 times': async seed => answered(await syncFailsOnce(seed, 10)),
  'sync fails for a while, 5 times': async seed => answered(await syncFailsForAWhile(seed, 5)),
  'opening again fails, 5 times': async seed => answered(await openingAgainFails(seed, 5)),
  'writes fail, 5 times': async seed => answered(await writesFail(seed, 5, 'EIO')),
  'disk full, 10 times': async seed => answered(await writesFail(seed, 10, 'ENOSPC')),
};
for (const delayMs of [20, 100, 800, 2_500]) {
  faults[`slow disk, ${delayMs} ms more`] = async seed => answered(await slowDisk(seed, delayMs));
}

for (const mistake of mistakes) {
  faults[`${mistake.fault}, an engine that ${mistake.engine} must be caught`] = async seed => {
    const said = await complaint(mistake, seed);
    return { count: `said "${said}"`, problems: mistake.message.test(said) ? [] : ['was not caught'] };
  };
}

const words = process.argv.slice(2);
let failed = 0;
for (const [name, run] of Object.entries(faults)) {
  if (words.length > 0 && !words.some(word => name.includes(word))) continue;
  const seed = newSeed();
  let result: Result;
  try {
    result = await run(seed);
  } catch (error) {
    result = { count: '', problems: [(error as Error).message] };
  }
  await cleanUp();
  const isOk = result.problems.length === 0;
  if (!isOk) failed += 1;
  console.log(`${isOk ? 'ok  ' : 'FAIL'} ${name}: ${result.count}, SEED=${seed}`);
  for (const problem of result.problems) console.log(`     ${problem}`);
}
console.log(`\n${failed === 0 ? 'no fault' : `${failed} faults`} broke the promise`);
process.exitCode = failed === 0 ? 0 : 1;
