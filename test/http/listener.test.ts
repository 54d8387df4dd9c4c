/** The callback listener on raw sockets: what odd, slow and hostile senders get. */
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { exchange as exchangeBytes, openSocket, type RawSocket } from '../support/raw-socket.ts';
import { send } from '../support/request.ts';
import { sampleBody, sampleReceivedAt, signedQuery } from '../support/samples.ts';
import { exceptionCount, type ListenerSetup, outcomes, startListener } from './fixtures.ts';

const query = signedQuery(sampleReceivedAt);

const urlOf = (port: number): string => `http://127.0.0.1:${port}`;
const open = (port: number): Promise<RawSocket> => openSocket(urlOf(port));

/** The head of a POST, without the empty line at its end. */
function head(headers: Record<string, string | number>): string {
  const lines = Object.entries({ Host: 'exporter', ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  return `POST /?${query} HTTP/1.1\r\n${lines.join('')}`;
}

function post(body: string, headers: Record<string, string | number> = {}): string {
  return `${head({ 'Content-Length': Buffer.byteLength(body), ...headers })}\r\n${body}`;
}

const statuses = (text: string): number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));

/** Sends the text, and resolves with all answers when the connection is closed. */
const exchange = ({ port }: ListenerSetup, text: string): Promise<string> => exchangeBytes(urlOf(port), text);

/** Resolves when the condition holds; rejects when it does not within 5 s. */
async function until(isSo: () => boolean): Promise<void> {
  const giveUpAt = performance.now() + 5_000;
  while (!isSo()) {
    assert.ok(performance.now() < giveUpAt, `never: ${isSo}`);
    await delay(5);
  }
}

const close = { Connection: 'close' };

const listenerSuite = suite('callback listener');

listenerSuite.after.each(cleanUp);

/** Headers that must not matter. */
const contentTypes: Record<string, Record<string, string>> = {
  'no Content-Type': {},
  'text/plain': { 'Content-Type': 'text/plain' },
  'a form': { 'Content-Type': 'application/x-www-form-urlencoded' },
  'a wrong charset': { 'Content-Type': 'application/json; charset=utf-16' },
  'a charset that nobody knows': { 'Content-Type': 'application/json; charset=klingon' },
  'a malformed Content-Type': { 'Content-Type': ';;;' },
};

for (const [name, headers] of Object.entries(contentTypes)) {
  listenerSuite(`counts a callback with ${name}`, async () => {
    const setup = await startListener();
    const text = await exchange(setup, post(sampleBody(), { ...headers, ...close }));
    assert.equal(statuses(text), [200]);
    assert.equal(setup.counted.length, 1);
    assert.is(setup.counted[0]!.labels.error_code, '10023');
  });
}

listenerSuite('counts a callback with a byte order mark and with bytes that are not UTF-8', async () => {
  const setup = await startListener();
  const withMark = await send(`${setup.url}?${query}`, { method: 'POST', body: `\ufeff${sampleBody()}` });
  const body = Buffer.from(sampleBody({ GroupId: 'group \u0001' }).replace('\\u0001', '\u00ff'), 'latin1');
  const withBytes = await send(`${setup.url}?${query}`, { method: 'POST', body });
  assert.equal([withMark.status, withBytes.status], [200, 200]);
  assert.is(await exceptionCount(setup.metrics), 2);
});

listenerSuite('counts a chunked callback, also in chunks of one byte', async () => {
  const setup = await startListener();
  const chunks = [...Buffer.from(sampleBody())].map(byte => `1\r\n${String.fromCharCode(byte)}\r\n`).join('');
  const text = await exchange(
    setup,
    `${head({ 'Transfer-Encoding': 'chunked', ...close })}\r\n${chunks}0\r\n\r\n`,
  );
  assert.equal(statuses(text), [200]);
  assert.is(await exceptionCount(setup.metrics), 1);
});

listenerSuite('refuses a chunked body over the limit without waiting for its end', async () => {
  const setup = await startListener();
  const { socket, closed } = await open(setup.port);
  const chunk = `10000\r\n${'x'.repeat(65_536)}\r\n`;
  socket.write(`${head({ 'Transfer-Encoding': 'chunked' })}\r\n${chunk.repeat(5)}`);
  const { text } = await closed;
  assert.equal(statuses(text), [413]);
  assert.match(text, /Connection: close/i);
  assert.is(setup.receiver.inFlight.callbacks, 0);
  assert.equal(await outcomes(setup.metrics), { rejected: 1 });
});

for (const length of [256 * 1024 + 1, 2 ** 32 + 5, 10 ** 12]) {
  listenerSuite(`refuses a Content-Length of ${length} before the body comes`, async () => {
    const setup = await startListener();
    const { socket, closed } = await open(setup.port);
    socket.write(`${head({ 'Content-Length': length })}\r\n`);
    assert.equal(statuses((await closed).text), [413]);
    assert.is(setup.receiver.inFlight.callbacks, 0);
  });
}

