/** `check` on a PostgreSQL journal: what it finds, that nothing is touched, and that the password stays unsaid. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { signals } from '../../src/journal/journal.ts';
import { PostgresJournal } from '../../src/journal/postgres.ts';
import { newEntries } from '../journal/fixtures.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startPostgres } from '../support/postgres.ts';
import { runCommand } from './world.ts';

const check = suite('check of a PostgreSQL journal');
check.after(cleanUp);

const server = await startPostgres({ access: ['host all app all scram-sha-256'] });
await server.query(`CREATE ROLE app LOGIN PASSWORD 'canary-password'`);

/** A database, and the settings of an exporter that uses it as `app`. */
async function setUp({ mayCreate = true } = {}) {
  const database = await server.createDatabase();
  if (mayCreate) await server.query(`GRANT CREATE ON DATABASE ${database} TO app`);
  return { database, JOURNAL: server.url(database, { user: 'app', password: 'canary-password' }) };
}

async function openJournal(url: string): Promise<PostgresJournal> {
  const journal = new PostgresJournal({
    url,
    replica: 'one',
    signals,
    bytesMax: 2 ** 30,
    now: Date.now,
    report: () => {},
  });
  await journal.open(0);
  return journal;
}

/** As text and as JSON; neither holds the password. */
async function checked(JOURNAL: string) {
  const env = {
    SDK_APP_IDS: '1400000001',
    CALLBACK_TOKENS: 'a-token-of-some-length',
    OPERATIONS_LISTEN: '127.0.0.1:9464',
    JOURNAL,
  };
  const text = await runCommand(['check'], { env, columns: 400 });
  const ended = await runCommand(['check', '--json'], { env });
  for (const { out, error } of [text, ended]) assert.not.match(out + error, 'canary');
  assert.is(text.code, ended.code);
  const report = JSON.parse(ended.out) as {
    journal: Record<string, unknown>;
    warnings: string[];
    problems: string[];
    settings: { name: string; value: string }[];
  };
  return { code: ended.code, text: text.out, ...report };
}

const schemas = (database: string) =>
  server.query("SELECT FROM pg_namespace WHERE nspname = 'tencent_chat'", database);

check('says that there is none yet, and makes none', async () => {
  const { database, JOURNAL } = await setUp();
  const { code, text, journal, warnings, settings } = await checked(JOURNAL);
  assert.equal([code, journal.state, warnings], [0, 'absent', []]);
  const shown = `postgres://app@127.0.0.1:${server.port}/${database}?sslmode=disable`;
  assert.is(journal.location, shown);
  assert.is(settings.find(({ name }) => name === 'JOURNAL')!.value, shown);
  assert.ok(text.includes(`  ${shown} is not there yet; it can be made\n`), text);
  assert.equal(await schemas(database), []);
});

check('says what it holds, also while exporters run on it, and changes none of it', async () => {
  const { database, JOURNAL } = await setUp();
  const running = await openJournal(JOURNAL);
  await running.append(newEntries(1, 3));
  await running.append(newEntries(4, 7));
  const rows = await running.read(0, 2);
  await running.deadLetter('logs', rows[0]!, 'refused');
  await running.acknowledge('traces', 3);
  await running.acknowledge('logs', 2);
  const held = await checked(JOURNAL);
  assert.equal([held.code, held.journal.state, held.journal.exceptions], [0, 'readable', 7]);
  await running.close();
  const contents = () =>
    server.query(
      `SELECT replicas.xmin::text AS replica, outbox.xmin::text AS chunk, max(lives.id) AS life
       FROM tencent_chat.replicas, tencent_chat.outbox, tencent_chat.lives GROUP BY 1, 2`,
      database,
    );
  const before = await contents();
  assert.ok(before.length > 0);
  const { code, text, journal, warnings } = await checked(JOURNAL);
  assert.equal(await contents(), before);
  const { state, format, exceptions, undelivered, dead_letters } = journal;
  assert.equal([code, state, format, exceptions, undelivered, dead_letters], [0, 'readable', 1, 7, 5, 1]);
  assert.match(warnings.join(), 'the journal has 1 dead letter');
  assert.match(
    text,
    /, format 1, can be written: 7 exceptions, 5 undelivered, 1 dead letter, [\d.]+ [kM]B\n/,
  );
});

check('says why it cannot be used', async () => {
  const newer = await setUp();
  await (await openJournal(newer.JOURNAL)).close();
  await server.query(`UPDATE tencent_chat.meta SET value = '2' WHERE name = 'format'`, newer.database);
  const ungranted = await setUp({ mayCreate: false });
  const barred = await setUp({ mayCreate: false });
  await (await openJournal(server.url(barred.database))).close();
  const halfGranted = await setUp({ mayCreate: false });
  await (await openJournal(server.url(halfGranted.database))).close();
  await server.query(
    'GRANT USAGE ON SCHEMA tencent_chat TO app; GRANT SELECT ON ALL TABLES IN SCHEMA tencent_chat TO app',
    halfGranted.database,
  );
  const readOnly = await setUp();
  await server.query(`ALTER DATABASE ${readOnly.database} SET default_transaction_read_only = on`);
  const { JOURNAL } = await setUp();
  for (const [url, words] of [
    [newer.JOURNAL, /journal format 2, this version reads 1; run the version that wrote it/],
    [ungranted.JOURNAL, /there is no schema tencent_chat, and the role may not create it/],
    [barred.JOURNAL, /may not create or use the schema tencent_chat .*README/],
    [halfGranted.JOURNAL, /may not use tencent_chat\.dead_letters: grant it what the README says/],
    [readOnly.JOURNAL, /it is a standby, or read-only/],
    [JOURNAL.replace(`:${server.port}/`, ':1/'), /127\.0\.0\.1:1: .*ECONNREFUSED/],
    [JOURNAL.replace('canary-password', 'canary-wrong'), /password authentication failed for user "app"/],
    [JOURNAL.replace(/\w+$/, 'nowhere'), /database "nowhere" does not exist/],
    [`${JOURNAL}?sslmode=require`, /does not support SSL/],
  ] as const) {
    const { code, text, journal, problems } = await checked(url);
    assert.equal([code, journal.state], [1, 'unusable']);
    assert.match(problems.join(), words);
    assert.match(text, /cannot be used, see below\n(.*\n)*1 problem, 0 warnings\.\n$/);
  }
});

check.run();
