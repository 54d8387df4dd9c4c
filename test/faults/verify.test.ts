/**
 * `journal verify` on damaged journals: it tells of everything that an exporter would tell of when it opens and uses the
 * file, and leaves every byte as it was, so that the exporter still can.
 */
import { hash } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runJournal } from '../commands/world.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { createRandom, newSeed } from '../support/random.ts';
import { damage, damageRecord, type Journal, newJournal, open } from './damage.ts';

const verify = suite('journal verify');
verify.after.each(cleanUp);

const count = 60;

function copyOf(source: string): string {
  const directory = temporaryDirectory();
  for (const name of readdirSync(source)) copyFileSync(join(source, name), join(directory, name));
  return directory;
}

/** The files by name, as their hashes. */
function contentOf(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory).map(name => [name, hash('sha256', readFileSync(join(directory, name)))]),
  );
}

/** SQLite makes a log that it then finds no use for, where a file is no database any more. */
const emptyLog = { 'journal.db-wal': hash('sha256', '') };

interface Found {
  code: number;
  damages: { table: string; row: string | null; problem: string; meaning: string }[];
  error: string;
}

/** Verifies the journal in the directory, and sees to it that nothing of it changes. */
async function find(directory: string): Promise<Found> {
  const before = contentOf(directory);
  const { code, out, error } = await runJournal(join(directory, 'journal.db'), ['verify', '--json']);
  assert.equal({ ...emptyLog, ...contentOf(directory) }, { ...emptyLog, ...before }, 'it changed something');
  return { code, damages: out === '' ? [] : JSON.parse(out).damages, error };
}

for (const state of ['stopped', 'killed'] as const) {
  verify(`finds nothing in a journal whose exporter was ${state}, and changes nothing`, async () => {
    const directory = copyOf(newJournal(createRandom(newSeed())).directories[state]);
    assert.equal(await find(directory), { code: 0, damages: [], error: '' });
  });
}

async function verifyMany(
  seed: number,
  harm: (directory: string, random: ReturnType<typeof createRandom>) => string,
): Promise<{ told: number; whole: number }> {
  const journal: Journal = newJournal(createRandom(seed));
  const result = { told: 0, whole: 0 };
  for (let index = 0; index < count; index += 1) {
    const random = createRandom(seed + index);
    const directory = copyOf(journal.directories[random() < 0.5 ? 'stopped' : 'killed']);
    const what = harm(directory, random);
    const { code, error } = await find(directory);
    const { verdict, detail } = open(directory, journal);
    const context = `SEED=${seed}, ${index}: ${what}: ${verdict} ${detail}; ${error}`;
    assert.is(code, verdict === 'whole' ? code : 1, context);
    assert.ok(code === 0 || code === 1, context);
    result[code === 0 ? 'whole' : 'told'] += 1;
    if (code === 1)
      assert.match(error, /^tencent-chat-exporter: .*damaged|not a journal|has journal format/, context);
  }
  return result;
}

verify(
  '(5) tells of whatever an exporter would refuse or report: a bit, a sector, a cut anywhere',
  async () => {
    const seed = newSeed();
    const { told, whole } = await verifyMany(seed, damage);
    console.log(`\nverify: SEED=${seed}, ${told} of ${count} told, ${whole} whole`);
    assert.ok(told > 0 && whole > 0);
  },
);

verify('(5) tells of a flipped bit of a record', async () => {
  const { told } = await verifyMany(newSeed(), damageRecord);
  assert.ok(told > 0);
});

/** One thing damaged, and what is told of it. */
const cases: Record<
  string,
  { sql?: string; remove?: string; table: string; row: string | null; problem: RegExp }