listenerSuite(
  'refuses Content-Encoding, be the body gzip or garbage, and uses the connection again',
  async () => {
    const setup = await startListener();
    const { socket, closed } = await open(setup.port);
    for (const body of [gzipSync(sampleBody()), Buffer.from('garbage')]) {
      socket.write(`${head({ 'Content-Encoding': 'gzip', 'Content-Length': body.length })}\r\n`);
      socket.write(body);
    }
    socket.write(post(sampleBody(), close));
    assert.equal(statuses((await closed).text), [415, 415, 200]);
    assert.equal(await outcomes(setup.metrics), { rejected: 2, counted: 1 });
  },
);

listenerSuite('answers pipelined callbacks in order', async () => {
  const setup = await startListener();
  const bodies = [sampleBody({ Random: 1 }), 'no JSON', sampleBody({ Random: 2 }), sampleBody({ Random: 1 })];
  const text = await exchange(
    setup,
    bodies.map((body, index) => post(body, index === bodies.length - 1 ? close : {})).join(''),
  );
  assert.equal(statuses(text), [200, 400, 200, 200]);
  assert.equal(await outcomes(setup.metrics), { counted: 2, rejected: 1, duplicate: 1 });
});

/** What is no HTTP request for Node. */
const malformed: { name: string; text: string; status: number }[] = [
  {
    name: 'a header of more than 8 KiB',
    text: `${head({ 'X-Long': 'x'.repeat(9_000) })}\r\n`,
    status: 431,
  },
  {
    name: 'a query of more than 8 KiB',
    text: `POST /?${'x'.repeat(9_000)} HTTP/1.1\r\nHost: exporter\r\n\r\n`,
    status: 431,
  },
  {
    name: 'Content-Length beside chunks',
    text: `${head({ 'Content-Length': 5, 'Transfer-Encoding': 'chunked' })}\r\n0\r\n\r\n`,
    status: 400,
  },
  { name: 'two lengths', text: `${head({ 'Content-Length': '5, 6' })}\r\nhello`, status: 400 },
  { name: 'no HTTP at all', text: '\u0016\u0003\u0001\r\n\r\n', status: 400 },
];

for (const { name, text, status } of malformed) {
  listenerSuite(`refuses ${name} with ${status}, and goes on`, async () => {
    const setup = await startListener();
    assert.equal(statuses(await exchange(setup, text)), [status]);
    assert.equal(statuses(await exchange(setup, post(sampleBody(), close))), [200]);
    assert.equal(await outcomes(setup.metrics), { counted: 1 });
  });
}

listenerSuite('keeps idle connections for 75 s, longer than a load balancer does', async () => {
  const setup = await startListener();
  const { socket, received } = await open(setup.port);
  socket.write(post(sampleBody()));
  await until(() => received().endsWith('}'));
  assert.match(received(), /\r\nKeep-Alive: timeout=75\r\n/);
});

listenerSuite(
  'an aborted body leaves nothing in flight, no answer counted and no line in the log',
  async () => {
    const setup = await startListener({ inFlight: { callbacksMax: 1, bytesMax: 2 ** 20 } });
    for (const [name, value] of Object.entries({ 'Content-Length': 1_000, 'Transfer-Encoding': 'chunked' })) {
      const { socket } = await open(setup.port);
      socket.write(`${head({ [name]: value })}\r\n3\r\n{"a`);
      await until(() => setup.receiver.inFlight.callbacks === 1);
      socket.destroy();
      await until(() => setup.receiver.inFlight.callbacks === 0);
    }
    assert.equal(await outcomes(setup.metrics), {});
    assert.equal(setup.logLines, []);
    assert.equal(statuses(await exchange(setup, post(sampleBody(), close))), [200]);
  },
);

listenerSuite('counts an exception whose sender went away while it was being stored', async () => {
  const setup = await startListener();
  setup.journal.hold();
  const { socket } = await open(setup.port);
  socket.write(post(sampleBody()));
  await until(() => setup.receiver.inFlight.callbacks === 1);
  await delay(20);
  socket.destroy();
  setup.journal.release();
  await until(() => setup.receiver.inFlight.callbacks === 0);
  assert.is(await exceptionCount(setup.metrics), 1);
  assert.equal(setup.logLines, []);
});

listenerSuite('serves no metrics, health or status page', async () => {
  const setup = await startListener();
  for (const path of ['metrics', '-/healthy', '-/ready', '']) {
    const { status, body } = await send(setup.url + path);
    assert.ok(status === 404 || status === 405);
    assert.is(JSON.parse(body).ActionStatus, 'FAIL');
  }
});

listenerSuite('takes callbacks at its path only', async () => {
  const setup = await startListener({ path: '/tencent/callback' });
  const status = async (url: string) =>
    (await send(`${url}?${query}`, { method: 'POST', body: sampleBody() })).status;
  assert.is(await status(setup.url), 200);
  for (const suffix of ['/', '/more']) assert.is(await status(setup.url + suffix), 404);
  assert.is(await status(setup.url.replace('/tencent/callback', '/')), 404);
});

