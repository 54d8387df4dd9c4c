import { once } from 'node:events';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createAuthenticator } from '../../src/callback/authenticate.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { Quantiles } from '../../src/commands/quantiles.ts';
import { simulateJson } from '../../src/commands/simulate.ts';
import { okAnswer, rejectionAnswers } from '../../src/http/answers.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { assertFits, assertJsonKeys, runCommand, type WorldOptions } from './world.ts';

const simulate = suite('simulate');
simulate.after.each(cleanUp);

const app = '1400000001';
const token = 'canary-token';
const env = { SDK_APP_IDS: app, CALLBACK_TOKENS: token };

interface Received {
  querystring: string;
  body: string;
}

/** Closed after the test. */
async function listen(server: Server | ReturnType<typeof createTcpServer>): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanUp(() => {
    if ('closeAllConnections' in server) server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

/** A server that answers all alike, and what it received. */
async function startServer(answer: RequestListener = answerOk) {
  const received: Received[] = [];
  let connections = 0;
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    received.push({ querystring: request.url!.replace(/^.*?\?/, ''), body });
    answer(request, response);
  });
  server.on('connection', () => {
    connections += 1;
  });
  return { url: await listen(server), received, connections: () => connections };
}

const answerOk: RequestListener = (_, response) => {
  response.writeHead(okAnswer.status, okAnswer.headers).end(okAnswer.body);
};

function answerWith(status: number, body = '', headers: Record<string, string> = {}): RequestListener {
  return (_, response) => void response.writeHead(status, headers).end(body);
}

/** Runs it to its end, with the summary in JSON. */
async function simulated(url: string, args: string[], options: WorldOptions = {}) {
  const ended = await runCommand(['simulate', url, '--json', ...args], { env, ...options });
  return { ...ended, summary: JSON.parse(ended.out) };
}

const sum = (counts: Record<string, number>): number => Object.values(counts).reduce((a, b) => a + b, 0);

for (const [rate, duration, count] of [
  ['10', '30s', 300],
  ['3', '1m', 180],
  ['0.5', '1m30s', 45],
  ['1', '1.5m', 90],
] as const) {
  simulate(`sends ${rate} a second for ${duration}: ${count} signed callbacks, all answered OK`, async () => {
    const { url, received } = await startServer();
    const { code, summary } = await simulated(url, ['--rate', rate, '--for', duration]);
    assert.is(code, 0);
    assert.is(received.length, count);
    assert.equal([sum(summary.sent), sum(summary.answered_ok), summary.failures], [count, count, []]);
    assert.ok(summary.answer_seconds.p50 !== null);
  });
}

simulate('signs each callback anew, for each app with its own token', async () => {
  const tokens = 'first-canary,1400000002:second-canary';
  const { url, received } = await startServer();
  const startsAt = Date.UTC(2026, 10, 26);
  await simulated(url, ['--rate', '2', '--for', '5m'], {
    env: {
      SDK_APP_IDS: `${app},1400000002`,
      CALLBACK_TOKENS: '1400000001:first-canary,1400000002:second-canary',
    },
    startsAt,
  });
  const authenticate = createAuthenticator({
    sdkAppIds: [app, '1400000002'],
    tokens: tokens.split(',').map(each => {
      const [id, own] = each.includes(':') ? each.split(':') : [app, each];
      return { sdkAppId: id!, token: own! };
    }),
  });
  // Each is authentic within the second of its time, so that RequestTime moves on.
  for (const [index, { querystring }] of received.entries()) {
    const parameters = parseParameters(querystring);
    const sentAt = Number(parameters.requestTime as string) * 1000;
    assert.is(authenticate(parameters, sentAt), null);
    assert.ok(Math.abs(sentAt - startsAt - index * 500) <= 1_000, `${index}`);
  }
  assert.is(new Set(received.map(({ querystring }) => parseParameters(querystring).sdkAppId)).size, 2);
});

simulate('sends the same again with the same seed, apart from times and signatures', async () => {
  const bodies = async (args: string[]): Promise<string[]> => {
    const { url, received } = await startServer();
    await simulated(url, ['--rate', '5', '--for', '20s', ...args], { startsAt: Date.now() });
    return received.map(({ body }) => body.replace(/"EventTime":"\d+"/, ''));
  };
  const { url } = await startServer();
  const { summary, error } = await simulated(url, ['--rate', '5', '--for', '20s', '--seed', '42']);
  assert.is(summary.seed, 42);
  assert.match(error, 'seed 42');
  // Which of two on their way arrives first is not the sender's.
  const [first, again, other] = [
    await bodies(['--seed', '42']),
    await bodies(['--seed', '42']),
    await bodies([]),
  ];
  assert.equal(first.sort(), again.sort());
  assert.not.equal(first, other.sort());
});

simulate('uses 64 connections and no more, again and again', async () => {
  const waiting: (() => void)[] = [];
  const { url, received, connections } = await startServer((request, response) => {
    waiting.push(() => answerOk(request, response));
    // All there can be, or the last ones.
    if (waiting.length === 64 || received.length === 300) for (const answer of waiting.splice(0)) answer();
  });
  const { code } = await simulated(url, ['--rate', '100', '--for', '3s']);
  assert.equal([code, received.length, connections()], [0, 300, 64]);
});

