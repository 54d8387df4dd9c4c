import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createAuthenticator } from '../../src/callback/authenticate.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { signJson } from '../../src/commands/sign.ts';
import { assertJsonKeys, runCommand } from './world.ts';

const sign = suite('sign');

/** The pair whose digest Tencent's pages print. */
const token = 'xxxxyyyy';
const at = 1669872112_000;
const digest = '17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061';
const app = '1400000001';
const env = { SDK_APP_IDS: app, CALLBACK_TOKENS: token };

sign('prints the query string that Tencent would send, and nothing else', async () => {
  const { code, out, error } = await runCommand(['sign'], { env, startsAt: at });
  assert.is(code, 0);
  assert.is(
    out,
    `CallbackCommand=Group.CallbackSendMsgException&RequestTime=1669872112&SdkAppid=${app}&Sign=${digest}&contenttype=json\n`,
  );
  assert.is(error, '');
});

sign('prints a URL whose own parameters are kept', async () => {
  const args = [
    'sign',
    '--url',
    'https://chat.example/tencent?customer=7#x',
    '--command',
    'State.StateChange',
  ];
  const { out } = await runCommand(args, { env, startsAt: at });
  const url = new URL(out.trim());
  assert.is(url.origin + url.pathname, 'https://chat.example/tencent');
  assert.is(url.searchParams.get('customer'), '7');
  assert.is(url.searchParams.get('CallbackCommand'), 'State.StateChange');
  assert.is(url.hash, '');
});

sign('is taken by the exporter for 60 seconds', async () => {
  const { out } = await runCommand(['sign'], { env, startsAt: at });
  const authenticate = createAuthenticator({ sdkAppIds: [app], tokens: [{ sdkAppId: null, token }] });
  const parameters = parseParameters(out.trim());
  assert.is(authenticate(parameters, at + 60_000), null);
  assert.is(authenticate(parameters, at + 60_001), 'stale');
});

for (const [text, milliseconds] of [
  ['2022-12-01T05:21:52Z', at],
  ['2022-12-01T13:21:52+08:00', at],
  ['1669872112', at],
  ['1669872112999', at + 999],
] as const) {
  sign(`signs for another time, ${text}, and says when that is stale`, async () => {
    const stale = await runCommand(['sign', '--at', text], { env });
    assert.match(stale.out, digest);
    assert.match(stale.error, 'an exporter refuses it as stale');
    const fresh = await runCommand(['sign', '--at', text], { env, startsAt: milliseconds + 30_000 });
    assert.is(fresh.error, '');
  });
}

sign('tells a person how long it is valid', async () => {
  const { error } = await runCommand(['sign'], { env, startsAt: at, isErrorTerminal: true });
  assert.match(error, 'valid until 2022-12-01T05:22:52Z');
});

/** Where a token can come from. The last that is given counts. */
const sources: { name: string; args: string[]; env: NodeJS.ProcessEnv }[] = [
  { name: 'CALLBACK_TOKENS', args: [], env: { CALLBACK_TOKENS: token } },
  { name: 'CALLBACK_TOKENS_FILE', args: [], env: { CALLBACK_TOKENS_FILE: '/run/token' } },
  { name: '--token-file', args: ['--token-file', '/run/token'], env: { CALLBACK_TOKENS: 'another' } },
  { name: 'standard input', args: ['--token-file', '-'], env: {} },
  { name: '--token', args: ['--token', token], env: { CALLBACK_TOKENS_FILE: '/run/none' } },
  { name: 'the token of this app', args: [], env: { CALLBACK_TOKENS: `1400000002:other,${app}:${token}` } },
];
for (const source of sources) {
  sign(`takes the token from ${source.name}, and never prints it`, async () => {
    const { code, out, error } = await runCommand(['sign', '--sdk-app-id', app, ...source.args], {
      env: source.env,
      startsAt: at,
      files: { '/run/token': ` ${token}\n` },
      input: `${token}\n`,
    });
    assert.is(code, 0, error);
    assert.match(out, digest);
    assert.not.match(out + error, token);
  });
}

const mistakes: { args: string[]; env?: NodeJS.ProcessEnv; words: RegExp }[] = [
  { args: [], env: {}, words: /for which app\? set SDK_APP_IDS, or give --sdk-app-id/ },
  { args: [], env: { SDK_APP_IDS: app }, words: /no token to sign with: set CALLBACK_TOKENS_FILE/ },
  { args: ['--sdk-app-id', '12x'], words: /--sdk-app-id <id>' argument '12x' is invalid/ },
  { args: ['--sdk-app-id', '12,13'], words: /Expected a decimal SDKAppID/ },
  { args: ['--at', 'yesterday'], words: /Expected a time such as 2026-11-26T08:30:00Z/ },
  { args: ['--at', '2026-11-26T08:30:00'], words: /Expected a time/ },
  { args: ['--url', 'localhost:8080'], words: /Expected a URL such as/ },
  {
    args: ['--token-file', '/run/none'],
    words: /--token-file expects a readable file, got "\/run\/none" \(ENOENT\)/,
  },
  { args: ['--token-file', '-'], words: /standard input expects tokens .* got nothing/ },
  { args: [], env: { SDK_APP_IDS: '12x' }, words: /SDK_APP_IDS expects decimal .* got "12x"/ },
  {
    args: [],
    env: { SDK_APP_IDS: app, CALLBACK_TOKENS_FILE: '/run/none' },
    words: /wrong settings\n {2}CALLBACK_TOKENS_FILE expects a readable file/,
  },
  { args: ['--token', 'canary,,'], words: /--token expects tokens .* got something else \(not shown\)/ },
  { args: ['--token', 'canary', '--token-file', '-'], words: /cannot be used with option/ },
  {
    args: [],
    env: { SDK_APP_IDS: app, CALLBACK_TOKENS: '1400000002:canary' },
    words: /there is no token for 1400000001/,
  },
];
for (const { args, env: given = env, words } of mistakes) {
  sign(`says what is wrong, and exits with 2: ${args.join(' ') || JSON.stringify(given)}`, async () => {
    const { code, out, error } = await runCommand(['sign', ...args], { env: given });
    assert.is(code, 2);
    assert.is(out, '');
    assert.match(error, words);
    assert.not.match(error, 'canary');
  });
}

sign('prints JSON with the documented keys', async () => {
  const { out } = await runCommand(['sign', '--json', '--url', 'http://x/'], { env, startsAt: at });
  assertJsonKeys(signJson, [out]);
  const { sign, valid_until, request_time } = JSON.parse(out);
  assert.equal([sign, valid_until, request_time], [digest, 1669872172, 1669872112]);
});

sign.run();
