/** The composition root: what is built of what, started and stopped in which order. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import packageJson from '../package.json' with { type: 'json' };
import { createAuthenticator } from './callback/authenticate.ts';
import { createClassifier } from './callback/classify.ts';
import { createIdentifier } from './callback/identify.ts';
import { type Address, type Config, type JournalLocation, SettingsError } from './config.ts';
import { createCallbackListener } from './http/callback-listener.ts';
import { InFlight } from './http/in-flight.ts';
import { createOperatorListener } from './http/operator-listener.ts';
import { type CountedEntry, countException, type Receiver } from './http/receive.ts';
import { Rejections } from './http/rejections.ts';
import type { Status } from './http/status-page.ts';
import type { Journal, JournalOptions, JournalStats } from './journal/journal.ts';
import { MemoryJournal } from './journal/memory.ts';
import { SqliteJournal } from './journal/sqlite.ts';
import { JournalWriter } from './journal/writer.ts';
import type { Log } from './log.ts';
import { createMetrics } from './metrics/metrics.ts';
import { createReports } from './reports.ts';
import { enabledSignals, telemetryProblems } from './telemetry/settings.ts';
import { startTelemetry } from './telemetry/telemetry.ts';

/** Callbacks being worked on, and what their bodies may take: what arrives beyond it is refused as overload. */
const inFlightLimits = { callbacksMax: 2_000, bytesMax: 64 * 1024 * 1024 };

/**
 * Connections that wait to be accepted, as many as Linux allows. Node's own 511 are full 20 ms into a burst of senders
 * that each connect anew; what is beyond is dropped, and TCP tries again after 1, 3 and 7 s.
 */
const backlogConnections = 4_096;

/** The window of the distinct counts, read from the journal at start. */
const recentMs = 5 * 60_000;

/** Of the time to stop: for callbacks in flight, for deliveries in flight, for the journal. */
const stopShares = { callbacks: 0.5, telemetry: 0.2, journal: 0.2 };

export interface Service {
  /** Where the listeners are; the ports are the real ones when 0 was asked for. */
  callbackUrl: string;
  operationsUrl: string;
  /** Answers what is in flight, then closes the journal. Never rejects; takes at most about `withinMs`. */
  stop(withinMs: number): Promise<void>;
}

