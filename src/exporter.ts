/**
 * The exporter between its listeners: the journal and what it knows, the receive path, delivery. Built and closed in one
 * visible order; who brings the callbacks (a listener of its own, an app's Koa) is not its concern.
 */
import { setTimeout as delay } from 'node:timers/promises';
import packageJson from '../package.json' with { type: 'json' };
import { createAuthenticator } from './callback/authenticate.ts';
import { createClassifier } from './callback/classify.ts';
import { createIdentifier } from './callback/identify.ts';
import { type Config, type JournalLocation, SettingsError } from './config.ts';
import { createHealth } from './health.ts';
import { Activity } from './http/activity.ts';
import { CallbackTally } from './http/callback-tally.ts';
import { InFlight } from './http/in-flight.ts';
import { recall } from './http/recall.ts';
import { type CountedEntry, countException, type Receiver } from './http/receive.ts';
import { Rejections } from './http/rejections.ts';
import type { CallbacksStatus, Status } from './http/status.ts';
import type { Journal, JournalOptions } from './journal/journal.ts';
import { MemoryJournal } from './journal/memory.ts';
import { PostgresJournal } from './journal/postgres.ts';
import { shownPostgresUrl } from './journal/postgres-url.ts';
import { SqliteJournal } from './journal/sqlite.ts';
import { JournalWriter } from './journal/writer.ts';
import type { Log } from './log.ts';
import { createMetrics, type Metrics } from './metrics/metrics.ts';
import { createReports } from './reports.ts';
import { enabledSignals, telemetryProblems } from './telemetry/settings.ts';
import { startTelemetry } from './telemetry/telemetry.ts';

export const { version } = packageJson;

/** Callbacks being worked on, and what their bodies may take: what arrives beyond it is refused as overload. */
const inFlightLimits = { callbacksMax: 2_000, bytesMax: 64 * 1024 * 1024 };

/** The window of the distinct counts, read from the journal at start. */
const recentMs = 5 * 60_000;

/** Of the time to close: for deliveries in flight, for the journal. */
const closeShares = { telemetry: 0.5, journal: 0.5 };

export interface Exporter {
  /** What `receive` needs to answer a callback. */
  receiver: Receiver;
  metrics: Metrics;
  /** All that is known about itself, but whether callbacks are taken. Waits for nothing. */
  status(callbacks: Pick<CallbacksStatus, 'isReady'>): Status;
  /**
   * Reads back from the journal, for the status page, what failed in the hour before the start. To be called once
   * callbacks are taken; never rejects, and ends with `close`.
   */
  recall(): Promise<void>;
  /** One line each, for whoever starts it. */
  announce(): void;
  /**
   * To be called when no callback is in flight any more. Makes durable what is still held in memory, ends delivery,
   * closes the journal. Never rejects; takes at most about `withinMs`.
   */
  close(withinMs: number): Promise<void>;
}

