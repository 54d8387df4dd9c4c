import { once } from 'node:events';
import { createServer } from 'node:net';
import { emptyResource, resourceFromAttributes } from '@opentelemetry/resources';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Signal } from '../../src/journal/journal.ts';
import { createExporter, listenToSdk, type Verdict } from '../../src/telemetry/exporters.ts';
import type { TelemetryReport } from '../../src/telemetry/report.ts';
import { type Behaviour, type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { sampleRecord, sampleRecords } from './support.ts';

const exporters = suite('exporters');
const origin = {
  resource: resourceFromAttributes({ 'service.name': 'tencent-chat-exporter' }),
  scope: { name: 'tencent-chat-exporter', version: '1.2.3' },
};
const reports: TelemetryReport[] = [];
listenToSdk(report => reports.push(report));

let http: OtlpReceiver;
let grpc: OtlpReceiver;
exporters.before(async () => {
  http = await startOtlpReceiver();
  grpc = await startOtlpReceiver({ protocol: 'grpc' });
});
exporters.after(async () => {
  await http.close();
  await grpc.close();
});
exporters.before.each(() => {
  for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) delete process.env[name];
  // Shorter than the SDK's first pause before it repeats a request, so that each export is one request.
  process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '300';
  reports.length = 0;
  for (const receiver of [http, grpc]) {
    receiver.spans = [];
    receiver.logRecords = [];
    receiver.rawBodies = [];
    receiver.behave({ type: 'accept' });
  }
});

/** Sends `count` records with an exporter built from the environment. */
async function send(signal: Signal, env: Record<string, string>, count = 1): Promise<Verdict> {
  Object.assign(process.env, env);
  const exporter = await createExporter(signal, origin);
  return exporter.export(sampleRecords(count).map(record => exporter.toItem(record)));
}

const delivered = { type: 'delivered', rejected: 0, message: '' };

for (const protocol of ['http/protobuf', 'http/json', 'grpc']) {
  const receiverOf = () => (protocol === 'grpc' ? grpc : http);
  const env = () => ({
    OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
    OTEL_EXPORTER_OTLP_ENDPOINT: receiverOf().endpoint,
  });

  exporters(`${protocol}: span and log record arrive whole, under one trace`, async () => {
    Object.assign(process.env, env());
    const record = sampleRecord({ errorInfo: 'zu viele Nachrichten – später', random: 4294967295 });
    for (const signal of ['traces', 'logs'] as const) {
      const exporter = await createExporter(signal, origin);
      assert.equal(await exporter.export([exporter.toItem(record)]), delivered);
    }
    const [span] = receiverOf().spans;
    const [logRecord] = receiverOf().logRecords;
    for (const received of [span!, logRecord!]) {
      assert.is(received.traceId, '0af7651916cd43dd8448eb211c80319c');
      assert.is(received.spanId, 'b7ad6b7169203331');
      assert.is(received.resource['service.name'], 'tencent-chat-exporter');
      assert.is(received.scope.name, 'tencent-chat-exporter');
      assert.is(received.scope.version, '1.2.3');
      assert.is(received.attributes['error.type'], '10023');
      assert.is(received.attributes['tencent_chat.error.code'], 10023);
      assert.is(received.attributes['tencent_chat.online_only'], false);
      assert.equal(received.attributes['tencent_chat.message.element_types'], ['TIMTextElem', 'TIMFaceElem']);
      assert.is(received.attributes['tencent_chat.message.random'], 4294967295);
    }
    assert.is(span!.fields.name, 'send');
    assert.is(span!.fields.kind, 4, 'SPAN_KIND_PRODUCER');
    assert.is(span!.fields.startTimeUnixNano, '1670574414123000000');
    assert.is(span!.fields.endTimeUnixNano, '1670574414456000000');
    assert.equal(span!.fields.status, { code: 2, message: 'ERR_SVR_GROUP_FREQ_LIMIT' });
    assert.is((span!.fields.flags as number) & 1, 1, 'sampled');
    assert.is(span!.fields.parentSpanId, undefined);
    assert.is(logRecord!.fields.eventName, 'tencent_chat.group_message.send_exception');
    assert.is(logRecord!.fields.timeUnixNano, '1670574414123000000');
    assert.is(logRecord!.fields.observedTimeUnixNano, '1670574414456000000');
    assert.is(logRecord!.fields.severityNumber, 13);
    assert.is(logRecord!.fields.severityText, 'WARN');
    assert.is(logRecord!.fields.body, 'zu viele Nachrichten – später');
    assert.is(logRecord!.attributes['log.record.uid'], '0af7651916cd43dd8448eb211c80319c');
  });

  exporters(`${protocol}: counts what partial_success rejected, for the signal it was said of`, async () => {
    receiverOf().behave(({ signal }) =>
      signal === 'traces' ? { type: 'partial', rejected: 3, message: 'too old' } : { type: 'accept' },
    );
    const [traces, logs] = await Promise.all([send('traces', env(), 10), send('logs', env(), 10)]);
    assert.equal(traces, { type: 'delivered', rejected: 3, message: 'too old' });
    assert.equal(logs, delivered);
    receiverOf().behave({ type: 'partial', rejected: 2, message: '' });
    assert.equal(await send('logs', env(), 10), { type: 'delivered', rejected: 2, message: '' });
    assert.equal(reports, [], 'it is told once');
  });

  exporters(`${protocol}: passes on a warning about a batch that was taken whole`, async () => {
    receiverOf().behave({ type: 'partial', rejected: 0, message: 'use fewer attributes' });
    assert.equal(await send('traces', env()), { ...delivered, message: 'use fewer attributes' });
  });

  exporters(`${protocol}: an answer of 200 that is rubbish is a delivery`, async () => {
    receiverOf().behave({ type: 'rubbish' });
    assert.is((await send('traces', env())).type, 'delivered');
  });

  for (const type of ['hang', 'reset'] as const) {
    exporters(
      `${protocol}: ${type === 'hang' ? 'no answer' : 'a reset connection'} is a failure`,
      async () => {
        receiverOf().behave({ type });
        assert.is((await send('logs', env())).type, 'failed');
      },
    );
  }

  exporters(`${protocol}: a closed port is a failure, told without credentials`, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    const verdict = await send('traces', {
      ...env(),
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://me:secret@127.0.0.1:${port}`,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20secret',
    });
    assert.is(verdict.type, 'failed');
    assert.match(verdict.message, /ECONNREFUSED/);
    assert.not.match(verdict.message, /secret/);
  });
}

