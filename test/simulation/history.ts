/** What may happen to an exporter, as a list: made from a seed, and nothing else. */
import type { RejectionReason } from '../../src/callback/exception.ts';
import type { Signal } from '../../src/journal/journal.ts';
import { between, createRandom, type Random } from '../support/random.ts';
import type { CollectorState } from './collector.ts';
import type { DiskState } from './engine.ts';

export type CallbackKind =
  | 'exception'
  | 'ignored'
  | Exclude<RejectionReason, 'overload'>
  /** The sender goes away before its body is there. */
  | 'gone';

export type Event =
  /** Exceptions are numbered; one that came before is a repetition. */
  | { type: 'callback'; kind: CallbackKind; number: number; bodyMs: number }
  /** kill -9, and the start of the next process. */
  | { type: 'crash'; downMs: number }
  /** SIGTERM, and the start of the next process. */
  | { type: 'restart'; downMs: number }
  /** The telemetry thread dies, and is replaced. */
  | { type: 'delivery_dies' }
  /** `isLost`: the answer does not reach the scraper. */
  | { type: 'scrape'; scraper: number; isLost: boolean; transferMs: number; isOpenMetrics: boolean }
  /** Somebody looks at the true values. */
  | { type: 'look' }
  | { type: 'disk'; state: DiskState; latencyMs: readonly [number, number] }
  | { type: 'collector'; signal: Signal; state: CollectorState }
  | { type: 'clock'; jumpMs: number };

export interface Step {
  afterMs: number;
  event: Event;
}

export interface History {
  seed: number;
  /** Exceptions that may be put aside. */
  unwrittenMax: number;
  /** Exceptions that may wait for delivery. */
  outboxRowsMax: number;
  /** Callbacks that may be worked on at once. */
  inFlightMax: number;
  /** Of the records, the share that the collector refuses for good. */
  poisonShare: number;
  steps: Step[];
}

export const scraperCount = 2;

/** More than a history has. */
export const unwrittenUnbounded = 100_000;

/** Milliseconds between two events: a burst, a busy time, an ordinary one, a quiet one. */
const paces = [3, 100, 2_000, 60_000];
const diskStates: DiskState[] = ['good', 'good', 'full', 'sync_fails'];
const diskLatencies: [number, number][] = [
  [0, 2],
  [0, 2],
  [5, 60],
  [200, 2_500],
];
const collectorStates: CollectorState[] = [
  ...(['accepts', 'accepts', 'fails', 'throttles'] as const),
  ...(['hangs', 'loses_answers', 'partial'] as const),
];
const kinds: CallbackKind[] = [
  ...(['ignored', 'sdk_app_id', 'signature', 'stale'] as const),
  ...(['malformed', 'too_large', 'encoding', 'gone'] as const),
];

export function createHistory(seed: number): History {
  const random = createRandom(seed);
  const pick = <T>(values: readonly T[]): T => values[between(random, 0, values.length - 1)]!;
  const length = between(random, 20, 140);
  const steps: Step[] = [];
  let newest = -1;
  let pace = pick(paces);
  for (let index = 0; index < length; index += 1) {
    if (random() < 0.12) pace = pick(paces);
    steps.push({ afterMs: between(random, 0, pace), event: createEvent() });
  }
  return {
    seed,
    unwrittenMax: pick([3, 30, unwrittenUnbounded, unwrittenUnbounded]),
    outboxRowsMax: pick([20, 1_000_000, 1_000_000]),
    inFlightMax: pick([4, 100, 100]),
    poisonShare: pick([0, 0, 0.05, 0.5]),
    steps,
  };

  function createEvent(): Event {
    const roll = random();
    if (roll < 0.6) return createException(random);
    if (roll < 0.68) return { type: 'callback', kind: pick(kinds), number: newest + 1, bodyMs: 0 };
    if (roll < 0.78) {
      return {
        type: 'scrape',
        scraper: between(random, 0, scraperCount - 1),
        isLost: random() < 0.2,
        transferMs: between(random, 0, 20),
        isOpenMetrics: random() < 0.5,
      };
    }
    if (roll < 0.81) return { type: 'look' };
    if (roll < 0.88) return { type: 'disk', state: pick(diskStates), latencyMs: pick(diskLatencies) };
    if (roll < 0.94)
      return { type: 'collector', signal: pick(['traces', 'logs'] as const), state: pick(collectorStates) };
    if (roll < 0.965) return { type: 'crash', downMs: pick([10, 1_000, 400_000]) };
    if (roll < 0.98) return { type: 'restart', downMs: pick([10, 1_000, 400_000]) };
    if (roll < 0.995) return { type: 'delivery_dies' };
    return { type: 'clock', jumpMs: pick([-400_000, 400_000]) };
  }

  function createException(random: Random): Event {
    const isRepeated = newest >= 0 && random() < 0.25;
    // Most repetitions come soon after: while the first is in flight, or was put aside.
    if (!isRepeated) newest += 1;
    const number = isRepeated ? Math.max(0, newest - between(random, 0, pick([2, 200]))) : newest;
    return {
      type: 'callback',
      kind: 'exception',
      number,
      bodyMs: random() < 0.8 ? 0 : between(random, 1, 900),
    };
  }
}
