/**
 * What a callback is answered: the one table of outcomes and rejections.
 *
 * Tencent reads three fields, all fixed, and takes anything but 200 with a JSON body for a failed callback. A refusal
 * carries the HTTP status as its `ErrorCode`, and one sentence for whoever reads Tencent's list of failed callbacks.
 */
import type { RejectionReason } from '../callback/exception.ts';
import type { AlertName } from '../guidance.ts';

export interface Answer {
  status: number;
  /** JSON in Tencent's three fields, ASCII. */
  body: string;
  /** Names and values in turn. */
  headers: string[];
}

export const okAnswer = answer(200, '');

export const rejectionAnswers: Readonly<Record<RejectionReason, Answer>> = {
  sdk_app_id: answer(403, 'SdkAppid is missing, repeated, or not one of SDK_APP_IDS'),
  signature: answer(401, 'Sign or RequestTime is missing, malformed, or wrong'),
  stale: answer(401, 'RequestTime is more than 60 s from the time here'),
  malformed: answer(400, 'the body is not a JSON object'),
  // The rest of the body is not read, so the connection cannot be used again.
  too_large: answer(413, 'the body is larger than 256 KiB', ['Connection', 'close']),
  encoding: answer(415, 'Content-Encoding is not accepted'),
  overload: answer(503, 'too much in flight, or the journal is slow', ['Retry-After', '1']),
};

/** Why a callback is refused, usually, and what to do: for the operator, where the answer is for the sender. */
export const rejectionCauses: Readonly<Record<RejectionReason, RejectionCause>> = {
  sdk_app_id: {
    cause: 'An app that is not among SDK_APP_IDS, or a stranger.',
    remedy: 'An app of yours: add its SDKAppID to SDK_APP_IDS. A stranger: nothing.',
    runbook: 'TencentChatCallbacksRejected',
  },
  signature: {
    cause:
      "The token in Tencent's console is not among CALLBACK_TOKENS, authentication is off in the console, or a proxy changes the query string.",
    remedy:
      'Set CALLBACK_TOKENS to the token in the console; to both, separated by a comma, while you change it.',
    runbook: 'TencentChatSignatureFailures',
  },
  stale: {
    cause: "This machine's clock is off by more than 60 s, or an old URL was sent again.",
    remedy: 'Compare this clock with a right one; start or mend time synchronisation.',
    runbook: 'TencentChatSignatureFailures',
  },
  malformed: {
    cause: "No callback of Tencent's: a stranger, a health check, or a proxy that cuts bodies.",
    remedy: 'Have the proxy pass bodies on as they came, and health checks ask the operator listener.',
    runbook: 'TencentChatCallbacksRejected',
  },
  too_large: {
    cause: "No callback of Tencent's, whose messages are 12 KB at most: a stranger.",
    remedy: 'Limit the size of bodies at the proxy.',
    runbook: 'TencentChatCallbacksRejected',
  },
  encoding: {
    cause: 'A proxy compresses requests.',
    remedy: 'Switch that off at the proxy.',
    runbook: 'TencentChatCallbacksRejected',
  },
  overload: {
    cause: 'The journal is slow, or down with memory full, or far more callbacks come than it can take.',
    remedy: 'Act now, exceptions may be lost: look at the journal and its disk.',
    runbook: 'TencentChatCallbackBudgetBurn',
  },
};

export interface RejectionCause {
  cause: string;
  remedy: string;
  runbook: AlertName;
}

export const notFoundAnswer = answer(404, 'not the path of callbacks');
export const methodAnswer = answer(405, 'callbacks are posted', ['Allow', 'POST']);
/** A bug here, never the sender's doing. */
export const failureAnswer = answer(500, 'the exporter failed');

function answer(status: number, errorInfo: string, headers: string[] = []): Answer {
  const isOk = status === 200;
  const body = JSON.stringify({
    ActionStatus: isOk ? 'OK' : 'FAIL',
    ErrorInfo: errorInfo,
    ErrorCode: isOk ? 0 : status,
  });
  const common = ['Content-Type', 'application/json', 'Content-Length', String(body.length)];
  return { status, body, headers: [...common, ...headers] };
}
