/** The options of the library: what is taken, and what each mistake is told. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Config, loadConfig } from '../src/config.ts';
import { type ExceptionCallbacksOptions, exceptionCallbacks, SettingsError } from '../src/index.ts';
import { loadOptions } from '../src/options.ts';

const secret = 'q7secretq7';
const least = { sdkAppIds: 1400000001, env: {} };

function problemsOf(options: unknown): string[] {
  try {
    loadOptions(options as ExceptionCallbacksOptions);
  } catch (error) {
    if (error instanceof SettingsError) return error.problems;
    throw error;
  }
  return [];
}

const loadedFrom = (env: Record<string, string>): Config =>
  loadConfig({ SDK_APP_IDS: '1400000001', ...env }, () => '').config;

const options = suite('options');

/** Options, and the environment that says the same. */
const taken: { name: string; options: Partial<ExceptionCallbacksOptions>; env: Record<string, string> }[] = [
  { name: 'the least, with all the defaults', options: {}, env: {} },
  {
    name: 'everything',
    options: {
      sdkAppIds: ['1400000001', 20000002],
      callbackTokens: ['one', '20000002:two'],
      path: '/tencent',
      journal: 'sqlite:a b.db',
      journalMaxBytes: 2 ** 21,
      adminAccounts: ['a', 'b'],
      userIds: 'plain',
      messageContent: 'included',
      replica: 'app-1',
    },
    env: {
      SDK_APP_IDS: '1400000001,20000002',
      CALLBACK_TOKENS: 'one,20000002:two',
      CALLBACK_PATH: '/tencent',
      JOURNAL: 'sqlite:a b.db',
      JOURNAL_MAX_BYTES: '2097152',
      ADMIN_ACCOUNTS: 'a,b',
      USER_IDS: 'plain',
      MESSAGE_CONTENT: 'included',
      REPLICA: 'app-1',
    },
  },
  {
    name: 'lists as one text',
    options: { sdkAppIds: '1400000001, 2', callbackTokens: 'one,two', adminAccounts: 'a,b' },
    env: { SDK_APP_IDS: '1400000001,2', CALLBACK_TOKENS: 'one,two', ADMIN_ACCOUNTS: 'a,b' },
  },
  { name: 'no tokens, said so', options: { callbackTokens: [] }, env: {} },
  {
    name: 'undefined, as if it were not there',
    options: { path: undefined, journal: undefined, userIds: undefined, log: undefined },
    env: {},
  },
];

for (const { name, options: given, env } of taken) {
  options(`takes ${name}, as the environment does`, () => {
    assert.equal(loadOptions({ ...least, ...given }).config, loadedFrom(env));
  });
}

const ids = 'sdkAppIds expects decimal SDKAppIDs separated by commas, got';
const tokens = 'callbackTokens expects tokens separated by commas, each `token` or `sdkappid:token`, got';

/** One mistake each, and the message that it earns. */
const mistakes: { options: Record<string, unknown>; problem: string }[] = [
  { options: { sdkAppIds: undefined }, problem: `${ids} nothing` },
  { options: { sdkAppIds: [] }, problem: `${ids} an empty list` },
  { options: { sdkAppIds: ' ' }, problem: `${ids} an empty text` },
  { options: { sdkAppIds: ['14000000O1', 2] }, problem: `${ids} "14000000O1,2"` },
  { options: { sdkAppIds: 1.5 }, problem: `${ids} "1.5"` },
  { options: { sdkAppIds: { id: 1 } }, problem: `${ids} an object` },
  // What comes of a variable that is not set must not switch authentication off.
  { options: { callbackTokens: undefined }, problem: `${tokens} undefined` },
  { options: { callbackTokens: null }, problem: `${tokens} null` },
  { options: { callbackTokens: '' }, problem: `${tokens} an empty text` },
  { options: { callbackTokens: [secret, undefined] }, problem: `${tokens} undefined` },
  { options: { callbackTokens: [secret, ''] }, problem: `${tokens} an empty text` },
  { options: { callbackTokens: [`${secret},b`] }, problem: `${tokens} an item with a comma` },
  { options: { callbackTokens: `${secret},,` }, problem: `${tokens} something else (not shown)` },
  {
    options: { callbackTokens: `2:${secret},${secret}` },
    problem: 'callbackTokens has a token for 2, which is not one of sdkAppIds',
  },
  {
    options: { sdkAppIds: [1, 2], callbackTokens: `1:${secret}` },
    problem: 'callbackTokens has no token for 2: its callbacks would all be refused',
  },
  {
    options: { path: 'tencent' },
    problem: 'path expects a path that begins with / and has no ? or #, got "tencent"',
  },
  {
    options: { journal: `postgres://user:${secret}@db` },
    problem:
      'journal expects `sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=…` or `memory:`, got something else (not shown)',
  },
  {
    options: { journalMaxBytes: 12 },
    problem: 'journalMaxBytes expects a whole number of bytes, at least 1048576, got "12"',
  },
  { options: { userIds: true }, problem: 'userIds expects `hashed`, `plain` or `omitted`, got a boolean' },
  {
    options: { adminAccounts: [] },
    problem: 'adminAccounts expects accounts separated by commas, got an empty list',
  },
  {
    options: { log: 'loud' },
    problem: 'log expects a function or one of debug, info, warn, error, silent, got "loud"',
  },
  { options: { env: null }, problem: 'env expects an object, got null' },
  {
    options: { sdkAppId: 1400000001 },
    problem:
      'sdkAppId is no option; these are: sdkAppIds, callbackTokens, path, journal, journalMaxBytes, adminAccounts, userIds, messageContent, replica, log, env',
  },
  {
    options: { env: { OTEL_EXPORTER_OTLP_ENDPOINT: `collector-${secret} 4318` } },
    problem: 'OTEL_EXPORTER_OTLP_ENDPOINT expects a URL such as http://collector:4318, got something else',
  },
  {
    options: { env: { OTEL_EXPORTER_OTLP_HEADERS_FILE: '/nowhere' } },
    problem: 'OTEL_EXPORTER_OTLP_HEADERS_FILE expects a readable file, got "/nowhere" (ENOENT)',
  },
];

