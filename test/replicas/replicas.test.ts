/** The short form of `npm run replicas`; `SEED=1234` repeats a run. */
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { startPostgres } from '../support/postgres.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { endure, judge, Pairs, startReplicas, troubles } from './replicas.ts';

const suiteOfReplicas = suite('replicas');
suiteOfReplicas.after.each(cleanUp);

suiteOfReplicas('two replicas deliver at once, and nothing twice', async () => {
  const world = await startReplicas(await startPostgres(), { count: 2 });
  const pairs = new Pairs(world.replicas, createRandom(1));
  pairs.start();
  await delay(3_000);
  await pairs.stop();
  const { problems, acknowledged, repeated } = await judge(world, pairs);
  assert.equal(problems, []);
  assert.ok(acknowledged > 200);
  assert.is(repeated, 0);
  for (const replica of world.replicas) {
    assert.ok(
      (await replica.read('tencent_chat_telemetry_delivered_total')) > 50,
      `${replica.name} has its share`,
    );
  }
});

suiteOfReplicas(
  'totals over three replicas are exact, whatever befalls them, and all is delivered',
  async () => {
    const seed = newSeed();
    const world = await startReplicas(await startPostgres());
    const order = [...Object.keys(troubles), 'kill -9 of an exporter', 'kill -9 of the database'];
    const outcome = await endure(world, seed, order);
    console.log(
      `\nreplicas: SEED=${seed}, ${order.length} troubles, ${outcome.answered} answered, ` +
        `${outcome.acknowledged} exceptions acknowledged, ${outcome.refused} refused, ${outcome.repeated} delivered again`,
    );
    assert.equal(outcome.problems, []);
    assert.ok(outcome.acknowledged > 500);
  },
);

suiteOfReplicas.run();
