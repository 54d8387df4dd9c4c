/**
 * Power loss, over and over: an exporter runs once under load, with all that it asks of the disk recorded, and which
 * exceptions it had answered by when. From that recording come as many disks as wanted, each as a power cut at some
 * moment may have left it; a journal is opened on each, and must hold every exception that had been answered by then.
 *
 *     node test/faults/power-loss.ts --images 200 --seed 1 [--broken synchronous=NORMAL]
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { SqliteStore } from '../../src/journal/sqlite-store.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { type ExporterOptions, startExporter } from '../support/exporter.ts';
import { exceptionNumber, Oracle } from '../support/oracle.ts';
import { until } from '../support/prometheus.ts';
import { between, createRandom, newSeed, type Random } from '../support/random.ts';
import { type BrokenEngine, broken } from './broken-engine.ts';
import { imageAt, type Operation, readRecording, writeImage } from './disk-image.ts';
import { newShim, type Shim } from './shim.ts';

/** Small, so that the log is written back every 128 pages, and begins anew. */
const journalBytesMax = 4 * 1024 * 1024;
/** In each of the recording's three lives. */
const exceptionsPerLife = 250;
const connections = 8;
/** In a row: the commit's own, then also the one of letting go of the file, then all for some tries. */
const syncFailures = [1, 2, 6];
/** Nobody listens: every record stays in the outbox. */
const deadEndpoint = 'http://127.0.0.1:9';

export interface Recording {
  operations: Operation[];
  /** Of each exception that was answered 200: where the recording ended when the answer was there. */
  answeredAt: Map<number, number>;
  /** Where the recording ended when something rare had just happened, that few of its answers would hit upon. */
  landmarks: number[];
  directory: string;
}

/**
 * Three lives of an exporter on one journal: one that ends in order, one that is killed at a sync, and one that begins
 * with the unanswered exceptions of the second, and in which syncs fail for a while.
 */
export async function record(seed: number, engine?: BrokenEngine): Promise<Recording> {
  const shim = newShim({ isRecording: true });
  const { env: brokenEnv, nodeArgs } = engine === undefined ? { env: {}, nodeArgs: [] } : broken(engine);
  const options: ExporterOptions = {
    journal: join(shim.directory, 'journal.db'),
    nodeArgs,
    env: {
      JOURNAL_MAX_BYTES: String(journalBytesMax),
      OTEL_EXPORTER_OTLP_ENDPOINT: deadEndpoint,
      ...shim.env,
      ...brokenEnv,
    },
  };
  const oracle = new Oracle({ seed, connections });
  const answers = watchAnswers(oracle, shim);

  const first = await startExporter(options);
  await oracle.sendNew(first.callbackUrl, exceptionsPerLife);
  await first.kill('SIGTERM');

  const second = await startExporter(options);
  oracle.start(second.callbackUrl);
  await until(async () => oracle.sentCount > exceptionsPerLife * 2, 'load');
  shim.set('killAtSync', shim.get('syncs') + 1);
  // With NORMAL there is no sync for long.
  await Promise.race([second.exit, delay(1_000)]);
  await second.kill('SIGKILL');
  await oracle.stop();
  shim.set('killAtSync', 0);

  const third = await startExporter(options);
  await oracle.sendAgain(third.callbackUrl, oracle.unanswered);
  const landmarks = [shim.get('recordedBytes')];
  await oracle.sendNew(third.callbackUrl, exceptionsPerLife / 2);
  // What is answered while the journal is down is promised to be on the disk when it is up again, not earlier.
  for (const failures of syncFailures) {
    const failed = shim.get('syncsFailed') + failures;
    answers.hold();
    shim.set('syncFailures', failures);
    await until(async () => {
      // By ones, so that little is written after the last failure that could hide what it left.
      if (shim.get('syncsFailed') < failed) await oracle.sendNew(third.callbackUrl, 1);
      return shim.get('syncsFailed') === failed;
    }, `${failures} failed syncs`);
    await until(
      async () => (await third.metrics()).sum('tencent_chat_journal_up') === 1,
      'the journal to be up again',
    );
    answers.release();
    landmarks.push(shim.get('recordedBytes'));
    await oracle.sendNew(third.callbackUrl, exceptionsPerLife / 2);
  }
  await third.kill('SIGKILL');
  return {
    operations: readRecording(shim.recording),
    answeredAt: answers.answeredAt,
    landmarks,
    directory: shim.directory,
  };
}

/** Notes for each answer how far the recording was when it came, or when `release` was called. */
function watchAnswers(oracle: Oracle, shim: Shim) {
  const answeredAt = new Map<number, number>();
  let held: number[] | null = null;
  const { add } = oracle.acknowledged;
  oracle.acknowledged.add = number => {
    if (held !== null) held.push(number);
    else if (!answeredAt.has(number)) answeredAt.set(number, shim.get('recordedBytes'));
    return add.call(oracle.acknowledged, number);
  };
  return {
    answeredAt,
    hold() {
      held = [];
    },
    release() {
      for (const number of held ?? [])
        if (!answeredAt.has(number)) answeredAt.set(number, shim.get('recordedBytes'));
      held = null;
    },
  };
}

