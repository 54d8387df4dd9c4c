/**
 * Recording rules and alerts about exceptions: what came in five minutes, what is usual, and when it is too much.
 *
 * Every `…increase5m…` series is in exceptions per five minutes, so that levels can be compared by eye. There is no
 * denominator, only failures are reported: a surge is more than a learned level *and* an absolute floor, confirmed by
 * more senders than usual. A score says how close a series is to that, 1 being there; what a category's score reaches
 * on ordinary days widens its limit. Chosen on simulated months, `npm run months`; the numbers are in settings.ts.
 */
import type { ErrorCategory } from '../../callback/exception.ts';
import { metricTable } from '../../metrics/table.ts';
import { thresholds } from '../settings.ts';
import type { Alert, RecordingRule, RuleGroup } from './model.ts';

const t = Object.fromEntries(Object.entries(thresholds).map(([name, { value }]) => [name, value])) as Record<
  keyof typeof thresholds,
  number
>;

const exceptions = metricTable.exceptions.name;
const callbacks = metricTable.callbacks.name;

const byCode = 'job_error_code:tencent_chat_exceptions:increase5m';
const byCategory = 'job_error_category:tencent_chat_exceptions:increase5m';
const all = 'job:tencent_chat_exceptions:increase5m';
const senders = 'job_error_category:tencent_chat_exception_senders';
const activity = 'job:tencent_chat_exceptions:activity';
const surge = 'job_error_category:tencent_chat_exceptions:surge5m';
const surgeOfHour = 'job_error_category:tencent_chat_exceptions:surge1h';
const byPlatform = 'job_platform:tencent_chat_exceptions:increase30m';
const byPlatformAndCategory = 'job_platform_error_category:tencent_chat_exceptions:increase30m';
const regression = 'job_platform:tencent_chat_exceptions:regression';
const activeHours = 'job:tencent_chat_exceptions:active_hours1d';

/** The larger of several expressions, series by series; one that has no value is left out. */
function larger(...expressions: string[]): string {
  return chosen('max without (choice)', expressions);
}

/** The smaller of several expressions, series by series. */
function smaller(...expressions: string[]): string {
  return chosen('min without (choice)', expressions);
}

/** The middle of several expressions, series by series. */
function middle(...expressions: string[]): string {
  return chosen('quantile without (choice) (0.5,', expressions);
}

function chosen(aggregation: string, expressions: string[]): string {
  const choices = expressions.map(
    (expression, index) => `  label_replace(${expression}, "choice", "${index + 1}", "", "")`,
  );
  return `${aggregation}${aggregation.endsWith(',') ? '' : ' ('}\n${choices.join('\n  or\n')}\n)`;
}

const week = [1, 2, 3, 4, 5, 6, 7];

/** The middle of the last seven days of the hour around this time of day; of an average over the hour before. */
function usualHour(average: string): string {
  return middle(...week.map(day => `${average} offset ${24 * day - 1}h30m`));
}

/**
 * What is expected now of `series`. From three days of history on: usual times activity, or the same hour a week ago
 * where that was more (weekly shows); no more than a show adds, for there may have been an incident in that hour.
 * Before, and where the history has a hole: the last two hours, once one of them is there, and what a morning adds; not
 * the last quarter of an hour, in which an incident may have begun, and no more than what most of that time had, or a
 * bot's half hour would hide the next incident.
 */
function expectedNow(series: string, usual: string, average: string): string {
  const usualNow = `(${usual} * on (job) group_left () ${activity})`;
  const lastWeek = `${average} offset 167h30m`;
  const learned = `${average} offset 71h30m`;
  const lastHours = smaller(
    `avg_over_time(${series}[2h] offset 15m)`,
    `(${t.unlearnedMost} * quantile_over_time(0.6, ${series}[2h] offset 15m) + 1)`,
  );
  const isThere = `count_over_time(${series}[2h:10m] offset 15m) >= 6`;
  return larger(
    `(${usualNow} and ${learned})`,
    `(${smaller(lastWeek, `(${t.weeklyShowMax} * ${usualNow} + 1)`)} and ${lastWeek})`,
    `${t.unlearnedGrowth} * (${lastHours} and ${isThere} unless ${learned})`,
  );
}

