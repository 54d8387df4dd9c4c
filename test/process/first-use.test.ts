/** The first ten minutes with it: start, a callback, a restart; and what it says when something is wrong. */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { createContext, runInContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { Exporter, entryPoint, exceptionsTotal, startExporter } from '../support/exporter.ts';
import { sampleBody, sampleSdkAppId } from '../support/samples.ts';

const firstUse = suite('first use');
firstUse.after.each(cleanUp);

const ok = { ActionStatus: 'OK', ErrorInfo: '', ErrorCode: 0 };

firstUse('needs SDK_APP_IDS and nothing else', async () => {
  const cwd = temporaryDirectory();
  const exporter = await startExporter({ cwd, env: { JOURNAL: undefined } });
  assert.is((await exporter.post(sampleBody())).status, 200);
  assert.ok(existsSync(join(cwd, 'data/journal.db')), 'the journal is at its default place');
});

firstUse(
  "answers Tencent's sample in Tencent's three fields, and counts it once under its labels",
  async () => {
    const exporter = await startExporter();
    const first = await exporter.post(sampleBody());
    assert.is(first.status, 200);
    assert.equal(JSON.parse(first.body), ok);
    assert.equal((await exporter.metrics()).list(exceptionsTotal), [
      {
        labels: {
          sdk_app_id: sampleSdkAppId,
          error_code: '10023',
          error_category: 'rate_limited',
          group_type: 'Public',
          platform: 'Android',
          initiator: 'user',
        },
        value: 1,
      },
    ]);

    const second = await exporter.post(sampleBody());
    assert.equal([second.status, JSON.parse(second.body)], [200, ok]);
    const metrics = await exporter.metrics();
    assert.is(metrics.sum(exceptionsTotal), 1);
    assert.is(metrics.sum('tencent_chat_callbacks_total', { outcome: 'counted' }), 1);
    assert.is(metrics.sum('tencent_chat_callbacks_total', { outcome: 'duplicate' }), 1);
  },
);

firstUse('still has the total after kill -9, and knows the exception again', async () => {
  const killed = await startExporter();
  await killed.post(sampleBody());
  assert.equal(await killed.kill('SIGKILL'), { code: null, signal: 'SIGKILL' });

  const exporter = await startExporter({ journal: killed.journal });
  assert.is(await exporter.total(), 1);
  await exporter.post(sampleBody());
  const metrics = await exporter.metrics();
  assert.is(metrics.sum(exceptionsTotal), 1);
  assert.is(metrics.sum('tencent_chat_callbacks_total', { outcome: 'duplicate' }), 1);
});

firstUse('says at start where it listens, and what of authentication, journal and telemetry', async () => {
  const open = await startExporter();
  const find = (exporter: Exporter, words: RegExp) =>
    exporter.logLines.find(({ message }) => words.test(message))!;
  assert.match(open.callbackUrl, /^http:\/\/127\.0\.0\.1:\d+\/$/);
  assert.match(open.operationsUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.is(find(open, /callbacks are NOT authenticated.*set CALLBACK_TOKENS/).level, 'warn');
  assert.is(find(open, /^the journal is /).message, `the journal is ${open.journal}`);
  assert.ok(find(open, /telemetry is not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set/));
  assert.is(open.stderr, '');

  const closed = await startExporter({
    env: {
      CALLBACK_TOKENS: 'a-token',
      JOURNAL: 'memory:',
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9',
      CALLBACK_PATH: '/tencent',
    },
  });
  assert.match(closed.callbackUrl, /\/tencent$/);
  assert.is(find(closed, /authenticated/).message, 'callbacks are authenticated');
  assert.is(find(closed, /the journal is in memory/).level, 'warn');
  assert.is(find(closed, /telemetry is/).message, 'telemetry is delivered: traces and logs');
});

firstUse("keeps the journal's file and its directory to itself", async () => {
  const directory = join(temporaryDirectory(), 'data');
  const exporter = await startExporter({ journal: join(directory, 'journal.db') });
  const { journal } = exporter;
  assert.is(statSync(directory).mode & 0o777, 0o700);
  for (const file of globSync(`${journal}*`)) assert.is(statSync(file).mode & 0o777, 0o600, file);
});

firstUse('ends with 0 when it is told to, and has let go of the journal', async () => {
  const exporter = await startExporter();
  await exporter.post(sampleBody());
  assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
  assert.not(existsSync(`${exporter.journal}-wal`));
  const db = new DatabaseSync(exporter.journal);
  assert.equal({ ...db.prepare('SELECT count FROM totals').get() }, { count: 1 });
  db.close();
});

firstUse.run();

const trouble = suite('trouble at start');
trouble.after.each(cleanUp);

/** What it printed on stderr, and the exit code, of an exporter that is not to start. */
async function failedStart(options: ConstructorParameters<typeof Exporter>[0]) {
  const exporter = new Exporter(options);
  const { code } = await exporter.exit;
  return { code, stderr: exporter.stderr, stdout: exporter.stdout };
}

trouble('tells all wrong settings at once, without a secret, and exits with 2', async () => {
  const { code, stderr, stdout } = await failedStart({
    env: {
      SDK_APP_IDS: '14000000O1',
      CALLBACK_TOKENS: 'first-canary-token,,',
      CALLBACK_LISTEN: 'nowhere',
      CALLBACK_PATH: 'no-slash',
      OPERATIONS_LISTEN: '127.0.0.1:99999',
      JOURNAL: 'postgres://user:second-canary@host',
      JOURNAL_MAX_BYTES: '12',
      USER_IDS: 'all',
      MESSAGE_CONTENT: 'yes',
      LOG_LEVEL: 'loud',
    },
  });
  assert.is(code, 2);
  assert.is(stdout, '');
  const [title, ...problems] = stderr.trimEnd().split('\n');
  assert.is(title, 'tencent-chat-exporter: wrong settings');
  assert.equal(
    problems.map(line => line.trim().split(' ')[0]),
    [
      'SDK_APP_IDS',
      'CALLBACK_TOKENS',
      'CALLBACK_LISTEN',
      'CALLBACK_PATH',
      'OPERATIONS_LISTEN',
      'JOURNAL',
      'JOURNAL_MAX_BYTES',
      'USER_IDS',
      'MESSAGE_CONTENT',
      'LOG_LEVEL',
    ],
  );
  assert.match(problems[0]!, 'got "14000000O1"');
  assert.not.match(stderr, 'canary');
});

trouble('names SDK_APP_IDS when it is missing', async () => {
  const { code, stderr } = await failedStart({ env: { SDK_APP_IDS: undefined } });
  assert.is(code, 2);
  assert.match(stderr, 'SDK_APP_IDS expects decimal SDKAppIDs separated by commas, got nothing');
});

trouble('tells a wrong OTLP endpoint like any other setting, without showing it', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector-canary 4318' };
  const { code, stderr } = await failedStart({ env });
  assert.is(code, 2);
  assert.match(stderr, 'OTEL_EXPORTER_OTLP_ENDPOINT expects a URL such as http://collector:4318');
  assert.not.match(stderr, 'canary');
});

for (const setting of ['CALLBACK_LISTEN', 'OPERATIONS_LISTEN']) {
  trouble(`says in one line which address is taken: ${setting}`, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    onCleanUp(() => server.close());
    await new Promise(resolve => server.once('listening', resolve));
    const address = `127.0.0.1:${(server.address() as { port: number }).port}`;
    const { code, stderr } = await failedStart({ env: { [setting]: address } });
    assert.is(code, 1);
    assert.is(stderr, `tencent-chat-exporter: cannot listen at ${address} (EADDRINUSE)\n`);
  });
}

