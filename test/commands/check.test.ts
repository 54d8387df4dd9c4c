import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkJson } from '../../src/commands/check.ts';
import { settings } from '../../src/config.ts';
import { signals } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { newEntries } from '../journal/fixtures.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { assertFits, assertJsonKeys, runCommand, type WorldOptions } from './world.ts';

const check = suite('check');
check.after.each(cleanUp);

/** Settings that leave nothing to be warned of. */
function soundEnv(): NodeJS.ProcessEnv {
  return {
    SDK_APP_IDS: '1400000001',
    CALLBACK_TOKENS: 'canary-token-of-some-length',
    OPERATIONS_LISTEN: '127.0.0.1:9464',
    JOURNAL: `sqlite:${join(temporaryDirectory(), 'data/journal.db')}`,
    JOURNAL_MAX_BYTES: '1048576',
  };
}

interface Setting {
  name: string;
  value: string;
  source: string;
  file: string | null;
}

async function checked(env: NodeJS.ProcessEnv, options: WorldOptions = {}) {
  const ended = await runCommand(['check', '--json'], { env, ...options });
  const report = JSON.parse(ended.out) as {
    ok: boolean;
    settings: Setting[];
    journal: Record<string, unknown>;
    telemetry: Record<string, unknown>[];
    warnings: string[];
    problems: string[];
  };
  return { ...ended, ...report };
}

/** The path in a `JOURNAL`. */
const pathOf = (env: NodeJS.ProcessEnv): string => env.JOURNAL!.replace('sqlite:', '');

async function journalWith(path: string): Promise<SqliteJournal> {
  const journal = new SqliteJournal(path, { signals, bytesMax: 2 ** 30, now: Date.now, report: () => {} });
  await journal.open(0);
  await journal.append(newEntries(1, 3));
  return journal;
}

check('is content with sound settings, and makes no journal', async () => {
  const env = soundEnv();
  const { code, out, error } = await runCommand(['check'], { env, columns: 200 });
  assert.equal([code, error], [0, '']);
  assert.match(out, /^ {2}sqlite:\S+ is not there yet; it can be made$/m);
  assert.match(out, /\nAll is well\.\n$/);
  assert.not.ok(existsSync(join(pathOf(env), '..')));
});

check('shows every setting with its value and where it is from, secrets as set or not set', async () => {
  const { settings: shown } = await checked(
    {
      SDK_APP_IDS: '1400000001, 1400000002',
      CALLBACK_TOKENS_FILE: '/run/token',
      LOG_LEVEL: ' ',
      OPERATIONS_LISTEN: '[::1]:9464',
      JOURNAL: 'memory:',
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=canary',
      OTEL_RESOURCE_ATTRIBUTES: 'secret=canary',
    },
    { files: { '/run/token': 'canary-token' } },
  );
  const ours = Object.values(settings).map(({ name }) => name as string);
  assert.equal(shown.map(({ name }) => name).slice(0, ours.length), ours);
  const of = (wanted: string) => {
    const { value, source, file } = shown.find(({ name }) => name === wanted)!;
    return [value, source, file];
  };
  assert.equal(of('SDK_APP_IDS'), ['1400000001,1400000002', 'environment', null]);
  assert.equal(of('CALLBACK_TOKENS'), ['set', 'file', '/run/token']);
  assert.equal(of('DASHBOARDS_URL'), ['not set', 'default', null]);
  assert.equal(of('LOG_LEVEL'), ['info', 'default', null]);
  assert.equal(of('OPERATIONS_LISTEN'), ['[::1]:9464', 'environment', null]);
  assert.equal(of('JOURNAL'), ['memory:', 'environment', null]);
  assert.equal(of('OTEL_EXPORTER_OTLP_PROTOCOL'), ['http/json', 'environment', null]);
  assert.equal(of('OTEL_EXPORTER_OTLP_HEADERS'), ['set', 'environment', null]);
  assert.equal(of('OTEL_RESOURCE_ATTRIBUTES'), ['set', 'environment', null]);
});

/** What deserves a look, and does not make it fail. */
const warnings: { name: string; env: NodeJS.ProcessEnv; words: RegExp }[] = [
  {
    name: 'no authentication',
    env: { CALLBACK_TOKENS: undefined },
    words: /callbacks are not authenticated.*set CALLBACK_TOKENS/,
  },
  {
    name: 'a short token',
    env: { CALLBACK_TOKENS: 'a-canary' },
    words: /CALLBACK_TOKENS has a token of fewer than 16 characters/,
  },
  {
    name: 'a journal in memory',
    env: { JOURNAL: 'memory:' },
    words: /the journal is in memory: a restart forgets/,
  },
  {
    name: 'an operator listener at every address',
    env: { OPERATIONS_LISTEN: undefined },
    words: /OPERATIONS_LISTEN is 0\.0\.0\.0:9464, every address/,
  },
  {
    name: 'the same in IPv6',
    env: { OPERATIONS_LISTEN: '[::]:9464' },
    words: /OPERATIONS_LISTEN is \[::\]:9464, every address/,
  },
  {
    name: 'a disk that is too small',
    env: { JOURNAL_MAX_BYTES: '900000000000000' },
    words: /the journal's disk has [\d.]+ \wB left: it is full before JOURNAL_MAX_BYTES, 900 TB, is reached/,
  },
  {
    name: 'a setting without its S',
    env: { CALLBACK_TOKEN: 'canary' },
    words: /CALLBACK_TOKEN is set, but is no setting: is CALLBACK_TOKENS meant\?/,
  },
  {
    name: 'a setting without its underscores',
    env: { USERIDS: 'plain' },
    words: /USERIDS is set, but is no setting: is USER_IDS meant\?/,
  },
];
for (const { name, env, words } of warnings) {
  check(`warns of ${name}, and of nothing else, without failing`, async () => {
    const report = await checked({ ...soundEnv(), ...env });
    assert.is(report.warnings.length, 1, report.warnings.join('\n'));
    assert.match(report.warnings[0]!, words);
    assert.equal([report.code, report.ok, report.problems], [0, true, []]);
    assert.not.match(report.out, 'canary');
  });
}

