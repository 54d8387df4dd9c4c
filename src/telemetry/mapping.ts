/**
 * A journaled exception as a span and as a log record.
 *
 * Both are plain objects of the shapes that the SDK's exporters take. Going through tracer and logger would cost
 * about twice the CPU, and would give every repeated delivery new IDs: here the IDs are the exception's own.
 * Names follow the semantic conventions 1.45 where those have one, and `tencent_chat.*` elsewhere.
 */
import {
  type Attributes,
  type HrTime,
  SeverityNumber,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api';
import type { InstrumentationScope } from '@opentelemetry/core';
import type { Resource } from '@opentelemetry/resources';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { ErrorCategory } from '../callback/exception.ts';
import type { ExceptionRecord } from '../callback/record.ts';

/** Who is speaking. One object for all records: the exporters group by identity. */
export interface Origin {
  resource: Resource;
  scope: InstrumentationScope;
}

/** The failed send, from Tencent's `EventTime` to the receipt of the callback. */
export function toSpan(record: ExceptionRecord, { resource, scope }: Origin): ReadableSpan {
  const context = contextOf(record);
  return {
    name: 'send',
    kind: SpanKind.PRODUCER,
    spanContext: () => context,
    startTime: hrTime(record.occurredAt),
    endTime: hrTime(record.receivedAt),
    duration: hrTime(record.receivedAt - record.occurredAt),
    ended: true,
    // ErrorInfo is free text; a status message is grouped by.
    status: { code: SpanStatusCode.ERROR, message: record.errorName ?? errorType(record) },
    attributes: attributesOf(record),
    events: [],
    links: [],
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
    resource,
    instrumentationScope: scope,
  };
}

/** The same in words, in the span's context. */
export function toLogRecord(record: ExceptionRecord, { resource, scope }: Origin): ReadableLogRecord {
  const severity = severityOf(record.labels.error_category);
  const attributes = attributesOf(record);
  // "Two log records with the same ID will be considered the same log record": delivery may happen twice.
  attributes['log.record.uid'] = record.traceId;
  if (record.messageText !== null)
    attributes['tencent_chat.message.text'] = record.messageText.toWellFormed();
  return {
    eventName: 'tencent_chat.group_message.send_exception',
    hrTime: hrTime(record.occurredAt),
    hrTimeObserved: hrTime(record.receivedAt),
    severityNumber: severity,
    severityText: SeverityNumber[severity],
    body: record.errorInfo.toWellFormed(),
    spanContext: contextOf(record),
    attributes,
    droppedAttributesCount: 0,
    resource,
    instrumentationScope: scope,
  };
}

/**
 * What is absent is left out. Text from outside is made well-formed first: a lone surrogate, which a user's message can
 * hold, is refused by collectors that read JSON strictly.
 */
function attributesOf(record: ExceptionRecord): Attributes {
  const { labels } = record;
  const attributes: Attributes = {
    'error.type': errorType(record),
    'messaging.system': 'tencent_chat',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'tencent_chat.sdk_app_id': labels.sdk_app_id,
    'tencent_chat.error.category': labels.error_category,
    'tencent_chat.group.type': labels.group_type,
    'tencent_chat.platform': labels.platform,
    'tencent_chat.initiator': labels.initiator,
  };
  if (record.groupId !== null) attributes['messaging.destination.name'] = record.groupId.toWellFormed();
  if (record.userId !== null) attributes['user.id'] = record.userId.toWellFormed();
  if (record.userHash !== null) attributes['user.hash'] = record.userHash;
  if (record.clientAddress !== null) attributes['client.address'] = record.clientAddress.toWellFormed();
  // OTLP's integers have 64 bits. A larger code is still told, as text, by error.type.
  if (Number.isSafeInteger(record.errorCode)) attributes['tencent_chat.error.code'] = record.errorCode!;
  if (record.errorName !== null) attributes['tencent_chat.error.name'] = record.errorName;
  if (record.topicId !== null) attributes['tencent_chat.topic.id'] = record.topicId.toWellFormed();
  if (record.isOnlineOnly !== null) attributes['tencent_chat.online_only'] = record.isOnlineOnly;
  if (record.elementTypes.length > 0) {
    attributes['tencent_chat.message.element_types'] = record.elementTypes.map(type => type.toWellFormed());
  }
  if (record.random !== null) attributes['tencent_chat.message.random'] = record.random;
  return attributes;
}

function contextOf({ traceId, spanId }: ExceptionRecord) {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

/** The code as text; where there is none, what the counter calls that. */
function errorType(record: ExceptionRecord): string {
  return record.errorCode === null ? record.labels.error_code : String(record.errorCode);
}

/** Moderation and muting work as someone intended; an internal error is Tencent's to mend. */
function severityOf(category: ErrorCategory): SeverityNumber {
  if (category === 'internal_error') return SeverityNumber.ERROR;
  return category === 'moderated' || category === 'muted' ? SeverityNumber.INFO : SeverityNumber.WARN;
}

function hrTime(milliseconds: number): HrTime {
  const seconds = Math.floor(milliseconds / 1000);
  return [seconds, Math.round((milliseconds - seconds * 1000) * 1e6)];
}
