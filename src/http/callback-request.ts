/** A callback as a request of Node's: how its body is read and its answer found, whoever took the request. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import Koa from 'koa';
import bodyParser from 'koa-bodyparser';
import type { Log } from '../log.ts';
import { type Answer, failureAnswer } from './answers.ts';
import { type Callback, type Receiver, receive } from './receive.ts';

/** Tencent's messages are 12 KB at most, JSON escaping makes several times that of them. */
export const bodyBytesMax = 256 * 1024;

/** The part of a Koa context that makes a callback. */
export interface CallbackRequest {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly querystring: string;
}

/** `arrivedAt` is on the clock of `performance.now()`. */
export function toCallback({ req, res, querystring }: CallbackRequest, arrivedAt: number): Callback {
  const declared = req.headers['content-length'];
  const contentLength = declared === undefined ? null : Number(declared);
  return {
    arrivedAt,
    querystring,
    contentEncoding: req.headers['content-encoding'],
    bodyBytesMax: Math.min(contentLength ?? bodyBytesMax, bodyBytesMax),
    async readBody() {
      if (contentLength === null) return readChunked(req, res);
      return contentLength > bodyBytesMax ? null : readDeclared(req);
    },
  };
}

/** The sender has gone before all of its request had come. */
export function isAbandoned(request: IncomingMessage): boolean {
  return request.destroyed && !request.complete;
}

/** A request that the app around this has spoilt. */
export class RequestUnusable extends Error {
  override name = 'RequestUnusable';
}

/** `null`: nobody is left to be answered. Never rejects. */
export async function answerCallback(
  callback: Callback,
  request: IncomingMessage,
  receiver: Receiver,
  log: Log,
): Promise<Answer | null> {
  try {
    return await receive(callback, receiver);
  } catch (error) {
    if (isAbandoned(request)) return null;
    if (error instanceof RequestUnusable) {
      log.error(`an exception was not counted: ${error.message}`);
    } else {
      const { name, message } = error as Error;
      log.error('a callback failed inside the exporter; this is a bug', { error: `${name}: ${message}` });
    }
    return failureAnswer;
  }
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

// Not as JSON: the errors of its parser carry the body.
const readText = bodyParser({ enableTypes: ['text'], textLimit: String(bodyBytesMax) });

/** Makes contexts of its own: koa-bodyparser reads no body on one on which an app's parser has left a result. */
const plain = new Koa();

/** `null`: too large. As text it is read whatever Content-Type says; koa-bodyparser wants to be told one of its own. */
async function readChunked(request: IncomingMessage, response: ServerResponse): Promise<string | null> {
  const ctx = plain.createContext(request, response);
  request.headers['content-type'] = 'text/plain';
  try {
    await readText(ctx, async () => {});
  } catch (error) {
    if ((error as { status?: number }).status === 413) return null;
    throw error;
  }
  const { body } = ctx.request;
  return typeof body === 'string' ? body : '';
}
