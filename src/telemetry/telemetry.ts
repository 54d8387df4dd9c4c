/** Delivery in a thread of its own, seen from the main thread: encoding and sending never hold up an answer. */
import { extname } from 'node:path';
import { type MessagePort, Worker } from 'node:worker_threads';
import type { Signal } from '../journal/journal.ts';
import { backoffMs } from './backoff.ts';
import { describe, type TelemetryReport } from './report.ts';
import type { StopRequest, WorkerInput } from './worker.ts';

/**
 * A thread that outgrows these is replaced, where the process would be killed. Measured while a backlog of a million
 * rows drained: heap 44 MB, the process at 173 MB (70 MB without the thread, 143 MB with it idle). With the young
 * generation's limit left out V8 makes it so small that collecting it doubles the cost of a row, and the process
 * grows to 270 MB.
 */
const heapLimits = { maxOldGenerationSizeMb: 128, maxYoungGenerationSizeMb: 32 };

/** Beyond the time given for exports in flight: what the thread needs to end itself. */
const exitMs = 500;

/** `.ts` here, `.js` in the npm package: of a file that is named by its URL the compiler knows nothing. */
const extension = extname(import.meta.url);

export interface Telemetry {
  /** Ends delivery within `timeoutMs` and half a second. What is undelivered stays in the journal. Never rejects. */
  stop(timeoutMs: number): Promise<void>;
}

export interface TelemetryOptions {
  /** Those of `enabledSignals`; nothing is started for none. */
  signals: readonly Signal[];
  /** The exporter's version, for `service.version` and the scope. */
  version: string;
  /** `service.instance.id` unless the environment says otherwise. */
  instanceId: string;
  /** A port at whose other end `serveOutbox` answers; asked for again each time the thread is replaced. */
  outboxPort: () => MessagePort;
  report: (report: TelemetryReport) => void;
  /** What the SDK reads its `OTEL_*` settings from; read each time the thread is replaced. */
  env: NodeJS.ProcessEnv;
}

/** Starts the thread, and another after a growing pause whenever it dies. Never keeps the process alive. */
export function startTelemetry({
  signals,
  version,
  instanceId,
  outboxPort,
  report,
  env,
}: TelemetryOptions): Telemetry {
  let worker: Worker | undefined;
  let restart: NodeJS.Timeout | undefined;
  let failures = 0;
  let isStopping = false;

  function start(): void {
    const port = outboxPort();
    let message = 'the telemetry thread ended';
    worker = new Worker(new URL(`./worker${extension}`, import.meta.url), {
      workerData: { outboxPort: port, signals, version, instanceId } satisfies WorkerInput,
      transferList: [port],
      env,
      resourceLimits: heapLimits,
    });
    worker.on('message', (received: TelemetryReport) => {
      if (received.type === 'delivered') failures = 0;
      report(received);
    });
    worker.on('error', error => {
      message = describe(error);
    });
    worker.on('exit', () => {
      worker = undefined;
      if (isStopping) return;
      const restartInMs = backoffMs(failures, Math.random());
      failures += 1;
      report({ type: 'worker_died', message, restartInMs });
      restart = setTimeout(start, restartInMs).unref();
    });
    // Last: a listener for messages would hold the process again.
    worker.unref();
  }

  if (signals.length > 0) start();
  return {
    async stop(timeoutMs) {
      isStopping = true;
      clearTimeout(restart);
      const stopped = worker;
      if (stopped === undefined) return;
      await new Promise<void>(resolve => {
        const deadline = setTimeout(resolve, timeoutMs + exitMs);
        stopped.once('exit', () => {
          clearTimeout(deadline);
          resolve();
        });
        stopped.postMessage({ timeoutMs } satisfies StopRequest);
      });
      await stopped.terminate();
    },
  };
}
