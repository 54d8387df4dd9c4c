/** The exporter itself: is every callback taken, answered in time, kept and delivered? */
import {
  BytesIEC,
  CountsPerMinute,
  NoUnit,
  PercentUnit,
  RequestsPerSecond,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { eventLoopLagPrecisionMs, metricTable } from '../../metrics/table.ts';
import { thresholds } from '../settings.ts';
import { colors } from './colors.ts';
import type { Dashboard, Query } from './model.ts';
import { common, instant, of, perMinute, rate, recorded, scraped, series, slowRatio } from './queries.ts';
import { dashboardUids } from './uids.ts';
import { bucketHeatmap, stat, table, timeSeries } from './visualizations.ts';

const {
  callbacks,
  callbacksRejected,
  connectionsRefused,
  invalidFields,
  callbackDuration,
  callbackDelay,
  labelValuesFolded,
  journalUp,
  journalBytes,
  journalBytesMax,
  journalEvents,
  journalCommit,
  journalFailures,
  journalUnwritten,
  telemetryDelivered,
  telemetryFailures,
  telemetryDropped,
  telemetryDeadLetters,
  telemetryBacklog,
  telemetryOldest,
  buildInfo,
} = metricTable;

const quantile = (q: number, histogram: string): string =>
  `histogram_quantile(${q}, sum by (le) (${rate(`${histogram}_bucket`)}))`;

/** The middle, the slow and the slowest, from pale to strong. */
const quantiles = (histogram: string, hasExemplars?: true) =>
  ([0.5, 0.95, 0.99] as const).map((q, index) =>
    series(quantile(q, histogram), `p${q * 100}`, index === 2 && hasExemplars ? { hasExemplars } : {}),
  );

const quantileColors = [
  { name: 'p50', color: colors.faint },
  { name: 'p95', color: colors.plain },
  { name: 'p99', color: colors.warning },
];

/** One line per replica. */
const perInstance = (metric: string, legend = '{{instance}}'): Extract<Query, { source: 'prometheus' }> =>
  series(`max by (instance) (${of(metric)})`, legend);

const half = { width: 12, height: 9 } as const;
const third = { width: 8, height: 9 } as const;
const quarter = { width: 4, height: 4 } as const;
const burn = (window: '5m' | '1h' | '6h'): string =>
  `max(${slowRatio(window)}{${recorded}}) / ${thresholds.callbackBudget.value}`;

export const exporter: Dashboard = {
  uid: dashboardUids.exporter,
  title: 'Tencent Chat: exporter',
  description: 'Is every callback taken, answered in time, kept, and delivered?',
  from: 'now-6h',
  variables: common,
  rows: [
    {
      title: 'Does it work?',
      panels: [
        stat(
          {
            title: 'Exporters up',
            description: 'Replicas that Prometheus can scrape. Normal: as many as you run.',
            ...quarter,
          },
          {
            queries: [instant(`sum(up{${scraped}})`)],
            unit: NoUnit,
            noValue: 'none',
            steps: [{ color: colors.failure }, { from: 1, color: colors.good }],
          },
        ),
        stat(
          {
            title: 'Journal writable',
            description:
              'Normal: yes, on every replica. If not, exceptions are held in memory only: mend the disk or the database before the process ends.',
            ...quarter,
          },
          {
            queries: [instant(`min(${of(journalUp.name)})`)],
            unit: NoUnit,
            texts: { '0': 'no', '1': 'yes' },
            steps: [{ color: colors.failure }, { from: 1, color: colors.good }],
          },
        ),
        stat(
          {
            title: 'Authenticated',
            description:
              'Must callbacks carry a valid signature? Normal: yes. If not, anyone who finds the address can invent exceptions: set CALLBACK_TOKENS.',
            ...quarter,
          },
          {
            queries: [instant(`min(${of(metricTable.callbackAuthentication.name)})`)],
            unit: NoUnit,
            texts: { '0': 'no', '1': 'yes' },
            steps: [{ color: colors.warning }, { from: 1, color: colors.good }],
          },
        ),
        stat(
          {
            title: 'Oldest undelivered',
            description:
              'How long the oldest exception waits for delivery to the OTLP endpoint. Normal: seconds. Minutes: the endpoint does not take them; the journal keeps them meanwhile.',
            ...quarter,
          },
          {
            queries: [instant(`max(time() - ${of(telemetryOldest.name)})`)],
            unit: Seconds,
            decimals: 0,
            noValue: 'telemetry is off',
            steps: [{ color: colors.good }, { from: thresholds.undelivered.value, color: colors.failure }],
          },
        ),
        stat(
          {
            title: 'Journal filled',
            description:
              'Of the bytes that it may use. Normal: far below the limit. At 100 % the oldest undelivered telemetry is dropped; counters never are.',
            ...quarter,
          },
          {
            queries: [instant(`max(${of(journalBytes.name)} / ${of(journalBytesMax.name)})`)],
            unit: PercentUnit,
            decimals: 0,
            steps: [
              { color: colors.good },
              { from: thresholds.journalFilled.value, color: colors.warning },
              { from: 1, color: colors.failure },
            ],
          },
        ),
        stat(
          {
            title: 'Held in memory only',
            description:
              'Exceptions that are counted but not yet in the journal. Normal: 0. They are lost if the process ends before the journal is back.',
            ...quarter,
          },
          {
            queries: [instant(`sum(${of(journalUnwritten.name)})`)],
            unit: Short,
            steps: [{ color: colors.good }, { from: 1, color: colors.failure }],
          },
        ),
      ],
    },
    {
      title: 'Are callbacks taken, and answered in time?',
      panels: [
        timeSeries(
          {
            title: 'Callbacks per second by outcome',
            description:
              'Normal: nearly all counted; duplicates are deliveries that Tencent repeated; ignored are other commands. Many rejected: see the reasons beside.',
            ...third,
          },
          {
            queries: [series(`sum by (outcome) (${rate(callbacks.name)})`, '{{outcome}}')],
            unit: RequestsPerSecond,
            style: 'stacked',
            overrides: [
              { name: 'counted', color: colors.good },
              { name: 'duplicate', color: colors.plain },
              { name: 'ignored', color: colors.faint },
              { name: 'rejected', color: colors.warning },
            ],
          },
        ),
        timeSeries(
          {
            title: 'Why are callbacks rejected?',
            description:
              'Per minute. Normal: none, or a stranger’s now and then. signature: a token is wrong or being rotated; stale: a clock is wrong; overload, and connections refused: exceptions are being lost.',
            ...third,
          },
          {
            queries: [
              series(`${perMinute('reason', callbacksRejected.name)} > 0`, '{{reason}}'),
              series(`${perMinute('job', connectionsRefused.name)} > 0`, 'connections refused'),
            ],
            unit: CountsPerMinute,
            style: 'stacked',
            noValue: 'none rejected',
          },
        ),
        timeSeries(
          {
            title: 'Which fields are odd or missing?',
            description:
              'Per minute, of exceptions that were counted all the same. Normal: none. A field that begins to be odd on all callbacks: Tencent has changed its format.',
            ...third,
          },
          {
            queries: [series(`${perMinute('field', invalidFields.name)} > 0`, '{{field}}')],
            style: 'stacked',
            noValue: 'none',
            unit: CountsPerMinute,
          },
        ),
        timeSeries(
          {
            title: 'How long do answers take?',
            description:
              'Half of the answers, 95 % and 99 % of them are faster. Normal: milliseconds. Tencent gives up at 2 s, the red line. A click on a dot leads to the trace of one exception.',
            ...third,
          },
          {
            queries: quantiles(callbackDuration.name, true),
            unit: Seconds,
            limits: [{ color: 'transparent' }, { from: 2, color: colors.failure }],
            isLogarithmic: true,
            overrides: quantileColors,
            noValue: 'no callbacks',
          },
        ),
        bucketHeatmap(
          {
            title: 'How are the answers’ times spread?',
            description:
              'Darker is more answers. Normal: one band at a few milliseconds. A second band above it: commits that wait for the disk, or a busy event loop.',
            ...third,
          },
          { expr: `sum by (le) (${rate(`${callbackDuration.name}_bucket`)})`, unit: Seconds },
        ),
        timeSeries(
          {
            title: 'How fast is the error budget spent?',
            description: `Multiples of the pace that spends exactly the budget of ${thresholds.callbackBudget.value * 100} % slow answers. Normal: below 1. Alerts stand at ${thresholds.budgetBurnFast.value} over an hour and at ${thresholds.budgetBurnSlow.value} over six. Recorded over all instances.`,
            ...third,
          },
          {
            queries: (['5m', '1h', '6h'] as const).map(window => series(burn(window), `over ${window}`)),
            unit: NoUnit,
            limits: [
              { color: 'transparent' },
              { from: thresholds.budgetBurnSlow.value, color: colors.warning },
              { from: thresholds.budgetBurnFast.value, color: colors.failure },
            ],
            overrides: [
              { name: 'over 5m', color: colors.faint, isThin: true },
              { name: 'over 1h', color: colors.plain },
              { name: 'over 6h', color: colors.warning },
            ],
            noValue: 'no callbacks',
          },
        ),
        timeSeries(
          {
            title: 'How late does Tencent call?',
            description:
              'From EventTime to receipt. Normal: under a second. Minutes: Tencent queues, or a clock is wrong; the counters then rise later than users see failures.',
            ...half,
          },
          {
            queries: quantiles(callbackDelay.name),
            unit: Seconds,
            overrides: quantileColors,
            noValue: 'no callbacks',
          },
        ),
        timeSeries(
          {
            title: 'How long do commits take?',
            description:
              'Seconds until a batch is durable; answers wait for it. Normal: milliseconds, as the disk is. Above 1 s answers come too late.',
            ...half,
          },
          {
            queries: quantiles(journalCommit.name),
            unit: Seconds,
            isLogarithmic: true,
            overrides: quantileColors,
            noValue: 'no commits',
          },
        ),
      ],
    },
    {
      title: 'Is it all delivered?',
      panels: [
        timeSeries(
          {
            title: 'Delivered per minute',
            description:
              'Spans and log records that the OTLP endpoint took. Normal: as many as exceptions, of each signal. A peak after a gap is the backlog being worked off.',
            ...third,
          },
          {
            queries: [series(perMinute('signal', telemetryDelivered.name), '{{signal}}')],
            unit: CountsPerMinute,
          },
        ),
        timeSeries(
          {
            title: 'Failed deliveries per minute',
            description:
              'Tries that failed and are made again; nothing is lost yet. Normal: none. A steady rate: the endpoint is down, or refuses; the exporter’s log says which.',
            ...third,
          },
          {
            queries: [series(perMinute('signal', telemetryFailures.name), '{{signal}}')],
            unit: CountsPerMinute,
          },
        ),
        timeSeries(
          {
            title: 'How many wait, and how long?',
            description:
              'Exceptions in the journal that wait for delivery, on the left; the age of the oldest, on the right. Normal: near 0. Both grow during an outage of the collector, and fall at its end.',
            ...third,
          },
          {
            queries: [
              series(`sum(${of(telemetryBacklog.name)})`, 'waiting'),
              series(`max(time() - ${of(telemetryOldest.name)})`, 'age of the oldest'),
            ],
            unit: Short,
            overrides: [
              { name: 'waiting', color: colors.plain },
              { name: 'age of the oldest', color: colors.warning, unit: Seconds, onRightAxis: true },
            ],
          },
        ),
        timeSeries(
          {
            title: 'What was given up, or refused for good?',
            description:
              'Spans and log records per minute that will not be delivered: dropped because the journal was full or the endpoint took a part only, or kept as dead letters. Normal: none. The counters are right all the same.',
            ...half,
          },
          {
            queries: [
              series(
                `60 * sum by (signal, reason) (${rate(telemetryDropped.name)})`,
                'dropped {{signal}}, {{reason}}',
              ),
              series(perMinute('signal', telemetryDeadLetters.name), 'dead letters, {{signal}}'),
            ],
            unit: CountsPerMinute,
          },
        ),
        timeSeries(
          {
            title: 'How large is the journal?',
            description:
              'Bytes, and the limit beyond which the oldest undelivered telemetry is dropped. Normal: flat after the first day, since identities are kept for a day.',
            ...half,
          },
          {
            queries: [perInstance(journalBytes.name), series(`min(${of(journalBytesMax.name)})`, 'limit')],
            unit: BytesIEC,
            overrides: [{ name: 'limit', color: colors.failure, isDashed: true }],
          },
        ),
        timeSeries(
          {
            title: 'How many exceptions does the journal know?',
            description: 'Identities kept to recognise duplicates. Normal: about a day’s exceptions.',
            ...half,
          },
          { queries: [perInstance(journalEvents.name)], unit: Short },
        ),
        timeSeries(
          {
            title: 'Does writing fail?',
            description:
              'Journal writes that failed and rows found damaged, per minute; exceptions held in memory meanwhile. Normal: none of either. Mend the disk or the database; see the exporter’s log.',
            ...half,
          },
          {
            queries: [
              series(`60 * sum(${rate(journalFailures.name)})`, 'failures per minute'),
              series(`sum(${of(journalUnwritten.name)})`, 'held in memory'),
            ],
            unit: Short,
            overrides: [
              { name: 'failures per minute', color: colors.failure },
              { name: 'held in memory', color: colors.warning },
            ],
          },
        ),
      ],
    },
    {
      title: 'Has the process what it needs?',
      panels: [
        timeSeries(
          {
            title: 'Does the event loop lag?',
            description: `The 99th percentile. Idle it reads ${eventLoopLagPrecisionMs / 1000} s, the interval at which it is looked at. Normal: below 0.1 s. Above ${thresholds.eventLoopLag.value} s answers are in danger.`,
            ...third,
          },
          {
            queries: [perInstance('nodejs_eventloop_lag_p99_seconds')],
            unit: Seconds,
            limits: [
              { color: 'transparent' },
              { from: thresholds.eventLoopLag.value, color: colors.failure },
            ],
          },
        ),
        timeSeries(
          {
            title: 'How much memory does it take?',
            description:
              'Resident, and the heap’s used part within it. Normal: flat, a saw in the heap. Growth over days is a leak; during a journal outage it is what is held.',
            ...third,
          },
          {
            queries: [
              perInstance('process_resident_memory_bytes', 'resident, {{instance}}'),
              perInstance('nodejs_heap_size_used_bytes', 'heap, {{instance}}'),
            ],
            unit: BytesIEC,
          },
        ),
        timeSeries(
          {
            title: 'How busy is the processor?',
            description:
              'Cores in use: 100 % is one core. Normal: a few per cent, with the shape of the day.',
            ...third,
          },
          {
            queries: [series(`sum by (instance) (${rate('process_cpu_seconds_total')})`, '{{instance}}')],
            unit: PercentUnit,
          },
        ),
        timeSeries(
          {
            title: 'How many samples does a scrape bring?',
            description:
              'Normal: grows slowly with the combinations of labels seen, and stays below some thousands; labels are closed or capped.',
            ...third,
          },
          { queries: [perInstance('scrape_samples_scraped')], unit: Short },
        ),
        timeSeries(
          {
            title: 'Are error codes folded into “other”?',
            description:
              'Exceptions per minute whose code is outside the catalogue and above the cap. Normal: none. Otherwise someone invents codes, or the catalogue is out of date.',
            ...third,
          },
          {
            queries: [series(perMinute('label', labelValuesFolded.name), '{{label}}')],
            unit: CountsPerMinute,
          },
        ),
        table(
          {
            title: 'What runs, and for how long?',
            description:
              'Version of each replica, and how long it has been running. Normal: the same version on all, but for the minutes of a deployment.',
            ...third,
          },
          {
            expr: `(time() - max by (instance) (${of('process_start_time_seconds')})) * on (instance) group_left (version, revision) max by (instance, version, revision) (${of(buildInfo.name)})`,
            noValue: 'no exporter is up',
            columns: [
              { field: 'instance', name: 'Instance' },
              { field: 'version', name: 'Version', width: 80 },
              { field: 'revision', name: 'Revision', width: 90 },
              { field: 'Value', name: 'Runs for', unit: Seconds, decimals: 0, width: 90, sort: 'ascending' },
            ],
          },
        ),
      ],
    },
  ],
};
