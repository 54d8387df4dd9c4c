/** One error code, or a few: what it means, how much of it, where, and the evidence. */

import { CountsPerMinute, LocaleFormat, PercentUnit, Short } from '@grafana/grafana-foundation-sdk/units';
import { metricTable } from '../../metrics/table.ts';
import { colors } from './colors.ts';
import type { Dashboard } from './model.ts';
import {
  categoryLink,
  cell,
  codeLinks,
  common,
  increase,
  increaseBefore,
  instant,
  of,
  perMinute,
  perMinuteBy,
  recorded,
  series,
  variables,
} from './queries.ts';
import { dashboardUids } from './uids.ts';
import { logRecords, matrix, spans, stat, table, timeSeries } from './visualizations.ts';

const exceptions = metricTable.exceptions.name;
const chosen = [
  'sdk_app_id=~"$sdk_app_id"',
  'error_category=~"$error_category"',
  'error_code=~"$error_code"',
  'group_type=~"$group_type"',
  'platform=~"$platform"',
];
const names = `max by (error_code, error_category, name) (${metricTable.errorCodeInfo.name}{${recorded}})`;

/** Over five minutes, so that today and last week are smoothed alike. */
const perFiveMinutes = (offset: string): string => `sum(increase(${of(exceptions, ...chosen)}[5m]${offset}))`;

const minuteGraph = { width: 12, height: 9 } as const;

