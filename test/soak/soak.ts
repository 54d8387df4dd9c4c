/**
 * Every fault at once, for as long as one likes: a real exporter under load is killed, stopped, cut off from its
 * collector, given poison, garbage and bursts, and its disk is filled. Of some batches the collector leaves records out
 * (`partial_success`). In the end all is healed, and an oracle that knows what was answered is compared with what was
 * counted and delivered.
 *
 *     npm run soak [-- --minutes 60] [--seed N]      two minutes unless told otherwise
 *
 * `SOAK_PRELOAD=leak.mjs` loads a module into the exporter, to see that what it does wrong is noticed.
 *
 * In the first half processes are ended again and again; the second half is one process's, so that it can be seen
 * whether its memory, its log and its descriptors grow, and whether its counters add up: of either signal,
 *
 *     waiting when it started + counted since = delivered + dropped + dead letters
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { type Exporter, Samples, startExporter, startFlags } from '../support/exporter.ts';
import { exceptionBody, exceptionNumber, Oracle } from '../support/oracle.ts';
import {
  type Behaviour,
  type OtlpReceiver,
  type Request,
  type Signal,
  startOtlpReceiver,
} from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { between, createRandom, newSeed, type Random } from '../support/random.ts';
import { type RequestOptions, send } from '../support/request.ts';
import { sampleToken, signedQuery } from '../support/samples.ts';
import { fillDisk, mountDisk } from '../support/small-disk.ts';
import { describeGrowth, type MemorySample, memoryGrowth, memoryProblem } from './memory.ts';

export interface SoakOptions {
  seed: number;
  seconds: number;
  /** Takes what happens, a line at a time. */
  tell: (line: string) => void;
}

export interface SoakResult {
  /** What was wrong; empty when nothing was. */
  problems: string[];
  summary: string;
}

/** Tencent gives up after it. */
const answerMsMax = 2_000;
/** Four times what SQLite's log is set back to: a burst, or a reader in its way, makes it longer. */
const walBytesMax = 64 * 2 ** 20;
/** Above what it had when it was ready, once all connections have come to rest. */
const descriptorsMax = 40;
/** A bound of the exporter's histogram. */
const slowSeconds = 0.5;
const sampleEveryMs = 500;
const scrapeEveryMs = 1_000;
const garbageEveryMs = 200;
const drainMs = 60_000;
const burstSize = 400;
/** Of the batches that a sound collector is sent. */
const partialShare = 0.2;
const signals = ['traces', 'logs'] as const;
/** On the disk an exception takes 0.5 kB until it is delivered, and 0.1 kB after that. */
const diskMegabytes = (seconds: number) => 64 + Math.ceil(seconds / 5);

/** Refused by the collector for good, by either signal in turn. */
const isPoison = (signal: Signal, number: number) => number % 499 === (signal === 'traces' ? 7 : 11);

/** Callbacks that are answered, and nothing is counted as an exception. */
const garbage: ((number: number) => { query: string; options: RequestOptions; status: number })[] = [
  number => ({ ...signed(), options: { body: exceptionBody(number).slice(0, -1) }, status: 400 }),
  () => ({ ...signed(), options: { body: '\u0000{"a":[[[[[' }, status: 400 }),
  number => ({ ...signed({ Sign: '0'.repeat(64) }), options: { body: exceptionBody(number) }, status: 401 }),
  number => ({ ...signed({ Sign: undefined }), options: { body: exceptionBody(number) }, status: 401 }),
  number => ({
    ...signed({ SdkAppid: '1400000002' }),
    options: { body: exceptionBody(number) },
    status: 403,
  }),
  number => ({
    query: signedQuery(Date.now() - 120_000),
    options: { body: exceptionBody(number) },
    status: 401,
  }),
  number => ({
    ...signed(),
    options: { body: exceptionBody(number), headers: { 'Content-Encoding': 'gzip' } },
    status: 415,
  }),
  number => ({
    ...signed({ CallbackCommand: 'C2C.CallbackAfterSendMsg' }),
    options: { body: exceptionBody(number) },
    status: 200,
  }),
];

