import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Exception, FieldName } from '../../src/callback/exception.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { bodyCommand, parseBody, readException } from '../../src/callback/parse.ts';
import {
  sampleBody,
  sampleBodyWith,
  sampleQuery,
  sampleReceivedAt,
  sampleSdkAppId,
} from '../support/samples.ts';

const body = suite('body');
const parse = suite('parse');
const identity = suite('identity');
const hostile = suite('hostile');

interface Given {
  query?: string;
  receivedAt?: number;
  withMessageText?: boolean;
}

function read(text: string, given: Given = {}): Exception {
  const { query = sampleQuery(), receivedAt = sampleReceivedAt, withMessageText = false } = given;
  const parsed = parseBody(text);
  assert.ok(parsed, 'the body is a JSON object');
  return readException(parsed, parseParameters(query), receivedAt, { withMessageText });
}

const readWith = (overrides: Record<string, unknown>, given?: Given) => read(sampleBody(overrides), given);
const partsWith = (name: string, source: string) => read(sampleBodyWith(name, source)).identityParts;

// body

for (const [what, text] of [
  ['empty', ''],
  ['not JSON', 'ActionStatus=OK'],
  ['cut short', sampleBody().slice(0, -1)],
  [
    "Tencent's printed sample, with its comments",
    '{ "GroupId": "@TGS#2J4SZEAEL", // Group ID\n "Type": "Public" }',
  ],
  ['an array', '[{}]'],
  ['null', 'null'],
  ['a string', '"GroupId"'],
  ['a number', '1'],
  ['two objects', '{}{}'],
  ['a byte order mark alone', '\ufeff'],
] as const) {
  body(`is malformed when it is ${what}`, () => {
    assert.is(parseBody(text), null);
  });
}

body('may begin with a byte order mark', () => {
  assert.equal(read(`\ufeff${sampleBody()}`), read(sampleBody()));
});

body('may be an empty object: that is an exception of which nothing is known', () => {
  const exception = read('{}', { query: `SdkAppid=${sampleSdkAppId}` });
  assert.is(exception.errorCode, null);
  assert.is(exception.occurredAt, sampleReceivedAt);
  assert.equal(exception.invalidFields.toSorted(), [
    'ErrorCode',
    'EventTime',
    'From_Account',
    'GroupId',
    'OptPlatform',
    'Random',
    'Type',
  ]);
});

body('tells the command it names, if it is one', () => {
  const commandOf = (text: string) => bodyCommand(parseBody(text)!);
  assert.is(commandOf(sampleBody()), 'Group.CallbackSendMsgException');
  for (const text of ['{}', '{"CallbackCommand":""}', '{"CallbackCommand":7}', '{"CallbackCommand":["a"]}']) {
    assert.is(commandOf(text), undefined, text);
  }
});

// parse

parse("reads every field of Tencent's sample, mended", () => {
  assert.equal(read(sampleBody()), {
    sdkAppId: '1400000001',
    receivedAt: sampleReceivedAt,
    occurredAt: 1670574414123,
    eventTime: 1670574414123,
    errorCode: 10023,
    errorInfo: 'msg count exceeds limit,please retry later',
    groupId: '@TGS#2J4SZEAEL',
    groupType: 'Public',
    topicId: null,
    fromAccount: 'jared',
    operatorAccount: 'admin',
    random: 123456,
    isOnlineOnly: true,
    elementTypes: ['TIMTextElem'],
    messageText: null,
    platform: 'Android',
    clientIp: '203.0.113.7',
    identityParts: ['1400000001', '@TGS#2J4SZEAEL', '', 'jared', '123456', '10023', '1670574414123'],
    invalidFields: [],
  });
});

