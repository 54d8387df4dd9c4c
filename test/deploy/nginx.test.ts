/** The proxy's configuration in a real nginx: TLS, a real exporter behind it, and what is left in its logs. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { Agent } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { settings } from '../../src/config.ts';
import { answerWithinMs } from '../../src/http/receive.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { until } from '../support/prometheus.ts';
import { newSeed } from '../support/random.ts';
import { type RequestOptions, type Response, send } from '../support/request.ts';
import { sampleBody, sampleToken, signedQuery } from '../support/samples.ts';

const nginx = suite('nginx');
nginx.after.each(cleanUp);

const shipped = readFileSync(join(import.meta.dirname, '../../src/deploy/nginx.conf'), 'utf8');
const bodyBytesMax = 256 * 1024;
/** Tencent gives up on a callback after this. */
const senderWaitsMs = 2_000;

interface Proxy {
  url: string;
  createAgent(): Agent;
  /** Posts over a connection of its own. */
  post(query: string, body: string | Buffer, options?: RequestOptions): Promise<Response>;
  /** What it wrote to its files, one after the other. */
  written(): string;
  logLines(): string[];
  stop(): Promise<void>;
}

/** nginx with the shipped configuration, but for addresses and paths, in a folder of its own. */
async function startNginx(exporterPort: number): Promise<Proxy> {
  const folder = temporaryDirectory();
  const path = (name: string): string => join(folder, name);
  mkdirSync(path('logs'));
  mkdirSync(path('temporary'));
  const certificate = [
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
  ];
  const files = ['-subj', '/CN=localhost', '-keyout', path('key.pem'), '-out', path('certificate.pem')];
  const names = ['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  execFileSync('openssl', ['req', ...certificate, ...files, ...names], { stdio: 'ignore' });

  const port = await freePort();
  let server = shipped;
  for (const [from, to] of [
    ['server 127.0.0.1:8080;', `server 127.0.0.1:${exporterPort};`],
    ['listen 443 ssl;', `listen 127.0.0.1:${port} ssl;`],
    ['/etc/nginx/tls/chat-callbacks.example.org.crt', path('certificate.pem')],
    ['/etc/nginx/tls/chat-callbacks.example.org.key', path('key.pem')],
    ['/var/log/nginx/tencent-chat-exporter.log', path('logs/callbacks.log')],
  ] as const) {
    assert.ok(server.includes(from), from);
    server = server.replace(from, () => to);
  }
  writeFileSync(path('server.conf'), server);
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
    name => `${name}_temp_path ${path(`temporary/${name}`)};`,
  );
  // The rest as Debian has it: what the shipped file does not say would go to these logs.
  writeFileSync(
    path('nginx.conf'),
    `daemon off; worker_processes 1; pid ${path('pid')}; error_log ${path('logs/error.log')} info;
     events {}
     http { access_log ${path('logs/access.log')}; ${temporary.join('\n')} include ${path('server.conf')}; }`,
  );
  const child = spawn('nginx', ['-p', folder, '-e', path('logs/error.log'), '-c', path('nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', text => {
    complaints += text;
  });
  const exited = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM');
    await exited;
  };
  onCleanUp(stop);

  const url = `https://localhost:${port}/`;
  const ca = readFileSync(path('certificate.pem'));
  const createAgent = (): Agent => new Agent({ keepAlive: true, maxSockets: 1, ca });
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`nginx ended: ${complaints}`);
    return get(`${url}nothing`, createAgent()).catch(() => undefined);
  }, 'nginx');
  // Whatever would have to be written to a file from here on fails.
  rmSync(path('temporary'), { recursive: true });
  return {
    url,
    createAgent,
    post: (query, body, options) =>
      withAgent(createAgent(), agent => send(`${url}?${query}`, { method: 'POST', agent, ...options, body })),
    written: () =>
      readdirSync(path('logs'))
        .map(name => readFileSync(join(path('logs'), name), 'utf8'))
        .join('\n'),
    logLines: () => readFileSync(path('logs/callbacks.log'), 'utf8').trim().split('\n'),
    stop,
  };
}

async function withAgent(agent: Agent, request: (agent: Agent) => Promise<Response>): Promise<Response> {
  try {
    return await request(agent);
  } finally {
    agent.destroy();
  }
}

const get = (url: string, agent: Agent, method = 'GET') =>
  withAgent(agent, () => send(url, { method, agent }));

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

