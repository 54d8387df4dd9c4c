/** The exporter inside an app: its Koa brings the callbacks and is asked for the metrics, its code opens and closes it. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Exporter, openExporter } from './exporter.ts';
import { type CallbackMiddleware, createCallbackMiddleware } from './http/middleware.ts';
import { answerScrape, type ScrapeContext } from './http/scrape.ts';
import { type ExceptionCallbacksOptions, loadOptions } from './options.ts';

/** As the exporter itself does: Docker kills after 10 s. */
const closeWithinMs = 9_000;

/** Of the time to close: for callbacks in flight, for the exporter behind them. */
const closeShares = { callbacks: 0.5, exporter: 0.4 };

export interface ExceptionCallbacks {
  /**
   * Answers each `POST` whose `CallbackCommand` is `Group.CallbackSendMsgException`, exactly as the exporter does: OK
   * only once the exception is durable. Hands on everything else as it came. Where the URL names no command, the body
   * says it, if the app has parsed it; otherwise the request is handed on.
   *
   * Never throws, but for what comes out of `next()`. Use it before what reads bodies.
   */
  readonly middleware: CallbackMiddleware;
  /** Answers a scrape, whatever the path and the method: in the Prometheus text format, or in OpenMetrics on `Accept`. */
  readonly metrics: (ctx: ScrapeContext) => Promise<void>;
  /** What it knows of itself now; of the hour before the start a while later, once it is read back from the journal. */
  status(): ExceptionCallbacksStatus;
  /**
   * Waits for the callbacks in flight, makes durable what is held in memory, ends delivery, closes the journal. From now
   * on exceptions are answered 503: handed on, they would be answered OK by an app that does not know them, and be lost.
   * So close the app's server first. Never rejects; takes at most about `withinMs` milliseconds, 9,000 unless told. The
   * metrics can be read on.
   */
  close(withinMs?: number): Promise<void>;
}

/** As the status page shows it; `callbacks.isReady` until `close`. The path and the URL are the app's affair. */
export type ExceptionCallbacksStatus = ReturnType<Exporter['status']>;

/**
 * Opens the journal and starts delivery; resolves when exceptions can be taken. Until `close`, the journal's thread keeps
 * the process alive.
 *
 * Rejects with a `SettingsError` that names every option that is wrong, or with an error that says why the journal
 * cannot be opened; nothing is then left running. If the journal's thread dies later, a bug, the process gets an uncaught
 * exception: nothing could be trusted any more, and a restart is exact.
 */
export async function exceptionCallbacks(options: ExceptionCallbacksOptions): Promise<ExceptionCallbacks> {
  const { config, env, path, log } = loadOptions(options);
  const exporter = await openExporter({ config, env, log });
  exporter.announce();
  exporter.recall();
  const { receiver, metrics } = exporter;
  let closed: Promise<void> | undefined;

  async function close(withinMs: number): Promise<void> {
    const waited = delay(withinMs * closeShares.callbacks, undefined, { ref: false });
    await Promise.race([receiver.inFlight.close(), waited]);
    await exporter.close(withinMs * closeShares.exporter);
  }

  return {
    middleware: createCallbackMiddleware({ path, receiver, log }),
    metrics: ctx => answerScrape(ctx, metrics),
    status: () => exporter.status({ isReady: closed === undefined }),
    close(withinMs = closeWithinMs) {
      closed ??= close(withinMs);
      return closed;
    },
  };
}
