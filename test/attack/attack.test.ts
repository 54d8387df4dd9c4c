/**
 * Every attack that the receiver must survive, against a real process: authenticity, body and parser, HTTP, what comes
 * out. Each row of a table says how it is sent, what is answered and what it leaves in the counters; after each, the
 * "nothing lost" probe of target.ts. Raw sockets, since a client library is too polite.
 *
 * One exporter takes all of it. Only what ends a process, or plants a fault in it, has one of its own.
 */
import { hash } from 'node:crypto';
import { once } from 'node:events';
import { globSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { sign } from '../../src/callback/authenticate.ts';
import { codesMax } from '../../src/callback/classify.ts';
import type { RejectionReason } from '../../src/callback/exception.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { exceptionsTotal, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { promtoolCheckMetrics, until } from '../support/prometheus.ts';
import {
  exchange,
  openSocket,
  type RawRequest,
  type RawSocket,
  requestBytes,
  statusesOf,
} from '../support/raw-socket.ts';
import { send } from '../support/request.ts';
import { sampleBody, sampleQuery, sampleSdkAppId } from '../support/samples.ts';
import { extendSha256 } from '../support/sha256-extension.ts';
import {
  clientAddress,
  openMetricsType,
  signals,
  startTarget,
  type Target,
  type Trace,
  tokens,
} from './target.ts';

const authenticity = suite('attack: authenticity');
const parser = suite('attack: body and parser');
const http = suite('attack: HTTP');
const output = suite('attack: what comes out');

let target: Target;
authenticity.before(async () => {
  target = await startTarget();
});
output.after(cleanUp);

/** Everything that was answered to an attack, for the canaries. */
let answers = '';

interface Parts extends Omit<RawRequest, 'target'> {
  /** Before the query. */
  path?: string;
  /** Made when it is sent: a signature lasts a minute. Left out: a valid one. */
  query?: () => string;
}

interface Row {
  name: string;
  /** Each over a connection of its own, all at once. */
  requests: Parts[];
  /** Of all answers, sorted. */
  statuses: number[];
  leaves: Trace;
}

const rows: [section: typeof http, row: Row][] = [];

/** Sends it, and resolves with the statuses of all answers. */
async function sendParts({ path = '/', query = () => target.query(), ...parts }: Parts): Promise<number[]> {
  const text = await exchange(
    target.exporter.callbackUrl,
    requestBytes({ body: privateBody(), ...parts, target: `${path}?${query()}` }),
  );
  answers += text;
  return statusesOf(text);
}

/** The last part of each probe, for all of a section: a delivery takes its time. */
function checkDelivery(section: typeof http): void {
  section('the exceptions of every probe so far are at the OTLP end, as spans and as log records', () =>
    target.hasDeliveredAllProbes(),
  );
}

/** How many of each. */
function tally(statuses: readonly number[]): Record<number, number> {
  const counts: Record<number, number> = {};
  for (const status of statuses) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

const byNumber = (left: number, right: number): number => left - right;

/** An attack that is refused, each of its callbacks for this reason. */
function refused(
  section: typeof http,
  name: string,
  [status, reason]: [status: number, reason: RejectionReason],
  ...requests: Parts[]
): void {
  const leaves = { rejected: { [reason]: requests.length } };
  rows.push([section, { name, requests, statuses: requests.map(() => status), leaves }]);
}

/** Callbacks that are odd, and counted all the same: each is an exception of its own. */
function counted(section: typeof http, name: string, leaves: Trace, ...requests: Parts[]): void {
  const statuses = requests.map(() => 200);
  rows.push([section, { name, requests, statuses, leaves: { counted: requests.length, ...leaves } }]);
}

let lastRandom = 0;

/** An exception of its own each time. What is private in it is a canary. */
function privateBody(fields: Record<string, unknown> = {}): string {
  lastRandom += 1;
  return sampleBody({
    Random: lastRandom,
    From_Account: 'canary-sender',
    Operator_Account: 'canary-operator',
    MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-text' } }],
    CloudCustomData: 'canary-custom',
    ...fields,
  });
}

/** Like `privateBody`, with one field exactly as written. */
function bodyWith(name: string, source: string): string {
  return privateBody({ [name]: '@source@' }).replace('"@source@"', () => source);
}

const nowSeconds = (): number => Math.floor(Date.now() / 1000);
const query = (overrides: Record<string, string | undefined>) => () => target.query(overrides);
const validSign = (): string => sign(tokens.current, String(nowSeconds()));
const withSign = (change: (sign: string) => string) => () => target.query({ Sign: change(validSign()) });

// Authenticity

const signature: [number, RejectionReason] = [401, 'signature'];

for (const [name, ...queries] of [
  ['no Sign', query({ Sign: undefined })],
  ['no Sign and no RequestTime', () => sampleQuery()],
  ['an empty Sign', query({ Sign: '' })],
  ['a wrong Sign', query({ Sign: '0'.repeat(64) }), withSign(right => right.split('').reverse().join(''))],
  ['a Sign of the retired token', () => target.query({}, tokens.retired)],
  ['a Sign that is too short', withSign(right => right.slice(1)), withSign(right => right.slice(0, 32))],
  [
    'a Sign that is too long',
    withSign(right => `${right}0`),
    withSign(right => right + right),
    query({ Sign: 'f'.repeat(7_000) }),
  ],
  ['a Sign in capitals', withSign(right => right.toUpperCase())],
  [
    'a Sign of 64 characters that are no digits',
    query({ Sign: 'é'.repeat(64) }),
    query({ Sign: '\0'.repeat(64) }),
  ],
  ['a Sign that is given twice', () => `${target.query()}&Sign=${validSign()}`],
] as [string, ...(() => string)[]][]) {
  refused(authenticity, name, signature, ...queries.map(query => ({ query })));
}

/** Each with the Sign that belongs to it: it is refused for its shape alone. */
for (const [name, ...times] of [
  ['empty', () => ''],
  ['NaN', () => 'NaN', () => 'Infinity'],
  ['1e9', () => '1e9', () => '1.7e9'],
  ['a time with a space', () => ` ${nowSeconds()}`, () => `${nowSeconds()} `],
  ['11 digits', () => `${nowSeconds()}0`, () => `0${nowSeconds()}`],
  ['milliseconds', () => String(Date.now())],
  ['a signed or fractional time', () => `+${nowSeconds()}`, () => `${nowSeconds()}.0`],
  ['hexadecimal', () => `0x${nowSeconds().toString(16)}`],
  [
    'full-width digits',
    () => String(nowSeconds()).replace(/\d/g, d => String.fromCodePoint(0xff10 + Number(d))),
  ],
  ['a time and a line feed', () => `${nowSeconds()}\n`],
] as [string, ...(() => string)[]][]) {
  const requests = times.map(time => ({ query: () => target.timedQuery(time()) }));
  refused(authenticity, `a RequestTime that is ${name}, and signed`, signature, ...requests);
}
refused(
  authenticity,
  'a RequestTime that is missing, or given twice',
  signature,
  { query: query({ RequestTime: undefined }) },
  { query: () => `${target.query()}&RequestTime=${nowSeconds()}` },
  { query: () => `${target.query()}&requesttime=${nowSeconds()}` },
);

/** From a pair that an attacker saw in a proxy's log: the Sign of a RequestTime that goes on with one of now. */
function extension(ageSeconds: number): string {
  const captured = String(nowSeconds() - ageSeconds);
  const forgery = extendSha256(
    sign(tokens.current, captured),
    tokens.current.length,
    Buffer.from(captured),
    Buffer.from(String(nowSeconds())),
  );
  const signed = Buffer.concat([Buffer.from(tokens.current), forgery.message]);
  assert.is(forgery.digest, hash('sha256', signed, 'hex'), 'it is what the token would give');
  const bytes = forgery.message.toString('hex').replace(/../g, '%$&');
  return `${target.query({ RequestTime: undefined, Sign: forgery.digest })}&RequestTime=${bytes}`;
}
refused(
  authenticity,
  'the length extension of an old pair, and of one that is still valid',
  signature,
  { query: () => extension(86_400) },
  { query: () => extension(0) },
);

const timed = (offsetSeconds: number) => ({
  query: () => target.timedQuery(String(nowSeconds() + offsetSeconds)),
});
// To the millisecond, with a clock in the test's hand: callback/authenticate.test.ts.
counted(
  authenticity,
  'a RequestTime 60 s ahead, exactly at the bound, and 58 s ago',
  {},
  timed(60),
  timed(-58),
);
refused(
  authenticity,
  'a RequestTime beyond 60 s: ago, ahead, years off',
  [401, 'stale'],
  timed(-61),
  timed(62),
  { query: () => target.timedQuery('0000000000') },
  { query: () => target.timedQuery('9999999999') },
);

counted(
  authenticity,
  'both tokens of a rotation',
  {},
  { query: () => target.query({}, tokens.current) },
  { query: () => target.query({}, tokens.next) },
);

refused(
  authenticity,
  'an SdkAppid that is wrong, missing, empty, or given twice',
  [403, 'sdk_app_id'],
  { query: query({ SdkAppid: '1400000002' }) },
  { query: query({ SdkAppid: `0${sampleSdkAppId}` }) },
  { query: query({ SdkAppid: undefined }) },
  { query: query({ SdkAppid: '' }) },
  { query: () => `${target.query()}&SdkAppid=${sampleSdkAppId}` },
  { query: () => `${target.query()}&sdkappid=1` },
  { query: () => '' },
);

counted(
  authenticity,
  'a body whose command is not that of the query: the query decides, and the field is told',
  { invalid: { CallbackCommand: 2 } },
  { body: privateBody({ CallbackCommand: 'State.StateChange' }) },
  { query: () => `${target.query()}&CallbackCommand=State.StateChange`, body: privateBody() },
);
rows.push([
  authenticity,
  {
    name: 'a query whose command is not that of the body is passed over, and refused without a signature',
    requests: [
      { query: query({ CallbackCommand: 'Group.CallbackBeforeSendMsg' }) },
      { query: query({ CallbackCommand: 'group.callbacksendmsgexception' }) },
      { query: query({ CallbackCommand: 'State.StateChange', Sign: undefined }) },
    ],
    statuses: [200, 200, 401],
    leaves: { ignored: 2, rejected: { signature: 1 } },
  },
]);

counted(
  authenticity,
  'X-Forwarded-* and method overrides: taken for nothing',
  {},
  {
    headers: [
      ['X-Forwarded-For', 'canary-forwarded'],
      ['X-Forwarded-Host', 'canary-forwarded'],
      ['X-Forwarded-Proto', 'https'],
      ['Forwarded', 'for=canary-forwarded'],
      ['X-HTTP-Method-Override', 'DELETE'],
      ['X-Original-URL', '/metrics'],
    ],
  },
);
refused(authenticity, 'X-Forwarded-For of a trusted address, without a signature', signature, {
  query: query({ Sign: undefined }),
  headers: [
    ['X-Forwarded-For', '127.0.0.1'],
    ['X-Real-IP', '127.0.0.1'],
  ],
});

authenticity('the same body 1,000 times in the window, under three signatures: 200 each, counted once', () =>
  target.survives('the same body 1,000 times', async () => {
    const body = privateBody();
    const queries = [
      () => target.query(),
      () => target.query({}, tokens.next),
      () => target.timedQuery(String(nowSeconds() - 30), { ClientIP: undefined }),
    ];
    const connections = Array.from({ length: 10 }, (_, connection) => {
      const requests = Array.from({ length: 100 }, (_, index) =>
        requestBytes({
          target: `/?${queries[(connection + index) % queries.length]!()}`,
          body,
          isLast: index === 99,
        }),
      );
      return exchange(target.exporter.callbackUrl, Buffer.concat(requests));
    });
    const statuses = (await Promise.all(connections)).flatMap(statusesOf);
    assert.equal(tally(statuses), { 200: 1_000 });
    return { counted: 1, duplicate: 999 };
  }),
);

authenticity('a captured Sign with another body is taken: the documented limit of the signature', () =>
  target.survives('a captured Sign', async () => {
    const captured = target.query();
    assert.equal(await sendParts({ query: () => captured }), [200]);
    const forged = privateBody({ GroupId: '@TGS#FORGED', ErrorCode: 80001 });
    assert.equal(await sendParts({ query: () => captured, body: forged }), [200]);
    return { counted: 2, labels: { error_code: { '10023': 1, '80001': 1 } } };
  }),
);

// Body and parser

counted(
  parser,
  'no Content-Type, text/plain, a form, a wrong or unknown charset, garbage',
  {},
  {},
  ...[
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/json; charset=utf-16',
    'application/json; charset=klingon',
    ';;;',
    '',
  ].map(type => ({ headers: [['Content-Type', type]] as const, body: privateBody() })),
  { headers: [['Content-Type', 'text/plain']], framing: 'chunked', body: privateBody() },
);

const bodyBytesMax = 256 * 1024;
/** A body of this many bytes. */
const sizedBody = (bytes: number): string => {
  const frame = privateBody({ CloudCustomData: '' });
  return frame.replace(
    '"CloudCustomData":""',
    () => `"CloudCustomData":"${'x'.repeat(bytes - frame.length)}"`,
  );
};
counted(
  parser,
  'exactly 256 KiB, with and without Content-Length',
  {},
  { body: sizedBody(bodyBytesMax) },
  { body: sizedBody(bodyBytesMax), framing: 'chunked' },
);
refused(
  parser,
  'a byte more than 256 KiB, with and without Content-Length',
  [413, 'too_large'],
  { body: sizedBody(bodyBytesMax + 1) },
  { body: sizedBody(bodyBytesMax + 1), framing: 'chunked' },
);
refused(
  parser,
  'a Content-Length of terabytes',
  [413, 'too_large'],
  ...[2 ** 32 + 5, 10 ** 12, Number.MAX_SAFE_INTEGER].map(length => ({
    headers: [['Content-Length', length]] as const,
    framing: 'own' as const,
    body: '{"',
  })),
);

parser('endless bodies, with and without Content-Length: refused at the limit, and memory stays flat', () =>
  target.survives('endless bodies', async () => {
    const chunk = Buffer.from(`10000\r\n${'x'.repeat(65_536)}\r\n`);
    const before = await target.residentBytes();
    const sendEndless = async (framing: readonly [string, string | number]) => {
      const { socket, closed } = await openSocket(target.exporter.callbackUrl);
      socket.write(requestBytes({ target: `/?${target.query()}`, headers: [framing], framing: 'own' }));
      // 64 MiB, or as much of it as is taken.
      const pour = async () => {
        for (let count = 0; count < 1_000 && !socket.destroyed; count += 1) {
          if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => {}), closed]);
        }
      };
      pour();
      return statusesOf((await closed).text);
    };
    const framings = [
      ['Transfer-Encoding', 'chunked'],
      ['Content-Length', 2 ** 30],
    ] as const;
    const sent = Array.from({ length: 40 }, (_, index) => sendEndless(framings[index % 2]!));
    const statuses = (await Promise.all(sent)).flat();
    // A reset can overtake the answer; one that came is a 413.
    assert.ok(statuses.length > 0);
    assert.equal(new Set(statuses), new Set([413]));
    const grownBytes = (await target.residentBytes()) - before;
    assert.ok(grownBytes < 64 * 2 ** 20, `${grownBytes} bytes more`);
    return { rejected: { too_large: 40 } };
  }),
);

