/**
 * A journal whose files were damaged where they lay: what it holds is whole, or it says what is not. Each guard is taken
 * away once, to see that the check would miss it. `node test/faults/campaign.ts` has the long form.
 */
import { copyFileSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { SqliteStore } from '../../src/journal/sqlite-store.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { type Damaged, damage, damageMany, damageRecord, newJournal, open, summary } from './damage.ts';

const damaged = suite('damaged journal');
const { prepare } = DatabaseSync.prototype;
damaged.after.each(async () => {
  DatabaseSync.prototype.prepare = prepare;
  await cleanUp();
});

const count = 60;
const isSilent = ({ verdict }: Damaged): boolean => verdict === 'SILENT';

/** The statements of stores that are opened now are changed. */
function breakStatements(change: (sql: string, db: DatabaseSync) => string): void {
  DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
    return prepare.call(this, change(sql, this));
  };
}

damaged(
  '(5) a bit, a sector, a cut anywhere: it holds all that was acknowledged, or says what it does not',
  () => {
    const seed = newSeed();
    const results = damageMany(seed, count);
    console.log(`\ndamage: SEED=${seed}, ${count} seeds: ${summary(results)}`);
    assert.equal(results.filter(isSilent), []);
    assert.ok(results.some(({ verdict }) => verdict === 'whole'));
    assert.ok(results.some(({ verdict }) => verdict === 'refused' || verdict === 'reported'));
  },
);

damaged('(5) a flipped bit of a record is always told', () => {
  // Some hit what is no record any more, or stands in the log once more.
  const results = damageMany(newSeed(), 20, damageRecord);
  assert.equal(results.filter(isSilent), []);
  assert.ok(results.some(({ detail }) => detail.includes('"table":"outbox"')));
});

damaged('catches an engine without a CRC of its records', () => {
  breakStatements((sql, db) => {
    db.function('crc_of', text => crc32(String(text)));
    return sql.replace('crc & 0xffffffff AS crc', 'crc_of(record) AS crc');
  });
  assert.ok(damageMany(newSeed(), 20, damageRecord).some(isSilent));
});

damaged('catches an engine that does not check the structure of its file', () => {
  const sound = "SELECT 'ok' AS integrity_check";
  breakStatements(sql => (sql.startsWith('PRAGMA integrity_check') ? sound : sql));
  // Always the same ones: SQLite itself may run in circles in a file that is damaged enough.
  const results = damageMany(1, count * 2, (directory, random) => {
    rmSync(join(directory, 'journal.db-wal'), { force: true });
    rmSync(join(directory, 'journal.db-count'));
    return damage(directory, random);
  });
  assert.ok(results.some(isSilent));
});

damaged('catches an engine that does not keep how many were acknowledged', () => {
  const results = damageMany(newSeed(), count, (directory, random) => {
    rmSync(join(directory, 'journal.db-count'));
    return damage(directory, random);
  });
  assert.ok(results.some(isSilent));
});

/** Of this one the log holds what the file does not have yet; of one in a few dozens, a checkpoint has just emptied it. */
const journalSeed = 1;

/** One thing damaged, and what is told. */
const cases: Record<string, { sql?: string; remove?: string; detail: RegExp }> = {
  'a log that is gone': { remove: 'journal.db-wal', detail: /^\{"type":"lost","count":\d+\}$/ },
  'a cursor that is too high': {
    sql: 'UPDATE cursors SET sequence = sequence + 64',
    detail: /^\{"type":"damage","table":"cursors","row":1,"deadLettered":\[\]\}$/,
  },
  'a key that is another': {
    sql: "UPDATE meta SET value = zeroblob(32) WHERE name = 'key'",
    detail: /^\{"type":"damage","table":"meta","row":1,"deadLettered":\[\]\}$/,
  },
  'a record that is gone': {
    sql: 'DELETE FROM outbox WHERE sequence = 200',
    detail: /^\{"type":"damage","table":"outbox","row":200,"deadLettered":\[\]\}$/,
  },
  'a total that is gone': {
    sql: 'DELETE FROM totals WHERE id = 3',
    detail: /^\{"type":"lost","count":\d+\}$/,
  },
};

for (const [name, { sql, remove, detail }] of Object.entries(cases)) {
  damaged(`(5) tells of ${name}`, () => {
    const journal = newJournal(createRandom(journalSeed));
    const directory = temporaryDirectory();
    const source = journal.directories.killed;
    for (const file of readdirSync(source)) {
      if (file !== remove) copyFileSync(join(source, file), join(directory, file));
    }
    if (sql !== undefined) {
      const db = new DatabaseSync(join(directory, 'journal.db'));
      db.exec(sql);
      db.close();
    }
    const result = open(directory, journal);
    assert.is(result.verdict, 'reported');
    assert.match(result.detail, detail);
    // Told once: what is there now is the truth from here on.
    assert.not.match(open(directory, journal).detail, /lost|cursors/);
  });
}

damaged('a journal over its size whose records no signal takes any more lets them go', () => {
  const { directories } = newJournal(createRandom(newSeed()));
  const store = new SqliteStore(join(directories.stopped, 'journal.db'), {
    signals: [],
    bytesMax: 1,
    now: Date.now,
    report: () => {},
  });
  store.open(0);
  store.enforceSize();
  assert.equal(store.read(0, 10), []);
  store.close();
});

damaged.run();
