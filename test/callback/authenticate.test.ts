import { createHash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type CallbackToken, createAuthenticator, sign } from '../../src/callback/authenticate.ts';
import { parseParameters, repeated } from '../../src/callback/parameters.ts';
import { sampleQuery, sampleSdkAppId, sampleToken, signedQuery } from '../support/samples.ts';
import { extendSha256 } from '../support/sha256-extension.ts';

const sdkAppIdSuite = suite('sdk_app_id');
const signature = suite('signature');
const freshness = suite('freshness');

/** The RequestTime of Tencent's printed vector, in milliseconds. */
const now = 1669872112_000;
const vectorSign = '17773bc39a671d7b9aa835458704d2a6db81360a5940292b587d6d760d484061';

const forAll = (token: string): CallbackToken => ({ sdkAppId: null, token });
const authenticate = createAuthenticator({ sdkAppIds: [sampleSdkAppId], tokens: [forAll(sampleToken)] });
const check = (query: string, nowMs = now) => authenticate(parseParameters(query), nowMs);

sdkAppIdSuite('takes each of our apps', () => {
  const authenticateTwo = createAuthenticator({ sdkAppIds: ['1', '2'], tokens: [] });
  assert.is(authenticateTwo(parseParameters('SdkAppid=1'), now), null);
  assert.is(authenticateTwo(parseParameters('SdkAppid=2'), now), null);
});

for (const [what, overrides, suffix] of [
  ['missing', { SdkAppid: undefined }, ''],
  ['empty', { SdkAppid: '' }, ''],
  ['not ours', { SdkAppid: '1400000002' }, ''],
  ['ours with a leading zero', { SdkAppid: `0${sampleSdkAppId}` }, ''],
  ['ours with a space', { SdkAppid: ` ${sampleSdkAppId}` }, ''],
  ['repeated', {}, `&SdkAppid=${sampleSdkAppId}`],
  ['repeated in another spelling', {}, `&sdkappid=${sampleSdkAppId}`],
  ['the name of an inherited property', { SdkAppid: 'constructor' }, ''],
] as const) {
  sdkAppIdSuite(`refuses an SdkAppid that is ${what}, however well it is signed`, () => {
    assert.is(check(signedQuery(now, sampleToken, overrides) + suffix), 'sdk_app_id');
  });
}

signature("is Tencent's printed vector", () => {
  assert.is(sign('xxxxyyyy', '1669872112'), vectorSign);
});

signature('is not the digest that some pages print beside the token xxxyyy', () => {
  assert.is(sign('xxxyyy', '1669872112'), 'e78a85473bed2cdc8d6fa8c4d5a4ba4735fd64156e15a99516b9890293e135de');
});

signature('takes the printed vector at its time', () => {
  assert.is(check(sampleQuery({ Sign: vectorSign, RequestTime: '1669872112' })), null);
});

signature('takes the same pair again and again: it is no nonce', () => {
  const query = signedQuery(now);
  for (let times = 0; times < 1000; times += 1) assert.is(check(query), null);
});

const wrongSigns: [string, string | undefined][] = [
  ['missing', undefined],
  ['empty', ''],
  ['short', vectorSign.slice(1)],
  ['long', `${vectorSign}0`],
  ['wrong in its first digit', `0${vectorSign.slice(1)}`],
  ['wrong in its last digit', `${vectorSign.slice(0, -1)}2`],
  ['in upper case', vectorSign.toUpperCase()],
  ['followed by a line feed', `${vectorSign}\n`],
  ['64 characters of more than a byte each', 'é'.repeat(64)],
  ["another token's", sign('xxxyyy', '1669872112')],
];
for (const [what, Sign] of wrongSigns) {
  signature(`refuses a Sign that is ${what}`, () => {
    assert.is(check(sampleQuery({ Sign, RequestTime: '1669872112' })), 'signature');
  });
}

