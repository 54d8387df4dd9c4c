import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createOperatorListener, type Operations } from '../../src/http/operator-listener.ts';
import type { Status } from '../../src/http/status-page.ts';
import { count, lines, newLabels, newMetrics } from '../metrics/fixtures.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { send } from '../support/request.ts';
import { exceptionsName, newLog } from './fixtures.ts';

/** What Prometheus sends beside its Accept. */
const prometheus = { 'X-Prometheus-Scrape-Timeout-Seconds': '10', 'User-Agent': 'Prometheus/2.42.0' };

function newStatus(changes: Partial<Status> = {}): Status {
  return {
    version: '1.2.3',
    isReady: true,
    isAuthenticating: true,
    sdkAppIds: ['1400000001'],
    callbackPath: '/',
    journal: {
      location: './data/journal.db',
      isUp: true,
      unwritten: 0,
      stats: { bytes: 4_096, events: 17, backlogEvents: 3, oldestUndeliveredAt: null },
    },
    signals: ['traces', 'logs'],
    lastExceptionAt: null,
    rejections: [],
    ...changes,
  };
}

async function start(changes: Partial<Operations> = {}) {
  const metrics = newMetrics();
  const logLines: string[] = [];
  const server = createOperatorListener({
    metrics,
    isReady: () => true,
    status: newStatus,
    log: newLog(logLines),
    ...changes,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanUp(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { metrics, logLines, port, url: `http://127.0.0.1:${port}` };
}

/** The counter's values, as a scrape shows them. */
async function scrape(url: string, headers: Record<string, string> = {}): Promise<string[]> {
  const { body } = await send(`${url}/metrics`, { headers });
  return lines(body, exceptionsName).map(line => line.slice(line.lastIndexOf(' ') + 1));
}

const operator = suite('operator listener');

operator.after.each(cleanUp);

/** What each path answers. */
const routes: {
  method?: string;
  path: string;
  status: number;
  allow?: string;
  type?: string;
  body: RegExp;
}[] = [
  {
    path: '/',
    status: 200,
    type: 'text/html; charset=utf-8',
    body: /<h1>tencent-chat-exporter 1\.2\.3<\/h1>/,
  },
  { path: '/metrics', status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: /^# HELP / },
  { path: '/-/healthy', status: 200, type: 'text/plain; charset=utf-8', body: /turns/ },
  { path: '/-/ready', status: 200, type: 'text/plain; charset=utf-8', body: /taken/ },
  { path: '/other', status: 404, body: /Not Found/ },
  { path: '/metrics/more', status: 404, body: /Not Found/ },
  { method: 'POST', path: '/', status: 405, allow: 'HEAD, GET', body: /Method Not Allowed/ },
  { method: 'POST', path: '/metrics', status: 405, allow: 'HEAD, GET', body: /Method Not Allowed/ },
  { method: 'DELETE', path: '/-/ready', status: 405, allow: 'HEAD, GET', body: /Method Not Allowed/ },
  { method: 'HEAD', path: '/metrics', status: 200, body: /^$/ },
  { method: 'HEAD', path: '/', status: 200, body: /^$/ },
  { method: 'HEAD', path: '/-/ready', status: 200, body: /^$/ },
];

for (const { method = 'GET', path, status, allow, type, body } of routes) {
  operator(`${method} ${path}: ${status}`, async () => {
    const { url } = await start();
    const answer = await send(url + path, { method });
    assert.is(answer.status, status);
    assert.is(answer.headers.allow, allow);
    if (type !== undefined) assert.is(answer.headers['content-type'], type);
    assert.match(answer.body, body);
  });
}

operator('/-/ready says 503 while callbacks are not taken, and /-/healthy stays 200', async () => {
  let isReady = false;
  const { url } = await start({ isReady: () => isReady });
  const status = async (path: string) => (await send(url + path)).status;
  assert.equal([await status('/-/ready'), await status('/-/healthy')], [503, 200]);
  isReady = true;
  assert.is(await status('/-/ready'), 200);
  isReady = false;
  assert.equal([await status('/-/ready'), await status('/-/healthy')], [503, 200]);
});

operator('answers in OpenMetrics where it is asked for', async () => {
  const { url } = await start();
  const answer = await send(`${url}/metrics`, {
    headers: { Accept: 'application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3' },
  });
  assert.is(answer.headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  assert.ok(answer.body.endsWith('# EOF\n'));
});

operator('a scrape is not cached', async () => {
  const { url } = await start();
  assert.is((await send(`${url}/metrics`)).headers['cache-control'], 'no-store');
});

operator('shows a scraper a newborn series at 0 once, and a person the true value', async () => {
  const { url, metrics } = await start();
  count(metrics, newLabels());
  assert.equal(await scrape(url), ['1']);
  assert.equal(await scrape(url, prometheus), ['0']);
  assert.equal(await scrape(url), ['1']);
  assert.equal(await scrape(url, prometheus), ['1']);
});

operator('tells scrapers at one address apart by their User-Agent', async () => {
  const { url, metrics } = await start();
  count(metrics, newLabels());
  assert.equal(await scrape(url, prometheus), ['0']);
  assert.equal(await scrape(url, { ...prometheus, 'User-Agent': 'vmagent' }), ['0']);
  assert.equal(await scrape(url, prometheus), ['1']);
});

operator('HEAD shows a scraper nothing', async () => {
  const { url, metrics } = await start();
  count(metrics, newLabels());
  await send(`${url}/metrics`, { method: 'HEAD', headers: prometheus });
  assert.equal(await scrape(url, prometheus), ['0']);
});

operator('shows a scraper that went away in the middle of the answer the same zeros again', async () => {
  const metrics = newMetrics();
  // More than the buffers of both ends hold, so that the answer cannot be sent in full.
  const padding = Buffer.from(`# ${'x'.repeat(1_000)}\n`.repeat(32_000));
  let isPadded = true;
  let hasRendered = () => {};
  const rendered = new Promise<void>(resolve => {
    hasRendered = resolve;
  });
  const { url, port, logLines } = await start({
    metrics: {
      ...metrics,
      async render(...args) {
        const result = await metrics.render(...args);
        hasRendered();
        return isPadded ? { ...result, body: Buffer.concat([Buffer.from(result.body), padding]) } : result;
      },
    },
  });
  count(metrics, newLabels());
  const socket = connect(port, '127.0.0.1');
  const headers = Object.entries({ Host: 'exporter', ...prometheus }).map(header => header.join(': '));
  socket.write(`GET /metrics HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`);
  await rendered;
  await once(socket, 'data');
  socket.destroy();
  isPadded = false;
  assert.equal(await scrape(url, prometheus), ['0']);
  assert.equal(await scrape(url, prometheus), ['1']);
  assert.equal(logLines, []);
});

operator(
  'a sender that stops in the middle of a request is no bug, and leaves no line in the log',
  async () => {
    const { url, port, logLines } = await start();
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /-/healthy HTTP/1.1\r\nHost: exporter\r\nContent-Length: 10\r\n\r\n12');
    await once(socket, 'data');
    socket.end();
    await once(socket, 'close');
    assert.is((await send(`${url}/-/healthy`)).status, 200);
    assert.equal(logLines, []);
  },
);

operator('logs an error inside the exporter, and answers 500 without its words', async () => {
  const { url, logLines } = await start({
    status() {
      throw new TypeError('a bug near <secret>');
    },
  });
  const answer = await send(url);
  assert.is(answer.status, 500);
  assert.is(answer.body, 'Internal Server Error');
  assert.equal(logLines, [
    'an operator request failed inside the exporter; this is a bug {"error":"TypeError: a bug near <secret>"}',
  ]);
});

const statusPage = suite('status page');

statusPage.after.each(cleanUp);

async function page(changes: Partial<Status>): Promise<string> {
  const { url } = await start({ status: () => newStatus(changes) });
  return (await send(url)).body;
}

statusPage('may load nothing, run nothing and be framed by nobody', async () => {
  const { url } = await start();
  const { headers } = await send(url);
  assert.is(
    headers['content-security-policy'],
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  );
  assert.is(headers['x-content-type-options'], 'nosniff');
  assert.is(headers['cache-control'], 'no-store');
});

statusPage('shows hostile values as the text that they are', async () => {
  const hostile = `</td><script>alert("1")</script>&amp;'`;
  const html = await page({
    version: hostile,
    sdkAppIds: [hostile],
    callbackPath: hostile,
    journal: { ...newStatus().journal, location: hostile },
    rejections: [{ at: 0, reason: 'malformed', command: hostile, body: hostile }],
  });
  assert.not.match(html, /<script/);
  const escaped = '&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;';
  assert.is(html.split(escaped).length - 1, 6, 'six values');
  const journalDown = await page({ journal: { ...newStatus().journal, location: hostile, isUp: false } });
  assert.not.match(journalDown, /<script/);
});

/** What is told of each state. */
const states: { name: string; changes: Partial<Status>; row: RegExp }[] = [
  {
    name: 'callbacks are taken',
    changes: { callbackPath: '/tencent' },
    row: /Callbacks<\/th><td>taken at \/tencent</,
  },
  {
    name: 'callbacks are not taken',
    changes: { isReady: false },
    row: /Callbacks<\/th><td class="ill">not taken/,
  },
  {
    name: 'callbacks are not authenticated',
    changes: { isAuthenticating: false },
    row: /Authentication<\/th><td class="ill">none: .*CALLBACK_TOKENS</,
  },
  {
    name: 'the journal cannot be written',
    changes: { journal: { ...newStatus().journal, isUp: false, unwritten: 12 } },
    row: /Journal<\/th><td class="ill">.*cannot be written; 12 exceptions are held in memory/,
  },
  { name: 'the journal is well', changes: {}, row: /Journal<\/th><td>.*17 exceptions, 4096 bytes</ },
  { name: 'telemetry is off', changes: { signals: [] }, row: /Telemetry<\/th><td>off/ },
  { name: 'telemetry has a backlog', changes: {}, row: /Telemetry<\/th><td>traces and logs, 3 exceptions/ },
  { name: 'no exception came yet', changes: {}, row: /Last exception<\/th><td>none yet</ },
  {
    name: 'the time of the last exception',
    changes: { lastExceptionAt: Date.UTC(2026, 10, 23) },
    row: /Last exception<\/th><td>2026-11-23T00:00:00\.000Z</,
  },
  { name: 'nothing was refused', changes: {}, row: /None since the start/ },
  {
    name: 'the latest rejections',
    changes: { rejections: [{ at: 0, reason: 'stale', command: 'other', body: null }] },
    row: /<tr><td>1970-01-01T00:00:00\.000Z<\/td><td>stale<\/td><td>other<\/td><td><\/td><\/tr>/,
  },
];

for (const { name, changes, row } of states) {
  statusPage(`tells: ${name}`, async () => {
    assert.match(await page(changes), row);
  });
}

operator.run();
statusPage.run();
