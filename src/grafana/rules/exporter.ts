/**
 * Recording rules and alerts about the exporter itself: is it there, does it answer in time, does it take what Tencent
 * sends, does it keep and deliver what it took. The numbers are in settings.ts.
 *
 * All counters but that of the exceptions start at 0 with the process, with every label set there from the start
 * (`initial` in the metric table). `increase()` therefore misses only what comes before a new instance's first scrape.
 * Where a single event matters, `counted()` looks at the process's age as well.
 */
import { metricTable } from '../../metrics/table.ts';
import { dashboardUids } from '../dashboards/uids.ts';
import { jobName, thresholds } from '../settings.ts';
import type { Alert, RecordingRule, RuleGroup } from './model.ts';

const buildInfo = metricTable.buildInfo.name;
const duration = metricTable.callbackDuration.name;
const delay = metricTable.callbackDelay.name;
const rejected = metricTable.callbacksRejected.name;

/**
 * The answers that the objective is about: those to exceptions. `rejected` callbacks are Tencent's only when they were
 * too many at once, and are lost then; the others come from strangers and would make the objective look well.
 */
const toExceptions = 'outcome=~"counted|duplicate"';
const overload = `${rejected}{reason="overload"}`;

/** Answers to exceptions, and exceptions refused for lack of time, by `rate` or `increase`. */
function callbacksDue(over: 'rate' | 'increase', window: string): string {
  return `sum by (job) (${over}(${duration}_count{${toExceptions}}[${window}])) + sum by (job) (${over}(${overload}[${window}]))`;
}

/** The text format says `le="1"`, OpenMetrics and Prometheus 3 `le="1.0"`. */
const inTime = `le=~"${thresholds.slowAnswer.value}(\\\\.0)?"`;

const slowRatio = (window: string): string => `job:tencent_chat_callback_slow:ratio_rate${window}`;

/** From short to long; each burn rate is asked over two of them. */
const burnWindows = ['5m', '30m', '1h', '6h'] as const;

export const exporterRecordingGroups: readonly RuleGroup<RecordingRule>[] = [
  {
    name: 'tencent-chat.exporter.rules',
    rules: burnWindows.map(window => ({
      record: slowRatio(window),
      expr: `clamp_min(
  1
  - sum by (job) (rate(${duration}_bucket{${toExceptions},${inTime}}[${window}]))
  / (${callbacksDue('rate', window)} > 0),
  0
)`,
      why: `The share of exceptions that were not answered OK within ${thresholds.slowAnswer.value} s, in ${window}; no data where none came.`,
    })),
  },
];

/** Burning the budget at `factor` times its pace over both windows, with enough callbacks in the long one. */
function burning(factor: number, short: string, long: string, callbacks: number): string {
  const limit = `${factor} * ${thresholds.callbackBudget.value}`;
  return `${slowRatio(long)} > ${limit}
and ${slowRatio(short)} > ${limit}
and ${callbacksDue('increase', long)} > ${callbacks}`;
}

/**
 * What a counter of this process counted in the last minutes, where it did: also what came before the first scrape of a
 * new instance, since a process younger than the window has counted all of its total within it.
 */
function counted(counter: string, minutes: number): string {
  return `(
  increase(${counter}[${minutes}m]) > 0
  or ${counter} > 0 and on (job, instance) time() - process_start_time_seconds < ${60 * minutes}
)`;
}

/** Only of this exporter: other programs have `process_…` and `nodejs_…` too. */
function ofExporter(condition: string): string {
  return `${condition}
and on (job, instance) last_over_time(${buildInfo}[15m])`;
}

const count = '{{ $value | printf "%.0f" }}';
const where = '{{ $labels.instance }} of {{ $labels.job }}';
const ofJob = { uid: dashboardUids.exporter, variables: ['job'] } as const;
const ofInstance = { uid: dashboardUids.exporter, variables: ['job', 'instance'] } as const;