check('fails where no journal can be made', async () => {
  const env = { ...soundEnv(), JOURNAL: `sqlite:${import.meta.filename}/journal.db` };
  const { code, ok, problems, journal, error } = await checked(env);
  assert.equal([code, ok, journal.state], [1, false, 'unusable']);
  assert.match(problems[0]!, 'is not a directory');
  assert.match(error, 'an exporter could not start');
  const { out } = await runCommand(['check'], { env });
  assert.match(out, '1 problem, 0 warnings.');
});

check('fails where both listeners want one address', async () => {
  const address = '127.0.0.1:8080';
  const env = { ...soundEnv(), CALLBACK_LISTEN: address, OPERATIONS_LISTEN: address };
  const { code, problems } = await checked(env);
  assert.is(code, 1);
  assert.equal(problems, [`CALLBACK_LISTEN and OPERATIONS_LISTEN are both ${address}`]);
});

check('says that a running exporter holds the journal, and that this is fine', async () => {
  const env = soundEnv();
  const journal = await journalWith(pathOf(env));
  onCleanUp(() => journal.close());
  const { code, ok, journal: found, warnings } = await checked(env);
  assert.equal([code, ok, warnings], [0, true, []]);
  assert.equal([found.state, found.exceptions], ['held', null]);
  const { out } = await runCommand(['check'], { env, columns: 200 });
  assert.match(out, 'is in use by a running exporter; "journal stats" asks it what it holds');
});

check('says what a journal holds whose exporter is stopped', async () => {
  const env = soundEnv();
  const journal = await journalWith(pathOf(env));
  const [row] = await journal.read(0, 1);
  await journal.deadLetter('logs', row!, 'refused');
  await journal.close();
  const { journal: found, warnings } = await checked(env);
  const { state, format, exceptions, undelivered, dead_letters } = found;
  assert.equal([state, format, exceptions, undelivered, dead_letters], ['readable', 1, 3, 3, 1]);
  assert.match(warnings[0]!, 'the journal has 1 dead letter');
  const { out } = await runCommand(['check'], { env, columns: 200 });
  assert.match(out, /, format 1, can be written: 3 exceptions, 3 undelivered, 1 dead letter, [\d.]+ kB\n/);
});

check('tries to connect to the OTLP endpoint, and warns where nothing answers', async () => {
  const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1');
  onCleanUp(() => server.close());
  await new Promise(resolve => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const env = {
    ...soundEnv(),
    OTEL_EXPORTER_OTLP_ENDPOINT: `http://user:canary@127.0.0.1:${port}`,
    OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'grpc',
  };
  const up = await checked(env);
  const endpoint = `http://127.0.0.1:${port}`;
  assert.equal(up.telemetry, [
    { signal: 'traces', protocol: 'http/protobuf', endpoint, answers: true },
    { signal: 'logs', protocol: 'grpc', endpoint, answers: true },
  ]);
  assert.equal(up.warnings, []);

  await new Promise(resolve => server.close(resolve));
  const down = await checked(env);
  assert.is(down.code, 0);
  assert.equal(
    down.telemetry.map(({ answers }) => answers),
    [false, false],
  );
  assert.equal(down.warnings, [
    `traces and logs: ${endpoint} does not answer (ECONNREFUSED); exceptions wait in the journal until it does`,
  ]);
  assert.not.match(up.out + down.out, 'canary');
});

check('tries nothing where delivery is off', async () => {
  const { telemetry } = await checked({
    ...soundEnv(),
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
    OTEL_SDK_DISABLED: 'true',
  });
  assert.equal(telemetry, []);
});

check('tells all wrong settings like the exporter, and exits with 2', async () => {
  const env = { SDK_APP_IDS: 'x', CALLBACK_TOKENS: 'canary,,' };
  const { code, out, error } = await runCommand(['check'], { env });
  assert.equal([code, out], [2, '']);
  assert.match(error, /wrong settings\n {2}SDK_APP_IDS expects .*\n {2}CALLBACK_TOKENS expects/);
  assert.not.match(error, 'canary');
  const report = await checked(env);
  assert.equal([report.code, report.ok, report.problems.length], [2, false, 2]);
  const otlp = await checked({ ...soundEnv(), OTEL_EXPORTER_OTLP_ENDPOINT: 'canary 4318' });
  assert.is(otlp.code, 2);
  assert.match(otlp.problems[0]!, 'OTEL_EXPORTER_OTLP_ENDPOINT expects a URL');
  assert.not.match(otlp.out + otlp.error, 'canary');
});

check('fits the terminal', async () => {
  const env = {
    ...soundEnv(),
    JOURNAL: 'memory:',
    OPERATIONS_LISTEN: undefined,
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
  };
  for (const columns of [72, 80, 120]) {
    assertFits((await runCommand(['check'], { env, columns })).out, columns);
  }
});

check('prints JSON with the documented keys', async () => {
  const env = { ...soundEnv(), OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' };
  const outputs = [await checked(env), await checked({})];
  assertJsonKeys(
    checkJson,
    outputs.map(({ out }) => out),
  );
});

check.run();
