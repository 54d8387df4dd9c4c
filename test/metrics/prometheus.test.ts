/** What a real Prometheus makes of a scrape. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { contentTypes, encode, type Family, type Format } from '../../src/metrics/exposition.ts';
import type { Metrics } from '../../src/metrics/metrics.ts';
import { type Prometheus, startPrometheus, until } from '../support/prometheus.ts';
import { count, newLabels, newMetrics } from './fixtures.ts';

const real = suite('prometheus');

const exceptions = 'tencent_chat_group_message_exceptions_total';

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Serves scrapes as the operator listener does, and tells their content types as they are sent. */
function serve(metrics: Metrics): Server {
  const server = createServer(async (request, response) => {
    const isScraper = request.headers['x-prometheus-scrape-timeout-seconds'] !== undefined;
    const scraper = {
      address: request.socket.remoteAddress!,
      userAgent: request.headers['user-agent'] ?? '',
    };
    const scrape = await metrics.render(request.headers.accept, isScraper ? scraper : null);
    response.once('finish', () => {
      scrape.sent();
      server.emit('scraped', scrape.contentType);
    });
    response.setHeader('Content-Type', scrape.contentType).end(scrape.body);
  });
  return server;
}

const hostile = 'C:\\new "line"\nforged_total{a="1"} 1';

const families: Family[] = [
  {
    name: 'odd_total',
    help: 'Backslash \\, quote " and\nline feed.',
    type: 'counter',
    samples: [{ name: 'odd_total', labels: { path: hostile, kind: 'é😀' }, value: 3, exemplar: null }],
  },
  {
    name: 'odd_level',
    help: 'Odd numbers.',
    type: 'gauge',
    samples: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 5.11e-7, 1e21].map(
      (value, index) => ({
        name: 'odd_level',
        labels: { index: `${index}` },
        value,
        exemplar: null,
      }),
    ),
  },
  {
    name: 'odd_seconds',
    help: 'A histogram.',
    type: 'histogram',
    samples: [
      { name: 'odd_seconds_bucket', labels: { le: 1 }, value: 2, exemplar: null },
      { name: 'odd_seconds_bucket', labels: { le: '+Inf' }, value: 2, exemplar: null },
      { name: 'odd_seconds_sum', labels: {}, value: 1.25, exemplar: null },
      { name: 'odd_seconds_count', labels: {}, value: 2, exemplar: null },
    ],
  },
];

function serveFamilies(format: Format): Server {
  return createServer(async (_, response) => {
    response.setHeader('Content-Type', contentTypes[format]).end(await encode(families, format));
  });
}

// One Prometheus for all: it takes five seconds from its start to its first scrape.
const metrics = newMetrics({ now: Date.now, monotonicNow: () => performance.now() });
const servers = {
  exporter: serve(metrics),
  text: serveFamilies('text'),
  openmetrics: serveFamilies('openmetrics'),
};
const firstScrape = once(servers.exporter, 'scraped');
let prometheus: Prometheus;

real.before(async () => {
  const jobs = Object.entries(servers).map(async ([job, server]) => ({
    job_name: job,
    static_configs: [{ targets: [await listen(server)], labels: { instance: 'here' } }],
  }));
  prometheus = await startPrometheus({ scrape_configs: await Promise.all(jobs) });
});

real.after(async () => {
  await prometheus.close();
  for (const server of Object.values(servers)) {
    server.close();
    server.closeAllConnections();
  }
});

real('sees the first exception of a label set rise, and finds its trace', async () => {
  assert.equal(await firstScrape, [contentTypes.openmetrics]);
  const now = Date.now();
  count(metrics, newLabels(), { traceId: 'c'.repeat(32), occurredAt: now, receivedAt: now });

  const increase = await until(async () => {
    const [series] = await prometheus.query(`increase(${exceptions}[1m]) > 0`);
    return series;
  }, 'an increase');
  assert.is(increase.labels.error_code, '10023');
  assert.is(increase.labels.platform, 'Web');

  const [found] = await until(async () => {
    const answer = await prometheus.queryExemplars(exceptions);
    return answer.length > 0 && answer;
  }, 'an exemplar');
  assert.is(found!.seriesLabels.error_code, '10023');
  assert.equal(found!.exemplars[0]!.labels, { trace_id: 'c'.repeat(32), span_id: 'b'.repeat(16) });
});

real('stores hostile label values and odd numbers the same from both formats', async () => {
  const ask = async (job: string) => {
    const found = await prometheus.query(`{job="${job}",__name__=~"odd_.+|forged.*"}`);
    const own = found.map(({ labels: { job: _job, ...labels }, value }) => ({ labels, value }));
    return own.sort((a, b) => (JSON.stringify(a.labels) < JSON.stringify(b.labels) ? -1 : 1));
  };
  await until(
    async () => (await ask('text')).length > 0 && (await ask('openmetrics')).length > 0,
    'both scrapes',
  );
  const fromText = await ask('text');
  const bound = (le: string | undefined) => (le === '1' ? { le: '1.0' } : {});
  const canonical = fromText.map(({ labels, value }) => ({
    labels: { ...labels, ...bound(labels.le) },
    value,
  }));
  assert.equal(await ask('openmetrics'), canonical);
  assert.is(fromText.length, 10);
  const counted = fromText.find(({ labels }) => labels.__name__ === 'odd_total')!;
  assert.equal([counted.labels.path, counted.labels.kind, counted.value], [hostile, 'é😀', 3]);
  const levels = fromText.filter(({ labels }) => labels.__name__ === 'odd_level').map(({ value }) => value);
  assert.equal(
    levels,
    families[1]!.samples.map(({ value }) => value),
  );
  assert.is(fromText.filter(({ labels }) => labels.le === '1').length, 1);
});

real('finds every target healthy', async () => {
  const targets = await prometheus.targets();
  assert.equal(
    targets.map(({ health, lastError }) => [health, lastError]),
    [
      ['up', ''],
      ['up', ''],
      ['up', ''],
    ],
  );
});

real.run();