listenerSuite(
  'closes 50 slow connections within 6 s, and 20 good callbacks a second are answered beside them',
  async () => {
    const setup = await startListener();
    const slow = await Promise.all(Array.from({ length: 50 }, () => open(setup.port)));
    for (const { socket } of slow) socket.write(head({}));
    const trickle = setInterval(() => {
      for (const { socket } of slow) if (!socket.destroyed) socket.write('X-Slow: 1\r\n');
    }, 500);
    onCleanUp(() => clearInterval(trickle));

    const agent = new Agent({ keepAlive: true });
    onCleanUp(() => agent.destroy());
    let areClosed = false;
    const ends = Promise.all(slow.map(({ closed }) => closed)).finally(() => {
      areClosed = true;
    });
    const goodMs: number[] = [];
    for (let Random = 0; !areClosed; Random += 1) {
      const sentAt = performance.now();
      const body = sampleBody({ Random });
      assert.is((await send(`${setup.url}?${query}`, { method: 'POST', body, agent })).status, 200);
      goodMs.push(performance.now() - sentAt);
      await delay(50);
    }
    const seconds = (await ends).map(end => end.seconds);
    assert.ok(Math.max(...seconds) < 6, `${Math.max(...seconds)} s`);
    assert.ok(Math.min(...seconds) > 4.5, `${Math.min(...seconds)} s`);
    assert.ok(Math.max(...goodMs) < 200, `${Math.max(...goodMs)} ms`);
    assert.is(await exceptionCount(setup.metrics), goodMs.length);
  },
);

listenerSuite('closes a body that takes longer than 8 s, and leaves nothing in flight', async () => {
  const setup = await startListener();
  const { socket, closed } = await open(setup.port);
  socket.write(`${head({ 'Content-Length': 100_000 })}\r\n`);
  const trickle = setInterval(() => socket.write('x'), 500);
  onCleanUp(() => clearInterval(trickle));
  const { seconds } = await closed;
  assert.ok(seconds > 7.5 && seconds < 9.5, `${seconds} s`);
  await until(() => setup.receiver.inFlight.callbacks === 0);
  assert.equal(await outcomes(setup.metrics), {});
  assert.equal(setup.logLines, []);
});

listenerSuite(
  'drain answers what comes on 20 open connections, each with Connection: close, then is done',
  async () => {
    const setup = await startListener();
    const clients = await Promise.all(Array.from({ length: 20 }, () => open(setup.port)));
    for (const [Random, { socket, received }] of clients.entries()) {
      socket.write(post(sampleBody({ Random })));
      await until(() => received().endsWith('}'));
    }
    // Ten are in the middle of a callback, ten are idle and send one after draining began.
    setup.journal.hold();
    const next = (index: number) => post(sampleBody({ Random: 100 + index }));
    for (const [index, { socket }] of clients.slice(0, 10).entries()) socket.write(next(index));
    await until(() => setup.receiver.inFlight.callbacks === 10);
    const drained = setup.listener.drain(5_000);
    for (const [index, { socket }] of clients.slice(10).entries()) socket.write(next(10 + index));
    await until(() => setup.receiver.inFlight.callbacks === 20);
    setup.journal.release();
    for (const { text } of await Promise.all(clients.map(({ closed }) => closed))) {
      assert.equal(statuses(text), [200, 200]);
      assert.is(text.match(/\r\nConnection: close\r\n/g)?.length, 1, text);
    }
    await drained;
    assert.is(await exceptionCount(setup.metrics), 40);
  },
);

listenerSuite('drain takes no new connection, and closes idle ones after a second', async () => {
  const setup = await startListener();
  const idle = await open(setup.port);
  idle.socket.write(post(sampleBody()));
  await until(() => idle.received().endsWith('}'));
  const startedAt = performance.now();
  const drained = setup.listener.drain(5_000);
  const late = connect(setup.port, '127.0.0.1');
  const [error] = await once(late, 'error').catch(reason => [reason]);
  assert.is(error.code, 'ECONNREFUSED');
  await idle.closed;
  await drained;
  const seconds = (performance.now() - startedAt) / 1000;
  assert.ok(seconds >= 0.9 && seconds < 2, `${seconds} s`);
});

listenerSuite('drain cuts what is not done in its time', async () => {
  const setup = await startListener();
  const { socket, closed } = await open(setup.port);
  socket.write(`${head({ 'Content-Length': 1_000 })}\r\n`);
  await until(() => setup.receiver.inFlight.callbacks === 1);
  const startedAt = performance.now();
  await setup.listener.drain(300);
  assert.ok(performance.now() - startedAt < 1_000);
  assert.is((await closed).text, '');
});

listenerSuite('drain with no connection is done at once', async () => {
  const setup = await startListener();
  const startedAt = performance.now();
  await setup.listener.drain(5_000);
  assert.ok(performance.now() - startedAt < 200);
});

listenerSuite.run();
