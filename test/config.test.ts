import { hostname } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Config,
  type LoadedConfig,
  loadConfig,
  loadSettings,
  SettingsError,
  secretNames,
} from '../src/config.ts';

const secret = 'q7secretq7';

/** Files by path, as `<NAME>_FILE` reads them. */
const files: Record<string, string> = {
  '/run/token': `${secret}\n`,
  '/run/tokens': ' 1400000001:first,second \r\n',
  '/run/empty': '\n',
};

function readFile(path: string): string {
  const text = files[path];
  if (text === undefined) throw Object.assign(new Error(`no such file: ${path}`), { code: 'ENOENT' });
  return text;
}

function load(env: NodeJS.ProcessEnv): LoadedConfig {
  return loadConfig({ SDK_APP_IDS: '1400000001', ...env }, readFile);
}

function problemsOf(env: NodeJS.ProcessEnv): string[] {
  try {
    load(env);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

const config = suite('settings');

config('defaults: all but SDK_APP_IDS', () => {
  assert.equal(load({}).config, {
    sdkAppIds: ['1400000001'],
    callbackTokens: [],
    callbackListen: { host: '0.0.0.0', port: 8080 },
    callbackPath: '/',
    callbackPublicUrl: null,
    operationsListen: { host: '0.0.0.0', port: 9464 },
    journal: { engine: 'sqlite', path: './data/journal.db' },
    journalMaxBytes: 2 ** 30,
    adminAccounts: ['administrator'],
    userIds: 'hashed',
    messageContent: 'omitted',
    logLevel: 'info',
    replica: hostname(),
    traceUrlTemplate: null,
    dashboardsUrl: null,
    runbooksUrl: 'http://localhost:9090/user/runbooks',
  });
});

config('of a few settings, no other has to be there, or right', () => {
  const env = { CALLBACK_LISTEN: 'nowhere', CALLBACK_TOKENS_FILE: '/run/none', JOURNAL: 'sqlite:/data/j.db' };
  assert.equal(loadSettings(env, readFile, ['journal', 'journalMaxBytes']), {
    journal: { engine: 'sqlite', path: '/data/j.db' },
    journalMaxBytes: 2 ** 30,
  });
  assert.throws(
    () => loadSettings({ JOURNAL: secret, JOURNAL_MAX_BYTES: '5' }, readFile, ['journal', 'journalMaxBytes']),
    (error: unknown) => error instanceof SettingsError && error.problems.length === 2,
  );
  assert.throws(
    () => loadSettings({ JOURNAL_FILE: '/run/none' }, readFile, ['journal']),
    (error: unknown) => error instanceof SettingsError && /JOURNAL_FILE/.test(error.message),
  );
});

/** What is taken, beside the defaults. */
const taken: { name: string; env: NodeJS.ProcessEnv; config: Partial<Config> }[] = [
  {
    name: 'several SDKAppIDs, with spaces',
    env: { SDK_APP_IDS: ' 1400000001 , 20000002' },
    config: { sdkAppIds: ['1400000001', '20000002'] },
  },
  {
    name: 'tokens for all apps and for one',
    env: { CALLBACK_TOKENS: 'one, 1400000001:two ,three:3' },
    config: {
      callbackTokens: [
        { sdkAppId: null, token: 'one' },
        { sdkAppId: '1400000001', token: 'two' },
        { sdkAppId: null, token: 'three:3' },
      ],
    },
  },
  {
    name: 'tokens from a file, without the white space around them',
    env: { CALLBACK_TOKENS_FILE: '/run/tokens' },
    config: {
      callbackTokens: [
        { sdkAppId: '1400000001', token: 'first' },
        { sdkAppId: null, token: 'second' },
      ],
    },
  },
  {
    name: 'an IPv6 address',
    env: { CALLBACK_LISTEN: '[::1]:0' },
    config: { callbackListen: { host: '::1', port: 0 } },
  },
  {
    name: 'a host name',
    env: { OPERATIONS_LISTEN: 'localhost:65535' },
    config: { operationsListen: { host: 'localhost', port: 65_535 } },
  },
  {
    name: 'a port alone',
    env: { CALLBACK_LISTEN: ':81' },
    config: { callbackListen: { host: '0.0.0.0', port: 81 } },
  },
  { name: 'a path', env: { CALLBACK_PATH: '/tencent/x' }, config: { callbackPath: '/tencent/x' } },
  { name: 'memory:', env: { JOURNAL: 'memory:' }, config: { journal: { engine: 'memory' } } },
  {
    name: 'a database, password and all',
    env: { JOURNAL: `postgres://app:${secret}@one,two:5433/journal?sslmode=require` },
    config: {
      journal: { engine: 'postgres', url: `postgres://app:${secret}@one,two:5433/journal?sslmode=require` },
    },
  },
  {
    name: 'a SQLite path with a colon',
    env: { JOURNAL: 'sqlite:/var/lib/a:b.db' },
    config: { journal: { engine: 'sqlite', path: '/var/lib/a:b.db' } },
  },
  {
    name: 'several admin accounts',
    env: { ADMIN_ACCOUNTS: 'administrator,@TIM#SYSTEM' },
    config: { adminAccounts: ['administrator', '@TIM#SYSTEM'] },
  },
  {
    name: 'the choices',
    env: { USER_IDS: 'plain', MESSAGE_CONTENT: 'included', LOG_LEVEL: 'debug', REPLICA: 'a' },
    config: { userIds: 'plain', messageContent: 'included', logLevel: 'debug', replica: 'a' },
  },
  {
    name: 'the URLs that the status page shows',
    env: {
      CALLBACK_PUBLIC_URL: 'https://chat.example.org/tencent',
      TRACE_URL_TEMPLATE: 'http://tempo:3200/explore?left={"query":"{trace_id}"}&again={trace_id}',
      DASHBOARDS_URL: 'https://grafana.example.org/d/tencent-chat-overview?var-job=a#b',
      RUNBOOKS_URL: 'https://wiki.example.org/chat//',
    },
    config: {
      callbackPublicUrl: 'https://chat.example.org/tencent',
      traceUrlTemplate: 'http://tempo:3200/explore?left={"query":"{trace_id}"}&again={trace_id}',
      dashboardsUrl: 'https://grafana.example.org/d/tencent-chat-overview?var-job=a#b',
      runbooksUrl: 'https://wiki.example.org/chat',
    },
  },
  {
    name: 'empty variables, as if they were not set',
    env: { CALLBACK_TOKENS: '', CALLBACK_TOKENS_FILE: '', USER_IDS: '', JOURNAL: ' ', REPLICA: '' },
    config: {},
  },
];

for (const { name, env, config: changes } of taken) {
  config(`takes ${name}`, () => {
    assert.equal(load(env).config, { ...load({}).config, ...changes });
  });
}

/** One mistake each, and the message that it earns. */
const mistakes: { name: string; env: NodeJS.ProcessEnv; problem: string }[] = [
  {
    name: 'no SDKAppID',
    env: { SDK_APP_IDS: undefined },
    problem: 'SDK_APP_IDS expects decimal SDKAppIDs separated by commas, got nothing',
  },
  {
    name: 'an O for a 0',
    env: { SDK_APP_IDS: '14000000O1' },
    problem: 'SDK_APP_IDS expects decimal SDKAppIDs separated by commas, got "14000000O1"',
  },
  {
    name: 'a comma at the end',
    env: { SDK_APP_IDS: '1400000001,' },
    problem: 'SDK_APP_IDS expects decimal SDKAppIDs separated by commas, got "1400000001,"',
  },
  {
    name: 'an empty token',
    env: { CALLBACK_TOKENS: `${secret},,` },
    problem:
      'CALLBACK_TOKENS expects tokens separated by commas, each `token` or `sdkappid:token`, got something else (not shown)',
  },
  {
    name: 'a token for a foreign app',
    env: { CALLBACK_TOKENS: `${secret},1400000002:${secret}` },
    problem: 'CALLBACK_TOKENS has a token for 1400000002, which is not one of SDK_APP_IDS',
  },
  {
    name: 'an app without a token',
    env: { SDK_APP_IDS: '1400000001,1400000002', CALLBACK_TOKENS: `1400000001:${secret}` },
    problem: 'CALLBACK_TOKENS has no token for 1400000002: its callbacks would all be refused',
  },
  {
    name: 'a token and its file',
    env: { CALLBACK_TOKENS: secret, CALLBACK_TOKENS_FILE: '/run/token' },
    problem: 'CALLBACK_TOKENS and CALLBACK_TOKENS_FILE are both set; set one',
  },
  {
    name: 'a file that is not there',
    env: { CALLBACK_TOKENS_FILE: '/run/nothing' },
    problem: 'CALLBACK_TOKENS_FILE expects a readable file, got "/run/nothing" (ENOENT)',
  },
  {
    name: 'a file that is empty',
    env: { CALLBACK_TOKENS_FILE: '/run/empty' },
    problem: 'CALLBACK_TOKENS_FILE expects a file with a value, got the empty "/run/empty"',
  },
  ...['8080', '0.0.0.0:65536', 'a b:80', '::1:80', '[::1]', 'http://x:80'].map(text => ({
    name: `the address ${text}`,
    env: { CALLBACK_LISTEN: text },
    problem: `CALLBACK_LISTEN expects address:port, got "${text}"`,
  })),
  {
    name: 'an operator address without a port',
    env: { OPERATIONS_LISTEN: 'localhost' },
    problem: 'OPERATIONS_LISTEN expects address:port, got "localhost"',
  },
  ...['tencent', '/a?b', '/a#b', '/a b'].map(text => ({
    name: `the path ${text}`,
    env: { CALLBACK_PATH: text },
    problem: `CALLBACK_PATH expects a path that begins with / and has no ? or #, got "${text}"`,
  })),
  ...['./journal.db', 'sqlite:', 'sqlite::memory:', `postgres://user:${secret}@db`].map(text => ({
    name: `the journal ${text.replace(secret, '…')}`,
    env: { JOURNAL: text },
    problem:
      'JOURNAL expects `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=…` or `memory:`, got something else (not shown)',
  })),
  ...['1GB', '1048575', '-1', '1e9', '0x10000000'].map(text => ({
    name: `the size ${text}`,
    env: { JOURNAL_MAX_BYTES: text },
    problem: `JOURNAL_MAX_BYTES expects a whole number of bytes, at least 1048576, got "${text}"`,
  })),
  {
    name: 'an empty admin account',
    env: { ADMIN_ACCOUNTS: 'a,,b' },
    problem: 'ADMIN_ACCOUNTS expects accounts separated by commas, got "a,,b"',
  },
  {
    name: 'a USER_IDS that is none of the choices',
    env: { USER_IDS: 'Plain' },
    problem: 'USER_IDS expects `hashed`, `plain` or `omitted`, got "Plain"',
  },
  {
    name: 'a MESSAGE_CONTENT that is none of the choices',
    env: { MESSAGE_CONTENT: 'true' },
    problem: 'MESSAGE_CONTENT expects `omitted` or `included`, got "true"',
  },
  {
    name: 'a LOG_LEVEL that is none of the choices',
    env: { LOG_LEVEL: 'trace' },
    problem: 'LOG_LEVEL expects `debug`, `info`, `warn` or `error`, got "trace"',
  },
  ...['chat.example.org/x', 'ftp://chat.example.org', 'https://x/?a=b', 'https://x/#a', 'https://x/a b'].map(
    text => ({
      name: `the callback URL ${text}`,
      env: { CALLBACK_PUBLIC_URL: text },
      problem: `CALLBACK_PUBLIC_URL expects an http(s) URL without credentials, ? and #, got "${text}"`,
    }),
  ),
  {
    name: 'a callback URL with a password, and does not show it',
    env: { CALLBACK_PUBLIC_URL: `https://me:${secret}@chat.example.org/` },
    problem:
      'CALLBACK_PUBLIC_URL expects an http(s) URL without credentials, ? and #, got "https://…@chat.example.org/"',
  },
  ...['https://tempo/traces', 'https://tempo/{traceid}', 'javascript:alert(1)//{trace_id}', '{trace_id}'].map(
    text => ({
      name: `the trace URL ${text}`,
      env: { TRACE_URL_TEMPLATE: text },
      problem: `TRACE_URL_TEMPLATE expects an http(s) URL that contains {trace_id}, without credentials, got "${text}"`,
    }),
  ),
  {
    name: 'dashboards that are no URL',
    env: { DASHBOARDS_URL: 'grafana:3000' },
    problem: 'DASHBOARDS_URL expects an http(s) URL without credentials, got "grafana:3000"',
  },
  {
    name: 'runbooks with a password, and does not show it',
    env: { RUNBOOKS_URL: `https://me:a/${secret}@wiki/x` },
    problem: 'RUNBOOKS_URL expects an http(s) URL without credentials, got "https://…@wiki/x"',
  },
  {
    name: 'a REPLICA that is too long',
    env: { REPLICA: 'x'.repeat(201) },
    problem: `REPLICA expects a name of up to 200 characters, got "${'x'.repeat(201)}"`,
  },
];

for (const { name, env, problem } of mistakes) {
  config(`refuses ${name}`, () => {
    const problems = problemsOf(env);
    assert.equal(problems, [problem]);
    assert.not.match(problems.join(), secret);
  });
}

config('tells all problems at once, one a line', () => {
  const env = {
    SDK_APP_IDS: 'x',
    CALLBACK_LISTEN: '80',
    USER_IDS: 'y',
    CALLBACK_TOKENS_FILE: '/run/nothing',
  };
  const names = problemsOf(env).map(problem => problem.split(' ')[0]);
  assert.equal(names, ['CALLBACK_TOKENS_FILE', 'SDK_APP_IDS', 'CALLBACK_LISTEN', 'USER_IDS']);
  assert.throws(
    () => load(env),
    (error: Error) => error.message === problemsOf(env).join('\n'),
  );
});

config(
  'takes a file for every secret, those of OpenTelemetry among them, and resolves it in the environment',
  () => {
    assert.equal(
      [...secretNames],
      [
        'CALLBACK_TOKENS',
        'JOURNAL',
        'OTEL_EXPORTER_OTLP_HEADERS',
        'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
        'OTEL_EXPORTER_OTLP_LOGS_HEADERS',
      ],
    );
    const { env } = load({ OTEL_EXPORTER_OTLP_HEADERS_FILE: '/run/token', OTHER: 'kept' });
    assert.is(env.OTEL_EXPORTER_OTLP_HEADERS, secret);
    assert.is(env.OTHER, 'kept');
  },
);

config('leaves the environment that it was given as it was', () => {
  const env = { SDK_APP_IDS: '1400000001', CALLBACK_TOKENS_FILE: '/run/token' };
  loadConfig(env, readFile);
  assert.equal(env, { SDK_APP_IDS: '1400000001', CALLBACK_TOKENS_FILE: '/run/token' });
});

config.run();
