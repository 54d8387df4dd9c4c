/** How it ends: what was accepted is answered, and it is quick about it. */
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect, type Socket } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { exceptionBody } from '../support/oracle.ts';
import { until } from '../support/prometheus.ts';
import { send } from '../support/request.ts';
import { sampleQuery } from '../support/samples.ts';

const stop = suite('stop');
stop.after.each(cleanUp);

const stopWithinMs = 10_000;

const isStopping = (exporter: Exporter) =>
  exporter.stdout.includes('stopping: callbacks in flight are answered');

/** Sends the head of a callback and half of its body; `finish` sends the rest and gives the whole answer. */
async function startCallback(exporter: Exporter, number: number) {
  const { hostname, port } = new URL(exporter.callbackUrl);
  const socket: Socket = connect(Number(port), hostname);
  onCleanUp(() => socket.destroy());
  // The exporter may end before the answer is read; what came until then is what counts.
  socket.on('error', () => {});
  let answer = '';
  socket.setEncoding('utf8').on('data', text => {
    answer += text;
  });
  await once(socket, 'connect');
  const body = exceptionBody(number);
  socket.write(
    `POST /?${sampleQuery()} HTTP/1.1\r\nHost: exporter\r\nContent-Length: ${body.length}\r\n\r\n${body.slice(0, 50)}`,
  );
  // A round trip later the head has been read, too: an order that no answer of its own could tell.
  await exporter.isReady();
  return {
    async finish() {
      const closed = once(socket, 'close');
      socket.write(body.slice(50));
      await closed;
      return answer;
    },
  };
}

stop(
  'SIGTERM under load answers everything that was accepted, closes each connection, and exits 0',
  async () => {
    const exporter = await startExporter();
    const url = `${exporter.callbackUrl}?${sampleQuery()}`;
    let sent = 0;
    let answered = 0;
    /** Sends on one connection until an answer says that it is the last. */
    const run = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      for (;;) {
        sent += 1;
        const { status, headers } = await send(url, { method: 'POST', body: exceptionBody(sent), agent });
        assert.is(status, 200);
        answered += 1;
        if (headers.connection === 'close') return;
      }
    };
    const connections = Array.from({ length: 16 }, run);
    await until(async () => answered > 500, '500 answers');
    const stoppedAt = performance.now();
    const exit = exporter.kill('SIGTERM');
    await Promise.all(connections);
    assert.equal(await exit, { code: 0, signal: null });
    assert.ok(performance.now() - stoppedAt < stopWithinMs);
    assert.is(answered, sent);

    const restarted = await startExporter({ journal: exporter.journal });
    assert.is(await restarted.total(), answered);
  },
);

stop(
  'a callback that is half sent when SIGTERM comes is answered, and meanwhile it is not ready',
  async () => {
    const exporter = await startExporter();
    const callback = await startCallback(exporter, 1);
    const exit = exporter.kill('SIGTERM');
    await until(async () => isStopping(exporter), 'the stop to begin');
    assert.is(await exporter.isReady(), false);
    assert.is((await exporter.get('/-/healthy')).status, 200);
    const answer = await callback.finish();
    assert.match(answer, /^HTTP\/1\.1 200 OK\r\n/);
    assert.match(answer, /\r\nConnection: close\r\n/);
    assert.match(answer, /\{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0\}$/);
    assert.equal(await exit, { code: 0, signal: null });
    assert.is(await (await startExporter({ journal: exporter.journal })).total(), 1);
  },
);

stop('a callback that never ends does not hold it up', async () => {
  const exporter = await startExporter();
  await startCallback(exporter, 1);
  const stoppedAt = performance.now();
  assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
  assert.ok(performance.now() - stoppedAt < stopWithinMs);
});

stop('a second signal ends it at once', async () => {
  const exporter = await startExporter();
  await startCallback(exporter, 1);
  exporter.signal('SIGTERM');
  await until(async () => isStopping(exporter), 'the stop to begin');
  const signalledAt = performance.now();
  assert.equal(await exporter.kill('SIGINT'), { code: 137, signal: null });
  // The callback that is held open would have kept it for seconds.
  assert.ok(performance.now() - signalledAt < 500);
});

stop.run();
