import { emptyResource } from '@opentelemetry/resources';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ErrorCategory } from '../../src/callback/exception.ts';
import { toLogRecord, toSpan } from '../../src/telemetry/mapping.ts';
import { sampleRecord } from './support.ts';

const mapping = suite('mapping');
const origin = { resource: emptyResource(), scope: { name: 'tencent-chat-exporter' } };

const privateByDefault = {
  'error.type': '10023',
  'messaging.system': 'tencent_chat',
  'messaging.operation.name': 'send',
  'messaging.operation.type': 'send',
  'messaging.destination.name': '@TGS#1',
  'user.hash': 'c2a1',
  'tencent_chat.sdk_app_id': '1400000001',
  'tencent_chat.error.code': 10023,
  'tencent_chat.error.name': 'ERR_SVR_GROUP_FREQ_LIMIT',
  'tencent_chat.error.category': 'rate_limited',
  'tencent_chat.group.type': 'Public',
  'tencent_chat.platform': 'iOS',
  'tencent_chat.initiator': 'user',
  'tencent_chat.online_only': false,
  'tencent_chat.message.element_types': ['TIMTextElem', 'TIMFaceElem'],
  'tencent_chat.message.random': 2804799576,
};

mapping('a span carries the attributes of the contract, and nothing else', () => {
  assert.equal(toSpan(sampleRecord(), origin).attributes, privateByDefault);
});

mapping('a log record carries the same and its own identity', () => {
  assert.equal(toLogRecord(sampleRecord(), origin).attributes, {
    ...privateByDefault,
    'log.record.uid': '0af7651916cd43dd8448eb211c80319c',
  });
});

mapping('the span lasts from occurrence to receipt, to the millisecond', () => {
  const span = toSpan(sampleRecord(), origin);
  assert.equal(span.startTime, [1670574414, 123_000_000]);
  assert.equal(span.endTime, [1670574414, 456_000_000]);
  assert.equal(span.duration, [0, 333_000_000]);
});

mapping('span and log record are in one context, sampled', () => {
  const context = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 };
  assert.equal(toSpan(sampleRecord(), origin).spanContext(), context);
  assert.equal(toLogRecord(sampleRecord(), origin).spanContext, context);
});

mapping('the status says which error, never the free text', () => {
  assert.equal(toSpan(sampleRecord(), origin).status, { code: 2, message: 'ERR_SVR_GROUP_FREQ_LIMIT' });
  const unknown = sampleRecord({ errorName: null, errorCode: 4711, errorInfo: 'from alice' });
  assert.equal(toSpan(unknown, origin).status, { code: 2, message: '4711' });
});

const severities: [ErrorCategory, number, string][] = [
  ['internal_error', 17, 'ERROR'],
  ['moderated', 9, 'INFO'],
  ['muted', 9, 'INFO'],
  ['rate_limited', 13, 'WARN'],
  ['unknown', 13, 'WARN'],
];
for (const [category, number, text] of severities) {
  mapping(`${category} is logged as ${text}`, () => {
    const labels = { ...sampleRecord().labels, error_category: category };
    const { severityNumber, severityText } = toLogRecord(sampleRecord({ labels }), origin);
    assert.equal([severityNumber, severityText], [number, text]);
  });
}

mapping('what is absent is left out', () => {
  const bare = sampleRecord({
    errorName: null,
    errorCode: null,
    groupId: null,
    isOnlineOnly: null,
    elementTypes: [],
    random: null,
    userHash: null,
  });
  bare.labels.error_code = 'unknown';
  assert.equal(toSpan(bare, origin).attributes, {
    'error.type': 'unknown',
    'messaging.system': 'tencent_chat',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'tencent_chat.sdk_app_id': '1400000001',
    'tencent_chat.error.category': 'rate_limited',
    'tencent_chat.group.type': 'Public',
    'tencent_chat.platform': 'iOS',
    'tencent_chat.initiator': 'user',
  });
});

mapping('what the settings let through is told under its conventional name', () => {
  const open = sampleRecord({
    userHash: null,
    userId: 'alice',
    clientAddress: '2001:db8::1',
    topicId: '@TGS#_1@TOPIC#_2',
    messageText: 'hello',
  });
  const span = toSpan(open, origin).attributes;
  assert.is(span['user.id'], 'alice');
  assert.is(span['client.address'], '2001:db8::1');
  assert.is(span['tencent_chat.topic.id'], '@TGS#_1@TOPIC#_2');
  assert.not('tencent_chat.message.text' in span, 'text is for the log record only');
  assert.is(toLogRecord(open, origin).attributes['tencent_chat.message.text'], 'hello');
});

mapping('a code beyond 64 bits is told as text only', () => {
  const { attributes } = toSpan(sampleRecord({ errorCode: 1e300 }), origin);
  assert.is(attributes['error.type'], '1e+300');
  assert.not('tencent_chat.error.code' in attributes);
});

mapping('lone surrogates are replaced', () => {
  const odd = sampleRecord({ errorInfo: 'a\ud800b', groupId: '\udfff', messageText: '\ud83d' });
  const { body, attributes } = toLogRecord(odd, origin);
  assert.is(body, 'a\ufffdb');
  assert.is(attributes['messaging.destination.name'], '\ufffd');
  assert.is(attributes['tencent_chat.message.text'], '\ufffd');
});

mapping.run();
