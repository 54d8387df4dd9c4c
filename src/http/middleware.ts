/**
 * Koa middleware that takes exceptions out of the callbacks that come to an app of its own. Everything else is handed on
 * as it came: unread, unauthenticated, uncounted.
 */
import { exceptionCommand, urlCommand } from '../callback/commands.ts';
import { parseParameters } from '../callback/parameters.ts';
import { bodyCommand, parseBody } from '../callback/parse.ts';
import type { Log } from '../log.ts';
import {
  answerCallback,
  bodyBytesMax,
  type CallbackRequest,
  isAbandoned,
  RequestUnusable,
  toCallback,
} from './callback-request.ts';
import type { Callback, Receiver } from './receive.ts';

/** The part of a Koa context that the middleware needs; every version of Koa's own types fits. */
export interface CallbackContext extends CallbackRequest {
  readonly method: string;
  /** As Koa has it: koa-mount takes its prefix away, @koa/router does not. */
  readonly path: string;
  /** `body` and `rawBody`: what a body parser has left. */
  readonly request: { readonly method: string; readonly body?: unknown; readonly rawBody?: unknown };
  status: number;
  body: unknown;
  set(name: string, value: string): void;
}

export type CallbackMiddleware = (ctx: CallbackContext, next: () => Promise<unknown>) => Promise<void>;

/** Without `path` callbacks are taken at any. */
export function createCallbackMiddleware({
  path,
  receiver,
  log,
  bodyWithinMs = 8_000,
}: {
  path: string | undefined;
  receiver: Receiver;
  log: Log;
  /** As on the callback listener; an app's server may well allow 300 s. */
  bodyWithinMs?: number;
}): CallbackMiddleware {
  return async (ctx, next) => {
    if (ctx.method !== 'POST' || (path !== undefined && ctx.path !== path) || !isException(ctx)) {
      await next();
      return;
    }
    // While the app was busy with it: a body that will not come must not be waited for.
    if (isAbandoned(ctx.req)) return;
    const answer = await answerCallback(callbackOf(ctx, bodyWithinMs), ctx.req, receiver, log);
    if (answer === null) return;
    ctx.status = answer.status;
    ctx.body = answer.body;
    // After the body, for which Koa sets headers of its own.
    for (let index = 0; index < answer.headers.length; index += 2) {
      ctx.set(answer.headers[index]!, answer.headers[index + 1]!);
    }
  };
}

/** By its URL; by its body only where the URL names no command and the app has read the body. */
function isException(ctx: CallbackContext): boolean {
  const command = urlCommand(parseParameters(ctx.querystring)) ?? (isBodyRead(ctx) ? readCommand(ctx) : null);
  return command === exceptionCommand;
}

function readCommand({ request: { body } }: CallbackContext): string | undefined {
  const text = asText(body);
  const parsed = text !== null ? parseBody(text) : isObject(body) ? { fields: body } : null;
  return parsed === null ? undefined : bodyCommand(parsed);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** `null`: neither text nor bytes. */
function asText(left: unknown): string | null {
  if (left instanceof Uint8Array) return Buffer.from(left).toString();
  return typeof left === 'string' ? left : null;
}

function callbackOf(ctx: CallbackContext, bodyWithinMs: number): Callback {
  const callback = toCallback(ctx, performance.now());
  return {
    ...callback,
    readBody: isBodyRead(ctx) ? async () => readParsed(ctx) : () => readInTime(ctx, callback, bodyWithinMs),
  };
}

/** An empty body is never read by itself, only ended. */
function isBodyRead({ req }: CallbackContext): boolean {
  return req.readableDidRead || req.readableEnded;
}

async function readInTime(
  ctx: CallbackContext,
  callback: Callback,
  withinMs: number,
): Promise<string | null> {
  const cut = setTimeout(() => ctx.req.destroy(new Error('the body of a callback took too long')), withinMs);
  try {
    return await callback.readBody();
  } finally {
    clearTimeout(cut);
  }
}

function readParsed(ctx: CallbackContext): string | null {
  const text = parsedText(ctx);
  if (text === null) {
    throw new RequestUnusable(
      'the app has read its body and left neither text nor fields of it; use the middleware before what reads bodies',
    );
  }
  return Buffer.byteLength(text) > bodyBytesMax ? null : text;
}

/**
 * The body as the app's parser has left it; `null` where it has left nothing. The text itself is best. Fields are
 * written out again: what the parser has lost, such as digits of a number from 2^53 on, is not in it.
 */
function parsedText({ request: { rawBody, body } }: CallbackContext): string | null {
  const text = asText(rawBody) ?? asText(body);
  if (text !== null || body === undefined || body === null) return text;
  try {
    return JSON.stringify(body) ?? null;
  } catch {
    // Nothing that came as JSON: it holds itself, or a bigint. The error would quote its keys, which are private.
    return null;
  }
}
