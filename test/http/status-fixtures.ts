/** What the status page is shown: an exporter that is well, and changes to it. The same each time. */
import { createClassifier } from '../../src/callback/classify.ts';
import type { Exception, ExceptionLabels, RejectionReason } from '../../src/callback/exception.ts';
import { Activity } from '../../src/http/activity.ts';
import { type CallbackCounts, CallbackTally } from '../../src/http/callback-tally.ts';
import type { Rejection } from '../../src/http/rejections.ts';
import type { SignalStatus, Status } from '../../src/http/status.ts';
import { type Outcome, outcomes } from '../../src/metrics/table.ts';
import { sampleSdkAppId } from '../support/samples.ts';

export const now = Date.UTC(2026, 10, 25, 21, 4, 31, 250);
export const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

const classifier = createClassifier({ adminAccounts: new Set(['administrator']), admittedCodes: [] });

export interface Failed {
  errorCode?: number;
  groupType?: string;
  platform?: string;
  /** Milliseconds before `now`. */
  age?: number;
  /** `undefined`: it is not known any more. */
  groupId?: string | null;
}

export function labelsOf({
  errorCode = 10023,
  groupType = 'Public',
  platform = 'Android',
}: Failed): ExceptionLabels {
  const exception = { sdkAppId: sampleSdkAppId, errorCode, groupType, platform, operatorAccount: 'jared' };
  return classifier.classify(exception as Exception).labels;
}

export function traceIdOf(number: number): string {
  return `019ac0ffee${number.toString(16).padStart(22, '0')}`;
}

/** The oldest first, as they came. */
export function newActivity(failed: readonly Failed[], startedAt = now - 3 * hourMs): Activity {
  const activity = new Activity(startedAt);
  const inOrder = failed.toSorted((left, right) => (right.age ?? 0) - (left.age ?? 0));
  for (const [number, each] of inOrder.entries()) {
    const exception = {
      identity: traceIdOf(number),
      receivedAt: now - (each.age ?? 0),
      labels: labelsOf(each),
      groupId: 'groupId' in each ? each.groupId : `@TGS#2J4SZEAEL${number % 7}`,
    };
    activity.note(exception);
  }
  return activity;
}

export function newTally(counts: Partial<Record<Outcome, number>>, lastAge = 12_000): CallbackCounts {
  const tally = new CallbackTally();
  // The last one is a counted one, where there is any.
  for (const outcome of outcomes.toReversed()) {
    for (let each = 0; each < (counts[outcome] ?? 0); each += 1)
      tally.note(outcome, 'Group.CallbackSendMsgException', now - lastAge);
  }
  return tally.snapshot();
}

export function newSignal(signal: SignalStatus['signal'], changes: Partial<SignalStatus> = {}): SignalStatus {
  return {
    signal,
    delivered: 1_204,
    lastDeliveredAt: now - 11_000,
    isFailing: false,
    lastFailure: null,
    dropped: 0,
    deadLetters: 0,
    lastLossAt: null,
    ...changes,
  };
}

export function newRejections(
  count: number,
  reasons: readonly RejectionReason[],
  spacingMs = 7_000,
): Rejection[] {
  return Array.from({ length: count }, (_, index) => ({
    at: now - 4_000 - index * spacingMs,
    reason: reasons[index % reasons.length]!,
    command: index % 3 === 2 ? 'other' : 'Group.CallbackSendMsgException',
    body: null,
  }));
}

/** An exporter to which nothing ever happened, but all is well. */
export function newStatus(changes: Partial<Status> = {}): Status {
  return {
    version: '1.2.3',
    replica: 'exporter-1',
    now,
    startedAt: now - 3 * hourMs,
    sdkAppIds: [sampleSdkAppId],
    callbacks: newCallbacks(),
    tokens: 1,
    journal: newJournal(),
    delivery: [newSignal('traces'), newSignal('logs')],
    activity: newActivity([]).view(now),
    rejections: [],
    links: { runbooks: 'http://localhost:9090/user/runbooks', dashboards: null, traceTemplate: null },
    ...changes,
  };
}

export function newCallbacks(changes: Partial<Status['callbacks']> = {}): Status['callbacks'] {
  return {
    isReady: true,
    path: '/',
    publicUrl: 'https://chat.example.org/',
    tally: newTally({ counted: 17, duplicate: 1 }),
    lastExceptionAt: now - 12_000,
    ...changes,
  };
}

export function newJournal(changes: Partial<Status['journal']> = {}): Status['journal'] {
  return {
    location: './data/journal.db',
    isDurable: true,
    downSince: null,
    unwritten: 0,
    stats: { bytes: 4_198_400, events: 1_204, backlogEvents: 0, oldestUndeliveredAt: null },
    bytesMax: 2 ** 30,
    failures: 0,
    lastFailure: null,
    ...changes,
  };
}
