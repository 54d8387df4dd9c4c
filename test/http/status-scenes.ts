/** Moments of an exporter's life that the status page must show well: for the browser test, and for pictures. */
import { catalogue } from '../../src/callback/catalogue.ts';
import type { Status } from '../../src/http/status.ts';
import {
  type Failed,
  minuteMs,
  newActivity,
  newCallbacks,
  newJournal,
  newRejections,
  newSignal,
  newStatus,
  newTally,
  now,
} from './status-fixtures.ts';

/** `count` exceptions, spread over the hour so that most come where `busyness` is highest. */
function spread(count: number, busyness: (minutesAgo: number) => number, failed: Failed): Failed[] {
  const weights = Array.from({ length: 60 }, (_, minutesAgo) => busyness(minutesAgo));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  let owed = 0;
  return weights.flatMap((weight, minutesAgo) => {
    owed += (weight / sum) * count;
    const due = Math.floor(owed + 1e-9);
    owed -= due;
    return Array.from({ length: due }, (_, index) => ({
      ...failed,
      age: minutesAgo * minuteMs + ((index + 0.5) / due) * 29_000,
    }));
  });
}

const steady = (minutesAgo: number): number => 2 + Math.sin(minutesAgo * 1.7) + Math.sin(minutesAgo * 0.61);
const burst = (minutesAgo: number): number => 0.1 + 9 * Math.exp(-(((minutesAgo - 14) / 4) ** 2));
const rising = (minutesAgo: number): number => Math.exp(-minutesAgo / 12) + 0.04;
const rare = (minutesAgo: number): number => (minutesAgo % 17 === 5 ? 1 : 0.01);

/** An evening on which a busy room meets its frequency limit. */
const evening: Failed[] = [
  ...spread(412, burst, { errorCode: 10023, groupType: 'AVChatRoom', platform: 'Android' }),
  ...spread(207, burst, { errorCode: 10023, groupType: 'AVChatRoom', platform: 'iOS' }),
  ...spread(31, burst, { errorCode: 10023, groupType: 'Public', platform: 'Web' }),
  ...spread(74, steady, { errorCode: 80001, groupType: 'Public', platform: 'Android' }),
  ...spread(38, steady, { errorCode: 80001, groupType: 'Private', platform: 'iOS' }),
  ...spread(43, steady, { errorCode: 10017, groupType: 'Public', platform: 'iOS' }),
  ...spread(12, rising, { errorCode: 10016, groupType: 'Community', platform: 'RESTAPI' }),
  ...spread(4, rare, { errorCode: 10002, groupType: 'ChatRoom', platform: 'Windows' }),
];

const links = {
  runbooks: 'http://localhost:9090/user/runbooks',
  dashboards: 'https://grafana.example.org/d/tencent-chat-overview',
  traceTemplate: 'https://grafana.example.org/trace/{trace_id}',
};

const busy: Partial<Status> = {
  activity: newActivity(evening).view(now),
  callbacks: newCallbacks({ tally: newTally({ counted: 18_264, duplicate: 12, ignored: 3, rejected: 2 }) }),
  journal: newJournal({
    stats: { bytes: 31_457_280, events: 18_264, backlogEvents: 0, oldestUndeliveredAt: null },
  }),
  delivery: [newSignal('traces', { delivered: 18_264 }), newSignal('logs', { delivered: 18_264 })],
  rejections: newRejections(2, ['signature'], 40 * minuteMs),
  links,
};

const longId = `@TGS#_${'aVeryLongGroupIdWithoutAnyPlaceToBreak'.repeat(7)}`.slice(0, 256);

export const scenes = {
  evening: newStatus(busy),

  'nothing received': newStatus({
    callbacks: newCallbacks({ publicUrl: null, tally: newTally({}), lastExceptionAt: null }),
    tokens: 0,
    delivery: [],
    startedAt: now - 42_000,
    journal: newJournal({ stats: { bytes: 57_344, events: 0, backlogEvents: 0, oldestUndeliveredAt: null } }),
  }),

  'only refused': newStatus({
    callbacks: newCallbacks({ tally: newTally({ rejected: 3 }), lastExceptionAt: null }),
    delivery: [newSignal('traces', { delivered: 0, lastDeliveredAt: null })],
    rejections: newRejections(3, ['signature']),
  }),

  'journal down': newStatus({
    ...busy,
    journal: newJournal({
      stats: { bytes: 31_457_280, events: 16_887, backlogEvents: 0, oldestUndeliveredAt: null },
      downSince: now - 4 * minuteMs,
      unwritten: 1_377,
      failures: 61,
      lastFailure: { at: now - 2_000, message: 'database or disk is full' },
    }),
  }),

  'backlog growing': newStatus({
    ...busy,
    journal: newJournal({
      stats: {
        bytes: 731_906_048,
        events: 18_264,
        backlogEvents: 9_120,
        oldestUndeliveredAt: now - 47 * minuteMs,
      },
    }),
    delivery: [
      newSignal('traces', {
        isFailing: true,
        lastDeliveredAt: now - 47 * minuteMs,
        lastFailure: { at: now - 9_000, message: 'connect ECONNREFUSED 10.0.4.17:4318' },
      }),
      newSignal('logs', {
        dropped: 12,
        deadLetters: 1,
        lastLossAt: now - 3 * minuteMs,
        lastFailure: { at: now - 47 * minuteMs, message: 'HTTP 503 Service Unavailable' },
      }),
    ],
  }),

  'no authentication': newStatus({ ...busy, tokens: 0, links: { ...links, traceTemplate: null } }),

  '100 rejections': newStatus({
    ...busy,
    callbacks: newCallbacks({ tally: newTally({ counted: 12, rejected: 431 }) }),
    rejections: newRejections(100, [
      'signature',
      'signature',
      'stale',
      'malformed',
      'overload',
      'sdk_app_id',
    ]).map((rejection, index) => ({
      ...rejection,
      body: rejection.reason === 'malformed' ? `{"CallbackCommand":${'"x",'.repeat(index)}` : null,
    })),
  }),

  '30 codes': newStatus({
    ...busy,
    activity: newActivity(
      catalogue
        .flatMap(({ code }) => (typeof code === 'number' && code > 10_000 ? [code] : []))
        .slice(0, 30)
        .flatMap((errorCode, index) =>
          spread(90 - 3 * index, [steady, burst, rising][index % 3]!, { errorCode, groupType: 'Public' }),
        ),
    ).view(now),
  }),

  'long group IDs': newStatus({
    ...busy,
    sdkAppIds: ['1400000001', '1400000002', '20000003'],
    activity: newActivity(
      Array.from({ length: 50 }, (_, index) => ({
        age: index * 31_000,
        groupId: [longId, undefined, null, 'مجموعة العائلة', '<b>bold</b>'][index % 5],
      })),
    ).view(now),
  }),
} satisfies Record<string, Status>;
