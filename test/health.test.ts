import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createHealth } from '../src/health.ts';
import type { JournalReport } from '../src/journal/journal.ts';

const health = suite('health');

function setUp() {
  const clock = { now: 1_000 };
  return { clock, ...createHealth(['traces', 'logs'], () => clock.now) };
}

health('the journal is up, empty and without a failure at first', () => {
  assert.equal(setUp().journalStatus, {
    downSince: null,
    unwritten: 0,
    stats: { bytes: 0, events: 0, backlogEvents: 0, oldestUndeliveredAt: null },
    failures: 0,
    lastFailure: null,
  });
});

health('tells since when the journal is down, why, what is held in memory, and that it is up again', () => {
  const { clock, journalStatus, writer } = setUp();
  writer({ type: 'failed', error: new Error('database or disk is full') });
  writer({ type: 'down', error: new Error('database or disk is full') });
  clock.now = 2_000;
  writer({ type: 'failed', error: new Error('disk I/O error') });
  writer({ type: 'unwritten', count: 12 });
  const { downSince, unwritten, failures, lastFailure } = journalStatus;
  assert.equal(
    { downSince, unwritten, failures, lastFailure },
    { downSince: 1_000, unwritten: 12, failures: 2, lastFailure: { at: 2_000, message: 'disk I/O error' } },
  );
  writer({ type: 'unwritten', count: 0 });
  writer({ type: 'committed', seconds: 0.1 });
  writer({ type: 'up' });
  assert.equal([journalStatus.downSince, journalStatus.unwritten], [null, 0]);
});

health('counts damage as failures of the journal, in words', () => {
  const { journal, journalStatus, delivery } = setUp();
  const reports: JournalReport[] = [
    { type: 'damage', table: 'outbox', row: 7, deadLettered: ['logs'] },
    { type: 'lost', count: 3 },
    { type: 'reindexed', problem: 'wrong # of entries in index' },
  ];
  const messages = reports.map(report => {
    journal(report);
    return journalStatus.lastFailure?.message;
  });
  assert.equal(messages, [
    'row 7 of outbox is damaged',
    'it holds 3 exceptions fewer than were acknowledged',
    'its index of identities was damaged, and made anew',
  ]);
  assert.is(journalStatus.failures, 3);
  assert.equal(
    delivery.map(({ deadLetters, lastLossAt }) => [deadLetters, lastLossAt]),
    [
      [0, null],
      [1, 1_000],
    ],
  );
});

health("has the journal's latest stats", () => {
  const { journal, journalStatus } = setUp();
  const stats = { bytes: 5, events: 4, backlogEvents: 3, oldestUndeliveredAt: 2 };
  journal({ type: 'stats', stats });
  assert.equal(journalStatus.stats, stats);
});

health('a signal fails from a failure until something of it is taken, or refused for good', () => {
  const { clock, telemetry, delivery } = setUp();
  const [traces, logs] = delivery;
  for (const signal of ['traces', 'logs'] as const)
    telemetry({ type: 'failed', signal, message: 'connect ECONNREFUSED', retryInMs: 1 });
  assert.equal([traces!.isFailing, logs!.isFailing], [true, true]);
  clock.now = 3_000;
  telemetry({ type: 'delivered', signal: 'traces', count: 512 });
  telemetry({ type: 'delivered', signal: 'traces', count: 3 });
  telemetry({ type: 'dead_letter', signal: 'logs', sequence: 3, reason: 'HTTP 400' });
  telemetry({ type: 'diagnostic', level: 'info', message: 'words' });
  const lastFailure = { at: 1_000, message: 'connect ECONNREFUSED' };
  assert.equal(
    [traces, logs],
    [
      {
        signal: 'traces',
        delivered: 515,
        lastDeliveredAt: 3_000,
        isFailing: false,
        lastFailure,
        dropped: 0,
        deadLetters: 0,
        lastLossAt: null,
      },
      {
        signal: 'logs',
        delivered: 0,
        lastDeliveredAt: null,
        isFailing: false,
        lastFailure,
        dropped: 0,
        deadLetters: 1,
        lastLossAt: 3_000,
      },
    ],
  );
});

health('counts what is dropped, by the endpoint and by a full journal', () => {
  const { telemetry, journal, delivery } = setUp();
  telemetry({ type: 'dropped', signal: 'logs', reason: 'partial_success', count: 2, message: '' });
  journal({ type: 'dropped', signal: 'logs', count: 1_000 });
  assert.equal(
    delivery.map(({ dropped, lastLossAt }) => [dropped, lastLossAt]),
    [
      [0, null],
      [1_002, 1_000],
    ],
  );
});

health('when the telemetry thread dies every signal fails', () => {
  const { telemetry, delivery } = setUp();
  telemetry({ type: 'worker_died', message: 'out of memory', restartInMs: 1 });
  for (const { isFailing, lastFailure } of delivery) {
    assert.ok(isFailing);
    assert.is(lastFailure!.message, 'the telemetry thread died: out of memory');
  }
});

health.run();
