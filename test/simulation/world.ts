/**
 * Runs one history: a real receiver, writer, metrics and delivery over a disk, a clock and a collector that are
 * simulated, with a simple model beside them: which exceptions were acknowledged, and what must follow from that.
 *
 * The model knows what was sent, what was answered, what is on the disk, what the collector took, and reads the
 * exposition as anyone could. It takes the exporter's word in two things, where the promise rests on its saying so: that
 * the journal is down, and how many exceptions are held in memory only.
 */
import './no-process-metrics.ts';

import { createAuthenticator } from '../../src/callback/authenticate.ts';
import { createClassifier } from '../../src/callback/classify.ts';
import { type ErrorCategory, errorCategories } from '../../src/callback/exception.ts';
import { createIdentifier } from '../../src/callback/identify.ts';
import { CallbackTally } from '../../src/http/callback-tally.ts';
import { InFlight } from '../../src/http/in-flight.ts';
import {
  answerWithinMs,
  type Callback,
  type CountedEntry,
  countException,
  type Receiver,
  receive,
} from '../../src/http/receive.ts';
import { Rejections } from '../../src/http/rejections.ts';
import { type Outbox, type Signal, signals } from '../../src/journal/journal.ts';
import { JournalWriter } from '../../src/journal/writer.ts';
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts';
import { createReports } from '../../src/reports.ts';
import { type Delivery, startDelivery } from '../../src/telemetry/delivery.ts';
import { exceptionsTotal, Samples } from '../support/exporter.ts';
import { exceptionBody, exceptionNumber } from '../support/oracle.ts';
import { createRandom, type Random } from '../support/random.ts';
import { sampleSdkAppId, sampleToken, signedQuery, triggers } from '../support/samples.ts';
import { VirtualClock } from './clock.ts';
import { Collector } from './collector.ts';
import { Disk, type EngineOptions, SimulatedEngine } from './engine.ts';
import { type CallbackKind, type Event, type History, scraperCount, unwrittenUnbounded } from './history.ts';

/** What a world is made of; a test hands in parts that are broken on purpose. */
export interface Parts {
  createEngine: (options: EngineOptions) => SimulatedEngine;
  createMetrics: typeof createMetrics;
  createWriter: (
    ...args: ConstructorParameters<typeof JournalWriter<CountedEntry>>
  ) => JournalWriter<CountedEntry>;
  startDelivery: typeof startDelivery;
}

export const soundParts: Parts = {
  createEngine: options => new SimulatedEngine(options),
  createMetrics,
  createWriter: options => new JournalWriter(options),
  startDelivery,
};

/** Something that must not be so. */
export class Violation extends Error {
  override name = 'Violation';
}

const startsAt = Date.UTC(2026, 5, 1);
const minuteMs = 60_000;
const windowMs = 5 * minuteMs;
/** Distinct counts forget in slots of this size. */
const slotMs = 10_000;
/** Beyond the time to answer in: how often the writer looks for what is late. */
const lateByMs = 100;
const bodyBytes = 2_000;
const stopMs = 9_000;
/** After all is healed: the longest pauses before the next try are 30 s for delivery, 5 s for the journal. */
const healMs = 40_000;
const drainMinutesMax = 30;
const resendRoundsMax = 20;
const nothing = () => {};
const quietLog = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/** A series of the exceptions counter: those labels that differ here. */
type Series = string;

/** All that follows from an exception's number. New codes turn up as numbers grow. */
function describeException(number: number) {
  const { errorCode, category } = triggers[Math.floor(number / 12) % triggers.length]!;
  const groupType = ['Public', 'ChatRoom'][number % 2]!;
  const account = `user${number % 9}`;
  const group = `@TGS#${number % 5}`;
  return {
    series: `${errorCode} ${groupType}` as Series,
    errorCode,
    category: category as ErrorCategory,
    account,
    group,
    body: exceptionBody(number, {
      ErrorCode: errorCode,
      Type: groupType,
      From_Account: account,
      GroupId: group,
    }),
  };
}