function signed(overrides: Record<string, string | undefined> = {}): { query: string } {
  return { query: signedQuery(Date.now(), sampleToken, overrides) };
}

/** What a collector does for a while, one after the other. */
const collectorFaults: Record<string, Behaviour> = {
  'status 503': { type: 'status', status: 503 },
  'status 429': { type: 'status', status: 429, retryAfter: '1' },
  // Its credentials have run out: nothing is wrong with the records.
  'status 401': { type: 'status', status: 401 },
  hang: { type: 'hang' },
  reset: { type: 'reset' },
  'lost answer': { type: 'lose_answer' },
  rubbish: { type: 'rubbish' },
};

const takingBehaviours: Behaviour['type'][] = ['accept', 'partial', 'lose_answer', 'rubbish'];

class Soak {
  readonly #options: SoakOptions;
  readonly #random: Random;
  readonly #oracle: Oracle;
  readonly #directory: string;
  readonly #canFill: boolean;
  readonly #problems = new Set<string>();
  readonly #startedAt = performance.now();
  #collector!: OtlpReceiver;
  #behaviour: Behaviour = { type: 'accept' };
  readonly #partialRandom: Random;
  #exporter!: Exporter;
  #isDown = false;
  /** Processes started so far. */
  #lives = 0;
  /** What the collector left out when it was last sent it, and in which life that was. */
  readonly #leftOut: Record<Signal, Map<number, number>> = { traces: new Map(), logs: new Map() };
  #memory: MemorySample[] = [];
  #descriptorsAtStart = 0;
  /** Of this process: answers to what is no exception; answers, exceptions and waiting records before it started. */
  #garbageAnswered = 0;
  #garbageIgnored = 0;
  #answeredBefore = 0;
  #countedBefore = 0;
  #waitingBefore: Record<Signal, number> = { traces: 0, logs: 0 };
  #isOver = false;
  readonly #counts = { kills: 0, stops: 0, 'full disks': 0, bursts: 0, garbage: 0, scrapes: 0, partial: 0 };
  readonly #collectorCounts = Object.fromEntries(Object.keys(collectorFaults).map(name => [name, 0]));
  #walBytesMax = 0;
  #megabytesMax = 0;
  #descriptorsMax = 0;
  /** By the exporter's own clock, of one process. */
  #slowCallbacksMax = 0;
  /** Of this process, which sends, receives and takes the time: what it was late itself is not the exporter's. */
  readonly #ownDelay = monitorEventLoopDelay();

