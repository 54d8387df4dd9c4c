/**
 * The telemetry thread. It has no state that matters: whatever kills it, the journal keeps what is undelivered and
 * telemetry.ts starts another. Reports go out over `parentPort`; the one message that comes in asks it to stop.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Signal } from '../journal/journal.ts';
import { connectOutbox } from '../journal/outbox-port.ts';
import { startDelivery } from './delivery.ts';
import { createExporter, listenToSdk } from './exporters.ts';
import type { TelemetryReport } from './report.ts';
import { readOrigin } from './resource.ts';

export interface WorkerInput {
  outboxPort: MessagePort;
  signals: readonly Signal[];
  version: string;
  instanceId: string;
}

export interface StopRequest {
  timeoutMs: number;
}

const { outboxPort, signals, version, instanceId } = workerData as WorkerInput;
const report = (report: TelemetryReport) => parentPort!.postMessage(report);

listenToSdk(report);
// The SDK would put a logger of its own in place of ours, one that writes to the console.
delete process.env.OTEL_LOG_LEVEL;

const origin = await readOrigin(version, instanceId);
const delivery = startDelivery({
  outbox: connectOutbox(outboxPort),
  exporters: await Promise.all(signals.map(signal => createExporter(signal, origin))),
  report,
  random: Math.random,
  delay: (milliseconds, signal) => delay(milliseconds, undefined, { signal }),
});

parentPort!.on('message', async ({ timeoutMs }: StopRequest) => {
  await delivery.stop(timeoutMs);
  process.exit();
});
