import type { ErrorCategory, ExceptionLabels } from './exception.ts';

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
  elementTypes: string[];
  random: number | null;
  /** `USER_IDS`: the keyed hash, the ID itself, or neither. */
  userHash: string | null;
  userId: string | null;
  clientAddress: string | null;
  messageText: string | null;
}

export type { ErrorCategory };
