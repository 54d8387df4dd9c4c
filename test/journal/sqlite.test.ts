import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { DatabaseSync, StatementSync } from 'node:sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  JournalContents,
  JournalEntry,
  JournalOptions,
  JournalReport,
} from '../../src/journal/journal.ts';
import { JournalUnusable } from '../../src/journal/journal.ts';
import { connectToStill, writeLogAnew } from '../../src/journal/sqlite-connection.ts';
import { batchColumns, type PackedBatch, SqliteStore } from '../../src/journal/sqlite-store.ts';
import { hourMs, newDirectory, newEntries, newEntry, newLabels } from './fixtures.ts';

const muted = newLabels({ error_code: '10017', error_category: 'muted' });
const start = Date.UTC(2026, 10, 23);

let directory: ReturnType<typeof newDirectory>;
let path: string;
let stores: SqliteStore[] = [];

/** The connections that were opened, the last one last. Real ones: only their birth is watched. */
let connections: DatabaseSync[] = [];
const { prepare } = DatabaseSync.prototype;
DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
  if (connections.at(-1) !== this) connections.push(this);
  return prepare.call(this, sql);
};

function newStore(options: Partial<JournalOptions> = {}): { store: SqliteStore; reports: JournalReport[] } {
  const reports: JournalReport[] = [];
  const store = new SqliteStore(path, {
    signals: ['traces', 'logs'],
    bytesMax: 2 ** 30,
    now: () => start,
    report: report => reports.push(report),
    ...options,
  });
  return { store, reports };
}

function openStore(options: Partial<JournalOptions> = {}): {
  store: SqliteStore;
  reports: JournalReport[];
  contents: JournalContents;
} {
  const opened = newStore(options);
  const contents = opened.store.open(0);
  stores.push(opened.store);
  return { ...opened, contents };
}

function close(store: SqliteStore): void {
  stores = stores.filter(other => other !== store);
  store.close();
}

/** With label sets 1 and 2. */
function pack(entries: JournalEntry[]): PackedBatch {
  const batch: PackedBatch = {
    labelSets: [
      [1, newLabels()],
      [2, muted],
    ],
    identities: Uint8Array.from(Buffer.from(entries.map(({ identity }) => identity).join(''), 'hex')),
    numbers: new Float64Array(entries.length * batchColumns),
    records: [],
  };
  for (const [index, { labels, receivedAt, senderHash, groupHash, record }] of entries.entries()) {
    batch.numbers.set([receivedAt, labels === muted ? 2 : 1, senderHash, groupHash], index * batchColumns);
    if (record !== null) batch.records[index] = record;
  }
  return batch;
}

const numbers = (first: number, last: number): PackedBatch =>
  pack(newEntries(first, last, { receivedAt: start }));

const sequences = (store: SqliteStore): number[] => store.read(0, 1_000_000).map(({ sequence }) => sequence);

const counts = ({ totals }: JournalContents): Record<string, number> =>
  Object.fromEntries(totals.map(({ labels, count }) => [labels.error_code, count]));

/** Runs SQL on the file while no store holds it. */
function alter(sql: string): void {
  const db = new DatabaseSync(path);
  db.exec(sql);
  db.close();
}

const pragma = (name: string): unknown =>
  Object.values(connections.at(-1)!.prepare(`PRAGMA ${name}`).get()!)[0];

/** The next transactions of this connection fail at the exception received at `at`; a new connection is sound. */
function failAt(at: number): void {
  connections.at(-1)!.exec(
    `CREATE TEMP TRIGGER broken BEFORE INSERT ON exceptions WHEN new.received_at = ${at}
     BEGIN SELECT RAISE(ABORT, 'injected'); END`,
  );
}

/** Leaves no page to take; `0` lifts it. */
function fillDisk(pages: number): void {
  connections.at(-1)!.exec(`PRAGMA max_page_count=${pages || 2 ** 30}`);
}

const sqlite = suite('SQLite journal');

sqlite.before.each(() => {
  directory = newDirectory();
  path = join(directory.path, 'data', 'journal.db');
  connections = [];
});
sqlite.after.each(() => {
  for (const store of stores) store.close();
  stores = [];
  directory.remove();
});