/** An exporter that wants signatures, at a port that it can be started at again. */
function startBehind(port: number, journal?: string): Promise<Exporter> {
  const env = { CALLBACK_TOKENS: sampleToken, CALLBACK_LISTEN: `127.0.0.1:${port}` };
  return startExporter({ env, ...(journal === undefined ? {} : { journal }) });
}

const query = () => signedQuery(Date.now(), sampleToken, { ClientIP: '198.51.100.77' });

/** Tencent's three fields, which nginx's own refusals have, too. */
function fieldsOf({ status, headers, body }: Response) {
  assert.is(headers['content-type'], 'application/json');
  const { ActionStatus, ErrorCode, ...rest } = JSON.parse(body);
  assert.equal(Object.keys(rest), ['ErrorInfo']);
  return [status, ActionStatus, ErrorCode];
}

nginx(
  'passes signed callbacks on and counts them once; others are refused as the exporter does',
  async () => {
    const port = await freePort();
    const exporter = await startBehind(port);
    const proxy = await startNginx(port);
    assert.equal(fieldsOf(await proxy.post(query(), sampleBody())), [200, 'OK', 0]);
    assert.equal(fieldsOf(await proxy.post(query(), sampleBody())), [200, 'OK', 0]);
    assert.is(await exporter.total(), 1);

    assert.equal(fieldsOf(await proxy.post(signedQuery(Date.now(), 'another'), sampleBody())), [
      401,
      'FAIL',
      401,
    ]);
    const encoded = { headers: { 'Content-Encoding': 'gzip' } };
    assert.equal(fieldsOf(await proxy.post(query(), sampleBody(), encoded)), [415, 'FAIL', 415]);

    // Chunks are bodies of a length that is not known before.
    const largest = sampleBody({
      Random: 2,
      CloudCustomData: 'x'.repeat(bodyBytesMax - sampleBody().length),
    });
    const padded = `${largest.slice(0, -1)}${' '.repeat(bodyBytesMax - largest.length)}}`;
    assert.is(padded.length, bodyBytesMax);
    for (const headers of [undefined, { 'Transfer-Encoding': 'chunked' }]) {
      assert.equal(fieldsOf(await proxy.post(query(), padded, { headers })), [200, 'OK', 0]);
      assert.equal(fieldsOf(await proxy.post(query(), `${padded} `, { headers })), [413, 'FAIL', 413]);
    }
    assert.is(await exporter.total(), 2);
  },
);

nginx('lets through nothing but POST to the one path', async () => {
  let passed = 0;
  const upstream = createHttpServer((request, response) => {
    passed += 1;
    request.resume();
    response.end();
  });
  onCleanUp(() => upstream.close());
  const { url, createAgent } = await startNginx(await listen(upstream));
  for (const method of ['GET', 'PUT', 'DELETE', 'OPTIONS']) {
    const response = await get(`${url}?${query()}`, createAgent(), method);
    assert.equal(fieldsOf(response), [405, 'FAIL', 405], method);
    assert.is(response.headers.allow, 'POST');
  }
  for (const path of ['metrics', '-/healthy', 'index.html']) {
    assert.equal(fieldsOf(await get(url + path, createAgent())), [404, 'FAIL', 404], path);
    assert.equal(fieldsOf(await get(url + path, createAgent(), 'POST')), [404, 'FAIL', 404], path);
  }
  assert.is(passed, 0);
});

