/** A journal looked at from outside: what is found, and that nothing is touched. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { inspectJournal, type JournalInspectionContents } from '../../src/journal/inspect.ts';
import { type JournalOptions, signals } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { newEntries, newEntry } from './fixtures.ts';

const inspect = suite('inspection of a journal');
inspect.after.each(cleanUp);

const options: JournalOptions = { signals, bytesMax: 2 ** 30, now: Date.now, report: () => {} };

/** Closed after the test, unless the test has closed it. */
async function openJournal(path: string): Promise<SqliteJournal> {
  const journal = new SqliteJournal(path, options);
  await journal.open(0);
  let closing: Promise<void> | undefined;
  const close = journal.close.bind(journal);
  journal.close = () => {
    closing ??= close();
    return closing;
  };
  onCleanUp(() => journal.close());
  return journal;
}

/** Every file of a directory with its bytes, and the exporter's socket without any. */
function snapshot(directory: string): [name: string, bytes: string | null][] {
  return readdirSync(directory, { withFileTypes: true })
    .sort((one, other) => (one.name < other.name ? -1 : 1))
    .map(entry => [
      entry.name,
      entry.isSocket() ? null : readFileSync(join(directory, entry.name)).toString('base64'),
    ]);
}

/** Looks, and proves that nothing was created or changed by it. */
function look(directory: string, name = 'journal.db') {
  const before = snapshot(directory);
  const inspection = inspectJournal(join(directory, name));
  assert.equal(snapshot(directory), before, 'nothing was touched');
  return inspection;
}

/** Seven exceptions, two of them delivered, one refused for good. */
async function fill(journal: SqliteJournal): Promise<void> {
  await journal.append(newEntries(1, 7));
  const [first] = await journal.read(0, 1);
  await journal.deadLetter('logs', first!, 'refused');
  for (const signal of signals) await journal.acknowledge(signal, 2);
  await journal.append([newEntry(7)]);
}

const numbers = { format: 1, exceptions: 7, undelivered: 5, deadLetters: 1 };
const numbersOf = (contents: JournalInspectionContents | null) => {
  const { format, exceptions, undelivered, deadLetters } = contents!;
  return { format, exceptions, undelivered, deadLetters };
};

inspect('of one that is not there yet: that it can be made', () => {
  const directory = temporaryDirectory();
  const { state, problem, freeBytes } = look(directory, 'not/yet/journal.db');
  assert.equal([state, problem], ['absent', null]);
  assert.ok(freeBytes! > 0);
});

inspect('of one whose exporter was stopped: what is in it', async () => {
  const directory = temporaryDirectory();
  const journal = await openJournal(join(directory, 'journal.db'));
  await fill(journal);
  await journal.close();
  const { state, problem, contents } = look(directory);
  assert.equal([state, problem], ['readable', null]);
  assert.equal(numbersOf(contents), numbers);
  assert.is(contents!.wasKilled, false);
  assert.ok(contents!.bytes > 0);
});

inspect('of one that an exporter holds: that it does, and the exporter goes on', async () => {
  const directory = temporaryDirectory();
  const journal = await openJournal(join(directory, 'journal.db'));
  await fill(journal);
  const { state, problem, contents } = look(directory);
  assert.equal([state, problem, contents], ['held', null, null]);
  assert.equal(await journal.append([newEntry(8)]), ['new']);
});

inspect('of one whose exporter was killed: also what only the log holds', async () => {
  const [directory, copy] = [temporaryDirectory(), temporaryDirectory()];
  const journal = await openJournal(join(directory, 'journal.db'));
  await fill(journal);
  for (const name of ['journal.db', 'journal.db-wal']) copyFileSync(join(directory, name), join(copy, name));
  await journal.close();
  const { state, problem, contents } = look(copy);
  assert.equal([state, problem], ['readable', null]);
  assert.equal(numbersOf(contents), numbers);
  assert.is(contents!.wasKilled, true);

  const next = await openJournal(join(copy, 'journal.db'));
  assert.equal(await next.append([newEntry(7), newEntry(8)]), ['duplicate', 'new']);
  await next.close();
});