sqlite('syncs every commit to a write-ahead log, and holds the file alone', () => {
  openStore();
  assert.is(pragma('journal_mode'), 'wal');
  assert.is(pragma('synchronous'), 2, 'FULL');
  assert.is(pragma('locking_mode'), 'exclusive');
});

sqlite('syncs every commit after the file was opened again, too', () => {
  const { store } = openStore();
  failAt(start);
  assert.throws(() => store.append(numbers(1, 1)));
  store.append(numbers(1, 1));
  assert.is(connections.length, 2);
  assert.is(pragma('journal_mode'), 'wal');
  assert.is(pragma('synchronous'), 2);
  assert.is(pragma('locking_mode'), 'exclusive');
});

sqlite('writes the log anew of the file that a link leads to', () => {
  mkdirSync(dirname(path));
  writeFileSync(path, '');
  const link = join(directory.path, 'link.db');
  symlinkSync(path, link);
  // What cannot be written anew tells that it was to be.
  mkdirSync(`${path}-wal`);
  assert.throws(
    () => writeLogAnew(link),
    (error: Error) => error instanceof JournalUnusable && error.message.includes(`${path}-wal`),
  );
});

sqlite('makes its directory and files for its own user only', () => {
  const { store } = openStore();
  store.append(numbers(1, 1));
  const mode = (name: string) => (statSync(name).mode & 0o777).toString(8);
  assert.is(mode(join(directory.path, 'data')), '700');
  for (const file of readdirSync(join(directory.path, 'data'))) {
    assert.is(mode(join(directory.path, 'data', file)), '600', file);
  }
});

sqlite('refuses a journal that another exporter has open, and says so', () => {
  openStore();
  assert.throws(
    () => newStore().store.open(0),
    (error: unknown) =>
      error instanceof JournalUnusable &&
      error.message === `${path} is in use by another process; every exporter needs a journal of its own`,
  );
});

/** What stands in the journal's place, and how the message about it goes on after the path. */
const unusable: Record<string, { make: () => void; message: string }> = {
  'a SQLite file of something else': {
    make: () => alter('CREATE TABLE notes (text TEXT)'),
    message: ' is a SQLite file, but not a journal; JOURNAL must name another file',
  },
  'a journal of a newer format': {
    make() {
      close(openStore().store);
      alter('PRAGMA user_version=2');
    },
    message: ' has journal format 2, this version reads 1; run the version that wrote it',
  },
  'a file that is no database': {
    make: () => writeFileSync(path, 'sdk_app_id,error_code\n'.repeat(1_000)),
    message:
      ' is damaged or not a SQLite file (file is not a database); restore it from a backup, or move it away to start from zero',
  },
  'a directory': {
    make: () => mkdirSync(path),
    message: ` cannot be made or written (EISDIR: illegal operation on a directory, open '@')`,
  },
};

for (const [what, { make, message }] of Object.entries(unusable)) {
  sqlite(`refuses ${what}, and says so`, () => {
    mkdirSync(join(directory.path, 'data'));
    make();
    assert.throws(
      () => newStore().store.open(0),
      (error: unknown) => {
        assert.instance(error, JournalUnusable);
        assert.is((error as Error).message, path + message.replace('@', path));
        return true;
      },
    );
  });
}

sqlite('leaves a file that it refuses as it was', () => {
  mkdirSync(join(directory.path, 'data'));
  alter('CREATE TABLE notes (text TEXT)');
  assert.throws(() => newStore().store.open(0));
  const db = new DatabaseSync(path);
  assert.equal(
    db
      .prepare('SELECT name FROM sqlite_schema')
      .all()
      .map(({ name }) => name),
    ['notes'],
  );
  db.close();
});

