/**
 * Kills that hit a chosen operation of the journal's files: the shim ends the process in its n-th write, sync,
 * truncation or removal, a write half done. Others come in the middle of a sync, with callbacks waiting for the next.
 * Each exception is sent twice at once, so that the second one comes while the first waits.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Exporter, type ExporterOptions, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { between, createRandom } from '../support/random.ts';
import { type BrokenEngine, broken } from './broken-engine.ts';
import { newShim } from './shim.ts';

const connections = 16;
/** In one life, at most; a kill ends it before. */
const exceptionsPerLife = 400;
/** Operations of one life up to the kill. A start takes about 20 of them. */
const operationsMax = 200;
/** So that much is in flight whenever the kill comes. */
const syncDelayMs = 3;
/** Of a sync that is to be killed in its middle, and the time until then. */
const longSyncMs = 1_000;
const killAfterMs = 300;
/** Of so many lives one ends in the middle of a sync. */
const longSyncEvery = 4;

/** Kills one journal's exporter `cycles` times. Returns what is wrong afterwards. */
export async function killAtOperations(
  seed: number,
  cycles: number,
  engine?: BrokenEngine,
): Promise<{ problems: string[]; answered: number; killedAt: (number | 'sync')[] }> {
  const random = createRandom(seed);
  const shim = newShim();
  const journal = join(shim.directory, 'journal.db');
  const options: ExporterOptions = { journal, env: shim.env };
  if (engine !== undefined) {
    const { nodeArgs, env } = broken(engine);
    Object.assign(options, { nodeArgs, env: { ...shim.env, ...env } });
  }
  const oracle = new Oracle({ seed, connections });
  const killedAt: (number | 'sync')[] = [];
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    const isInSync = cycle % longSyncEvery === 0;
    killedAt.push(isInSync ? 'sync' : between(random, 1, operationsMax));
    shim.set('syncDelayUs', isInSync ? 0 : syncDelayMs * 1_000);
    shim.set('killAt', isInSync ? 0 : shim.get('operations') + (killedAt.at(-1) as number));
    const exporter = new Exporter(options);
    // It may die before it is ready.
    const isReady = await exporter.ready().then(
      () => true,
      () => false,
    );
    if (isReady) {
      if (isInSync) shim.set('syncDelayUs', longSyncMs * 1_000);
      const first = cycle * exceptionsPerLife;
      const twice = Array.from(
        { length: exceptionsPerLife * 2 },
        (_, index) => first + Math.floor(index / 2),
      );
      const sent = oracle.sendAgain(exporter.callbackUrl, twice);
      await Promise.race([sent, exporter.exit, ...(isInSync ? [delay(killAfterMs)] : [])]);
    }
    await exporter.kill('SIGKILL');
    await oracle.stop();
  }

  shim.set('killAt', 0);
  shim.set('syncDelayUs', 0);
  const exporter = await startExporter({ journal });
  const problems: string[] = [];
  const [answered, unanswered] = [oracle.acknowledged.size, oracle.unanswered.size];
  const total = await exporter.total();
  if (total < answered) problems.push(`${answered - total} answered exceptions are lost`);
  if (total > answered + unanswered) problems.push(`${total - answered - unanswered} are counted twice`);
  // What was lost for sure shows when all comes again: it is new then. What had no answer may be.
  const countNew = async (numbers: ReadonlySet<number>): Promise<number> => {
    const before = await exporter.total();
    await oracle.sendAgain(exporter.callbackUrl, numbers);
    return (await exporter.total()) - before;
  };
  const again = await countNew(new Set(oracle.acknowledged));
  if (again > 0) problems.push(`${again} answered exceptions are lost: they were new when they came again`);
  await countNew(oracle.unanswered);
  const all = await exporter.total();
  if (all !== oracle.acknowledged.size) problems.push(`${all} are counted of ${oracle.acknowledged.size}`);
  return { problems, answered, killedAt };
}
