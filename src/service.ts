/** The service: an exporter with its two listeners, started and stopped in one visible order. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Address, Config } from './config.ts';
import { openExporter, version } from './exporter.ts';
import { createCallbackListener } from './http/callback-listener.ts';
import { createOperatorListener } from './http/operator-listener.ts';
import type { Log } from './log.ts';

/**
 * Connections that wait to be accepted, as many as Linux allows. Node's own 511 are full 20 ms into a burst of senders
 * that each connect anew; what is beyond is dropped, and TCP tries again after 1, 3 and 7 s.
 */
const backlogConnections = 4_096;

/** Of the time to stop: for callbacks in flight, for the exporter behind them. */
const stopShares = { callbacks: 0.5, exporter: 0.4 };

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
  const exporter = await openExporter({ config, env, log });
  const { receiver, metrics } = exporter;

  // The operator's listener first, so that a start can be watched.
  let isReady = false;
  const status = () => exporter.status({ isReady });
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
  log.info(`tencent-chat-exporter ${version} takes callbacks at ${callbackUrl}`, {
    sdk_app_ids: config.sdkAppIds.join(','),
  });
  log.info(`metrics, health and status page are at ${operationsUrl}`);
  exporter.announce();
  exporter.recall();
  return { callbackUrl, operationsUrl, stop };

  async function stop(withinMs: number): Promise<void> {
    isReady = false;
    if (callbacks.server.listening) await callbacks.drain(withinMs * stopShares.callbacks);
    await exporter.close(withinMs * stopShares.exporter);
    operations.close();
    operations.closeAllConnections();
  }
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
