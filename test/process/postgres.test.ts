/** The exporter on a database: what a callback's sender and an operator see of it, in good days and bad. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { Exporter, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { startPostgres } from '../support/postgres.ts';
import { until } from '../support/prometheus.ts';

const onDatabase = suite('exporter on PostgreSQL');
onDatabase.after.each(cleanUp);

onDatabase(
  'a database that stands still: answers go on from memory, and all is counted once it moves',
  async () => {
    const postgres = await startPostgres();
    const exporter = await startExporter({ env: { JOURNAL: postgres.url('postgres'), REPLICA: 'one' } });
    const read = async (name: string) => (await exporter.metrics()).sum(`tencent_chat_journal_${name}`);
    const oracle = new Oracle({ seed: 1, connections: 8 });
    await oracle.sendNew(exporter.callbackUrl, 40);
    assert.is(await exporter.total(), 40);

    postgres.freeze();
    await oracle.sendNew(exporter.callbackUrl, 40);
    assert.equal([...oracle.refusals], []);
    assert.is(await read('up'), 0);
    assert.is(await read('unwritten_events'), 40);
    assert.is(await exporter.total(), 40, 'whose they are is not known yet');
    assert.is((await exporter.get('/-/ready')).status, 200, 'callbacks are still taken');
    await oracle.sendAgain(exporter.callbackUrl, oracle.acknowledged);

    postgres.thaw();
    await until(async () => (await read('up')) === 1, 'the journal to be up again');
    assert.is(await read('unwritten_events'), 0);
    assert.is(await exporter.total(), 80);
    await oracle.sendAgain(exporter.callbackUrl, oracle.acknowledged);
    assert.is(await exporter.total(), 80);

    assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
    const again = await startExporter({ env: { JOURNAL: postgres.url('postgres'), REPLICA: 'one' } });
    assert.is(await again.total(), 80);

    const other = await startExporter({ env: { JOURNAL: postgres.url('postgres'), REPLICA: 'two' } });
    const { failing } = JSON.parse((await other.get('/api/status')).body);
    assert.is(failing.exceptions, 0, 'its status page does not show as its own what others counted');
  },
);

const password = 'canary-password';

/** A server that wants TLS and a password, and a certificate for the name `localhost`. */
async function startGuarded() {
  const directory = temporaryDirectory();
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore', cwd: directory });
  for (const name of ['ca', 'stranger']) {
    openssl(
      ...'req -x509 -newkey rsa:2048 -nodes -days 2'.split(' '),
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    );
  }
  openssl(
    ...'req -newkey rsa:2048 -nodes -keyout server.key -out server.csr'.split(' '),
    '-subj',
    '/CN=localhost',
  );
  writeFileSync(file('names'), 'subjectAltName=DNS:localhost\n');
  openssl(
    ...'x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt'.split(
      ' ',
    ),
  );
  const postgres = await startPostgres({
    access: ['hostssl all app all scram-sha-256', 'hostnossl all app all reject'],
    tls: { certificate: file('server.crt'), key: file('server.key') },
  });
  await postgres.query(`CREATE ROLE app LOGIN PASSWORD '${password}'`);
  await postgres.query('CREATE DATABASE journal OWNER app');
  return {
    url: (host: string, query: string, secret = password) =>
      `postgres://app:${secret}@${host}:${postgres.port}/journal?${query}`,
    ca: file('ca.crt'),
    stranger: file('stranger.crt'),
    file,
  };
}

onDatabase('TLS and a password from a file; the password comes out nowhere', async () => {
  const { url, ca, stranger, file } = await startGuarded();
  writeFileSync(file('url'), `${url('localhost', `sslmode=verify-full&sslrootcert=${ca}`)}\n`);
  const exporter = await startExporter({
    env: { JOURNAL: undefined, JOURNAL_FILE: file('url'), REPLICA: 'one', LOG_LEVEL: 'debug' },
  });
  await new Oracle({ seed: 1 }).sendNew(exporter.callbackUrl, 5);
  assert.is(await exporter.total(), 5);
  const status = (await exporter.get('/')).body;
  assert.ok(status.includes('postgres://app@localhost'), 'the status page says where the journal is');
  const outputs = [status, (await exporter.get('/metrics')).body];
  await exporter.kill('SIGTERM');
  outputs.push(exporter.stdout, exporter.stderr);
  assert.ok(exporter.stdout.includes('the journal is postgres://app@localhost'));

  const refused: [query: string, host: string, secret: string, message: RegExp][] = [
    [`sslmode=verify-full&sslrootcert=${ca}`, '127.0.0.1', password, /does not match certificate|altnames/],
    [`sslmode=verify-full&sslrootcert=${stranger}`, 'localhost', password, /certificate/],
    [`sslmode=verify-ca&sslrootcert=${stranger}`, 'localhost', password, /certificate/],
    ['sslmode=verify-full', 'localhost', password, /certificate/],
    ['sslmode=disable', 'localhost', password, /rejects connection|no encryption/],
    ['sslmode=require', 'localhost', 'canary-wrong', /password authentication failed/],
    ['sslmode=verify-full&sslrootcert=/nowhere', 'localhost', password, /cannot be read/],
  ];
  const taken = ['sslmode=require', `sslmode=verify-ca&sslrootcert=${ca}`];
  const attempts = [
    ...refused.map(([query, host, secret]) => url(host, query, secret)),
    ...taken.map(query => url('127.0.0.1', query)),
  ].map((journal, index) => new Exporter({ env: { JOURNAL: journal, REPLICA: `replica ${index}` } }));
  for (const [index, [query, , , message]] of refused.entries()) {
    const { exit } = attempts[index]!;
    const isReady = attempts[index]!.ready().then(
      () => 'it started',
      () => exit,
    );
    assert.equal(await Promise.race([exit, isReady]), { code: 1, signal: null }, query);
    assert.match(attempts[index]!.stderr, message, query);
  }
  for (const attempt of attempts.slice(refused.length)) {
    await attempt.ready();
    await attempt.kill('SIGTERM');
  }
  const all = [...outputs, ...attempts.flatMap(({ stdout, stderr }) => [stdout, stderr])].join('\n');
  assert.not.ok(all.includes('canary'));
});

onDatabase.run();