refused(
  parser,
  'any Content-Encoding: gzip, br, deflate, identity, empty, garbage, several, a bomb',
  [415, 'encoding'],
  { headers: [['Content-Encoding', 'gzip']], body: gzipSync(privateBody()) },
  { headers: [['Content-Encoding', 'br']], body: brotliCompressSync(privateBody()) },
  { headers: [['Content-Encoding', 'deflate']], body: deflateSync(privateBody()) },
  { headers: [['Content-Encoding', 'gzip']], body: gzipSync(Buffer.alloc(100 * 2 ** 20)) },
  { headers: [['Content-Encoding', 'gzip']], body: 'no gzip' },
  { headers: [['Content-Encoding', 'identity']] },
  { headers: [['Content-Encoding', '']] },
  { headers: [['Content-Encoding', 'canary-encoding']] },
  {
    headers: [
      ['Content-Encoding', 'gzip'],
      ['Content-Encoding', 'gzip'],
    ],
    body: gzipSync(gzipSync(privateBody())),
  },
);

/** What takes longest to parse for its size; and the fields that are then invalid. */
const heavyBodies: [what: string, body: string, invalid: Record<string, number>][] = [
  ['60,000 nested arrays', bodyWith('MsgBody', '['.repeat(60_000) + ']'.repeat(60_000)), { MsgBody: 1 }],
  [
    '40,000 nested objects',
    bodyWith('MsgBody', `${'{"a":'.repeat(40_000)}1${'}'.repeat(40_000)}`),
    { MsgBody: 1 },
  ],
  [
    '14,000 keys',
    `{${Array.from({ length: 14_000 }, (_, index) => `"key${index}":1,`).join('')}${privateBody().slice(1)}`,
    {},
  ],
  ['a number of 120,000 digits', bodyWith('Random', '7'.repeat(120_000)), { Random: 1 }],
  ['a string of 120,000 digits', bodyWith('ErrorCode', `"${'7'.repeat(120_000)}"`), { ErrorCode: 1 }],
  ['80,000 empty elements', bodyWith('MsgBody', `[${'{},'.repeat(79_999)}{}]`), { MsgBody: 1 }],
  ['40,000 escapes', bodyWith('ErrorInfo', `"${'\\u0000'.repeat(40_000)}"`), { ErrorInfo: 1 }],
];
for (const [what, body, invalid] of heavyBodies) {
  parser(`${what}: counted, in under 10 ms, and nothing is thrown later`, () =>
    target.survives(what, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      const url = `${target.exporter.callbackUrl}?${target.query()}`;
      let fastestMs = Number.POSITIVE_INFINITY;
      let tries = 0;
      // Once is enough: what others do on this machine is not the parser's time.
      for (; tries < 50 && fastestMs >= 10; tries += 1) {
        const sentAt = performance.now();
        assert.is((await send(url, { method: 'POST', body, agent })).status, 200);
        fastestMs = Math.min(fastestMs, performance.now() - sentAt);
      }
      agent.destroy();
      assert.ok(fastestMs < 10, `${fastestMs} ms, with its way through the socket and the journal`);
      return { counted: 1, duplicate: tries - 1, invalid };
    }),
  );
}

