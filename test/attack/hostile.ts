/**
 * What a fuzzer sends: bodies made of plausible, odd and missing fields; bodies whose bytes were mutated from fixtures;
 * queries and headers that were tampered with. All of it from fast-check, so that a seed repeats a run and a failure is
 * shrunk to the least that still fails.
 */
import fc from 'fast-check';
import { sign } from '../../src/callback/authenticate.ts';
import { fieldNames } from '../../src/callback/exception.ts';
import { type Headers, requestBytes } from '../support/raw-socket.ts';
import { sampleBody, sampleBodyWith, sampleQuery, triggers } from '../support/samples.ts';

/** Texts that have broken receivers, encoders or logs before. */
const nastyTexts = [
  '',
  ' ',
  '\0',
  '\ufeff',
  '\ud800',
  '\u2028',
  '\r\n',
  '\u001b[31m',
  '"} 1\nforged_total{x="',
  'a",b="c',
  '\\',
  'NaN',
  'Infinity',
  '1e400',
  '-0',
  '__proto__',
  'constructor',
  'undefined',
  '%00%ff%',
  '{"a":1}',
  'x'.repeat(300),
  'é'.repeat(1_100),
];
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 24 }),
  fc.constantFrom(...nastyTexts),
  fc.string({ maxLength: 12 }),
);

/** JSON as it is written, so that it may be what JSON.stringify never writes. */
const oddSource = fc.oneof(
  text.map(value => JSON.stringify(value)),
  fc.constantFrom(
    ...[
      'null',
      'true',
      'false',
      '[]',
      '{}',
      '[[]]',
      '""',
      '0',
      '-0',
      '-1',
      '0.5',
      '1e400',
      '-1e400',
      '1e-400',
    ],
    ...['9007199254740993', '4294967296', '7'.repeat(400), '1670574414', '99999999999999'],
    ...['"1e3"', '"-1"', '" 1"', '{"toString":1}', '{"__proto__":{"GroupId":"x"}}'],
  ),
  fc.integer().map(String),
  fc.double().map(value => JSON.stringify(value)),
  fc.json({ maxDepth: 3 }),
);

/** Few of each, so that the number of series stays one that can be checked often. */
const plausible: Record<string, fc.Arbitrary<unknown>> = {
  CallbackCommand: fc.constantFrom('Group.CallbackSendMsgException', 'Group.CallbackAfterSendMsg'),
  GroupId: fc.nat(300).map(number => `@TGS#${number}`),
  Type: fc.constantFrom('Public', 'AVChatRoom', 'Work'),
  TopicId: fc.nat(30).map(number => `@TGS#_@TOPIC#_${number}`),
  From_Account: fc.nat(5_000).map(number => `user${number}`),
  Operator_Account: fc.constantFrom('administrator', 'user1'),
  Random: fc.nat(0xffff_ffff),
  OnlineOnlyFlag: fc.constantFrom(0, 1),
  MsgBody: fc.array(
    fc.record({
      MsgType: fc.constantFrom('TIMTextElem', 'TIMCustomElem', 'TIMNewElem'),
      MsgContent: fc.record({ Text: text }, { requiredKeys: [] }),
    }),
    { maxLength: 4 },
  ),
  ErrorCode: fc.oneof(fc.constantFrom(...triggers.map(({ errorCode }) => errorCode)), fc.integer()),
  ErrorInfo: text,
  EventTime: fc.integer({ min: 1_600_000_000_000, max: 1_700_000_000_000 }).map(String),
};

const plausibleFields = Object.entries(plausible).map(([name, value]) =>
  fc.tuple(
    fc.constant(JSON.stringify(name)),
    fc.oneof(
      { weight: 6, arbitrary: value.map(plain => JSON.stringify(plain)) },
      { weight: 2, arbitrary: oddSource },
      { weight: 1, arbitrary: fc.constant(null) },
    ),
  ),
);
const strangeName = fc.oneof(
  fc.constantFrom(
    ...fieldNames,
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    'SdkAppid',
    'length',
  ),
  text,
);
const strangeFields = fc.array(
  fc.tuple(
    strangeName.map(name => JSON.stringify(name)),
    oddSource,
  ),
  { maxLength: 3 },
);

