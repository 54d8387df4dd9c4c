/** `journal …` on a journal in PostgreSQL that two exporters share, while they run and when they are gone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

import { identityRetentionMs, type Signal, signals } from '../../src/journal/journal.ts';
import { PostgresJournal } from '../../src/journal/postgres.ts';
import { expire } from '../../src/journal/postgres-retention.ts';
import { type Connection, connectTo } from '../../src/journal/postgres-session.ts';
import { parsePostgresUrl } from '../../src/journal/postgres-url.ts';
import { verifyPostgres } from '../../src/journal/postgres-verify.ts';
import { hourMs, identityOf, newEntry, recordedEntry } from '../journal/fixtures.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startPostgres } from '../support/postgres.ts';
import { runCommand } from './world.ts';

const command = suite('journal command on PostgreSQL');
command.after(cleanUp);
const opened: PostgresJournal[] = [];
command.after.each(async () => {
  for (const journal of opened.splice(0)) await journal.close();
});

const server = await startPostgres({ access: ['host all app all scram-sha-256'] });
await server.query(`CREATE ROLE app LOGIN PASSWORD 'canary-password'`);

interface Shared {
  database: string;
  url: string;
  open(replica: string): Promise<PostgresJournal>;
  /** Nothing that it prints holds the password. */
  run(...args: string[]): Promise<{ code: number; out: string; error: string }>;
}

async function setUp(): Promise<Shared> {
  const database = await server.createDatabase();
  await server.query(`GRANT CREATE ON DATABASE ${database} TO app`);
  const url = server.url(database, { user: 'app', password: 'canary-password' });
  return {
    database,
    url,
    async open(replica) {
      const options = { signals, bytesMax: 2 ** 30, now: Date.now, report: () => {} };
      const journal = new PostgresJournal({ ...options, url, replica });
      await journal.open(0);
      opened.push(journal);
      return journal;
    },
    async run(...args) {
      const env = { JOURNAL: url, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318' };
      const ended = await runCommand(['journal', ...args], { env, columns: 200 });
      assert.not.match(ended.out + ended.error, 'canary');
      return ended;
    },
  };
}

/** The first record that the journal has to deliver. */
async function refuseFirst(journal: PostgresJournal, ...refused: Signal[]): Promise<void> {
  const [row] = await journal.read(Math.min(...Object.values(await journal.cursors())), 1);
  for (const signal of refused) await journal.deadLetter(signal, row!, 'HTTP 400 Bad Request');
  for (const signal of signals) await journal.acknowledge(signal, row!.sequence);
  // What an exporter alone knows it makes durable before it answers.
  await journal.summary();
}

/** Two replicas, each of which stored three exceptions, and had its first one refused: `two` for both signals. */
async function twoReplicas(): Promise<Shared & { one: PostgresJournal; two: PostgresJournal }> {
  const shared = await setUp();
  const [one, two] = [await shared.open('one'), await shared.open('two')];
  await one.append([recordedEntry(1), recordedEntry(2)]);
  await one.read(0, 100);
  await two.append([recordedEntry(3), recordedEntry(4), recordedEntry(1)]);
  await two.read(0, 100);
  await one.append([recordedEntry(5)]);
  await two.append([newEntry(6, { record: null })]);
  await refuseFirst(one, 'logs');
  await refuseFirst(two, 'logs', 'traces');
  return { ...shared, one, two };
}

const linesOf = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));

command('stats tell what all replicas hold, also of one that is gone', async () => {
  const { run, two } = await twoReplicas();
  await two.close();
  const { code, out } = await run('stats', '--json');
  const stats = JSON.parse(out);
  assert.is(code, 0);
  assert.match(stats.file, /^postgres:\/\/app@127\.0\.0\.1:\d+\/\w+\?sslmode=disable$/);
  assert.equal(
    stats.totals.map(({ replica, count }: { replica: string; count: number }) => [replica, count]),
    [
      ['one', 3],
      ['two', 3],
    ],
  );
  assert.equal([stats.exceptions_counted, stats.exceptions_kept], [6, 6]);
  assert.equal(stats.undelivered, { traces: 3, logs: 3 });
  assert.equal(stats.dead_letters, [
    { signal: 'logs', reason: 'HTTP 400 Bad Request', count: 2 },
    { signal: 'traces', reason: 'HTTP 400 Bad Request', count: 1 },
  ]);
  assert.is(stats.dropped_since_start, null);
  const text = (await run('stats')).out;
  assert.match(text, /^Counted +one: 3 exceptions in 1 label set\n +two: 3 exceptions in 1 label set$/m);
  assert.match(text, /^On disk +[\d.]+ [kM]B$/m);
});

command('export has each exception once, with what waits and what was refused, in either order', async () => {
  const { run } = await twoReplicas();
  const { code, out } = await run('export');
  const lines = linesOf(out);
  assert.is(code, 0);
  assert.equal(
    lines.map(line => [line.trace_id, line.undelivered, line.dead_letters.length, line.record !== null]),
    [
      [identityOf(1), [], 1, true],
      [identityOf(2), ['traces', 'logs'], 0, true],
      [identityOf(3), [], 2, true],
      [identityOf(4), ['traces', 'logs'], 0, true],
      [identityOf(5), ['traces', 'logs'], 0, true],
      [identityOf(6), [], 0, false],
    ],
  );
  assert.equal(linesOf((await run('export', '--latest-first')).out), lines.reverse());
});