refused(
  parser,
  'what is no JSON object: nothing, garbage, other JSON, deep and unfinished',
  [400, 'malformed'],
  ...[
    '',
    'canary-garbage',
    '[]',
    '"text"',
    '1',
    'null',
    `[${privateBody()}]`,
    privateBody().slice(0, -1),
    `${privateBody()}x`,
    '['.repeat(200_000),
    '{"a":'.repeat(40_000),
    'SdkAppid=1&CallbackCommand=x',
  ].map(body => ({ body })),
);

counted(
  parser,
  '__proto__ and constructor.prototype: no field is read from them, then or later',
  { invalid: { GroupId: 2, Type: 2 }, labels: { group_type: { unknown: 2 } } },
  {
    body: `{"__proto__":{"GroupId":"polluted","Type":"Public"},"constructor":{"prototype":{"GroupId":"polluted","Type":"Public"}},${privateBody({ GroupId: undefined, Type: undefined }).slice(1)}`,
  },
  { body: privateBody({ GroupId: undefined, Type: undefined }) },
);

counted(
  parser,
  'an ErrorCode that is quoted, fractional, an object, absent, negative, huge, a list, true',
  {
    invalid: { ErrorCode: 10 },
    labels: { error_code: { '10023': 1, '-7': 1, invalid: 7, unknown: 3 } },
  },
  ...[
    '"10023"',
    '-7',
    '10023.5',
    '{}',
    '1e400',
    '9007199254740993',
    '[10023]',
    'true',
    '"0x2727"',
    '""',
    'null',
  ].map(source => ({ body: bodyWith('ErrorCode', source) })),
  { body: privateBody({ ErrorCode: undefined }) },
);