sqlite('(5) finds one flipped bit of a record, and keeps the row as a dead letter', () => {
  const { store } = openStore();
  store.append(numbers(1, 3));
  close(store);
  const file = readFileSync(path);
  const at = file.indexOf('record 2');
  assert.ok(at > 0 && file.indexOf('record 2', at + 1) < 0, 'it is there once');
  file[at]! ^= 1;
  writeFileSync(path, file);

  const again = openStore();
  assert.equal(sequences(again.store), [1, 3]);
  assert.equal(again.reports, [
    { type: 'damage', table: 'outbox', row: 2, deadLettered: ['traces', 'logs'] },
  ]);
  close(again.store);
  const db = new DatabaseSync(path);
  assert.equal(
    db
      .prepare('SELECT sequence, signal, reason, record FROM dead_letters')
      .all()
      .map(row => ({ ...row })),
    ['traces', 'logs'].map(signal => ({ sequence: 2, signal, reason: 'checksum', record: '["secord 2"]' })),
  );
  db.close();
});

sqlite('(5) reports a damaged total by its row, and shows the count as it was read', () => {
  const { store } = openStore();
  store.append(pack([newEntry(1), newEntry(2, { labels: muted }), newEntry(3, { labels: muted })]));
  close(store);
  alter("UPDATE totals SET count = count + 64 WHERE error_code = '10017'");
  const { contents, reports } = openStore();
  assert.equal(counts(contents), { 10017: 66, 10023: 1 });
  assert.equal(reports, [{ type: 'damage', table: 'totals', row: 2, deadLettered: [] }]);
});

sqlite(
  'keeps a dead letter with its reason, and the last 10,000 of them, whatever was removed in between',
  () => {
    close(openStore().store);
    alter(
      `WITH RECURSIVE number(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM number WHERE n < 10000)
     INSERT INTO dead_letters SELECT n + 90000, n, 'logs', 'older', '', 0 FROM number`,
    );
    const { store } = openStore();
    const letters = () =>
      connections
        .at(-1)!
        .prepare(
          "SELECT sequence, signal, reason, record FROM dead_letters WHERE reason <> 'waived' ORDER BY id",
        )
        .all()
        .map(row => ({ ...row }));
    store.dropDeadLetters([5_000, 5_001].map(sequence => ({ sequence, signal: 'logs' })));
    for (const sequence of [20_001, 20_002, 20_003]) {
      store.deadLetter('traces', { sequence, record: `["record ${sequence}"]` }, '400 refused');
    }
    const all = letters();
    assert.is(all.length, 10_000);
    assert.is(all[0]!.sequence, 2);
    assert.equal(all.at(-1), {
      sequence: 20_003,
      signal: 'traces',
      reason: '400 refused',
      record: '["record 20003"]',
    });
  },
);

/** One record for both signals, that logs refused; then put back for logs. */
function retryOne(store: SqliteStore): void {
  store.append(numbers(1, 1));
  store.deadLetter('logs', store.read(0, 1)[0]!, '400 refused');
  for (const signal of ['traces', 'logs'] as const) store.acknowledge(signal, 1);
  store.flush();
  assert.is(store.retryDeadLetters([{ sequence: 1, signal: 'logs' }]).done.length, 1);
}

const waivers = () =>
  connections.at(-1)!.prepare("SELECT count(*) AS count FROM dead_letters WHERE reason = 'waived'").get()!
    .count;

sqlite('(5) a damaged mark of what is for one signal alone makes it one for both, never for none', () => {
  const { store } = openStore();
  retryOne(store);
  assert.equal(store.read(1, 9), [{ sequence: 2, record: '["record 1"]', only: 'logs' }]);
  close(store);
  for (const damage of ['crc = crc + 1', "signal = 'logs'", 'sequence = 3']) {
    alter(`UPDATE dead_letters SET ${damage} WHERE reason = 'waived'`);
    const { store } = openStore();
    assert.equal(store.read(1, 9), [{ sequence: 2, record: '["record 1"]' }], damage);
    close(store);
    alter("UPDATE dead_letters SET sequence = 2, signal = 'traces' WHERE reason = 'waived'");
  }
});

sqlite('(5) what was put back and comes back damaged is a dead letter of its signal alone', () => {
  const { store } = openStore();
  retryOne(store);
  close(store);
  alter("UPDATE outbox SET record = record || '!'");
  const again = openStore();
  assert.equal(sequences(again.store), []);
  assert.equal(again.reports, [{ type: 'damage', table: 'outbox', row: 2, deadLettered: ['logs'] }]);
});

