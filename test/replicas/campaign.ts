/**
 * The long form: 30 kills of exporters and 30 of the database among all other troubles, failovers, and the mistake that
 * must be caught. About eight minutes on two cores.
 *
 *     npm run replicas                     all of it
 *     SEED=7 npm run replicas -- failover  those whose name holds the word, with this seed
 */
import { cleanUp } from '../support/clean-up.ts';
import { startPostgres } from '../support/postgres.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { failOver } from './failover.ts';
import { endure, type Outcome, startReplicas, troubles } from './replicas.ts';

const kills = ['kill -9 of an exporter', 'kill -9 of the database'];
const killsEach = 30;
const othersEach = 6;
const failovers = 3;

function shuffled<Item>(items: readonly Item[], seed: number): Item[] {
  const random = createRandom(seed);
  return items
    .map(item => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

const parts: Record<string, (seed: number) => Promise<Outcome & { count: string }>> = {
  async 'three replicas'(seed) {
    const order = Object.keys(troubles).flatMap(name =>
      Array<string>(kills.includes(name) ? killsEach : othersEach).fill(name),
    );
    const outcome = await endure(await startReplicas(await startPostgres()), seed, shuffled(order, seed));
    return { ...outcome, count: `${order.length} troubles` };
  },
};
for (let time = 1; time <= failovers; time += 1) {
  parts[`failover ${time}`] = async seed => {
    const outcome = await failOver(seed + time, true);
    const problems =
      outcome.lost > 0 ? [...outcome.problems, `${outcome.lost} are told as lost`] : outcome.problems;
    return { ...outcome, problems, count: 'to a synchronous standby' };
  };
}
parts['failover to an asynchronous standby must be caught'] = async seed => {
  const outcome = await failOver(seed, false);
  const isCaught = outcome.problems.length > 0 && outcome.lost > 0;
  return {
    ...outcome,
    problems: isCaught ? [] : ['was not caught'],
    count: `${outcome.lost} told as lost, ${outcome.problems.length} problems found`,
  };
};

const words = process.argv.slice(2);
let failed = 0;
for (const [name, run] of Object.entries(parts)) {
  if (words.length > 0 && !words.some(word => name.includes(word))) continue;
  const seed = newSeed();
  const { problems, count, answered, acknowledged, refused, repeated } = await run(seed);
  await cleanUp();
  if (problems.length > 0) failed += 1;
  console.log(
    `${problems.length === 0 ? 'ok  ' : 'FAIL'} ${name}: ${count}, ${answered} answered, ${acknowledged} exceptions ` +
      `acknowledged, ${refused} refused, ${repeated} delivered again, SEED=${seed}`,
  );
  for (const problem of problems) console.log(`     ${problem}`);
}
process.exitCode = failed === 0 ? 0 : 1;