/** A ratio for large counts, a multiple of the Poisson deviation for small ones, a handful for none at all. */
function band(expected: string, ratio: number, floor: number): string {
  return `(${ratio} * ${expected} + ${t.bandDeviations} * sqrt(${expected}) + ${floor})`;
}

/** How close to a surge: 1 when the exceptions reach their band and the senders theirs, and no few of them send it all. */
function surgeScore(count: string, limit: string, who: string, whoLimit: string, excess: string): string {
  return `(
${smaller(`${count} / ${limit}`, `${who} / ${whoLimit}`)}
and
(${excess}) <= ${t.exceptionsPerMutedSender} * (${who} - ${senders}:expected)
)
or
0 * ${count}`;
}

/**
 * Where a score has its limit: at 1, or above what it reaches in the worst five minutes of an ordinary day, which is the
 * middle one of the last seven. One day of incidents does not move it. The last three hours are left out: an incident is
 * not to be learned from while it lasts.
 */
function learnedLimit(score: string, labels: string): RecordingRule[] {
  const peak = `${score}_peak1d`;
  return [
    {
      record: peak,
      expr: `max_over_time(${score}[1d])`,
      why: 'The worst of a day, to learn from.',
    },
    {
      record: `${score}_limit`,
      expr: `clamp(
  ${t.usualPeakMargin} * ${middle(...week.map(day => `${peak} offset ${24 * day - 21}h`))}
  and on (${labels}) ${peak} offset 27h,
  1, ${t.usualPeakMax}
)
or
1 + 0 * ${score}`,
      why: 'What happens every other day is no news: above the middle one of seven daily peaks, and never below 1.',
    },
  ];
}

/** What there is now, and hourly and daily figures of it. */
const levels: readonly RecordingRule[] = [
  {
    record: byCode,
    expr: `sum by (job, error_code, error_category) (increase(${exceptions}[5m]))
or
0 * max by (job, error_code, error_category) (${metricTable.errorCodeInfo.name})`,
    why: 'The exporter shows a series born since the last scrape at 0 once, so increase() is enough. Adding the raw value of "series not there five minutes ago" would report restored totals as a burst after a long stop or a move.',
  },
  {
    record: `${byCode}_max1h`,
    expr: `max_over_time(${byCode}[1h])`,
    why: 'A week of hours is 168 values for a code; a week of minutes would be 10,080.',
  },
  {
    record: byCategory,
    expr: `sum by (job, error_category) (${byCode})`,
    why: 'Alerts are by category: what to do depends on it.',
  },
  { record: all, expr: `sum by (job) (${byCode})`, why: 'All exceptions, for dashboards and for silence.' },
  {
    record: `${byCategory}_avg1h`,
    expr: `avg_over_time(${byCategory}[1h])`,
    why: 'An hour is smooth enough to learn from.',
  },
  {
    record: `${senders}:sum`,
    expr: `sum by (job, error_category) (${metricTable.senders.name})`,
    why: 'Over replicas. A sender seen by two of them counts twice.',
  },
  {
    record: `${senders}:avg1h`,
    expr: `avg_over_time(${senders}:sum[1h])`,
    why: 'An hour is smooth enough to learn from.',
  },
  {
    record: byPlatformAndCategory,
    expr: `sum by (job, platform, error_category) (increase(${exceptions}{error_category!~"muted|quota_exceeded"}[30m]))`,
    why: 'Half an hour, since a platform is a part only. Whom an admin mutes, and which plan ends, says nothing about a client.',
  },
  {
    record: `${byPlatformAndCategory}_avg1w`,
    expr: `avg_over_time(${byPlatformAndCategory}[1w:1h] offset 3h)
or
0 * ${byPlatformAndCategory}`,
    why: 'Shares change little over a day, so any hour of the week tells. Every hour: 168 values, not 10,080.',
  },
  {
    record: activeHours,
    expr: `sum_over_time((sum by (job) (${byCategory}_avg1h) > bool 0)[1d:1h])`,
    why: 'Hours of a day in which anything came. A bot of a thousand exceptions is an hour, as one exception is.',
  },
];

