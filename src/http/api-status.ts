/** What the status page says, as JSON for programs, at `/api/status`: names as in labels, times in ISO 8601 and UTC. */
import { explainCode } from '../callback/catalogue.ts';
import { errorCodesUrl, runbookUrl } from '../guidance.ts';
import type { CodeActivity, ListedException } from './activity.ts';
import { rejectionCauses } from './answers.ts';
import { checksOf, verdictOf } from './checks.ts';
import type { Rejection } from './rejections.ts';
import { lastFive } from './sparkline.ts';
import { deliveredUpTo, type SignalStatus, type Status, traceUrl } from './status.ts';
import { iso } from './words.ts';

export type FieldType =
  | 'string'
  | 'string or null'
  | 'integer'
  | 'boolean'
  | 'time'
  | 'time or null'
  | 'strings'
  | 'integers'
  | 'integers by label';

/** The fields of the answer by their place in it, in its order: `[]` is each of a list. The README's table is made of it. */
export const statusFields: Record<string, [type: FieldType, meaning: string]> = {
  state: ['string', 'of the worst check: `failing`, `attention`, `waiting` or `well`'],
  says: ['string', 'the same in a sentence'],
  at: ['time', 'when this was said'],
  version: ['string', "the exporter's"],
  replica: ['string', '`REPLICA`'],
  started_at: ['time', ''],
  sdk_app_ids: ['strings', '`SDK_APP_IDS`'],
  'checks[].name': ['string', '`Journal`, `Delivery`, `Authentication` or `Callbacks`'],
  'checks[].state': ['string', '`failing`, `attention`, `waiting`, `off` or `well`'],
  'checks[].says': ['string', 'what is so'],
  'checks[].remedy': ['string or null', 'what to do'],
  'checks[].runbook_url': ['string or null', ''],
  'callbacks.is_ready': ['boolean', 'whether callbacks are taken, as `/-/ready` says'],
  'callbacks.path': ['string', '`CALLBACK_PATH`'],
  'callbacks.public_url': ['string or null', '`CALLBACK_PUBLIC_URL`'],
  'callbacks.is_authenticated': ['boolean', 'whether there are `CALLBACK_TOKENS`'],
  'callbacks.last_at': ['time or null', 'receipt of the last callback of any kind since the start'],
  'callbacks.last_outcome': ['string or null', '`counted`, `duplicate`, `ignored` or `rejected`'],
  'callbacks.last_command': ['string or null', 'as in the label `command`'],
  'callbacks.last_exception_at': [
    'time or null',
    'receipt of the last exception, also from before the start',
  ],
  'callbacks.counted': ['integer', 'callbacks since the start'],
  'callbacks.duplicate': ['integer', 'callbacks since the start'],
  'callbacks.ignored': ['integer', 'callbacks since the start'],
  'callbacks.rejected': ['integer', 'callbacks since the start'],
  'journal.location': ['string', 'its file, `postgres://…` without password, or `memory:`'],
  'journal.is_up': ['boolean', 'whether it can be written'],
  'journal.down_since': ['time or null', ''],
  'journal.unwritten_exceptions': ['integer', 'held in memory only'],
  'journal.exceptions': ['integer', 'whose identity is kept'],
  'journal.bytes': ['integer', 'bytes in use'],
  'journal.bytes_max': ['integer', 'bytes, `JOURNAL_MAX_BYTES`'],
  'journal.failures': ['integer', 'writes that failed and damage found, since the start'],
  'journal.last_failure_at': ['time or null', ''],
  'journal.last_failure': ['string or null', 'in words'],
  'delivery.is_on': ['boolean', 'whether any signal is delivered'],
  'delivery.delivered_up_to': [
    'time or null',
    'every exception received before it is delivered, or given up; null while delivery is off',
  ],
  'delivery.backlog_exceptions': ['integer', 'that some signal has still to deliver'],
  'delivery.oldest_undelivered_at': ['time or null', 'receipt of the oldest of them'],
  'delivery.signals[].signal': ['string', '`traces` or `logs`'],
  'delivery.signals[].is_failing': ['boolean', 'whether nothing was taken since the last failure'],
  'delivery.signals[].delivered': ['integer', 'spans or log records since the start'],
  'delivery.signals[].last_delivered_at': ['time or null', ''],
  'delivery.signals[].dropped': ['integer', 'spans or log records since the start'],
  'delivery.signals[].dead_letters': ['integer', 'spans or log records since the start'],
  'delivery.signals[].last_failure_at': ['time or null', ''],
  'delivery.signals[].last_failure': ['string or null', 'in words, without credentials'],
  'failing.since': ['time', 'what was received from then on is counted below, an hour at most'],
  'failing.exceptions': ['integer', 'of all codes'],
  'failing.exceptions_5m': ['integer', 'of them, in the last five minutes'],
  'failing.per_minute': ['integers', 'exceptions in each of the last 60 minutes, the current one last'],
  'failing.unlisted_exceptions': [
    'integer',
    'of them, of label sets beyond the 10,000 that are counted apart',
  ],
  'failing.codes[].error_code': ['string', 'as in the label; the code with the most exceptions first'],
  'failing.codes[].error_category': ['string', ''],
  'failing.codes[].name': ['string', ''],
  'failing.codes[].meaning': ['string', ''],
  'failing.codes[].remedy': ['string', ''],
  'failing.codes[].runbook_url': ['string', ''],
  'failing.codes[].exceptions': ['integer', ''],
  'failing.codes[].exceptions_5m': ['integer', 'in the last five minutes'],
  'failing.codes[].per_minute': ['integers', 'as above'],
  'failing.codes[].by_group_type': ['integers by label', 'exceptions'],
  'failing.codes[].by_platform': ['integers by label', 'exceptions'],
  'exceptions[].received_at': ['time', 'the latest 50, the last one first'],
  'exceptions[].sdk_app_id': ['string', ''],
  'exceptions[].error_code': ['string', ''],
  'exceptions[].error_category': ['string', ''],
  'exceptions[].name': ['string', ''],
  'exceptions[].group_id': ['string or null', 'null also where it is not known any more'],
  'exceptions[].is_group_id_known': ['boolean', 'false for exceptions from before the start'],
  'exceptions[].group_type': ['string', ''],
  'exceptions[].platform': ['string', ''],
  'exceptions[].initiator': ['string', ''],
  'exceptions[].trace_id': ['string', '32 hex digits'],
  'exceptions[].trace_url': ['string or null', 'by `TRACE_URL_TEMPLATE`'],
  'rejections[].at': ['time', 'the last 100, the last one first'],
  'rejections[].reason': ['string', ''],
  'rejections[].command': ['string', ''],
  'rejections[].body': ['string or null', 'the first 2,048 characters, with `MESSAGE_CONTENT=included`'],
  'rejections[].cause': ['string', 'what is usually behind this reason'],
  'rejections[].remedy': ['string', 'what to do then'],
  'links.runbooks': ['string', '`RUNBOOKS_URL`'],
  'links.dashboards': ['string or null', '`DASHBOARDS_URL`'],
};

