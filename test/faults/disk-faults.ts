/**
 * A real exporter on a disk that fails on order, delivering, under a load of which every answer is remembered. Each
 * function makes one fault happen, asserts what must hold while it lasts, and that nothing is missing or counted twice
 * afterwards.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { exceptionNumber, Oracle } from '../support/oracle.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { type BrokenEngine, broken } from './broken-engine.ts';
import { newShim, type Shim } from './shim.ts';

const connections = 16;
/** Tencent waits for 2 s. */
const answerMsMax = 2_000;
const scrapeMsMax = 100;
/** So many scrapes that the 99th percentile is not simply the worst one. */
const scrapesMin = 120;
/** A tenth: what neighbours on the machine do to a few is not told from what the disk does. If scrapes waited for it, all would. */
const slowScrapesMax = 12;
/** Stored before the fault: so few that most label sets are first seen while the disk fails. */
const storedBefore = 3;
/** Exceptions that are written at once: the journal writer's. */
const batchMax = 1_024;
const inputOutputError = 5;
const noSpace = 28;

interface Disk {
  shim: Shim;
  exporter: Exporter;
  oracle: Oracle;
  collector: OtlpReceiver;
}

async function start(seed: number, repeatedShare: number, engine?: BrokenEngine): Promise<Disk> {
  const shim = newShim();
  const collector = await startOtlpReceiver({ keep: 'ids' });
  onCleanUp(() => collector.close());
  const { env: brokenEnv, nodeArgs } = engine === undefined ? { env: {}, nodeArgs: [] } : broken(engine);
  const exporter = await startExporter({
    journal: join(shim.directory, 'journal.db'),
    nodeArgs,
    env: { ...delivering(collector), ...shim.env, ...brokenEnv },
  });
  return { shim, exporter, oracle: new Oracle({ seed, connections, repeatedShare, pauseMs: 2 }), collector };
}

const read = async (exporter: Exporter, name: string): Promise<number> =>
  (await exporter.metrics()).sum(`tencent_chat_${name}`);

/** Whenever it says that it is up, a restart must lose nothing. */
const isUp = (exporter: Exporter, value: 0 | 1): Promise<boolean> =>
  until(async () => {
    const metrics = await exporter.metrics();
    const up = metrics.sum('tencent_chat_journal_up');
    const unwritten = metrics.sum('tencent_chat_journal_unwritten_events');
    assert.ok(up === 0 || unwritten === 0, `journal_up is 1, and ${unwritten} exceptions are in memory only`);
    return up === value;
  }, `tencent_chat_journal_up ${value}`);

async function assertCounted(exporter: Exporter, { acknowledged }: Oracle, when: string): Promise<void> {
  const surplus = (await exporter.total()) - acknowledged.size;
  assert.ok(surplus >= 0, `${-surplus} of ${acknowledged.size} answered exceptions are lost, ${when}`);
  assert.ok(
    surplus <= 0,
    `${surplus} of ${acknowledged.size} answered exceptions are counted twice, ${when}`,
  );
}

/** Each exception that was answered is counted once, delivered, and on the disk: it is there after kill -9, too. */
async function assertExact({ exporter, oracle, collector }: Disk): Promise<void> {
  assert.equal([...oracle.refusals], [], 'no callback was refused');
  assert.is(oracle.unanswered.size, 0, 'every callback was answered');
  assert.is(await read(exporter, 'journal_unwritten_events'), 0, 'nothing is in memory only');
  await assertCounted(exporter, oracle, 'while it runs');
  await exporter.kill('SIGKILL');
  const restarted = await startExporter({ journal: exporter.journal, env: delivering(collector) });
  await assertCounted(restarted, oracle, 'after kill -9');
  await oracle.sendAgain(restarted.callbackUrl, oracle.acknowledged);
  await assertCounted(restarted, oracle, 'when all come again');
  await allDelivered(collector, oracle);
}

const delivering = ({ endpoint }: OtlpReceiver) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });

/** Resolves when each exception that was answered was delivered, as a span and as a log record. */
async function allDelivered({ traceIds }: OtlpReceiver, { acknowledged }: Oracle): Promise<void> {
  for (const [signal, ids] of Object.entries(traceIds)) {
    await until(
      async () => new Set([...ids.keys()].map(exceptionNumber)).isSupersetOf(acknowledged),
      `delivery of all ${acknowledged.size} answered exceptions: ${signal}`,
    );
  }
}