/** What is usual, what is expected now, and how close each category is to a surge. */
const baseline: readonly RecordingRule[] = [
  {
    record: `${byCategory}_usual`,
    expr: usualHour(`${byCategory}_avg1h`),
    why: 'The middle of the last seven days of the hour around this time of day. One incident, one promotion or one gap in seven days does not move a median.',
  },
  {
    record: `${all}_usual`,
    expr: `sum by (job) (${byCategory}_usual)`,
    why: 'All exceptions, for silence.',
  },
  { record: `${senders}:usual`, expr: usualHour(`${senders}:avg1h`), why: 'Like the exceptions.' },
  {
    record: activity,
    expr: `clamp(
${larger(liftOverUsual(`${byCategory}_avg1h`, 0.4), liftOverUsual(`avg_over_time(${byCategory}[15m])`, 4))},
1, ${t.activityMax})
or on (job)
1 + 0 * ${all}_usual`,
    why: 'How much busier the whole app is than usual: the median over categories, of the last hour, or of the last quarter where there is enough to tell by. A promotion, a holiday or a launch lifts all categories; an incident lifts one or two.',
  },
  {
    record: `${byCategory}_expected`,
    expr: expectedNow(byCategory, `${byCategory}_usual`, `${byCategory}_avg1h`),
    why: 'Usual times activity; or the same hour a week ago where that was more (weekly shows), as far as a show goes; or, in the first three days, what the last two hours had.',
  },
  {
    record: `${senders}:expected`,
    expr: expectedNow(`${senders}:sum`, `${senders}:usual`, `${senders}:avg1h`),
    why: 'Like the exceptions.',
  },
  {
    record: `${senders}:upper`,
    expr: `${t.sendersRatio} * ${senders}:expected + ${t.sendersFloor}`,
    why: 'Many senders. One user or one bot never passes.',
  },
  {
    record: surge,
    expr: surgeScore(
      byCategory,
      band(`${byCategory}_expected`, t.bandRatio, t.bandFloor),
      `${senders}:sum`,
      `${senders}:upper`,
      `${byCategory} - ${byCategory}_expected`,
    ),
    why: 'How close to a surge; 1 when the exceptions reach their band and the senders theirs, and no few of them send it all.',
  },
  ...learnedLimit(surge, 'job, error_category'),
  {
    record: `${byCategory}_upper`,
    expr: `${band(`${byCategory}_expected`, t.bandRatio, t.bandFloor)}
* ${surge}_limit`,
    why: 'Upper band: a ratio for large counts, a multiple of the Poisson deviation for small ones, a handful for none at all; wider where ordinary days are noisy. Expected 0 -> 6, 2 -> 19, 50 -> 158, 2000 -> 4674.',
  },
  {
    record: surgeOfHour,
    expr: surgeScore(
      `${byCategory}_avg1h`,
      `(${band(`(12 * ${byCategory}_expected)`, t.bandRatio, t.hourBandFloor)} / 12)`,
      `${senders}:avg1h`,
      `(${t.hourSendersRatio} * ${senders}:expected + ${t.hourSendersFloor})`,
      `${byCategory}_avg1h - ${byCategory}_expected`,
    ),
    why: 'The same of an hour, for what rises slowly and for small apps: its twelve-fold count lies closer to what is expected.',
  },
  ...learnedLimit(surgeOfHour, 'job, error_category'),
];

