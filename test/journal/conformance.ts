/**
 * What every journal must do, whatever it is built on: a list of checks against the interface in
 * src/journal/journal.ts, whose invariants the names cite by number.
 *
 * Each check gets a journal of its own that is empty. `broken-engines.test.ts` shows that each kind of mistake is
 * found by one of them.
 */
import * as assert from 'uvu/assert';
import {
  type DeadLetterKey,
  type Journal,
  type JournalContents,
  type JournalReport,
  type OutboxRow,
  type Signal,
  signals,
} from '../../src/journal/journal.ts';
import { connectOutbox } from '../../src/journal/outbox-port.ts';
import { hourMs, identityOf, newEntries, newEntry, newLabels, recordedEntry } from './fixtures.ts';

export interface OpenOptions {
  signals?: readonly Signal[];
  bytesMax?: number;
  recentSince?: number;
}

export interface OpenedJournal extends Journal {
  contents: JournalContents;
  reports: JournalReport[];
  /** Resolves with the next report of that type, or at once with one that was not waited for before. */
  reported<Type extends JournalReport['type']>(type: Type): Promise<Extract<JournalReport, { type: Type }>>;
}

/** One place to keep a journal in. */
export interface Place {
  /** Opens the journal kept here; only after the one before was closed. */
  open(options?: OpenOptions): Promise<OpenedJournal>;
  /** Changes a byte of one outbox row's record, while the journal is closed. */
  damageOutboxRow(sequence: number): void;
}

export interface Check {
  name: string;
  /** Needs a journal that outlives its process. */
  durable: boolean;
  run(place: Place): Promise<void>;
}

const plenty = 1_000_000;

const numbersOf = (rows: OutboxRow[]): number[] => rows.map(({ sequence }) => sequence);

const countsByCode = ({ totals }: JournalContents): Record<string, number> =>
  Object.fromEntries(totals.map(({ labels, count }) => [labels.error_code, count]));

/** Rejects when the promise is settled before what is already under way has had its turn. */
async function assertPending(promise: Promise<unknown>, journal: Journal): Promise<void> {
  let isSettled = false;
  promise.then(() => {
    isSettled = true;
  });
  // A question that is answered after the one of the promise was looked at.
  await journal.cursors();
  await new Promise(setImmediate);
  assert.not.ok(isSettled, 'it resolved too early');
}

/** Rejects when the promise is not settled by what is already under way. */
async function assertSettled(promise: Promise<unknown>, journal: Journal): Promise<void> {
  let isSettled = false;
  promise.then(() => {
    isSettled = true;
  });
  for (let turn = 0; turn < 100 && !isSettled; turn += 1) await journal.cursors();
  assert.ok(isSettled, 'nobody was woken');
}

/** Sets the row of this sequence aside for one signal. */
async function refuse(journal: Journal, signal: Signal, sequence: number, reason = '400 refused') {
  const [row] = await journal.read(sequence - 1, 1);
  await journal.deadLetter(signal, row!, reason);
}

/** As delivery leaves it: both signals are past it. */
async function acknowledgeAll(journal: Journal, upTo: number): Promise<void> {
  for (const signal of signals) await journal.acknowledge(signal, upTo);
}

const namesOf = (keys: DeadLetterKey[]): string[] =>
  keys.map(({ sequence, signal }) => `${sequence}-${signal}`);