const httpStatuses: [number, Verdict['type']][] = [
  [400, 'refused'],
  [413, 'refused'],
  [422, 'refused'],
  [301, 'failed'],
  [401, 'failed'],
  [403, 'failed'],
  [404, 'failed'],
  [405, 'failed'],
  [407, 'failed'],
  [408, 'failed'],
  [415, 'failed'],
  [421, 'failed'],
  [425, 'failed'],
  [429, 'failed'],
  [500, 'failed'],
  [501, 'failed'],
  [502, 'failed'],
  [503, 'failed'],
  [504, 'failed'],
];
for (const [status, type] of httpStatuses) {
  exporters(`HTTP ${status} is ${type}, and told by its number`, async () => {
    http.behave({ type: 'status', status });
    const verdict = await send('logs', { OTEL_EXPORTER_OTLP_ENDPOINT: http.endpoint });
    assert.is(verdict.type, type);
    assert.match(verdict.message, `HTTP ${status}`);
  });
}

const grpcCodes: [number, Verdict['type']][] = [
  [1, 'failed'],
  [2, 'failed'],
  [3, 'refused'],
  [4, 'failed'],
  [5, 'failed'],
  [6, 'refused'],
  [7, 'failed'],
  [8, 'failed'],
  [9, 'failed'],
  [10, 'failed'],
  [11, 'failed'],
  [12, 'failed'],
  [13, 'failed'],
  [14, 'failed'],
  [15, 'failed'],
  [16, 'failed'],
];
for (const [status, type] of grpcCodes) {
  exporters(`gRPC code ${status} is ${type}`, async () => {
    grpc.behave({ type: 'status', status });
    const env = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_ENDPOINT: grpc.endpoint };
    assert.is((await send('logs', env)).type, type);
  });
}

const retryAfters: [string, string | undefined, (ms: number) => boolean][] = [
  ['in seconds', '7', ms => ms === 7_000],
  ['as a date', new Date(Date.now() + 60_000).toUTCString(), ms => ms > 50_000 && ms <= 60_000],
  ['of a year is cut to ten minutes', '31536000', ms => ms === 600_000],
  ['in the past is none', 'Thu, 01 Jan 2026 00:00:00 GMT', ms => ms === 0],
  ['that is rubbish is none', 'soon', ms => ms === 0],
  ['missing is none', undefined, ms => ms === 0],
];
for (const [name, retryAfter, holds] of retryAfters) {
  exporters(`Retry-After ${name}`, async () => {
    // The SDK takes "soon" for a delay of NaN and asks again at once, five times: 500 is repeated by us alone.
    const status = retryAfter === undefined || Number(retryAfter) > 0 ? 429 : 500;
    http.behave({ type: 'status', status, retryAfter } satisfies Behaviour);
    const verdict = await send('traces', { OTEL_EXPORTER_OTLP_ENDPOINT: http.endpoint });
    assert.ok(verdict.type === 'failed' && holds(verdict.retryAfterMs), JSON.stringify(verdict));
  });
}

exporters('OTEL_EXPORTER_OTLP_HEADERS and COMPRESSION are the SDK’s to read', async () => {
  let headers: Record<string, unknown> = {};
  http.behave(request => {
    headers = request.headers;
    return { type: 'accept' };
  });
  await send('traces', {
    OTEL_EXPORTER_OTLP_ENDPOINT: http.endpoint,
    OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20token',
    OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
  });
  assert.is(headers.authorization, 'Bearer token');
  assert.is(headers['content-encoding'], 'gzip');
  assert.is(http.spans.length, 1);
});

exporters('a record that cannot be encoded is refused', async () => {
  process.env.OTEL_EXPORTER_OTLP_PROTOCOL = 'http/json';
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = http.endpoint;
  const exporter = await createExporter('traces', origin);
  const verdict = await exporter.export([exporter.toItem(sampleRecord({ occurredAt: Number.NaN }))]);
  assert.is(verdict.type, 'refused');
});

exporters('the same record twice is the same bytes', async () => {
  for (let time = 0; time < 2; time += 1) await send('logs', { OTEL_EXPORTER_OTLP_ENDPOINT: http.endpoint });
  assert.is(Buffer.compare(http.rawBodies[0]!, http.rawBodies[1]!), 0);
});

exporters('what the SDK says of itself becomes a report', async () => {
  process.env.OTEL_EXPORTER_OTLP_COMPRESSION = 'brotli';
  await createExporter('traces', { ...origin, resource: emptyResource() });
  assert.is(reports.length, 1);
  const [report] = reports;
  assert.ok(report?.type === 'diagnostic' && report.level === 'warn');
  assert.match(report.message, /OTEL_EXPORTER_OTLP_COMPRESSION is invalid/);
});

exporters.run();
