/**
 * How much the exporter takes, and what it does with twice that.
 *
 *     npm run load [-- --seconds 5]      a step's length
 *
 * Finds the highest rate, of callbacks that come whether or not the ones before are answered, at which 99 of 100 are
 * answered within 50 ms and none is refused. Then sends twice that, and wants to see what is refused refused in the
 * open, no answer later than Tencent waits, nothing lost of what was answered, and all as before within seconds. Load,
 * exporter and collector share the machine: compare numbers of one machine only.
 */
import { parseArgs } from 'node:util';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { exceptionsTotal, startExporter, startFlags } from '../support/exporter.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { runLoadProcess } from './load-process.ts';
import type { LoadOptions, LoadResult } from './open-load.ts';

const p99MsMax = 50;
/** Tencent gives up after it. */
const answerMsMax = 2_000;
const firstPerSecond = 200;
/** A neighbour on the machine can spoil one try. */
const triesMax = 3;
const growth = 1.5;
/** Steps between the last rate that was taken and the first that was not. */
const bisections = 4;
const recoverySecondsMax = 10;

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '5' } } });
const seconds = Number(values.seconds);

try {
  process.exitCode = (await run()) ? 0 : 1;
} finally {
  await cleanUp();
}

async function run(): Promise<boolean> {
  const collector = await startOtlpReceiver({ keep: 'ids' });
  onCleanUp(() => collector.close());
  const exporter = await startExporter({
    nodeArgs: startFlags,
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint },
  });
  const port = Number(new URL(exporter.callbackUrl).port);
  const totals = { sent: 0, ok: 0, refused: 0, broken: 0 };

  const step = async (load: Omit<LoadOptions, 'port'>): Promise<LoadResult> => {
    const result = await runLoadProcess({ port, firstNumber: totals.sent, ...load });
    totals.sent += result.sentCount;
    totals.ok += result.okCount;
    totals.refused += result.refused.length;
    totals.broken += result.broken.length;
    console.log(
      `${load.perSecond}/s`.padStart(9),
      `p50 ${result.p50Ms.toFixed(1)} ms, p99 ${result.p99Ms.toFixed(1)} ms, ${result.refused.length} refused,`,
      `${result.broken.length} broken, slowest answer after it was sent ${result.slowestMs.toFixed(0)} ms`,
    );
    return result;
  };
  const isTaken = async (perSecond: number): Promise<boolean> => {
    for (let tries = 0; tries < triesMax; tries += 1) {
      const { p99Ms, okCount, sentCount } = await step({ perSecond, seconds });
      if (p99Ms < p99MsMax && okCount === sentCount) return true;
    }
    return false;
  };

  await step({ perSecond: firstPerSecond, seconds: 3 });
  let taken = 0;
  let notTaken = firstPerSecond;
  while (await isTaken(notTaken)) {
    taken = notTaken;
    notTaken = Math.round(notTaken * growth);
  }
  for (let bisection = 0; bisection < bisections && taken > 0; bisection += 1) {
    const middle = Math.round((taken + notTaken) / 2);
    if (await isTaken(middle)) taken = middle;
    else notTaken = middle;
  }
  if (taken === 0) {
    console.log(`FAILED: even ${firstPerSecond} a second are too many for this machine`);
    return false;
  }
  console.log(`highest rate with p99 under ${p99MsMax} ms and nothing refused: ${taken} a second`);

  console.log('twice that, by senders that wait for their answers, and by such as do not:');
  const waiting = await step({ perSecond: 2 * taken, seconds: 2 * seconds });
  const pipelined = await step({
    perSecond: 2 * taken,
    seconds: 2 * seconds,
    connectionsMax: 64,
    isPipelined: true,
  });
  const endedAt = performance.now();
  await until(() => isTaken(Math.round(taken / 2)), 'the usual answers', recoverySecondsMax * 1_000);
  console.log(`as before within ${((performance.now() - endedAt) / 1000).toFixed(1)} s`);

  const metrics = await exporter.metrics();
  const total = metrics.sum(exceptionsTotal);
  const counted = metrics.sum('tencent_chat_callbacks_total', { outcome: 'counted' });
  const rejected = metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'overload' });
  await until(
    async () => collector.traceIds.traces.size >= total && collector.traceIds.logs.size >= total,
    'delivery',
    120_000,
  );
  const checks: [what: string, isSo: boolean][] = [
    ['every answer is 200 or 503', waiting.oddStatuses.length + pipelined.oddStatuses.length === 0],
    ['no callback is without an answer', totals.broken === 0],
    ['what was refused is counted as refused', rejected === totals.refused],
    ['what was answered is counted, once', counted === totals.ok && total >= counted],
    [
      'what was too late for its answer is all that is counted beyond it',
      total <= totals.ok + totals.refused,
    ],
    ['all of it is delivered', collector.traceIds.traces.size === total],
    [`no sender that waits waited for more than ${answerMsMax} ms`, waiting.slowestMs <= answerMsMax],
  ];
  for (const [what, isSo] of checks) console.log(isSo ? 'ok    ' : 'FAILED', what);
  return checks.every(([, isSo]) => isSo);
}