export const checks: Check[] = [
  {
    name: 'an empty journal has a key of 32 bytes, no totals and nothing recent',
    durable: false,
    async run({ open }) {
      const { contents } = await open();
      assert.is(contents.key.length, 32);
      assert.ok(contents.key.some(byte => byte !== 0));
      assert.equal(contents.totals, []);
      assert.equal(contents.recent, []);
    },
  },
  {
    name: '(1) append resolves when every entry of the batch is stored',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append(newEntries(1, 3));
      const identities = [1, 2, 3].map(identityOf);
      assert.equal(await journal.known(identities), [true, true, true]);
      assert.equal(numbersOf(await journal.read(0, plenty)), [1, 2, 3]);
    },
  },
  {
    name: 'append tells for each entry, in order, whether it was new',
    durable: false,
    async run({ open }) {
      const journal = await open();
      assert.equal(await journal.append([newEntry(2)]), ['new']);
      assert.equal(await journal.append(newEntries(1, 3)), ['new', 'duplicate', 'new']);
      assert.equal(await journal.append([]), []);
    },
  },
  {
    name: '(4) the same exception twice in one batch is one row',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const outcomes = await journal.append([newEntry(1), newEntry(2), newEntry(1), newEntry(1)]);
      assert.equal(outcomes, ['new', 'new', 'duplicate', 'duplicate']);
      assert.is((await journal.read(0, plenty)).length, 2);
    },
  },
  {
    name: '(4) the same exception in two batches is one row, and the first one stays',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append([newEntry(1)]);
      assert.equal(await journal.append([newEntry(1, { record: '["another"]' })]), ['duplicate']);
      assert.equal(await journal.read(0, plenty), [{ sequence: 1, record: '["record 1"]' }]);
    },
  },
  {
    name: '(4) the same exception twice, across a restart, is one row and is counted once',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append(newEntries(1, 3));
      await first.close();
      const second = await open();
      assert.equal(await second.append(newEntries(1, 4)), ['duplicate', 'duplicate', 'duplicate', 'new']);
      assert.equal(numbersOf(await second.read(0, plenty)), [1, 2, 3, 4]);
      await second.close();
      assert.equal(countsByCode((await open()).contents), { 10023: 4 });
    },
  },
  {
    name: 'exceptions are listed with their labels, the latest first, page by page',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const muted = newLabels({ error_code: '10017', error_category: 'muted' });
      await journal.append([newEntry(1, { receivedAt: Date.now() - 1 }), newEntry(2), newEntry(1)]);
      await journal.append([newEntry(3, { labels: muted, record: null })]);
      const [third, second, ...rest] = await journal.exceptions(Number.POSITIVE_INFINITY, 2);
      assert.equal(rest, []);
      assert.equal([third!.identity, second!.identity], [3, 2].map(identityOf));
      assert.equal([third!.labels, second!.labels], [muted, newLabels()]);
      const [first, ...none] = await journal.exceptions(second!.sequence, 2);
      assert.equal(none, []);
      assert.is(first!.identity, identityOf(1));
      assert.ok(first!.receivedAt < third!.receivedAt && first!.sequence < second!.sequence);
      assert.equal(await journal.exceptions(first!.sequence, 2), []);
    },
  },
  {
    name: 'exceptions of earlier lives are listed',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append(newEntries(1, 3));
      const listed = await first.exceptions(Number.POSITIVE_INFINITY, plenty);
      await first.close();
      assert.is(listed.length, 3);
      assert.equal(await (await open()).exceptions(Number.POSITIVE_INFINITY, plenty), listed);
    },
  },
  {
    name: 'exceptions are listed the oldest first, too',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append(newEntries(1, 3));
      const [first, second, ...rest] = await journal.exceptions(0, 2, 'oldest_first');
      assert.equal(rest, []);
      assert.equal([first!.identity, second!.identity], [1, 2].map(identityOf));
      const page = await journal.exceptions(second!.sequence, 2, 'oldest_first');
      assert.equal(
        page.map(({ identity }) => identity),
        [identityOf(3)],
      );
      assert.equal(await journal.exceptions(page[0]!.sequence, 2, 'oldest_first'), []);
    },
  },
  {
    name: 'undelivered records are listed in either order, with who lacks them and whose they are',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const now = Date.now();
      await journal.append([1, 2, 3, 4].map(number => recordedEntry(number, { receivedAt: now + number })));
      await journal.append([newEntry(5, { record: null }), newEntry(6)]);
      await journal.read(0, plenty);
      await acknowledgeAll(journal, 1);
      await journal.acknowledge('traces', 3);
      const listed = await journal.undelivered(0, 2, 'oldest_first');
      assert.equal(
        listed.map(({ signals, receivedAt }) => [signals, receivedAt]),
        [
          [['logs'], now + 2],
          [['logs'], now + 3],
        ],
      );
      assert.ok(listed.every(({ isRetried }) => !isRetried));
      assert.is(listed[0]!.record, recordedEntry(2, { receivedAt: now + 2 }).record);
      const stored = await journal.exceptions(0, plenty, 'oldest_first');
      assert.is(listed[1]!.exception, stored[2]!.sequence);
      const rest = await journal.undelivered(listed[1]!.sequence, 100, 'oldest_first');
      assert.equal(
        rest.map(({ signals, exception }) => [signals, exception === null]),
        [
          [['traces', 'logs'], false],
          [['traces', 'logs'], true],
        ],
      );
      assert.equal(await journal.undelivered(rest[1]!.sequence, 100, 'oldest_first'), []);
      const [third, fourth, fifth] = [listed[1]!, ...rest];
      assert.equal(await journal.undelivered(Number.POSITIVE_INFINITY, 3), [fifth, fourth, third]);
      assert.equal(await journal.undelivered(third.sequence, 3), [listed[0]]);
      assert.equal(await journal.retried(0, 100), []);
    },
  },
  {
    name: 'a summary tells counts, and what waits for each signal',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const receivedAt = Date.now() - hourMs;
      const muted = newLabels({ error_code: '10017', error_category: 'muted' });
      await journal.append([
        newEntry(1, { receivedAt }),
        newEntry(2, { receivedAt: receivedAt + 1, labels: muted }),
        newEntry(3, { receivedAt: receivedAt + 2 }),
      ]);
      await journal.append([newEntry(3), newEntry(4, { record: null })]);
      await refuse(journal, 'logs', 1, '400 refused');
      await refuse(journal, 'logs', 2, '400 refused');
      await refuse(journal, 'traces', 2, '413 too large');
      await journal.acknowledge('logs', 2);
      await journal.acknowledge('traces', 1);
      const { bytes, totals, ...summary } = await journal.summary();
      assert.ok(bytes.inUse > 0);
      assert.equal(totals.map(({ labels, count }) => `${labels.error_code}: ${count}`).sort(), [
        '10017: 1',
        '10023: 3',
      ]);
      assert.equal(
        { ...summary, format: null },
        {
          format: null,
          exceptions: 4,
          exceptionsSince: receivedAt,
          undelivered: { traces: 2, logs: 1 },
          oldestUndeliveredAt: receivedAt + 1,
          deadLetters: [
            { signal: 'logs', reason: '400 refused', count: 2 },
            { signal: 'traces', reason: '413 too large', count: 1 },
          ],
          dropped: { traces: 0, logs: 0 },
        },
      );
    },
  },
  {
    name: '(3) dead letters are kept with their reason and record, and listed in order, across restarts',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append([1, 2, 3].map(number => recordedEntry(number)));
      await refuse(journal, 'logs', 3, 'late');
      await refuse(journal, 'traces', 1, 'odd');
      await refuse(journal, 'logs', 1, 'odder');
      await refuse(journal, 'logs', 1, 'a second time changes nothing');
      await acknowledgeAll(journal, 3);
      const [first, second, ...none] = await journal.deadLetters(0, 1);
      assert.equal(none, [], 'all of one sequence, and no other');
      assert.equal(namesOf([first!, second!]).sort(), ['1-logs', '1-traces']);
      const [third, ...rest] = await journal.deadLetters(1, 100);
      assert.equal(rest, []);
      assert.equal([third!.sequence, third!.signal, third!.reason], [3, 'logs', 'late']);
      assert.match(third!.record!, /info 3/);
      const [latest] = await journal.exceptions(Number.POSITIVE_INFINITY, 1);
      assert.is(third!.exception, latest!.sequence);
      assert.equal(await journal.deadLetters(3, 100), []);
    },
  },
  {
    name: '(3) a dead letter that is retried is the last row of the outbox, for its signal alone, and wakes delivery',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append([1, 2].map(number => recordedEntry(number)));
      const [, second] = await journal.read(0, 2);
      for (const signal of signals) await journal.deadLetter(signal, second!, '400 refused');
      await acknowledgeAll(journal, 2);
      const wait = journal.waitBeyond(2);
      await assertPending(wait, journal);
      const asked: DeadLetterKey[] = [
        { sequence: 2, signal: 'logs' },
        { sequence: 1, signal: 'logs' },
      ];
      assert.equal(await journal.retryDeadLetters(asked), {
        done: [asked[0]],
        left: [{ ...asked[1], why: 'unknown' }],
      });
      await assertSettled(wait, journal);
      assert.equal(await journal.read(2, plenty), [{ sequence: 3, record: second!.record, only: 'logs' }]);
      assert.equal(namesOf(await journal.deadLetters(0, 100)), ['2-traces']);
      assert.equal(await journal.reported('dead_letters_retried'), {
        type: 'dead_letters_retried',
        signal: 'logs',
        count: 1,
      });
      const [waiting, ...none] = await journal.retried(0, 100);
      assert.equal(none, []);
      assert.equal([waiting!.record, waiting!.signals, waiting!.isRetried], [second!.record, ['logs'], true]);
      assert.equal((await journal.summary()).undelivered, { traces: 0, logs: 1 });
      assert.equal((await journal.retryDeadLetters([asked[0]!])).left, [{ ...asked[0]!, why: 'unknown' }]);

      // Appended after it, and not for one signal alone.
      await journal.append([recordedEntry(3)]);
      assert.equal(
        (await journal.read(2, plenty)).map(({ sequence, only }) => [sequence, only]),
        [
          [3, 'logs'],
          [4, undefined],
        ],
      );
      // Refused once more, it is a dead letter again.
      await refuse(journal, 'logs', 3, 'still refused');
      await acknowledgeAll(journal, 3);
      assert.equal(namesOf(await journal.deadLetters(0, 100)), ['2-traces', '3-logs']);
      assert.equal(await journal.retried(0, 100), []);
    },
  },
  {
    name: '(3) what is retried survives a restart, for its signal alone, and its dead letter does not come back',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append([1, 2].map(number => recordedEntry(number)));
      await refuse(first, 'traces', 1);
      await refuse(first, 'logs', 2);
      await acknowledgeAll(first, 2);
      await first.retryDeadLetters([{ sequence: 1, signal: 'traces' }]);
      await first.close();
      const second = await open();
      assert.equal(
        (await second.read(0, plenty)).map(({ sequence, only }) => [sequence, only]),
        [[3, 'traces']],
      );
      assert.equal(namesOf(await second.deadLetters(0, 100)), ['2-logs']);
      assert.equal(
        second.reports.filter(({ type }) => type === 'damage'),
        [],
      );
      // When every signal is past it, nothing of it is left.
      await acknowledgeAll(second, 3);
      await second.close();
      const third = await open();
      assert.equal(await third.read(0, plenty), []);
      assert.equal(namesOf(await third.deadLetters(0, 100)), ['2-logs']);
      await third.append([recordedEntry(4)]);
      assert.equal(numbersOf(await third.read(0, plenty)), [4]);
    },
  },
  {
    name: 'a dead letter of a signal that is switched off stays one',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append([recordedEntry(1)]);
      await refuse(first, 'logs', 1);
      await acknowledgeAll(first, 1);
      await first.close();
      const second = await open({ signals: ['traces'] });
      const key: DeadLetterKey = { sequence: 1, signal: 'logs' };
      assert.equal(await second.retryDeadLetters([key]), { done: [], left: [{ ...key, why: 'signal_off' }] });
      assert.equal(namesOf(await second.deadLetters(0, 100)), ['1-logs']);
      assert.equal(await second.read(0, plenty), []);
    },
  },
  {
    name: 'a dead letter that is dropped is gone, and no other',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append([1, 2].map(number => recordedEntry(number)));
      await refuse(journal, 'logs', 1);
      await refuse(journal, 'logs', 2);
      await acknowledgeAll(journal, 2);
      const keys: DeadLetterKey[] = [
        { sequence: 2, signal: 'logs' },
        { sequence: 2, signal: 'traces' },
      ];
      assert.equal(await journal.dropDeadLetters(keys), {
        done: [keys[0]],
        left: [{ ...keys[1], why: 'unknown' }],
      });
      assert.equal(namesOf(await journal.deadLetters(0, 100)), ['1-logs']);
      assert.equal(await journal.reported('dead_letters_removed'), {
        type: 'dead_letters_removed',
        signal: 'logs',
        count: 1,
      });
      assert.equal(await journal.read(2, plenty), []);
    },
  },
  {
    name: '(5) the dead letter of a damaged row cannot be retried; dropped, its sequence is neither missed nor used again',
    durable: true,
    async run({ open, damageOutboxRow }) {
      const first = await open();
      await first.append(newEntries(1, 3));
      await first.read(0, plenty);
      await first.close();
      damageOutboxRow(3);
      const second = await open();
      await second.read(0, plenty);
      const keys = signals.map((signal): DeadLetterKey => ({ sequence: 3, signal }));
      assert.equal(
        (await second.retryDeadLetters(keys)).left.map(({ why }) => why),
        ['damaged', 'damaged'],
      );
      assert.equal((await second.dropDeadLetters(keys)).done, keys);
      assert.equal(await second.deadLetters(0, 100), []);
      assert.equal((await second.summary()).undelivered, { traces: 2, logs: 2 });
      await second.close();
      const third = await open();
      assert.equal(
        third.reports.filter(({ type }) => type === 'damage'),
        [],
      );
      await third.append([newEntry(4)]);
      assert.equal(numbersOf(await third.read(0, plenty)), [1, 2, 4]);
    },
  },
  {
    name: '(3) what is dropped for its size is counted for the signals that it was for',
    durable: false,
    async run({ open }) {
      const journal = await open({ bytesMax: 0 });
      await journal.append([recordedEntry(1)]);
      for (const _ of signals) await journal.reported('dropped');
      await journal.deadLetter('logs', { sequence: 1, record: recordedEntry(1).record! }, '400 refused');
      await journal.retryDeadLetters([{ sequence: 1, signal: 'logs' }]);
      await journal.append([newEntry(2, { record: null })]);
      assert.equal(await journal.reported('dropped').then(({ signal, count }) => [signal, count]), [
        'logs',
        1,
      ]);
      // Told after the dropping that was under way.
      await journal.reported('stats');
      assert.is(journal.reports.filter(({ type }) => type === 'dropped').length, 3);
      assert.equal((await journal.summary()).dropped, { traces: 1, logs: 2 });
    },
  },
  {
    name: '(2) a total is the number of distinct identities of its label set, across restarts',
    durable: true,
    async run({ open }) {
      const muted = newLabels({ error_code: '10017', error_category: 'muted' });
      const first = await open();
      await first.append([newEntry(1), newEntry(2, { labels: muted }), newEntry(1), newEntry(3)]);
      await first.append([newEntry(3), newEntry(2, { labels: muted })]);
      await first.close();
      const second = await open();
      assert.equal(countsByCode(second.contents), { 10017: 1, 10023: 2 });
      await second.append([newEntry(4), newEntry(5, { labels: { ...muted } })]);
      await second.close();
      assert.equal(countsByCode((await open()).contents), { 10017: 2, 10023: 3 });
    },
  },
  {
    name: '(2) 600 label sets keep their labels, their counts and the time of their first exception',
    durable: true,
    async run({ open }) {
      const before = Date.now();
      const journal = await open();
      const entries = newEntries(1, 1_800).map((entry, index) => ({
        ...entry,
        labels: newLabels({
          error_code: String(index % 100),
          platform: index % 600 < 300 ? 'iOS' : 'Web',
          initiator: index % 3 === 0 ? 'admin' : 'user',
          group_type: `type ${index % 600}`,
        }),
      }));
      for (const start of [0, 500, 1_000, 1_500]) await journal.append(entries.slice(start, start + 500));
      await journal.close();
      const { totals } = (await open()).contents;
      assert.is(totals.length, 600);
      assert.ok(totals.every(({ count }) => count === 3));
      assert.ok(totals.every(({ bornAt }) => bornAt >= before && bornAt <= Date.now()));
      const key = ({ group_type, ...labels }: (typeof entries)[number]['labels']) =>
        [group_type, ...Object.values(labels).sort()].join();
      assert.equal(
        totals.map(({ labels }) => key(labels)).sort(),
        [...new Set(entries.map(({ labels }) => key(labels)))].sort(),
      );
    },
  },
  {
    name: 'the time at which a label set was born stays, across restarts',
    durable: true,
    async run({ open }) {
      const bornAt = async (journal: OpenedJournal) => {
        await journal.append([newEntry(journal.contents.totals.length + 2)]);
        await journal.close();
        return (await open()).contents.totals[0]!.bornAt;
      };
      const first = await open();
      await first.append([newEntry(1)]);
      await first.close();
      const second = await open();
      const { bornAt: expected } = second.contents.totals[0]!;
      assert.is(await bornAt(second), expected);
    },
  },
  {
    name: 'the key stays the same across restarts',
    durable: true,
    async run({ open }) {
      const first = await open();
      const key = first.contents.key.toString('hex');
      await first.close();
      assert.is((await open()).contents.key.toString('hex'), key);
    },
  },
  {
    name: 'recent exceptions come back oldest first, with sender, group and category',
    durable: true,
    async run({ open }) {
      const now = Date.now();
      const first = await open();
      await first.append([
        newEntry(1, { receivedAt: now - 60_001 }),
        newEntry(2, { receivedAt: now - 60_000, senderHash: 2 ** 48 - 1 }),
        newEntry(3, {
          receivedAt: now,
          groupHash: 0,
          labels: newLabels({ error_code: '10017', error_category: 'muted' }),
          record: null,
        }),
      ]);
      await first.close();
      assert.equal((await open({ recentSince: now - 60_000 })).contents.recent, [
        { receivedAt: now - 60_000, errorCategory: 'rate_limited', senderHash: 2 ** 48 - 1, groupHash: 7 },
        { receivedAt: now, errorCategory: 'muted', senderHash: 2 ** 47 + 3, groupHash: 0 },
      ]);
    },
  },
  {
    name: 'rows are read in order of appending, from a cursor on, up to a limit',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append([newEntry(30), newEntry(10)]);
      await journal.append([newEntry(20)]);
      assert.equal(await journal.read(0, plenty), [
        { sequence: 1, record: '["record 30"]' },
        { sequence: 2, record: '["record 10"]' },
        { sequence: 3, record: '["record 20"]' },
      ]);
      assert.equal(numbersOf(await journal.read(0, 2)), [1, 2]);
      assert.equal(numbersOf(await journal.read(1, 1)), [2]);
      assert.equal(await journal.read(3, plenty), []);
    },
  },
  {
    name: 'an exception without a record is counted and known, and not to be delivered',
    durable: false,
    async run({ open }) {
      const journal = await open();
      assert.equal(await journal.append([newEntry(1, { record: null }), newEntry(2)]), ['new', 'new']);
      assert.equal(await journal.known([identityOf(1)]), [true]);
      assert.equal(await journal.read(0, plenty), [{ sequence: 1, record: '["record 2"]' }]);
    },
  },
  {
    name: 'records come back as they were, characters of every kind included',
    durable: true,
    async run({ open }) {
      const records = ['["\\u0000"]', '["群组 😀 \u2028"]', `["${'x'.repeat(300_000)}"]`, '["\ufeff"]', '""'];
      const first = await open();
      await first.append(records.map((record, index) => newEntry(index, { record })));
      await first.close();
      assert.equal(
        (await (await open()).read(0, plenty)).map(({ record }) => record),
        records,
      );
    },
  },
  {
    name: '(3) a row leaves only when every enabled signal is past it',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append(newEntries(1, 4));
      await first.read(0, plenty);
      await first.acknowledge('traces', 4);
      await first.acknowledge('logs', 1);
      await first.close();
      const second = await open();
      assert.equal(await second.cursors(), { traces: 4, logs: 1 });
      assert.equal(numbersOf(await second.read(0, plenty)), [2, 3, 4]);
      await second.acknowledge('logs', 4);
      await second.close();
      assert.equal(await (await open()).read(0, plenty), []);
    },
  },
  {
    name: '(3) rows wait for no signal that is switched off, and one switched on later begins where rows are left',
    durable: true,
    async run({ open }) {
      const first = await open({ signals: ['traces'] });
      await first.append(newEntries(1, 3));
      await first.read(0, plenty);
      await first.acknowledge('traces', 2);
      await first.close();
      const second = await open({ signals: ['traces'] });
      assert.equal(numbersOf(await second.read(0, plenty)), [3]);
      await second.close();
      assert.equal(await (await open()).cursors(), { traces: 2, logs: 2 });
    },
  },
  {
    name: 'each signal has a cursor of its own, 0 before the first acknowledgement',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append(newEntries(1, 3));
      assert.equal(await journal.cursors(), { traces: 0, logs: 0 });
      await journal.read(0, plenty);
      await journal.acknowledge('traces', 2);
      assert.equal(await journal.cursors(), { traces: 2, logs: 0 });
      await journal.acknowledge('logs', 1);
      assert.equal(await journal.cursors(), { traces: 2, logs: 1 });
    },
  },
  {
    name: 'a cursor never goes back',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append(newEntries(1, 3));
      await journal.read(0, plenty);
      await journal.acknowledge('traces', 3);
      await journal.acknowledge('traces', 1);
      assert.equal(await journal.cursors(), { traces: 3, logs: 0 });
    },
  },
  {
    name: 'sequences grow by one from row to row',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append([newEntry(1), newEntry(1), newEntry(2)]);
      await first.append([newEntry(2), newEntry(3)]);
      await first.close();
      const second = await open();
      await second.append([newEntry(3), newEntry(4)]);
      assert.equal(numbersOf(await second.read(0, plenty)), [1, 2, 3, 4]);
    },
  },
  {
    name: 'a sequence is never used again, also after the outbox was empty and a restart',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append(newEntries(1, 3));
      await first.read(0, plenty);
      for (const signal of signals) await first.acknowledge(signal, 3);
      await first.close();
      const second = await open();
      assert.equal(await second.read(0, plenty), []);
      await second.append([newEntry(4)]);
      assert.equal(numbersOf(await second.read(0, plenty)), [4]);
      for (const signal of signals) await second.acknowledge(signal, 4);
      await second.append([newEntry(5)]);
      assert.equal(numbersOf(await second.read(4, plenty)), [5]);
    },
  },
  {
    name: 'waitBeyond resolves for a row that is there, and else as soon as there is one',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const first = journal.waitBeyond(0);
      await assertPending(first, journal);
      await journal.append([newEntry(1)]);
      await first;
      await journal.waitBeyond(0);
      const second = journal.waitBeyond(1);
      await journal.append([newEntry(1)]);
      await journal.append([newEntry(2, { record: null })]);
      await assertPending(second, journal);
      await journal.append([newEntry(3)]);
      await second;
    },
  },
  {
    name: 'waitBeyond does not take rows that have left for rows that are there',
    durable: false,
    async run({ open }) {
      const journal = await open({ bytesMax: 0 });
      await journal.append([newEntry(1)]);
      await journal.reported('dropped');
      const wait = journal.waitBeyond(0);
      await assertPending(wait, journal);
    },
  },
  {
    name: 'known tells of each identity whether it is stored',
    durable: true,
    async run({ open }) {
      const first = await open();
      await first.append([newEntry(1), newEntry(3)]);
      assert.equal(await first.known([3, 2, 1].map(identityOf)), [true, false, true]);
      assert.equal(await first.known([]), []);
      await first.close();
      assert.equal(await (await open()).known([identityOf(1), identityOf(2)]), [true, false]);
    },
  },
  {
    name: 'a dead letter moves no cursor and removes no row',
    durable: false,
    async run({ open }) {
      const journal = await open();
      await journal.append(newEntries(1, 2));
      const [row] = await journal.read(0, 1);
      await journal.deadLetter('logs', row!, '400 refused');
      assert.equal(await journal.cursors(), { traces: 0, logs: 0 });
      assert.equal(numbersOf(await journal.read(0, plenty)), [1, 2]);
    },
  },
  {
    name: '(5) a damaged row is reported by its number and set aside, and the others are passed on',
    durable: true,
    async run({ open, damageOutboxRow }) {
      const first = await open();
      await first.append(newEntries(1, 4));
      await first.read(0, plenty);
      await first.acknowledge('traces', 2);
      await first.close();
      damageOutboxRow(2);
      damageOutboxRow(3);
      const second = await open();
      assert.equal(numbersOf(await second.read(0, plenty)), [1, 4]);
      assert.equal(
        second.reports.filter(({ type }) => type === 'damage'),
        [
          { type: 'damage', table: 'outbox', row: 2, deadLettered: ['logs'] },
          { type: 'damage', table: 'outbox', row: 3, deadLettered: ['traces', 'logs'] },
        ],
      );
      await second.read(0, plenty);
      assert.is(second.reports.filter(({ type }) => type === 'damage').length, 2, 'reported once');
    },
  },
  {
    name: 'the sequence of a damaged last row is not used again either',
    durable: true,
    async run({ open, damageOutboxRow }) {
      const first = await open();
      await first.append(newEntries(1, 2));
      await first.read(0, plenty);
      await first.close();
      damageOutboxRow(2);
      const second = await open();
      assert.equal(numbersOf(await second.read(0, plenty)), [1]);
      await second.close();
      const third = await open();
      await third.append([newEntry(3)]);
      assert.equal(numbersOf(await third.read(0, plenty)), [1, 3]);
    },
  },
  {
    name: '(4) an identity is kept for 24 hours at least, and not for ever',
    durable: false,
    async run({ open }) {
      const now = Date.now();
      const journal = await open();
      await journal.append(newEntries(1, 20, { receivedAt: now - 26 * hourMs }));
      await journal.append(newEntries(21, 30, { receivedAt: now - 24 * hourMs }));
      await journal.append(newEntries(31, 60));
      const known = await journal.known(Array.from({ length: 60 }, (_, index) => identityOf(index + 1)));
      assert.equal(known, [...Array(20).fill(false), ...Array(40).fill(true)]);
    },
  },
  {
    name: '(3) over its size the oldest undelivered rows are dropped, and counted for each signal that lacked them',
    durable: false,
    async run({ open }) {
      const journal = await open({ bytesMax: 24 * 2 ** 20 });
      const count = 6_600;
      const record = `["${'x'.repeat(4_000)}"]`;
      await journal.append(newEntries(1, 500, { record }));
      await journal.read(0, plenty);
      await journal.acknowledge('traces', 200);
      for (let start = 501; start <= count; start += 1_000) {
        await journal.append(newEntries(start, Math.min(start + 999, count), { record }));
      }
      await journal.reported('dropped');
      // Told after the dropping that was under way.
      await journal.reported('stats');
      const dropped = (signal: Signal) =>
        journal.reports.reduce(
          (sum, report) => (report.type === 'dropped' && report.signal === signal ? sum + report.count : sum),
          0,
        );
      const left = numbersOf(await journal.read(0, plenty));
      assert.is(dropped('logs'), count - left.length);
      assert.is(dropped('traces'), count - left.length - 200);
      assert.ok(left.length > 0);
      assert.equal(
        left,
        Array.from(left, (_, index) => count - left.length + 1 + index),
      );
      const outcomes = await journal.append(newEntries(1, count, { record }));
      assert.ok(
        outcomes.every(outcome => outcome === 'duplicate'),
        'identities are not dropped',
      );
    },
  },
  {
    name: '10,000 exceptions in batches are all stored, in order',
    durable: true,
    async run({ open }) {
      const first = await open();
      for (let start = 1; start <= 10_000; start += 1_000) await first.append(newEntries(start, start + 999));
      await first.close();
      const second = await open();
      assert.equal(countsByCode(second.contents), { 10023: 10_000 });
      const rows = await second.read(0, plenty);
      assert.is(rows.length, 10_000);
      assert.ok(
        rows.every(
          ({ sequence, record }, index) => sequence === index + 1 && record === `["record ${index + 1}"]`,
        ),
      );
    },
  },
  {
    name: 'statistics tell events, backlog and the oldest undelivered receipt time',
    durable: false,
    async run({ open }) {
      const receivedAt = Date.now() - hourMs;
      const journal = await open();
      assert.equal(
        { ...(await journal.reported('stats')).stats, bytes: 0 },
        {
          bytes: 0,
          events: 0,
          backlogEvents: 0,
          oldestUndeliveredAt: null,
        },
      );
      await journal.append([
        newEntry(1, { receivedAt }),
        newEntry(2, { receivedAt: receivedAt + 1 }),
        newEntry(3, { receivedAt: receivedAt + 2, record: null }),
      ]);
      const { stats } = await journal.reported('stats');
      assert.equal(
        { ...stats, bytes: 0 },
        {
          bytes: 0,
          events: 3,
          backlogEvents: 2,
          oldestUndeliveredAt: receivedAt,
        },
      );
      assert.ok(stats.bytes > 0);
      await journal.read(0, plenty);
      for (const signal of signals) await journal.acknowledge(signal, 1);
      assert.equal(
        { ...(await journal.reported('stats')).stats, bytes: 0 },
        {
          bytes: 0,
          events: 3,
          backlogEvents: 1,
          oldestUndeliveredAt: receivedAt + 1,
        },
      );
    },
  },
  {
    name: 'the delivery side works over a port, from another thread',
    durable: false,
    async run({ open }) {
      const journal = await open();
      const port = journal.outboxPort();
      const outbox = connectOutbox(port);
      try {
        const wait = outbox.waitBeyond(0);
        await journal.append(newEntries(1, 2));
        await wait;
        const [row] = await outbox.read(0, 1);
        assert.equal(row, { sequence: 1, record: '["record 1"]' });
        await outbox.deadLetter('traces', row!, '400 refused');
        await outbox.acknowledge('traces', 1);
        assert.equal(await outbox.cursors(), { traces: 1, logs: 0 });
        assert.equal(await journal.cursors(), { traces: 1, logs: 0 });
      } finally {
        port.close();
      }
    },
  },
];
