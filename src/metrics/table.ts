/**
 * Every metric of this exporter, in the order in which a scrape shows them. Names and labels are a contract with the
 * dashboards, the rules and the alerts; the README's table is made from this one.
 *
 * Also here: which of prom-client's default metrics are left out, and why.
 */
import { elementTypeLabels } from '../callback/classify.ts';
import { exceptionCommand } from '../callback/commands.ts';
import { errorCategories, fieldNames, rejectionReasons } from '../callback/exception.ts';
import { signals } from '../journal/journal.ts';

/** How a callback was answered. A label value: keep it closed. */
export const outcomes = ['counted', 'duplicate', 'ignored', 'rejected'] as const;
export type Outcome = (typeof outcomes)[number];

/** Why an exception was never delivered, nor kept as a dead letter. A label value: keep it closed. */
export const dropReasons = ['journal_full', 'partial_success'] as const;
export type DropReason = (typeof dropReasons)[number];

/** Labels whose values are capped; above the cap they are shown as `other`. A label value: keep it closed. */
export const foldedLabels = ['error_code'] as const;
export type FoldedLabel = (typeof foldedLabels)[number];

export interface MetricRow {
  name: string;
  type: 'counter' | 'gauge' | 'histogram';
  /** One sentence, unit included. */
  help: string;
  labels: readonly string[];
  /** Upper bounds of a histogram, ascending, without +Inf. */
  buckets?: readonly number[];
  /** An exemplar names the trace of the last exception that was counted or observed. OpenMetrics only. */
  hasExemplars?: true;
  /** Label sets that are there at 0 from the start, so that `rate()` sees their first increment. */
  initial?: readonly Record<string, string>[];
}

export const metricTable = {
  exceptions: {
    name: 'tencent_chat_group_message_exceptions_total',
    type: 'counter',
    help: 'Group messages that Tencent Cloud Chat reported as failed, each counted once; survives restarts.',
    labels: ['sdk_app_id', 'error_code', 'error_category', 'group_type', 'platform', 'initiator'],
    hasExemplars: true,
  },
  errorCodeInfo: {
    name: 'tencent_chat_error_code_info',
    type: 'gauge',
    help: 'Always 1; gives the name and the category of every error code of the catalogue and of every code seen.',
    labels: ['error_code', 'error_category', 'name'],
  },
  callbacks: {
    name: 'tencent_chat_callbacks_total',
    type: 'counter',
    help: 'Callbacks answered, by command and by what became of them.',
    labels: ['command', 'outcome'],
    initial: product({ command: [exceptionCommand], outcome: outcomes }),
  },
  callbacksRejected: {
    name: 'tencent_chat_callbacks_rejected_total',
    type: 'counter',
    help: 'Callbacks refused, by the reason.',
    labels: ['reason'],
    initial: product({ reason: rejectionReasons }),
  },
  connectionsRefused: {
    name: 'tencent_chat_callback_connections_refused_total',
    type: 'counter',
    help: 'Connections to the callback listener that were closed unread, because 2,000 were open.',
    labels: [],
  },
  invalidFields: {
    name: 'tencent_chat_invalid_fields_total',
    type: 'counter',
    help: 'Fields of counted exceptions that were missing or odd, by their names on the wire.',
    labels: ['field'],
    initial: product({ field: fieldNames }),
  },
  callbackDuration: {
    name: 'tencent_chat_callback_duration_seconds',
    type: 'histogram',
    help: 'Seconds from a callback to its answer; Tencent gives up at 2.',
    labels: ['outcome'],
    // 1 is the objective, 1.5 the receiver's own deadline, 2 Tencent's time-out.
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 5],
    hasExemplars: true,
    initial: product({ outcome: outcomes }),
  },
  callbackDelay: {
    name: 'tencent_chat_callback_delay_seconds',
    type: 'histogram',
    help: 'Seconds from EventTime to the receipt of the exception; 0 where EventTime is later.',
    labels: [],
    buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600],
  },
  lastException: {
    name: 'tencent_chat_last_exception_timestamp_seconds',
    type: 'gauge',
    help: 'Unix time in seconds at which the last exception was received; 0 when none is known.',
    labels: [],
  },
  senders: {
    name: 'tencent_chat_exception_senders',
    type: 'gauge',
    help: 'Distinct senders whose messages failed in the last five minutes.',
    labels: ['error_category'],
    initial: product({ error_category: errorCategories }),
  },
  groups: {
    name: 'tencent_chat_exception_groups',
    type: 'gauge',
    help: 'Distinct groups in which messages failed in the last five minutes.',
    labels: ['error_category'],
    initial: product({ error_category: errorCategories }),
  },
  moderatedElements: {
    name: 'tencent_chat_moderated_elements_total',
    type: 'counter',
    help: 'Messages that content moderation blocked, once for each type of element in them.',
    // Apart from the exceptions counter, whose series it would multiply by the number of types.
    labels: ['msg_type'],
    initial: product({ msg_type: elementTypeLabels }),
  },
  labelValuesFolded: {
    name: 'tencent_chat_label_values_folded_total',
    type: 'counter',
    help: 'Label values shown as "other", because their number is above the cap.',
    labels: ['label'],
    initial: product({ label: foldedLabels }),
  },
  callbackAuthentication: {
    name: 'tencent_chat_callback_authentication',
    type: 'gauge',
    help: '1 when callbacks must carry a valid signature, 0 when anyone can send them.',
    labels: [],
  },
  journalUp: {
    name: 'tencent_chat_journal_up',
    type: 'gauge',
    help: '1 when the journal can be written, 0 when exceptions are only held in memory.',
    labels: [],
  },
  journalBytes: {
    name: 'tencent_chat_journal_bytes',
    type: 'gauge',
    help: 'Bytes that the journal uses.',
    labels: [],
  },
  journalBytesMax: {
    name: 'tencent_chat_journal_bytes_max',
    type: 'gauge',
    help: 'Bytes beyond which the journal drops the oldest undelivered telemetry.',
    labels: [],
  },
  journalEvents: {
    name: 'tencent_chat_journal_events',
    type: 'gauge',
    help: 'Exceptions whose identity the journal keeps, to recognise duplicates.',
    labels: [],
  },
  journalCommit: {
    name: 'tencent_chat_journal_commit_seconds',
    type: 'histogram',
    help: 'Seconds to make one batch of exceptions durable.',
    labels: [],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
  },
  journalFailures: {
    name: 'tencent_chat_journal_failures_total',
    type: 'counter',
    help: 'Journal writes that failed, and rows found damaged.',
    labels: [],
  },
  journalUnwritten: {
    name: 'tencent_chat_journal_unwritten_events',
    type: 'gauge',
    help: 'Exceptions that were answered but are held in memory until the journal can be written.',
    labels: [],
  },
  telemetryDelivered: {
    name: 'tencent_chat_telemetry_delivered_total',
    type: 'counter',
    help: 'Spans and log records that the OTLP endpoint took.',
    labels: ['signal'],
    initial: product({ signal: signals }),
  },
  telemetryFailures: {
    name: 'tencent_chat_telemetry_failures_total',
    type: 'counter',
    help: 'Deliveries to the OTLP endpoint that failed and are tried again.',
    labels: ['signal'],
    initial: product({ signal: signals }),
  },
  telemetryDropped: {
    name: 'tencent_chat_telemetry_dropped_total',
    type: 'counter',
    help: 'Spans and log records that were given up, by the reason.',
    labels: ['signal', 'reason'],
    initial: product({ signal: signals, reason: dropReasons }),
  },
  telemetryDeadLetters: {
    name: 'tencent_chat_telemetry_dead_letters_total',
    type: 'counter',
    help: 'Spans and log records that the OTLP endpoint refused for good, and that the journal keeps.',
    labels: ['signal'],
    initial: product({ signal: signals }),
  },
  telemetryBacklog: {
    name: 'tencent_chat_telemetry_backlog_events',
    type: 'gauge',
    help: 'Exceptions that wait in the journal for delivery.',
    labels: [],
  },
  telemetryOldest: {
    name: 'tencent_chat_telemetry_oldest_undelivered_timestamp_seconds',
    type: 'gauge',
    help: 'Unix time in seconds at which the oldest undelivered exception was received; now when none waits.',
    labels: [],
  },
  buildInfo: {
    name: 'tencent_chat_exporter_build_info',
    type: 'gauge',
    help: 'Always 1; says which exporter runs on which Node.js.',
    labels: ['version', 'revision', 'node_version'],
  },
} as const satisfies Record<string, MetricRow>;

