import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createClassifier } from '../../src/callback/classify.ts';
import { createIdentifier } from '../../src/callback/identify.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { parseBody, readException } from '../../src/callback/parse.ts';
import { decodeRecord, encodeRecord, type Privacy, toRecord } from '../../src/callback/record.ts';
import { sampleBody, sampleQuery, sampleReceivedAt } from '../support/samples.ts';

const record = suite('record');
const privacy = suite('privacy');

const identifier = createIdentifier('0123456789abcdef'.repeat(4));
const classifier = createClassifier({ adminAccounts: new Set(), admittedCodes: [] });

function recordOf(overrides: Record<string, unknown> = {}, settings: Partial<Privacy> = {}) {
  const parameters = parseParameters(sampleQuery());
  const body = parseBody(sampleBody(overrides))!;
  // Read with its text, so that leaving it out is seen to be the record's own doing.
  const exception = readException(body, parameters, sampleReceivedAt, { withMessageText: true });
  const ids = identifier.identify(exception.identityParts, exception.eventTime);
  const chosen: Privacy = { userIds: 'hashed', messageContent: 'omitted', ...settings };
  return toRecord(exception, classifier.classify(exception), ids, chosen, identifier);
}

record('holds what is delivered of the sample', () => {
  assert.equal(recordOf(), {
    ...identifier.identify(
      ['1400000001', '@TGS#2J4SZEAEL', '', 'jared', '123456', '10023', '1670574414123'],
      1670574414123,
    ),
    occurredAt: 1670574414123,
    receivedAt: sampleReceivedAt,
    labels: {
      sdk_app_id: '1400000001',
      error_code: '10023',
      error_category: 'rate_limited',
      group_type: 'Public',
      platform: 'Android',
      initiator: 'user',
    },
    errorName: 'group_send_msg_freq_limit',
    errorInfo: 'msg count exceeds limit,please retry later',
    errorCode: 10023,
    groupId: '@TGS#2J4SZEAEL',
    topicId: null,
    isOnlineOnly: true,
    elementTypes: ['TIMTextElem'],
    random: 123456,
    userHash: identifier.hashAccount('jared'),
    userId: null,
    clientAddress: null,
    messageText: null,
  });
});

record('is never received before it occurred', () => {
  const ahead = sampleReceivedAt + 30_000;
  const { occurredAt, receivedAt } = recordOf({ EventTime: ahead });
  assert.equal([occurredAt, receivedAt], [ahead, ahead]);
});

record('keeps the number of a code whose label was folded', () => {
  for (let code = 700_000; code < 700_100; code += 1) recordOf({ ErrorCode: code });
  const folded = recordOf({ ErrorCode: 700_100 });
  assert.equal([folded.labels.error_code, folded.errorCode, folded.errorName], ['other', 700_100, null]);
});

record('has no code where there was none, or none that is an integer', () => {
  assert.is(recordOf({ ErrorCode: undefined }).errorCode, null);
  assert.is(recordOf({ ErrorCode: 1.5 }).errorCode, null);
});

const all: Partial<Privacy> = { userIds: 'plain', messageContent: 'included' };
const storable: [string, Record<string, unknown>, Partial<Privacy>][] = [
  ['the sample', {}, {}],
  ['all that may be known', { TopicId: 'topic' }, all],
  ['control characters and U+2028', { ErrorInfo: 'a\u0000\r\n\u001b\u2028', GroupId: '\u0000' }, all],
  ['a lone surrogate', { ErrorInfo: '\ud800', From_Account: '\udfff' }, all],
  [
    'hardly anything',
    { GroupId: 1, From_Account: 1, Random: 'x', ErrorCode: {}, MsgBody: 1, OnlineOnlyFlag: 2 },
    {},
  ],
];
for (const [what, overrides, settings] of storable) {
  record(`comes back from its form as it was, with ${what}`, () => {
    const before = recordOf(overrides, settings);
    const text = encodeRecord(before);
    assert.equal(decodeRecord(text), before);
    assert.ok(
      [...text].every(character => character >= ' '),
      'no control character is left in the form',
    );
    assert.ok(text.isWellFormed());
  });
}