/** How many exceptions were answered; and where it was measured, the 99th percentile of scrapes. */
export type Outcome = Promise<{ answered: number; scrapeMsP99?: number }>;

/** Makes `fault` happen `rounds` times under load: the journal is down and says so, and then up again. */
async function failAndRecover(
  disk: Disk,
  rounds: number,
  fault: { begin: (shim: Shim) => void; lasts: (disk: Disk) => Promise<unknown>; end: (shim: Shim) => void },
): Outcome {
  const { shim, exporter, oracle } = disk;
  for (let round = 0; round < rounds; round += 1) {
    await oracle.sendNew(exporter.callbackUrl, storedBefore);
    const failures = await read(exporter, 'journal_failures_total');
    oracle.start(exporter.callbackUrl);
    fault.begin(shim);
    await isUp(exporter, 0);
    await unwritten(exporter, 1);
    await fault.lasts(disk);
    assert.is((await exporter.get('/-/ready')).status, 200, 'callbacks are still taken');
    fault.end(shim);
    await isUp(exporter, 1);
    await oracle.stop();
    assert.ok((await read(exporter, 'journal_failures_total')) > failures, 'the failure is counted');
    await isUp(exporter, 1);
  }
  const answered = oracle.acknowledged.size;
  assert.ok(oracle.slowestMs < answerMsMax, `an answer took ${Math.round(oracle.slowestMs)} ms`);
  await assertExact(disk);
  return { answered };
}

const unwritten = (exporter: Exporter, count: number): Promise<boolean> =>
  until(
    async () => (await read(exporter, 'journal_unwritten_events')) >= count,
    `${count} exceptions in memory`,
  );

const failedTimes =
  (count: number) =>
  ({ exporter }: Disk): Promise<unknown> =>
    until(async () => (await read(exporter, 'journal_failures_total')) >= count, `${count} failures`);

export async function syncFailsOnce(seed: number, rounds: number, engine?: BrokenEngine): Outcome {
  return failAndRecover(await start(seed, 0.2, engine), rounds, {
    begin: shim => shim.set('syncFailures', 1),
    lasts: async () => {},
    end: () => {},
  });
}

/** What is put aside is more than one batch, and the disk is slow when it is back: scrapes see it being written. */
export async function syncFailsForAWhile(seed: number, rounds: number, engine?: BrokenEngine): Outcome {
  return failAndRecover(await start(seed, 0.2, engine), rounds, {
    begin(shim) {
      shim.set('syncDelayUs', 0);
      shim.set('syncFailures', -1);
    },
    async lasts(disk) {
      await failedTimes(3)(disk);
      await unwritten(disk.exporter, batchMax + 1);
    },
    end(shim) {
      shim.set('syncDelayUs', 100_000);
      shim.set('syncFailures', 0);
    },
  });
}

