import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rejectionReasons } from '../../src/callback/exception.ts';
import { errorCodesUrl } from '../../src/guidance.ts';
import { rejectionCauses } from '../../src/http/answers.ts';
import { bySeverity, type Check, checksOf, verdictOf } from '../../src/http/checks.ts';
import type { Status } from '../../src/http/status.ts';
import {
  minuteMs,
  newCallbacks,
  newJournal,
  newRejections,
  newSignal,
  newStatus,
  newTally,
  now,
} from './status-fixtures.ts';
import { scenes } from './status-scenes.ts';

const checks = suite('checks');

const { stats } = newJournal();

/** One change to an exporter that is well, and what is found of it. */
const findings: {
  name: string;
  check: Check['name'];
  changes: Partial<Status>;
  state: Check['state'];
  says: RegExp;
  runbook?: string;
}[] = [
  {
    name: 'a journal that cannot be written',
    check: 'Journal',
    changes: { journal: newJournal({ downSince: now - 1 }) },
    state: 'failing',
    says: /^The journal cannot be written\.$/,
    runbook: 'TencentChatJournalDown',
  },
  {
    name: 'a journal in memory',
    check: 'Journal',
    changes: { journal: newJournal({ isDurable: false }) },
    state: 'attention',
    says: /a restart forgets every exception/,
  },
  {
    name: 'a journal that failed 14 minutes ago',
    check: 'Journal',
    changes: { journal: newJournal({ lastFailure: { at: now - 14 * minuteMs, message: '' } }) },
    state: 'attention',
    says: /failed/,
    runbook: 'TencentChatJournalFailing',
  },
  {
    name: 'a journal that failed 15 minutes ago',
    check: 'Journal',
    changes: { journal: newJournal({ lastFailure: { at: now - 15 * minuteMs, message: '' } }) },
    state: 'well',
    says: /stored/,
  },
  {
    name: 'a journal that is 81 % full',
    check: 'Journal',
    changes: { journal: newJournal({ stats: { ...stats, bytes: 81 }, bytesMax: 100 }) },
    state: 'attention',
    says: /81 % full/,
    runbook: 'TencentChatJournalFilling',
  },
  {
    name: 'a journal that is 80 % full',
    check: 'Journal',
    changes: { journal: newJournal({ stats: { ...stats, bytes: 80 }, bytesMax: 100 }) },
    state: 'well',
    says: /stored/,
  },
  {
    name: 'delivery that is off',
    check: 'Delivery',
    changes: { delivery: [] },
    state: 'off',
    says: /off/,
  },
  {
    name: 'a signal that fails, and a backlog',
    check: 'Delivery',
    changes: {
      journal: newJournal({ stats: { ...stats, backlogEvents: 1, oldestUndeliveredAt: now - 1_000 } }),
      delivery: [newSignal('traces'), newSignal('logs', { isFailing: true })],
    },
    state: 'attention',
    says: /^Delivery of logs fails\.$/,
    runbook: 'TencentChatTelemetryNotDelivered',
  },
  {
    name: 'a signal that failed last, and no backlog',
    check: 'Delivery',
    changes: { delivery: [newSignal('logs', { isFailing: true })] },
    state: 'well',
    says: /^Nothing waits/,
  },
  {
    name: 'a backlog of five minutes',
    check: 'Delivery',
    changes: {
      journal: newJournal({
        stats: { ...stats, backlogEvents: 9, oldestUndeliveredAt: now - 5 * minuteMs - 1 },
      }),
    },
    state: 'attention',
    says: /for more than 5 minutes/,
    runbook: 'TencentChatTelemetryNotDelivered',
  },
  {
    name: 'a backlog of seconds',
    check: 'Delivery',
    changes: {
      journal: newJournal({ stats: { ...stats, backlogEvents: 1_900, oldestUndeliveredAt: now - 9_000 } }),
    },
    state: 'well',
    says: /^1,900 exceptions are on the way\.$/,
  },
  {
    name: 'a record given up lately',
    check: 'Delivery',
    changes: { delivery: [newSignal('logs', { deadLetters: 1, lastLossAt: now - minuteMs })] },
    state: 'attention',
    says: /given up/,
    runbook: 'TencentChatTelemetryDropped',
  },
  {
    name: 'a record given up long ago',
    check: 'Delivery',
    changes: { delivery: [newSignal('logs', { deadLetters: 1, lastLossAt: now - 16 * minuteMs })] },
    state: 'well',
    says: /^Nothing waits/,
  },
  {
    name: 'exceptions in memory, which are not delivered',
    check: 'Delivery',
    changes: { journal: newJournal({ downSince: now - minuteMs, unwritten: 3 }) },
    state: 'attention',
    says: /held in memory/,
  },
  {
    name: 'no authentication',
    check: 'Authentication',
    changes: { tokens: 0 },
    state: 'attention',
    says: /not authenticated/,
    runbook: 'TencentChatCallbacksUnauthenticated',
  },
  {
    name: 'callbacks that are not taken',
    check: 'Callbacks',
    changes: { callbacks: newCallbacks({ isReady: false }) },
    state: 'failing',
    says: /not taken/,
    runbook: 'TencentChatExporterDown',
  },
  {
    name: 'no callback at all',
    check: 'Callbacks',
    changes: { callbacks: newCallbacks({ tally: newTally({}) }) },
    state: 'waiting',
    says: /^No callback has come/,
    runbook: 'TencentChatCallbacksStopped',
  },
  {
    name: 'a first callback that is refused, however long ago',
    check: 'Callbacks',
    changes: {
      callbacks: newCallbacks({ tally: newTally({ rejected: 1 }) }),
      rejections: newRejections(1, ['stale']).map(each => ({ ...each, at: 0 })),
    },
    state: 'attention',
    says: /^No callback was accepted yet, and 1 was refused, the last for stale\.$/,
    runbook: 'TencentChatSignatureFailures',
  },
  {
    name: 'six signatures refused in 15 minutes',
    check: 'Callbacks',
    changes: { rejections: newRejections(6, ['signature']) },
    state: 'attention',
    says: /refused for signature: 6 in the last 15 minutes/,
    runbook: 'TencentChatSignatureFailures',
  },
  {
    name: 'five signatures refused in 15 minutes, and more before',
    check: 'Callbacks',
    changes: {
      rejections: [
        ...newRejections(5, ['signature']),
        ...newRejections(20, ['signature']).map(each => ({ ...each, at: each.at - 15 * minuteMs })),
      ],
    },
    state: 'well',
    says: /taken and answered/,
  },
  {
    name: 'ten strangers, and eleven',
    check: 'Callbacks',
    changes: { rejections: [...newRejections(10, ['malformed']), ...newRejections(11, ['sdk_app_id'])] },
    state: 'attention',
    says: /for sdk_app_id: 11 /,
    runbook: 'TencentChatCallbacksRejected',
  },
  {
    name: 'overload, before what is more frequent',
    check: 'Callbacks',
    changes: { rejections: [...newRejections(50, ['signature']), ...newRejections(12, ['overload'])] },
    state: 'attention',
    says: /for overload: 12 /,
    runbook: 'TencentChatCallbackBudgetBurn',
  },
  {
    name: 'a list full of rejections of one reason',
    check: 'Callbacks',
    changes: { rejections: newRejections(100, ['signature'], 100) },
    state: 'attention',
    says: /for signature: at least 100 in/,
    runbook: 'TencentChatSignatureFailures',
  },
];