/** Of eight cuts, three come the moment after an answer, two after something rare, and three anywhere. */
export function cutAt({ operations, answeredAt, landmarks }: Recording, random: Random): number {
  const roll = between(random, 0, 7);
  if (roll < 3) return between(random, 0, operations.length);
  const moments = roll < 6 ? [...new Set(answeredAt.values())] : landmarks;
  const moment = moments[between(random, 0, moments.length - 1)]!;
  const next = operations.findIndex(({ end }) => end > moment);
  return next < 0 ? operations.length : next;
}

/** Opens a journal on the disk that a cut behind operation `count` left. Returns what is wrong with it. */
export function problemAfter(
  { operations, answeredAt, directory }: Recording,
  count: number,
  { random, share }: { random: Random; share: number },
): string | null {
  const disk = temporaryDirectory();
  writeImage(imageAt(operations, count, { directory, random, share }), disk);
  const moment = count === 0 ? 0 : operations[count - 1]!.end;
  const answered = [...answeredAt].filter(([, at]) => at <= moment).map(([number]) => number);
  try {
    return problemWith(join(disk, 'journal.db'), answered);
  } catch (error) {
    return `cannot be used: ${(error as Error).message}`;
  }
}

function problemWith(path: string, answered: readonly number[]): string | null {
  const problems: string[] = [];
  const store = new SqliteStore(path, {
    signals: ['traces', 'logs'],
    bytesMax: journalBytesMax,
    now: Date.now,
    report: report => problems.push(`reports ${JSON.stringify(report)}`),
  });
  const { totals, totalIds } = store.open(0);
  const recorded = new Set(store.read(0, 2 ** 30).map(({ record }) => numberOf(record)));
  store.close();
  const db = new DatabaseSync(path);
  const rows = db.prepare('SELECT lower(hex(identity)) AS identity, label_set FROM exceptions').all();
  const [integrity] = db.prepare('PRAGMA integrity_check').all();
  db.close();
  if (integrity!.integrity_check !== 'ok') problems.push(`integrity_check: ${integrity!.integrity_check}`);

  const stored = new Set(rows.map(({ identity }) => exceptionNumber(identity as string)));
  const lost = answered.filter(number => !stored.has(number));
  if (lost.length > 0) problems.push(`${lost.length} answered exceptions are lost: ${lost.slice(0, 5)}`);
  const undeliverable = answered.filter(number => !recorded.has(number));
  if (undeliverable.length > 0) problems.push(`${undeliverable.length} answered exceptions have no record`);
  if (stored.size !== rows.length) problems.push('an exception is stored twice');
  for (const [index, { count }] of totals.entries()) {
    const distinct = rows.filter(({ label_set }) => label_set === totalIds[index]).length;
    if (distinct !== count)
      problems.push(`total ${totalIds[index]} is ${count}, with ${distinct} exceptions`);
  }
  const counted = totals.reduce((sum, { count }) => sum + count, 0);
  if (counted !== rows.length) problems.push(`${counted} are counted of ${rows.length}`);
  return problems.length === 0 ? null : problems.join('; ');
}

/** The trace ID is in the record as it is; see src/callback/record.ts. */
function numberOf(record: string): number {
  return exceptionNumber(/"([0-9a-f]{32})"/.exec(record)![1]!);
}

/** What is wrong on `images` disks after a power cut. */
export function powerLosses(recording: Recording, images: number, seed: number): string[] {
  const random = createRandom(seed);
  const problems: string[] = [];
  for (let image = 0; image < images; image += 1) {
    const count = cutAt(recording, random);
    const share = [0, 0.1, 0.5, 0.9][between(random, 0, 3)]!;
    const problem = problemAfter(recording, count, { random, share });
    if (problem !== null) problems.push(`image ${image}, operation ${count}, share ${share}: ${problem}`);
  }
  return problems;
}

/** What is wrong after kills: the page cache survives, so that all is there up to the operation. At `kills` of them. */
export function killsAtOperations(recording: Recording, kills: number, random: Random): string[] {
  const problems: string[] = [];
  for (let kill = 0; kill < kills; kill += 1) {
    // Spread over all of them; half of them with an answer as the last thing before.
    const count =
      kill % 2 === 0
        ? Math.floor((kill / kills) * recording.operations.length) + between(random, 0, 9)
        : cutAt(recording, random);
    const problem = problemAfter(recording, Math.min(count, recording.operations.length), {
      random,
      share: 1,
    });
    if (problem !== null) problems.push(`kill at operation ${count}: ${problem}`);
  }
  return problems;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '200' },
      seed: { type: 'string' },
      broken: { type: 'string' },
    },
  });
  const seed = Number(values.seed ?? newSeed());
  const recording = await record(seed, values.broken as BrokenEngine | undefined);
  const problems = powerLosses(recording, Number(values.images), seed);
  console.log(
    `power loss: SEED=${seed}, ${values.images} images, ${recording.operations.length} operations, ` +
      `${recording.answeredAt.size} answered, ${problems.length} images with problems`,
  );
  for (const problem of problems) console.log(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
  await cleanUp();
}
