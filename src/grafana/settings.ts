/**
 * What one may want to change before generating `grafana/` for oneself: where links point, and where alerts stand.
 *
 *     GRAFANA_URL=https://grafana.example.org RUNBOOKS_URL=https://wiki.example.org/chat npm run grafana
 */
import {
  journalFilledRatioMax,
  rejectionsMax,
  runbooksUrlDefault,
  signatureFailuresMax,
  undeliveredSecondsMax,
} from '../guidance.ts';

/** Where the links of alerts and dashboards point. The defaults are those of grafana/compose.yml. */
export const links = {
  /** Grafana's root, to which `/d/<uid>` is added. */
  grafanaUrl: process.env.GRAFANA_URL ?? 'http://localhost:3000',
  /** The folder of the runbooks, to which `/<alert>.md` is added. Prometheus serves it: `--web.user-assets`. */
  runbooksUrl: process.env.RUNBOOKS_URL ?? runbooksUrlDefault,
} as const;

/** The job under which Prometheus scrapes the exporter; the rules keep whatever job the series have. */
export const jobName = 'tencent-chat-exporter';

/** One number of an alert or of the learned band, with what it means and why it stands where it stands. */
export interface Threshold {
  value: number;
  unit:
    | 'exceptions'
    | 'callbacks'
    | 'senders'
    | 'seconds'
    | 'minutes'
    | 'ratio'
    | 'factor'
    | 'restarts'
    | 'count';
  why: string;
}