for (const requestTime of [
  '',
  'NaN',
  '1e9',
  'Infinity',
  ' 1669872112',
  '1669872112 ',
  '1669872112\n',
  '16698721120',
  '166987211',
  '+669872112',
  '-669872112',
  '0x63889970',
  '1669872112.0',
  '١٦٦٩٨٧٢١١٢',
]) {
  signature(`refuses RequestTime ${JSON.stringify(requestTime)}, though it is signed with the token`, () => {
    const query = sampleQuery({ RequestTime: requestTime, Sign: sign(sampleToken, requestTime) });
    assert.is(check(query), 'signature');
  });
}

signature('refuses a repeated Sign or RequestTime, though every one is right', () => {
  assert.is(check(`${signedQuery(now)}&Sign=${vectorSign}`), 'signature');
  assert.is(check(`${signedQuery(now)}&requesttime=1669872112`), 'signature');
});

signature('refuses a missing RequestTime', () => {
  assert.is(check(sampleQuery({ Sign: vectorSign })), 'signature');
});

signature('refuses the length extension of an old pair', () => {
  const forgery = extendSha256(
    vectorSign,
    Buffer.byteLength(sampleToken),
    Buffer.from('1669872112'),
    Buffer.from('1669872112'),
  );
  const realDigest = createHash('sha256')
    .update(Buffer.concat([Buffer.from(sampleToken), forgery.message]))
    .digest('hex');
  assert.is(forgery.digest, realDigest, 'the forged digest is the one that the token would give');

  for (const requestTime of [forgery.message.toString('latin1'), forgery.message.toString('utf8')]) {
    const parameters = { ...parseParameters(sampleQuery()), requestTime, sign: forgery.digest };
    assert.is(authenticate(parameters, now), 'signature');
  }
});

signature('takes either token during a rotation', () => {
  const rotating = createAuthenticator({
    sdkAppIds: [sampleSdkAppId],
    tokens: [forAll('old'), forAll('new')],
  });
  assert.is(rotating(parseParameters(signedQuery(now, 'old')), now), null);
  assert.is(rotating(parseParameters(signedQuery(now, 'new')), now), null);
  assert.is(rotating(parseParameters(signedQuery(now, 'other')), now), 'signature');
});

signature("takes an app's own token for that app only, and a plain one for all", () => {
  const several = createAuthenticator({
    sdkAppIds: ['1', '2'],
    tokens: [{ sdkAppId: '1', token: 'of one' }, forAll('of all')],
  });
  const ask = (SdkAppid: string, token: string) =>
    several(parseParameters(signedQuery(now, token, { SdkAppid })), now);
  assert.is(ask('1', 'of one'), null);
  assert.is(ask('2', 'of one'), 'signature');
  assert.is(ask('1', 'of all'), null);
  assert.is(ask('2', 'of all'), null);
});

signature('refuses an app that no token is for, once there are tokens', () => {
  const partial = createAuthenticator({
    sdkAppIds: ['1', '2'],
    tokens: [{ sdkAppId: '1', token: 'of one' }],
  });
  assert.is(partial(parseParameters(signedQuery(now, 'of one', { SdkAppid: '2' })), now), 'signature');
  assert.is(partial(parseParameters('SdkAppid=2'), now), 'signature');
});

signature('is not asked for where no token is configured', () => {
  const open = createAuthenticator({ sdkAppIds: [sampleSdkAppId], tokens: [] });
  assert.is(open(parseParameters(sampleQuery()), now), null);
  assert.is(
    open({ ...parseParameters(sampleQuery()), sign: repeated, requestTime: 'NaN' }, Number.NaN),
    null,
  );
});

const ages: [number, 'stale' | null][] = [
  [0, null],
  [60_000, null],
  [60_001, 'stale'],
  [-60_000, null],
  [-60_001, 'stale'],
  [86_400_000, 'stale'],
  [Number.NaN, 'stale'],
  [Number.POSITIVE_INFINITY, 'stale'],
];
for (const [ageMs, expected] of ages) {
  freshness(`${expected === null ? 'takes' : 'refuses'} a RequestTime of ${ageMs} ms ago`, () => {
    assert.is(check(signedQuery(now), now + ageMs), expected);
  });
}

freshness('is not told of a callback whose signature is wrong', () => {
  assert.is(check(signedQuery(now, 'other'), now + 86_400_000), 'signature');
});

sdkAppIdSuite.run();
signature.run();
freshness.run();