/** One life of the exporter, from its start to its end. */
interface Process {
  metrics: Metrics;
  engine: SimulatedEngine;
  writer: JournalWriter<CountedEntry>;
  receiver: Receiver;
  delivery: Delivery;
  thread: { isAlive: boolean };
  isDown: boolean;
  unwritten: number;
  receivingCount: number;
  /** Answers by status. */
  answers: Map<number, number>;
  /** Exceptions that were on the disk when it started, and those that were new to it. */
  restored: ReadonlySet<number>;
  counted: Set<number>;
  /** Answered 503. */
  refused: Set<number>;
  bornAt: Map<Series, number>;
  /** Every exception that the distinct counts know; `at` on the clock that never goes back. */
  seen: { category: ErrorCategory; account: string; group: string; at: number }[];
  delivered: Record<Signal, number>;
  leftOut: Record<Signal, number>;
}

interface ScraperState {
  /** The process whose answer it has had. */
  knows: Process | null;
  shown: Set<Series>;
  samples: Map<Series, number[]>;
  /** In whose answer the series was last. */
  lastSeenIn: Map<Series, Process>;
  /** What `increase()` sees beyond what was counted, and misses of it, where the README says so. */
  excess: Map<Series, number>;
  isScraping: boolean;
}

export class World {
  readonly #parts: Parts;
  readonly #history: History;
  readonly #random: Random;
  readonly #clock = new VirtualClock(startsAt);
  readonly #disk = new Disk();
  readonly #collector: Collector;
  readonly #trace: (line: string) => void;
  #process: Process | null = null;
  /** What went wrong in a promise that nobody waits for. */
  #failure: Error | undefined;

