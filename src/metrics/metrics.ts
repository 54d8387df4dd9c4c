/**
 * The metrics of one process: what happened goes in as one call, a scrape comes out. Which metrics come of an event
 * is decided here and nowhere else; their names and labels are in table.ts.
 *
 * prom-client keeps the numbers, in a registry of its own. It is never asked to render (see exposition.ts), is given
 * finite numbers only (one NaN, and a counter stays NaN for ever), and label values that are words only (it tells
 * label sets apart by `name:value,`, so that a comma inside a value could merge two).
 */
import {
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type OpenMetricsContentType,
  Registry,
} from 'prom-client';
import { catalogue, describeCode } from '../callback/catalogue.ts';
import { elementTypeLabel } from '../callback/classify.ts';
import {
  type ExceptionLabels,
  errorCategories,
  type FieldName,
  type RejectionReason,
} from '../callback/exception.ts';
import type { ExceptionRecord } from '../callback/record.ts';
import type { JournalEntry, JournalStats, RecentException, Signal, Total } from '../journal/journal.ts';
import { createDistinctCounts } from './distinct.ts';
import { contentTypes, encode, type Family, negotiate, type Sample } from './exposition.ts';
import {
  type DropReason,
  defaultMetricsLeftOut,
  eventLoopLagPrecisionMs,
  type FoldedLabel,
  type MetricRow,
  metricTable,
  type Outcome,
  outcomes,
} from './table.ts';
import { createZeroGate, type GateView, type Scraper } from './zero-gate.ts';

export interface MetricsOptions {
  version: string;
  /** The commit that was built. */
  revision: string;
  isAuthenticating: boolean;
  journalBytesMax: number;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
  /** Milliseconds on a clock that never goes back, for what expires. */
  monotonicNow?: () => number;
}

/** 32 and 16 lower-case hex digits: what an exemplar names. */
export type TraceIds = Pick<ExceptionRecord, 'traceId' | 'spanId'>;

export interface Scrape {
  contentType: string;
  body: Buffer;
  /** To be called once the response has been sent in full, and only then: see zero-gate.ts. */
  sent(): void;
}

/** None of these throws, and none but `render` waits for anything. Durations are in seconds. */
export interface Metrics {
  /** What the journal knows at start. Once, before the first callback. */
  restore(totals: readonly Total[], recent: readonly RecentException[]): void;

  /** An exception was stored (or put aside) and was new. */
  exceptionCounted(
    exception: TraceIds & Pick<ExceptionRecord, 'labels' | 'occurredAt' | 'receivedAt' | 'elementTypes'>,
    hashes: Pick<JournalEntry, 'senderHash' | 'groupHash'>,
  ): void;
  /** A callback was answered OK. `command` is a label value: from a closed list. */
  callbackAnswered(
    command: string,
    outcome: Exclude<Outcome, 'rejected'>,
    durationSeconds: number,
    exemplar?: TraceIds,
  ): void;
  /** A callback was refused. Instead of `callbackAnswered`, so that each callback has exactly one outcome. */
  callbackRejected(command: string, reason: RejectionReason, durationSeconds: number): void;
  /** A connection was closed before anything of it was read: whatever it would have brought is no callback. */
  connectionRefused(): void;
  fieldsInvalid(fields: readonly FieldName[]): void;
  labelFolded(label: FoldedLabel): void;

  journalUp(isUp: boolean): void;
  journalCommitted(durationSeconds: number): void;
  /** A write failed, or a row was found damaged. */
  journalFailed(): void;
  journalStats(stats: JournalStats): void;
  /** How many exceptions are held in memory now. */
  unwritten(count: number): void;

  delivered(signal: Signal, count: number): void;
  deliveryFailed(signal: Signal): void;
  dropped(signal: Signal, reason: DropReason, count: number): void;
  deadLettered(signal: Signal): void;