inspect('follows a link to the file', async () => {
  const [directory, other] = [temporaryDirectory(), temporaryDirectory()];
  const journal = await openJournal(join(directory, 'journal.db'));
  await fill(journal);
  symlinkSync(join(directory, 'journal.db'), join(other, 'journal.db'));
  assert.is(look(other).state, 'held');
  await journal.close();
  assert.equal(numbersOf(look(other).contents), numbers);
});

inspect('of one whose dead letter was put back: that it is one no more, and is undelivered', async () => {
  const directory = temporaryDirectory();
  const journal = await openJournal(join(directory, 'journal.db'));
  await fill(journal);
  await journal.retryDeadLetters([{ sequence: 1, signal: 'logs' }]);
  await journal.close();
  assert.equal(numbersOf(look(directory).contents), { ...numbers, undelivered: 6, deadLetters: 0 });
});

inspect('of an empty file: that a start makes it a journal', () => {
  const directory = temporaryDirectory();
  writeFileSync(join(directory, 'journal.db'), '');
  const { state, contents } = look(directory);
  assert.equal([state, contents!.format, contents!.exceptions], ['readable', null, 0]);
});

inspect('says what cannot be used, and touches none of it', async () => {
  const directory = temporaryDirectory();
  const file = (name: string): string => join(directory, name);
  writeFileSync(file('notes.txt'), 'not a journal\n'.repeat(1_000));
  mkdirSync(file('directory.db'));
  for (const [name, sql] of [
    ['foreign.db', 'CREATE TABLE users (name TEXT)'],
    ['newer.db', 'CREATE TABLE meta (name TEXT); PRAGMA application_id=1952671096; PRAGMA user_version=2'],
  ] as const) {
    const db = new DatabaseSync(file(name));
    db.exec(sql);
    db.close();
  }
  const journal = await openJournal(file('damaged.db'));
  await journal.append(newEntries(1, 500));
  await journal.close();
  const bytes = readFileSync(file('damaged.db'));
  bytes.fill(0x55, 3 * 4096, 5 * 4096);
  writeFileSync(file('damaged.db'), bytes);

  for (const [name, words] of [
    ['notes.txt', /notes\.txt is damaged or not a SQLite file/],
    ['notes.txt/journal.db', /journal\.db cannot be made: .*notes\.txt is not a directory/],
    ['directory.db', /directory\.db is not a file/],
    ['foreign.db', /foreign\.db is a SQLite file, but not a journal/],
    ['newer.db', /newer\.db has journal format 2, this version reads 1; run the version that wrote it/],
    ['damaged.db', /damaged\.db is damaged or not a SQLite file/],
  ] as const) {
    if (name.includes('directory')) {
      assert.match(inspectJournal(file(name)).problem!, words);
      continue;
    }
    const files = () => readdirSync(directory).sort();
    const before = files();
    const { state, problem } = inspectJournal(file(name));
    assert.is(state, 'unusable', name);
    assert.match(problem!, words);
    assert.equal(files(), before);
  }
});

// Root may write everywhere: as somebody else, in a process of its own.
if (process.getuid?.() === 0) {
  inspect('of a place where this user may not write: that it cannot be made or written', async () => {
    const directory = temporaryDirectory();
    const journal = await openJournal(join(directory, 'journal.db'));
    await journal.close();
    chmodSync(directory, 0o755);
    chmodSync(join(directory, 'journal.db'), 0o644);
    const script = `
      const { inspectJournal } = await import(${JSON.stringify(import.meta.resolve('../../src/journal/inspect.ts'))});
      process.setgid(65534);
      process.setuid(65534);
      for (const name of ['journal.db', 'new.db'])
        process.stdout.write(inspectJournal(${JSON.stringify(directory)} + '/' + name).problem + '\\n');`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const [there, absent] = stdout.split('\n');
    assert.match(there ?? '', /journal\.db cannot be written by this user \(EACCES\)/, stderr);
    assert.match(absent ?? '', /new\.db cannot be made: .* cannot be written by this user \(EACCES\)/);
    assert.equal(
      readdirSync(directory).filter(name => name !== 'journal.db-count'),
      ['journal.db'],
    );
  });
}

inspect.run();