/** What is normal for some senders: nothing about it is invalid. */
const normal: [string, Record<string, unknown>, Partial<Exception>][] = [
  [
    'EventTime as the string that the sample sends',
    { EventTime: '1670574414123' },
    { occurredAt: 1670574414123 },
  ],
  [
    'EventTime as the integer that mainland pages show',
    { EventTime: 1670574414123 },
    { occurredAt: 1670574414123 },
  ],
  [
    'EventTime ahead of receipt by a minute',
    { EventTime: sampleReceivedAt + 60_000 },
    { occurredAt: sampleReceivedAt + 60_000 },
  ],
  ['EventTime at the first moment of 2016', { EventTime: 1451606400000 }, { occurredAt: 1451606400000 }],
  ['Random beyond int32', { Random: 2804799576 }, { random: 2804799576 }],
  ['Random as a string', { Random: '2804799576' }, { random: 2804799576 }],
  ['Random 0', { Random: 0 }, { random: 0 }],
  ['Random 2^32 - 1', { Random: 4294967295 }, { random: 4294967295 }],
  ['ErrorCode as a string', { ErrorCode: '10023' }, { errorCode: 10023 }],
  ['a negative ErrorCode', { ErrorCode: -302 }, { errorCode: -302 }],
  ['an unknown ErrorCode', { ErrorCode: 987654321 }, { errorCode: 987654321 }],
  ['no Operator_Account, as in old captures', { Operator_Account: undefined }, { operatorAccount: null }],
  ['no OnlineOnlyFlag', { OnlineOnlyFlag: undefined }, { isOnlineOnly: null }],
  ['OnlineOnlyFlag 0', { OnlineOnlyFlag: 0 }, { isOnlineOnly: false }],
  ['OnlineOnlyFlag as a string', { OnlineOnlyFlag: '1' }, { isOnlineOnly: true }],
  ['an empty TopicId', { TopicId: '' }, { topicId: null }],
  ['a TopicId that is null', { TopicId: null }, { topicId: null }],
  ['the topic of a community', { TopicId: '@TGS#_@TGS#cX@TOPIC#_1' }, { topicId: '@TGS#_@TGS#cX@TOPIC#_1' }],
  ['a custom group ID with all that is legal', { GroupId: 'a b/c?d&e#f%g' }, { groupId: 'a b/c?d&e#f%g' }],
  ['a pseudo-account', { From_Account: '@TLS#NOT_FOUND' }, { fromAccount: '@TLS#NOT_FOUND' }],
  ['no CloudCustomData', { CloudCustomData: undefined }, {}],
  ['no MsgBody', { MsgBody: undefined }, { elementTypes: [] }],
  ['no ErrorInfo', { ErrorInfo: undefined }, { errorInfo: '' }],
  ['no CallbackCommand, as one sibling callback', { CallbackCommand: undefined }, {}],
  ['fields that came without notice', { MsgPriority: 'Normal', GroupAtInfo: [{}] }, {}],
  ['a group type yet unknown', { Type: 'Hypergroup' }, { groupType: 'Hypergroup' }],
];
for (const [what, overrides, expected] of normal) {
  parse(`takes ${what}`, () => {
    const exception = readWith(overrides);
    assert.equal(exception.invalidFields, []);
    assert.equal({ ...exception, ...expected }, exception);
  });
}

