/** Is the exporter well? What is looked at, from when on it is not well, and what to do then. Decided here alone. */
import { type RejectionReason, rejectionReasons } from '../callback/exception.ts';
import {
  type AlertName,
  journalFilledRatioMax,
  recentMinutes,
  rejectionsMax,
  signatureFailuresMax,
  undeliveredSecondsMax,
} from '../guidance.ts';
import { rejectionCauses } from './answers.ts';
import { rejectionsKeptMax } from './rejections.ts';
import type { Status } from './status.ts';
import { counted } from './words.ts';

/**
 * `failing`: act now. `attention`: look at it today. `waiting`: nothing has come yet, which may be right. `off`: as the
 * settings have it.
 */
export type CheckState = 'failing' | 'attention' | 'waiting' | 'off' | 'well';

export interface Check {
  name: 'Journal' | 'Delivery' | 'Authentication' | 'Callbacks';
  state: CheckState;
  /** What is so, in one sentence. */
  says: string;
  /** What to do; `null`: nothing. */
  remedy: string | null;
  runbook: AlertName | null;
}

type Finding = Omit<Check, 'name'>;

/** In the order in which they are read. */
export function checksOf(status: Status): Check[] {
  return [
    { name: 'Journal', ...checkJournal(status) },
    { name: 'Delivery', ...checkDelivery(status) },
    { name: 'Authentication', ...checkAuthentication(status) },
    { name: 'Callbacks', ...checkCallbacks(status) },
  ];
}

export interface Verdict {
  state: CheckState;
  says: string;
  /** What the other checks say that are not well. */
  others: string[];
}

const severities: readonly CheckState[] = ['failing', 'attention', 'waiting', 'off', 'well'];

/** The worst first; among equals as they came. */
export function bySeverity(checks: readonly Check[]): Check[] {
  return severities.flatMap(severity => checks.filter(({ state }) => state === severity));
}

/** The worst of them, and what else there is. */
export function verdictOf(checks: readonly Check[]): Verdict {
  const [worst, ...others] = bySeverity(checks).filter(({ state }) => state !== 'off' && state !== 'well');
  if (worst === undefined) return { state: 'well', says: 'The exporter is well.', others: [] };
  return { state: worst.state, says: worst.says, others: others.map(({ says }) => says) };
}

function checkJournal({ journal, now }: Status): Finding {
  const { downSince, isDurable, lastFailure, stats, bytesMax } = journal;
  const filledRatio = stats.bytes / bytesMax;
  if (downSince !== null) {
    return {
      state: 'failing',
      says: 'The journal cannot be written.',
      remedy:
        'Do not restart the exporter: what it holds in memory would be lost. Make room on the disk and make it writable, or mend the database and the way to it; the journal is then written again by itself.',
      runbook: 'TencentChatJournalDown',
    };
  }
  if (!isDurable) {
    return {
      state: 'attention',
      says: 'The journal is in memory: a restart forgets every exception.',
      remedy: 'For more than a trial set JOURNAL to sqlite: and a path.',
      runbook: null,
    };
  }
  if (lastFailure !== null && isRecent(lastFailure.at, now)) {
    return {
      state: 'attention',
      says: 'The journal failed, or was found damaged, a short while ago.',
      remedy: 'Read what the log says of it, and look after the disk: disks do not fail once.',
      runbook: 'TencentChatJournalFailing',
    };
  }
  if (filledRatio > journalFilledRatioMax) {
    return {
      state: 'attention',
      says: `The journal is ${Math.floor(filledRatio * 100)} % full.`,
      remedy:
        'Have the backlog delivered, or raise JOURNAL_MAX_BYTES: beyond it undelivered telemetry is dropped.',
      runbook: 'TencentChatJournalFilling',
    };
  }
  return { ...well, says: 'Every exception is stored before it is answered.' };
}