const structured: fc.Arbitrary<Buffer> = fc
  .tuple(fc.tuple(...plausibleFields), strangeFields, fc.boolean())
  .map(([plain, strange, isStrangeLast]) => {
    const fields = isStrangeLast ? [...plain, ...strange] : [...strange, ...plain];
    const written = fields
      .filter(([, source]) => source !== null)
      .map(([name, source]) => `${name}:${source}`);
    return Buffer.from(`{${written.join(',')}}`);
  });

/** Whole bodies to begin from: the sample, and what is slow or odd to parse. */
const fixtures = [
  sampleBody(),
  sampleBody({ EventTime: 1_670_574_414_123, ErrorCode: '80001' }),
  sampleBody({ TopicId: '@TGS#_a@TOPIC#_b', GroupId: '@TGS#_a', Type: 'Community' }),
  sampleBody({ ErrorInfo: nastyTexts.join(' '), MsgBody: [{}, null, 1, { MsgType: 'TIMTextElem' }] }),
  sampleBodyWith('MsgBody', '['.repeat(500) + ']'.repeat(500)),
  sampleBodyWith('Random', '7'.repeat(1_000)),
  `{"__proto__":{"GroupId":"polluted"},${sampleBody().slice(1)}`,
  `\ufeff${sampleBody()}`,
  '{}',
  '[]',
  '',
].map((fixture): Buffer => Buffer.from(fixture));

/** Places are shares of the length, so that a mutation means something in any body. */
const place = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const snippet = fc.oneof(
  fc.uint8Array({ minLength: 1, maxLength: 6 }).map(bytes => Buffer.from(bytes)),
  fc
    .constantFrom(
      ...[
        '"',
        '\\',
        '\\u0000',
        '\\ud800',
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '1e400',
        '-',
        'null',
        '"__proto__":{},',
      ],
      ...['\0', '\n', '\u2028', '//', '/*', "'"],
    )
    .map(token => Buffer.from(token)),
);
type Mutation = (bytes: Buffer) => Buffer;
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.nat(7)).map(
    ([at, bit]): Mutation =>
      bytes => {
        const flipped = Buffer.from(bytes);
        const index = Math.floor(at * bytes.length);
        if (index < bytes.length) flipped[index]! ^= 1 << bit;
        return flipped;
      },
  ),
  fc.tuple(place, snippet).map(
    ([at, inserted]): Mutation =>
      bytes => {
        const index = Math.floor(at * bytes.length);
        return Buffer.concat([bytes.subarray(0, index), inserted, bytes.subarray(index)]);
      },
  ),
  fc.tuple(place, snippet).map(
    ([at, written]): Mutation =>
      bytes => {
        const index = Math.floor(at * bytes.length);
        return Buffer.concat([bytes.subarray(0, index), written, bytes.subarray(index + written.length)]);
      },
  ),
  fc.tuple(place, fc.nat(40)).map(
    ([at, count]): Mutation =>
      bytes => {
        const index = Math.floor(at * bytes.length);
        return Buffer.concat([bytes.subarray(0, index), bytes.subarray(index + count)]);
      },
  ),
  fc.tuple(place, fc.nat(60)).map(
    ([at, count]): Mutation =>
      bytes => {
        const index = Math.floor(at * bytes.length);
        return Buffer.concat([bytes.subarray(0, index + count), bytes.subarray(index)]);
      },
  ),
  place.map(
    (at): Mutation =>
      bytes =>
        bytes.subarray(0, Math.floor(at * bytes.length)),
  ),
);
const mutated: fc.Arbitrary<Buffer> = fc
  .tuple(fc.oneof(fc.constantFrom(...fixtures), structured), fc.array(mutation, { maxLength: 4 }))
  .map(([fixture, mutations]) => mutations.reduce<Buffer>((bytes, mutate) => mutate(bytes), fixture));

/** Of any of these kinds; most are JSON objects, so that what is behind the parser is reached. */
export const hostileBody: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 3, arbitrary: structured },
  { weight: 3, arbitrary: mutated },
);

/** Parameters that reach the labels and the identity; the signature is right. */
export const hostileParameters = fc.record(
  { OptPlatform: fc.oneof(fc.constantFrom('Android', 'RESTAPI'), text), ClientIP: text },
  { requiredKeys: [] },
);

// Requests