counted(
  parser,
  'an EventTime that is missing, negative, 1e400, in seconds, far ahead, huge, no number',
  { invalid: { EventTime: 11 } },
  ...[
    '-1',
    '1e400',
    '-1e400',
    '1670574414',
    '"1670574414"',
    '99999999999999',
    '9007199254740993',
    '"NaN"',
    '{}',
    'null',
  ].map(source => ({ body: bodyWith('EventTime', source) })),
  { body: privateBody({ EventTime: undefined }) },
);

const noUtf8 = Buffer.from(privateBody({ ErrorInfo: '\u00ff\u00fe', GroupId: '\u00c0\u0080' }), 'latin1');
counted(
  parser,
  'invalid UTF-8, a byte order mark, NUL and lone surrogates in every text',
  { labels: { group_type: { other: 2 } } },
  { body: noUtf8 },
  { body: `\ufeff${privateBody()}` },
  ...['\0\u0001\u001b\u007f', '\ud800'].map(text => ({
    body: privateBody({
      GroupId: text,
      Type: text,
      TopicId: text,
      From_Account: text,
      Operator_Account: text,
      ErrorInfo: text,
      CloudCustomData: text,
      MsgBody: [{ MsgType: text, MsgContent: { Text: text } }],
    }),
  })),
);
refused(
  parser,
  'UTF-16, a bare NUL in a string, two byte order marks, bytes that are no text',
  [400, 'malformed'],
  { body: Buffer.from(privateBody(), 'utf16le') },
  { body: privateBody({ ErrorInfo: '@@' }).replace('@@', '\0') },
  { body: `\ufeff\ufeff${privateBody()}` },
  { body: Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256)) },
);

counted(
  parser,
  'unknown fields, element types, platforms, group types and codes: under their bounded names',
  {
    labels: {
      platform: { Android: 5, other: 2, unknown: 1 },
      group_type: { Public: 6, other: 1, unknown: 1 },
      error_code: { '777777': 1, '10023': 7 },
      error_category: { unknown: 1, rate_limited: 7 },
    },
    invalid: { OptPlatform: 1, Type: 1 },
  },
  { body: privateBody({ Canary: 'canary', GroupAtInfo: [{}], hasOwnProperty: 1, toString: 1 }) },
  {
    body: privateBody({
      MsgBody: [{ MsgType: 'TIMHologramElem', MsgContent: {} }, { MsgType: 'canary type' }],
    }),
  },
  { query: query({ OptPlatform: 'HarmonyOS' }), body: privateBody() },
  { query: query({ OptPlatform: '"} 1\nforged_total{x="' }), body: privateBody() },
  { query: () => `${target.query()}&OptPlatform=a&OptPlatform=b`, body: privateBody() },
  { body: privateBody({ Type: 'Metaverse"} 1\nforged_total 1' }) },
  { body: privateBody({ Type: { toString: 'Public' } }) },
  { body: privateBody({ ErrorCode: 777_777 }) },
);
rows.push([
  parser,
  {
    name: 'unknown commands, one that would forge a series among them: answered, under the name other',
    requests: [
      'Group.CallbackAfterTeleport',
      'x",outcome="counted"} 1\nforged_total{x="',
      'é'.repeat(1_000),
      'Live.New',
    ].map(command => ({ query: query({ CallbackCommand: command }) })),
    statuses: [200, 200, 200, 200],
    leaves: { ignored: 4 },
  },
]);

// HTTP