function checkDelivery({ delivery, journal, now }: Status): Finding {
  const { backlogEvents, oldestUndeliveredAt } = journal.stats;
  if (delivery.length === 0) {
    return {
      state: 'off',
      says: 'Delivery is off: exceptions are counted, and leave no spans and log records.',
      remedy: 'To switch it on set OTEL_EXPORTER_OTLP_ENDPOINT.',
      runbook: null,
    };
  }
  const failing = delivery.filter(({ isFailing }) => isFailing).map(({ signal }) => signal);
  const isLate = oldestUndeliveredAt !== null && now - oldestUndeliveredAt > undeliveredSecondsMax * 1_000;
  if (backlogEvents > 0 && (failing.length > 0 || isLate)) {
    return {
      state: 'attention',
      says:
        failing.length > 0
          ? `Delivery of ${failing.join(' and ')} fails.`
          : `Exceptions wait for delivery for more than ${undeliveredSecondsMax / 60} minutes.`,
      remedy:
        'Look at the OTLP endpoint. The exporter tries again by itself, and nothing is lost until the journal is full.',
      runbook: 'TencentChatTelemetryNotDelivered',
    };
  }
  if (delivery.some(({ lastLossAt }) => lastLossAt !== null && isRecent(lastLossAt, now))) {
    return {
      state: 'attention',
      says: 'Spans or log records were given up a short while ago.',
      remedy: 'The log says why: the endpoint refused them for good, or the journal was full.',
      runbook: 'TencentChatTelemetryDropped',
    };
  }
  if (journal.unwritten > 0) {
    return {
      state: 'attention',
      says: 'What is held in memory is delivered only once the journal can be written.',
      remedy: null,
      runbook: null,
    };
  }
  return {
    ...well,
    says:
      backlogEvents === 0
        ? 'Nothing waits for delivery.'
        : `${counted(backlogEvents, 'exception is', 'exceptions are')} on the way.`,
  };
}

function checkAuthentication({ tokens }: Status): Finding {
  if (tokens === 0) {
    return {
      state: 'attention',
      says: 'Callbacks are not authenticated: anyone who finds the URL is believed.',
      remedy: "Set a long random token in Tencent's console, and the same in CALLBACK_TOKENS.",
      runbook: 'TencentChatCallbacksUnauthenticated',
    };
  }
  return { ...well, says: 'The signature of every callback is checked.' };
}

function checkCallbacks({ callbacks, rejections, now }: Status): Finding {
  const { isReady, tally } = callbacks;
  if (!isReady) {
    return {
      state: 'failing',
      says: 'Callbacks are not taken: the exporter is starting or stopping.',
      remedy: 'Wait. If it stays so, read its log.',
      runbook: 'TencentChatExporterDown',
    };
  }
  const refused = mostRefused(rejections, now);
  if (refused !== null) {
    const atLeast = refused.count === rejectionsKeptMax ? 'at least ' : '';
    return {
      state: 'attention',
      says: `Callbacks are refused for ${refused.reason}: ${atLeast}${refused.count} in the last ${recentMinutes} minutes.`,
      remedy: rejectionCauses[refused.reason].remedy,
      runbook: rejectionCauses[refused.reason].runbook,
    };
  }
  const accepted = tally.counted + tally.duplicate + tally.ignored;
  const last = rejections[0];
  if (accepted === 0 && last !== undefined) {
    return {
      state: 'attention',
      says: `No callback was accepted yet, and ${counted(tally.rejected, 'was', 'were')} refused, the last for ${last.reason}.`,
      remedy: rejectionCauses[last.reason].remedy,
      runbook: rejectionCauses[last.reason].runbook,
    };
  }
  if (accepted === 0) {
    return {
      state: 'waiting',
      says: 'No callback has come since the start.',
      remedy:
        'If that is new: paste the callback URL into the console, as below, and send a group message that must fail, such as one of a muted member.',
      runbook: 'TencentChatCallbacksStopped',
    };
  }
  return { ...well, says: 'Callbacks are taken and answered.' };
}

/** The reason that is beyond its limit: `overload`, which loses exceptions, or else the most frequent. */
function mostRefused(
  rejections: Status['rejections'],
  now: number,
): { reason: RejectionReason; count: number } | null {
  const recent = rejections.filter(({ at }) => isRecent(at, now));
  const beyond = rejectionReasons
    .map(reason => ({ reason, count: recent.filter(each => each.reason === reason).length }))
    .filter(({ reason, count }) => count > limitOf(reason))
    .sort((left, right) => right.count - left.count);
  return beyond.find(({ reason }) => reason === 'overload') ?? beyond[0] ?? null;
}

function limitOf(reason: RejectionReason): number {
  return reason === 'signature' || reason === 'stale' ? signatureFailuresMax : rejectionsMax;
}

const well = { state: 'well', remedy: null, runbook: null } as const;

function isRecent(at: number, now: number): boolean {
  return at > now - recentMinutes * 60_000;
}