for (const { name, check, changes, state, says, runbook } of findings) {
  checks(`${name}: ${state}`, () => {
    const all = checksOf(newStatus(changes));
    const found = all.find(each => each.name === check)!;
    assert.is(found.state, state);
    assert.match(found.says, says);
    assert.is(found.runbook ?? undefined, runbook);
    if (state === 'failing' || (state === 'attention' && runbook !== undefined)) assert.ok(found.remedy);
  });
}

checks('an exporter that is well is well in everything, and has nothing to be done', () => {
  const all = checksOf(newStatus());
  assert.equal(
    all.map(({ name, state, remedy, runbook }) => [name, state, remedy, runbook]),
    ['Journal', 'Delivery', 'Authentication', 'Callbacks'].map(name => [name, 'well', null, null]),
  );
  assert.equal(verdictOf(all), { state: 'well', says: 'The exporter is well.', others: [] });
});

checks('delivery that is off is as the settings have it: the exporter is well', () => {
  assert.is(verdictOf(checksOf(newStatus({ delivery: [] }))).state, 'well');
});

checks('the verdict is the worst of them, and names the others', () => {
  const status = newStatus({
    tokens: 0,
    callbacks: newCallbacks({ isReady: false }),
    journal: newJournal({ isDurable: false }),
  });
  assert.equal(
    bySeverity(checksOf(status)).map(({ name }) => name),
    ['Callbacks', 'Journal', 'Authentication', 'Delivery'],
  );
  assert.equal(verdictOf(checksOf(status)), {
    state: 'failing',
    says: 'Callbacks are not taken: the exporter is starting or stopping.',
    others: [
      'The journal is in memory: a restart forgets every exception.',
      'Callbacks are not authenticated: anyone who finds the URL is believed.',
    ],
  });
});

checks('every runbook that is named is there', () => {
  const pages = readdirSync(join(import.meta.dirname, '../../grafana/runbooks'));
  const named = [
    ...findings.flatMap(({ changes }) => checksOf(newStatus(changes)).map(({ runbook }) => runbook)),
    ...Object.values(scenes).flatMap(scene => checksOf(scene).map(({ runbook }) => runbook)),
    ...rejectionReasons.map(reason => rejectionCauses[reason].runbook),
  ].filter(runbook => runbook !== null);
  assert.ok(new Set(named).size > 8);
  for (const runbook of named) assert.ok(pages.includes(`${runbook}.md`), runbook);
});

checks('a code leads to its entry in the runbooks', () => {
  const anchors = ['10023', '-10113', '10150', '121000', '4711', 'other', 'unknown', 'invalid'].map(code =>
    errorCodesUrl('http://r', code),
  );
  assert.equal(
    anchors,
    [
      ...['10023', '-10113', '10100-10200', '120001-130000', 'other-codes', 'other', 'unknown', 'invalid'],
    ].map(anchor => `http://r/error-codes.md#${anchor}`),
  );
  assert.is(errorCodesUrl('http://r'), 'http://r/error-codes.md');
});

checks.run();
