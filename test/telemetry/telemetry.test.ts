import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { MessageChannel } from 'node:worker_threads';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { serveOutbox } from '../../src/journal/outbox-port.ts';
import type { TelemetryReport } from '../../src/telemetry/report.ts';
import { startTelemetry, type Telemetry } from '../../src/telemetry/telemetry.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { MemoryOutbox, sampleRecords } from './support.ts';

const telemetry = suite('telemetry thread');
let receiver: OtlpReceiver;
let outbox: MemoryOutbox;
let reports: TelemetryReport[];
let running: Telemetry | undefined;

telemetry.before.each(async () => {
  receiver = await startOtlpReceiver();
  outbox = new MemoryOutbox();
  reports = [];
  running = undefined;
});
telemetry.after.each(async () => {
  await running?.stop(100);
  await receiver.close();
});

function start(env: NodeJS.ProcessEnv = {}): Telemetry {
  running = startTelemetry({
    signals: ['traces', 'logs'],
    version: '1.2.3',
    instanceId: 'replica-1',
    outboxPort() {
      const { port1, port2 } = new MessageChannel();
      serveOutbox(port1, outbox);
      port1.unref();
      return port2;
    },
    report: report => reports.push(report),
    env: Object.assign(env, { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint }),
  });
  return running;
}

const bothDelivered = (count: number) => () =>
  outbox.cursor('traces') === count && outbox.cursor('logs') === count;

telemetry('delivers spans and log records, and reports it', async () => {
  outbox.append(...sampleRecords(3));
  start();
  await outbox.until(bothDelivered(3));
  await running!.stop(1_000);
  const ids = sampleRecords(3).map(({ traceId }) => traceId);
  assert.equal(
    receiver.spans.map(({ traceId }) => traceId),
    ids,
  );
  assert.equal(
    receiver.logRecords.map(({ traceId }) => traceId),
    ids,
  );
  assert.is(receiver.spans[0]!.resource['service.instance.id'], 'replica-1');
  assert.equal(reports.map(report => `${report.type} ${'signal' in report && report.signal}`).sort(), [
    'delivered logs',
    'delivered traces',
  ]);
});

telemetry('is replaced when it dies, and goes on where it was', async () => {
  outbox.append(...sampleRecords(1));
  const env: NodeJS.ProcessEnv = { OTEL_SDK_DISABLED: 'true' };
  start(env);
  while (!reports.some(({ type }) => type === 'worker_died')) await new Promise(setImmediate);
  const [report] = reports;
  assert.ok(report?.type === 'worker_died' && report.restartInMs <= 1_000);
  assert.match(report.message, /OTEL_SDK_DISABLED/);
  delete env.OTEL_SDK_DISABLED;
  await outbox.until(bothDelivered(1));
});

telemetry('stops in the time it was given, though the collector hangs', async () => {
  receiver.behave({ type: 'hang' });
  outbox.append(...sampleRecords(1));
  start();
  await receiver.until(() => receiver.requests.traces === 1 && receiver.requests.logs === 1);
  const startedAt = performance.now();
  await running!.stop(200);
  const elapsedMs = performance.now() - startedAt;
  assert.ok(elapsedMs >= 190 && elapsedMs < 1_500, `${elapsedMs} ms`);
  assert.equal(outbox.acknowledged, { traces: [], logs: [] });
});

telemetry('stop is no death, and may be asked twice', async () => {
  start();
  await running!.stop(0);
  await running!.stop(0);
  assert.equal(reports, []);
});

telemetry('nothing is started for no signal', async () => {
  const none = startTelemetry({
    signals: [],
    version: '1.2.3',
    instanceId: 'replica-1',
    outboxPort() {
      throw new Error('no thread, no port');
    },
    report: () => {},
    env: {},
  });
  await none.stop(0);
});

telemetry(
  'tells the SDK’s own words as reports, without the records and without writing to the console',
  async () => {
    const child = spawn(process.execPath, [`${import.meta.dirname}/thread-process.ts`], {
      timeout: 15_000,
      cwd: import.meta.dirname,
      env: { OTEL_LOG_LEVEL: 'debug', OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint },
    });
    const [stdout, stderr, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'exit'),
    ]);
    assert.equal([code, stdout, stderr], [0, '', '']);
  },
);

telemetry.run();
