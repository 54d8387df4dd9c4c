/**
 * Clocks that jump, and journals of other versions. The fixture was written by the first version of format 1; it must
 * open for as long as that format is read.
 */
import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { identityRetentionMs, type JournalReport, JournalUnusable } from '../../src/journal/journal.ts';
import { SqliteStore } from '../../src/journal/sqlite-store.ts';
import { hourMs, newEntry, newLabels } from '../journal/fixtures.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { between, createRandom, newSeed } from '../support/random.ts';

const clock = suite('clock');
clock.after.each(cleanUp);
const upgrade = suite('upgrade');
upgrade.after.each(cleanUp);

const start = Date.UTC(2026, 10, 23);
const promisedMs = 24 * hourMs;
const jumpMs = 400_000;

const identityOf = (number: number): Uint8Array =>
  Uint8Array.from(Buffer.from(newEntry(number).identity, 'hex'));

function openStore(path: string, now: () => number) {
  const reports: JournalReport[] = [];
  const report = (report: JournalReport) => reports.push(report);
  const store = new SqliteStore(path, { signals: ['traces', 'logs'], bytesMax: 2 ** 30, now, report });
  return { store, reports, ...store.open(0) };
}

function append(store: SqliteStore, number: number, receivedAt: number): boolean {
  const duplicates = store.append({
    labelSets: [[1, newLabels()]],
    identities: identityOf(number),
    numbers: Float64Array.from([receivedAt, 1, 1, 1]),
    records: [newEntry(number).record!],
  });
  return duplicates.length === 0;
}

/** Where the clock goes from one exception to the next. */
const jumps: Record<string, (step: number, random: () => number) => number> = {
  'ahead by 400 s and back, again and again': step => (step % 2 === 0 ? jumpMs : -jumpMs),
  'back by 400 s, time after time': () => -jumpMs,
  'ahead by 400 s, time after time': () => jumpMs,
  'at random, up to 400 s either way': (_, random) => between(random, -jumpMs, jumpMs),
};

for (const [name, jump] of Object.entries(jumps)) {
  clock(
    `(2)(4) goes ${name}: no identity younger than 24 h is forgotten, totals are exact, across restarts`,
    () => {
      const seed = newSeed();
      const random = createRandom(seed);
      const path = join(temporaryDirectory(), 'journal.db');
      let now = start;
      let { store } = openStore(path, () => now);
      const receivedAt: number[] = [];
      let distinct = 0;
      for (let step = 0; step < 300; step += 1) {
        now += jump(step, random);
        assert.ok(append(store, step + 1, now));
        receivedAt.push(now);
        distinct += 1;
        if (step % 60 === 59) {
          store.flush();
          store.close();
          ({ store } = openStore(path, () => now));
        }
        const old = between(random, 0, step);
        const isNew = append(store, old + 1, now);
        // By the exporter's own clock, as it stands now and as it stood then; beyond 24 h either is right.
        if (now - receivedAt[old]! <= promisedMs)
          assert.not.ok(isNew, `SEED=${seed}, exception ${old} of ${step}`);
        if (isNew) {
          receivedAt[old] = now;
          distinct += 1;
        }
      }
      store.close();
      const { totals, reports } = openStore(path, () => now);
      assert.is(totals[0]!.count, distinct);
      assert.equal(reports, []);
    },
  );
}

clock('(4) one jump ahead beyond the retention forgets only what the clock says is old', () => {
  const path = join(temporaryDirectory(), 'journal.db');
  let now = start;
  const { store } = openStore(path, () => now);
  for (let number = 1; number <= 10; number += 1) append(store, number, now);
  now = start + identityRetentionMs;
  store.flush();
  assert.equal(store.known([identityOf(1), identityOf(10)]), [true, true]);
  now = start - jumpMs;
  assert.not.ok(append(store, 1, now));
  store.close();
});

const fixture = join(import.meta.dirname, 'fixtures', 'journal-format-1.db');

upgrade(
  '(2)(4) a journal of the first version opens with exact totals, identities, cursors and records',
  () => {
    const path = join(temporaryDirectory(), 'journal.db');
    copyFileSync(fixture, path);
    const { store, totals, key, reports } = openStore(path, () => start);
    assert.equal(
      totals.map(({ labels, count }) => [labels.error_code, count]),
      [
        ['10023', 40],
        ['10017', 20],
      ],
    );
    assert.is(key.toString('hex'), '5a'.repeat(32));
    assert.equal(store.known([1, 60, 61].map(identityOf)), [true, true, false]);
    assert.equal(store.cursors(), { traces: 12, logs: 10 });
    assert.equal(store.read(0, 2), [
      { sequence: 11, record: '["record 11"]' },
      { sequence: 12, record: '["record 12"]' },
    ]);
    assert.is(store.read(0, 100).length, 50);
    assert.not.ok(append(store, 60, start));
    assert.ok(append(store, 61, start));
    assert.equal(reports, []);
    store.close();
  },
);

upgrade('refuses a journal of a newer format, and leaves it as it was', () => {
  const path = join(temporaryDirectory(), 'journal.db');
  copyFileSync(fixture, path);
  const db = new DatabaseSync(path);
  db.exec('PRAGMA user_version=2');
  db.close();
  const before = readFileSync(path);
  assert.throws(
    () => openStore(path, () => start),
    (error: unknown) =>
      error instanceof JournalUnusable &&
      / has journal format 2, this version reads 1; run /.test(error.message),
  );
  assert.ok(readFileSync(path).equals(before));
});

clock.run();
upgrade.run();