/** What is no callback: answered by what listens, and in no counter. */
const noCallbacks: [name: string, statuses: number[], ...bytes: (() => string | Buffer)[]][] = [
  [
    'headers and a query of more than 8 KiB',
    [431, 431, 431],
    () => requestBytes({ target: `/?${target.query()}`, headers: [['X-Long', 'x'.repeat(9_000)]] }),
    () =>
      requestBytes({
        target: `/?${target.query()}`,
        headers: Array.from({ length: 3_000 }, (_, index) => [`X-${index}`, 'x'] as const),
      }),
    () => requestBytes({ target: `/?${'x'.repeat(9_000)}` }),
  ],
  [
    'request smuggling: two lengths, a length beside chunks, a length that is no number',
    [400, 400, 400, 400, 400],
    ...[
      [['Content-Length', '5, 6']],
      [
        ['Content-Length', 5],
        ['Content-Length', 6],
      ],
      [
        ['Content-Length', 5],
        ['Transfer-Encoding', 'chunked'],
      ],
      [['Content-Length', '-1']],
      [['Content-Length', '0x10']],
    ].map(
      headers => () =>
        requestBytes({
          target: `/?${target.query()}`,
          headers: headers as [string, string][],
          framing: 'own',
          body: '0\r\n\r\n',
        }),
    ),
  ],
  [
    'what is no HTTP: TLS, HTTP/2, a bare line, NUL in a header, no Host',
    [400, 400, 400, 400, 400],
    () => '\u0016\u0003\u0001\r\n\r\n',
    () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    () => 'POST\r\n\r\n',
    () => requestBytes({ target: `/?${target.query()}`, headers: [['X-Nul', 'a\0b']] }),
    () => `POST /?${target.query()} HTTP/1.1\r\nContent-Length: 0\r\n\r\n`,
  ],
  [
    'other methods and paths, and the operator’s pages',
    [404, 404, 404, 404, 405, 405, 405, 405],
    ...['GET', 'PUT', 'OPTIONS', 'DELETE'].map(
      method => () => requestBytes({ method, target: `/?${target.query()}`, body: privateBody() }),
    ),
    ...['/metrics', '/-/ready', '//', '/..%2f'].map(
      path => () => requestBytes({ target: `${path}?${target.query()}`, body: privateBody() }),
    ),
  ],
];
for (const [name, statuses, ...bytes] of noCallbacks) {
  http(`${name}: ${statuses.join(', ')}, and no callback`, () =>
    target.survives(name, async () => {
      const texts = await Promise.all(bytes.map(make => exchange(target.exporter.callbackUrl, make())));
      answers += texts.join('');
      assert.equal(texts.flatMap(statusesOf).sort(byNumber), statuses);
      return {};
    }),
  );
}

counted(
  http,
  'callbacks in HTTP of odd kinds: an absolute target, an expectation, an upgrade, a trailer',
  {},
  { path: 'http://elsewhere.example/', body: privateBody() },
  { headers: [['Expect', '100-continue']], body: privateBody() },
  { headers: [['Upgrade', 'websocket']], body: privateBody() },
  { framing: 'chunked', headers: [['Trailer', 'X-Late']], body: privateBody() },
);

http('pipelined callbacks are answered in order, a refused one among them', () =>
  target.survives('pipelining', async () => {
    const bodies = [privateBody(), 'no JSON', privateBody(), ''];
    const requests = bodies.map((body, index) =>
      requestBytes({ target: `/?${target.query()}`, body, isLast: index === bodies.length - 1 }),
    );
    const text = await exchange(target.exporter.callbackUrl, Buffer.concat(requests));
    assert.equal(statusesOf(text), [200, 400, 200, 400]);
    return { counted: 2, rejected: { malformed: 2 } };
  }),
);

http('senders that leave in the middle: of a header, of a body, of a chunk', () =>
  target.survives('leaving', async () => {
    const fdsBefore = (await target.exporter.metrics()).sum('process_open_fds') + 1;
    const request = { target: `/?${target.query()}`, body: privateBody() };
    const whole = requestBytes(request);
    const chunked = requestBytes({ ...request, framing: 'chunked' });
    const large = requestBytes({ ...request, headers: [['Content-Length', bodyBytesMax]], framing: 'own' });
    // Were they kept in flight, the second round of the large would find no room: 64 MiB are 256 of them.
    for (const [count, bytes] of [
      [20, whole.subarray(0, 20)],
      [20, whole.subarray(0, -20)],
      [20, chunked.subarray(0, -20)],
      [200, large],
      [200, large],
    ] as const) {
      const sockets = await Promise.all(
        Array.from({ length: count }, () => openSocket(target.exporter.callbackUrl)),
      );
      for (const { socket } of sockets) socket.write(bytes);
      // Round trips later they have been read, too.
      await target.exporter.isReady();
      await target.exporter.isReady();
      for (const { socket } of sockets) socket.resetAndDestroy();
      const openFds = async () => (await target.exporter.metrics()).sum('process_open_fds');
      await until(async () => (await openFds()) <= fdsBefore, 'them to be let go');
    }
    return {};
  }),
);

/** Idle since before the slow senders came: longer than Node's own 5 s, and than every limit on a request. */
let idleSockets: RawSocket[] = [];

http('50 idle connections are told 75 s, longer than a load balancer keeps them', () =>
  target.survives('idle connections', async () => {
    idleSockets = await Promise.all(
      Array.from({ length: 50 }, () => openSocket(target.exporter.callbackUrl)),
    );
    for (const { socket } of idleSockets) {
      socket.write(requestBytes({ target: `/?${target.query()}`, body: privateBody(), isLast: false }));
    }
    await until(async () => idleSockets.every(({ received }) => received().endsWith('}')), '50 answers');
    for (const { received } of idleSockets) assert.match(received(), /\r\nKeep-Alive: timeout=75\r\n/);
    return { counted: 50 };
  }),
);

interface SlowEnds {
  headerSeconds: number[];
  bodySeconds: number[];
}
let slowEnds: SlowEnds = { headerSeconds: [], bodySeconds: [] };