sqlite('leaves no mark behind when all are past what was put back, also after a restart', () => {
  const { store } = openStore();
  retryOne(store);
  assert.is(waivers(), 1);
  close(store);
  const again = openStore().store;
  assert.is(waivers(), 1);
  for (const signal of ['traces', 'logs'] as const) again.acknowledge(signal, 2);
  again.flush();
  assert.is(waivers(), 0);
});

sqlite(
  '(3) a retry that fails in its middle leaves all dead letters as they were; repeated, it does all',
  () => {
    const { store, reports } = openStore();
    store.append(numbers(1, 3));
    for (const row of store.read(0, 3)) store.deadLetter('logs', row, '400 refused');
    for (const signal of ['traces', 'logs'] as const) store.acknowledge(signal, 3);
    store.flush();
    connections.at(-1)!.exec(`CREATE TEMP TRIGGER broken BEFORE DELETE ON dead_letters WHEN old.sequence = 2
           BEGIN SELECT RAISE(ABORT, 'injected'); END`);
    const keys = [1, 2, 3].map(sequence => ({ sequence, signal: 'logs' as const }));
    assert.throws(() => store.retryDeadLetters(keys), /injected/);
    assert.equal(reports, []);
    assert.equal(
      store.inquiry.deadLetters(0, 9).map(({ sequence }) => sequence),
      [1, 2, 3],
    );
    assert.equal(sequences(store), []);
    assert.equal(store.retryDeadLetters(keys).done, keys);
    assert.equal(sequences(store), [4, 5, 6]);
    assert.equal(reports, [{ type: 'dead_letters_retried', signal: 'logs', count: 3 }]);
  },
);

sqlite('the format of the file is that of the first version, whatever was retried and dropped', () => {
  const { store } = openStore();
  retryOne(store);
  close(store);
  const schemaOf = (file: string) => {
    const db = new DatabaseSync(file, { readOnly: true });
    const rows = db.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all();
    const version = db.prepare('PRAGMA user_version').get()!.user_version;
    db.close();
    return { version, tables: rows.map(({ name, sql }) => `${name} ${String(sql).replace(/\s+/g, ' ')}`) };
  };
  const copy = join(directory.path, 'format-1.db');
  copyFileSync(join(import.meta.dirname, '../faults/fixtures/journal-format-1.db'), copy);
  assert.equal(schemaOf(path), schemaOf(copy));
});

sqlite('keeps its file still for a reader, with all that was stored before, while it goes on storing', () => {
  const { store } = openStore();
  store.append(numbers(1, 500));
  store.keepStill();
  const file = readFileSync(path);
  for (let first = 501; first < 3_000; first += 500) store.append(numbers(first, first + 499));
  store.flush();
  const { db: still } = connectToStill(path);
  assert.is(still.prepare('SELECT count(*) AS count FROM exceptions').get()!.count, 500);
  still.close();
  assert.ok(readFileSync(path).equals(file));
  assert.ok(store.endStill());
  assert.not.ok(store.endStill(), 'no longer');
  close(store);
  assert.equal(counts(openStore().contents), { 10023: 3_000 });
});

sqlite('drops nothing for the room that its log takes while its file is kept still, nor after', () => {
  const bytesMax = 2 ** 20;
  const { store, reports } = openStore({ bytesMax });
  let last = 0;
  const append = (count: number) => {
    store.append(numbers(last + 1, last + count));
    last += count;
    return store.stats().bytes;
  };
  while (append(100) < bytesMax * 0.8);
  store.keepStill();
  while (append(1) <= bytesMax);
  store.enforceSize();
  assert.ok(store.endStill());
  store.enforceSize();
  assert.equal(reports, []);
  assert.is(sequences(store).length, last);
});

sqlite('says that its file did not stay still: after an error, and when its log grew too much', () => {
  const { store } = openStore({ bytesMax: 2 ** 20 });
  store.keepStill();
  failAt(start);
  assert.throws(() => store.append(numbers(1, 1)));
  store.append(numbers(1, 1));
  assert.not.ok(store.endStill());
  store.keepStill();
  for (let first = 2; first < 2_000; first += 100) {
    store.append(numbers(first, first + 99));
    store.limitStill();
  }
  assert.not.ok(store.endStill());
});

