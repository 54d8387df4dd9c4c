/** The callback listener: turns requests into callbacks, and answers into responses. Nothing else is served here. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import Koa from 'koa';
import type { Log } from '../log.ts';
import { type Answer, methodAnswer, notFoundAnswer } from './answers.ts';
import { answerCallback, toCallback } from './callback-request.ts';
import type { Receiver } from './receive.ts';
import { inTurns } from './turns.ts';

/** Connections beyond this are closed at once: at 20 kB each, 40 MB. */
const connectionsMax = 2_000;

const serverOptions = {
  // Either is looked at every `connectionsCheckingInterval`; Node's own 30 s would make them ten times as long.
  headersTimeout: 5_000,
  requestTimeout: 8_000,
  connectionsCheckingInterval: 500,
  // Above the idle time of usual load balancers (60 s): a connection closed under a callback is an event lost.
  keepAliveTimeout: 75_000,
  maxHeaderSize: 8 * 1024,
};

/** While draining, how long connections without a request may still bring one. */
const drainIdleMs = 1_000;

export interface CallbackListener {
  server: Server;
  /**
   * Takes no more connections, answers what comes on those there are, and ends each with its answer. Resolves when
   * all are gone; after `timeoutMs` the rest is cut.
   */
  drain(timeoutMs: number): Promise<void>;
}

export function createCallbackListener({
  path,
  receiver,
  log,
}: {
  path: string;
  receiver: Receiver;
  log: Log;
}): CallbackListener {
  const app = new Koa();
  let isDraining = false;

  // Koa's context, without the rest of `app.callback()`: what that does for middleware, for bodies of any kind and for
  // errors is not needed for three fixed fields, and keeps alive, until the answer, twice as much as the callback does.
  async function handle(
    arrivedAt: number,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    // The sender went away while this waited for its turn.
    if (request.destroyed) return;
    const answer = await answerRequest(app.createContext(request, response), arrivedAt);
    if (answer !== null) respond(response, answer);
  }

  function answerRequest(ctx: Koa.Context, arrivedAt: number): Promise<Answer | null> | Answer {
    if (ctx.path !== path) return notFoundAnswer;
    if (ctx.method !== 'POST') return methodAnswer;
    return answerCallback(toCallback(ctx, arrivedAt), ctx.req, receiver, log);
  }

  function respond(response: ServerResponse, { status, headers, body }: Answer): void {
    response.writeHead(status, isDraining ? [...headers, 'Connection', 'close'] : headers);
    // ASCII throughout: it need not be measured or converted again.
    response.end(body, 'latin1');
  }

  const begin = inTurns(handle, { waitingMax: connectionsMax });
  const server = createServer(serverOptions, (...args) => begin(performance.now(), ...args));
  server.maxConnections = connectionsMax;
  server.on('drop', () => receiver.metrics.connectionRefused());
  return {
    server,
    async drain(timeoutMs) {
      isDraining = true;
      const closed = once(server, 'close');
      const cut = setTimeout(() => server.closeAllConnections(), timeoutMs);
      // Not http's own close(): it resets idle connections at once, under a callback that may be on its way.
      NetServer.prototype.close.call(server);
      await Promise.race([closed, delay(Math.min(drainIdleMs, timeoutMs), undefined, { ref: false })]);
      server.closeIdleConnections();
      await closed;
      clearTimeout(cut);
    },
  };
}