trouble(
  'refuses a journal that another exporter holds, in one line, and leaves that one in peace',
  async () => {
    const first = await startExporter();
    const { code, stderr } = await failedStart({ journal: first.journal });
    assert.is(code, 1);
    assert.is(
      stderr,
      `tencent-chat-exporter: ${first.journal} is in use by another process; every exporter needs a journal of its own\n`,
    );
    assert.is((await first.post(sampleBody())).status, 200);
    assert.is((await first.metrics()).sum('tencent_chat_journal_up'), 1);
  },
);

trouble('refuses files that are no journal, in one line, and does not touch them', async () => {
  const directory = temporaryDirectory();
  const text = join(directory, 'notes.txt');
  writeFileSync(text, 'not a journal\n'.repeat(1_000));
  const foreign = join(directory, 'foreign.db');
  const db = new DatabaseSync(foreign);
  db.exec('CREATE TABLE users (name TEXT)');
  db.close();

  for (const [journal, words] of [
    [text, 'is damaged or not a SQLite file'],
    [foreign, 'is a SQLite file, but not a journal'],
  ] as const) {
    const before = readFileSync(journal);
    const { code, stderr } = await failedStart({ journal });
    assert.is(code, 1);
    assert.match(stderr, words);
    assert.match(stderr, journal);
    assert.is(stderr.trimEnd().split('\n').length, 1, stderr);
    if (journal === text) assert.ok(readFileSync(journal).equals(before));
  }
  const reopened = new DatabaseSync(foreign);
  assert.is(reopened.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE type = 'table'").get()!.n, 1);
  reopened.close();
});

trouble('refuses a place where no journal can be made, in one line', async () => {
  const file = join(temporaryDirectory(), 'file');
  writeFileSync(file, '');
  const { code, stderr } = await failedStart({ journal: join(file, 'journal.db') });
  assert.is(code, 1);
  assert.match(stderr, dirname(join(file, 'journal.db')));
  assert.is(stderr.trimEnd().split('\n').length, 1, stderr);
});

trouble('says in one line that Node is too old', () => {
  let stderr = '';
  const oldProcess = {
    versions: { node: '20.20.2' },
    version: 'v20.20.2',
    stderr: {
      write: (text: string) => {
        stderr += text;
      },
    },
    exitCode: 0,
  };
  runInContext(readFileSync(entryPoint, 'utf8'), createContext({ process: oldProcess }));
  assert.is(stderr, 'tencent-chat-exporter needs Node.js 24 or later, this is v20.20.2\n');
  assert.is(oldProcess.exitCode, 2);
});

// Where the machine has a Node of its own that is too old, that one says it itself.
const machineNode = '/usr/bin/node';
const machineVersion = spawnSync(machineNode, ['--version'], { encoding: 'utf8' }).stdout?.trim();
if (machineVersion && Number.parseInt(machineVersion.slice(1), 10) < 24) {
  trouble(`says so when it is really run by ${machineVersion}`, () => {
    const { status, stderr, stdout } = spawnSync(machineNode, [entryPoint], { encoding: 'utf8' });
    assert.equal([status, stdout], [2, '']);
    assert.is(stderr, `tencent-chat-exporter needs Node.js 24 or later, this is ${machineVersion}\n`);
  });
}

trouble.run();