sqlite(
  'keeps every dead letter when one is refused again after a crash, late in the life of a journal',
  () => {
    const row = (sequence: number) => ({ sequence, record: `["record ${sequence}"]` });
    const { store } = openStore();
    store.append(numbers(1, 3));
    for (const sequence of [1, 2, 3]) store.deadLetter('logs', row(sequence), '400 refused');
    // More than are kept: what SQLite gave the last number to is no dead letter.
    store.append(numbers(4, 10_010));
    store.deadLetter('logs', row(2), '400 refused');
    const all = connections.at(-1)!.prepare('SELECT sequence, reason FROM dead_letters').all();
    assert.equal(
      all.map(({ sequence, reason }) => [sequence, reason]),
      [1, 2, 3].map(sequence => [sequence, '400 refused']),
    );
  },
);

sqlite(
  '(4) stores nothing of a batch that fails in its middle; repeated, it gets the sequences in a row',
  () => {
    const { store } = openStore();
    store.append(numbers(1, 2));
    failAt(start + 1);
    const batch = pack([
      newEntry(3, { receivedAt: start }),
      newEntry(4, { receivedAt: start + 1, labels: muted }),
      newEntry(5, { receivedAt: start }),
    ]);
    assert.throws(() => store.append(batch), /injected/);
    assert.equal(store.known([batch.identities.subarray(0, 16)]), [false]);
    assert.equal(sequences(store), [1, 2]);
    assert.is(store.stats().events, 2);
    assert.equal(store.append(batch), []);
    assert.equal(sequences(store), [1, 2, 3, 4, 5]);
    assert.is(store.stats().events, 5);
    close(store);
    assert.equal(counts(openStore().contents), { 10017: 1, 10023: 4 });
  },
);

sqlite('(2) opens the file anew after an error that may have left its cache wrong, with exact totals', () => {
  const { store, reports } = openStore();
  store.append(numbers(1, 10));
  failAt(start);
  for (let attempt = 0; attempt < 3; attempt += 1) {
    if (attempt > 0) failAt(start);
    assert.throws(() => store.append(numbers(11, 12)), /injected/);
    // A batch without the broken entry opens the file anew.
    store.append(pack([newEntry(100 + attempt, { receivedAt: start + 1 })]));
  }
  assert.is(connections.length, 4);
  assert.equal(store.append(numbers(10, 12)), [0]);
  assert.equal(reports, []);
  close(store);
  assert.equal(counts(openStore().contents), { 10023: 15 });
});

sqlite(
  '(1) does not know what a failed sync left in the file, though telemetry had it opened anew before anyone asked',
  () => {
    const { store } = openStore();
    store.append(numbers(1, 2));
    const failed = numbers(3, 3);
    // The sync fails when all is written: it is in the file, and nobody may say so.
    const { run } = StatementSync.prototype;
    StatementSync.prototype.run = function (this: StatementSync, ...values: Parameters<typeof run>) {
      const result = run.apply(this, values);
      if (this.sourceSQL !== 'COMMIT') return result;
      StatementSync.prototype.run = run;
      throw new Error('injected: the sync failed');
    } as typeof run;
    assert.throws(() => store.append(failed), /injected/);
    store.acknowledge('traces', 1);
    store.flush();
    assert.is(connections.length, 2);
    assert.equal(store.known([numbers(2, 2).identities, failed.identities]), [true, false]);
    assert.equal(store.append(failed), [0]);
    assert.equal(store.known([failed.identities]), [true]);
    close(store);
    assert.equal(counts(openStore().contents), { 10023: 3 });
  },
);

sqlite('keeps what was acknowledged over a failure, on disk from the next transaction on', () => {
  const { store } = openStore();
  store.append(numbers(1, 3));
  failAt(start);
  store.acknowledge('traces', 3);
  store.acknowledge('logs', 2);
  assert.throws(() => store.append(numbers(4, 4)));
  assert.equal(store.cursors(), { traces: 3, logs: 2 });
  store.append(numbers(4, 4));
  assert.equal(store.cursors(), { traces: 3, logs: 2 });
  assert.equal(sequences(store), [3, 4]);
  close(store);
  assert.equal(openStore().store.cursors(), { traces: 3, logs: 2 });
});

