/** For the person on call: is something wrong, what, where, since when. */

import {
  CountsPerMinute,
  LocaleFormat,
  NoUnit,
  PercentUnit,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { metricTable } from '../../metrics/table.ts';
import { thresholds } from '../settings.ts';
import { colors } from './colors.ts';
import type { Dashboard } from './model.ts';
import {
  allExceptions,
  byCategory,
  byCode,
  categoryLink,
  cell,
  codeLinks,
  common,
  firing,
  increase,
  instant,
  of,
  perMinute,
  recorded,
  runbookLink,
  scraped,
  series,
  slowRatio,
  toDashboard,
  variables,
  withName,
} from './queries.ts';
import { dashboardUids } from './uids.ts';
import { ranking, stat, states, table, timeSeries } from './visualizations.ts';

const exceptions = metricTable.exceptions.name;
const chosen = `${recorded},error_category=~"$error_category"`;
const fillsLimit = (matchers: string): string =>
  `${byCategory}{${matchers}} / clamp_min(${byCategory}_upper{${matchers}}, 1)`;

export const overview: Dashboard = {
  uid: dashboardUids.overview,
  title: 'Tencent Chat: overview',
  description: 'Do group messages fail more than usual, which, where, and since when?',
  from: 'now-6h',
  variables: [...common, variables.errorCategory],
  rows: [
    {
      title: 'Is something wrong right now?',
      panels: [
        stat(
          {
            title: 'Firing alerts',
            description:
              'Alerts that ask for a person: critical and warning. Normal: 0. Otherwise the table below says which, and leads to the runbook.',
            width: 4,
            height: 4,
          },
          {
            queries: [
              instant(
                `count(ALERTS{${firing},alertstate="firing",severity=~"critical|warning"}) or vector(0)`,
              ),
            ],
            unit: NoUnit,
            steps: [{ color: colors.good }, { from: 1, color: colors.failure }],
          },
        ),
        stat(
          {
            title: 'Closest to its limit',
            description:
              'Of all categories the one whose last five minutes fill most of what is learned to be acceptable at this time of the week. 100 % is the limit at which alerts begin. Normal: below 60 %. No data in the first day: nothing is learned yet.',
            width: 4,
            height: 4,
          },
          {
            queries: [
              instant(`topk(1, max by (error_category) (${fillsLimit(recorded)}))`, '{{error_category}}'),
            ],
            unit: PercentUnit,
            decimals: 0,
            shows: 'value_and_name',
            noValue: 'nothing learned yet',
            steps: [
              { color: 'text' },
              { from: 0.8, color: colors.warning },
              { from: 1, color: colors.failure },
            ],
            links: [categoryLink()],
          },
        ),
        stat(
          {
            title: 'Last 5 minutes',
            description:
              'Exceptions of all categories. Normal: whatever is usual at this time of day; the graph behind the number shows the time range. A number alone is no alarm.',
            width: 4,
            height: 4,
          },
          {
            queries: [series(`sum(${allExceptions}{${recorded}})`, 'exceptions')],
            unit: LocaleFormat,
            decimals: 0,
            hasSparkline: true,
          },
        ),
        stat(
          {
            title: 'Last exception',
            description:
              'How long ago. Normal: seconds to minutes, longer at night. Hours in the day mean that Tencent no longer calls, or cannot: see the callbacks on the dashboard about the exporter.',
            width: 4,
            height: 4,
          },
          {
            queries: [instant(`time() - max(${of(metricTable.lastException.name)} > 0)`)],
            unit: Seconds,
            decimals: 0,
            noValue: 'none known',
          },
        ),
        stat(
          {
            title: `Answered within ${thresholds.slowAnswer.value} s`,
            description:
              'Share of the exceptions of the last five minutes that were answered OK in time. Tencent waits 2 s and does not send an exception twice. Normal: 100 %. Below the objective of 99.9 %: see the dashboard about the exporter.',
            width: 4,
            height: 4,
          },
          {
            queries: [instant(`1 - max(${slowRatio('5m')}{${recorded}})`)],
            unit: PercentUnit,
            decimals: 2,
            noValue: 'no callbacks',
            steps: [
              { color: colors.failure },
              { from: 0.99, color: colors.warning },
              { from: 0.999, color: colors.good },
            ],
            links: [toDashboard('The exporter', dashboardUids.exporter, {})],
          },
        ),
        stat(
          {
            title: 'Exporters up',
            description:
              'Replicas that Prometheus can scrape. Normal: as many as you run. None: exceptions are lost while it lasts, Tencent does not send them again.',
            width: 4,
            height: 4,
          },
          {
            queries: [instant(`sum(up{${scraped}})`)],
            unit: NoUnit,
            noValue: 'none',
            steps: [{ color: colors.failure }, { from: 1, color: colors.good }],
            links: [toDashboard('The exporter', dashboardUids.exporter, {})],
          },
        ),
        table(
          {
            title: 'Which alerts fire, and since when?',
            description:
              'Alerts that fire now, with what they are about. Normal: none, or information only. The name opens the runbook, the category its codes.',
            width: 12,
            height: 7,
          },
          {
            expr: `time() - max by (alertname, severity, error_category, platform, error_code) (
  ALERTS_FOR_STATE{${firing}} and ignoring (alertstate) ALERTS{${firing},alertstate="firing"}
)`,
            noValue: 'no alert fires',
            columns: [
              { field: 'alertname', name: 'Alert', links: [runbookLink] },
              {
                field: 'severity',
                name: 'Severity',
                width: 90,
                texts: { critical: 'critical', warning: 'warning', info: 'info' },
                textColors: { critical: colors.failure, warning: colors.warning, info: colors.plain },
              },
              { field: 'error_category', name: 'Category', width: 130, links: [categoryLink(cell)] },
              { field: 'error_code', name: 'Code', width: 80, links: codeLinks(cell) },
              { field: 'platform', name: 'Platform', width: 90 },
              { field: 'Value', name: 'For', unit: Seconds, decimals: 0, width: 100, sort: 'ascending' },
            ],
          },
        ),
        states(
          {
            title: 'When did alerts fire?',
            description:
              'A bar while an alert fired. Normal: few and short. Bars that come and go at the same hour each day ask for a better limit, not for a person.',
            width: 12,
            height: 7,
          },
          {
            queries: [
              series(
                `max by (alertname, error_category) (ALERTS{${firing},alertstate="firing",severity=~"critical|warning"})`,
                '{{alertname}} {{error_category}}',
              ),
            ],
            texts: { '1': 'firing' },
            textColors: { '1': colors.failure },
            noValue: 'no alert fired',
          },
        ),
      ],
    },
    {
      title: 'What is failing?',
      panels: [
        timeSeries(
          {
            title: 'Exceptions per minute by category',
            description:
              'Failed group messages. Normal: the shape of the day, with the same categories in the same proportions. A click on a category leads to its codes, a click on a dot to the trace of one message.',
            width: 16,
            height: 10,
          },
          {
            queries: [
              series(
                perMinute('error_category', exceptions, 'error_category=~"$error_category"'),
                '{{error_category}}',
                { hasExemplars: true },
              ),
            ],
            unit: CountsPerMinute,
            style: 'stacked',
            legend: 'beside',
            links: [categoryLink()],
            noValue: 'no exceptions',
          },
        ),
        table(
          {
            title: 'Which codes are most frequent?',
            description:
              'The ten most frequent error codes of the time range. Normal: the same ones every day. A click on a code leads to where it happens and to what it means.',
            width: 8,
            height: 10,
          },
          {
            expr: withName(
              `topk(10, sum by (error_code) (${increase(exceptions, 'error_category=~"$error_category"')}) > 0)`,
            ),
            noValue: 'no exceptions in this time range',
            columns: [
              { field: 'error_code', name: 'Code', width: 75, links: codeLinks(cell) },
              { field: 'name', name: 'Name' },
              {
                field: 'Value',
                name: 'Exceptions',
                unit: LocaleFormat,
                decimals: 0,
                width: 115,
                isShaded: true,
                sort: 'descending',
              },
            ],
          },
        ),
        timeSeries(
          {
            title: 'How close is each category to its alert limit?',
            description:
              'The last five minutes against the limit learned from the past week; alerts begin at 100 %, most of them only if many senders are affected. Normal: below 60 %. Recorded over all instances.',
            width: 12,
            height: 9,
          },
          {
            queries: [series(`max by (error_category) (${fillsLimit(chosen)})`, '{{error_category}}')],
            unit: PercentUnit,
            limits: [{ color: 'transparent' }, { from: 1, color: colors.failure }],
            links: [categoryLink()],
            noValue: 'nothing learned yet',
          },
        ),
        timeSeries(
          {
            title: 'Is it more than usual?',
            description:
              'The chosen categories together, in exceptions per five minutes: now, what is expected at this time, the sum of the limits, and the same time last week. Choose one category above to see what its alert sees. Normal: now stays near expected. Recorded over all instances.',
            width: 12,
            height: 9,
          },
          {
            queries: [
              series(`sum(${byCategory}{${chosen}})`, 'now'),
              series(`sum(${byCategory}_expected{${chosen}})`, 'expected'),
              series(`sum(${byCategory}_upper{${chosen}})`, 'limit'),
              series(`sum(${byCategory}{${chosen}} offset 1w)`, 'last week'),
            ],
            unit: Short,
            overrides: [
              { name: 'now', color: colors.plain },
              { name: 'expected', color: colors.good, isThin: true },
              { name: 'limit', color: colors.failure, isDashed: true },
              { name: 'last week', color: colors.faint, isThin: true },
            ],
          },
        ),
      ],
    },
    {
      title: 'Where, and what is new?',
      panels: [
        ranking(
          {
            title: 'In which group types?',
            description:
              'Exceptions of the time range. Normal: as your groups are used. One type alone points to what is special about it: live rooms have their own limits.',
            width: 6,
            height: 7,
          },
          {
            queries: [
              instant(
                `sort_desc(sum by (group_type) (${increase(exceptions, 'error_category=~"$error_category"')}) > 0)`,
                '{{group_type}}',
              ),
            ],
            links: [
              toDashboard('This group type', dashboardUids.groupsAndPlatforms, {
                group_type: `\${__field.labels.group_type}`,
              }),
            ],
          },
        ),
        ranking(
          {
            title: 'On which platforms?',
            description:
              'Exceptions of the time range by what the sender used; RESTAPI is your own server. Normal: as your users are. One platform alone after a release is that release.',
            width: 6,
            height: 7,
          },
          {
            queries: [
              instant(
                `sort_desc(sum by (platform) (${increase(exceptions, 'error_category=~"$error_category"')}) > 0)`,
                '{{platform}}',
              ),
            ],
            links: [
              toDashboard('This platform', dashboardUids.groupsAndPlatforms, {
                platform: `\${__field.labels.platform}`,
              }),
            ],
          },
        ),
        table(
          {
            title: 'Which codes are new since yesterday?',
            description:
              'Codes of the last 24 hours that did not come in the six days before. Normal: none. Compare with your releases, and with Tencent’s release notes; a code outside the catalogue has no name. Recorded over all instances.',
            width: 12,
            height: 7,
          },
          {
            expr: `(sum by (error_code, error_category) (max_over_time(${byCode}{${chosen}}[1d])) > 0)
unless on (error_code) (sum by (error_code) (max_over_time(${byCode}{${chosen}}[6d] offset 1d)) > 0)`,
            noValue: 'no new code',
            columns: [
              { field: 'error_code', name: 'Code', links: codeLinks(cell) },
              { field: 'error_category', name: 'Category', links: [categoryLink(cell)] },
              {
                field: 'Value',
                name: 'Most in 5 minutes',
                unit: LocaleFormat,
                decimals: 0,
                sort: 'descending',
              },
            ],
          },
        ),
      ],
    },
  ],
};