export const exporterAlertGroup: RuleGroup<Alert> = {
  name: 'tencent-chat.exporter.alerts',
  rules: [
    {
      name: 'TencentChatExporterDown',
      severity: 'critical',
      expr: `up{job="${jobName}"} == 0
or up == 0 and on (job, instance) last_over_time(${buildInfo}[1w])`,
      for: '5m',
      keepFiringFor: '10m',
      summary: 'An exporter instance cannot be scraped.',
      description: `Prometheus cannot scrape ${where}. Callbacks it does not take are lost: Tencent does not send them again.`,
      dashboard: ofInstance,
      why: 'Under another job too, where the instance was an exporter within the last week: long enough to fire through a weekend.',
    },
    {
      name: 'TencentChatExporterAbsent',
      severity: 'critical',
      expr: `absent(up{job="${jobName}"})`,
      for: '5m',
      keepFiringFor: '10m',
      summary: 'Prometheus knows no exporter to scrape.',
      description: 'There is no target under the job {{ $labels.job }}: no other alert about it can fire.',
      dashboard: ofJob,
      why: 'Whoever scrapes under another name changes jobName in src/grafana/settings.ts.',
    },
    {
      name: 'TencentChatCallbackBudgetBurn',
      severity: 'critical',
      expr: burning(thresholds.budgetBurnFast.value, '5m', '1h', thresholds.budgetBurnFastCallbacks.value),
      for: '2m',
      summary: 'Exceptions are answered too late, and Tencent gives up on them.',
      description: `{{ $labels.job }} answered {{ $value | humanizePercentage }} of the last hour's exceptions later than ${thresholds.slowAnswer.value} s or not at all.`,
      dashboard: ofJob,
      why: 'The long window says that it matters, the short one that it still goes on.',
    },
    {
      name: 'TencentChatCallbackBudgetBurn',
      severity: 'warning',
      expr: burning(thresholds.budgetBurnSlow.value, '30m', '6h', thresholds.budgetBurnSlowCallbacks.value),
      for: '15m',
      summary: 'More exceptions are answered late than the objective allows.',
      description: `{{ $labels.job }} answered {{ $value | humanizePercentage }} of the exceptions of 6 hours later than ${thresholds.slowAnswer.value} s or not at all.`,
      dashboard: ofJob,
      why: 'The same at a slower pace, for the day.',
    },
    {
      name: 'TencentChatSignatureFailures',
      severity: 'warning',
      expr: `sum by (job, reason) (increase(${rejected}{reason=~"signature|stale"}[15m])) > ${thresholds.signatureFailures.value}`,
      for: '5m',
      summary: 'Callbacks are refused because their signature or their time is wrong.',
      description: `{{ $labels.job }} refused ${count} callbacks in 15 minutes for the reason {{ $labels.reason }}.`,
      dashboard: ofJob,
      why: 'A token changed on one side only, a clock that is off, or a stranger. Each may mean that every exception is lost.',
    },
    {
      name: 'TencentChatCallbacksRejected',
      severity: 'warning',
      expr: `sum by (job, reason) (
  increase(${rejected}{reason!~"signature|stale"}[15m])
  or label_replace(increase(${metricTable.connectionsRefused.name}[15m]), "reason", "connections", "", "")
) > ${thresholds.rejections.value}`,
      for: '5m',
      summary: 'Callbacks are refused.',
      description: `{{ $labels.job }} refused ${count} callbacks in 15 minutes for the reason {{ $labels.reason }}.`,
      dashboard: ofJob,
      why: 'What is refused is not counted among the exceptions; what a refused connection would have brought, not even among the callbacks.',
    },
    {
      name: 'TencentChatCallbacksUnauthenticated',
      severity: 'warning',
      expr: `max_over_time(${metricTable.callbackAuthentication.name}[5m]) == 0`,
      for: '15m',
      summary: 'Anyone who reaches the callback listener can send exceptions.',
      description: `${where} runs without CALLBACK_TOKENS.`,
      dashboard: ofInstance,
      why: 'A setting, so it changes only with a restart.',
    },
    {
      name: 'TencentChatDelayHigh',
      severity: 'warning',
      expr: `histogram_quantile(0.95, sum by (job, le) (rate(${delay}_bucket[5m]))) > ${thresholds.delay.value}
and sum by (job) (increase(${delay}_count[5m])) > ${thresholds.delayCallbacks.value}`,
      for: '10m',
      keepFiringFor: '10m',
      summary: 'Exceptions arrive late.',
      description: `Of those that reach {{ $labels.job }}, one in twenty is {{ $value | humanizeDuration }} old or older.`,
      dashboard: ofJob,
      why: 'Tencent is behind, the network is, or a clock is wrong. Every other alert is as late.',
    },
    {
      name: 'TencentChatJournalDown',
      severity: 'critical',
      expr: `max_over_time(${metricTable.journalUp.name}[1m]) == 0`,
      for: '1m',
      keepFiringFor: '5m',
      summary: 'The journal cannot be written, and exceptions are only held in memory.',
      description: `${where} goes on answering from memory. A crash now loses what it holds.`,
      dashboard: ofInstance,
      why: 'Over a minute, because an exporter on a failing disk may miss a scrape.',
    },
    {
      name: 'TencentChatJournalFailing',
      severity: 'warning',
      expr: counted(metricTable.journalFailures.name, 15),
      for: '5m',
      summary: 'The journal failed, or was found damaged.',
      description: `${where} counted ${count} failures of its journal in 15 minutes.`,
      dashboard: ofInstance,
      why: 'Any at all: disks do not fail once. Damage is found at a start, before the first scrape.',
    },
    {
      name: 'TencentChatJournalFilling',
      severity: 'warning',
      expr: `max_over_time(${metricTable.journalBytes.name}[5m]) / max_over_time(${metricTable.journalBytesMax.name}[5m]) > ${thresholds.journalFilled.value}`,
      for: '10m',
      summary: 'The journal is close to its largest size.',
      description: `The journal of ${where} is {{ $value | humanizePercentage }} full. Beyond JOURNAL_MAX_BYTES the oldest undelivered telemetry is dropped.`,
      dashboard: ofInstance,
      why: 'The counters are never dropped; spans and log records are.',
    },
    {
      name: 'TencentChatTelemetryNotDelivered',
      severity: 'warning',
      expr: `time() - max_over_time(${metricTable.telemetryOldest.name}[5m]) > ${thresholds.undelivered.value}`,
      for: '5m',
      keepFiringFor: '10m',
      summary: 'Spans and log records do not reach the OTLP endpoint.',
      description: `The oldest exception that ${where} has not delivered is {{ $value | humanizeDuration }} old.`,
      dashboard: ofInstance,
      why: 'The time only moves forward, and is that of the scrape when none waits: the largest is also the latest, whatever scrape is missing.',
    },
    {
      name: 'TencentChatTelemetryDropped',
      severity: 'warning',
      expr: `sum by (job, signal) (
${indent(`${counted(metricTable.telemetryDropped.name, 15)}\nor ${counted(metricTable.telemetryDeadLetters.name, 15)}`)}
)`,
      for: '5m',
      summary: 'Spans or log records were given up.',
      description: `{{ $labels.job }} gave up ${count} of its {{ $labels.signal }} in 15 minutes, dropped or set aside as dead letters.`,
      dashboard: ofJob,
      why: 'Any at all: the promise is that every exception is delivered unless the endpoint refuses it for good.',
    },
    {
      name: 'TencentChatLabelValuesFolded',
      severity: 'info',
      expr: `sum by (job, label) ${counted(metricTable.labelValuesFolded.name, 60)}`,
      summary: 'Some label values are shown as "other".',
      description: `{{ $labels.job }} counted ${count} exceptions in an hour whose {{ $labels.label }} is beyond the cap.`,
      dashboard: ofJob,
      why: 'Nothing is lost but the detail: the log records have it.',
    },
    {
      name: 'TencentChatExporterRestarting',
      severity: 'warning',
      expr: ofExporter(`changes(process_start_time_seconds[15m]) > ${thresholds.restarts.value}`),
      for: '5m',
      summary: 'An exporter instance restarts again and again.',
      description: `${where} restarted {{ $value }} times in 15 minutes.`,
      dashboard: ofInstance,
      why: 'Between two lives no callback is taken.',
    },
    {
      name: 'TencentChatEventLoopLagging',
      severity: 'warning',
      expr: ofExporter(
        `avg_over_time(nodejs_eventloop_lag_p99_seconds[5m]) > ${thresholds.eventLoopLag.value}`,
      ),
      for: '10m',
      keepFiringFor: '10m',
      summary: 'An exporter instance is too busy to answer in time.',
      description: `The event loop of ${where} is {{ $value | humanizeDuration }} late at the 99th percentile.`,
      dashboard: ofInstance,
      why: 'The average of five minutes: one slow scrape neither raises it nor ends it.',
    },
    {
      name: 'TencentChatWatchdog',
      severity: 'none',
      expr: 'vector(1)',
      summary: 'Alerting works.',
      description: 'Always fires. Whoever receives it should raise the alarm when it stops.',
      dashboard: { uid: dashboardUids.exporter, variables: [] },
      why: 'Its own route, to a dead man’s switch: silence looks the same whether all is well or Prometheus is dead.',
    },
  ],
};

function indent(lines: string): string {
  return lines.replace(/^/gm, '  ');
}
