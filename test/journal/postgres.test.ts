/** What a PostgreSQL journal does beyond the conformance suite: others beside it, and a database that fails. */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type JournalContents,
  type JournalReport,
  JournalUnusable,
  type OutboxRow,
} from '../../src/journal/journal.ts';
import { PostgresJournal, type PostgresOptions } from '../../src/journal/postgres.ts';
import { expire } from '../../src/journal/postgres-retention.ts';
import { lockClass, oddSlot, schemaLock, slotOf } from '../../src/journal/postgres-schema.ts';
import { connectTo } from '../../src/journal/postgres-session.ts';
import { parsePostgresUrl } from '../../src/journal/postgres-url.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startCut } from '../support/cut.ts';
import { type Postgres, startPostgres } from '../support/postgres.ts';
import { until } from '../support/prometheus.ts';
import { hourMs, identityOf, newEntries, newEntry, newLabels } from './fixtures.ts';

const journals = suite('PostgreSQL journal');
const server: Postgres = await startPostgres();
journals.after(cleanUp);

const opened: { close(): Promise<void> }[] = [];
journals.after.each(async () => {
  for (const journal of opened.splice(0)) await journal.close().catch(() => {});
});

interface Opened {
  journal: PostgresJournal;
  contents: JournalContents;
  reports: JournalReport[];
}

async function open(url: string, options: Partial<PostgresOptions> = {}): Promise<Opened> {
  const reports: JournalReport[] = [];
  const journal = new PostgresJournal({
    url,
    replica: 'one',
    signals: ['traces', 'logs'],
    bytesMax: 2 ** 30,
    now: Date.now,
    report: report => reports.push(report),
    openMs: 1_000,
    ...options,
  });
  opened.push(journal);
  return { journal, contents: await journal.open(0), reports };
}

const sum = ({ totals }: JournalContents): number => totals.reduce((sum, { count }) => sum + count, 0);
const numbersOf = (rows: OutboxRow[]): number[] => rows.map(({ sequence }) => sequence);

async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => assert.unreachable('it did not fail'),
    error => error,
  );
}

/** What would otherwise be waited for in vain, and for ever. */
async function soon(work: Promise<unknown>, what: string): Promise<void> {
  const late = delay(15_000, undefined, { ref: false }).then(() => assert.unreachable(`in vain: ${what}`));
  await Promise.race([work, late]);
}

/** Appends until that works. */
async function appendInTheEnd(journal: PostgresJournal, entries: ReturnType<typeof newEntries>) {
  return until(() => journal.append(entries).catch(() => false as const), 'an append');
}

const setUp = async () => server.url(await server.createDatabase());
const databaseOf = (url: string): string => new URL(url).pathname.slice(1);

journals('(2) of an exception that comes to two replicas at once, one is told that it is new', async () => {
  const url = await setUp();
  const [one, two] = [await open(url), await open(url, { replica: 'two' })];
  for (let round = 0; round < 60; round += 1) {
    const entries = newEntries(round * 40, round * 40 + 39);
    const [first, second] = await Promise.all([
      one.journal.append(entries),
      two.journal.append(entries.toReversed()),
    ]);
    for (const [index, outcome] of first.entries()) {
      assert.equal([outcome, second.at(-1 - index)!].sort(), ['duplicate', 'new']);
    }
  }
  await one.journal.close();
  await two.journal.close();
  const [again, other] = [await open(url), await open(url, { replica: 'two' })];
  assert.is(sum(again.contents) + sum(other.contents), 60 * 40);
  assert.is(again.contents.key.compare(other.contents.key), 0, 'one key for all');
});

journals('a replica keeps its totals when it comes back, and so do the others', async () => {
  const url = await setUp();
  const muted = newLabels({ error_code: '10017', error_category: 'muted' });
  const one = await open(url);
  await one.journal.append([newEntry(1), newEntry(2, { labels: muted })]);
  const two = await open(url, { replica: 'two' });
  assert.equal(two.contents.totals, [], 'it has none of its own yet');
  await two.journal.append([newEntry(1), newEntry(3)]);
  await one.journal.close();
  const back = await open(url);
  assert.is(sum(back.contents), 2);
  assert.is(back.contents.recent.length, 2, 'recent exceptions are its own, too');
});

journals('a second exporter of the same name is refused, until the first one is gone', async () => {
  const url = await setUp();
  const first = await open(url);
  const error = await failure(open(url));
  assert.instance(error, JournalUnusable);
  assert.match(error.message, /another exporter runs as "one".*REPLICA/);
  const waiting = open(url, { openMs: 10_000 });
  await delay(300);
  await first.journal.close();
  await waiting;
});

