/**
 * kill -9 in the middle of a retry, in whatever write or sync, of the exporter or of the command: every dead letter is one
 * still, or is in the outbox again, once; and in the end every one is delivered, to the signal that refused it alone.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { runJournal } from '../commands/world.ts';
import { recordedEntry } from '../journal/fixtures.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { Exporter, entryPoint, startExporter } from '../support/exporter.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { between, createRandom, newSeed } from '../support/random.ts';
import { newShim } from './shim.ts';

const retry = suite('kill in a retry');
retry.after.each(cleanUp);

const letterCount = 60;
const signals = ['traces', 'logs'] as const;
const all = Array.from({ length: letterCount }, (_, index) => index + 1);

/** A journal whose every exception was taken by one signal and refused by the other. */
async function newJournal(path: string): Promise<void> {
  const journal = new SqliteJournal(path, { signals, bytesMax: 2 ** 30, now: Date.now, report: () => {} });
  await journal.open(0);
  await journal.append(all.map(number => recordedEntry(number)));
  for (const row of await journal.read(0, letterCount)) {
    await journal.deadLetter(signals[row.sequence % 2]!, row, 'HTTP 400 Bad Request');
  }
  for (const signal of signals) await journal.acknowledge(signal, letterCount);
  await journal.close();
}

/** What has become of each: `logs`, where it is a dead letter of logs; `logs!`, where it is to be delivered to logs. */
async function fates(path: string): Promise<Record<number, string>> {
  const { code, out, error } = await runJournal(path, ['export']);
  assert.equal([code, error], [0, '']);
  const lines = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));
  return Object.fromEntries(
    lines.map(({ trace_id, undelivered, dead_letters }) => [
      Number.parseInt(trace_id, 16),
      [
        ...dead_letters.map(({ id }: { id: string }) => id.split('-')[1]),
        ...undelivered.map((signal: string) => `${signal}!`),
      ].join(),
    ]),
  );
}

/** Once each, and for its signal: says how many are retried. */
async function assertNothingLost(path: string, context: string): Promise<number> {
  const found = await fates(path);
  assert.equal(Object.keys(found).map(Number), all, context);
  for (const number of all) {
    const signal = signals[number % 2]!;
    assert.ok(
      found[number] === signal || found[number] === `${signal}!`,
      `${context}: ${number} is ${found[number]}`,
    );
  }
  assert.is((await runJournal(path, ['verify'])).code, 0, context);
  return Object.values(found).filter(fate => fate.endsWith('!')).length;
}

/** Everything comes out at the other end: once for each, but for what may have been taken before a kill. */
async function assertDelivered(path: string): Promise<void> {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  await startExporter({ journal: path, env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } });
  assert.is((await runJournal(path, ['dead-letters', 'retry', '--all'])).code, 0);
  await collector.until(() => collector.traceIds.traces.size + collector.traceIds.logs.size === letterCount);
  for (const [index, signal] of signals.entries()) {
    const taken = [...collector.traceIds[signal]].map(([traceId, count]) => [
      Number.parseInt(traceId, 16),
      count,
    ]);
    assert.equal(
      taken.sort(([one], [other]) => one! - other!),
      all.filter(number => number % 2 === index).map(number => [number, 1]),
      signal,
    );
  }
}

retry('of the exporter: no dead letter is lost, none is delivered to the other signal', async () => {
  const seed = newSeed();
  const random = createRandom(seed);
  const shim = newShim();
  const path = join(shim.directory, 'journal.db');
  await newJournal(path);
  const killedAt: number[] = [];
  let retried = 0;
  for (let cycle = 0; cycle < 5; cycle += 1) {
    shim.set('killAt', 0);
    const exporter = new Exporter({
      journal: path,
      env: { ...shim.env, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' },
    });
    await exporter.ready();
    const { out } = await runJournal(path, ['dead-letters', 'list', '--json']);
    const ids = (JSON.parse(out) as { id: string }[]).map(({ id }) => id);
    killedAt.push(between(random, 1, 40));
    shim.set('killAt', shim.get('operations') + killedAt.at(-1)!);
    // A few at a time, so that the kill finds several transactions.
    for (let code = 0; code === 0 && ids.length > 0; ) {
      ({ code } = await runJournal(path, ['dead-letters', 'retry', ...ids.splice(0, 2)]));
    }
    await exporter.kill('SIGKILL');
    shim.set('killAt', 0);
    retried = await assertNothingLost(path, `SEED=${seed}, cycle ${cycle}`);
  }
  console.log(`\nkill in a retry: SEED=${seed}, at operations ${killedAt.join(' ')}, ${retried} retried`);
  assert.ok(retried > 0);
  await assertDelivered(path);
});

retry('of the command, on a stopped journal', async () => {
  const seed = newSeed();
  const random = createRandom(seed);
  const shim = newShim();
  const path = join(shim.directory, 'journal.db');
  await newJournal(path);
  const kills: number[] = [];
  let retried = 0;
  // A retry takes about 50: later and later, the last one in peace.
  for (const least of [1, 8, 16, 24, 32, 40, Number.POSITIVE_INFINITY]) {
    const operation = Number.isFinite(least) ? between(random, least, least + 7) : 0;
    shim.set('killAt', operation === 0 ? 0 : shim.get('operations') + operation);
    const child = spawn(process.execPath, [entryPoint, 'journal', 'dead-letters', 'retry', '--all'], {
      env: {
        PATH: process.env.PATH,
        JOURNAL: `sqlite:${path}`,
        OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
        ...shim.env,
      },
      stdio: 'ignore',
    });
    const [, signal] = await once(child, 'exit');
    shim.set('killAt', 0);
    if (signal === 'SIGKILL') kills.push(operation);
    retried = await assertNothingLost(path, `SEED=${seed}, operation ${operation}`);
    assert.ok(retried === 0 || retried === letterCount, 'one transaction');
  }
  console.log(`\nkill in a retry: SEED=${seed}, of the command at operations ${kills.join(' ')}`);
  assert.ok(kills.length > 1);
  assert.is(retried, letterCount);
  await assertDelivered(path);
});

retry.run();