/** The answer, with exactly the fields above. */
export function toApiStatus(status: Status): object {
  const { now, callbacks, journal, delivery, activity, rejections, links } = status;
  const { tally } = callbacks;
  const checks = checksOf(status);
  const { state, says } = verdictOf(checks);
  const isOn = delivery.length > 0;
  return {
    state,
    says,
    at: iso(now),
    version: status.version,
    replica: status.replica,
    started_at: iso(status.startedAt),
    sdk_app_ids: status.sdkAppIds,
    checks: checks.map(({ name, state, says, remedy, runbook }) => ({
      name,
      state,
      says,
      remedy,
      runbook_url: runbook === null ? null : runbookUrl(links.runbooks, runbook),
    })),
    callbacks: {
      is_ready: callbacks.isReady,
      path: callbacks.path,
      public_url: callbacks.publicUrl,
      is_authenticated: status.tokens > 0,
      last_at: timeOrNull(tally.last?.at),
      last_outcome: tally.last?.outcome ?? null,
      last_command: tally.last?.command ?? null,
      last_exception_at: timeOrNull(callbacks.lastExceptionAt),
      counted: tally.counted,
      duplicate: tally.duplicate,
      ignored: tally.ignored,
      rejected: tally.rejected,
    },
    journal: {
      location: journal.location,
      is_up: journal.downSince === null,
      down_since: timeOrNull(journal.downSince),
      unwritten_exceptions: journal.unwritten,
      exceptions: journal.stats.events,
      bytes: journal.stats.bytes,
      bytes_max: journal.bytesMax,
      failures: journal.failures,
      last_failure_at: timeOrNull(journal.lastFailure?.at),
      last_failure: journal.lastFailure?.message ?? null,
    },
    delivery: {
      is_on: isOn,
      delivered_up_to: isOn ? timeOrNull(deliveredUpTo(status)) : null,
      backlog_exceptions: journal.stats.backlogEvents,
      oldest_undelivered_at: timeOrNull(journal.stats.oldestUndeliveredAt),
      signals: delivery.map(toApiSignal),
    },
    failing: {
      since: iso(activity.since),
      exceptions: activity.exceptions,
      exceptions_5m: lastFive(activity.perMinute),
      per_minute: activity.perMinute,
      unlisted_exceptions: activity.unlisted,
      codes: activity.codes.map(code => toApiCode(code, links.runbooks)),
    },
    exceptions: activity.latest.map(exception => toApiException(exception, status)),
    rejections: rejections.map(toApiRejection),
    links: { runbooks: links.runbooks, dashboards: links.dashboards },
  };
}

