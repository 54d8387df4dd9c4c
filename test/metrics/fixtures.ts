import type { ExceptionLabels } from '../../src/callback/exception.ts';
import { createMetrics, type Metrics, type MetricsOptions } from '../../src/metrics/metrics.ts';

export const startedAt = Date.UTC(2026, 10, 23);

export function newMetrics(options: Partial<MetricsOptions> = {}): Metrics {
  return createMetrics({
    version: '1.2.3',
    revision: 'abcdef0',
    isAuthenticating: true,
    journalBytesMax: 1000,
    now: () => startedAt,
    monotonicNow: () => 0,
    ...options,
  });
}

export function newLabels(labels: Partial<ExceptionLabels> = {}): ExceptionLabels {
  return {
    sdk_app_id: '1400000001',
    error_code: '10023',
    error_category: 'rate_limited',
    group_type: 'Public',
    platform: 'Web',
    initiator: 'user',
    ...labels,
  };
}

/** Counts one exception of the label set. */
export function count(
  metrics: Metrics,
  labels: ExceptionLabels,
  {
    traceId = 'a'.repeat(32),
    spanId = 'b'.repeat(16),
    occurredAt = startedAt,
    receivedAt = startedAt,
    senderHash = 1,
    groupHash = 2,
    elementTypes = ['TIMTextElem'],
  } = {},
): void {
  metrics.exceptionCounted(
    { traceId, spanId, occurredAt, receivedAt, elementTypes, labels },
    { senderHash, groupHash },
  );
}

/** A scrape as text 0.0.4, by a person. */
export async function text(metrics: Metrics): Promise<string> {
  return (await metrics.render(undefined, null)).body.toString();
}

/** A scrape as OpenMetrics, by a person. */
export async function openMetrics(metrics: Metrics): Promise<string> {
  return (await metrics.render('application/openmetrics-text', null)).body.toString();
}

/** The sample lines whose name is exactly this. */
export function lines(scrape: string, name: string): string[] {
  return scrape.split('\n').filter(line => /^[^{ ]*/.exec(line)![0] === name);
}