const parameterNames = ['SdkAppid', 'CallbackCommand', 'ClientIP', 'OptPlatform', 'Sign', 'RequestTime'];
type QueryChange = (parameters: [string, string][]) => [string, string][];
const at = fc.constantFrom(...parameterNames, 'OptPlatform', 'OptPlatform');
const queryChange: fc.Arbitrary<QueryChange> = fc.oneof(
  at.map(
    (name): QueryChange =>
      list =>
        list.filter(([known]) => known !== name),
  ),
  at.map(
    (name): QueryChange =>
      list => [...list, ...list.filter(([known]) => known === name)],
  ),
  at.map(
    (name): QueryChange =>
      list =>
        list.map(([known, value]) => [known === name ? known.toLowerCase() : known, value]),
  ),
  fc.tuple(at, text).map(
    ([name, value]): QueryChange =>
      list => [...list.filter(([known]) => known !== name), [name, value]],
  ),
  fc.tuple(text, text).map(
    ([name, value]): QueryChange =>
      list => [[name, value], ...list],
  ),
);

export interface HostileRequest {
  method: string;
  path: string;
  changes: QueryChange[];
  /** Put behind the query as it is. */
  rawQuery: string;
  offsetSeconds: number;
  headers: Headers;
  /** As written before the empty line: may break the framing. */
  rawHeader: string;
  framing: 'length' | 'chunked';
  body: Buffer;
}

/** Most of the time what is usual. */
const seldom = <T>(usual: T, odd: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: odd });

/** No line breaks and no NUL, which would make another header of it: that is `rawHeader`. */
const headerValue = text.map(value => value.replace(/[\r\n\0]/g, '').toWellFormed());

export const hostileRequest: fc.Arbitrary<HostileRequest> = fc.record({
  method: seldom<string>(
    'POST',
    fc.constantFrom('GET', 'PUT', 'HEAD', 'OPTIONS', 'post', 'DELETE', 'PROPFIND'),
  ),
  path: seldom<string>(
    '/',
    fc.constantFrom('/metrics', '//', '/%00', '/%ff', '/..', '*', 'http://x/', '/é', '/;'),
  ),
  changes: fc.oneof(
    { weight: 2, arbitrary: fc.constant<QueryChange[]>([]) },
    { weight: 1, arbitrary: fc.array(queryChange, { maxLength: 3 }) },
  ),
  rawQuery: seldom<string>(
    '',
    fc.constantFrom('&', '&&&=&=', '&%', '&Sign', '#x', '?', '&SdkAppid[]=1', '&a=%ff%fe', '&;'),
  ),
  offsetSeconds: seldom(0, fc.integer({ min: -3_600, max: 3_600 })),
  headers: fc.array(
    fc.tuple(
      fc.constantFrom('Content-Type', 'X-Forwarded-For', 'User-Agent', 'Cookie', 'Accept', 'Origin', 'X-Odd'),
      headerValue,
    ),
    { maxLength: 2 },
  ),
  rawHeader: seldom<string>(
    '',
    fc.oneof(
      fc.constantFrom(
        ...['Content-Encoding: gzip', 'Content-Encoding: identity', 'Expect: 100-continue', 'Expect: x'],
        ...[
          'Content-Length: 5',
          'Content-Length: 99999999',
          'Transfer-Encoding: chunked',
          'Transfer-Encoding: x',
        ],
        ...[
          'Connection: keep-alive',
          'Upgrade: h2c',
          'Host: again',
          'X: \0',
          ': x',
          'no colon',
          ' folded: x',
          '\r\n',
        ],
      ),
      text.map(value => `X-Raw: ${value}`),
    ),
  ),
  framing: seldom<'length' | 'chunked'>('length', fc.constant('chunked')),
  body: hostileBody,
});

/** The bytes of a request, signed now. */
export function hostileBytes(request: HostileRequest, token: string): Buffer {
  const requestTime = String(Math.floor(Date.now() / 1000) + request.offsetSeconds);
  const signed = [
    ...new URLSearchParams(sampleQuery({ RequestTime: requestTime, Sign: sign(token, requestTime) })),
  ] as [string, string][];
  const parameters = request.changes.reduce((list, change) => change(list), signed);
  const query = new URLSearchParams(parameters).toString();
  const bytes = requestBytes({
    method: request.method,
    target: `${request.path}?${query}${request.rawQuery}`,
    headers: request.headers,
    framing: request.framing,
    body: request.body,
  });
  if (request.rawHeader === '') return bytes;
  const firstLineEnd = bytes.indexOf('\r\n') + 2;
  return Buffer.concat([
    bytes.subarray(0, firstLineEnd),
    Buffer.from(`${request.rawHeader}\r\n`),
    bytes.subarray(firstLineEnd),
  ]);
}
