/** The callback listener: turns requests into callbacks, and answers into responses. Nothing else is served here. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import Koa from 'koa';
import bodyParser from 'koa-bodyparser';
import type { Log } from '../log.ts';
import { type Answer, failureAnswer, methodAnswer, notFoundAnswer } from './answers.ts';
import { type Callback, type Receiver, receive } from './receive.ts';
import { inTurns } from './turns.ts';

/** Tencent's messages are 12 KB at most, JSON escaping makes several times that of them. */
const bodyBytesMax = 256 * 1024;

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
  // Not as JSON: the errors of its parser carry the body.
  const readText = bodyParser({ enableTypes: ['text'], textLimit: String(bodyBytesMax) });
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

  /** `null`: nobody is left to be answered. */
  async function answerRequest(ctx: Koa.Context, arrivedAt: number): Promise<Answer | null> {
    if (ctx.path !== path) return notFoundAnswer;
    if (ctx.method !== 'POST') return methodAnswer;
    try {
      return await receive(toCallback(ctx, arrivedAt), receiver);
    } catch (error) {
      if (ctx.req.destroyed && !ctx.req.complete) return null;
      const { name, message } = error as Error;
      log.error('a callback failed inside the exporter; this is a bug', { error: `${name}: ${message}` });
      return failureAnswer;
    }
  }

  function toCallback(ctx: Koa.Context, arrivedAt: number): Callback {
    const declared = ctx.req.headers['content-length'];
    const contentLength = declared === undefined ? null : Number(declared);
    return {
      arrivedAt,
      querystring: ctx.querystring,
      contentEncoding: ctx.req.headers['content-encoding'],
      bodyBytesMax: Math.min(contentLength ?? bodyBytesMax, bodyBytesMax),
      async readBody() {
        if (contentLength === null) return readChunked(ctx);
        return contentLength > bodyBytesMax ? null : readDeclared(ctx.req);
      },
    };
  }

  /** `null`: too large. As text it is read whatever Content-Type says; koa-bodyparser wants to be told one of its own. */
  async function readChunked(ctx: Koa.Context): Promise<string | null> {
    ctx.req.headers['content-type'] = 'text/plain';
    try {
      await readText(ctx, async () => {});
    } catch (error) {
      if ((error as { status?: number }).status === 413) return null;
      throw error;
    }
    const { body } = ctx.request;
    return typeof body === 'string' ? body : '';
  }

  function respond(response: ServerResponse, { status, headers, body }: Answer): void {
    response.writeHead(status, isDraining ? [...headers, 'Connection', 'close'] : headers);
    // ASCII throughout: it need not be measured or converted again.
    response.end(body, 'latin1');
  }

  const begin = inTurns(handle, { waitingMax: connectionsMax });
  const server = createServer(serverOptions, (...args) => begin(performance.now(), ...args));
  server.maxConnections = connectionsMax;
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

/**
 * A body of a declared length, which is what Tencent sends. Node's parser hands over exactly that many bytes, so there
 * is nothing to bound and to decode piece by piece: koa-bodyparser's care for both is a sixth of a callback's CPU.
 */
function readDeclared(request: IncomingMessage): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    request.on('data', chunk => chunks.push(chunk));
    request.on('end', () => resolve((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString()));
    request.on('error', reject);
  });
}
