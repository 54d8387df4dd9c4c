import { EventEmitter, once } from 'node:events';
import { mock } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { AppendOutcome, Journal, JournalEntry } from '../../src/journal/journal.ts';
import { JournalWriter, UnwrittenLimitReached, type WriterReport } from '../../src/journal/writer.ts';
import { identityOf, newEntries, newEntry } from './fixtures.ts';

/** A journal whose disk is in the test's hand. */
class FakeJournal implements Pick<Journal, 'append' | 'known' | 'isShared'> {
  isShared?: true;
  readonly stored = new Set<string>();
  readonly batches: string[][] = [];
  isBroken = false;
  canBeRead = true;
  /** Whether an identity is known is said only after `release` while this is set. */
  isReadHeld = false;
  /** Stores, and then says that it failed: what a failed sync may look like. */
  failsAfterStoring = false;
  /** Appends wait until `release` while this is set. */
  isHeld = false;
  readonly #told = new EventTarget();

  async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    this.#told.dispatchEvent(new Event('append'));
    this.batches.push(entries.map(({ identity }) => identity));
    if (this.isHeld) await once(this.#told, 'release');
    if (this.isBroken) throw new Error('disk I/O error');
    const outcomes = entries.map(({ identity }): AppendOutcome => {
      if (this.stored.has(identity)) return 'duplicate';
      this.stored.add(identity);
      return 'new';
    });
    if (this.failsAfterStoring) throw new Error('sync failed');
    return outcomes;
  }