simulate('keeps the URL’s own parameters', async () => {
  const { url, received } = await startServer();
  await simulated(`${url}?customer=7`, ['--for', '3s']);
  assert.equal(
    received.map(({ querystring }) => new URLSearchParams(querystring).get('customer')),
    ['7', '7', '7'],
  );
});

simulate('follows the rise and fall of a week, as fast as it is told', async () => {
  const { url } = await startServer();
  // A week in ten minutes, from a Monday's midnight.
  const args = ['--rate', '1', '--for', '10m', '--speed', '1008'];
  const { summary } = await simulated(url, args, { startsAt: Date.UTC(2026, 10, 23) });
  assert.ok(Math.abs(sum(summary.sent) - 600) < 30, `${sum(summary.sent)} in a week`);
  const night = await simulated(url, ['--rate', '10', '--for', '1m', '--speed', '1'], {
    startsAt: Date.UTC(2026, 10, 23, 4),
  });
  assert.ok(sum(night.summary.sent) < 200, 'few at four in the morning');
});

/** What may answer, and what it is said to be. */
const failures: { name: string; answer: RequestListener; what: string; remedy: RegExp }[] = [
  {
    name: 'another token',
    answer: answerWith(401, rejectionAnswers.signature.body),
    what: '401',
    remedy: /the token differs: give the one of the exporter's CALLBACK_TOKENS/,
  },
  {
    name: 'another time',
    answer: answerWith(401, rejectionAnswers.stale.body),
    what: '401',
    remedy: /the clock here or there is off/,
  },
  {
    name: 'another app',
    answer: answerWith(403, rejectionAnswers.sdk_app_id.body),
    what: '403',
    remedy: /none of the exporter's SDK_APP_IDS: give --sdk-app-id/,
  },
  { name: 'another path', answer: answerWith(404), what: '404', remedy: /CALLBACK_PATH/ },
  { name: 'the operator listener', answer: answerWith(405), what: '405', remedy: /OPERATIONS_LISTEN/ },
  {
    name: 'too much',
    answer: answerWith(503, rejectionAnswers.overload.body),
    what: '503',
    remedy: /lower --rate/,
  },
  {
    name: 'a proxy',
    answer: answerWith(502, '<html>'),
    what: '502',
    remedy: /the proxy in front does not reach/,
  },
  { name: 'a redirection', answer: answerWith(301), what: '301', remedy: /redirects/ },
  {
    name: 'another server',
    answer: answerWith(200, '<html>'),
    what: '200',
    remedy: /something else than an exporter/,
  },
  {
    name: 'a connection that breaks',
    answer: request => request.socket.destroy(),
    what: 'ECONNRESET',
    remedy: /closed before the answer/,
  },
];
for (const { name, answer, what, remedy } of failures) {
  simulate(`says what went wrong and what to do, and exits with 1: ${name}`, async () => {
    const { url } = await startServer(answer);
    const { code, error, summary, out } = await simulated(url, ['--for', '3s']);
    assert.equal([code, summary.ok, sum(summary.answered_ok)], [1, false, 0]);
    assert.equal(
      [summary.failures.length, summary.failures[0].what, summary.failures[0].count],
      [1, what, 3],
    );
    assert.match(summary.failures[0].remedy, remedy);
    assert.match(error, '3 callbacks were not answered OK');
    assert.not.match(out + error, 'canary');
  });
}

simulate('says where nobody listens, and what speaks no HTTP', async () => {
  const server = createTcpServer(socket => socket.resume().end('SSH-2.0-OpenSSH\r\n'));
  const url = await listen(server);
  const odd = await simulated(url, ['--for', '1s']);
  assert.match(odd.summary.failures[0].what, /^HPE_/);
  assert.match(odd.summary.failures[0].remedy, 'it does not speak HTTP');
  const secure = await simulated(url.replace('http:', 'https:'), ['--for', '1s']);
  assert.match(secure.summary.failures[0].remedy, 'is it http:// instead?');
  server.close();
  await once(server, 'close');
  const none = await simulated(url, ['--for', '1s']);
  assert.is(none.summary.failures[0].what, 'ECONNREFUSED');
  assert.match(none.summary.failures[0].remedy, 'is the exporter started');
});

simulate('gives up after 2 seconds, as Tencent does', async () => {
  const { url } = await startServer(() => {});
  const startedAt = performance.now();
  const { code, summary } = await simulated(url, ['--for', '1s']);
  assert.is(code, 1);
  assert.is(summary.failures[0].what, 'timeout');
  assert.equal(summary.answer_seconds, { p50: null, p99: null, max: null });
  assert.ok(performance.now() - startedAt >= 1_900);
});