export const errorCode: Dashboard = {
  uid: dashboardUids.errorCode,
  title: 'Tencent Chat: error code',
  description: 'What does this code mean, how often does it happen, where, and to which messages?',
  from: 'now-6h',
  variables: [
    ...common,
    variables.sdkAppId,
    variables.errorCategory,
    variables.errorCode,
    variables.groupType,
    variables.platform,
    variables.loki,
    variables.tempo,
  ],
  rows: [
    {
      title: 'What is it, and how much of it?',
      panels: [
        stat(
          {
            title: 'Occurrences',
            description:
              'Exceptions of the chosen codes in the time range. Normal: see what was usual beside it. Zero: widen the time range, or a variable excludes them.',
            width: 8,
            height: 4,
          },
          {
            queries: [instant(`sum(${increase(exceptions, ...chosen)})`)],
            unit: LocaleFormat,
            decimals: 0,
            noValue: '0',
          },
        ),
        stat(
          {
            title: 'Share of all exceptions',
            description:
              'The chosen codes against every exception of the time range. Normal: steady from day to day. A share that grows while the total does not is a change of one thing.',
            width: 8,
            height: 4,
          },
          {
            queries: [
              instant(`sum(${increase(exceptions, ...chosen)}) / (sum(${increase(exceptions)}) > 0)`),
            ],
            unit: PercentUnit,
            decimals: 1,
            noValue: 'no exceptions',
          },
        ),
        stat(
          {
            title: 'Against last week',
            description:
              'The time range against the same one a week ago: 100 % is as many. Normal: 50 % to 200 %. More: see below where. No data: it did not occur then.',
            width: 8,
            height: 4,
          },
          {
            queries: [
              instant(
                `sum(${increase(exceptions, ...chosen)}) / (sum(${increaseBefore('1w', exceptions, ...chosen)}) > 0)`,
              ),
            ],
            unit: PercentUnit,
            decimals: 0,
            noValue: 'none last week',
            steps: [{ color: 'text' }, { from: 2, color: colors.warning }],
          },
        ),
        table(
          {
            title: 'What do the codes mean?',
            description:
              'The chosen codes that occurred in the time range. Normal: the same ones every day. The code opens its runbook entry: meaning, likely cause, what to do. A code without a name is not in the catalogue.',
            width: 14,
            height: 9,
          },
          {
            expr: `sum by (error_code) (${increase(exceptions, ...chosen)}) * on (error_code) group_left (error_category, name) ${names} > 0`,
            noValue: 'none of the chosen codes occurred',
            columns: [
              { field: 'error_code', name: 'Code', width: 90, links: [...codeLinks(cell)].reverse() },
              { field: 'name', name: 'Name' },
              { field: 'error_category', name: 'Category', width: 150, links: [categoryLink(cell)] },
              {
                field: 'Value',
                name: 'Occurrences',
                unit: LocaleFormat,
                decimals: 0,
                width: 120,
                isShaded: true,
                sort: 'descending',
              },
            ],
          },
        ),
        matrix(
          {
            title: 'Which group type on which platform?',
            description:
              'Exceptions of the time range. Normal: dark where your users are. One dark cell in a pale row is one feature of one client.',
            width: 10,
            height: 9,
          },
          {
            expr: `sum by (group_type, platform) (${increase(exceptions, ...chosen)}) > 0`,
            rows: 'group_type',
            rowsName: 'Group type',
            across: 'platform',
            noValue: 'no exceptions',
          },
        ),
      ],
    },
    {
      title: 'Since when, and where?',
      panels: [
        timeSeries(
          {
            title: 'Exceptions per minute by code',
            description:
              'Normal: the shape of the day. A step up has a cause at its foot: look for a release or a change of settings. A click on a dot leads to the trace of one message.',
            ...minuteGraph,
          },
          {
            queries: [
              series(perMinute('error_code', exceptions, ...chosen), '{{error_code}}', {
                hasExemplars: true,
              }),
            ],
            unit: CountsPerMinute,
            style: 'stacked',
            links: codeLinks(),
            noValue: 'no exceptions',
          },
        ),
        timeSeries(
          {
            title: 'Is it more than yesterday and last week?',
            description:
              'The chosen codes together, in exceptions per five minutes. Normal: now runs along the other two. Above both is a change; above yesterday alone may be the weekday.',
            ...minuteGraph,
          },
          {
            queries: [
              series(perFiveMinutes(''), 'now'),
              series(perFiveMinutes(' offset 1d'), 'yesterday'),
              series(perFiveMinutes(' offset 1w'), 'last week'),
            ],
            unit: Short,
            overrides: [
              { name: 'now', color: colors.plain },
              { name: 'yesterday', color: colors.warning, isThin: true },
              { name: 'last week', color: colors.faint, isThin: true },
            ],
          },
        ),
        timeSeries(
          {
            title: 'In which group types?',
            description:
              'Exceptions per minute. Normal: as your groups are used. One type alone: see what is special about it, such as the limits of live rooms.',
            width: 12,
            height: 9,
          },
          perMinuteBy('group_type', ...chosen),
        ),
        timeSeries(
          {
            title: 'On which platforms?',
            description:
              'Exceptions per minute by what the sender used; RESTAPI is your own server. Normal: as your users are. One platform alone after a release is that release.',
            width: 12,
            height: 9,
          },
          perMinuteBy('platform', ...chosen),
        ),
      ],
    },
    {
      title: 'Which messages?',
      panels: [
        logRecords(
          {
            title: 'Log records of the exceptions',
            description:
              'One record per exception, newest first, with group, sender’s hash and Tencent’s own words; no message text unless a setting asks for it. The trace ID in the details opens the trace. Normal: as many as counted above.',
            width: 12,
            height: 10,
          },
          // Loki has the resource's service.name as a label; attributes are structured metadata, with _ for each dot.
          `{service_name="tencent-chat-exporter"} | messaging_system="tencent_chat" | error_type=~"\${error_code:regex}" | tencent_chat_error_category=~"\${error_category:regex}" | tencent_chat_group_type=~"\${group_type:regex}" | tencent_chat_platform=~"\${platform:regex}" | tencent_chat_sdk_app_id=~"\${sdk_app_id:regex}"`,
        ),
        spans(
          {
            title: 'Spans of the exceptions',
            description:
              'The failed sends, from Tencent’s EventTime to the receipt of the callback; the trace ID opens one. Normal: well under a second long. Long ones: Tencent was late, or a clock is wrong.',
            width: 12,
            height: 10,
          },
          `{ resource.service.name = "tencent-chat-exporter" && name = "send" && span.error.type =~ "\${error_code:pipe}" && span.tencent_chat.error.category =~ "\${error_category:pipe}" && span.tencent_chat.group.type =~ "\${group_type:pipe}" && span.tencent_chat.platform =~ "\${platform:pipe}" } | select(span.error.type, span.tencent_chat.error.name, span.tencent_chat.group.type, span.tencent_chat.platform)`,
        ),
      ],
    },
  ],
};