/** How much more than usual, the median over categories whose usual level is above `leastUsual`: three at least. */
function liftOverUsual(now: string, leastUsual: number): string {
  const usual = `(${byCategory}_usual > ${leastUsual})`;
  return `(quantile by (job) (0.5, ${now} / ${usual}) and on (job) count by (job) ${usual} >= 3)`;
}

const platformExpected = `${byPlatformAndCategory}_expected`;
const others = (series: string) =>
  `(sum by (job, error_category) (${series}) - on (job, error_category) group_right () ${series})`;
const inTotal = (series: string) => `sum by (job, platform) (${series})`;
const sendersExcess = `(${senders}:sum - ${senders}:expected)`;

/** How close each platform is to a regression. */
const platforms: readonly RecordingRule[] = [
  {
    record: platformExpected,
    expr: `(${others(byPlatformAndCategory)} + 1)
* ${byPlatformAndCategory}_avg1w
/ (${others(`${byPlatformAndCategory}_avg1w`)} > 0)`,
    why: "A platform's expected half hour in a category: what the other platforms have now, times its usual share against theirs. One more than they have, or the silence of a few would be taken for their share: nothing is said of a platform that is nearly alone.",
  },
  {
    record: byPlatform,
    expr: inTotal(`(${byPlatformAndCategory} and ${platformExpected})`),
    why: 'All categories of which something is expected.',
  },
  { record: `${byPlatform}_expected`, expr: inTotal(platformExpected), why: 'All categories.' },
  {
    record: regression,
    expr: `${larger(
      `(
    ${byPlatform} / ${band(`${byPlatform}_expected`, t.platformRatio, t.platformFloor)}
    and on (job, platform)
    count by (job, platform) (${byPlatformAndCategory} >= ${t.platformRatio} * ${platformExpected} + 2 * sqrt(${platformExpected}) + 1) >= ${t.platformCategories}
  )`,
      `max by (job, platform) (
    ${byPlatformAndCategory} / ${band(platformExpected, t.platformCategoryRatio, t.platformFloor)}
    and on (job, error_category) ${sendersExcess} >= 2 + sqrt(${senders}:expected)
    and (${byPlatformAndCategory} - ${platformExpected}) / 6 <= on (job, error_category) group_left () ${t.exceptionsPerMutedSender} * ${sendersExcess}
  )`,
    )}
and on (job) count_over_time(${all}[1d:10m] offset 3h) > 72
or
0 * ${byPlatform}`,
    why: 'How close a platform is to a regression: three categories or more rise on it alone; or one does, and more senders than usual confirm it. One bot on a platform raises one category, and is one sender.',
  },
  ...learnedLimit(regression, 'job, platform'),
];

/** One group: Prometheus evaluates its rules in this order at one instant, so that none sees what another said a minute ago. */
export const exceptionRecordingGroups: readonly RuleGroup<RecordingRule>[] = [
  {
    name: 'tencent-chat.exceptions.rules',
    intervalSeconds: 60,
    rules: [...levels, ...baseline, ...platforms],
  },
];

/** Of five minutes: at its limit. */
const isAtLimit = `${surge} >= ${surge}_limit`;

/** Far above its limit, or at it for some minutes: half of one less, so that a window of either bound holds as many. */
const isAtLimitSteadily = `${surge} >= ${t.rateLimitFar} * ${surge}_limit
  or
  min_over_time(${surge}[${60 * t.rateLimitMinutes - 30}s]) >= ${surge}_limit`;

/**
 * A category's exceptions while it is at its limit, `condition` says how, or is so over an hour and not over yet.
 * `matcher` chooses the categories.
 */
function surges(matcher: string, condition = isAtLimit): string {
  return `${byCategory}{${matcher}}
and
(
  ${condition}
  or
  ${surgeOfHour} >= ${surgeOfHour}_limit
  and ${byCategory} > ${byCategory}_expected
)`;
}