/** What still counts, with the one field that is invalid. */
const odd: [string, Record<string, unknown>, FieldName, Partial<Exception>][] = [
  ['a missing GroupId', { GroupId: undefined }, 'GroupId', { groupId: null }],
  ['an empty GroupId', { GroupId: '' }, 'GroupId', { groupId: null }],
  ['a GroupId that is a number', { GroupId: 17 }, 'GroupId', { groupId: null }],
  ['a missing Type, of a group that does not exist', { Type: undefined }, 'Type', { groupType: null }],
  ['a Type that is an object', { Type: {} }, 'Type', { groupType: null }],
  ['a missing From_Account', { From_Account: undefined }, 'From_Account', { fromAccount: null }],
  ['a From_Account that is null', { From_Account: null }, 'From_Account', { fromAccount: null }],
  [
    'an Operator_Account that is a list',
    { Operator_Account: ['admin'] },
    'Operator_Account',
    { operatorAccount: null },
  ],
  ['a TopicId that is a number', { TopicId: 1 }, 'TopicId', { topicId: null }],
  ['an ErrorInfo that is an object', { ErrorInfo: {} }, 'ErrorInfo', { errorInfo: '' }],
  ['a missing Random', { Random: undefined }, 'Random', { random: null }],
  ['a Random below zero', { Random: -1490167720 }, 'Random', { random: null }],
  ['a Random of 33 bits', { Random: 4294967296 }, 'Random', { random: null }],
  ['a Random with a fraction', { Random: 1.5 }, 'Random', { random: null }],
  ['a Random that is no number', { Random: '0x1F' }, 'Random', { random: null }],
  ['a Random that is true', { Random: true }, 'Random', { random: null }],
  ['a missing ErrorCode', { ErrorCode: undefined }, 'ErrorCode', { errorCode: null }],
  ['an ErrorCode with a fraction', { ErrorCode: 10023.5 }, 'ErrorCode', { errorCode: 'invalid' }],
  ['an ErrorCode that is an object', { ErrorCode: {} }, 'ErrorCode', { errorCode: 'invalid' }],
  ['an ErrorCode that is a word', { ErrorCode: 'ten' }, 'ErrorCode', { errorCode: 'invalid' }],
  ['an ErrorCode in exponents', { ErrorCode: '1e4' }, 'ErrorCode', { errorCode: 'invalid' }],
  ['an ErrorCode of 2^53', { ErrorCode: 2 ** 53 }, 'ErrorCode', { errorCode: 'invalid' }],
  [
    'a missing EventTime, as in old captures',
    { EventTime: undefined },
    'EventTime',
    { occurredAt: sampleReceivedAt },
  ],
  ['an EventTime in seconds', { EventTime: 1670574414 }, 'EventTime', { occurredAt: sampleReceivedAt }],
  ['an EventTime below zero', { EventTime: -1 }, 'EventTime', { occurredAt: sampleReceivedAt }],
  ['an EventTime before 2016', { EventTime: 1451606399999 }, 'EventTime', { occurredAt: sampleReceivedAt }],
  [
    'an EventTime over a minute ahead',
    { EventTime: sampleReceivedAt + 60_001 },
    'EventTime',
    { occurredAt: sampleReceivedAt },
  ],
  [
    'an EventTime with a fraction',
    { EventTime: 1670574414123.5 },
    'EventTime',
    { occurredAt: sampleReceivedAt },
  ],
  [
    'an EventTime that is a date',
    { EventTime: '2022-12-09T08:26:54Z' },
    'EventTime',
    { occurredAt: sampleReceivedAt },
  ],
  ['an OnlineOnlyFlag of 2', { OnlineOnlyFlag: 2 }, 'OnlineOnlyFlag', { isOnlineOnly: null }],
  ['an OnlineOnlyFlag that is true', { OnlineOnlyFlag: true }, 'OnlineOnlyFlag', { isOnlineOnly: null }],
  ['a MsgBody that is a string', { MsgBody: 'red packet' }, 'MsgBody', { elementTypes: [] }],
  ['a MsgBody that is an object', { MsgBody: { MsgType: 'TIMTextElem' } }, 'MsgBody', { elementTypes: [] }],
  [
    'a MsgBody of which one element is null',
    { MsgBody: [null, { MsgType: 'TIMFaceElem' }] },
    'MsgBody',
    { elementTypes: ['TIMFaceElem'] },
  ],
  ['an element without MsgType', { MsgBody: [{}] }, 'MsgBody', { elementTypes: [] }],
  [
    "another CallbackCommand than the URL's",
    { CallbackCommand: 'Group.CallbackAfterSendMsg' },
    'CallbackCommand',
    {},
  ],
  ['a CallbackCommand that is a number', { CallbackCommand: 1 }, 'CallbackCommand', {}],
];
for (const [what, overrides, field, expected] of odd) {
  parse(`counts ${what}, and names the field`, () => {
    const exception = readWith(overrides);
    assert.equal(exception.invalidFields, [field]);
    assert.equal({ ...exception, ...expected }, exception);
  });
}

parse('counts an EventTime of 1e400 or -1e400, and keeps the time finite', () => {
  for (const source of ['1e400', '-1e400']) {
    const exception = read(sampleBodyWith('EventTime', source));
    assert.is(exception.occurredAt, sampleReceivedAt);
    assert.equal(exception.invalidFields, ['EventTime']);
  }
});

