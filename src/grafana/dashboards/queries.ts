/** What the dashboards share: selectors, common expressions, variables, links, annotations. */
import { CountsPerMinute } from '@grafana/grafana-foundation-sdk/units';
import { metricTable } from '../../metrics/table.ts';
import { links } from '../settings.ts';
import { colors } from './colors.ts';
import type { Annotation, Query, Variable } from './model.ts';
import { type DashboardUid, dashboardUids } from './uids.ts';
import type { Link } from './visualizations.ts';

/** Every dashboard carries it; the menu of dashboards lists those that do. */
export const tag = 'tencent-chat';

/** Of a scraped series. A recorded one has no instance. */
export const scraped = 'job=~"$job",instance=~"$instance"';
export const recorded = 'job=~"$job"';

/** Recorded series, named in ../rules. All in exceptions per five minutes, or a ratio. */
export const byCode = 'job_error_code:tencent_chat_exceptions:increase5m';
export const byCategory = 'job_error_category:tencent_chat_exceptions:increase5m';
export const allExceptions = 'job:tencent_chat_exceptions:increase5m';
export const sendersRecorded = 'job_error_category:tencent_chat_exception_senders:sum';
export const slowRatio = (window: '5m' | '1h' | '6h'): string =>
  `job:tencent_chat_callback_slow:ratio_rate${window}`;

/** `metric{job, instance, …}`: further matchers as PromQL has them. */
export function of(metric: string, ...matchers: string[]): string {
  return `${metric}{${[scraped, ...matchers].join(',')}}`;
}

/** Per second; the window fits the graph's step and has at least four scrapes. */
export function rate(metric: string, ...matchers: string[]): string {
  return `rate(${of(metric, ...matchers)}[$__rate_interval])`;
}

/** `60 * sum by (label) (rate(…))` */
export function perMinute(label: string, metric: string, ...matchers: string[]): string {
  return `60 * sum by (${label}) (${rate(metric, ...matchers)})`;
}

export function increase(metric: string, ...matchers: string[]): string {
  return `increase(${of(metric, ...matchers)}[$__range])`;
}

/** The same a while before: `1w`. */
export function increaseBefore(offset: string, metric: string, ...matchers: string[]): string {
  return `${increase(metric, ...matchers).slice(0, -1)} offset ${offset})`;
}

/** One query of a graph. */
export function series(expr: string, legend: string, more: { hasExemplars?: true } = {}): Prometheus {
  return { source: 'prometheus', expr, legend, ...more };
}

/** One query for the value now. */
export function instant(expr: string, legend?: string): Prometheus {
  return { source: 'prometheus', expr, legend, isInstant: true };
}

type Prometheus = Extract<Query, { source: 'prometheus' }>;

/** Alerts of this project that fire, for the chosen jobs, and those that are about no job. */
export const firing = 'alertname=~"TencentChat.+",severity!="none",job=~"$job|"';

const { exceptions, buildInfo } = metricTable;

function labelVariable(name: string, label: string, description: string, metric: string): Variable {
  return { kind: 'query', name, label, description, metric, valuesOf: name };
}

const exceptionVariable = (name: string, label: string, description: string): Variable =>
  labelVariable(name, label, description, of(exceptions.name));

export const variables = {
  datasource: {
    kind: 'datasource',
    name: 'datasource',
    label: 'Data source',
    description: 'The Prometheus that scrapes the exporter.',
    plugin: 'prometheus',
  },
  loki: {
    kind: 'datasource',
    name: 'loki',
    label: 'Logs',
    description: 'The Loki that the exporter’s log records go to.',
    plugin: 'loki',
  },
  tempo: {
    kind: 'datasource',
    name: 'tempo',
    label: 'Traces',
    description: 'The Tempo that the exporter’s spans go to.',
    plugin: 'tempo',
  },
  job: labelVariable('job', 'Job', 'The scrape job of the exporter.', buildInfo.name),
  instance: labelVariable(
    'instance',
    'Instance',
    'A replica of the exporter. Series computed by rules are over all of them.',
    `${buildInfo.name}{${recorded}}`,
  ),
  sdkAppId: exceptionVariable('sdk_app_id', 'App', 'The SDKAppID.'),
  errorCategory: exceptionVariable('error_category', 'Category', 'What kind of failure.'),
  errorCode: labelVariable(
    'error_code',
    'Code',
    'Tencent’s error code, of the chosen categories.',
    of(exceptions.name, 'error_category=~"$error_category"'),
  ),
  groupType: exceptionVariable('group_type', 'Group type', 'The type of the group that was sent to.'),
  platform: exceptionVariable(
    'platform',
    'Platform',
    'What the sender used; RESTAPI is the app’s own server.',
  ),
} as const satisfies Record<string, Variable>;