  /** The model: exceptions answered OK, and those that were sent without it. */
  readonly #acknowledged = new Set<number>();
  readonly #unanswered = new Set<number>();
  /** Series of which a crash took what was only in memory, which was told: their counters fall. */
  readonly #fallen = new Set<Series>();
  readonly #scrapers: ScraperState[] = Array.from({ length: scraperCount }, () => ({
    knows: null,
    shown: new Set(),
    samples: new Map(),
    lastSeenIn: new Map(),
    excess: new Map(),
    isScraping: false,
  }));

  constructor(history: History, parts: Parts, trace: (line: string) => void) {
    this.#history = history;
    this.#parts = parts;
    this.#trace = trace;
    this.#random = createRandom(history.seed + 1);
    this.#collector = new Collector(this.#clock, this.#random, (signal, number) =>
      this.#isPoison(signal, number),
    );
  }

  /** Rejects with a Violation. */
  async run(): Promise<void> {
    const uninstall = this.#clock.install();
    try {
      await this.#start();
      for (const { afterMs, event } of this.#history.steps) {
        await this.#clock.run(afterMs);
        this.#trace(`${this.#clock.now()} ms ${JSON.stringify(event)}`);
        await this.#apply(event);
      }
      await this.#end();
    } finally {
      uninstall();
    }
  }

  async #apply(event: Event): Promise<void> {
    switch (event.type) {
      case 'callback':
        return this.#send(event.kind, event.number, event.bodyMs);
      case 'crash':
        return this.#restart(event.downMs);
      case 'restart':
        await this.#stop();
        return this.#restart(event.downMs);
      case 'delivery_dies':
        return this.#replaceDelivery();
      case 'scrape':
        return this.#scrape(event);
      case 'look':
        await this.#look();
        return;
      case 'disk':
        this.#disk.state = event.state;
        this.#disk.latencyMs = event.latencyMs;
        return;
      case 'collector':
        this.#collector.state[event.signal] = event.state;
        return;
      case 'clock':
        return this.#clock.jump(event.jumpMs);
    }
  }

  async #start(): Promise<void> {
    const clock = this.#clock;
    const disk = this.#disk;
    const metrics = this.#parts.createMetrics({
      version: '1.2.3',
      revision: '',
      isAuthenticating: true,
      journalBytesMax: 2 ** 30,
      now: clock.wall,
      monotonicNow: clock.now,
    });
    const reports = createReports(metrics, quietLog);
    const engine = this.#parts.createEngine({
      disk,
      clock,
      random: this.#random,
      signals,
      outboxRowsMax: this.#history.outboxRowsMax,
      now: clock.wall,
      report: reports.journal,
    });
    const since = clock.wall() - windowMs;
    const contents = await this.#finish(engine.open(since));
    metrics.restore(contents.totals, contents.recent);
    metrics.journalUp(true);

    const writer = this.#parts.createWriter({
      journal: engine,
      unwrittenMax: this.#history.unwrittenMax,
      onNew: entry => {
        const number = exceptionNumber(entry.identity);
        const { series, category, account, group } = describeException(number);
        this.#expect(!process.counted.has(number), `exception ${number} was counted twice`);
        process.counted.add(number);
        if (!process.bornAt.has(series)) process.bornAt.set(series, clock.wall());
        process.seen.push({ category, account, group, at: clock.now() });
        countException(entry, metrics);
      },
      report: report => {
        if (report.type === 'up' || report.type === 'down') process.isDown = report.type === 'down';
        if (report.type === 'unwritten') process.unwritten = report.count;
        reports.writer(report);
      },
    });
    const process: Process = {
      metrics,
      engine,
      writer,
      receiver: {
        authenticate: createAuthenticator({
          sdkAppIds: [sampleSdkAppId],
          tokens: [{ sdkAppId: null, token: sampleToken }],
        }),
        classifier: createClassifier({
          adminAccounts: new Set(['administrator']),
          admittedCodes: contents.totals.map(({ labels }) => labels.error_code),
        }),
        identifier: createIdentifier(contents.key.toString('hex')),
        writer,
        metrics,
        rejections: new Rejections({ keepsBodies: false }),
        tally: new CallbackTally(),
        inFlight: new InFlight({ callbacksMax: this.#history.inFlightMax, bytesMax: 2 ** 26 }),
        privacy: { userIds: 'hashed', messageContent: 'omitted' },
        withMessageText: false,
        isDelivering: true,
        now: clock.wall,
      },
      delivery: { stop: async () => {} },
      thread: { isAlive: false },
      isDown: false,
      unwritten: 0,
      receivingCount: 0,
      answers: new Map(),
      restored: new Set(this.#numbersOnDisk()),
      counted: new Set(),
      refused: new Set(),
      bornAt: new Map(
        contents.totals.map(({ labels, bornAt }) => [`${labels.error_code} ${labels.group_type}`, bornAt]),
      ),
      seen: [...disk.exceptions.values()]
        .filter(({ receivedAt }) => receivedAt >= since)
        .map(({ identity, receivedAt }) => ({
          ...describeException(exceptionNumber(identity)),
          at: clock.now() - Math.max(0, clock.wall() - receivedAt),
        })),
      delivered: { traces: 0, logs: 0 },
      leftOut: { traces: 0, logs: 0 },
    };
    this.#process = process;
    this.#replaceDelivery();

    // The restart is exact: what the disk has is what is counted.
    const expected = Map.groupBy(this.#numbersOnDisk(), number => describeException(number).series);
    const shown = await this.#look();
    for (const series of new Set([...expected.keys(), ...shown.keys()])) {
      this.#expectEqual(
        shown.get(series) ?? 0,
        expected.get(series)?.length ?? 0,
        `${series} after a restart`,
      );
    }
  }

  /** The telemetry thread: what it waits for does not happen once it is dead. */
  #replaceDelivery(): void {
    const process = this.#process;
    if (process === null) return;
    process.thread.isAlive = false;
    const thread = { isAlive: true };
    const tie = <T>(promise: Promise<T>): Promise<T> =>
      new Promise((resolve, reject) =>
        promise.then(
          value => thread.isAlive && resolve(value),
          error => thread.isAlive && reject(error),
        ),
      );
    const { engine, metrics } = process;
    const outbox: Outbox = {
      cursors: () => tie(engine.cursors()),
      read: (after, limit) => tie(engine.read(after, limit)),
      waitBeyond: after => tie(engine.waitBeyond(after)),
      acknowledge: (signal, upTo) => tie(engine.acknowledge(signal, upTo)),
      deadLetter: (signal, row, reason) => tie(engine.deadLetter(signal, row, reason)),
    };
    process.thread = thread;
    process.delivery = this.#parts.startDelivery({
      outbox,
      exporters: signals.map(signal => {
        const exporter = this.#collector.exporter(
          signal,
          () => !thread.isAlive,
          (taken, leftOut) => {
            process.delivered[signal] += taken;
            process.leftOut[signal] += leftOut;
          },
        );
        return { ...exporter, export: (items: never) => tie(exporter.export(items)) };
      }) as never,
      report: createReports(metrics, quietLog).telemetry,
      random: this.#random,
      delay: (milliseconds, signal) => tie(this.#clock.delay(milliseconds, signal)),
    });
  }

  /** As service.ts does it. */
  async #stop(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    for (let waitedMs = 0; process.receivingCount > 0 && waitedMs < stopMs / 2; waitedMs += 50)
      await this.#clock.run(50);
    const unwritten = await this.#finish(process.writer.drain(stopMs / 5));
    await this.#finish(process.delivery.stop(stopMs / 5));
    await this.#finish(process.engine.close().catch(nothing));
    const lost = [...this.#acknowledged].filter(number => !this.#numbersOnDisk().includes(number));
    this.#expect(lost.length <= unwritten, `${lost.length} are lost, ${unwritten} were said to be`);
  }

  /** Ends the process at once, and starts another after `downMs`. */
  async #restart(downMs: number): Promise<void> {
    const process = this.#process!;
    const onDisk = new Set(this.#numbersOnDisk());
    const lost = [...this.#acknowledged].filter(number => !onDisk.has(number));
    if (lost.length > 0) {
      this.#expect(process.isDown, `${lost.length} acknowledged exceptions are lost, and the journal was up`);
      this.#expect(lost.length <= process.unwritten, `${lost.length} lost, ${process.unwritten} put aside`);
    }
    for (const number of lost) {
      this.#acknowledged.delete(number);
      this.#unanswered.add(number);
    }
    for (const number of [...this.#acknowledged, ...this.#unanswered])
      if (!onDisk.has(number)) this.#fallen.add(describeException(number).series);
    this.#clock.dropTimers();
    process.thread.isAlive = false;
    this.#process = null;
    for (const scraper of this.#scrapers) scraper.isScraping = false;
    await this.#clock.run(downMs);
    await this.#start();
  }

  #send(kind: CallbackKind, number: number, bodyMs: number): void {
    const process = this.#process!;
    const startedAt = this.#clock.now();
    const { body } = describeException(number);
    const isException = kind === 'exception';
    if (isException && !this.#acknowledged.has(number)) this.#unanswered.add(number);
    const query = {
      ...(kind === 'ignored' ? { CallbackCommand: 'C2C.CallbackAfterSendMsg' } : {}),
      ...(kind === 'sdk_app_id' ? { SdkAppid: '1400000002' } : {}),
      ...(kind === 'signature' ? { Sign: '0'.repeat(64) } : {}),
    };
    const callback: Callback = {
      arrivedAt: startedAt,
      querystring: signedQuery(
        this.#clock.wall() - (kind === 'stale' ? 2 * minuteMs : 0),
        sampleToken,
        query,
      ),
      contentEncoding: kind === 'encoding' ? 'gzip' : undefined,
      bodyBytesMax: bodyBytes,
      readBody: async () => {
        if (bodyMs > 0) await this.#clock.delay(bodyMs);
        if (kind === 'gone') throw new Error('the sender has gone');
        if (kind === 'too_large') return null;
        return kind === 'malformed' ? body.slice(0, -1) : body;
      },
    };
    process.receivingCount += 1;
    receive(callback, process.receiver)
      .then(({ status }) => {
        process.answers.set(status, (process.answers.get(status) ?? 0) + 1);
        const waitedMs = this.#clock.now() - startedAt;
        this.#expect(waitedMs <= answerWithinMs + lateByMs, `an answer took ${waitedMs} ms`);
        if (!isException) return;
        if (status !== 200) {
          process.refused.add(number);
          return;
        }
        this.#expect(
          process.isDown || this.#numbersOnDisk().includes(number),
          `exception ${number} was answered before it was durable`,
        );
        this.#acknowledged.add(number);
        this.#unanswered.delete(number);
      })
      .catch(error => {
        if (kind !== 'gone') this.#failure ??= error;
      })
      .finally(() => {
        process.receivingCount -= 1;
      });
  }

  /** Compares the exposition with the model, and returns the exceptions counter. */
  async #look(): Promise<Map<Series, number>> {
    const process = this.#process!;
    if (this.#failure !== undefined) throw this.#failure;
    const [problem] = this.#collector.problems;
    if (problem !== undefined) throw new Violation(problem);
    const samples = await this.#render(process);
    const sum = (name: string, labels?: Record<string, string>) =>
      samples.sum(`tencent_chat_${name}`, labels);
    const shown = exceptionsBySeries(samples);

    const acknowledged = Map.groupBy(this.#acknowledged, number => describeException(number).series);
    const unanswered = Map.groupBy(this.#unanswered, number => describeException(number).series);
    for (const series of new Set([...acknowledged.keys(), ...shown.keys()])) {
      const value = shown.get(series) ?? 0;
      const most = (acknowledged.get(series)?.length ?? 0) + (unanswered.get(series)?.length ?? 0);
      const least = (acknowledged.get(series) ?? []).filter(
        number => !this.#isUncounted(process, number),
      ).length;
      this.#expect(value >= least, `${series}: ${least} were acknowledged, ${value} are counted`);
      this.#expect(value <= most, `${series}: at most ${most} were sent, ${value} are counted`);
    }

    const answered = [...process.answers.values()].reduce((total, count) => total + count, 0);
    const ok = process.answers.get(200) ?? 0;
    const outcome = (name: string) => sum('callbacks_total', { outcome: name });
    this.#expectEqual(sum('callbacks_total'), answered, 'callbacks');
    this.#expectEqual(
      outcome('counted') + outcome('duplicate') + outcome('ignored'),
      ok,
      'callbacks answered OK',
    );
    this.#expectEqual(outcome('rejected'), answered - ok, 'rejections');
    this.#expectEqual(sum('callbacks_rejected_total'), answered - ok, 'rejections by reason');
    this.#expectEqual(sum('callback_duration_seconds_count'), answered, 'durations');
    const late = sum('callbacks_rejected_total', { reason: 'overload' });
    this.#expect(
      process.counted.size >= outcome('counted') && process.counted.size <= outcome('counted') + late,
      `${process.counted.size} exceptions are new, ${outcome('counted')} callbacks were counted, ${late} were late`,
    );

    for (const signal of signals) {
      this.#expectEqual(
        sum('telemetry_delivered_total', { signal }),
        process.delivered[signal],
        `${signal} delivered`,
      );
      this.#expectEqual(
        sum('telemetry_dropped_total', { signal, reason: 'partial_success' }),
        process.leftOut[signal],
        `${signal} left out`,
      );
    }

    const now = this.#clock.now();
    for (const [gauge, who] of [
      ['exception_senders', 'account'],
      ['exception_groups', 'group'],
    ] as const) {
      for (const category of errorCategories) {
        const within = (ms: number) =>
          new Set(
            process.seen
              .filter(seen => seen.category === category && seen.at > now - ms)
              .map(seen => seen[who]),
          ).size;
        const value = sum(gauge, { error_category: category });
        this.#expect(
          value >= within(windowMs) && value <= within(windowMs + slotMs),
          `${gauge} of ${category} is ${value}; ${within(windowMs)} within five minutes, ${within(windowMs + slotMs)} with ten seconds more`,
        );
      }
    }
    return shown;
  }

  async #scrape(event: Extract<Event, { type: 'scrape' }>): Promise<void> {
    const process = this.#process!;
    const scraper = this.#scrapers[event.scraper]!;
    if (scraper.isScraping) return;
    const at = this.#clock.wall();
    const truth = exceptionsBySeries(await this.#render(process));
    const accept = event.isOpenMetrics ? 'application/openmetrics-text; version=1.0.0' : undefined;
    const address = { address: `10.0.0.${event.scraper}`, userAgent: 'Prometheus/3.5.0' };
    const scrape = await this.#finish(process.metrics.render(accept, address));
    const shown = exceptionsBySeries(samplesOf(scrape.body));
    const isKnown = scraper.knows === process;
    const isYoung = (series: Series) => Math.abs(at - process.bornAt.get(series)!) < windowMs;
    this.#expectEqual([...shown.keys()].join(), [...truth.keys()].join(), 'series shown to a scraper');
    for (const [series, value] of truth) {
      const isGated = isKnown ? !scraper.shown.has(series) : isYoung(series);
      this.#expectEqual(
        shown.get(series),
        isGated ? 0 : value,
        `${series}, shown to scraper ${event.scraper}`,
      );
    }
    if (event.isLost) return;
    scraper.isScraping = true;
    this.#clock.later(event.transferMs, () => {
      if (this.#process !== process) return;
      scraper.isScraping = false;
      scrape.sent();
      for (const [series, value] of shown) this.#note(scraper, process, series, value, isYoung(series));
      scraper.knows = process;
      scraper.shown = new Set(shown.keys());
    });
  }

  /** A scraper stores a sample. What it makes `increase()` see too much or too little must be as documented. */
  #note(scraper: ScraperState, process: Process, series: Series, value: number, isYoung: boolean): void {
    const samples = scraper.samples.get(series) ?? [];
    const last = samples.at(-1);
    const isFirstOfProcess = scraper.lastSeenIn.get(series) !== process;
    const isNewScraper = scraper.knows !== process;
    const excess = scraper.excess.get(series) ?? 0;
    if (last === undefined && value > 0) {
      if (!isNewScraper || isYoung) this.#failure ??= new Violation(`${series} was born with ${value}`);
      scraper.excess.set(series, excess - value);
    } else if (last !== undefined && value < last) {
      const isDocumented = isFirstOfProcess && ((isNewScraper && isYoung) || this.#fallen.has(series));
      if (!isDocumented) this.#failure ??= new Violation(`${series} fell from ${last} to ${value}`);
      scraper.excess.set(series, excess + last);
    }
    scraper.samples.set(series, [...samples, value]);
    scraper.lastSeenIn.set(series, process);
  }

  /** Heals all, and expects that everything comes to its end. */
  async #end(): Promise<void> {
    this.#disk.state = 'good';
    this.#disk.latencyMs = [0, 2];
    this.#collector.state.traces = 'accepts';
    this.#collector.state.logs = 'accepts';
    await this.#clock.run(healMs);
    for (let round = 0; this.#unanswered.size > 0; round += 1) {
      this.#expect(round < resendRoundsMax, `${this.#unanswered.size} exceptions get no answer`);
      for (const number of [...this.#unanswered]) {
        this.#send('exception', number, 0);
        await this.#clock.run(20);
      }
      await this.#clock.run(1_000);
    }
    // Two things wait for the next callback, where nothing else was left to write: the journal is shown to be back, and
    // cursors become durable that could not be written when they moved.
    this.#send('exception', 0, 0);
    for (let minutes = 0; this.#disk.outbox.length > 0 || this.#process!.unwritten > 0; minutes += 1) {
      this.#expect(minutes < drainMinutesMax, `${this.#disk.outbox.length} exceptions are not delivered`);
      await this.#clock.run(minuteMs);
    }
    await this.#clock.run(1_000);
    await this.#expectAllCounted();
    const up = await this.#render(this.#process!);
    this.#expectEqual(up.sum('tencent_chat_journal_up'), 1, 'the journal is up');
    this.#expectEqual(up.sum('tencent_chat_journal_unwritten_events'), 0, 'exceptions left unwritten');
    await this.#expectIncreasesSeen();
    this.#expectAllDelivered();
    await this.#restart(1_000);
    await this.#expectAllCounted();
  }

  /** Every exception was acknowledged by now: each is counted, once. */
  async #expectAllCounted(): Promise<void> {
    const process = this.#process!;
    const shown = await this.#look();
    const expected = Map.groupBy(
      [...this.#acknowledged].filter(number => !this.#isUncounted(process, number)),
      number => describeException(number).series,
    );
    for (const series of new Set([...expected.keys(), ...shown.keys()]))
      this.#expectEqual(shown.get(series) ?? 0, expected.get(series)?.length ?? 0, `${series} in the end`);
  }

  /** What Prometheus' `increase()` makes of the samples is what was counted, but for what the README says. */
  async #expectIncreasesSeen(): Promise<void> {
    for (let round = 0; round < 2; round += 1) {
      for (let scraper = 0; scraper < scraperCount; scraper += 1)
        await this.#scrape({ type: 'scrape', scraper, isLost: false, transferMs: 1, isOpenMetrics: false });
      await this.#clock.run(15_000);
    }
    const truth = exceptionsBySeries(await this.#render(this.#process!));
    for (const { samples, excess } of this.#scrapers) {
      for (const [series, value] of truth) {
        const seen = samples.get(series) ?? [];
        const increase = seen.reduce((sum, sample, index) => {
          const before = index === 0 ? sample : seen[index - 1]!;
          return sum + (sample < before ? sample : sample - before);
        }, 0);
        this.#expectEqual(increase, value + (excess.get(series) ?? 0), `increase of ${series}`);
      }
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  #expectAllDelivered(): void {
    const { taken, leftOut } = this.#collector;
    for (const signal of signals) {
      const deadLetters = new Set(
        [...this.#disk.deadLetters.values()]
          .filter(letter => letter.signal === signal)
          .map(({ row }) => exceptionNumber(traceIdIn(row.record))),
      );
      for (const identity of this.#disk.exceptions.keys()) {
        const number = exceptionNumber(identity);
        const { errorCode, group } = describeException(number);
        const isPoison = this.#isPoison(signal, number);
        const isDropped = leftOut[signal].has(identity) || this.#disk.dropped.has(identity);
        const delivered = taken[signal].get(identity);
        const isDead = deadLetters.has(number);
        this.#expect(
          delivered !== undefined || isDead || isDropped,
          `${signal}: exception ${number} was neither delivered, nor set aside, nor dropped and counted`,
        );
        this.#expect(
          isDead ? isPoison : !isPoison || isDropped,
          `${signal}: exception ${number} is ${isPoison ? 'poison and no' : 'no poison, but a'} dead letter`,
        );
        if (delivered === undefined) continue;
        const { attributes } = delivered;
        this.#expectEqual(attributes['tencent_chat.message.random'], number, 'the random of a record');
        this.#expectEqual(attributes['error.type'], String(errorCode), 'the code of a record');
        this.#expectEqual(attributes['messaging.destination.name'], group, 'the group of a record');
      }
      for (const identity of taken[signal].keys())
        this.#expect(this.#disk.exceptions.has(identity), `${signal}: delivered, and not in the journal`);
    }
    for (const [identity, { spanId }] of taken.traces) {
      const log = taken.logs.get(identity);
      if (log !== undefined) this.#expectEqual(log.spanId, spanId, 'span IDs of both signals');
    }
  }

  /** Refused for good, always; as many as the history says. */
  #isPoison(signal: Signal, number: number): boolean {
    const { seed, poisonShare } = this.#history;
    return createRandom(seed + number * 7_919 + signals.indexOf(signal))() < poisonShare;
  }

  /**
   * Refused because no more could be put aside, and yet on the disk, where a failed sync left it: sent again it is a
   * duplicate, and it is counted from the next start on. Only beyond the bound on memory.
   */
  #isUncounted({ counted, restored, refused }: Process, number: number): boolean {
    if (this.#history.unwrittenMax === unwrittenUnbounded) return false;
    if (!refused.has(number) || counted.has(number) || restored.has(number)) return false;
    return [...this.#disk.storedByFailure].some(identity => exceptionNumber(identity) === number);
  }

  #numbersOnDisk(): number[] {
    return [...this.#disk.exceptions.keys()].map(exceptionNumber);
  }

  async #render({ metrics }: Process): Promise<Samples> {
    return samplesOf((await this.#finish(metrics.render(undefined, null))).body);
  }

  /** Lets time pass until the promise is settled. */
  async #finish<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = () => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.#clock.run(0);
    while (!isSettled) await this.#clock.run(1);
    return promise;
  }

  #expect(isSo: boolean, message: string): void {
    if (!isSo) throw new Violation(message);
  }

  #expectEqual(actual: unknown, expected: unknown, what: string): void {
    if (actual !== expected) throw new Violation(`${what}: ${actual}, expected ${expected}`);
  }
}

/** Without what the model has no word on, most of the text: parsing it would take most of the time. */
function samplesOf(body: Buffer): Samples {
  const lines = body
    .toString()
    .split('\n')
    .filter(line => !line.includes('_bucket{') && !line.includes('_error_code_info{'))
    .map(line => line.replace(/ # \{.*$/, ''));
  return new Samples(lines.join('\n'));
}

function exceptionsBySeries(samples: Samples): Map<Series, number> {
  return new Map(
    samples
      .list(exceptionsTotal)
      .map(({ labels, value }) => [`${labels.error_code} ${labels.group_type}`, value]),
  );
}

function traceIdIn(record: string): string {
  return JSON.parse(record).find((value: unknown) => /^[0-9a-f]{32}$/.test(String(value)));
}