/** The rows of slow headers and slow bodies at the same time, to take 8 s and not 14. Resolves when all are connected. */
async function sendSlowly(): Promise<{ ends: Promise<SlowEnds> }> {
  const { callbackUrl } = target.exporter;
  const head = requestBytes({ target: `/?${target.query()}`, framing: 'own' })
    .toString()
    .slice(0, -2);
  const slow = await Promise.all(Array.from({ length: 540 }, () => openSocket(callbackUrl)));
  const [slowHeaders, slowBodies] = [slow.slice(0, 500), slow.slice(500)];
  const drips = slow.map(({ socket }, index) => {
    if (index >= 500) {
      const isChunked = index % 2 === 0;
      socket.write(`${head}${isChunked ? 'Transfer-Encoding: chunked' : 'Content-Length: 100000'}\r\n\r\n`);
      return () => socket.write(isChunked ? '1\r\nx\r\n' : 'x');
    }
    // A third says nothing at all, a third never ends a line, a third never ends the headers.
    if (index % 3 === 0) return () => {};
    socket.write(head);
    return () => socket.write(index % 3 === 1 ? 'x' : 'X-Slow: 1\r\n');
  });
  const dripping = setInterval(() => {
    for (const [index, drip] of drips.entries()) if (slow[index]!.socket.writable) drip();
  }, 500);
  onCleanUp(() => clearInterval(dripping));
  const ends = async (sockets: RawSocket[]): Promise<number[]> =>
    (await Promise.all(sockets.map(({ closed }) => closed))).map(({ seconds }) => seconds).sort(byNumber);
  const all = Promise.all([ends(slowHeaders), ends(slowBodies)]).finally(() => clearInterval(dripping));
  return { ends: all.then(([headerSeconds, bodySeconds]) => ({ headerSeconds, bodySeconds })) };
}

http(
  '500 slowloris sockets beside 50 good callbacks/s: closed within 6 s, the good ones all 200, p99 below 200 ms',
  () =>
    target.survives('slowloris', async () => {
      let isDone = false;
      const { ends } = await sendSlowly();
      const slow = ends.finally(() => {
        isDone = true;
      });
      const agent = new Agent({ keepAlive: true, maxSockets: 10 });
      const good: Promise<{ status: number; ms: number }>[] = [];
      const startedAt = performance.now();
      while (!isDone) {
        // Those that are due: a sender does not wait for one answer before the next.
        while (good.length < (performance.now() - startedAt) / 20) {
          const sentAt = performance.now();
          const url = `${target.exporter.callbackUrl}?${target.query()}`;
          good.push(
            send(url, { method: 'POST', body: privateBody(), agent }).then(({ status }) => ({
              status,
              ms: performance.now() - sentAt,
            })),
          );
        }
        await delay(5);
      }
      slowEnds = await slow;
      const answered = await Promise.all(good);
      agent.destroy();
      assert.equal(
        answered.filter(({ status }) => status !== 200),
        [],
      );
      const sorted = answered.map(({ ms }) => ms).sort(byNumber);
      const p99 = sorted[Math.floor(sorted.length * 0.99)]!;
      assert.ok(p99 < 200, `p99 ${p99} ms of ${sorted.length}`);
      assert.ok(sorted.length > 300, `${sorted.length} good callbacks`);
      const { headerSeconds } = slowEnds;
      assert.is(headerSeconds.length, 500);
      assert.ok(headerSeconds[0]! > 4.5 && headerSeconds.at(-1)! < 6.5, `${headerSeconds.at(-1)} s`);
      return { counted: answered.length };
    }),
);

http('slow bodies, with and without Content-Length: closed at 8 s, and nothing is left of them', () =>
  target.survives('slow bodies', async () => {
    const { bodySeconds } = slowEnds;
    assert.is(bodySeconds.length, 40);
    assert.ok(
      bodySeconds[0]! > 7.5 && bodySeconds.at(-1)! < 9.5,
      `${bodySeconds[0]} to ${bodySeconds.at(-1)} s`,
    );
    return {};
  }),
);

http('idle connections are used again after more than 8 s without a reset', () =>
  target.survives('reuse of idle connections', async () => {
    for (const { socket } of idleSockets) {
      socket.write(requestBytes({ target: `/?${target.query()}`, body: privateBody() }));
    }
    const texts = await Promise.all(idleSockets.map(async ({ closed }) => (await closed).text));
    for (const text of texts) assert.equal(statusesOf(text), [200, 200]);
    return { counted: 50 };
  }),
);

http('5,000 connections: the surplus is refused and counted, and then all is as before', () =>
  target.survives('5,000 connections', async () => {
    const before = await target.exporter.metrics();
    const openFds = async () => (await target.exporter.metrics()).sum('process_open_fds');
    const fdsBefore = await openFds();
    const sockets: RawSocket[] = [];
    let closedCount = 0;
    // In portions that the system's queue of connections holds.
    while (sockets.length < 5_000) {
      const portion = await Promise.all(
        Array.from({ length: 250 }, () => openSocket(target.exporter.callbackUrl)),
      );
      for (const { closed } of portion) {
        closed.then(() => {
          closedCount += 1;
        });
      }
      sockets.push(...portion);
    }
    await until(async () => closedCount >= 3_000, 'the surplus to be refused', 4_000);
    const during = await target.exporter.metrics();
    const residentBytes = 'process_resident_memory_bytes';
    const refused = 'tencent_chat_callback_connections_refused_total';
    assert.ok(during.sum(refused) - before.sum(refused) >= 3_000);
    const grownBytes = during.sum(residentBytes) - before.sum(residentBytes);
    assert.ok(grownBytes < 100 * 2 ** 20, `${grownBytes} bytes more`);
    assert.ok(during.sum('process_open_fds') - fdsBefore <= 2_000);
    for (const { socket } of sockets) socket.destroy();
    await until(async () => (await openFds()) <= fdsBefore, 'the connections to be let go');
    return {};
  }),
);

// What ends a process, or plants a fault in it, has one of its own.

const faults = fileURLToPath(new URL('./faults.ts', import.meta.url));