/** Where alerts stand. Text and expression of an alert both take its numbers from here. */
export const thresholds = {
  bandRatio: {
    value: 2.2,
    unit: 'factor',
    why: 'Of large counts. What lifts all categories, as a promotion does, is taken out by activity; one category alone rarely doubles.',
  },
  bandDeviations: {
    value: 6,
    unit: 'factor',
    why: 'Of small counts: multiples of the Poisson deviation, since one user who tries again and again clusters them.',
  },
  bandFloor: {
    value: 6,
    unit: 'exceptions',
    why: 'In five minutes where none are expected. Five are one user who tries again.',
  },
  hourBandFloor: {
    value: 8,
    unit: 'exceptions',
    why: 'In an hour where none are expected, for slow ramps and small apps.',
  },
  sendersRatio: {
    value: 1.5,
    unit: 'factor',
    why: 'Of the expected senders. An incident reaches people whom it does not reach every day.',
  },
  sendersFloor: { value: 3, unit: 'senders', why: 'One user, or a bot with a second account, never passes.' },
  hourSendersRatio: {
    value: 1.3,
    unit: 'factor',
    why: 'Of the expected senders, averaged over an hour, which is smoother than five minutes.',
  },
  hourSendersFloor: {
    value: 1.5,
    unit: 'senders',
    why: 'Averaged over an hour. One bot that never rests is one.',
  },
  exceptionsPerMutedSender: {
    value: 8,
    unit: 'exceptions',
    why: 'In five minutes, of what is more than expected, in every category. A person gives up sooner; a program goes on.',
  },
  rateLimitFar: {
    value: 1.5,
    unit: 'factor',
    why: 'Of the limit, of frequency limits: told at once. What is nearer to it must stay there.',
  },
  rateLimitMinutes: {
    value: 6,
    unit: 'minutes',
    why: 'At the limit. Half a dozen people in one hot room meet their frequency limits together, for some minutes.',
  },
  usualPeakMargin: {
    value: 1.4,
    unit: 'factor',
    why: 'Of the peak that the middle one of the last seven days reached: what happens every other day is no news.',
  },
  usualPeakMax: {
    value: 2.5,
    unit: 'factor',
    why: 'However noisy a category is, two and a half times the band is told.',
  },
  activityMax: {
    value: 3,
    unit: 'factor',
    why: 'Of an ordinary day. A promotion lifts an app two- or threefold; more than that should be looked at.',
  },
  weeklyShowMax: {
    value: 1.7,
    unit: 'factor',
    why: 'Of the usual: so far is last week’s same hour believed. A weekly show adds half; more may have been an incident.',
  },
  unlearnedGrowth: {
    value: 1.6,
    unit: 'factor',
    why: 'Of the last two hours, as long as there are not yet three days to learn from: so fast does a morning rise.',
  },
  unlearnedMost: {
    value: 2,
    unit: 'factor',
    why: 'Of what three fifths of those two hours stay below: a bot’s half hour, or an incident’s, is not the level.',
  },
  internalErrorsUnlearned: {
    value: 10,
    unit: 'exceptions',
    why: 'In five minutes, in the first hour, when there is no level at all.',
  },
  internalErrorsUnlearnedShare: {
    value: 0.25,
    unit: 'ratio',
    why: 'Of all exceptions, in the first hour. Of an ordinary day they are one or two in a hundred; a large app has ten of them at any time.',
  },
  quotaRatio: {
    value: 3,
    unit: 'factor',
    why: 'Of the expected hour: a daily limit met is not yet exhausted.',
  },
  quotaFloor: { value: 4, unit: 'exceptions', why: 'In an hour where none are expected.' },
  platformRatio: {
    value: 2,
    unit: 'factor',
    why: 'Of a platform’s usual share against what the others have now, over all categories; shares move less than levels.',
  },
  platformCategoryRatio: {
    value: 2.5,
    unit: 'factor',
    why: 'The same in one category alone, which moves more.',
  },
  platformFloor: {
    value: 10,
    unit: 'exceptions',
    why: 'In half an hour where none are expected. Less is one device.',
  },
  platformCategories: {
    value: 3,
    unit: 'count',
    why: 'Categories that rise together on one platform. A bot or a mute raises one.',
  },
  newCodeExceptions: { value: 2, unit: 'exceptions', why: 'In 30 minutes: once may be a stray request.' },
  stoppedCallbacks: {
    value: 25,
    unit: 'callbacks',
    why: 'Silence for as long as so many usually take. They come in clusters of two or three, so these are about ten chances.',
  },
  stoppedHours: {
    value: 7,
    unit: 'count',
    why: 'Hours with any exception that a silent day or two would usually have. Counted in hours, a bot’s thousand weigh as one.',
  },
  stoppedUnlearned: {
    value: 5,
    unit: 'callbacks',
    why: 'In each five minutes of two hours before a silence of 15 minutes, as long as nothing is learned.',
  },
  slowAnswer: {
    value: 1,
    unit: 'seconds',
    why: 'Half of the 2 s that Tencent waits. Must be a bucket of tencent_chat_callback_duration_seconds.',
  },
  callbackBudget: {
    value: 0.001,
    unit: 'ratio',
    why: 'The objective is 99.9 % of exceptions answered within slowAnswer: Tencent does not send one twice.',
  },
  budgetBurnFast: {
    value: 14.4,
    unit: 'factor',
    why: 'Of the budget’s pace, in an hour and still in the last 5 minutes: 2 % of a month’s budget in an hour.',
  },
  budgetBurnFastCallbacks: {
    value: 100,
    unit: 'callbacks',
    why: 'In the hour. Of 69 or fewer, a single slow one is already above the pace; of 100 it takes two.',
  },
  budgetBurnSlow: {
    value: 6,
    unit: 'factor',
    why: 'Of the budget’s pace, in 6 hours and still in the last 30 minutes: 5 % of a month’s budget in 6 hours.',
  },
  budgetBurnSlowCallbacks: {
    value: 300,
    unit: 'callbacks',
    why: 'In the 6 hours. Of 300, one slow one is at half the pace, two are above it.',
  },
  signatureFailures: {
    value: signatureFailuresMax,
    unit: 'callbacks',
    why: 'In 15 minutes, by reason. A port scan leaves one or two; a wrong token or clock fails every callback.',
  },
  rejections: {
    value: rejectionsMax,
    unit: 'callbacks',
    why: 'In 15 minutes, by reason. Strangers on the open port leave a few.',
  },
  delay: {
    value: 60,
    unit: 'seconds',
    why: 'The 95th percentile from EventTime to receipt. Tencent takes well under a second; a clock may be wrong by a few.',
  },
  delayCallbacks: {
    value: 5,
    unit: 'callbacks',
    why: 'In 5 minutes. A percentile of fewer is a single late callback.',
  },
  journalFilled: {
    value: journalFilledRatioMax,
    unit: 'ratio',
    why: 'Of JOURNAL_MAX_BYTES, beyond which undelivered telemetry is dropped. A fifth leaves time to act.',
  },
  undelivered: {
    value: undeliveredSecondsMax,
    unit: 'seconds',
    why: 'Delivery takes seconds, and a collector’s restart a minute or two.',
  },
  restarts: {
    value: 2,
    unit: 'restarts',
    why: 'In 15 minutes. A deployment and its rollback are two.',
  },
  eventLoopLag: {
    value: 0.5,
    unit: 'seconds',
    why: 'The 99th percentile, averaged. Idle it reads 0.05 s; answers have 2 s.',
  },
} as const satisfies Record<string, Threshold>;