> = {
  'a log that is gone': {
    remove: 'journal.db-wal',
    table: 'count',
    row: null,
    problem: /^\d+ exceptions were stored, and the totals hold \d+$/,
  },
  'a cursor that is too high': {
    sql: 'UPDATE cursors SET sequence = sequence + 64',
    table: 'cursors',
    row: null,
    problem: /checksum/,
  },
  'a key that is another': {
    sql: "UPDATE meta SET value = zeroblob(32) WHERE name = 'key'",
    table: 'meta',
    row: 'key',
    problem: /checksum/,
  },
  'a record that is gone': {
    sql: 'DELETE FROM outbox WHERE sequence = 200',
    table: 'outbox',
    row: '200',
    problem: /is not there/,
  },
  'a record that is another': {
    sql: "UPDATE outbox SET record = 'x' WHERE sequence = 201",
    table: 'outbox',
    row: '201',
    problem: /checksum/,
  },
  'a total that is another': {
    sql: 'UPDATE totals SET count = count + 1 WHERE id = 2',
    table: 'totals',
    row: '2',
    problem: /checksum/,
  },
  'a total that is gone': {
    sql: 'DELETE FROM totals WHERE id = 3',
    table: 'totals',
    row: '3',
    problem: /^counts nothing, and \d+ of its exceptions are kept$/,
  },
  'a number out of range': {
    sql: 'UPDATE exceptions SET received_at = -5 WHERE sequence = 7',
    table: 'exceptions',
    row: '7',
    problem: /range/,
  },
  'an identity that is too short': {
    sql: "UPDATE exceptions SET identity = x'00' WHERE sequence = 8",
    table: 'exceptions',
    row: '8',
    problem: /16 bytes/,
  },
  'a dead letter that is another': {
    sql: "INSERT INTO dead_letters VALUES (1, 3, 'logs', '400 refused', 'x', 1)",
    table: 'dead_letters',
    row: '1',
    problem: /checksum/,
  },
  'a dead letter of no signal': {
    sql: "INSERT INTO dead_letters VALUES (1, 3, 'metrics', '400 refused', '', 0)",
    table: 'dead_letters',
    row: '1',
    problem: /no signal/,
  },
  'a mark of what is for one signal': {
    sql: "INSERT INTO dead_letters VALUES (1, 3, 'logs', 'waived', '', 1)",
    table: 'dead_letters',
    row: '1',
    problem: /checksum/,
  },
};

for (const [name, { sql, remove, ...wanted }] of Object.entries(cases)) {
  verify(`(5) tells of ${name}, with its row and what it means`, async () => {
    const directory = copyOf(newJournal(createRandom(1)).directories.killed);
    if (remove !== undefined) rmSync(join(directory, remove));
    if (sql !== undefined) {
      const db = new DatabaseSync(join(directory, 'journal.db'));
      db.exec(sql);
      db.close();
    }
    const { code, damages } = await find(directory);
    assert.is(code, 1);
    const { table, row, problem, meaning } = damages.find(damage => damage.table === wanted.table)!;
    assert.equal([table, row], [wanted.table, wanted.row]);
    assert.match(problem, wanted.problem);
    assert.ok(meaning.length > 20);
  });
}

verify('(5) tells of a count file that is damaged, and of nothing where there is none', async () => {
  const directory = copyOf(newJournal(createRandom(1)).directories.stopped);
  rmSync(join(directory, 'journal.db-count'));
  assert.is((await find(directory)).code, 0);
  copyFileSync(join(directory, 'journal.db'), join(directory, 'journal.db-count'));
  const { damages } = await find(directory);
  assert.equal(
    damages.map(({ table }) => table),
    ['count'],
  );
});

verify('(5) tells of an identity that its index does not have, by its row', async () => {
  const journal = newJournal(createRandom(1));
  const directory = copyOf(journal.directories.stopped);
  const path = join(directory, 'journal.db');
  const bytes = readFileSync(path);
  // It stands in the table and in the index; one of the two becomes another.
  const identity = Buffer.from([...journal.truth.identities][100]!, 'hex');
  bytes[bytes.lastIndexOf(identity) + 15]! ^= 1;
  writeFileSync(path, bytes);
  const { code, damages } = await find(directory);
  assert.is(code, 1);
  const { table, row, meaning } = damages[0]!;
  assert.equal([table, row], ['exceptions', '101']);
  assert.match(meaning, /made anew/);
});

verify.run();