simulate('goes on until it is interrupted, and sums up', async () => {
  const { url, received } = await startServer();
  const { code, out, error } = await runCommand(['simulate', url, '--seed', '1'], {
    env,
    // After a minute of a made-up clock.
    onInterrupt(stop) {
      let sinceStart = 0;
      this.wait = async (milliseconds: number) => {
        await new Promise(resolve => setImmediate(resolve));
        sinceStart += Math.max(0, milliseconds);
        if (sinceStart >= 60_000) stop();
      };
      this.monotonicNow = () => sinceStart;
    },
  });
  assert.is(code, 0);
  assert.is(received.length, 60);
  assert.match(error, 'Ctrl-C ends it');
  assert.match(out, /^Sent {9}60 callbacks in 1m00s, 1\.0 a second\n/);
});

simulate('shows progress, rewritten on a terminal and a line every 10 seconds elsewhere', async () => {
  const { url } = await startServer();
  const args = ['simulate', url, '--for', '30s', '--seed', '1'];
  const file = await runCommand(args, { env });
  const lines = file.error.trimEnd().split('\n');
  assert.match(lines[0]!, /^1 a second for 30s to http:\/\/127\.0\.0\.1:\d+\/, seed 1$/);
  assert.equal(
    lines.slice(1).map(line => line.split('  ')[0]),
    ['10s', '20s'],
  );
  assert.match(lines[1]!, /^10s {2}1\d sent, (9|1\d) answered OK$/);
  const terminal = await runCommand(args, { env, isErrorTerminal: true });
  const shown = terminal.error.split('\n')[1]!;
  assert.ok(shown.split('\r').length > 30);
  assert.match(shown, /\r +\r$/, 'and nothing of it is left');
});

simulate('sums up for people, in lines that fit', async () => {
  const { url } = await startServer(
    (() => {
      let count = 0;
      return (request, response) => {
        count += 1;
        (count % 4 === 0 ? answerWith(401, rejectionAnswers.signature.body) : answerOk)(request, response);
      };
    })(),
  );
  const { code, out } = await runCommand(['simulate', url, '--rate', '10', '--for', '10s', '--seed', '3'], {
    env,
  });
  assert.is(code, 1);
  assert.match(out, /^Answered OK {2}75, \d+ exceptions \(counted\), .*/m);
  assert.match(out, /^Not OK {7}25 × 401: Sign or RequestTime is missing, malformed, or wrong$/m);
  assert.match(out, /^ {13}The token differs: give the one of the exporter's CALLBACK_TOKENS\.$/m);
  assert.match(out, /^Answer time {2}p50 [\d.]+ ms, p99 [\d.]+ ms, slowest [\d.]+ ms$/m);
  assertFits(out, 80);
});

simulate('sends unsigned where no token is set, and says so', async () => {
  const { url, received } = await startServer();
  const { code, error } = await simulated(url, ['--for', '1s'], { env: { SDK_APP_IDS: app } });
  assert.is(code, 0);
  assert.match(error, 'unsigned since no token is set');
  assert.is(parseParameters(received[0]!.querystring).sign, undefined);
});

simulate('does not show what a URL holds beside its address', async () => {
  const { url } = await startServer();
  const { out, error } = await simulated(`${url.replace('//', '//user:canary@')}?key=canary`, [
    '--for',
    '1s',
  ]);
  assert.not.match(out + error, 'canary');
});

for (const { args, words, env: given = env } of [
  { args: [], words: /missing required argument 'url'/ },
  { args: ['localhost:8080'], words: /Expected a URL such as http:\/\/localhost:8080\// },
  { args: ['http://x/'], words: /for which app\?/, env: {} },
  { args: ['http://x/', '--rate', '0'], words: /Expected a number above 0, up to 5,000/ },
  { args: ['http://x/', '--rate', '1e9'], words: /Expected a number above 0/ },
  { args: ['http://x/', '--for', '10'], words: /Expected a duration such as 30s, 5m or 1h30m/ },
  { args: ['http://x/', '--for', '0s'], words: /Expected a duration/ },
  { args: ['http://x/', '--seed', '-1'], words: /Expected a whole number/ },
  {
    args: ['http://x/'],
    words: /there is no token for 1400000001/,
    env: { SDK_APP_IDS: app, CALLBACK_TOKENS: '1400000002:canary' },
  },
]) {
  simulate(`refuses with 2, before anything is sent: ${args.join(' ')}`, async () => {
    const { code, out, error } = await runCommand(['simulate', ...args], { env: given });
    assert.equal([code, out], [2, '']);
    assert.match(error, words);
    assert.not.match(error, 'canary');
  });
}

simulate('prints JSON with the documented keys', async () => {
  const { url } = await startServer(answerWith(404));
  assertJsonKeys(simulateJson, [(await simulated(url, ['--for', '1s'])).out]);
});

simulate.run();

const quantiles = suite('quantiles');

quantiles('are at most 1 % too large, in bounded memory', () => {
  const all = new Quantiles();
  assert.is(all.at(0.5), null);
  for (let value = 1; value <= 10_000; value += 1) all.add(value / 10);
  for (const [quantile, exact] of [
    [0.5, 500],
    [0.99, 990],
    [1, 1_000],
  ] as const) {
    const found = all.at(quantile)!;
    assert.ok(found >= exact && found <= exact * 1.01, `${quantile}: ${found}`);
  }
});

quantiles.run();
