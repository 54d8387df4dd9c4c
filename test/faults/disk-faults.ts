/**
 * A real exporter on a disk that fails on order, under a load of which every answer is remembered. Each function makes
 * one fault happen, asserts what must hold while it lasts, and that nothing is missing or counted twice afterwards.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { until } from '../support/prometheus.ts';
import { newShim, type Shim } from './shim.ts';

const connections = 16;
/** Tencent waits for 2 s. */
const answerMsMax = 2_000;
const scrapeMsMax = 100;
/** So many scrapes that the 99th percentile is not simply the worst one. */
const scrapesMin = 120;
const inputOutputError = 5;
const noSpace = 28;

interface Disk {
  shim: Shim;
  exporter: Exporter;
  oracle: Oracle;
}

async function start(seed: number, repeatedShare: number): Promise<Disk> {
  const shim = newShim();
  const exporter = await startExporter({ journal: join(shim.directory, 'journal.db'), env: shim.env });
  return { shim, exporter, oracle: new Oracle({ seed, connections, repeatedShare, pauseMs: 2 }) };
}

const read = async (exporter: Exporter, name: string): Promise<number> =>
  (await exporter.metrics()).sum(`tencent_chat_${name}`);

const isUp = (exporter: Exporter, value: 0 | 1): Promise<boolean> =>
  until(async () => (await read(exporter, 'journal_up')) === value, `tencent_chat_journal_up ${value}`);

/** Each exception that was answered is counted once, and is on the disk: it is there after kill -9, too. */
async function assertExact({ exporter, oracle }: Disk): Promise<void> {
  assert.equal([...oracle.refusals], [], 'no callback was refused');
  assert.is(oracle.unanswered.size, 0);
  assert.is(await read(exporter, 'journal_unwritten_events'), 0);
  assert.is(await exporter.total(), oracle.acknowledged.size);
  await exporter.kill('SIGKILL');
  const restarted = await startExporter({ journal: exporter.journal });
  assert.is(await restarted.total(), oracle.acknowledged.size, 'after kill -9');
  await oracle.sendAgain(restarted.callbackUrl, oracle.acknowledged);
  assert.is(await restarted.total(), oracle.acknowledged.size, 'when all come again');
}

/** How many exceptions were answered. */
export type Outcome = Promise<{ answered: number }>;

/** Makes `fault` happen `rounds` times under load: the journal is down and says so, and then up again. */
async function failAndRecover(
  disk: Disk,
  rounds: number,
  fault: { begin: (shim: Shim) => void; lasts: (disk: Disk) => Promise<unknown>; end: (shim: Shim) => void },
): Outcome {
  const { shim, exporter, oracle } = disk;
  for (let round = 0; round < rounds; round += 1) {
    await oracle.sendNew(exporter.callbackUrl, 50);
    const failures = await read(exporter, 'journal_failures_total');
    oracle.start(exporter.callbackUrl);
    fault.begin(shim);
    await isUp(exporter, 0);
    await until(async () => (await read(exporter, 'journal_unwritten_events')) > 0, 'exceptions in memory');
    await fault.lasts(disk);
    assert.is((await exporter.get('/-/ready')).status, 200, 'callbacks are still taken');
    fault.end(shim);
    await isUp(exporter, 1);
    await oracle.stop();
    assert.ok((await read(exporter, 'journal_failures_total')) > failures);
    await isUp(exporter, 1);
  }
  const answered = oracle.acknowledged.size;
  assert.ok(oracle.slowestMs < answerMsMax, `an answer took ${oracle.slowestMs} ms`);
  await assertExact(disk);
  return { answered };
}

const failedTimes =
  (count: number) =>
  ({ exporter }: Disk): Promise<unknown> =>
    until(async () => (await read(exporter, 'journal_failures_total')) >= count, `${count} failures`);

export async function syncFailsOnce(seed: number, rounds: number): Outcome {
  return failAndRecover(await start(seed, 0.2), rounds, {
    begin: shim => shim.set('syncFailures', 1),
    lasts: async () => {},
    end: () => {},
  });
}

export async function syncFailsForAWhile(seed: number, rounds: number): Outcome {
  return failAndRecover(await start(seed, 0.2), rounds, {
    begin: shim => shim.set('syncFailures', -1),
    lasts: failedTimes(3),
    end: shim => shim.set('syncFailures', 0),
  });
}

/** Nothing can be looked up meanwhile, so that no exception comes twice here: a duplicate would be taken for new. */
export async function openingAgainFails(seed: number, rounds: number): Outcome {
  return failAndRecover(await start(seed, 0), rounds, {
    begin(shim) {
      shim.set('openFailures', -1);
      shim.set('syncFailures', 1);
    },
    async lasts(disk) {
      await until(async () => disk.shim.get('opensFailed') > 0, 'an attempt to open the file');
      await failedTimes(2)(disk);
    },
    end: shim => shim.set('openFailures', 0),
  });
}

/** Every write gets half of its bytes onto the disk before it fails. */
export async function writesFail(seed: number, rounds: number, errno: 'ENOSPC' | 'EIO'): Outcome {
  return failAndRecover(await start(seed, 0.2), rounds, {
    begin(shim) {
      shim.set('writeErrno', errno === 'ENOSPC' ? noSpace : inputOutputError);
      shim.set('writeFailures', -1);
    },
    lasts: failedTimes(2),
    end: shim => shim.set('writeFailures', 0),
  });
}

/** Syncs take `delayMs` more. */
export async function slowDisk(seed: number, delayMs: number): Outcome {
  const disk = await start(seed, 0);
  const { shim, exporter, oracle } = disk;
  // Before it slows down: the first scrape of a process compiles what the others run.
  await oracle.sendNew(exporter.callbackUrl, 50);
  await exporter.metrics();
  shim.set('syncDelayUs', delayMs * 1_000);
  oracle.start(exporter.callbackUrl);
  const scrapesMs: number[] = [];
  const endsAt = performance.now() + Math.max(1_500, delayMs * 1.5);
  while (performance.now() < endsAt || scrapesMs.length < scrapesMin) {
    const startedAt = performance.now();
    await exporter.get('/metrics');
    scrapesMs.push(performance.now() - startedAt);
    await delay(5);
  }
  await oracle.stop();
  const p99 = scrapesMs.sort((a, b) => a - b)[Math.floor(scrapesMs.length * 0.99)]!;
  assert.ok(p99 < scrapeMsMax, `the 99th percentile of /metrics is ${p99} ms`);
  assert.ok(oracle.slowestMs < answerMsMax, `an answer took ${oracle.slowestMs} ms`);
  assert.ok(oracle.slowestMs > Math.min(delayMs, 1_400), 'the disk was slow');

  // What was answered too late for its own answer was stored all the same, and is a duplicate when it comes again.
  const late = oracle.unanswered.size;
  // At 800 ms one sync may be waited for, and then the own one: 1.6 s.
  if (delayMs < 750) assert.is(late, 0);
  if (delayMs > 1_500) assert.ok(late > 0);
  assert.equal([...oracle.refusals], late > 0 ? [[503, late]] : []);
  shim.set('syncDelayUs', 0);
  await until(async () => (await exporter.total()) === oracle.sentCount, 'the late ones to be counted');
  await oracle.sendAgain(exporter.callbackUrl, [...oracle.unanswered]);
  oracle.refusals.clear();
  const metrics = await exporter.metrics();
  assert.is(metrics.sum('tencent_chat_callbacks_total', { outcome: 'duplicate' }), late);
  assert.is(metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'overload' }), late);
  await assertExact(disk);
  return { answered: oracle.acknowledged.size };
}