interface Surge {
  name: Alert['name'];
  category: ErrorCategory;
  summary: string;
  dashboard: Alert['dashboard'];
  condition?: string;
  why: string;
}

const codeDashboard: Alert['dashboard'] = {
  uid: 'tencent-chat-error-code',
  variables: ['job', 'error_category'],
};
const moderationDashboard: Alert['dashboard'] = { uid: 'tencent-chat-moderation', variables: ['job'] };
const description =
  '{{ $labels.job }} counts {{ $value | humanize }} exceptions of category {{ $labels.error_category }} in five minutes, more than is usual at this time, from many senders.';

/** Categories with an alert of their own that is otherwise like the spike. */
const surgeAlerts: Surge[] = [
  {
    name: 'TencentChatModerationSurge',
    category: 'moderated',
    summary: 'Content moderation is blocking far more group messages than usual.',
    dashboard: moderationDashboard,
    why: 'A raid has many senders; a bot has one.',
  },
  {
    name: 'TencentChatRateLimitSurge',
    category: 'rate_limited',
    summary: 'Group messages are hitting frequency limits far more than usual.',
    dashboard: codeDashboard,
    condition: isAtLimitSteadily,
    why: 'One busy bot, or one hot room every evening, is limited all the time: neither passes. A room is hot for a few minutes.',
  },
  {
    name: 'TencentChatMassMute',
    category: 'muted',
    summary: 'Many different senders are being refused because they are muted.',
    dashboard: moderationDashboard,
    why: 'A bot that goes on trying while others are muted is not a mass mute.',
  },
  {
    name: 'TencentChatAppCallbackRejecting',
    category: 'rejected_by_app',
    summary: "The app's own before-send callback is rejecting or failing messages.",
    dashboard: codeDashboard,
    why: "The app's own doing, not Tencent's.",
  },
];
const otherwiseTold = ['internal_error', 'quota_exceeded', ...surgeAlerts.map(({ category }) => category)];

const surgeTimes = { for: '1m', keepFiringFor: '15m' } as const;