command('dead letters of two replicas are told apart, go back to whoever runs, or are dropped', async () => {
  const { run, one, two } = await twoReplicas();
  const letters = JSON.parse((await run('dead-letters', 'list', '--json')).out);
  const ids: string[] = letters.map(({ id }: { id: string }) => id);
  assert.is(new Set(ids).size, 3);
  assert.equal(
    letters.map(({ trace_id }: { trace_id: string }) => trace_id),
    [identityOf(1), identityOf(3), identityOf(3)],
  );
  await two.close();

  const ofTwo = letters.filter(({ trace_id }: { trace_id: string }) => trace_id === identityOf(3));
  const dropped = ofTwo.find(({ signal }: { signal: string }) => signal === 'traces').id;
  assert.equal(await run('dead-letters', 'drop', '--yes', dropped), {
    code: 0,
    out: 'dropped: traces 1, logs 0\n',
    error: '',
  });
  const before = await one.read(0, 100);
  assert.is((await run('dead-letters', 'retry', '--all')).out, 'retried: traces 0, logs 2\n');
  assert.is((await run('dead-letters', 'list')).out, 'no dead letters\n');
  const after = await one.read(0, 100);
  assert.equal(
    after.slice(before.length).map(({ only }) => only),
    ['logs', 'logs'],
  );
  assert.is((await run('verify')).code, 0);
  assert.is(linesOf((await run('export')).out).length, 6, 'nothing is told twice');
});

command('verify finds a journal whole while exporters write to it, and changes nothing', async () => {
  const { run, one, database } = await twoReplicas();
  const writing = Promise.all(
    Array.from({ length: 20 }, (_, index) => one.append([recordedEntry(100 + index)])),
  );
  const { code, out } = await run('verify', '--json');
  await writing;
  const verification = JSON.parse(out);
  assert.equal([code, verification.is_whole, verification.dead_letters], [0, true, 3]);
  const xmins = () =>
    server.query(
      `SELECT string_agg(xmin::text, ',') AS xmins FROM tencent_chat.exceptions
       UNION ALL SELECT string_agg(xmin::text, ',') FROM tencent_chat.totals`,
      database,
    );
  const before = await xmins();
  assert.match(
    (await run('verify')).out,
    /^Whole: 26 exceptions, 2 totals, \d+ undelivered records and 3 dead/,
  );
  assert.equal(await xmins(), before);
});

command('verify takes no partition for damaged that is emptied meanwhile', async () => {
  const { open, url } = await setUp();
  const now = Date.now();
  const journal = await open('one');
  const receivedAt = now - identityRetentionMs - hourMs;
  await journal.append([1, 2].map(number => newEntry(number, { receivedAt })));
  const location = parsePostgresUrl(url)!;
  const [reading, emptying] = await Promise.all(
    ['a', 'b'].map(name => connectTo(location, location.hosts[0]!, name)),
  );
  const meanwhile: Pick<Connection, 'transact'> = {
    transact: (work, withinMs) =>
      reading!.transact(
        query =>
          work(async (text, values) => {
            const rows = await query(text, values);
            if (String(text).includes('FROM label_sets')) await expire(emptying!, now);
            return rows;
          }),
        withinMs,
      ),
  };
  const { damages, checked } = await verifyPostgres(meanwhile);
  assert.equal([damages, checked.exceptions], [[], 2]);
  await reading!.close();
  await expire(emptying!, now);
  await emptying!.close();
  assert.is((await journal.summary()).exceptions, 0, 'it could be emptied');
});

command('verify says what is damaged, and what follows from it', async () => {
  const { run, one, two, database } = await twoReplicas();
  await one.close();
  await two.close();
  const damages: [sql: string, table: string, problem: RegExp][] = [
    [
      'UPDATE totals SET count = 1, mirror = -1 WHERE replica = 1',
      'totals',
      /counts 1, and 3 of its exceptions/,
    ],
    ['UPDATE totals SET mirror = -9 WHERE replica = 2', 'totals', /counts 3, and its mirror says 9/],
    [`UPDATE label_sets SET platform = 'Web'`, 'label_sets', /checksum/],
    ['UPDATE replicas SET traces = traces + 1 WHERE id = 1', 'replicas', /cursors/],
    ['UPDATE outbox SET records = set_byte(records, 3, 33) WHERE author = 2', 'outbox', /1 of its 2 records/],
    [`UPDATE dead_letters SET record = 'x' WHERE signal = 'traces'`, 'dead_letters', /checksum/],
    [
      'DELETE FROM exceptions WHERE sequence = (SELECT max(sequence) FROM exceptions)',
      'exceptions',
      /keeps 2 of replica 2, and 3 were stored/,
    ],
    [`UPDATE meta SET value = 'x' WHERE name = 'key'`, 'meta', /checksum/],
  ];
  for (const [sql] of damages) await server.query(`SET search_path = tencent_chat; ${sql}`, database);
  const { code, out, error } = await run('verify', '--json');
  const found: { table: string; problem: string; meaning: string }[] = JSON.parse(out).damages;
  for (const [sql, table, problem] of damages) {
    assert.ok(
      found.some(damage => damage.table === table && problem.test(damage.problem)),
      `${sql}: ${JSON.stringify(found)}`,
    );
  }
  assert.is(found.length, damages.length);
  assert.is(code, 1);
  assert.match(error, /sslmode=disable is damaged in 8 places\n$/);
});

command('says why it cannot look into one', async () => {
  const { url, run, database } = await setUp();
  assert.match((await run('stats')).error, /the database holds no journal: no exporter has made one yet\n$/);
  const env = { JOURNAL: url.replace(database, 'nowhere') };
  const { code, error } = await runCommand(['journal', 'stats'], { env });
  assert.is(code, 1);
  assert.match(error, /database "nowhere" does not exist\n$/);
  assert.not.match(error, 'canary');
});

command.run();