/** Opens all of it, or rejects with nothing left running. */
export async function openExporter({
  config,
  env,
  log,
}: {
  config: Config;
  env: NodeJS.ProcessEnv;
  log: Log;
}): Promise<Exporter> {
  const problems = telemetryProblems(env);
  if (problems.length > 0) throw new SettingsError(problems);
  const signals = enabledSignals(env);
  const isAuthenticating = config.callbackTokens.length > 0;
  const metrics = createMetrics({
    version,
    revision: env.REVISION ?? '',
    isAuthenticating,
    journalBytesMax: config.journalMaxBytes,
    now: Date.now,
  });

  // For the status page: what becomes of callbacks, journal and delivery.
  const startedAt = Date.now();
  const reports = createReports(metrics, log);
  const health = createHealth(signals, Date.now);
  const activity = new Activity(startedAt);
  const tally = new CallbackTally();

  // Journal: open, and take over what it knows.
  const journal = createJournal(config, {
    signals,
    bytesMax: config.journalMaxBytes,
    now: Date.now,
    report: report => {
      health.journal(report);
      reports.journal(report);
    },
  });
  const contents = await journal.open(Date.now() - recentMs).catch(async error => {
    await journal.close().catch(() => {});
    throw error;
  });
  metrics.restore(contents.totals, contents.recent);
  metrics.journalUp(true);
  // A row that cannot be read is no reason not to start. In a shared journal it may be another exporter's.
  const [lastStored] = journal.isShared
    ? []
    : await journal.exceptions(Number.POSITIVE_INFINITY, 1).catch(() => []);
  let lastExceptionAt = lastStored?.receivedAt ?? contents.recent.at(-1)?.receivedAt ?? null;
  const writer = new JournalWriter<CountedEntry>({
    journal,
    onNew(entry) {
      lastExceptionAt = entry.receivedAt;
      countException(entry, metrics);
      activity.note(entry);
    },
    report(report) {
      health.writer(report);
      reports.writer(report);
    },
  });

  // Telemetry: from the journal to OTLP, in a thread of its own.
  const telemetry = startTelemetry({
    signals,
    version,
    instanceId: config.replica,
    outboxPort: () => journal.outboxPort(),
    report(report) {
      health.telemetry(report);
      reports.telemetry(report);
    },
    env,
  });

  const rejections = new Rejections({ keepsBodies: config.messageContent === 'included' });
  const receiver: Receiver = {
    authenticate: createAuthenticator({ sdkAppIds: config.sdkAppIds, tokens: config.callbackTokens }),
    classifier: createClassifier({
      adminAccounts: new Set(config.adminAccounts),
      admittedCodes: contents.totals.map(({ labels }) => labels.error_code),
    }),
    identifier: createIdentifier(contents.key.toString('hex')),
    writer,
    metrics,
    rejections,
    tally,
    inFlight: new InFlight(inFlightLimits),
    privacy: { userIds: config.userIds, messageContent: config.messageContent },
    withMessageText: signals.length > 0 && config.messageContent === 'included',
    isDelivering: signals.length > 0,
    now: Date.now,
  };

  const closing = new AbortController();
  return { receiver, metrics, status, recall: recallActivity, announce, close };

  async function recallActivity(): Promise<void> {
    // A journal in memory knows nothing of the time before, where one on disk may know that there was nothing. One that
    // is shared does not tell what this exporter stored from what the others did.
    if (config.journal.engine === 'memory' || journal.isShared) return;
    try {
      await recall({
        activity,
        journal,
        lastSequence: lastStored?.sequence ?? 0,
        now: Date.now,
        delay: (milliseconds, signal) => delay(milliseconds, undefined, { signal, ref: false }),
        signal: closing.signal,
      });
    } catch (error) {
      if (closing.signal.aborted) return;
      log.warn('the status page counts from the start only: the hour before it could not be read', {
        error: String(error),
      });
    }
  }

  async function close(withinMs: number): Promise<void> {
    closing.abort();
    const unwritten = await writer.drain(withinMs * closeShares.journal);
    if (unwritten > 0) {
      log.error('exceptions that were held in memory are lost: the journal could not be written', {
        unwritten,
      });
    }
    await telemetry.stop(withinMs * closeShares.telemetry);
    await journal
      .close()
      .catch(error => log.error('the journal was not closed in order', { error: String(error) }));
  }

  function announce(): void {
    if (isAuthenticating) log.info('callbacks are authenticated');
    else
      log.warn('callbacks are NOT authenticated: anyone who finds the URL is believed; set CALLBACK_TOKENS');
    const total = contents.totals.reduce((sum, { count }) => sum + count, 0);
    if (config.journal.engine === 'memory')
      log.warn('the journal is in memory: a restart forgets every exception');
    else log.info(`the journal is ${locationText(config.journal)}`, { exceptions: total });
    if (signals.length > 0) log.info(`telemetry is delivered: ${signals.join(' and ')}`);
    else log.info('telemetry is not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set');
  }

  function status({ isReady }: Pick<CallbacksStatus, 'isReady'>): Status {
    const now = Date.now();
    return {
      version,
      replica: config.replica,
      now,
      startedAt,
      sdkAppIds: config.sdkAppIds,
      callbacks: {
        isReady,
        path: config.callbackPath,
        publicUrl: config.callbackPublicUrl,
        tally: tally.snapshot(),
        lastExceptionAt,
      },
      tokens: config.callbackTokens.length,
      journal: {
        location: locationText(config.journal),
        isDurable: config.journal.engine !== 'memory',
        bytesMax: config.journalMaxBytes,
        ...health.journalStatus,
      },
      delivery: health.delivery.map(signal => ({ ...signal })),
      activity: activity.view(now),
      rejections: rejections.list(),
      links: {
        runbooks: config.runbooksUrl,
        dashboards: config.dashboardsUrl,
        traceTemplate: config.traceUrlTemplate,
      },
    };
  }
}

function createJournal({ journal, replica }: Config, options: JournalOptions): Journal {
  switch (journal.engine) {
    case 'memory':
      return new MemoryJournal(options);
    case 'sqlite':
      return new SqliteJournal(journal.path, options);
    case 'postgres':
      return new PostgresJournal({ ...options, url: journal.url, replica });
  }
}

function locationText(journal: JournalLocation): string {
  switch (journal.engine) {
    case 'memory':
      return 'memory:';
    case 'sqlite':
      return journal.path;
    case 'postgres':
      return shownPostgresUrl(journal.url);
  }
}