  /** Answers a scrape; `scraper` is `null` for anyone who is not one. */
  render(accept: string | undefined, scraper: Scraper | null): Promise<Scrape>;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const { now, monotonicNow = () => performance.now() } = options;
  const registry = new Registry<OpenMetricsContentType>();
  // Before the first metric, and never again: prom-client takes exemplars in no other registry.
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);

  const exceptions = counter(metricTable.exceptions);
  const errorCodeInfo = gauge(metricTable.errorCodeInfo);
  const callbacks = counter(metricTable.callbacks);
  const callbacksRejected = counter(metricTable.callbacksRejected);
  const connectionsRefused = counter(metricTable.connectionsRefused);
  const invalidFields = counter(metricTable.invalidFields);
  const callbackDuration = histogram(metricTable.callbackDuration);
  const callbackDelay = histogram(metricTable.callbackDelay);
  const lastException = gauge(metricTable.lastException);
  const senders = gauge(metricTable.senders);
  const groups = gauge(metricTable.groups);
  const moderatedElements = counter(metricTable.moderatedElements);
  const labelValuesFolded = counter(metricTable.labelValuesFolded);
  const callbackAuthentication = gauge(metricTable.callbackAuthentication);
  const journalUp = gauge(metricTable.journalUp);
  const journalBytes = gauge(metricTable.journalBytes);
  const journalBytesMax = gauge(metricTable.journalBytesMax);
  const journalEvents = gauge(metricTable.journalEvents);
  const journalCommit = histogram(metricTable.journalCommit);
  const journalFailures = counter(metricTable.journalFailures);
  const journalUnwritten = gauge(metricTable.journalUnwritten);
  const telemetryDelivered = counter(metricTable.telemetryDelivered);
  const telemetryFailures = counter(metricTable.telemetryFailures);
  const telemetryDropped = counter(metricTable.telemetryDropped);
  const telemetryDeadLetters = counter(metricTable.telemetryDeadLetters);
  const telemetryBacklog = gauge(metricTable.telemetryBacklog);
  const telemetryOldest = gauge(metricTable.telemetryOldest);
  const buildInfo = gauge(metricTable.buildInfo);

  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: eventLoopLagPrecisionMs });
  for (const name of defaultMetricsLeftOut) registry.removeSingleMetric(name);

  callbackAuthentication.set(options.isAuthenticating ? 1 : 0);
  journalBytesMax.set(options.journalBytesMax);
  buildInfo.set({ version: options.version, revision: options.revision, node_version: process.version }, 1);

  const gate = createZeroGate();
  const distinct = createDistinctCounts();
  const categoryLabels = errorCategories.map(category => ({ error_category: category }));
  let lastExceptionAt = 0;
  let oldestUndeliveredAt: number | null = null;

  // The label sets that the exceptions counter has, as the objects that prom-client holds. The classifier gives the same
  // object for the same set, so that from the second exception on it is found by identity, without looking inside.
  const knownLabels = new WeakMap<object, LabelSet>();
  const labelSets = new Map<string, LabelSet>();

  function seriesLabels(given: ExceptionLabels, bornAt: number): LabelSet {
    return knownLabels.get(given) ?? admit(given, bornAt);
  }

  function admit(given: ExceptionLabels, bornAt: number): LabelSet {
    let labels = record(metricTable.exceptions.labels, name => word(given[name]));
    const key = Object.values(labels).join();
    if (labelSets.has(key)) {
      labels = labelSets.get(key)!;
    } else {
      labelSets.set(key, labels);
      exceptions.inc({ labels, value: 0 });
      gate.born(bornAt);
      describeErrorCode(labels.error_code, labels.error_category);
    }
    knownLabels.set(given, labels);
    return labels;
  }

  const describedCodes = new Set<string>();

  // By category too: `other` stands for folded codes of more than one.
  function describeErrorCode(code: string, category: string): void {
    const key = `${code} ${category}`;
    if (describedCodes.has(key)) return;
    describedCodes.add(key);
    const name = describeCode(Number(code))?.name ?? 'unknown';
    errorCodeInfo.set({ error_code: code, error_category: category, name }, 1);
  }

  for (const { code, category } of catalogue) {
    if (typeof code === 'number') describeErrorCode(String(code), category);
  }

  // One labels object per command and outcome.
  const callbackLabels = new Map<string, Record<Outcome, { command: string; outcome: Outcome }>>();

  function countCallback(command: string, outcome: Outcome, durationSeconds: number, ids?: TraceIds): void {
    let labels = callbackLabels.get(command);
    if (labels === undefined) {
      labels = record(outcomes, outcome => ({ command: word(command), outcome }));
      callbackLabels.set(command, labels);
    }
    callbacks.inc(labels[outcome]);
    callbackDuration.observe({
      labels: outcomeLabels[outcome],
      value: finite(durationSeconds),
      exemplarLabels: ids && exemplarLabels(ids),
    });
  }

  /** Brings up to date what depends on the time of the scrape. */
  function refresh(): void {
    const at = monotonicNow();
    for (const labels of categoryLabels) {
      senders.set(labels, distinct.senders(labels.error_category, at));
      groups.set(labels, distinct.groups(labels.error_category, at));
    }
    lastException.set(lastExceptionAt / 1000);
    telemetryOldest.set((oldestUndeliveredAt ?? now()) / 1000);
  }

  /** Copies the values, since prom-client's objects go on counting while the scrape is encoded. */
  function snapshot(metric: PromMetric, view: GateView): Family {
    const isGatedMetric = metric.name === metricTable.exceptions.name;
    // prom-client lists series in the order in which they were made, which is the gate's numbering.
    const samples = metric.values.map(
      ({ metricName = metric.name, labels, value, exemplar }, number): Sample => {
        if (isGatedMetric && view.isGated(number)) {
          return { name: metricName, labels, value: 0, exemplar: null };
        }
        return {
          name: metricName,
          labels,
          value,
          exemplar: exemplar
            ? { labels: exemplar.labelSet, value: exemplar.value, timestamp: exemplar.timestamp }
            : null,
        };
      },
    );
    return { name: metric.name, help: metric.help, type: metric.type, samples };
  }

  function counter(row: MetricRow): Counter {
    const metric = new Counter({
      name: row.name,
      help: row.help,
      labelNames: row.labels,
      registers: [registry],
      enableExemplars: row.hasExemplars,
    });
    for (const labels of row.initial ?? []) metric.inc(labels, 0);
    return metric;
  }

  function gauge(row: MetricRow): Gauge {
    const metric = new Gauge({
      name: row.name,
      help: row.help,
      labelNames: row.labels,
      registers: [registry],
    });
    for (const labels of row.initial ?? []) metric.set(labels, 0);
    return metric;
  }

  function histogram(row: MetricRow): Histogram {
    const metric = new Histogram({
      name: row.name,
      help: row.help,
      labelNames: row.labels,
      buckets: [...row.buckets!],
      registers: [registry],
      enableExemplars: row.hasExemplars,
    });
    for (const labels of row.initial ?? []) metric.zero(labels);
    return metric;
  }

  return {
    restore(totals, recent) {
      for (const { labels, count, bornAt } of totals.toSorted((a, b) => a.bornAt - b.bornAt)) {
        exceptions.inc({ labels: seriesLabels(labels, bornAt), value: finite(count) });
      }
      const startedAt = now();
      const at = monotonicNow();
      // The journal's order is that of storing; after a clock that was set back it is not that of receipt.
      const inOrder = recent.toSorted((a, b) => a.receivedAt - b.receivedAt);
      for (const { receivedAt, errorCategory, senderHash, groupHash } of inOrder) {
        distinct.add(errorCategory, senderHash, groupHash, at - finite(startedAt - receivedAt));
        lastExceptionAt = Math.max(lastExceptionAt, receivedAt);
      }
    },

    exceptionCounted(exception, { senderHash, groupHash }) {
      const { labels, occurredAt, receivedAt, elementTypes } = exception;
      exceptions.inc({
        labels: seriesLabels(labels, now()),
        value: 1,
        exemplarLabels: exemplarLabels(exception),
      });
      callbackDelay.observe(finite((receivedAt - occurredAt) / 1000));
      distinct.add(labels.error_category, senderHash, groupHash, monotonicNow());
      if (receivedAt > lastExceptionAt) lastExceptionAt = receivedAt;
      if (labels.error_category === 'moderated') {
        for (const type of elementTypes) moderatedElements.inc({ msg_type: elementTypeLabel(type) });
      }
    },

    callbackAnswered: countCallback,
    callbackRejected(command, reason, durationSeconds) {
      callbacksRejected.inc({ reason });
      countCallback(command, 'rejected', durationSeconds);
    },
    connectionRefused: () => connectionsRefused.inc(),
    fieldsInvalid(fields) {
      for (const field of fields) invalidFields.inc({ field });
    },
    labelFolded: label => labelValuesFolded.inc({ label }),

    journalUp: isUp => journalUp.set(isUp ? 1 : 0),
    journalCommitted: durationSeconds => journalCommit.observe(finite(durationSeconds)),
    journalFailed: () => journalFailures.inc(),
    journalStats(stats) {
      journalBytes.set(stats.bytes);
      journalEvents.set(stats.events);
      telemetryBacklog.set(stats.backlogEvents);
      oldestUndeliveredAt = stats.oldestUndeliveredAt;
    },
    unwritten: count => journalUnwritten.set(count),

    delivered: (signal, count) => telemetryDelivered.inc({ signal }, finite(count)),
    deliveryFailed: signal => telemetryFailures.inc({ signal }),
    dropped: (signal, reason, count) => telemetryDropped.inc({ signal, reason }, finite(count)),
    deadLettered: signal => telemetryDeadLetters.inc({ signal }),

    async render(accept, scraper) {
      refresh();
      // prom-client lists its series before it first waits: the gate's view must be of the same series, and is taken
      // before any other code runs. Only microtasks pass until the values are copied, no I/O.
      const listing = registry.getMetricsAsJSON();
      const view = gate.begin(scraper, now());
      const metrics = (await listing) as unknown as PromMetric[];
      const families = metrics.map(metric => snapshot(metric, view));
      const format = negotiate(accept);
      return { contentType: contentTypes[format], body: await encode(families, format), sent: view.sent };
    },
  };
}