/** Nothing can be looked up meanwhile, so that no exception comes twice here: a duplicate would be taken for new. */
export async function openingAgainFails(seed: number, rounds: number, engine?: BrokenEngine): Outcome {
  return failAndRecover(await start(seed, 0, engine), rounds, {
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
export async function writesFail(
  seed: number,
  rounds: number,
  errno: 'ENOSPC' | 'EIO',
  engine?: BrokenEngine,
): Outcome {
  return failAndRecover(await start(seed, 0.2, engine), rounds, {
    begin(shim) {
      shim.set('writeErrno', errno === 'ENOSPC' ? noSpace : inputOutputError);
      shim.set('writeFailures', -1);
    },
    lasts: failedTimes(2),
    end: shim => shim.set('writeFailures', 0),
  });
}

/** Syncs take `delayMs` more. */
export async function slowDisk(seed: number, delayMs: number, engine?: BrokenEngine): Outcome {
  const disk = await start(seed, 0, engine);
  const { shim, exporter, oracle, collector } = disk;
  // Before it slows down: the first scrape of a process, and the first delivery, compile what the others run.
  await oracle.sendNew(exporter.callbackUrl, 50);
  await exporter.metrics();
  await allDelivered(collector, oracle);
  shim.set('syncDelayUs', delayMs * 1_000);
  oracle.start(exporter.callbackUrl);
  const scrapesMs: number[] = [];
  const endsAt = performance.now() + Math.max(1_500, delayMs * 1.5);
  let slowScrapes = 0;
  while ((performance.now() < endsAt || scrapesMs.length < scrapesMin) && slowScrapes < slowScrapesMax) {
    const startedAt = performance.now();
    await exporter.get('/metrics');
    scrapesMs.push(performance.now() - startedAt);
    if (scrapesMs.at(-1)! >= scrapeMsMax) slowScrapes += 1;
    await delay(5);
  }
  await oracle.stop();
  assert.ok(
    slowScrapes < slowScrapesMax,
    `${slowScrapes} of ${scrapesMs.length} scrapes took ${scrapeMsMax} ms or more`,
  );
  assert.ok(oracle.slowestMs < answerMsMax, `an answer took ${Math.round(oracle.slowestMs)} ms`);
  assert.ok(oracle.slowestMs > Math.min(delayMs, 1_400), 'the disk was slow');

  // What was answered too late for its own answer was stored all the same, and is a duplicate when it comes again.
  const late = oracle.unanswered.size;
  // At 800 ms one sync may be waited for, and then the own one: 1.6 s.
  if (delayMs < 750) assert.is(late, 0, 'no answer is late');
  if (delayMs > 1_500) assert.ok(late > 0, 'an answer before the sync is not 200');
  assert.equal([...oracle.refusals], late > 0 ? [[503, late]] : []);
  shim.set('syncDelayUs', 0);
  await until(
    async () => (await exporter.total()) >= oracle.sentCount,
    `${late} late exceptions to be counted`,
  );
  await oracle.sendAgain(exporter.callbackUrl, [...oracle.unanswered]);
  oracle.refusals.clear();
  const metrics = await exporter.metrics();
  assert.is(
    metrics.sum('tencent_chat_callbacks_total', { outcome: 'duplicate' }),
    late,
    'late ones are stored',
  );
  const rejected = metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'overload' });
  assert.is(rejected, late, 'late answers are counted');
  await assertExact(disk);
  const scrapeMsP99 = scrapesMs.sort((a, b) => a - b)[Math.floor(scrapesMs.length * 0.99)]!;
  return { answered: oracle.acknowledged.size, scrapeMsP99 };
}

interface Mistake {
  fault: string;
  engine: BrokenEngine;
  meet: (seed: number, engine: BrokenEngine) => Outcome;
  message: RegExp;
}

/** Engines that are broken on purpose, each with the fault that must show it, and what is said then. */
export const mistakes: Mistake[] = [
  {
    fault: 'sync fails once',
    engine: 'drops one of those put aside',
    meet: (seed, engine) => syncFailsOnce(seed, 1, engine),
    // Twice where it came again before the end.
    message: /^1 of \d+ answered exceptions are (lost, after kill -9|counted twice, while it runs)/,
  },
  {
    fault: 'sync fails for a while',
    engine: 'says that it is up once one batch is written',
    meet: (seed, engine) => syncFailsForAWhile(seed, 1, engine),
    message: /^journal_up is 1, and \d+ exceptions are in memory only/,
  },
  {
    fault: 'opening again fails',
    engine: 'takes what it cannot look up for a duplicate',
    meet: (seed, engine) => openingAgainFails(seed, 1, engine),
    message: /^\d+ of \d+ answered exceptions are lost, while it runs/,
  },
  {
    fault: 'writes fail',
    engine: 'refuses instead of putting aside more',
    meet: (seed, engine) => writesFail(seed, 1, 'EIO', engine),
    message: /^no callback was refused/,
  },
  {
    fault: 'disk full',
    engine: 'looks nothing up',
    // In the second round much is stored that can come again while the disk is full.
    meet: (seed, engine) => writesFail(seed, 2, 'ENOSPC', engine),
    message: /^\d+ of \d+ answered exceptions are counted twice, while it runs/,
  },
  {
    fault: 'slow disk',
    engine: 'makes scrapes wait for the disk',
    meet: (seed, engine) => slowDisk(seed, 100, engine),
    message: /^12 of \d+ scrapes took 100 ms or more/,
  },
  {
    fault: 'slow disk',
    engine: 'answers when it is stored, however late',
    meet: (seed, engine) => slowDisk(seed, 1_500, engine),
    message: /^an answer took \d+ ms/,
  },
];

/** What is said of the engine; empty when nothing is. */
export function complaint({ engine, meet }: Mistake, seed: number): Promise<string> {
  return meet(seed, engine).then(
    () => '',
    error => error.message,
  );
}
