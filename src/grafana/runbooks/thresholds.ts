/** Which of the numbers in settings.ts decide when an alert fires: those its page explains. */
import type { Alert } from '../rules/model.ts';
import type { thresholds } from '../settings.ts';

type ThresholdName = keyof typeof thresholds;

const band = ['bandRatio', 'bandDeviations', 'bandFloor'] as const satisfies ThresholdName[];
const manySenders = ['sendersRatio', 'sendersFloor'] as const satisfies ThresholdName[];
/** The rest of what a surge depends on: on one page only, since five others would be as long. */
const learning = [
  'hourBandFloor',
  'hourSendersRatio',
  'hourSendersFloor',
  'usualPeakMargin',
  'usualPeakMax',
  'activityMax',
  'weeklyShowMax',
  'unlearnedGrowth',
  'unlearnedMost',
] as const satisfies ThresholdName[];
const budget = ['slowAnswer', 'callbackBudget'] as const satisfies ThresholdName[];

export const thresholdsOf: Partial<Record<Alert['name'], readonly ThresholdName[]>> = {
  TencentChatServerInternalErrors: [
    ...band,
    ...manySenders,
    'internalErrorsUnlearned',
    'internalErrorsUnlearnedShare',
  ],
  TencentChatExceptionSpike: [...band, ...manySenders, ...learning],
  TencentChatModerationSurge: [...band, ...manySenders],
  TencentChatRateLimitSurge: [...band, 'rateLimitFar', 'rateLimitMinutes', ...manySenders],
  TencentChatMassMute: [...band, ...manySenders, 'exceptionsPerMutedSender'],
  TencentChatAppCallbackRejecting: [...band, ...manySenders],
  TencentChatQuotaExhausted: ['quotaRatio', 'bandDeviations', 'quotaFloor'],
  TencentChatPlatformRegression: [
    'platformRatio',
    'platformCategoryRatio',
    'bandDeviations',
    'platformFloor',
    'platformCategories',
  ],
  TencentChatNewErrorCode: ['newCodeExceptions'],
  TencentChatCallbacksStopped: ['stoppedCallbacks', 'stoppedHours', 'stoppedUnlearned'],
  TencentChatCallbackBudgetBurn: [
    ...budget,
    'budgetBurnFast',
    'budgetBurnFastCallbacks',
    'budgetBurnSlow',
    'budgetBurnSlowCallbacks',
  ],
  TencentChatSignatureFailures: ['signatureFailures'],
  TencentChatCallbacksRejected: ['rejections'],
  TencentChatDelayHigh: ['delay', 'delayCallbacks'],
  TencentChatJournalFilling: ['journalFilled'],
  TencentChatTelemetryNotDelivered: ['undelivered'],
  TencentChatExporterRestarting: ['restarts'],
  TencentChatEventLoopLagging: ['eventLoopLag'],
};
