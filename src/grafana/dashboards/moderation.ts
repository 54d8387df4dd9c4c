/** What content moderation and the app itself refuse: how much, what kind, from how many senders. */

import { CountsPerMinute, LocaleFormat, PercentUnit, Short } from '@grafana/grafana-foundation-sdk/units';
import { metricTable } from '../../metrics/table.ts';
import { thresholds } from '../settings.ts';
import { categoryColors, colors } from './colors.ts';
import type { Dashboard } from './model.ts';
import {
  byCategory,
  codeLinks,
  common,
  instant,
  of,
  perMinute,
  recorded,
  sendersRecorded,
  series,
  variables,
} from './queries.ts';
import { dashboardUids } from './uids.ts';
import { stat, timeSeries } from './visualizations.ts';

const exceptions = metricTable.exceptions.name;
const app = 'sdk_app_id=~"$sdk_app_id"';
const moderated = 'error_category="moderated"';
const inHour = (offset = ''): string => `sum(increase(${of(exceptions, app, moderated)}[1h]${offset}))`;
const senders = metricTable.senders.name;
const groups = metricTable.groups.name;

const half = { width: 12, height: 9 } as const;

export const moderation: Dashboard = {
  uid: dashboardUids.moderation,
  title: 'Tencent Chat: content moderation',
  description: 'What is refused on purpose, how much more than usual, and by how many senders?',
  from: 'now-24h',
  variables: [...common, variables.sdkAppId],
  rows: [
    {
      title: 'What is blocked?',
      panels: [
        stat(
          {
            title: 'Blocked in the last hour',
            description:
              'Messages that Tencent’s content moderation refused. Normal: see the number beside it. Much more: a raid, or a new filter word that catches harmless messages.',
            width: 6,
            height: 4,
          },
          { queries: [instant(inHour())], unit: LocaleFormat, decimals: 0, noValue: '0' },
        ),
        stat(
          {
            title: 'Against the same hour yesterday',
            description:
              '100 % is as many as yesterday. Normal: 50 % to 200 %. More: see below from how many senders. No data: nothing was blocked then.',
            width: 6,
            height: 4,
          },
          {
            queries: [instant(`${inHour()} / (${inHour(' offset 1d')} > 0)`)],
            unit: PercentUnit,
            decimals: 0,
            noValue: 'none yesterday',
            steps: [{ color: 'text' }, { from: 2, color: colors.warning }],
          },
        ),
        stat(
          {
            title: 'Senders blocked in 5 minutes',
            description:
              'Distinct senders of blocked messages. Normal: a few. One with many blocks is a bot; many at once are a raid, or a filter that is too strict. Over replicas it is a sum: a sender seen by two counts twice.',
            width: 6,
            height: 4,
          },
          { queries: [instant(`sum(${of(senders, moderated)})`)], unit: LocaleFormat, decimals: 0 },
        ),
        stat(
          {
            title: 'Groups with blocks in 5 minutes',
            description:
              'Distinct groups in which messages were blocked. Normal: a few. One: look into that group. Over replicas it is a sum: a group seen by two counts twice.',
            width: 6,
            height: 4,
          },
          { queries: [instant(`sum(${of(groups, moderated)})`)], unit: LocaleFormat, decimals: 0 },
        ),
        timeSeries(
          {
            title: 'Blocked per minute by code',
            description:
              '80001 is text, 80004 an image; a click on a code says more. Normal: the shape of the day. One code alone is one kind of content, or one filter.',
            ...half,
          },
          {
            queries: [
              series(perMinute('error_code', exceptions, app, moderated), '{{error_code}}', {
                hasExemplars: true,
              }),
            ],
            unit: CountsPerMinute,
            style: 'stacked',
            links: codeLinks(),
            noValue: 'nothing blocked',
          },
        ),
        timeSeries(
          {
            title: 'What did the blocked messages contain?',
            description:
              'Message elements of blocked messages per minute; a message with text and an image counts in both. Normal: mostly text. It is not split by app.',
            ...half,
          },
          {
            queries: [
              series(`${perMinute('msg_type', metricTable.moderatedElements.name)} > 0`, '{{msg_type}}'),
            ],
            style: 'stacked',
            unit: CountsPerMinute,
            noValue: 'nothing blocked',
          },
        ),
      ],
    },
    {
      title: 'Who is refused?',
      panels: [
        timeSeries(
          {
            title: 'How many senders and groups?',
            description:
              'Distinct ones in five minutes. Normal: few, and as many groups as senders. Many senders in one group: a raid on it. One sender in many groups: a bot. Over replicas it is a sum: one seen by two counts twice.',
            ...half,
          },
          {
            queries: [
              series(
                `sum by (error_category) (${of(senders, 'error_category=~"moderated|muted"')})`,
                'senders, {{error_category}}',
              ),
              series(
                `sum by (error_category) (${of(groups, 'error_category=~"moderated|muted"')})`,
                'groups, {{error_category}}',
              ),
            ],
            unit: Short,
            overrides: [
              { name: 'senders, moderated', color: categoryColors.moderated },
              { name: 'groups, moderated', color: categoryColors.moderated, isDashed: true },
              { name: 'senders, muted', color: categoryColors.muted },
              { name: 'groups, muted', color: categoryColors.muted, isDashed: true },
            ],
          },
        ),
        timeSeries(
          {
            title: 'How often does one sender try?',
            description: `Exceptions per sender in five minutes. Normal: 1 to 3. Above ${thresholds.exceptionsPerMutedSender.value} a program is trying, not a person. Recorded over all instances.`,
            ...half,
          },
          {
            queries: [
              series(
                `sum by (error_category) (${byCategory}{${recorded},error_category=~"moderated|muted"})
/ on (error_category) (sum by (error_category) (${sendersRecorded}{${recorded},error_category=~"moderated|muted"}) > 0)`,
                '{{error_category}}',
              ),
            ],
            unit: Short,
            limits: [
              { color: 'transparent' },
              { from: thresholds.exceptionsPerMutedSender.value, color: colors.warning },
            ],
            noValue: 'no senders',
          },
        ),
        timeSeries(
          {
            title: 'Refused because muted, by group type',
            description:
              'Messages per minute from members who are muted, or in groups where all are. Normal: steady. A step in many groups: somebody muted all, or a tool did.',
            ...half,
          },
          {
            queries: [
              series(perMinute('group_type', exceptions, app, 'error_category="muted"'), '{{group_type}}'),
            ],
            unit: CountsPerMinute,
            noValue: 'nobody refused',
          },
        ),
        timeSeries(
          {
            title: 'Rejected by the app’s own callback',
            description:
              'Messages per minute that your own before-send callback refused, or failed to answer for; the app’s policy, not Tencent’s. Normal: steady. A step with your own release: look at that service first.',
            ...half,
          },
          {
            queries: [
              series(
                perMinute('error_code', exceptions, app, 'error_category="rejected_by_app"'),
                '{{error_code}}',
              ),
            ],
            unit: CountsPerMinute,
            links: codeLinks(),
            noValue: 'nothing rejected',
          },
        ),
      ],
    },
  ],
};