/** Starts all of it, or rejects with nothing left running. */
export async function startService({
  config,
  env,
  log,
}: {
  config: Config;
  env: NodeJS.ProcessEnv;
  log: Log;
}): Promise<Service> {
  const problems = telemetryProblems(env);
  if (problems.length > 0) throw new SettingsError(problems);
  const signals = enabledSignals(env);
  const { version } = packageJson;
  const isAuthenticating = config.callbackTokens.length > 0;
  const metrics = createMetrics({
    version,
    revision: env.REVISION ?? '',
    isAuthenticating,
    journalBytesMax: config.journalMaxBytes,
    now: Date.now,
  });

  const reports = createReports(metrics, log);

  // Journal: open, and take over what it knows.
  let stats: JournalStats = { bytes: 0, events: 0, backlogEvents: 0, oldestUndeliveredAt: null };
  const journal = createJournal(config.journal, {
    signals,
    bytesMax: config.journalMaxBytes,
    now: Date.now,
    report: report => {
      if (report.type === 'stats') stats = report.stats;
      reports.journal(report);
    },
  });
  const contents = await journal.open(Date.now() - recentMs).catch(async error => {
    await journal.close().catch(() => {});
    throw error;
  });
  metrics.restore(contents.totals, contents.recent);
  metrics.journalUp(true);
  let isJournalUp = true;
  let lastExceptionAt: number | null = contents.recent.at(-1)?.receivedAt ?? null;
  const writer = new JournalWriter<CountedEntry>({
    journal,
    onNew(entry) {
      lastExceptionAt = entry.receivedAt;
      countException(entry, metrics);
    },
    report(report) {
      if (report.type === 'up' || report.type === 'down') isJournalUp = report.type === 'up';
      reports.writer(report);
    },
  });

  // Telemetry: from the journal to OTLP, in a thread of its own.
  const telemetry = startTelemetry({
    signals,
    version,
    instanceId: config.replica,
    outboxPort: () => journal.outboxPort(),
    report: reports.telemetry,
    env,
  });

  // Listeners: the operator's first, so that a start can be watched.
  let isReady = false;
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
    inFlight: new InFlight(inFlightLimits),
    privacy: { userIds: config.userIds, messageContent: config.messageContent },
    withMessageText: signals.length > 0 && config.messageContent === 'included',
    isDelivering: signals.length > 0,
    now: Date.now,
  };
  const callbacks = createCallbackListener({ path: config.callbackPath, receiver, log });
  const operations = createOperatorListener({ metrics, isReady: () => isReady, status, log });
  try {
    await listen(operations, config.operationsListen);
    await listen(callbacks.server, config.callbackListen);
  } catch (error) {
    await stop(0);
    throw error;
  }
  isReady = true;
  const callbackUrl = urlOf(callbacks.server, config.callbackListen) + config.callbackPath;
  const operationsUrl = urlOf(operations, config.operationsListen);
  announce();
  return { callbackUrl, operationsUrl, stop };

  async function stop(withinMs: number): Promise<void> {
    isReady = false;
    if (callbacks.server.listening) await callbacks.drain(withinMs * stopShares.callbacks);
    const unwritten = await writer.drain(withinMs * stopShares.journal);
    if (unwritten > 0) {
      log.error('exceptions that were held in memory are lost: the journal could not be written', {
        unwritten,
      });
    }
    await telemetry.stop(withinMs * stopShares.telemetry);
    await journal
      .close()
      .catch(error => log.error('the journal was not closed in order', { error: String(error) }));
    operations.close();
    operations.closeAllConnections();
  }

  function announce(): void {
    log.info(`tencent-chat-exporter ${version} takes callbacks at ${callbackUrl}`, {
      sdk_app_ids: config.sdkAppIds.join(','),
    });
    log.info(`metrics, health and status page are at ${operationsUrl}`);
    if (isAuthenticating) log.info('callbacks are authenticated');
    else
      log.warn('callbacks are NOT authenticated: anyone who finds the URL is believed; set CALLBACK_TOKENS');
    const total = contents.totals.reduce((sum, { count }) => sum + count, 0);
    if (config.journal.engine === 'memory')
      log.warn('the journal is in memory: a restart forgets every exception');
    else log.info(`the journal is ${config.journal.path}`, { exceptions: total });
    if (signals.length > 0) log.info(`telemetry is delivered: ${signals.join(' and ')}`);
    else log.info('telemetry is not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set');
  }

  function status(): Status {
    return {
      version,
      isReady,
      isAuthenticating,
      sdkAppIds: config.sdkAppIds,
      callbackPath: config.callbackPath,
      journal: {
        location: locationText(config.journal),
        isUp: isJournalUp,
        unwritten: writer.unwrittenCount,
        stats,
      },
      signals,
      lastExceptionAt,
      rejections: rejections.list(),
    };
  }
}

function createJournal(location: JournalLocation, options: JournalOptions): Journal {
  return location.engine === 'memory'
    ? new MemoryJournal(options)
    : new SqliteJournal(location.path, options);
}

function locationText(location: JournalLocation): string {
  return location.engine === 'memory' ? 'memory:' : location.path;
}

/** Rejects with a message that names the address, where Node's own names the system call. */
async function listen(server: Server, { host, port }: Address): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port, backlog: backlogConnections }, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    error.message = `cannot listen at ${host}:${port} (${error.code})`;
    throw error;
  });
}

function urlOf(server: Server, { host }: Address): string {
  const { port } = server.address() as AddressInfo;
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