sqlite(
  'refuses a batch while the disk is full, knows what it has, drains, and stores again on the same connection',
  () => {
    const { store } = openStore();
    store.append(numbers(1, 500));
    for (let round = 0; round < 3; round += 1) {
      const first = 501 + round * 1_000;
      const batch = numbers(first, first + 999);
      fillDisk(1);
      assert.throws(
        () => store.append(batch),
        (error: unknown) => (error as { errcode: number }).errcode === 13,
      );
      assert.equal(store.known([numbers(1, 1).identities, numbers(first, first).identities]), [true, false]);
      const [oldest] = store.read(0, 1);
      for (const signal of ['traces', 'logs'] as const) store.acknowledge(signal, oldest!.sequence);
      store.flush();
      assert.is(store.read(0, 1)[0]!.sequence, oldest!.sequence + 1);
      fillDisk(0);
      assert.equal(store.append(batch), []);
    }
    assert.is(connections.length, 1);
    assert.equal(
      sequences(store),
      Array.from({ length: 3_497 }, (_, index) => index + 4),
    );
    close(store);
    assert.equal(counts(openStore().contents), { 10023: 3_500 });
  },
);

sqlite('(3) a failed transaction drops nothing over the size either', () => {
  const { store, reports } = openStore({ bytesMax: 0 });
  store.append(numbers(1, 3));
  connections
    .at(-1)!
    .exec(`CREATE TEMP TRIGGER broken BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'injected'); END`);
  assert.throws(() => store.enforceSize(), /injected/);
  assert.equal(reports, []);
  assert.equal(store.cursors(), { traces: 0, logs: 0 });
  assert.equal(sequences(store), [1, 2, 3]);
  store.flush();
  store.enforceSize();
  assert.equal(reports, [
    { type: 'dropped', signal: 'traces', count: 3 },
    { type: 'dropped', signal: 'logs', count: 3 },
  ]);
  assert.equal(sequences(store), []);
});

/** How far the clock has gone since the exception, and whether it is still known after the next append. */
const ages: { name: string; ms: number; isKnown: boolean }[] = [
  { name: '24 hours', ms: 24 * hourMs, isKnown: true },
  { name: '24 hours and a jump of 400 s', ms: 24 * hourMs + 400_000, isKnown: true },
  { name: '25 hours', ms: 25 * hourMs, isKnown: true },
  { name: '25 hours and a millisecond', ms: 25 * hourMs + 1, isKnown: false },
  { name: 'a jump back of 400 s', ms: -400_000, isKnown: true },
];

for (const { name, ms, isKnown } of ages) {
  sqlite(`(4) ${isKnown ? 'keeps' : 'lets go of'} an identity after ${name}`, () => {
    let now = start;
    const { store } = openStore({ now: () => now });
    store.append(numbers(1, 1));
    now = start + ms;
    store.append(pack([newEntry(2, { receivedAt: now })]));
    assert.equal(store.known([numbers(1, 1).identities, numbers(2, 2).identities]), [isKnown, true]);
    assert.is(store.stats().events, isKnown ? 2 : 1);
  });
}

sqlite('a total does not fall when its identities expire, across a restart', () => {
  let now = start;
  const { store } = openStore({ now: () => now });
  store.append(numbers(1, 5));
  now += 26 * hourMs;
  store.flush();
  assert.is(store.stats().events, 0);
  close(store);
  assert.equal(counts(openStore().contents), { 10023: 5 });
});

sqlite('expires two identities with each that is appended, so that no append takes long', () => {
  let now = start;
  const { store } = openStore({ now: () => now });
  store.append(numbers(1, 1_000));
  now += 26 * hourMs;
  store.append(pack(newEntries(1_001, 1_010, { receivedAt: now })));
  assert.is(store.stats().events, 990);
});

sqlite('an exception that came while the clock was ahead holds up no other for longer than the jump', () => {
  let now = start;
  const { store } = openStore({ now: () => now });
  store.append(pack([newEntry(1, { receivedAt: start + 400_000 }), newEntry(2, { receivedAt: start })]));
  now = start + 25 * hourMs + 1;
  store.flush();
  now += 400_000;
  store.flush();
  assert.is(store.stats().events, 0);
});

sqlite.run();
