/** An OTLP endpoint that misbehaves when told to, and remembers all that it took. It outlives the exporter. */
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { ExceptionRecord } from '../../src/callback/record.ts';
import type { Signal } from '../../src/journal/journal.ts';
import type { Exporter, Verdict } from '../../src/telemetry/exporters.ts';
import { type Origin, toLogRecord, toSpan } from '../../src/telemetry/mapping.ts';
import { exceptionNumber } from '../support/oracle.ts';
import { between, type Random } from '../support/random.ts';
import type { VirtualClock } from './clock.ts';

export type CollectorState =
  | 'accepts'
  | 'fails'
  | 'throttles'
  /** Until the exporter's time is up. */
  | 'hangs'
  | 'loses_answers'
  /** Takes a batch but for its last few. */
  | 'partial';

/** What a signal makes of an exception, as far as it is told to others. */
type Item = ReadableSpan | ReadableLogRecord;

export interface Taken {
  spanId: string;
  attributes: Record<string, unknown>;
  /** All of it as JSON: two deliveries of one exception must be equal. */
  payload: string;
}

/** As long as the SDK waits for an answer. */
const timeoutMs = 10_000;
const retryAfterMs = 7_000;
const origin: Origin = { resource: {} as Origin['resource'], scope: { name: 'simulation' } };

export class Collector {
  readonly state: Record<Signal, CollectorState> = { traces: 'accepts', logs: 'accepts' };
  readonly taken: Record<Signal, Map<string, Taken>> = { traces: new Map(), logs: new Map() };
  /** Trace IDs left out of a batch that was taken in part, and this was told. */
  readonly leftOut: Record<Signal, Set<string>> = { traces: new Set(), logs: new Set() };
  readonly problems: string[] = [];
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #isPoison: (signal: Signal, number: number) => boolean;

  constructor(clock: VirtualClock, random: Random, isPoison: (signal: Signal, number: number) => boolean) {
    this.#clock = clock;
    this.#random = random;
    this.#isPoison = isPoison;
  }

  /** `onDelivered` is told what was taken and what was left out, unless the one who asked has gone. */
  exporter(
    signal: Signal,
    isGone: () => boolean,
    onDelivered: (taken: number, leftOut: number) => void,
  ): Exporter<Item> {
    const toItem = signal === 'traces' ? toSpan : toLogRecord;
    return {
      signal,
      toItem: (record: ExceptionRecord) => toItem(record, origin),
      export: async items => {
        await this.#clock.delay(between(this.#random, 1, 80));
        const verdict = await this.#judge(signal, items);
        if (verdict.type !== 'delivered' || isGone()) return verdict;
        const takenCount = items.length - verdict.rejected;
        for (const item of items.slice(takenCount)) this.leftOut[signal].add(contextOf(item).traceId);
        onDelivered(takenCount, verdict.rejected);
        return verdict;
      },
    };
  }

  async #judge(signal: Signal, items: Item[]): Promise<Verdict> {
    const failed = (message: string, retryAfterMs = 0) =>
      ({ type: 'failed', message, retryAfterMs }) as const;
    const state = this.state[signal];
    if (state === 'fails') return failed('503');
    if (state === 'throttles') return failed('429', retryAfterMs);
    if (state === 'hangs') {
      await this.#clock.delay(timeoutMs);
      return failed('time-out');
    }
    if (items.some(item => this.#isPoison(signal, exceptionNumber(contextOf(item).traceId))))
      return { type: 'refused', message: '400' };
    if (state === 'partial') {
      const rejected = between(this.#random, 1, items.length);
      this.#take(signal, items.slice(0, items.length - rejected));
      return { type: 'delivered', rejected, message: 'no room' };
    }
    this.#take(signal, items);
    if (state === 'loses_answers') return failed('connection reset');
    return { type: 'delivered', rejected: 0, message: '' };
  }

  #take(signal: Signal, items: Item[]): void {
    for (const item of items) {
      const { traceId, spanId } = contextOf(item);
      const taken = { spanId, attributes: item.attributes, payload: JSON.stringify(item) };
      const before = this.taken[signal].get(traceId) ?? taken;
      if (before.payload !== taken.payload || before.spanId !== spanId)
        this.problems.push(`${signal}: ${traceId} was delivered again, but not the same`);
      this.taken[signal].set(traceId, taken);
    }
  }
}

/** A log record's context is a value, a span's a function. */
function contextOf({ spanContext }: Item): { traceId: string; spanId: string } {
  const context = typeof spanContext === 'function' ? spanContext() : spanContext;
  if (context === undefined) throw new Error('a record has no trace');
  return context;
}
