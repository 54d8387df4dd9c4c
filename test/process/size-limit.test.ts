/** A journal at JOURNAL_MAX_BYTES with a dead collector: telemetry gives way, in the open; counters never do. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { batchRowsMax } from '../../src/telemetry/delivery.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { startExporter } from '../support/exporter.ts';
import { exceptionNumber, Oracle } from '../support/oracle.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';

const limit = suite('size limit');
limit.after.each(cleanUp);

/** The smallest that the setting takes. */
const bytesMax = 16_777_216;
/** What comes between two looks at the size. */
const slackBytes = 4 * 1024 * 1024;
/** With ErrorInfo at its longest a record is 1.8 kB: twice what the journal may hold. */
const errorInfo = 'msg count exceeds limit '.repeat(42);
const count = 16_000;
/** By so much the order of arrival may differ from that of the numbers: callbacks are sent side by side. */
const overtakenMax = 100;
const signals = ['traces', 'logs'] as const;

limit('the oldest undelivered telemetry is dropped and counted, the newest and the totals stay', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  collector.behave({ type: 'status', status: 503 });
  const env = {
    JOURNAL_MAX_BYTES: String(bytesMax),
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
  };
  const exporter = await startExporter({ env });
  const oracle = new Oracle({ seed: 1, overrides: { ErrorInfo: errorInfo } });
  const samples: number[] = [];
  const sending = oracle.sendNew(exporter.callbackUrl, count).then(() => true);
  await until(
    async () => {
      samples.push((await exporter.metrics()).sum('tencent_chat_journal_bytes'));
      return oracle.acknowledged.size === count;
    },
    'all to be answered',
    60_000,
  );
  await sending;

  assert.ok(Math.max(...samples) < bytesMax + slackBytes, `${Math.max(...samples)} bytes`);
  // The limit is there to be used: less than half of it would be telemetry dropped without need.
  const dropped = (signal: string, metrics: Awaited<ReturnType<typeof exporter.metrics>>) =>
    metrics.sum('tencent_chat_telemetry_dropped_total', { signal, reason: 'journal_full' });
  const settled = await until(async () => {
    const metrics = await exporter.metrics();
    const backlog = metrics.sum('tencent_chat_telemetry_backlog_events');
    return backlog > 0 && backlog + dropped('logs', metrics) === count && metrics;
  }, 'drops and backlog to add up');
  const droppedCount = dropped('logs', settled);
  assert.ok(droppedCount > 0);
  assert.is(dropped('traces', settled), droppedCount);
  assert.ok(settled.sum('tencent_chat_journal_bytes') <= bytesMax + slackBytes);
  assert.ok(settled.sum('tencent_chat_journal_bytes') > bytesMax / 2);
  assert.is(await exporter.total(), count);

  // Identities are kept whatever becomes of the telemetry.
  await oracle.sendAgain(exporter.callbackUrl, [0, 1, count / 2, count - 1]);
  assert.is(await exporter.total(), count);

  collector.behave({ type: 'accept' });
  const firstKept = droppedCount + overtakenMax;
  for (const signal of signals) {
    const newest = () =>
      [...collector.traceIds[signal].keys()].filter(traceId => exceptionNumber(traceId) >= firstKept);
    await until(async () => newest().length === count - firstKept, `the newest ${signal}`, 45_000);
    // A batch that was already on its way may arrive though it was given up.
    assert.ok(collector.traceIds[signal].size <= count - droppedCount + batchRowsMax);
  }

  await exporter.kill('SIGTERM');
  const restarted = await startExporter({ env, journal: exporter.journal });
  assert.is(await restarted.total(), count);
});

limit.run();
