/** What an authentic `Group.CallbackSendMsgException` reports, field by field, after parsing. */
export interface Exception {
  sdkAppId: string;
  /** Milliseconds since the Unix epoch when the callback's headers had arrived. */
  receivedAt: number;
  /** Tencent's `EventTime` in milliseconds since the Unix epoch; the receipt time where that is missing or implausible. */
  occurredAt: number;
  /** `EventTime` as sent, also where it is implausible; `null` if it is no integer. Part of the identity. */
  eventTime: number | null;
  /** `null`: the field is absent; `'invalid'`: there, but not an integer. */
  errorCode: number | 'invalid' | null;
  errorInfo: string;
  groupId: string | null;
  /** As on the wire, neither mapped nor trusted. */
  groupType: string | null;
  topicId: string | null;
  fromAccount: string | null;
  operatorAccount: string | null;
  /** Tencent's `Random`, an unsigned 32-bit integer. */
  random: number | null;
  isOnlineOnly: boolean | null;
  /** Distinct `MsgType` values in order of appearance. */
  elementTypes: readonly string[];
  /** The text of every `TIMTextElem`, joined by a line feed; only read where a setting asks for it. */
  messageText: string | null;
  platform: string | null;
  clientIp: string | null;
  /** The parts of the exception's identity, as Tencent wrote their digits; see identify.ts. */
  identityParts: string[];
  /** Fields that were missing though a label or the identity is built from them, or that were odd. */
  invalidFields: FieldName[];
}

/** Fields of a callback, by their names on the wire. A label value: keep it closed. */
export const fieldNames = [
  'CallbackCommand',
  'OptPlatform',
  'ClientIP',
  'GroupId',
  'Type',
  'TopicId',
  'From_Account',
  'Operator_Account',
  'Random',
  'OnlineOnlyFlag',
  'MsgBody',
  'ErrorCode',
  'ErrorInfo',
  'EventTime',
] as const;
export type FieldName = (typeof fieldNames)[number];

/** The labels of `tencent_chat_group_message_exceptions_total`, in the order in which they are shown. */
export interface ExceptionLabels {
  sdk_app_id: string;
  error_code: string;
  error_category: ErrorCategory;
  group_type: string;
  platform: string;
  initiator: 'admin' | 'user';
}

/** What kind of failure an error code stands for. A label value: keep it closed. */
export const errorCategories = [
  'internal_error',
  'invalid_parameter',
  'group_unavailable',
  'not_permitted',
  'muted',
  'rate_limited',
  'quota_exceeded',
  'moderated',
  'rejected_by_app',
  'other',
  'unknown',
] as const;
export type ErrorCategory = (typeof errorCategories)[number];

/** Why a callback was refused. A label value: keep it closed. */
export const rejectionReasons = [
  'sdk_app_id',
  'signature',
  'stale',
  'malformed',
  'too_large',
  'encoding',
  'overload',
] as const;
export type RejectionReason = (typeof rejectionReasons)[number];
