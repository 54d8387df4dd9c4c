/**
 * The loss of a node: a primary with a standby, of which the standby is cut off shortly before the primary is killed for
 * good. What was answered must be on the standby, which is promoted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { startCut } from '../support/cut.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { until } from '../support/prometheus.ts';
import { createRandom } from '../support/random.ts';
import { judge, type Outcome, Pairs, startReplicas } from './replicas.ts';

const loadMs = 1_500;
/** What the primary sends to a synchronous standby is lost for so long before the primary is. */
const lagMs = 1_500;
/** An asynchronous one lacks so many: more than the exporters have under way, so that some of them were answered. */
const lagExceptions = 100;

/**
 * `isSynchronous`: the set-up that the README gives. With the other one exceptions are lost that were answered, for certain.
 * `lost`: how many the exporters themselves say are missing.
 */
export async function failOver(seed: number, isSynchronous: boolean): Promise<Outcome & { lost: number }> {
  const primary = await startPostgres();
  const replication = await startCut(() => primary.port);
  const standby = await startPostgres({ primaryPort: replication.port });
  const names = isSynchronous ? 'standby' : '';
  await primary.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await primary.query('SELECT pg_reload_conf()');
  await until(
    async () => (await primary.query("SELECT FROM pg_stat_replication WHERE state = 'streaming'")).length > 0,
    'the standby',
  );
  const hosts = `127.0.0.1:${standby.port},127.0.0.1:${primary.port}`;
  const world = await startReplicas(primary, { hosts });
  const pairs = new Pairs(world.replicas, createRandom(seed));
  pairs.start();
  await delay(loadMs);
  replication.become('dropping');
  if (isSynchronous) await delay(lagMs);
  else {
    const atCut = await storedCount(primary, world.database);
    await until(
      async () => (await storedCount(primary, world.database)) > atCut + lagExceptions,
      'exceptions that the standby lacks',
    );
  }
  await primary.stop('SIGKILL');
  replication.become('refusing');
  await standby.promote();
  await delay(loadMs);
  await pairs.stop();
  const outcome = await judge({ ...world, postgres: standby }, pairs);
  const lines = world.replicas.flatMap(({ exporter }) => exporter.logLines);
  const lost = lines.reduce((sum, { missing }) => sum + Number(missing ?? 0), 0);
  return { ...outcome, answered: pairs.answeredCount, refused: pairs.refusedCount, lost };
}

async function storedCount(server: Postgres, database: string): Promise<number> {
  const [row] = await server.query('SELECT count(*)::integer FROM tencent_chat.exceptions', database);
  return row!.count as number;
}
