/** The operator listener: metrics, health and the status page, also as JSON. Not for Tencent, and not for the outside. */
import { createServer, type Server } from 'node:http';
import Router from '@koa/router';
import Koa from 'koa';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { toApiStatus } from './api-status.ts';
import { answerScrape } from './scrape.ts';
import type { Status } from './status.ts';
import { contentSecurityPolicy, renderStatusPage } from './status-page.ts';

export interface Operations {
  metrics: Metrics;
  /** From the moment callbacks are taken until draining begins; also while the journal is down. */
  isReady: () => boolean;
  status: () => Status;
  log: Log;
}

/** A scrape is a few requests a minute; whoever needs more connections than this is no scraper. */
const connectionsMax = 100;

export function createOperatorListener({ metrics, isReady, status, log }: Operations): Server {
  const router = new Router();

  router.get('/metrics', ctx => answerScrape(ctx, metrics));
  router.get('/-/healthy', ctx => {
    ctx.body = 'The process turns.\n';
  });
  router.get('/-/ready', ctx => {
    ctx.status = isReady() ? 200 : 503;
    ctx.body = isReady() ? 'Callbacks are taken.\n' : 'Callbacks are not taken.\n';
  });
  router.get('/', ctx => {
    setHeaders(ctx, contentSecurityPolicy);
    ctx.type = 'html';
    ctx.body = renderStatusPage(status());
  });
  router.get('/api/status', ctx => {
    setHeaders(ctx, "default-src 'none'; frame-ancestors 'none'");
    ctx.type = 'json';
    ctx.body = `${JSON.stringify(toApiStatus(status()), null, 2)}\n`;
  });

  const app = new Koa();
  app.use(router.routes());
  app.use(router.allowedMethods());
  app.silent = true;
  app.on('error', error => {
    // A scraper that goes away in the middle of an answer is its own affair.
    if (error.code === 'EPIPE' || error.code === 'ECONNRESET' || error.code === 'ERR_STREAM_PREMATURE_CLOSE')
      return;
    log.error('an operator request failed inside the exporter; this is a bug', {
      error: `${error.name}: ${error.message}`,
    });
  });

  const server = createServer({ headersTimeout: 5_000, requestTimeout: 8_000 }, app.callback());
  server.maxConnections = connectionsMax;
  return server;
}

/** Of what is for people: some of it comes from strangers, none of it is to be kept or passed on. */
function setHeaders(ctx: Koa.Context, policy: string): void {
  ctx.set({
    'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-store',
  });
}