http(
  'a commit slower than 1.5 s: 503 before 2 s; stored late, counted once, and a duplicate when it comes again',
  async () => {
    const flag = join(temporaryDirectory(), 'slow');
    const exporter = await startExporter({
      env: { SLOW_COMMIT_FILE: flag },
      nodeArgs: ['--import', faults],
    });
    assert.is((await exporter.post(privateBody())).status, 200);
    writeFileSync(flag, '');
    const body = privateBody();
    const sentAt = performance.now();
    const { status, headers } = await exporter.post(body);
    const ms = performance.now() - sentAt;
    assert.is(status, 503);
    assert.is(headers['retry-after'], '1');
    assert.ok(ms >= 1_450 && ms < 2_000, `${ms} ms`);
    await until(async () => (await exporter.total()) === 2, 'the late one to be counted');
    unlinkSync(flag);
    assert.is((await exporter.post(body)).status, 200);
    const metrics = await exporter.metrics();
    assert.is(metrics.sum(exceptionsTotal), 2);
    assert.is(metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'overload' }), 1);
    assert.is(metrics.sum('tencent_chat_callbacks_total', { outcome: 'duplicate' }), 1);
    await exporter.kill('SIGTERM');
  },
);

/** An exporter with so many answered callbacks, and more under way on 16 connections. */
async function underLoad(answeredMin: number, nodeArgs: string[] = []) {
  const exporter = await startExporter({ nodeArgs, cwd: temporaryDirectory() });
  const oracle = new Oracle({ seed: 1 });
  oracle.start(exporter.callbackUrl);
  await until(async () => oracle.answeredCount >= answeredMin, `${answeredMin} answers`);
  return { exporter, oracle };
}

http(
  'SIGTERM under load: everything accepted is answered, exit code 0 within 10 s, and the restart is exact',
  async () => {
    const { exporter, oracle } = await underLoad(500);
    const stoppedAt = performance.now();
    assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
    assert.ok(performance.now() - stoppedAt < 10_000);
    await oracle.stop();
    assert.equal([...oracle.refusals], []);
    const restarted = await startExporter({ journal: exporter.journal });
    // What was never answered was never accepted, either.
    assert.is(await restarted.total(), oracle.acknowledged.size);
    await restarted.kill('SIGKILL');
  },
);

/** How it dies, and under what limits. */
const deaths: {
  name: string;
  signal: NodeJS.Signals;
  nodeArgs: string[];
  isExpected(exit: unknown): boolean;
}[] = [
  {
    name: 'an exception that nobody catches',
    signal: 'SIGUSR2',
    nodeArgs: [],
    isExpected: exit => JSON.stringify(exit) === '{"code":1,"signal":null}',
  },
  {
    name: 'out of memory',
    signal: 'SIGWINCH',
    nodeArgs: ['--max-old-space-size=64'],
    isExpected: exit =>
      ['{"code":null,"signal":"SIGABRT"}', '{"code":134,"signal":null}'].includes(JSON.stringify(exit)),
  },
];
for (const { name, signal, nodeArgs, isExpected } of deaths) {
  http(`${name}: it exits with an error, answers nothing after, and the restart is exact`, async () => {
    const { exporter, oracle } = await underLoad(300, ['--import', faults, ...nodeArgs]);
    const exit = await Promise.race([exporter.kill(signal), delay(10_000, 'it goes on', { ref: false })]);
    assert.ok(isExpected(exit), JSON.stringify(exit));
    const answered = oracle.answeredCount;
    await oracle.stop();
    assert.is(oracle.answeredCount, answered, 'no answer after the end');
    const restarted = await startExporter({ journal: exporter.journal });
    const total = await restarted.total();
    const { acknowledged, unanswered } = oracle;
    assert.ok(total >= acknowledged.size && total <= acknowledged.size + unanswered.size);
    await oracle.sendAgain(restarted.callbackUrl, [...acknowledged, ...unanswered]);
    assert.is(await restarted.total(), oracle.sentCount, 'each is there once');
    await restarted.kill('SIGKILL');
  });
}

http('a second signal ends it at once', async () => {
  const exporter = await startExporter();
  const { socket } = await openSocket(exporter.callbackUrl);
  socket.write(
    requestBytes({ target: `/?${sampleQuery()}`, headers: [['Content-Length', 1_000]], framing: 'own' }),
  );
  // A round trip later the head has been read, too.
  await exporter.isReady();
  exporter.signal('SIGTERM');
  await until(async () => exporter.stdout.includes('"stopping'), 'the stop to begin');
  const signalledAt = performance.now();
  assert.equal(await exporter.kill('SIGTERM'), { code: 137, signal: null });
  assert.ok(performance.now() - signalledAt < 1_000);
});

// What comes out

/** How many of each, spans and log records looked at; process/distinct-values.test.ts sends 100,000. */
const distinctCount = 5_000;
output(
  `${distinctCount} distinct codes, types, platforms, groups and senders: series stay under the cap, the rest is folded and counted`,
  () =>
    target.survives('distinct values', async () => {
      const before = await target.exporter.metrics();
      const statuses: number[] = [];
      // A thousand at once: beyond 2,000 in flight the answer would be 503.
      for (let from = 0; from < distinctCount; from += 1_000) {
        const connections = Array.from({ length: 10 }, (_, connection) => {
          const requests = Array.from({ length: 100 }, (_, index) => {
            const number = from + connection * 100 + index;
            return requestBytes({
              target: `/?${target.query({ OptPlatform: `platform${number}` })}`,
              body: privateBody({
                ErrorCode: 2_000_000 + number,
                Type: `type${number}`,
                GroupId: `@TGS#${number}`,
                From_Account: `canary${number}`,
              }),
              isLast: index === 99,
            });
          });
          return exchange(target.exporter.callbackUrl, Buffer.concat(requests));
        });
        statuses.push(...(await Promise.all(connections)).flatMap(statusesOf));
      }
      assert.equal(tally(statuses), { 200: distinctCount });
      const after = await target.exporter.metrics();
      const folded = 'tencent_chat_label_values_folded_total';
      const newSeries = after.list(exceptionsTotal).length - before.list(exceptionsTotal).length;
      // One platform, type and initiator: a series for each code that kept its number, and one for the others.
      assert.ok(newSeries <= codesMax + 1, `${newSeries} more series`);
      assert.is(after.sum(folded) - before.sum(folded), distinctCount - (newSeries - 1));
      const labels = { platform: { other: distinctCount }, group_type: { other: distinctCount } };
      return { counted: distinctCount, labels };
    }),
);

