/**
 * What is journaled and delivered of one exception, and its form in the journal.
 *
 * The form is a JSON array: the version of the form, then the values in one fixed order. JSON escapes control
 * characters, NUL among them, so that any store of text can hold it. A changed order or meaning is a new version.
 */
import type { Classification } from './classify.ts';
import type { Exception, ExceptionLabels } from './exception.ts';
import type { ExceptionIds, Identifier } from './identify.ts';

/**
 * What is journaled and delivered of one exception. It holds nothing that the settings `USER_IDS` and
 * `MESSAGE_CONTENT` do not allow to leave.
 */
export interface ExceptionRecord {
  /** 32 lower-case hex digits. */
  traceId: string;
  /** 16 lower-case hex digits. */
  spanId: string;
  /** Milliseconds since the Unix epoch. */
  occurredAt: number;
  /** Milliseconds since the Unix epoch, never before `occurredAt`. */
  receivedAt: number;
  labels: ExceptionLabels;
  /** The catalogue's name of the code; `null` outside the catalogue. */
  errorName: string | null;
  errorInfo: string;
  /** As sent, also where the label was folded into `other`; `null` when missing or invalid. */
  errorCode: number | null;
  groupId: string | null;
  topicId: string | null;
  isOnlineOnly: boolean | null;
  elementTypes: readonly string[];
  random: number | null;
  /** `USER_IDS`: the keyed hash, the ID itself, or neither. */
  userHash: string | null;
  userId: string | null;
  clientAddress: string | null;
  messageText: string | null;
}

/** The settings `USER_IDS` and `MESSAGE_CONTENT`. */
export interface Privacy {
  userIds: 'hashed' | 'plain' | 'omitted';
  messageContent: 'omitted' | 'included';
}

/** The user is the sender, `From_Account`. The client's address leaves only beside plain user IDs. */
export function toRecord(
  exception: Exception,
  classification: Classification,
  ids: ExceptionIds,
  privacy: Privacy,
  identifier: Identifier,
): ExceptionRecord {
  const { errorCode, fromAccount } = exception;
  const isPlain = privacy.userIds === 'plain';
  const isHashed = privacy.userIds === 'hashed' && fromAccount !== null;
  return {
    traceId: ids.traceId,
    spanId: ids.spanId,
    occurredAt: exception.occurredAt,
    // Tencent's clock may be ahead of ours by up to a minute; a span must not end before it starts.
    receivedAt: Math.max(exception.occurredAt, exception.receivedAt),
    labels: classification.labels,
    errorName: classification.entry?.name ?? null,
    errorInfo: exception.errorInfo,
    errorCode: errorCode === 'invalid' ? null : errorCode,
    groupId: exception.groupId,
    topicId: exception.topicId,
    isOnlineOnly: exception.isOnlineOnly,
    elementTypes: exception.elementTypes,
    random: exception.random,
    userHash: isHashed ? identifier.hashAccount(fromAccount) : null,
    userId: isPlain ? fromAccount : null,
    clientAddress: isPlain ? exception.clientIp : null,
    messageText: privacy.messageContent === 'included' ? exception.messageText : null,
  };
}

const formVersion = 1;

export function encodeRecord(record: ExceptionRecord): string {
  const { labels } = record;
  return JSON.stringify([
    formVersion,
    labels.sdk_app_id,
    labels.error_code,
    labels.error_category,
    labels.group_type,
    labels.platform,
    labels.initiator,
    record.traceId,
    record.spanId,
    record.occurredAt,
    record.receivedAt,
    record.errorName,
    record.errorInfo,
    record.errorCode,
    record.groupId,
    record.topicId,
    record.isOnlineOnly,
    record.elementTypes,
    record.random,
    record.userHash,
    record.userId,
    record.clientAddress,
    record.messageText,
  ]);
}

/** Takes what `encodeRecord` gave. Throws on anything else, without quoting it. */
export function decodeRecord(text: string): ExceptionRecord {
  // Written out, as encodeRecord is: built by name it would take three times as long, and delivery does little else.
  const [
    version,
    sdk_app_id,
    error_code,
    error_category,
    group_type,
    platform,
    initiator,
    traceId,
    spanId,
    occurredAt,
    receivedAt,
    errorName,
    errorInfo,
    errorCode,
    groupId,
    topicId,
    isOnlineOnly,
    elementTypes,
    random,
    userHash,
    userId,
    clientAddress,
    messageText,
  ] = parseForm(text);
  if (version !== formVersion) {
    throw new Error(
      `an exception's record has form ${Number(version)}, expected ${formVersion}: run the version of the exporter that wrote the journal`,
    );
  }
  return {
    traceId,
    spanId,
    occurredAt,
    receivedAt,
    labels: { sdk_app_id, error_code, error_category, group_type, platform, initiator },
    errorName,
    errorInfo,
    errorCode,
    groupId,
    topicId,
    isOnlineOnly,
    elementTypes,
    random,
    userHash,
    userId,
    clientAddress,
    messageText,
  };
}

/** The trace ID in what `encodeRecord` gave; `null` in anything else. */
export function traceIdOf(text: string): string | null {
  try {
    const traceId: unknown = parseForm(text)[7];
    return typeof traceId === 'string' && /^[0-9a-f]{32}$/.test(traceId) ? traceId : null;
  } catch {
    return null;
  }
}

/** When the callback of an encoded record came; `null` where it cannot be decoded: another version may have written it. */
export function receivedAtOf(text: string): number | null {
  try {
    return decodeRecord(text).receivedAt;
  } catch {
    return null;
  }
}

// biome-ignore lint/suspicious/noExplicitAny: what encodeRecord wrote is taken at its word, the journal's checksum says so
function parseForm(text: string): any[] {
  let form: unknown;
  try {
    form = JSON.parse(text);
  } catch {
    // The SyntaxError quotes the record, which may be private.
  }
  if (!Array.isArray(form)) throw new Error("an exception's record is not a JSON array");
  return form;
}