/**
 * Milliseconds between two looks at the event loop. Each look wakes the process: every 10 ms, prom-client's default,
 * costs an idle process 0.8 % of a core, every 50 ms 0.2 %. Node counts the interval as lag, so an idle loop reads
 * 0.05 s; the alert stands at 0.5 s.
 */
export const eventLoopLagPrecisionMs = 50;

/** Metrics that prom-client would add, left out on purpose. What is not named here stays. */
export const defaultMetricsLeftOut = [
  // Gauges named `_total`, and private APIs that walk every open connection on each scrape. `process_open_fds` stays.
  'nodejs_active_resources',
  'nodejs_active_resources_total',
  'nodejs_active_handles',
  'nodejs_active_handles_total',
  'nodejs_active_requests',
  'nodejs_active_requests_total',
  // NaN, and 9.2e9 s, when two scrapes come within one look at the loop. The percentiles and the maximum stay.
  'nodejs_eventloop_lag_min_seconds',
  'nodejs_eventloop_lag_mean_seconds',
  'nodejs_eventloop_lag_stddev_seconds',
  // Two dozen series that answer no question the heap's total does not.
  'nodejs_heap_space_size_total_bytes',
  'nodejs_heap_space_size_used_bytes',
  'nodejs_heap_space_size_available_bytes',
  // VmData: address space, not memory. `process_resident_memory_bytes` stays.
  'process_heap_bytes',
  // `tencent_chat_exporter_build_info` has it.
  'nodejs_version_info',
] as const;

/** Every combination: `{ a: ['x'], b: ['1', '2'] }` gives `[{ a: 'x', b: '1' }, { a: 'x', b: '2' }]`. */
function product(values: Record<string, readonly string[]>): Record<string, string>[] {
  return Object.entries(values).reduce<Record<string, string>[]>(
    (sets, [label, choices]) => sets.flatMap(set => choices.map(choice => ({ ...set, [label]: choice }))),
    [{}],
  );
}