type LabelSet = Record<(typeof metricTable.exceptions.labels)[number], string>;

/** What prom-client's `getMetricsAsJSON` gives; its type declarations lack half of it. */
interface PromMetric {
  name: string;
  help: string;
  type: Family['type'];
  values: {
    metricName?: string;
    labels: Record<string, string | number>;
    value: number;
    exemplar?: { labelSet: Record<string, string>; value: number; timestamp: number } | null;
  }[];
}

const outcomeLabels = record(outcomes, outcome => ({ outcome }));

/** `undefined` unless both IDs have their length: prom-client throws on a long exemplar after it has counted. */
function exemplarLabels({ traceId, spanId }: TraceIds): Record<string, string> | undefined {
  return traceId.length === 32 && spanId.length === 16 ? { trace_id: traceId, span_id: spanId } : undefined;
}

/** Zero for what is negative, infinite or not a number. */
function finite(value: number): number {
  return value > 0 && value < Number.POSITIVE_INFINITY ? value : 0;
}

const wordPattern = /^[\w.-]{1,64}$/;

/** Label values are words of closed or capped lists; anything else is shown as `other`. */
function word(value: unknown): string {
  return typeof value === 'string' && wordPattern.test(value) ? value : 'other';
}

function record<Key extends string, Value>(
  keys: readonly Key[],
  of: (key: Key) => Value,
): Record<Key, Value> {
  return Object.fromEntries(keys.map(key => [key, of(key)])) as Record<Key, Value>;
}