record('has this form in version 1: journals hold it', () => {
  const text =
    '[1,"1400000001","10023","rate_limited","Public","Android","user",' +
    '"00000000000000000000000000000001","0000000000000002",1670574414123,1670574414209,' +
    '"group_send_msg_freq_limit","info",10023,"group","topic",true,["TIMTextElem"],7,"hash","id","203.0.113.7","text"]';
  const decoded = decodeRecord(text);
  assert.equal(decoded, {
    traceId: '00000000000000000000000000000001',
    spanId: '0000000000000002',
    occurredAt: 1670574414123,
    receivedAt: 1670574414209,
    labels: {
      sdk_app_id: '1400000001',
      error_code: '10023',
      error_category: 'rate_limited',
      group_type: 'Public',
      platform: 'Android',
      initiator: 'user',
    },
    errorName: 'group_send_msg_freq_limit',
    errorInfo: 'info',
    errorCode: 10023,
    groupId: 'group',
    topicId: 'topic',
    isOnlineOnly: true,
    elementTypes: ['TIMTextElem'],
    random: 7,
    userHash: 'hash',
    userId: 'id',
    clientAddress: '203.0.113.7',
    messageText: 'text',
  });
  assert.is(encodeRecord(decoded), text);
});

for (const [what, text, message] of [
  ['a form of another version', encodeRecord(recordOf()).replace('[1,', '[2,'), /has form 2, expected 1/],
  ['a longer form of another version', '[3,"secret"]', /has form 3, expected 1/],
  ['an object', '{"secret":1}', /not a JSON array/],
  ['text that is not JSON', '[1,"secret"', /not a JSON array/],
] as const) {
  record(`refuses ${what}, without quoting it`, () => {
    assert.throws(
      () => decodeRecord(text),
      (error: Error) => message.test(error.message) && !error.message.includes('secret'),
    );
  });
}

const visibility: [Privacy['userIds'], boolean, boolean, boolean][] = [
  ['hashed', true, false, false],
  ['plain', false, true, true],
  ['omitted', false, false, false],
];
for (const [userIds, hasHash, hasId, hasAddress] of visibility) {
  privacy(
    `USER_IDS=${userIds} lets ${hasHash ? 'the keyed hash' : hasId ? 'ID and address' : 'nothing'} leave`,
    () => {
      const { userHash, userId, clientAddress } = recordOf({}, { userIds });
      assert.is(userHash, hasHash ? identifier.hashAccount('jared') : null);
      assert.is(userId, hasId ? 'jared' : null);
      assert.is(clientAddress, hasAddress ? '203.0.113.7' : null);
    },
  );
}

privacy('MESSAGE_CONTENT=included lets the text leave, omitted does not', () => {
  assert.is(recordOf({}, { messageContent: 'included' }).messageText, 'red packet');
  assert.is(recordOf({}, { messageContent: 'omitted' }).messageText, null);
});

privacy('hashes no one where there is no sender', () => {
  assert.is(recordOf({ From_Account: undefined }).userHash, null);
});

privacy('lets nothing of the operator or the custom data leave under any setting', () => {
  for (const userIds of ['hashed', 'plain', 'omitted'] as const) {
    const overrides = { Operator_Account: 'CANARY-operator', CloudCustomData: 'CANARY-data' };
    assert.not.match(encodeRecord(recordOf(overrides, { userIds, messageContent: 'included' })), /CANARY/);
  }
});

privacy('lets no private field leave by default', () => {
  const overrides = {
    From_Account: 'CANARY-sender',
    MsgBody: [{ MsgType: 'CANARY-type', MsgContent: { Text: 'CANARY-text' } }],
  };
  assert.not.match(encodeRecord(recordOf(overrides)), /CANARY|203\.0\.113\.7/);
});

record.run();
privacy.run();
