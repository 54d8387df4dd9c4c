/** Answers a scrape, on the operator listener or in an app. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Metrics } from '../metrics/metrics.ts';
import type { Scraper } from '../metrics/zero-gate.ts';

/** The part of a Koa context that a scrape needs. */
export interface ScrapeContext {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly method: string;
  body: unknown;
  get(name: string): string;
  set(name: string, value: string): void;
}

export async function answerScrape(ctx: ScrapeContext, metrics: Metrics): Promise<void> {
  const scrape = await metrics.render(ctx.get('Accept') || undefined, scraperOf(ctx));
  ctx.set('Content-Type', scrape.contentType);
  ctx.set('Cache-Control', 'no-store');
  ctx.body = scrape.body;
  // Only what was really sent counts as seen: a scrape that timed out is shown the same zeros again.
  if (ctx.method === 'GET') ctx.res.once('finish', scrape.sent);
}

/** Prometheus, Grafana Alloy, the OpenTelemetry collector and vmagent all say how long they wait; a person does not. */
function scraperOf(ctx: ScrapeContext): Scraper | null {
  if (ctx.get('X-Prometheus-Scrape-Timeout-Seconds') === '') return null;
  return { address: ctx.req.socket.remoteAddress ?? '', userAgent: ctx.get('User-Agent') };
}