  constructor(options: SoakOptions) {
    this.#options = options;
    this.#random = createRandom(options.seed);
    this.#partialRandom = createRandom(options.seed + 2);
    this.#oracle = new Oracle({
      seed: options.seed,
      connections: 8,
      repeatedShare: 0.15,
      pauseMs: 25,
      query: () => signed().query,
    });
    const mounted = mountDisk(diskMegabytes(options.seconds));
    this.#canFill = 'directory' in mounted;
    this.#directory = 'directory' in mounted ? mounted.directory : temporaryDirectory();
    if ('problem' in mounted) options.tell(`no disk will be filled, none can be mounted: ${mounted.problem}`);
  }

  async run(): Promise<SoakResult> {
    this.#ownDelay.enable();
    onCleanUp(() => this.#ownDelay.disable());
    this.#collector = await startOtlpReceiver();
    onCleanUp(() => this.#collector.close());
    this.#collector.behave(request => this.#answer(request));
    await this.#start();
    this.#oracle.start(this.#exporter.callbackUrl);
    const inBackground = [
      this.#every(sampleEveryMs, () => this.#sample()),
      this.#every(scrapeEveryMs, () => this.#scrape()),
      this.#every(garbageEveryMs, () => this.#sendGarbage()),
      this.#troubleCollector(),
      this.#every(60_000, async () => this.#options.tell(this.#summary())),
    ];
    const { seconds } = this.#options;
    while (this.#seconds() < seconds / 2) await this.#fault({ mayEnd: true });
    // Stopped, not killed, so that the journal says what waits for the last life.
    await this.#end('SIGTERM');
    while (this.#seconds() < seconds) await this.#fault({ mayEnd: false });
    this.#isOver = true;
    await Promise.all(inBackground);
    await this.#oracle.stop();
    await this.#compare();
    return { problems: [...this.#problems], summary: this.#summary() };
  }

  async #start(): Promise<void> {
    const preload = process.env.SOAK_PRELOAD;
    this.#exporter = await startExporter({
      journal: join(this.#directory, 'journal.db'),
      env: {
        CALLBACK_TOKENS: sampleToken,
        OTEL_EXPORTER_OTLP_ENDPOINT: this.#collector.endpoint,
        OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
      },
      nodeArgs: [...startFlags, ...(preload === undefined ? [] : ['--import', preload])],
    });
    this.#lives += 1;
    this.#memory = [];
    this.#garbageAnswered = 0;
    this.#garbageIgnored = 0;
    this.#answeredBefore = this.#oracleAnswers();
    this.#countedBefore = await this.#exporter.total();
    this.#descriptorsAtStart = useOf(this.#exporter)!.descriptors;
    this.#isDown = false;
  }

  async #fault({ mayEnd }: { mayEnd: boolean }): Promise<void> {
    await delay(between(this.#random, 100, 1_500));
    const roll = this.#random();
    if (roll < 0.5) {
      if (mayEnd) await this.#end(roll < 0.35 ? 'SIGKILL' : 'SIGTERM');
    } else if (roll < 0.75) {
      this.#counts.bursts += 1;
      await this.#oracle.sendNew(this.#exporter.callbackUrl, burstSize);
    } else if (this.#canFill) {
      await this.#fillDisk(between(this.#random, 500, 3_000));
    }
  }

  /** Beside all else, so that the collector is away while processes end and disks fill up. */
  async #troubleCollector(): Promise<void> {
    const random = createRandom(this.#options.seed + 1);
    const names = Object.keys(collectorFaults);
    for (let turn = 0; !this.#isOver; turn += 1) {
      await delay(between(random, 300, 2_500));
      if (this.#isOver) break;
      // In turn, so that forty seconds have each of them.
      const name = names[turn % names.length]!;
      this.#behaviour = collectorFaults[name]!;
      this.#collectorCounts[name]! += 1;
      await delay(between(random, 500, 5_000));
      this.#behaviour = { type: 'accept' };
    }
  }

  /** Ends the process, and starts the next on its journal. */
  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#isDown = true;
    this.#counts[signal === 'SIGKILL' ? 'kills' : 'stops'] += 1;
    const { code } = await this.#exporter.kill(signal);
    if (signal === 'SIGTERM') {
      this.#expect(code === 0, `stopped with exit code ${code}`);
      this.#waitingBefore = this.#readWaiting();
    }
    await this.#oracle.stop();
    await this.#start();
    this.#oracle.start(this.#exporter.callbackUrl);
  }

  /** Records in the journal that are still to be delivered. */
  #readWaiting(): Record<Signal, number> {
    return this.#readJournal(journal => {
      const count = journal.prepare(
        `SELECT count(*) AS count FROM outbox
         WHERE sequence > coalesce((SELECT sequence FROM cursors WHERE signal = ?), 0)`,
      );
      const of = (signal: Signal) => Number(count.get(signal)!.count);
      return { traces: of('traces'), logs: of('logs') };
    });
  }

  /** Nothing is killed until it is written again: what is in memory then is lost, as the README says. */
  async #fillDisk(milliseconds: number): Promise<void> {
    this.#counts['full disks'] += 1;
    const filler = join(this.#directory, 'filler');
    await fillDisk(filler);
    await delay(milliseconds);
    await rm(filler);
    await until(
      async () => {
        const metrics = await this.#exporter.metrics();
        return (
          metrics.sum('tencent_chat_journal_up') === 1 &&
          metrics.sum('tencent_chat_journal_unwritten_events') === 0
        );
      },
      'the journal to be up again after its disk was full',
      drainMs,
    );
  }

  #answer({ signal, records }: Request): Behaviour {
    // The receiver keeps everything; of an hour only the IDs can be kept.
    this.#collector.rawBodies = [];
    this.#collector.spans = [];
    this.#collector.logRecords = [];
    const numbers = records.map(({ traceId }) => exceptionNumber(traceId));
    const behaviour = this.#behaviourFor(signal, numbers);
    if (!takingBehaviours.includes(behaviour.type)) return behaviour;
    const leftOut = this.#leftOut[signal];
    const takenCount = numbers.length - (behaviour.type === 'partial' ? behaviour.rejected : 0);
    for (const number of numbers.slice(0, takenCount)) leftOut.delete(number);
    for (const number of numbers.slice(takenCount)) leftOut.set(number, this.#lives);
    return behaviour;
  }

  #behaviourFor(signal: Signal, numbers: readonly number[]): Behaviour {
    const behaviour = this.#behaviour;
    const isTaken = takingBehaviours.includes(behaviour.type);
    if (isTaken && numbers.some(number => isPoison(signal, number))) return { type: 'status', status: 400 };
    if (behaviour.type !== 'accept' || this.#partialRandom() >= partialShare) return behaviour;
    this.#counts.partial += 1;
    const rejected = between(this.#partialRandom, 1, numbers.length);
    return { type: 'partial', rejected, message: 'no room for the last' };
  }

  async #sendGarbage(): Promise<void> {
    const make = garbage[(this.#counts.garbage * 7) % garbage.length]!;
    const { query, options, status } = make(1e6);
    const exporter = this.#exporter;
    const answer = await send(`${exporter.callbackUrl}?${query}`, { method: 'POST', ...options }).catch(
      () => null,
    );
    // One that is being ended answers or not; its counters go with it.
    if (answer === null || exporter !== this.#exporter) return;
    this.#counts.garbage += 1;
    this.#garbageAnswered += 1;
    if (answer.status === 200) this.#garbageIgnored += 1;
    this.#expect(answer.status === status, `garbage was answered ${answer.status}, expected ${status}`);
  }

  /** Prometheus in one format, then in the other; what it reads must be well-formed. */
  async #scrape(): Promise<void> {
    this.#counts.scrapes += 1;
    const isOpenMetrics = this.#counts.scrapes % 2 === 0;
    const answer = await this.#exporter
      .get('/metrics', {
        'User-Agent': 'Prometheus/3.5.0',
        'X-Prometheus-Scrape-Timeout-Seconds': '1',
        ...(isOpenMetrics ? { Accept: 'application/openmetrics-text; version=1.0.0' } : {}),
      })
      .catch(() => null);
    if (answer === null) {
      this.#expect(this.#isDown, 'a scrape had no answer');
      return;
    }
    this.#expect(answer.status === 200, `a scrape was answered ${answer.status}`);
    this.#expect(answer.body.endsWith('\n# EOF\n') === isOpenMetrics, 'a scrape in the wrong format');
    const samples = new Samples(answer.body.replaceAll(/ # \{.*$/gm, ''));
    const duration = 'tencent_chat_callback_duration_seconds';
    const slowCallbacks =
      samples.sum(`${duration}_count`) - samples.sum(`${duration}_bucket`, { le: String(slowSeconds) });
    this.#slowCallbacksMax = Math.max(this.#slowCallbacksMax, slowCallbacks);
  }

  async #sample(): Promise<void> {
    if (this.#isDown) return;
    const use = useOf(this.#exporter);
    if (use !== null) {
      this.#memory.push({ atMs: performance.now(), megabytes: use.megabytes });
      this.#megabytesMax = Math.max(this.#megabytesMax, use.megabytes);
      this.#descriptorsMax = Math.max(this.#descriptorsMax, use.descriptors);
    }
    const { size } = statSync(`${this.#exporter.journal}-wal`, { throwIfNoEntry: false }) ?? { size: 0 };
    this.#walBytesMax = Math.max(this.#walBytesMax, size);
    this.#expect(size <= walBytesMax, `the journal's log has more than ${walBytesMax / 2 ** 20} MiB`);
    this.#expect(this.#oracle.slowestMs <= answerMsMax, `an answer took more than ${answerMsMax} ms`);
  }

  /** All is healed: everything that was sent must now be counted once, and delivered or set aside. */
  async #compare(): Promise<void> {
    const oracle = this.#oracle;
    const memory = memoryProblem(this.#memory);
    this.#expect(memory === null, memory ?? '');
    await until(
      async () => useOf(this.#exporter)!.descriptors <= this.#descriptorsAtStart + descriptorsMax,
      'descriptors to be closed',
    ).catch(error => this.#problems.add(error.message));

    await until(
      async () => {
        await oracle.sendAgain(this.#exporter.callbackUrl, oracle.unanswered);
        return oracle.unanswered.size === 0;
      },
      'every exception to be answered',
      drainMs,
    );
    const sum = async (name: string, labels?: Record<string, string>) =>
      (await this.#exporter.metrics()).sum(name, labels);
    await until(
      async () => (await sum('tencent_chat_telemetry_backlog_events')) === 0,
      'the backlog to be delivered',
      drainMs,
    );
    this.#expectEqual(await this.#exporter.total(), oracle.sentCount, 'exceptions counted');
    const metrics = await this.#exporter.metrics();
    const outcome = (name: string) => metrics.sum('tencent_chat_callbacks_total', { outcome: name });
    this.#expectEqual(outcome('ignored'), this.#garbageIgnored, 'callbacks ignored');
    this.#expectEqual(
      metrics.sum('tencent_chat_callbacks_total'),
      this.#oracleAnswers() - this.#answeredBefore + this.#garbageAnswered,
      'callbacks',
    );
    this.#expectEqual(
      metrics.sum('tencent_chat_callbacks_rejected_total'),
      outcome('rejected'),
      'rejections by reason',
    );
    for (const signal of signals) await this.#compareTelemetry(signal);

    await this.#exporter.kill('SIGTERM');
    this.#expectDelivered();
    await this.#start();
    this.#expectEqual(await this.#exporter.total(), oracle.sentCount, 'exceptions after a restart');
    await this.#exporter.kill('SIGKILL');
  }

  /** The last life's own counters: each record has come to one end, and what the collector left out is told as that. */
  async #compareTelemetry(signal: Signal): Promise<void> {
    const expected = this.#waitingBefore[signal] + (await this.#exporter.total()) - this.#countedBefore;
    let metrics = await this.#exporter.metrics();
    const sum = (name: string, labels = {}) =>
      metrics.sum(`tencent_chat_telemetry_${name}_total`, { signal, ...labels });
    const ended = () => sum('delivered') + sum('dropped') + sum('dead_letters');
    await until(
      async () => {
        metrics = await this.#exporter.metrics();
        return ended() === expected;
      },
      `${signal} to be delivered, dropped or dead letters`,
      drainMs,
    ).catch(() => {});
    this.#expectEqual(ended(), expected, `${signal} delivered, dropped and set aside`);
    const leftOut = [...this.#leftOut[signal].values()].filter(life => life === this.#lives).length;
    this.#expect(leftOut > 0, `no ${signal} were left out`);
    this.#expectEqual(sum('dropped', { reason: 'partial_success' }), leftOut, `${signal} told as left out`);
    this.#expectEqual(sum('dropped'), leftOut, `${signal} dropped for any reason`);
  }

  #expectDelivered(): void {
    const sent = Array.from({ length: this.#oracle.sentCount }, (_, number) => number);
    for (const signal of signals) {
      const taken = [...this.#collector.traceIds[signal].keys()].map(exceptionNumber);
      this.#expectEqual(new Set(taken).size, taken.length, `${signal} under one ID each`);
      const poison = sent.filter(number => isPoison(signal, number));
      const missing = new Set(sent)
        .difference(new Set(taken))
        .difference(new Set(poison))
        .difference(this.#leftOut[signal]);
      this.#expect(missing.size === 0, `${signal} not delivered: ${[...missing].slice(0, 10)}`);
      this.#expect(new Set(taken).isSubsetOf(new Set(sent)), `${signal} delivered that were never sent`);
      const letters = this.#readJournal(journal =>
        journal.prepare('SELECT record FROM dead_letters WHERE signal = ?').all(signal),
      ).map(({ record }) => exceptionNumber(/"([0-9a-f]{32})"/.exec(String(record))![1]!));
      this.#expectEqual(new Set(letters).size, letters.length, `${signal} with one dead letter each`);
      const lost = new Set(poison).difference(new Set(letters));
      this.#expect(lost.size === 0, `${lost.size} ${signal} are no dead letters: ${[...lost].slice(0, 10)}`);
      const odd = new Set(letters).difference(new Set(poison));
      this.#expect(odd.size === 0, `${odd.size} ${signal} are odd dead letters: ${[...odd].slice(0, 10)}`);
    }
  }

  #readJournal<Result>(read: (journal: DatabaseSync) => Result): Result {
    const journal = new DatabaseSync(this.#exporter.journal, { readOnly: true });
    try {
      return read(journal);
    } finally {
      journal.close();
    }
  }

  #summary(): string {
    const { sentCount, acknowledged, refusals, slowestMs } = this.#oracle;
    const list = (counts: Record<string, number>) =>
      Object.entries(counts)
        .map(([name, count]) => `${name} ${count}`)
        .join(', ');
    const refused = [...refusals.values()].reduce((sum, count) => sum + count, 0);
    const growth = memoryGrowth(this.#memory);
    return (
      `${(this.#seconds() / 60).toFixed(1)} min: ${sentCount} exceptions sent, ${acknowledged.size} acknowledged, ` +
      `${refused} refused; ${list(this.#counts)}; collector: ${list(this.#collectorCounts)}; left out ` +
      `${this.#leftOut.traces.size} spans, ${this.#leftOut.logs.size} log records; at most ` +
      `${this.#megabytesMax.toFixed(0)} MB of memory${growth === null ? '' : `, ${describeGrowth(growth)}`}, a log of ` +
      `${(this.#walBytesMax / 2 ** 20).toFixed(0)} MiB, ${this.#descriptorsMax} descriptors (${this.#descriptorsAtStart} ` +
      `at the start), slowest answer ${slowestMs.toFixed(0)} ms, by the exporter's clock ${this.#slowCallbacksMax} over ` +
      `${slowSeconds} s, this process late by up to ${(this.#ownDelay.max / 1e6).toFixed(0)} ms`
    );
  }

  #oracleAnswers(): number {
    const refused = [...this.#oracle.refusals.values()].reduce((sum, count) => sum + count, 0);
    return this.#oracle.answeredCount + refused;
  }

  #seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  async #every(milliseconds: number, action: () => Promise<void>): Promise<void> {
    for (let passedMs = 0; !this.#isOver; ) {
      const stepMs = Math.min(milliseconds, 500);
      await delay(stepMs);
      passedMs += stepMs;
      if (passedMs % milliseconds === 0 && !this.#isDown) await action();
    }
  }

  #expect(isSo: boolean, message: string): void {
    if (!isSo && !this.#problems.has(message)) {
      this.#problems.add(message);
      this.#options.tell(`WRONG: ${message}`);
    }
  }

  #expectEqual(actual: unknown, expected: unknown, what: string): void {
    this.#expect(actual === expected, `${what}: ${actual}, expected ${expected}`);
  }
}

/** Runs it, and leaves nothing running. Rejects when the exporter comes to a standstill. */
export function runSoak(options: SoakOptions): Promise<SoakResult> {
  return new Soak(options).run();
}

/** What it uses of memory and file descriptors; `null` when the process has just ended. */
function useOf({ pid }: Exporter): { megabytes: number; descriptors: number } | null {
  try {
    const kibibytes = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    if (kibibytes === undefined) return null;
    return { megabytes: Number(kibibytes) / 1024, descriptors: readdirSync(`/proc/${pid}/fd`).length };
  } catch {
    return null;
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { minutes: { type: 'string', default: '2' }, seed: { type: 'string' } },
  });
  const seed = values.seed === undefined ? newSeed() : Number(values.seed);
  console.log(`soak of ${values.minutes} minutes: SEED=${seed}`);
  try {
    const { problems, summary } = await runSoak({
      seed,
      seconds: Number(values.minutes) * 60,
      tell: line => console.log(line),
    });
    console.log(summary);
    console.log(problems.length === 0 ? 'OK: nothing wrong' : `FAILED: ${problems.join('; ')}`);
    process.exitCode = problems.length === 0 ? 0 : 1;
  } finally {
    await cleanUp();
  }
}