const queries: [string, string, FieldName[], Partial<Exception>][] = [
  ['an IPv6 ClientIP', sampleQuery({ ClientIP: '2001:db8::1' }), [], { clientIp: '2001:db8::1' }],
  ['no ClientIP', sampleQuery({ ClientIP: undefined }), [], { clientIp: null }],
  ['an empty ClientIP', sampleQuery({ ClientIP: '' }), [], { clientIp: null }],
  ['a ClientIP that is no address', sampleQuery({ ClientIP: '203.0.113' }), ['ClientIP'], { clientIp: null }],
  [
    'a ClientIP with an endless zone',
    sampleQuery({ ClientIP: `fe80::1%${'a'.repeat(999)}` }),
    ['ClientIP'],
    { clientIp: null },
  ],
  ['a repeated ClientIP', `${sampleQuery()}&ClientIP=203.0.113.7`, ['ClientIP'], { clientIp: null }],
  ['no OptPlatform', sampleQuery({ OptPlatform: undefined }), ['OptPlatform'], { platform: null }],
  ['an empty OptPlatform', sampleQuery({ OptPlatform: '' }), ['OptPlatform'], { platform: null }],
  ['a repeated OptPlatform', `${sampleQuery()}&optplatform=Web`, ['OptPlatform'], { platform: null }],
  ['a platform yet unknown', sampleQuery({ OptPlatform: 'HarmonyOS' }), [], { platform: 'HarmonyOS' }],
  ['no CallbackCommand', sampleQuery({ CallbackCommand: undefined }), [], {}],
  ['a repeated CallbackCommand', `${sampleQuery()}&CallbackCommand=x`, ['CallbackCommand'], {}],
];
for (const [what, query, invalidFields, expected] of queries) {
  parse(`takes a URL with ${what}`, () => {
    const exception = read(sampleBody(), { query });
    assert.equal(exception.invalidFields, invalidFields);
    assert.equal({ ...exception, ...expected }, exception);
  });
}

parse('takes OptPlatform from the URL only', () => {
  const query = sampleQuery({ OptPlatform: undefined });
  assert.is(readWith({ OptPlatform: 'Web', ClientIP: '203.0.113.9' }, { query }).platform, null);
});

const limits: [FieldName, keyof Exception, number][] = [
  ['GroupId', 'groupId', 256],
  ['Type', 'groupType', 64],
  ['TopicId', 'topicId', 256],
  ['From_Account', 'fromAccount', 256],
  ['Operator_Account', 'operatorAccount', 256],
  ['ErrorInfo', 'errorInfo', 1024],
];
for (const [field, property, charactersMax] of limits) {
  parse(`cuts ${field} at ${charactersMax} characters, and names it when it had to`, () => {
    const atLimit = readWith({ [field]: 'x'.repeat(charactersMax) });
    assert.is(atLimit[property], 'x'.repeat(charactersMax));
    assert.equal(atLimit.invalidFields, []);
    const beyond = readWith({ [field]: 'x'.repeat(charactersMax + 1) });
    assert.is(beyond[property], 'x'.repeat(charactersMax));
    assert.equal(beyond.invalidFields, [field]);
  });
}

parse('keeps nothing of a long text but what it is cut to', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heapBytes = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const before = heapBytes();
  const kept = Array.from(
    { length: 200 },
    (_, index) => readWith({ GroupId: `${index}${'x'.repeat(200_000)}` }).groupId,
  );
  const after = heapBytes();
  assert.is(kept.at(-1)!.length, 256);
  assert.ok(after - before < 10e6, `200 group IDs of 200 kB, cut: ${after - before} bytes`);
});

parse('cuts OptPlatform at 64 characters', () => {
  const exception = read(sampleBody(), { query: sampleQuery({ OptPlatform: 'x'.repeat(65) }) });
  assert.is(exception.platform, 'x'.repeat(64));
  assert.equal(exception.invalidFields, ['OptPlatform']);
});

parse('replaces a lone surrogate, sent as such or left by the cut', () => {
  assert.is(readWith({ GroupId: 'a\ud800b' }).groupId, 'a\ufffdb');
  assert.is(readWith({ Type: `${'x'.repeat(63)}😀` }).groupType, `${'x'.repeat(63)}\ufffd`);
});

parse('keeps NUL and other control characters in what is text', () => {
  assert.is(
    readWith({ ErrorInfo: 'a\u0000b\r\nc\u001b[31m\u2028' }).errorInfo,
    'a\u0000b\r\nc\u001b[31m\u2028',
  );
});

const elementsOf = (...types: string[]) => ({ MsgBody: types.map(MsgType => ({ MsgType, MsgContent: {} })) });

parse('lists the distinct element types in order of appearance', () => {
  const { elementTypes } = readWith(
    elementsOf('TIMTextElem', 'TIMImageElem', 'TIMTextElem', 'TIMVideoFileElem'),
  );
  assert.equal(elementTypes, ['TIMTextElem', 'TIMImageElem', 'TIMVideoFileElem']);
});