journals(
  '(4) what an append stored whose answer was lost is told as new once, and counted once',
  async () => {
    const database = await server.createDatabase();
    const cut = await startCut(() => server.port);
    const url = `postgres://admin@127.0.0.1:${cut.port}/${database}`;
    const { journal } = await open(url);
    await journal.append([newEntry(1)]);
    cut.loseAnswers();
    const lost = newEntries(1, 5);
    await failure(journal.append(lost));
    cut.become('whole');
    await until(() => journal.known([identityOf(1)]).catch(() => false as const), 'a new session');
    assert.equal(
      await server.query('SELECT count(*)::integer AS count FROM tencent_chat.exceptions', database),
      [{ count: 5 }],
    );
    assert.equal(await journal.known([1, 2, 6].map(identityOf)), [true, false, false]);
    assert.equal(await journal.append(newEntries(1, 6)), ['duplicate', ...Array(5).fill('new')]);
    assert.equal(await journal.append(newEntries(1, 6)), Array(6).fill('duplicate'));
    assert.equal(await journal.known([2, 6].map(identityOf)), [true, true]);
    await journal.close();
    assert.is(sum((await open(url)).contents), 6);
  },
);

journals(
  '(4) what another replica stored meanwhile is no news to the one whose answer was lost',
  async () => {
    const database = await server.createDatabase();
    const cut = await startCut(() => server.port);
    const { journal } = await open(`postgres://admin@127.0.0.1:${cut.port}/${database}`);
    const other = await open(server.url(database), { replica: 'two' });
    await journal.append([newEntry(9)]);
    cut.become('dropping');
    await failure(journal.append(newEntries(1, 3)));
    assert.equal(await other.journal.append(newEntries(2, 4)), ['new', 'new', 'new']);
    cut.become('whole');
    assert.equal(await appendInTheEnd(journal, newEntries(1, 5)), [
      'new',
      'duplicate',
      'duplicate',
      'duplicate',
      'new',
    ]);
  },
);

journals('an append that the database holds up is given up in time, and made good later', async () => {
  const url = await setUp();
  const { journal } = await open(url);
  await journal.append([newEntry(1)]);
  const blocker = await connectTo(parsePostgresUrl(url)!, parsePostgresUrl(url)!.hosts[0]!, 'blocker');
  opened.push(blocker);
  await blocker.query('BEGIN; LOCK TABLE tencent_chat.totals IN ACCESS EXCLUSIVE MODE');
  const startedAt = performance.now();
  await failure(journal.append(newEntries(2, 3)));
  const tookMs = performance.now() - startedAt;
  assert.ok(tookMs > 500, 'it was tried');
  await blocker.query('ROLLBACK');
  assert.equal(await appendInTheEnd(journal, newEntries(1, 4)), ['duplicate', 'new', 'new', 'new']);
});