  async known(identities: readonly string[]): Promise<boolean[]> {
    if (!this.canBeRead) throw new Error('the disk is gone');
    if (this.isReadHeld) await once(this.#told, 'release');
    return identities.map(identity => this.stored.has(identity));
  }

  /** Resolves with the next append. */
  async asked(): Promise<void> {
    await once(this.#told, 'append');
  }

  release(): void {
    this.isHeld = false;
    this.#told.dispatchEvent(new Event('release'));
  }
}

interface Setup {
  journal: FakeJournal;
  /** Without a time to be answered in. */
  append(entry: JournalEntry, answerBy?: number): Promise<AppendOutcome | 'late'>;
  writer: JournalWriter<JournalEntry>;
  /** Identities for which `onNew` was called. */
  counted: string[];
  reports: WriterReport[];
  types(): string[];
  /** Resolves with the next report of the type. */
  reported(type: WriterReport['type']): Promise<void>;
}

let setups: Pick<Setup, 'journal' | 'writer'>[] = [];

function setUp(options: { unwrittenMax?: number; batchEveryMs?: number } = {}): Setup {
  const journal = new FakeJournal();
  const counted: string[] = [];
  const reports: WriterReport[] = [];
  const told = new EventEmitter();
  const writer = new JournalWriter<JournalEntry>({
    journal,
    onNew: ({ identity }) => counted.push(identity),
    report(report) {
      reports.push(report);
      told.emit(report.type);
    },
    // Without a rest between batches, unless it is asked for.
    batchEveryMs: 0,
    ...options,
  });
  setups.push({ journal, writer });
  return {
    journal,
    writer,
    append: (entry, answerBy = Number.POSITIVE_INFINITY) => writer.append(entry, answerBy),
    counted,
    reports,
    types: () => reports.map(({ type }) => type),
    async reported(type) {
      await once(told, type);
    },
  };
}

const identities = (first: number, last: number): string[] =>
  newEntries(first, last).map(({ identity }) => identity);

/** Lets whatever is ready run, a few turns of the event loop on. */
async function settle(): Promise<void> {
  for (let turns = 0; turns < 10; turns += 1) await turn();
}

const writerSuite = suite('journal writer');

writerSuite.after.each(async () => {
  mock.timers.reset();
  // Nothing may be held or tried again after the test.
  for (const { journal, writer } of setups) {
    journal.release();
    await writer.drain(0);
  }
  setups = [];
});

writerSuite('stores one exception and tells that it was new, then that it is a duplicate', async () => {
  const { append, counted, types } = setUp();
  assert.is(await append(newEntry(1)), 'new');
  assert.is(await append(newEntry(1)), 'duplicate');
  assert.equal(counted, [identityOf(1)]);
  assert.equal(types(), ['committed', 'committed']);
});

writerSuite('makes one batch of what arrives in one turn of the event loop', async () => {
  const { append, journal } = setUp();
  await Promise.all(newEntries(1, 5).map(entry => append(entry)));
  assert.equal(journal.batches, [identities(1, 5)]);
});

writerSuite('makes one batch of what arrives while the last one is being made durable', async () => {
  const { append, journal } = setUp();
  journal.isHeld = true;
  const first = append(newEntry(1));
  await settle();
  const rest = newEntries(2, 4).map(entry => append(entry));
  await settle();
  assert.equal(journal.batches, [identities(1, 1)]);
  journal.release();
  assert.equal(await Promise.all([first, ...rest]), ['new', 'new', 'new', 'new']);
  assert.equal(journal.batches, [identities(1, 1), identities(2, 4)]);
});

writerSuite('stores at once what comes alone, and then rests, so that one sync serves more', async () => {
  const { append, journal } = setUp({ batchEveryMs: 200 });
  const startedAt = performance.now();
  await append(newEntry(1));
  assert.ok(performance.now() - startedAt < 150);
  const rest = newEntries(2, 4).map(async entry => {
    await turn();
    await append(entry);
  });
  await Promise.all(rest);
  assert.ok(performance.now() - startedAt >= 199);
  assert.equal(journal.batches, [identities(1, 1), identities(2, 4)]);
});

writerSuite('does not rest any longer when 32 exceptions wait', async () => {
  const { append, journal } = setUp({ batchEveryMs: 3_000 });
  await append(newEntry(1));
  const queued = newEntries(2, 32).map(entry => append(entry));
  await settle();
  assert.equal(journal.batches, [identities(1, 1)]);
  await Promise.all([...queued, append(newEntry(33))]);
  assert.equal(journal.batches, [identities(1, 1), identities(2, 33)]);
});

writerSuite('puts at most 1,024 exceptions into one batch, in order of arrival', async () => {
  const { append, journal } = setUp();
  await Promise.all(newEntries(1, 2_100).map(entry => append(entry)));
  assert.equal(
    journal.batches.map(batch => batch.length),
    [1_024, 1_024, 52],
  );
  assert.equal(journal.batches.flat(), identities(1, 2_100));
});

writerSuite('counts a new exception before it is answered', async () => {
  const { append, counted } = setUp();
  let countedWhenAnswered = 0;
  await append(newEntry(1)).then(() => {
    countedWhenAnswered = counted.length;
  });
  assert.is(countedWhenAnswered, 1);
});

writerSuite('answers late at the time it must, and counts the exception once it is stored', async () => {
  const { append, journal, counted } = setUp();
  journal.isHeld = true;
  const startedAt = performance.now();
  const underway = append(newEntry(1), startedAt + 100);
  await settle();
  const queued = append(newEntry(2), startedAt + 100);
  assert.equal(await Promise.all([underway, queued]), ['late', 'late']);
  const waitedMs = performance.now() - startedAt;
  assert.ok(waitedMs >= 100 && waitedMs < 250, `${waitedMs} ms`);
  assert.equal(counted, []);
  journal.release();
  assert.is(await append(newEntry(1)), 'duplicate');
  assert.equal(counted, identities(1, 2));
});

writerSuite(
  '(1) puts exceptions aside while the journal fails, counts them as new, and says that it is down',
  async () => {
    const { append, journal, counted, reports, writer } = setUp();
    journal.isBroken = true;
    assert.equal(await Promise.all([append(newEntry(1)), append(newEntry(2))]), ['new', 'new']);
    assert.equal(counted, identities(1, 2));
    assert.is(writer.unwrittenCount, 2);
    assert.equal(
      reports.map(report => ({ ...report, ...('error' in report ? { error: report.error.message } : {}) })),
      [
        { type: 'failed', error: 'disk I/O error' },
        { type: 'down', error: 'disk I/O error' },
        { type: 'unwritten', count: 2 },
      ],
    );
  },
);

writerSuite('does not try the journal for each exception while something is put aside', async () => {
  const { append, journal } = setUp();
  journal.isBroken = true;
  await append(newEntry(1));
  await append(newEntry(2));
  await append(newEntry(3));
  assert.is(journal.batches.length, 1);
});

writerSuite(
  '(4) knows duplicates while it is down: of what is put aside, and of what is stored',
  async () => {
    const { append, journal, counted, writer } = setUp();
    await append(newEntry(1));
    journal.isBroken = true;
    assert.equal(await Promise.all([append(newEntry(2)), append(newEntry(2)), append(newEntry(1))]), [
      'new',
      'duplicate',
      'duplicate',
    ]);
    assert.is(await append(newEntry(2)), 'duplicate');
    assert.is(await append(newEntry(1)), 'duplicate');
    assert.equal(counted, identities(1, 2));
    assert.is(writer.unwrittenCount, 1);
  },
);

writerSuite('answers late whose time is up, also behind one that has more of it', async () => {
  const { append, journal } = setUp();
  journal.isHeld = true;
  const startedAt = performance.now();
  const patient = append(newEntry(1), startedAt + 1_500);
  assert.is(await append(newEntry(2), startedAt + 20), 'late');
  assert.ok(performance.now() - startedAt < 1_000);
  journal.release();
  assert.is(await patient, 'new');
});

writerSuite('takes an exception for new when the journal cannot even be read', async () => {
  const { append, journal } = setUp();
  await append(newEntry(1));
  journal.isBroken = true;
  journal.canBeRead = false;
  assert.is(await append(newEntry(1)), 'new');
});

writerSuite('refuses what is beyond the limit of exceptions put aside, and does not count it', async () => {
  const { append, journal, counted, writer } = setUp({ unwrittenMax: 2 });
  journal.isBroken = true;
  const results = await Promise.allSettled(newEntries(1, 3).map(entry => append(entry)));
  assert.equal(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected'],
  );
  assert.instance((results[2] as PromiseRejectedResult).reason, UnwrittenLimitReached);
  assert.is(await append(newEntry(1)), 'duplicate', 'one that is put aside is still known');
  assert.equal(counted, identities(1, 2));
  assert.is(writer.unwrittenCount, 2);
});

writerSuite('tries again after 0.25, 0.5, 1, 2, 4, 5 and 5 seconds', async () => {
  const { append, journal } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.isBroken = true;
  await append(newEntry(1));
  for (const [index, ms] of [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000].entries()) {
    mock.timers.tick(ms - 1);
    await settle();
    assert.is(journal.batches.length, index + 1, `not before ${ms} ms`);
    mock.timers.tick(1);
    await settle();
    assert.is(journal.batches.length, index + 2, `after ${ms} ms`);
  }
});

writerSuite('tries again though the first try was due before anything was put aside', async () => {
  const { append, journal, writer } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.isBroken = true;
  journal.isReadHeld = true;
  const appended = append(newEntry(1));
  await settle();
  mock.timers.tick(250);
  journal.isReadHeld = false;
  journal.release();
  assert.is(await appended, 'new');
  journal.isBroken = false;
  await settle();
  mock.timers.tick(500);
  await settle();
  assert.is(writer.unwrittenCount, 0);
  assert.ok(journal.stored.has(identityOf(1)));
});

writerSuite('begins with 0.25 seconds again after it was up', async () => {
  const { append, journal, reported } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.isBroken = true;
  await append(newEntry(1));
  mock.timers.tick(250);
  await settle();
  journal.isBroken = false;
  const up = reported('up');
  mock.timers.tick(500);
  await up;
  journal.isBroken = true;
  await append(newEntry(2));
  const attempts = journal.batches.length;
  mock.timers.tick(249);
  await settle();
  assert.is(journal.batches.length, attempts);
  mock.timers.tick(1);
  await settle();
  assert.is(journal.batches.length, attempts + 1);
});

writerSuite(
  'writes all that was put aside once the journal takes it, in order, and then says that it is up',
  async () => {
    const { append, journal, types, writer, reported } = setUp();
    mock.timers.enable({ apis: ['setTimeout'] });
    journal.isBroken = true;
    await Promise.all(newEntries(1, 2_100).map(entry => append(entry)));
    assert.is(writer.unwrittenCount, 2_100);
    journal.isBroken = false;
    const reportsBefore = types().length;
    const up = reported('up');
    mock.timers.tick(250);
    await up;
    assert.ok([...journal.stored].join() === identities(1, 2_100).join(), 'all of them, in order');
    assert.is(writer.unwrittenCount, 0);
    assert.equal(types().slice(reportsBefore), [
      ...['committed', 'unwritten'],
      ...['committed', 'unwritten'],
      ...['committed', 'unwritten'],
      'up',
    ]);
    assert.is(await append(newEntry(2_101)), 'new');
  },
);

writerSuite('(4) counts once what was stored although the append said that it failed', async () => {
  const { append, journal, counted, writer } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.failsAfterStoring = true;
  journal.canBeRead = false;
  assert.is(await append(newEntry(1)), 'new');
  journal.failsAfterStoring = false;
  mock.timers.tick(250);
  await settle();
  assert.is(writer.unwrittenCount, 0);
  assert.equal(counted, identities(1, 1));
  assert.is(await append(newEntry(1)), 'duplicate');
});

writerSuite('takes exceptions that arrive while what was put aside is being written', async () => {
  const { append, journal, counted, writer, reported } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.isBroken = true;
  await Promise.all(newEntries(1, 1_500).map(entry => append(entry)));
  journal.isBroken = false;
  journal.isHeld = true;
  mock.timers.tick(250);
  await journal.asked();
  // The first 1,024 are being written, number 1,500 is still put aside, 1,501 is new.
  const arriving = [1, 1_500, 1_501].map(number => append(newEntry(number)));
  await settle();
  const up = reported('up');
  journal.release();
  assert.equal(await Promise.all(arriving), ['duplicate', 'duplicate', 'new']);
  await up;
  assert.is(writer.unwrittenCount, 0);
  assert.is(journal.stored.size, 1_501);
  assert.ok(counted.join() === identities(1, 1_501).join(), 'each counted once');
});

writerSuite('is up again after a failure that left nothing to put aside', async () => {
  const { append, journal, types, counted } = setUp();
  await append(newEntry(1));
  journal.isBroken = true;
  assert.is(await append(newEntry(1)), 'duplicate');
  assert.is(types().at(-1), 'unwritten');
  journal.isBroken = false;
  assert.is(await append(newEntry(2)), 'new');
  assert.is(types().at(-1), 'up');
  assert.equal(counted, identities(1, 2));
});

writerSuite('is up again by itself after a failure that left nothing to put aside', async () => {
  const { append, journal, types, counted } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  await append(newEntry(1));
  journal.isBroken = true;
  assert.is(await append(newEntry(1)), 'duplicate');
  mock.timers.tick(250);
  await settle();
  assert.is(types().at(-1), 'failed', 'it was tried again');
  journal.isBroken = false;
  mock.timers.tick(500);
  await settle();
  assert.is(types().at(-1), 'up');
  assert.equal(counted, identities(1, 1));
});

writerSuite('begins with 0.25 seconds again also when there was nothing to put aside', async () => {
  const { append, journal } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  await append(newEntry(1));
  journal.isBroken = true;
  await append(newEntry(1));
  journal.isBroken = false;
  await append(newEntry(1));
  journal.isBroken = true;
  await append(newEntry(2));
  const attempts = journal.batches.length;
  mock.timers.tick(250);
  await settle();
  assert.is(journal.batches.length, attempts + 1);
});

writerSuite('says that it is down once an outage, and counts every failure', async () => {
  const { append, journal, types } = setUp();
  mock.timers.enable({ apis: ['setTimeout'] });
  journal.isBroken = true;
  await append(newEntry(1));
  mock.timers.tick(250);
  await settle();
  mock.timers.tick(500);
  await settle();
  assert.is(types().filter(type => type === 'failed').length, 3);
  assert.is(types().filter(type => type === 'down').length, 1);
});

writerSuite('drain waits for what is queued', async () => {
  const { append, journal, writer } = setUp();
  journal.isHeld = true;
  const appended = append(newEntry(1));
  await settle();
  const drained = writer.drain(5_000);
  journal.release();
  assert.is(await drained, 0);
  assert.is(await appended, 'new');
  assert.is(journal.stored.size, 1);
});

writerSuite('drain tries at once to write what was put aside', async () => {
  const { append, journal, writer, types } = setUp();
  journal.isBroken = true;
  await append(newEntry(1));
  journal.isBroken = false;
  assert.is(await writer.drain(5_000), 0);
  assert.is(journal.stored.size, 1);
  assert.is(types().at(-1), 'up');
});

writerSuite('drain gives up after its time, and says how many exceptions are left', async () => {
  const { append, journal, writer } = setUp();
  journal.isBroken = true;
  await Promise.all(newEntries(1, 3).map(entry => append(entry)));
  const startedAt = performance.now();
  assert.is(await writer.drain(300), 3);
  assert.ok(performance.now() - startedAt < 1_000);
});

writerSuite(
  'after drain an exception is refused, and not put aside where nobody would write it',
  async () => {
    const { append, counted, journal, writer } = setUp();
    journal.isHeld = true;
    const queued = append(newEntry(1));
    await settle();
    assert.is(await writer.drain(0), 0);
    journal.isBroken = true;
    journal.release();
    for (const refused of [queued, append(newEntry(2))]) {
      const error = await refused.then(
        outcome => assert.unreachable(outcome),
        (reason: Error) => reason,
      );
      assert.instance(error, UnwrittenLimitReached);
    }
    assert.equal(counted, []);
  },
);

writerSuite('what is put aside counts when it is written, in a journal that others share', async () => {
  const { journal, append, counted, reported, writer } = setUp();
  journal.isShared = true;
  journal.isBroken = true;
  assert.is(await append(newEntry(1)), 'new');
  assert.is(await append(newEntry(2)), 'new');
  assert.is(await append(newEntry(1)), 'duplicate');
  assert.equal(counted, []);
  assert.is(writer.unwrittenCount, 2);
  // Another exporter was first with the second one.
  journal.stored.add(identityOf(2));
  journal.isBroken = false;
  await reported('up');
  assert.equal(counted, identities(1, 1));
  assert.is(await append(newEntry(3)), 'new');
  assert.equal(counted, [identityOf(1), identityOf(3)]);
});

writerSuite('a shared journal that fails is not asked what it knows', async () => {
  const { journal, append, counted } = setUp();
  journal.isShared = true;
  journal.isBroken = true;
  journal.isReadHeld = true;
  assert.is(await append(newEntry(1)), 'new');
  assert.equal(counted, []);
});

writerSuite.run();