for (const { options: given, problem } of mistakes) {
  options(`refuses: ${problem}`, () => {
    const problems = problemsOf({ ...least, ...given });
    assert.equal(problems, [problem]);
    assert.not.match(problems.join(), secret);
  });
}

options('tells all problems at once, one a line, and none of the settings that are no option', () => {
  const given = { userIds: 'all', log: 7, adminAccount: 'x', env: { OTEL_TRACES_EXPORTER: 'x' } };
  const problems = problemsOf(given);
  assert.equal(
    problems.map(line => line.split(' ')[0]),
    ['adminAccount', 'sdkAppIds', 'userIds', 'log'],
  );
  assert.throws(
    () => loadOptions(given as never),
    (error: Error) => error.message === problems.join('\n'),
  );
  for (const none of [undefined, null, {}]) assert.equal(problemsOf(none), [`${ids} nothing`]);
});

options('is refused by exceptionCallbacks with a rejection, not a throw', async () => {
  const error = await exceptionCallbacks({ sdkAppIds: 'x', env: {} }).catch((reason: unknown) => reason);
  assert.instance(error, SettingsError);
});

options('reads process.env unless told otherwise, and of it OTEL_* only', () => {
  const names = ['OTEL_SERVICE_NAME', 'USER_IDS', 'JOURNAL_FILE'];
  Object.assign(process.env, { OTEL_SERVICE_NAME: 'chat-app', USER_IDS: 'plain', JOURNAL_FILE: '/nowhere' });
  try {
    const { env, config } = loadOptions({ sdkAppIds: 1400000001 });
    assert.is(env.OTEL_SERVICE_NAME, 'chat-app');
    assert.is(config.userIds, 'hashed');
  } finally {
    for (const name of names) delete process.env[name];
  }
  assert.is(loadOptions(least).env.PATH, undefined);
});

options('a log function gets every line, and what it throws is dropped', () => {
  const lines: unknown[][] = [];
  const { log } = loadOptions({ ...least, log: (...line) => lines.push(line) });
  log.debug('a', { b: 1 });
  log.error('c');
  assert.equal(lines, [
    ['debug', 'a', { b: 1 }],
    ['error', 'c', {}],
  ]);
  const throwing = loadOptions({
    ...least,
    log: () => {
      throw new Error('full');
    },
  });
  throwing.log.error('c');
});

options('a level is the least severe line that is written to standard error, `warn` unless told', () => {
  const write = process.stderr.write;
  const written = (log: ExceptionCallbacksOptions['log']) => {
    let text = '';
    process.stderr.write = ((line: string) => {
      text += line;
      return true;
    }) as typeof write;
    try {
      const lines = loadOptions({ ...least, log }).log;
      for (const level of ['debug', 'info', 'warn', 'error'] as const) lines[level](`at ${level}`);
    } finally {
      process.stderr.write = write;
    }
    return Array.from(text.matchAll(/at (\w+)/g), ([, level]) => level);
  };
  assert.equal(written(undefined), ['warn', 'error']);
  assert.equal(written('debug'), ['debug', 'info', 'warn', 'error']);
  assert.equal(written('silent'), []);
});

options.run();