function toApiSignal(status: SignalStatus): object {
  return {
    signal: status.signal,
    is_failing: status.isFailing,
    delivered: status.delivered,
    last_delivered_at: timeOrNull(status.lastDeliveredAt),
    dropped: status.dropped,
    dead_letters: status.deadLetters,
    last_failure_at: timeOrNull(status.lastFailure?.at),
    last_failure: status.lastFailure?.message ?? null,
  };
}

function toApiCode(code: CodeActivity, runbooks: string): object {
  return {
    error_code: code.errorCode,
    error_category: code.errorCategory,
    ...explanation(code.errorCode),
    runbook_url: errorCodesUrl(runbooks, code.errorCode),
    exceptions: code.exceptions,
    exceptions_5m: lastFive(code.perMinute),
    per_minute: code.perMinute,
    by_group_type: Object.fromEntries(code.groupTypes),
    by_platform: Object.fromEntries(code.platforms),
  };
}

/** Of an entry of the catalogue more is known than is meant for here. */
function explanation(errorCode: string): { name: string; meaning: string; remedy: string } {
  const { name, meaning, remedy } = explainCode(errorCode);
  return { name, meaning, remedy };
}

function toApiException(
  { labels, receivedAt, identity, groupId }: ListedException,
  { links }: Status,
): object {
  const { sdk_app_id, error_code, error_category, group_type, platform, initiator } = labels;
  return {
    received_at: iso(receivedAt),
    sdk_app_id,
    error_code,
    error_category,
    name: explainCode(error_code).name,
    group_id: groupId ?? null,
    is_group_id_known: groupId !== undefined,
    group_type,
    platform,
    initiator,
    trace_id: identity,
    trace_url: traceUrl(links, identity),
  };
}

function toApiRejection({ at, reason, command, body }: Rejection): object {
  const { cause, remedy } = rejectionCauses[reason];
  return { at: iso(at), reason, command, body, cause, remedy };
}

function timeOrNull(at: number | null | undefined): string | null {
  return at === null || at === undefined ? null : iso(at);
}