export const common: readonly Variable[] = [variables.datasource, variables.job, variables.instance];

/** Variables that the data links of every dashboard hand on. */
const handedOn = ['datasource', 'job', 'instance'];

/** A link to another dashboard over the same time range; `values` are its variables, as data-link expressions. */
export function toDashboard(title: string, uid: DashboardUid, values: Record<string, string>): Link {
  const parameters = [
    ...handedOn.map(name => `\${${name}:queryparam}`),
    ...Object.entries(values).map(([name, value]) => `var-${name}=${value}`),
    `\${__url_time_range}`,
  ];
  return { title, url: `/d/${uid}?${parameters.join('&')}` };
}

/** From a series, or a table's cell, about a category. */
export const categoryLink = (value = `\${__field.labels.error_category}`): Link =>
  toDashboard('The codes of this category', dashboardUids.errorCode, { error_category: value });

/** From a series, or a table's cell, about a code: what it means, and where it happens. */
export const codeLinks = (value = `\${__field.labels.error_code}`): Link[] => [
  toDashboard('Where this code happens', dashboardUids.errorCode, { error_code: value }),
  { title: 'What this code means, and what to do', url: `${links.runbooksUrl}/error-codes.md#${value}` },
];

const placeNames = { group_type: 'group type', platform: 'platform' } as const;

/** Exceptions per minute by where they happen, each line leading to that place alone. `matchers` choose which. */
export const perMinuteBy = (place: keyof typeof placeNames, ...matchers: string[]) => ({
  queries: [series(perMinute(place, metricTable.exceptions.name, ...matchers), `{{${place}}}`)],
  unit: CountsPerMinute,
  links: [
    toDashboard(`This ${placeNames[place]} alone`, dashboardUids.groupsAndPlatforms, {
      [place]: `\${__field.labels.${place}}`,
    }),
  ],
});

/** In a table's cell: the value of the cell itself. */
export const cell = `\${__value.raw}`;

export const runbookLink: Link = { title: 'Runbook', url: `${links.runbooksUrl}/${cell}.md` };

/** `increase by code`, with the code's name: `10023 group_msg_freq_limit`. */
export function withName(expr: string): string {
  const names = `max by (error_code, name) (${metricTable.errorCodeInfo.name}{${recorded}})`;
  return `${expr}\n* on (error_code) group_left (name) ${names}`;
}

export const annotations: readonly Annotation[] = [
  {
    name: 'Alerts',
    expr: `max by (alertname, severity, error_category) (ALERTS{${firing},alertstate="firing"})`,
    color: colors.failure,
    title: '{{alertname}}',
    text: '{{severity}} {{error_category}}',
    isValueTime: false,
  },
  {
    name: 'Exporter starts',
    expr: `1000 * max by (instance) (${of('process_start_time_seconds')}) and on (instance) changes(${of('process_start_time_seconds')}[$__rate_interval]) > 0`,
    color: colors.plain,
    title: 'Exporter started',
    text: '{{instance}}',
    isValueTime: true,
  },
  {
    name: 'Exporter versions',
    expr: `max by (version, revision) (${of(buildInfo.name)}) unless max by (version, revision) (${of(buildInfo.name)} offset $__rate_interval)`,
    color: colors.good,
    title: 'New version {{version}}',
    text: '{{revision}}',
    isValueTime: false,
  },
];