journals('(1) what no standby has confirmed is not answered, also when it comes again', async () => {
  const url = await setUp();
  const [one, two] = [await open(url), await open(url, { replica: 'two' })];
  await Promise.all([one, two].map(({ journal }) => journal.append([newEntry(1)])));
  const standbys = async (names: string) => {
    await server.query(`ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
    await server.query('SELECT pg_reload_conf()');
  };
  await standbys('nobody');
  try {
    await until(
      async () =>
        (await server.query('SHOW synchronous_standby_names'))[0]!.synchronous_standby_names === 'nobody',
      'the setting',
    );
    await failure(one.journal.append([newEntry(2)]));
    // The new session has ended the one that waited: what that had committed can be seen, and no standby has it.
    await until(
      async () =>
        (await server.query('SELECT FROM tencent_chat.exceptions', databaseOf(url))).length === 2 &&
        one.journal.known([identityOf(1)]).catch(() => false),
      'the row to be seen',
    );
    await failure(one.journal.append([newEntry(2)]));
    await failure(two.journal.append([newEntry(2)]));
  } finally {
    await standbys('');
  }
  assert.equal(await appendInTheEnd(one.journal, newEntries(2, 2)), ['new']);
  assert.equal(await appendInTheEnd(two.journal, newEntries(2, 2)), ['duplicate']);
});

/** What takes a session away, or keeps a new one from being made; and its end. */
const outages: Record<
  string,
  { begin: (database: string) => string[]; end: (database: string) => string[] }
> = {
  'its sessions are ended (57P01)': { begin: () => [], end: () => [] },
  'there are too many connections (53300)': {
    begin: database => [`ALTER DATABASE ${database} CONNECTION LIMIT 0`],
    end: database => [`ALTER DATABASE ${database} CONNECTION LIMIT -1`],
  },
  'it becomes read-only': {
    begin: database => [`ALTER DATABASE ${database} SET default_transaction_read_only = on`],
    end: database => [`ALTER DATABASE ${database} RESET default_transaction_read_only`],
  },
  'its role may not log in': {
    begin: () => ['ALTER ROLE app NOLOGIN'],
    end: () => ['ALTER ROLE app LOGIN'],
  },
  'it is renamed': {
    begin: database => [`ALTER DATABASE ${database} RENAME TO ${database}_away`],
    end: database => [`ALTER DATABASE ${database}_away RENAME TO ${database}`],
  },
};
await server.query('CREATE ROLE app LOGIN');

for (const [name, { begin, end }] of Object.entries(outages)) {
  journals(`an append rejects while ${name}, and works again by itself`, async () => {
    const database = await server.createDatabase();
    await server.query(`ALTER DATABASE ${database} OWNER TO app`);
    const { journal } = await open(server.url(database, { user: 'app' }));
    await journal.append([newEntry(1)]);
    const endSessions = (name: string) =>
      server.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', 'postgres', [
        name,
      ]);
    // One that is renamed must have no sessions; the others get theirs ended when it has begun.
    if (name === 'it is renamed') await server.query(`ALTER DATABASE ${database} CONNECTION LIMIT 0`);
    if (name === 'it is renamed') await endSessions(database);
    for (const statement of begin(database)) await server.query(statement);
    await endSessions(database);
    await failure(journal.append([newEntry(2)]));
    if (end(database).length > 0) {
      await delay(300);
      await failure(journal.append([newEntry(2)]));
    }
    for (const statement of end(database)) await server.query(statement);
    if (name === 'it is renamed') await server.query(`ALTER DATABASE ${database} CONNECTION LIMIT -1`);
    assert.equal(await appendInTheEnd(journal, newEntries(1, 3)), ['duplicate', 'new', 'new']);
    assert.is((await until(() => journal.read(0, 10).catch(() => false as const), 'delivery')).length, 3);
  });
}

journals('a role that owns nothing can do all but create the tables', async () => {
  const database = await server.createDatabase();
  await server.query('CREATE ROLE user_only LOGIN', database);
  const url = server.url(database, { user: 'user_only' });
  const refused = await failure(open(url));
  assert.instance(refused, JournalUnusable);
  assert.match(refused.message, /may not create or use the schema tencent_chat.*README/);
  await (await open(server.url(database))).journal.close();
  assert.match((await failure(open(url))).message, /may not create or use/);
  await server.query(grants('user_only'), database);
  const old = Date.now() - 30 * hourMs;
  const { journal, reports } = await open(url, { replica: 'two', bytesMax: 0 });
  await journal.append(newEntries(1, 3, { receivedAt: old }));
  await until(async () => reports.some(({ type }) => type === 'dropped'), 'a drop');
  await journal.close();
  const again = await open(url, { replica: 'two' });
  await again.journal.append(newEntries(4, 6));
  const [row] = await again.journal.read(0, 1);
  await again.journal.deadLetter('logs', row!, 'refused');
  for (const signal of ['traces', 'logs'] as const)
    await again.journal.acknowledge(signal, row!.sequence + 2);
  await until(
    async () => again.reports.some(report => report.type === 'stats' && report.stats.backlogEvents === 0),
    'an empty outbox',
  );
  const location = parsePostgresUrl(url)!;
  const connection = await connectTo(location, location.hosts[0]!, 'retention');
  opened.push(connection);
  await expire(connection, Date.now() + 30 * hourMs);
  assert.equal(await journalCounts(database), { exceptions: 0, kept: 0 });
});

/** As the README gives them. */
function grants(role: string): string {
  return `
    GRANT USAGE ON SCHEMA tencent_chat TO ${role};
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA tencent_chat TO ${role};
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA tencent_chat TO ${role};`;
}

async function journalCounts(database: string): Promise<{ exceptions: number; kept: number }> {
  const [row] = await server.query(
    `SELECT (SELECT count(*) FROM tencent_chat.exceptions)::integer AS exceptions,
       (SELECT coalesce(sum(count), 0) FROM tencent_chat.slots)::integer AS kept`,
    database,
  );
  return row as { exceptions: number; kept: number };
}

journals('the README gives what that role is granted', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  for (const line of grants('exporter').trim().split('\n')) assert.ok(readme.includes(line.trim()), line);
});

journals('a newer format, and a key that is gone, are refused', async () => {
  const url = await setUp();
  await (await open(url)).journal.close();
  await server.query(`UPDATE tencent_chat.meta SET value = '99' WHERE name = 'format'`, databaseOf(url));
  const newer = await failure(open(url));
  assert.instance(newer, JournalUnusable);
  assert.match(newer.message, /journal format 99, this version reads 1/);
  await server.query(
    `UPDATE tencent_chat.meta SET value = '1' WHERE name = 'format'; DELETE FROM tencent_chat.meta WHERE name = 'key'`,
    databaseOf(url),
  );
  assert.match((await failure(open(url))).message, /key .*damaged or gone/);
});

journals('three that start at once on an empty database make one journal', async () => {
  const url = await setUp();
  const opened = await Promise.all(
    ['one', 'two', 'three'].map(replica => open(url, { replica, openMs: 10_000 })),
  );
  assert.is(new Set(opened.map(({ contents }) => contents.key.toString('hex'))).size, 1);
});

journals('who makes the tables has the lock for it; others wait', async () => {
  const url = await setUp();
  const location = parsePostgresUrl(url)!;
  const maker = await connectTo(location, location.hosts[0]!, 'maker');
  opened.push(maker);
  await maker.query('SELECT pg_advisory_lock($1, $2)', [lockClass, schemaLock]);
  const opening = open(url, { openMs: 10_000 });
  const waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
  await until(async () => (await server.query(waiting, databaseOf(url))).length === 1, 'one who waits');
  assert.equal(await maker.query("SELECT FROM pg_namespace WHERE nspname = 'tencent_chat'"), []);
  await maker.query('SELECT pg_advisory_unlock($1, $2)', [lockClass, schemaLock]);
  await opening;
});

journals('a session waits for what must be durable, whatever the role prefers', async () => {
  const url = await setUp();
  const location = parsePostgresUrl(url)!;
  for (const [preferred, expected] of [
    ['off', 'on'],
    ['local', 'on'],
    ['remote_write', 'on'],
    ['remote_apply', 'remote_apply'],
  ]) {
    await server.query(`ALTER DATABASE ${databaseOf(url)} SET synchronous_commit = ${preferred}`);
    const connection = await connectTo(location, location.hosts[0]!, 'test');
    assert.equal(await connection.query('SHOW synchronous_commit'), [{ synchronous_commit: expected }]);
    await connection.close();
  }
});

journals('a database without fsync is refused', async () => {
  const forgetful = await startPostgres({ settings: ['fsync = off'] });
  const error = await failure(open(forgetful.url('postgres')));
  assert.instance(error, JournalUnusable);
  assert.match(error.message, /fsync=off/);
  await forgetful.stop('SIGINT');
});

journals('(5) a database that holds less than it has acknowledged is reported', async () => {
  const url = await setUp();
  const { journal, reports } = await open(url);
  await journal.append(newEntries(1, 5));
  await server.query('UPDATE tencent_chat.totals SET count = 2, mirror = -2', databaseOf(url));
  await server.query(
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1',
    'postgres',
    [databaseOf(url)],
  );
  await until(async () => reports.some(({ type }) => type === 'lost'), 'the report');
  assert.equal(
    reports.filter(({ type }) => type === 'lost'),
    [{ type: 'lost', count: 3 }],
  );
});

journals('(5) damaged totals, cursors and chunks are reported', async () => {
  const url = await setUp();
  const first = await open(url);
  await first.journal.append(newEntries(1, 3));
  await first.journal.append(newEntries(4, 5));
  await first.journal.read(0, 10);
  await first.journal.acknowledge('traces', 2);
  await first.journal.close();
  await server.query(
    `UPDATE tencent_chat.totals SET count = count + 1; UPDATE tencent_chat.replicas SET traces = 4;
     UPDATE tencent_chat.outbox SET lengths[1] = lengths[1] + 1 WHERE count = 2`,
    databaseOf(url),
  );
  const { journal, reports } = await open(url);
  assert.equal(await journal.cursors(), { traces: 0, logs: 0 }, 'delivery begins again');
  assert.equal(numbersOf(await journal.read(0, 10)), [1, 2, 3]);
  assert.equal(
    reports.filter(({ type }) => type === 'damage'),
    [
      { type: 'damage', table: 'totals', row: 1, deadLettered: [] },
      { type: 'damage', table: 'cursors', row: 1, deadLettered: [] },
      { type: 'damage', table: 'outbox', row: 4, deadLettered: ['traces', 'logs'] },
      { type: 'damage', table: 'outbox', row: 5, deadLettered: ['traces', 'logs'] },
    ],
  );
});

journals('two replicas that ask at once get different chunks', async () => {
  const url = await setUp();
  const [one, two] = [await open(url), await open(url, { replica: 'two' })];
  for (let number = 0; number < 60; number += 1) await one.journal.append([newEntry(number)]);
  const ask = ({ journal }: Opened) => Promise.all([journal.read(0, 10), journal.read(0, 10)]);
  const rows = (await Promise.all([ask(one), ask(two)])).map(([first]) => first!);
  assert.ok(rows.every(found => found.length === 10));
  assert.is(new Set(rows.flat().map(({ record }) => record)).size, 20);
});

journals('what one replica leaves is delivered by the other, and an own wait is not in vain', async () => {
  const url = await setUp();
  const [one, two] = [await open(url), await open(url, { replica: 'two' })];
  const wait = two.journal.waitBeyond(0);
  await one.journal.append(newEntries(1, 3));
  await soon(wait, 'what the other one stored');
  assert.is((await two.journal.read(0, 10)).length, 3);
  assert.equal(await one.journal.read(0, 10), []);
});

journals(
  'claims of a dead replica go to the others; what all signals had is not delivered again',
  async () => {
    const database = await server.createDatabase();
    const cut = await startCut(() => server.port);
    const one = await open(`postgres://admin@127.0.0.1:${cut.port}/${database}`);
    await one.journal.append(newEntries(1, 4));
    await one.journal.read(0, 10);
    for (const signal of ['traces', 'logs'] as const) await one.journal.acknowledge(signal, 1);
    await one.journal.acknowledge('traces', 3);
    await delay(500);
    const two = await open(server.url(database), { replica: 'two', orphanMs: 200 });
    const wait = two.journal.waitBeyond(0);
    await delay(600);
    assert.equal(await two.journal.read(0, 10), [], 'not while it lives');
    cut.become('refusing');
    await soon(wait, 'the claims of the dead');
    assert.equal(
      (await two.journal.read(0, 10)).map(({ record }) => record),
      ['["record 2"]', '["record 3"]', '["record 4"]'],
    );
    cut.become('whole');
    await until(
      () => one.journal.append([newEntry(5)]).catch(() => false as const),
      'the first one to come back',
    );
    assert.equal(
      (await one.journal.read(0, 10)).map(({ record }) => record),
      ['["record 5"]'],
      'it has lost its claim',
    );
  },
);

journals('slots: hours follow one another, and what has no time has one of its own', () => {
  const at = (time: number) => slotOf(time.toString(16).padStart(12, '0').padEnd(32, 'f'));
  const now = Date.UTC(2026, 5, 1, 12);
  assert.is(at(now + hourMs), (at(now) + 1) % 32);
  assert.is(at(now + 32 * hourMs), at(now));
  assert.is(at(now + hourMs - 1), at(now));
  for (const time of [0, 1_670_574_414, Date.UTC(2015)]) assert.is(at(time), oddSlot);
});

journals('identities leave with their hour, those that come late again and again by themselves', async () => {
  const url = await setUp();
  const now = Date.now();
  const { journal } = await open(url);
  const at = (time: number, number: number) =>
    time.toString(16).padStart(12, '0') + number.toString(16).padStart(20, '0');
  const past = (hours: number, number: number, receivedAt = now - hours * hourMs) =>
    newEntry(number, { identity: at(now - hours * hourMs, number), receivedAt });
  const kept = [past(24, 1), past(1, 2), past(40, 3, now), newEntry(4, { receivedAt: now })];
  const gone = [past(28, 5), past(29, 6), past(40, 7), newEntry(8, { receivedAt: now - 26 * hourMs })];
  await journal.append([...gone, ...kept]);
  const location = parsePostgresUrl(url)!;
  const connection = await connectTo(location, location.hosts[0]!, 'retention');
  opened.push(connection);
  await expire(connection, now);
  assert.equal(await journalCounts(databaseOf(url)), { exceptions: 4, kept: 4 });
  assert.equal(await journal.append(kept), Array(4).fill('duplicate'));
  assert.equal(await journal.append(gone), Array(4).fill('new'));
});

journals.run();