const terminators = ['\r\n', '\n', '\u2028', '\u2029', '\u0085', '\u001b[2J\u001b[31m', '\u0000', '\u202e'];
const forgedLine = '{"time":"2026-01-01T00:00:00.000Z","level":"error","message":"forged"}';
const forgedText = terminators.map(end => `${end}${forgedLine}${end}forged_total 1`).join('');

output(
  'ErrorInfo and message text with CR, LF, ANSI, U+2028, or 100 kB: no forged line anywhere, and cut',
  () =>
    target.survives('hostile texts', async () => {
      const stdoutBefore = target.exporter.stdout;
      const texts = [forgedText, 'x'.repeat(100_000), `${'\u001b[5m'.repeat(12_000)}`];
      for (const text of texts) {
        const body = privateBody({
          ErrorInfo: text,
          MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }],
        });
        assert.equal(await sendParts({ body }), [200]);
        // And in what is refused, whose body the status page might show.
        assert.equal(await sendParts({ body: `<script>${text}` }), [400]);
      }
      assert.is(target.exporter.stdout, stdoutBefore, 'nothing is logged of a callback');
      const { collector } = target;
      const bodies = () => collector.logRecords.map(({ fields }) => String(fields.body));
      await collector.until(() => bodies().filter(body => body.length === 1_024).length >= 2);
      assert.ok(bodies().every(body => body.length <= 1_024));
      const page = (await target.exporter.get('/')).body;
      assert.not.match(page, /<script|forged/);
      return { counted: 3, rejected: { malformed: 3 }, invalid: { ErrorInfo: 2 } };
    }),
);

output(
  'what comes out after all of it: promtool and OpenMetrics find nothing, and no series is forged',
  async () => {
    const text = (await target.exporter.get('/metrics')).body;
    assert.is(promtoolCheckMetrics(text), '');
    assert.not.match(text, /NaN|forged|canary|undefined|\[object/);
    await target.isSound(await target.exporter.metrics());
  },
);

checkDelivery(output);

output('canaries of all attacks, Sign, tokens and the client’s address: nowhere', async () => {
  const { exporter, collector } = target;
  const page = async (path: string, headers?: Record<string, string>) =>
    (await exporter.get(path, headers)).body;
  const places: Record<string, Buffer> = {
    answers: Buffer.from(answers, 'latin1'),
    metrics: Buffer.from(await page('/metrics')),
    openmetrics: Buffer.from(await page('/metrics', { Accept: openMetricsType })),
    'status page': Buffer.from(await page('/')),
    'api status': Buffer.from(await page('/api/status')),
    otlp: Buffer.concat(collector.rawBodies),
    journal: Buffer.concat(globSync(`${exporter.journal}{,-wal,-count}`).map(file => readFileSync(file))),
    stdout: Buffer.from(exporter.stdout),
  };
  for (const [place, content] of Object.entries(places)) {
    assert.ok(content.length > 100, `something was looked at: ${place}`);
    for (const word of ['canary', clientAddress, ...Object.values(tokens), 'Sign=', 'RequestTime=']) {
      assert.is(content.indexOf(word), -1, `${word} in ${place}`);
    }
  }
});

// The exporter logs nothing of a callback; the words of an OTLP endpoint it does.
output(
  'an OTLP endpoint that answers with CR, LF, ANSI, U+2028 and 100 kB: one line of the log each, cut',
  async () => {
    const { exporter, collector } = target;
    const linesBefore = exporter.logLines.length;
    collector.behave({ type: 'partial', rejected: 0, message: forgedText + 'x'.repeat(100_000) });
    assert.equal(await sendParts({}), [200]);
    const told = () => exporter.logLines.slice(linesBefore);
    await until(async () => told().length >= signals.length, 'the log to tell it');
    assert.is(told().length, signals.length);
    for (const line of told()) {
      assert.is(line.level, 'warn');
      assert.ok(JSON.stringify(line).length < 4_000);
    }
    assert.not.ok(exporter.stdout.split('\n').includes(forgedLine));
    assert.not.match(exporter.stdout, /[\p{Zl}\p{Zp}\p{Bidi_Control}]|(?!\n)\p{Cc}/u);
  },
);

output(
  'kill -9 after all of it: the restart has every series with its value, and its caps stay full',
  async () => {
    const { exporter } = target;
    const before = await exporter.metrics();
    await exporter.kill('SIGKILL');
    const restarted = await startExporter({ journal: exporter.journal });
    const after = await restarted.metrics();
    const series = (samples: typeof before) =>
      samples
        .list(exceptionsTotal)
        .map(sample => JSON.stringify(sample))
        .sort();
    assert.equal(series(after), series(before));
    for (let code = 3_000_000; code < 3_000_010; code += 1) {
      assert.is((await restarted.post(privateBody({ ErrorCode: code }))).status, 200);
    }
    const folded = await restarted.metrics();
    assert.is(folded.sum('tencent_chat_label_values_folded_total'), 10);
    assert.is(folded.sum(exceptionsTotal), before.sum(exceptionsTotal) + 10);
    await restarted.kill('SIGKILL');
  },
);

// The tables

for (const [section, { name, requests, statuses, leaves }] of rows) {
  section(`${name}: ${[...new Set(statuses)].join(', ')}`, () =>
    target.survives(name, async () => {
      const answered = await Promise.all(requests.map(sendParts));
      assert.equal(answered.flat().sort(byNumber), statuses.toSorted(byNumber));
      return leaves;
    }),
  );
}

for (const section of [authenticity, parser, http]) checkDelivery(section);

authenticity.run();
parser.run();
http.run();
output.run();
