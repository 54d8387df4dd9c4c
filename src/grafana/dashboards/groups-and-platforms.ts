/** Where exceptions happen: group types against platforms, today against last week. */

import { CountsPerMinute, PercentUnit } from '@grafana/grafana-foundation-sdk/units';
import { metricTable } from '../../metrics/table.ts';
import { colors } from './colors.ts';
import type { Dashboard } from './model.ts';
import {
  categoryLink,
  cell,
  codeLinks,
  common,
  increase,
  of,
  perMinute,
  perMinuteBy,
  rate,
  series,
  variables,
} from './queries.ts';
import { dashboardUids } from './uids.ts';
import { matrix, table, timeSeries } from './visualizations.ts';

const exceptions = metricTable.exceptions.name;
const chosen = [
  'sdk_app_id=~"$sdk_app_id"',
  'error_category=~"$error_category"',
  'group_type=~"$group_type"',
  'platform=~"$platform"',
];
const perDay = (offset: string): string =>
  `sum by (platform, error_category) (increase(${of(exceptions, ...chosen)}[1d]${offset}))`;

export const groupsAndPlatforms: Dashboard = {
  uid: dashboardUids.groupsAndPlatforms,
  title: 'Tencent Chat: group types and platforms',
  description: 'Do exceptions come from one group type, one client, or from the app’s own server?',
  from: 'now-24h',
  variables: [
    ...common,
    variables.sdkAppId,
    variables.errorCategory,
    variables.groupType,
    variables.platform,
  ],
  rows: [
    {
      title: 'What has changed?',
      panels: [
        timeSeries(
          {
            title: 'Which platforms do exceptions come from?',
            description:
              'Each platform’s share of all exceptions. Normal: steady bands, as your users are. A band that widens is a client that has got worse, often a release.',
            width: 12,
            height: 9,
          },
          {
            queries: [
              series(
                `sum by (platform) (${rate(exceptions, ...chosen)}) / on () group_left () (sum(${rate(exceptions, ...chosen)}) > 0)`,
                '{{platform}}',
              ),
            ],
            unit: PercentUnit,
            style: 'share',
          },
        ),
        table(
          {
            title: 'What has changed against last week?',
            description:
              'The last 24 hours against the same ones a week ago, in exceptions: +100 % is twice as many. Normal: within ±50 %. Sorted by the growth; small categories jump most, so look at the graphs too.',
            width: 12,
            height: 9,
          },
          {
            expr: `${perDay('')}\n/ (${perDay(' offset 1w')} > 0) - 1`,
            noValue: 'nothing to compare with: no exceptions a week ago',
            columns: [
              { field: 'platform', name: 'Platform' },
              { field: 'error_category', name: 'Category', links: [categoryLink(cell)] },
              {
                field: 'Value',
                name: 'Change',
                unit: PercentUnit,
                decimals: 0,
                width: 140,
                sort: 'descending',
              },
            ],
          },
        ),
      ],
    },
    {
      title: 'Who sends them?',
      panels: [
        timeSeries(
          {
            title: 'Does the app’s own server fail, or do clients?',
            description:
              'Exceptions per minute. The server’s are mistakes or limits of your own back end; the clients’ are what users do. Normal: the server’s are few and flat.',
            width: 12,
            height: 9,
          },
          {
            queries: [
              series(`60 * sum(${rate(exceptions, ...chosen, 'platform="RESTAPI"')})`, 'server (RESTAPI)'),
              series(`60 * sum(${rate(exceptions, ...chosen, 'platform!="RESTAPI"')})`, 'clients'),
            ],
            unit: CountsPerMinute,
            overrides: [
              { name: 'server (RESTAPI)', color: colors.warning },
              { name: 'clients', color: colors.plain },
            ],
          },
        ),
        matrix(
          {
            title: 'Which code on which platform?',
            description:
              'Exceptions of the time range. Normal: dark where your users are. A code on one platform alone is a mistake of that client. A click on a code says what it means.',
            width: 12,
            height: 9,
          },
          {
            expr: `sum by (error_code, platform) (${increase(exceptions, ...chosen)}) > 0`,
            rows: 'error_code',
            rowsName: 'Code',
            across: 'platform',
            noValue: 'no exceptions',
            links: codeLinks(cell),
          },
        ),
        timeSeries(
          {
            title: 'Exceptions per minute by group type',
            description:
              'Normal: the shape of the day in every type. One type alone: see its categories below.',
            width: 12,
            height: 9,
          },
          perMinuteBy('group_type', ...chosen),
        ),
        timeSeries(
          {
            title: 'Exceptions per minute by platform',
            description:
              'Normal: the shape of the day on every platform. One alone that steps up is a release or an outage of that client.',
            width: 12,
            height: 9,
          },
          perMinuteBy('platform', ...chosen),
        ),
      ],
    },
    {
      title: 'Each group type by itself',
      panels: [
        timeSeries(
          {
            title: 'What fails in $group_type?',
            description:
              'Exceptions per minute by category, in groups of this type. Normal: the same categories as in the others. Each graph has a scale of its own: compare shapes, and numbers by the legend.',
            width: 12,
            height: 8,
            repeat: 'group_type',
          },
          {
            queries: [series(perMinute('error_category', exceptions, ...chosen), '{{error_category}}')],
            unit: CountsPerMinute,
            style: 'stacked',
            legend: 'beside',
            links: [categoryLink()],
            noValue: 'no exceptions',
          },
        ),
      ],
    },
  ],
};
