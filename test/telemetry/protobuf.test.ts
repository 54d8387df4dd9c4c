import { ProtobufLogsSerializer, ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExceptionRecord } from '../../src/callback/record.ts';
import { toLogRecord, toSpan } from '../../src/telemetry/mapping.ts';
import { createLogsSerializer, createTraceSerializer } from '../../src/telemetry/protobuf.ts';
import { definitions } from '../support/otlp-receiver.ts';
import { sampleRecord } from './support.ts';

const encoding = suite('protobuf');

const origin = {
  resource: resourceFromAttributes({
    'service.name': 'tencent-chat-exporter',
    'host.name': 'ø',
    'process.pid': 7,
  }),
  scope: { name: 'tencent-chat-exporter', version: '0.1.0' },
};

/** Decoded by the published definitions. Fields at their default are the same as fields that are not there. */
function decode(signal: 'Trace' | 'Logs', bytes: Uint8Array | undefined): unknown {
  const type = definitions.lookupType(`Export${signal}ServiceRequest`);
  return type.toObject(type.decode(bytes!), { longs: String, bytes: String, defaults: true });
}

const records: [string, Partial<ExceptionRecord>][] = [
  ['the sample', {}],
  [
    'nothing but what must be there',
    {
      errorName: null,
      errorInfo: '',
      errorCode: null,
      groupId: null,
      random: null,
      userHash: null,
      isOnlineOnly: null,
      elementTypes: [],
    },
  ],
  [
    'everything',
    { topicId: '@TGS#_x@TOPIC#_y', userId: 'jared', clientAddress: '2001:db8::1', messageText: 'red packet' },
  ],
  ['a negative code', { errorCode: -10114 }],
  ['the smallest and largest codes', { errorCode: Number.MIN_SAFE_INTEGER, random: 0xffff_ffff }],
  ['the largest code', { errorCode: Number.MAX_SAFE_INTEGER }],
  [
    'text of two, three and four bytes',
    { errorInfo: 'é 群组 😀', groupId: '群'.repeat(48), userId: '😀'.repeat(20) },
  ],
  [
    'text around the lengths at which its encoding changes',
    { errorInfo: 'x'.repeat(64), groupId: 'x'.repeat(65), userId: 'é'.repeat(63), topicId: 'x'.repeat(127) },
  ],
  ['text of 128 and of 20,000 characters', { groupId: 'x'.repeat(128), messageText: 'y'.repeat(20_000) }],
  ['NUL and control characters', { errorInfo: 'a\u0000b\r\n\u001b[31m' }],
  ['a lone surrogate', { errorInfo: 'a\ud800b' }],
  ['many element types', { elementTypes: Array.from({ length: 11 }, (_, index) => `TIM${index}Elem`) }],
  ['the first and the last millisecond', { occurredAt: 1451606400000, receivedAt: 18446744073709 }],
  ['65,536 seconds on the point', { occurredAt: 25_482 * 65_536_000, receivedAt: 25_482 * 65_536_000 + 999 }],
];

for (const [what, changes] of records) {
  encoding(`decodes to what the SDK's own serializer gives: ${what}`, () => {
    const batch = [sampleRecord(), sampleRecord(changes)];
    const spans = batch.map(record => toSpan(record, origin));
    const logRecords = batch.map(record => toLogRecord(record, origin));
    assert.equal(
      decode('Trace', createTraceSerializer().serializeRequest(spans)),
      decode('Trace', ProtobufTraceSerializer.serializeRequest(spans)),
    );
    assert.equal(
      decode('Logs', createLogsSerializer().serializeRequest(logRecords)),
      decode('Logs', ProtobufLogsSerializer.serializeRequest(logRecords)),
    );
  });
}

encoding('grows for a large batch, and keeps nothing of it for the next', () => {
  const serializer = createTraceSerializer();
  const large = Array.from({ length: 2_000 }, (_, index) =>
    toSpan(sampleRecord({ random: index, groupId: 'g'.repeat(index % 256) }), origin),
  );
  const first = serializer.serializeRequest(large)!;
  const copy = Uint8Array.from(first);
  const small = serializer.serializeRequest(large.slice(0, 1));
  assert.equal(first, copy);
  assert.equal(decode('Trace', first), decode('Trace', ProtobufTraceSerializer.serializeRequest(large)));
  assert.equal(
    decode('Trace', small),
    decode('Trace', ProtobufTraceSerializer.serializeRequest(large.slice(0, 1))),
  );
});

encoding('has nothing to send for no items', () => {
  assert.is(createTraceSerializer().serializeRequest([]), undefined);
  assert.is(createLogsSerializer().serializeRequest([]), undefined);
});

encoding.run();
