import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createOperatorListener, type Operations } from '../../src/http/operator-listener.ts';
import { contentSecurityPolicy } from '../../src/http/status-page.ts';
import { count, lines, newLabels, newMetrics } from '../metrics/fixtures.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { send } from '../support/request.ts';
import { exceptionsName, newLog } from './fixtures.ts';
import { newStatus } from './status-fixtures.ts';

/** What Prometheus sends beside its Accept. */
const prometheus = { 'X-Prometheus-Scrape-Timeout-Seconds': '10', 'User-Agent': 'Prometheus/2.42.0' };

async function start(changes: Partial<Operations> = {}) {
  const metrics = newMetrics();
  const logLines: string[] = [];
  const server = createOperatorListener({
    metrics,
    isReady: () => true,
    status: () => newStatus(),
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
    body: /<strong>tencent-chat-exporter<\/strong> 1\.2\.3/,
  },
  {
    path: '/api/status',
    status: 200,
    type: 'application/json; charset=utf-8',
    body: /^\{\n {2}"state": "well",\n[\s\S]*\n\}\n$/,
  },
  { path: '/metrics', status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: /^# HELP / },
  { path: '/-/healthy', status: 200, type: 'text/plain; charset=utf-8', body: /turns/ },
  { path: '/-/ready', status: 200, type: 'text/plain; charset=utf-8', body: /taken/ },
  { path: '/other', status: 404, body: /Not Found/ },
  { path: '/metrics/more', status: 404, body: /Not Found/ },
  { method: 'POST', path: '/', status: 405, allow: 'HEAD, GET', body: /Method Not Allowed/ },
  { method: 'POST', path: '/api/status', status: 405, allow: 'HEAD, GET', body: /Method Not Allowed/ },
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

/** What a browser is told about what it was given. */
const guarded: Record<string, string> = {
  '/': contentSecurityPolicy,
  '/api/status': "default-src 'none'; frame-ancestors 'none'",
};

for (const [path, policy] of Object.entries(guarded)) {
  operator(
    `${path} may load, run and send nothing, is framed by nobody, kept by nobody, and tells nobody`,
    async () => {
      const { url } = await start();
      const { headers } = await send(url + path);
      assert.is(headers['content-security-policy'], policy);
      assert.is(headers['x-content-type-options'], 'nosniff');
      assert.is(headers['cache-control'], 'no-store');
      assert.is(headers['referrer-policy'], 'no-referrer');
    },
  );
}

operator('the policy of the page lets in nothing but its own styles, by their hash', () => {
  assert.match(
    contentSecurityPolicy,
    /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
  );
});

operator.run();