parse('keeps an element type yet unknown, and calls what is no type name other', () => {
  const { elementTypes, invalidFields } = readWith(
    elementsOf('TIMHologramElem', 'secret', 'TIM"}Elem', `TIM${'x'.repeat(41)}Elem`, 'TIMElem'),
  );
  assert.equal(elementTypes, ['TIMHologramElem', 'other']);
  assert.equal(invalidFields, []);
});

parse('lists ten element types at most, the rest as one other', () => {
  const types = Array.from({ length: 1000 }, (_, index) => `TIMx${index}Elem`);
  assert.equal(readWith(elementsOf(...types)).elementTypes, [...types.slice(0, 10), 'other']);
  assert.equal(readWith(elementsOf(...types.slice(0, 10))).elementTypes, types.slice(0, 10));
});

const textElement = (Text: unknown) => ({ MsgType: 'TIMTextElem', MsgContent: { Text } });

parse('reads no message text unless told to', () => {
  assert.is(read(sampleBody()).messageText, null);
  assert.is(read(sampleBody(), { withMessageText: true }).messageText, 'red packet');
});

parse('joins the texts of all text elements, and of no other', () => {
  const image = { MsgType: 'TIMCustomElem', MsgContent: { Text: 'not this' } };
  const MsgBody = [textElement('one'), image, textElement('two')];
  assert.is(readWith({ MsgBody }, { withMessageText: true }).messageText, 'one\ntwo');
});

parse('finds no message text where there is none', () => {
  for (const MsgBody of [
    undefined,
    [],
    'x',
    [textElement(7)],
    [{ MsgType: 'TIMTextElem' }],
    [{ MsgType: 'TIMFaceElem' }],
  ]) {
    assert.is(readWith({ MsgBody }, { withMessageText: true }).messageText, null);
  }
});

parse('cuts the message text at 4,096 characters', () => {
  const MsgBody = [textElement('x'.repeat(4095)), textElement('y')];
  assert.is(readWith({ MsgBody }, { withMessageText: true }).messageText, `${'x'.repeat(4095)}\n`);
});

// identity

identity('does not tell a quoted number from the number', () => {
  for (const [name, digits] of [
    ['EventTime', '1670574414123'],
    ['Random', '2804799576'],
    ['ErrorCode', '10023'],
  ] as const) {
    assert.equal(partsWith(name, digits), partsWith(name, `"${digits}"`));
    assert.ok(partsWith(name, digits).includes(digits));
  }
});

identity('tells 2^53 from 2^53 + 1, in every number', () => {
  for (const name of ['EventTime', 'Random', 'ErrorCode']) {
    assert.not.equal(partsWith(name, '9007199254740992'), partsWith(name, '9007199254740993'));
    assert.not.equal(partsWith(name, '"9007199254740992"'), partsWith(name, '"9007199254740993"'));
  }
});

identity('differs as soon as one of its fields does', () => {
  const before = JSON.stringify(read(sampleBody()).identityParts);
  for (const overrides of [
    { GroupId: 'other' },
    { TopicId: 'other' },
    { From_Account: 'other' },
    { Random: 123457 },
    { ErrorCode: 10017 },
    { EventTime: '1670574414124' },
  ]) {
    assert.is.not(JSON.stringify(readWith(overrides).identityParts), before, JSON.stringify(overrides));
  }
  const query = sampleQuery({ SdkAppid: '1400000002' });
  assert.is.not(JSON.stringify(read(sampleBody(), { query }).identityParts), before);
});

identity('is the same whatever else may change when a callback is sent again', () => {
  const before = read(sampleBody()).identityParts;
  const query = sampleQuery({
    RequestTime: '1670574999',
    Sign: 'f'.repeat(64),
    ClientIP: undefined,
    OptPlatform: 'Web',
  });
  assert.equal(
    readWith({ ErrorInfo: 'other', Type: undefined, MsgBody: [] }, { query }).identityParts,
    before,
  );
});

identity('does not depend on when the callback was received, however implausible its EventTime', () => {
  const ahead = sampleBody({ EventTime: sampleReceivedAt + 61_000 });
  const first = read(ahead);
  const again = read(ahead, { receivedAt: sampleReceivedAt + 5_000 });
  assert.equal(first.invalidFields, ['EventTime']);
  assert.equal(again.invalidFields, []);
  assert.equal(again.identityParts, first.identityParts);
});

identity('is built from the uncut text', () => {
  const long = 'g'.repeat(256);
  assert.not.equal(
    readWith({ GroupId: `${long}1` }).identityParts,
    readWith({ GroupId: `${long}2` }).identityParts,
  );
});

