/** The collector fails in each of its ways, under load; what was counted is delivered all the same. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { exceptionNumber, Oracle } from '../support/oracle.ts';
import {
  type OtlpReceiver,
  type ReceivedRecord,
  type Signal,
  startOtlpReceiver,
} from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { newSeed } from '../support/random.ts';

const outage = suite('collector outage');
outage.after.each(cleanUp);

const signals = ['traces', 'logs'] as const;

/** In all, half of it without a collector, half with one that answers 503. */
const outageMs = 20_000;

/** Delivery waits for up to 30 s after so many failures. */
const recoveryMsMax = 45_000;

async function startCollector(port = 0): Promise<OtlpReceiver> {
  const collector = await startOtlpReceiver({ port });
  onCleanUp(() => collector.close());
  return collector;
}

/** An attempt is given up after 1 s instead of 10. */
const deliverTo = (collector: OtlpReceiver) => ({
  OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
  OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
});

function recordsOf(collectors: OtlpReceiver[], signal: Signal): ReceivedRecord[] {
  return collectors.flatMap(collector => (signal === 'traces' ? collector.spans : collector.logRecords));
}

/** Waits until each of `count` exceptions has come, and checks that none came in two versions. */
async function assertDelivered(collectors: OtlpReceiver[], count: number): Promise<void> {
  for (const signal of signals) {
    const arrived = () => new Set(collectors.flatMap(({ traceIds }) => [...traceIds[signal].keys()]));
    await until(async () => arrived().size >= count, `${count} ${signal}`, recoveryMsMax);
    const versions = new Map<number, string>();
    for (const record of recordsOf(collectors, signal)) {
      const number = exceptionNumber(record.traceId);
      const version = JSON.stringify(record);
      assert.is(versions.get(number) ?? version, version, `${signal} of exception ${number}`);
      versions.set(number, version);
    }
    assert.is(versions.size, count);
    assert.equal(
      [...versions.keys()].sort((a, b) => a - b),
      Array.from({ length: count }, (_, number) => number),
    );
  }
}

const failures = async (exporter: Exporter) =>
  (await exporter.metrics()).sum('tencent_chat_telemetry_failures_total');

outage('all is delivered after 20 s without a collector, and no answer was slow or refused', async () => {
  const seed = newSeed();
  console.log(`\ncollector outage: SEED=${seed}`);
  const first = await startCollector();
  const exporter = await startExporter({ env: deliverTo(first) });
  const oracle = new Oracle({ seed, connections: 8, pauseMs: 20 });
  oracle.start(exporter.callbackUrl);
  await first.until(() => first.spans.length > 0);

  const startedAt = performance.now();
  const hasLasted = (share: number) => performance.now() - startedAt > outageMs * share;
  await first.close();
  await until(async () => hasLasted(0.5) && (await failures(exporter)) > 0, 'refused connections', outageMs);
  const second = await startCollector(first.port);
  second.behave({ type: 'status', status: 503 });
  await until(async () => hasLasted(1) && second.requests.logs > 0, 'answers of 503', outageMs);
  const during = await exporter.metrics();
  assert.ok(during.sum('tencent_chat_telemetry_backlog_events') > 500);
  assert.ok(
    during.sum('tencent_chat_telemetry_oldest_undelivered_timestamp_seconds') < Date.now() / 1000 - 15,
  );
  assert.is(during.sum('tencent_chat_journal_up'), 1);
  second.behave({ type: 'accept' });
  await oracle.stop();

  await assertDelivered([first, second], oracle.sentCount);
  assert.equal(oracle.unanswered.size, 0);
  assert.equal([...oracle.refusals], []);
  assert.ok(oracle.slowestMs < 1_500, `an answer took ${oracle.slowestMs} ms`);
  assert.is(await exporter.total(), oracle.sentCount);
  await until(async () => {
    const metrics = await exporter.metrics();
    return metrics.sum('tencent_chat_telemetry_backlog_events') === 0;
  }, 'the backlog to be gone');
  const after = await exporter.metrics();
  for (const signal of signals) {
    // Each was taken by the collector once, and its answer was seen, but for what the closing collector cut off.
    assert.ok(after.sum('tencent_chat_telemetry_delivered_total', { signal }) >= oracle.sentCount - 512);
  }
  assert.is(after.sum('tencent_chat_telemetry_dropped_total'), 0);
  assert.is(after.sum('tencent_chat_telemetry_dead_letters_total'), 0);
});

outage('one poison record among hundreds is the one dead letter', async () => {
  const poison = 321;
  const count = 700;
  const collector = await startCollector();
  collector.behave(({ records }) =>
    records.some(({ traceId }) => exceptionNumber(traceId) === poison)
      ? { type: 'status', status: 400 }
      : { type: 'accept' },
  );
  const exporter = await startExporter({ env: deliverTo(collector) });
  const oracle = new Oracle({ seed: 1 });
  await oracle.sendNew(exporter.callbackUrl, count);
  const deadLetters = 'tencent_chat_telemetry_dead_letters_total';
  await until(async () => (await exporter.metrics()).sum(deadLetters) === signals.length, 'dead letters');
  for (const signal of signals) {
    await until(async () => collector.traceIds[signal].size === count - 1, `the other ${signal}`);
    assert.is((await exporter.metrics()).sum(deadLetters, { signal }), 1);
    const numbers = [...collector.traceIds[signal].keys()].map(exceptionNumber);
    assert.not.ok(numbers.includes(poison));
  }
  await until(
    async () => (await exporter.metrics()).sum('tencent_chat_telemetry_backlog_events') === 0,
    'the backlog to be gone',
  );
  // Not tried again: the cursor is past it.
  assert.is(await exporter.total(), count);
  assert.is(
    exporter.logLines.filter(({ message }) => message.includes('dead letter')).length,
    signals.length,
  );
});

outage('a collector that hangs does not hold up the stop, and nothing is lost by it', async () => {
  const count = 300;
  const collector = await startCollector();
  collector.behave({ type: 'hang' });
  // The standard time-out of 10 s: the stop may not wait for it.
  const exporter = await startExporter({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } });
  await new Oracle({ seed: 1 }).sendNew(exporter.callbackUrl, count);
  await collector.until(() => collector.requests.traces > 0 && collector.requests.logs > 0);
  const stoppedAt = performance.now();
  assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
  assert.ok(performance.now() - stoppedAt < 10_000);

  collector.behave({ type: 'accept' });
  const restarted = await startExporter({ env: deliverTo(collector), journal: exporter.journal });
  await assertDelivered([collector], count);
  assert.is(await restarted.total(), count);
});

outage.run();