nginx(
  'keeps Sign, parameters and message text out of every file, also when the exporter is away',
  async () => {
    const port = await freePort();
    const exporter = await startBehind(port);
    const proxy = await startNginx(port);
    const body = sampleBody({ MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-text' } }] });
    const signed = query();
    const headers = { Referer: `https://example.org/?${signed}`, 'User-Agent': 'canary-agent' };
    await proxy.post(signed, body, { headers });
    await proxy.post(signed, `${body}${' '.repeat(bodyBytesMax)}`, { headers });
    await exporter.kill('SIGKILL');
    const startedAt = performance.now();
    assert.equal(fieldsOf(await proxy.post(signed, body, { headers })), [502, 'FAIL', 502]);
    assert.ok(performance.now() - startedAt < senderWaitsMs);
    await proxy.stop();

    const lines = proxy.logLines().filter(line => line.includes(' POST '));
    const fields = lines.map(line => line.split(' '));
    assert.equal(
      fields.map(([, address, method, path, status, , , upstreamStatus]) => [
        address,
        method,
        path,
        status,
        upstreamStatus,
      ]),
      [
        ['127.0.0.1', 'POST', '/', '200', '200'],
        ['127.0.0.1', 'POST', '/', '413', '-'],
        ['127.0.0.1', 'POST', '/', '502', '502'],
      ],
    );
    const written = proxy.written();
    const secrets = [...new URLSearchParams(signed).values()].filter(value => value.length > 4);
    assert.ok(secrets.length >= 5);
    for (const secret of [...secrets, 'Sign', 'canary', 'red packet']) assert.not.match(written, secret);
  },
);

nginx('passes on no header but those that the exporter needs', async () => {
  const seen: string[][] = [];
  const upstream = createHttpServer((request, response) => {
    seen.push(Object.keys(request.headers).sort());
    request.resume();
    response.end('{}');
  });
  onCleanUp(() => upstream.close());
  const proxy = await startNginx(await listen(upstream));
  const headers = {
    'X-Forwarded-For': '192.0.2.1',
    'X-Real-IP': '192.0.2.1',
    Forwarded: 'for=192.0.2.1',
    Cookie: 'a=b',
  };
  await proxy.post(query(), sampleBody(), { headers });
  assert.equal(seen, [['content-length', 'host']]);
});

nginx('sends a callback again when a kept connection turns out to be gone', async () => {
  let requests = 0;
  /** Answers the first callback of each connection, and resets it with the second, as it is used. */
  const upstream = createServer(socket => {
    let isUsed = false;
    socket.on('error', () => {});
    socket.on('data', () => {
      requests += 1;
      if (isUsed) return void socket.resetAndDestroy();
      isUsed = true;
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
    });
    onCleanUp(() => socket.destroy());
  });
  onCleanUp(() => upstream.close());
  const proxy = await startNginx(await listen(upstream));
  for (const number of [1, 2, 3]) {
    assert.is((await proxy.post(query(), sampleBody({ Random: number }))).status, 200);
  }
  assert.is(requests, 5, 'the second and the third were sent twice');
});

nginx(
  'gives up on an exporter that does not answer, after it should have and before Tencent does',
  async () => {
    const upstream = createServer(socket => socket.on('error', () => {}).resume());
    onCleanUp(() => upstream.close());
    const proxy = await startNginx(await listen(upstream));
    const startedAt = performance.now();
    const answer = proxy.post(query(), sampleBody());
    assert.equal(fieldsOf(await answer), [504, 'FAIL', 504]);
    assert.ok(performance.now() - startedAt > answerWithinMs);
    const [, readTimeoutMs] = /proxy_read_timeout (\d+)ms;/.exec(shipped)!;
    assert.ok(Number(readTimeoutMs) > answerWithinMs && Number(readTimeoutMs) < senderWaitsMs);
    assert.match(proxy.logLines().at(-1)!, / 504 \d+ [\d.]+ 504 /);
  },
);

nginx('every callback answered OK is counted once, across kill -9 of the exporter under load', async () => {
  const seed = newSeed();
  const port = await freePort();
  const proxy = await startNginx(port);
  let exporter = await startBehind(port);
  const { createAgent } = proxy;
  const oracle = new Oracle({ seed, connections: 8, pauseMs: 5, query, createAgent });
  oracle.start(proxy.url.slice(0, -1));
  for (let kills = 1; kills <= 3; kills += 1) {
    const before = oracle.answeredCount;
    await until(async () => oracle.answeredCount > before + 200, '200 answers');
    await exporter.kill('SIGKILL');
    await delay(100);
    exporter = await startBehind(port, exporter.journal);
  }
  await oracle.stop();
  const { acknowledged, unanswered, refusals } = oracle;
  console.log(`\nnginx: SEED=${seed}, ${acknowledged.size} acknowledged, ${refusals.get(502)} times 502`);
  assert.equal([...refusals.keys()], [502], 'nginx has answered all the time');
  const total = await exporter.total();
  assert.ok(total >= acknowledged.size, `${acknowledged.size - total} are lost`);
  assert.ok(total <= acknowledged.size + unanswered.size);
  await oracle.sendAgain(proxy.url.slice(0, -1), unanswered);
  assert.is(oracle.unanswered.size, 0);
  assert.is(await exporter.total(), oracle.acknowledged.size);
});

nginx('has the port and the path of the default settings', () => {
  assert.ok(shipped.includes(`server 127.0.0.1:${settings.callbackListen.default.split(':')[1]};`));
  assert.ok(shipped.includes(`location = ${settings.callbackPath.default} {`));
});

nginx.run();