for (const name of ['EventTime', 'Random', 'ErrorCode']) {
  identity(`without ${name} is that of the body: same bytes same identity, other bytes another`, () => {
    const body = sampleBody({ [name]: undefined });
    assert.equal(read(body, { receivedAt: sampleReceivedAt + 9 }).identityParts, read(body).identityParts);
    const other = sampleBody({ [name]: undefined, ErrorInfo: 'other' });
    assert.not.equal(read(other).identityParts, read(body).identityParts);
  });
}

identity('takes a GroupId of another type as it takes none', () => {
  assert.equal(readWith({ GroupId: {} }).identityParts, readWith({ GroupId: undefined }).identityParts);
});

// hostile

const hostileBodies: [string, string][] = [
  ['60,000 nested arrays', sampleBodyWith('MsgBody', '['.repeat(60_000) + ']'.repeat(60_000))],
  ['40,000 nested objects', sampleBodyWith('MsgBody', `${'{"a":'.repeat(40_000)}1${'}'.repeat(40_000)}`)],
  [
    '14,000 keys',
    `{${Array.from({ length: 14_000 }, (_, index) => `"key${index}":1,`).join('')}${sampleBody().slice(1)}`,
  ],
  ['a Random of 120,000 digits', sampleBodyWith('Random', '1'.repeat(120_000))],
  ['an ErrorCode of 120,000 digits in quotes', sampleBodyWith('ErrorCode', `"${'1'.repeat(120_000)}"`)],
  ['80,000 empty elements', sampleBodyWith('MsgBody', `[${'{},'.repeat(79_999)}{}]`)],
  ['a GroupId of 250,000 characters', sampleBody({ GroupId: 'g'.repeat(250_000) })],
];
for (const [what, text] of hostileBodies) {
  hostile(`${what}: read at once, with the fields that are sound`, () => {
    const startedAt = performance.now();
    const exception = read(text, { withMessageText: true });
    JSON.stringify(exception);
    const elapsedMs = performance.now() - startedAt;
    assert.is(exception.fromAccount, 'jared');
    assert.is(exception.invalidFields.length, what === '14,000 keys' ? 0 : 1);
    // 10 ms on an idle machine. What would block the event loop for seconds is what must not get in here.
    assert.ok(elapsedMs < 1_000, `took ${elapsedMs} ms`);
  });
}

hostile('__proto__ and constructor.prototype: counted, and no prototype touched', () => {
  const poison = '"__proto__":{"GroupId":"x","polluted":1},"constructor":{"prototype":{"polluted":1}},';
  const exception = read(`{${poison}${sampleBody({ GroupId: undefined }).slice(1)}`);
  assert.is(exception.groupId, null);
  assert.is(exception.errorCode, 10023);
  assert.is(({} as Record<string, unknown>).polluted, undefined);
});

hostile('a polluted Object.prototype: its values are not taken for fields', () => {
  const prototype = Object.prototype as unknown as Record<string, unknown>;
  prototype.TopicId = 'polluted';
  try {
    assert.is(read(sampleBody()).topicId, null);
  } finally {
    delete prototype.TopicId;
  }
});

hostile('every field of every type: never thrown at, always finite', () => {
  const sources = [
    'null',
    'true',
    '0',
    '-0',
    '1e400',
    '-1e400',
    '1.5',
    '""',
    '"\\ud800"',
    '"\\u0000"',
    '[]',
    '[[]]',
    '{}',
  ];
  const names = [
    'CallbackCommand',
    'GroupId',
    'Type',
    'TopicId',
    'From_Account',
    'Operator_Account',
    'Random',
  ];
  for (const name of [...names, 'OnlineOnlyFlag', 'MsgBody', 'ErrorCode', 'ErrorInfo', 'EventTime']) {
    for (const source of sources) {
      const exception = read(sampleBodyWith(name, source), { withMessageText: true });
      assert.ok(Number.isFinite(exception.occurredAt));
      assert.ok(exception.random === null || Number.isFinite(exception.random));
      assert.ok(typeof exception.errorCode !== 'number' || Number.isSafeInteger(exception.errorCode));
      assert.is(new Set(exception.invalidFields).size, exception.invalidFields.length);
    }
  }
});

body.run();
parse.run();
identity.run();
hostile.run();