export const exceptionAlertGroup: RuleGroup<Alert> = {
  name: 'tencent-chat.exceptions.alerts',
  intervalSeconds: 60,
  rules: [
    {
      name: 'TencentChatServerInternalErrors',
      severity: 'critical',
      expr: `${surges('error_category="internal_error"')}
or
(
  ${byCategory}{error_category="internal_error"} >= ${t.internalErrorsUnlearned}
  and on (job) ${byCategory}{error_category="internal_error"} > on (job) ${t.internalErrorsUnlearnedShare} * ${all}
  unless ${byCategory}_expected
)`,
      for: '1m',
      keepFiringFor: '10m',
      summary: 'Tencent Cloud Chat is failing group messages with internal errors.',
      description:
        '{{ $labels.job }} counts {{ $value | humanize }} internal errors in five minutes, more than is usual at this time, from many senders.',
      dashboard: codeDashboard,
      why: 'In the first hour, before there is any level: ten, and a quarter of all exceptions.',
    },
    {
      name: 'TencentChatExceptionSpike',
      severity: 'warning',
      expr: surges(`error_category!~"${otherwiseTold.join('|')}"`),
      ...surgeTimes,
      summary: 'Group message exceptions are far above their usual level.',
      description,
      dashboard: codeDashboard,
      why: 'The categories without an alert of their own.',
    },
    ...surgeAlerts.map(
      ({ name, category, summary, dashboard, why, condition }): Alert => ({
        name,
        severity: 'warning',
        expr: surges(`error_category="${category}"`, condition),
        ...surgeTimes,
        summary,
        description,
        dashboard,
        why,
      }),
    ),
    {
      name: 'TencentChatQuotaExhausted',
      severity: 'warning',
      expr: `12 * ${byCategory}_avg1h{error_category="quota_exceeded"}
> ${band(`(12 * ${byCategory}_expected)`, t.quotaRatio, t.quotaFloor)}`,
      for: '5m',
      keepFiringFor: '1h',
      summary: 'Messages fail because a Tencent Cloud Chat plan limit is exhausted.',
      description:
        '{{ $labels.job }} counts {{ $value | humanize }} exceptions of category {{ $labels.error_category }} in an hour.',
      dashboard: codeDashboard,
      why: 'Over an hour, since a small app meets its limit a few times an hour only. However few send: a plan is the whole app’s.',
    },
    {
      name: 'TencentChatPlatformRegression',
      severity: 'warning',
      expr: `${byPlatform} and ${regression} >= ${regression}_limit`,
      for: '5m',
      keepFiringFor: '30m',
      summary: 'One client platform fails far more than its usual share.',
      description:
        '{{ $labels.platform }} of {{ $labels.job }} has {{ $value | humanize }} exceptions in half an hour, more than its usual share against the other platforms.',
      dashboard: { uid: 'tencent-chat-groups-and-platforms', variables: ['job', 'platform'] },
      why: 'A bad client release shows as a change of shares, at any time of day.',
    },
    {
      name: 'TencentChatNewErrorCode',
      severity: 'info',
      expr: `(
  sum by (job, error_code, error_category) (increase(${exceptions}[30m])) >= ${t.newCodeExceptions}
  unless
  max_over_time(${byCode}_max1h[1w:30m] offset 1h) > 0
)
and on (job) count_over_time(${all}[1d:10m] offset 15m) > 72`,
      keepFiringFor: '30m',
      summary: 'An error code not seen in the last 7 days has appeared.',
      description:
        '{{ $labels.job }} counts {{ $value | humanize }} exceptions of code {{ $labels.error_code }} ({{ $labels.error_category }}) in 30 minutes.',
      dashboard: { uid: 'tencent-chat-error-code', variables: ['job', 'error_category', 'error_code'] },
      why: 'New is only what a history of half a day or more does not have.',
    },
    {
      name: 'TencentChatCallbacksStopped',
      severity: 'warning',
      expr: [
        ...[10, 15, 30, 60, 120, 240, 480].map(minutes =>
          silent(
            `${minutes}m`,
            `${minutes / 5} * avg_over_time(${all}_usual[${minutes}m]) >= ${t.stoppedCallbacks}
  and on (job) ${all} offset 3d`,
          ),
        ),
        ...[24, 36, 48].map(hours =>
          silent(
            `${hours}h`,
            `${hours / 24} * ${middle(...week.map(day => `${activeHours} offset ${day}d`))} >= ${t.stoppedHours}
  and on (job) ${activeHours} offset ${72 + hours}h`,
          ),
        ),
        silent(
          '15m',
          `min_over_time(${all}[2h] offset 16m) >= ${t.stoppedUnlearned}
  and on (job) count_over_time(${all}[2h:10m] offset 16m) >= 11`,
        ),
      ].join('\nor on (job)\n'),
      for: '2m',
      keepFiringFor: '10m',
      summary: 'Callbacks have stopped although they usually arrive.',
      description:
        '{{ $labels.job }} has had no callback for longer than chance explains, though its exporter is up.',
      dashboard: { uid: 'tencent-chat-exporter', variables: ['job'] },
      why: 'No callback for as long as a number of exceptions usually takes; for small apps a day or two, counted in hours; at once where every five minutes of two hours had some. The exporter was up all that time, or it says nothing about Tencent.',
    },
  ],
};

/** No callback in `window`, the exporter being up in it, and `expectation`, a condition by job, that there should be some. */
function silent(window: string, expectation: string): string {
  return `(
  (sum by (job) (increase(${callbacks}[${window}])) or 0 * max by (job) (up)) == 0
  and on (job) ${expectation}
  and on (job) max by (job) (avg_over_time(up[${window}])) > 0.9
)`;
}
