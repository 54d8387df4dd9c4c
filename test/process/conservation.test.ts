/**
 * Nothing comes of nothing, and nothing goes missing: a random mix of all that can arrive, and the sums that must agree.
 * `SEED=1234` repeats a run.
 */
import { once } from 'node:events';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { rejectionReasons } from '../../src/callback/exception.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, exceptionsTotal, startExporter } from '../support/exporter.ts';
import { exceptionBody } from '../support/oracle.ts';
import { until } from '../support/prometheus.ts';
import { between, createRandom, newSeed } from '../support/random.ts';
import { type RequestOptions, send } from '../support/request.ts';
import { sampleToken, signedQuery } from '../support/samples.ts';

const conservation = suite('conservation');
conservation.after.each(cleanUp);

const requestCount = 3_000;
const connectionCount = 8;
const bodyBytesMax = 256 * 1024;
/** In flight at most, by what the heads promise: 64 MiB. */
const bodiesInFlightMax = 256;

interface Attempt {
  /** What must become of it. */
  outcome: 'stored' | 'ignored' | 'rejected' | 'not a callback';
  reason?: (typeof rejectionReasons)[number];
  status: number;
  query: string;
  options: RequestOptions;
  path?: string;
}

const signed = (overrides: Record<string, string | undefined> = {}) =>
  signedQuery(Date.now(), sampleToken, overrides);

/** All that can be sent on one connection and is answered on it; the weights make a mix. */
const kinds: { weight: number; make: (number: number, roll: number) => Attempt }[] = [
  {
    weight: 60,
    make: number => ({
      outcome: 'stored',
      status: 200,
      query: signed(),
      options: { body: exceptionBody(number) },
    }),
  },
  {
    weight: 8,
    make: number => ({
      outcome: 'ignored',
      status: 200,
      query: signed({ CallbackCommand: ['C2C.CallbackAfterSendMsg', 'Odd.Command'][number % 2] }),
      options: { body: '{' },
    }),
  },
  {
    weight: 3,
    make: number => ({
      outcome: 'ignored',
      status: 200,
      query: signed({ CallbackCommand: undefined }),
      options: { body: exceptionBody(number, { CallbackCommand: 'Group.CallbackAfterSendMsg' }) },
    }),
  },
  {
    weight: 4,
    make: (number, roll) => ({
      outcome: 'rejected',
      reason: 'sdk_app_id',
      status: 403,
      query: signed({ SdkAppid: roll < 0.5 ? '1400000002' : undefined }),
      options: { body: exceptionBody(number) },
    }),
  },
  {
    weight: 4,
    make: number => ({
      outcome: 'rejected',
      reason: 'signature',
      status: 401,
      query: signed({ Sign: '0'.repeat(64) }),
      options: { body: exceptionBody(number) },
    }),
  },
  {
    weight: 4,
    make: (number, roll) => ({
      outcome: 'rejected',
      reason: 'stale',
      status: 401,
      query: signedQuery(Date.now() + (roll < 0.5 ? -70_000 : 70_000)),
      options: { body: exceptionBody(number) },
    }),
  },
  {
    weight: 4,
    make: (number, roll) => ({
      outcome: 'rejected',
      reason: 'malformed',
      status: 400,
      query: signed(),
      options: { body: roll < 0.5 ? `[${number}]` : exceptionBody(number).slice(0, -1) },
    }),
  },
  {
    weight: 4,
    make: number => ({
      outcome: 'rejected',
      reason: 'encoding',
      status: 415,
      query: signed(),
      options: { body: exceptionBody(number), headers: { 'Content-Encoding': 'gzip' } },
    }),
  },
  {
    weight: 1,
    make: number => ({
      outcome: 'rejected',
      reason: 'too_large',
      status: 413,
      query: signed(),
      options: { body: exceptionBody(number).padEnd(bodyBytesMax + 1) },
    }),
  },
  {
    weight: 3,
    make: () => ({
      outcome: 'not a callback',
      status: 404,
      query: signed(),
      options: { body: '{}' },
      path: 'other',
    }),
  },
  {
    weight: 3,
    make: () => ({ outcome: 'not a callback', status: 405, query: signed(), options: { method: 'GET' } }),
  },
];
const mix = kinds.flatMap(kind => new Array<typeof kind>(kind.weight).fill(kind));

/** Promises a body in the head of a callback, sends less of it, and goes away when told to. */
async function startBody(exporter: Exporter, bytes: number): Promise<() => Promise<unknown>> {
  const { hostname, port } = new URL(exporter.callbackUrl);
  const socket = connect(Number(port), hostname);
  onCleanUp(() => socket.destroy());
  await once(socket, 'connect');
  socket.write(
    `POST /?${signed()} HTTP/1.1\r\nHost: exporter\r\nContent-Length: ${bytes}\r\n\r\n${exceptionBody(1e6).slice(0, 40)}`,
  );
  return () => {
    const closed = once(socket, 'close');
    socket.destroy();
    return closed;
  };
}

conservation(
  'every callback that was answered has one outcome, and every exception is counted once',
  async () => {
    const seed = newSeed();
    console.log(`\nconservation: SEED=${seed}`);
    const random = createRandom(seed);
    const exporter = await startExporter({ env: { CALLBACK_TOKENS: sampleToken } });

    const answered = { stored: 0, ignored: 0, rejected: 0, 'not a callback': 0 };
    const reasons = new Map<string, number>();
    const note = ({ outcome, reason }: Pick<Attempt, 'outcome' | 'reason'>) => {
      answered[outcome] += 1;
      if (reason !== undefined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    };
    const acknowledged = new Set<number>();
    let sent = 0;
    let newest = 0;

    const run = async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      while (sent < requestCount) {
        sent += 1;
        if (random() < 0.02) {
          const abort = await startBody(exporter, between(random, 1_000, bodyBytesMax));
          await abort();
          continue;
        }
        // A fifth repeats: some at once, while the first is still in flight, some much later.
        const isRepeated = newest > 0 && random() < 0.2;
        if (!isRepeated) newest += 1;
        const number = isRepeated ? between(random, 1, newest) : newest;
        const { make } = mix[between(random, 0, mix.length - 1)]!;
        const attempt = make(number, random());
        const url = `${exporter.callbackUrl}${attempt.path ?? ''}?${attempt.query}`;
        const { status } = await send(url, { method: 'POST', ...attempt.options, agent });
        assert.is(status, attempt.status, `${attempt.outcome} ${attempt.reason ?? ''}`);
        note(attempt);
        if (attempt.outcome === 'stored') acknowledged.add(number);
      }
      agent.destroy();
    };
    await Promise.all(Array.from({ length: connectionCount }, run));

    // Too much in flight: bodies that were promised and do not come.
    const aborts = await Promise.all(
      Array.from({ length: bodiesInFlightMax }, () => startBody(exporter, bodyBytesMax)),
    );
    const refused = await until(async () => {
      const answer = await exporter.post(exceptionBody(0), signed());
      note(answer.status === 200 ? { outcome: 'stored' } : { outcome: 'rejected', reason: 'overload' });
      if (answer.status === 200) acknowledged.add(0);
      return answer.status !== 200 && answer;
    }, 'an overload');
    assert.is(refused.status, 503);
    assert.match(refused.headers['retry-after']!, /^\d+$/);
    await Promise.all(aborts.map(abort => abort()));
    await until(async () => {
      const { status } = await exporter.post(exceptionBody(0), signed());
      note(status === 200 ? { outcome: 'stored' } : { outcome: 'rejected', reason: 'overload' });
      if (status === 200) acknowledged.add(0);
      return status === 200;
    }, 'the overload to be over');

    const metrics = await exporter.metrics();
    const callbacks = (outcome?: string) =>
      metrics.sum('tencent_chat_callbacks_total', outcome === undefined ? {} : { outcome });
    assert.is(metrics.sum(exceptionsTotal), acknowledged.size);
    assert.is(callbacks('counted'), acknowledged.size);
    assert.is(callbacks('duplicate'), answered.stored - acknowledged.size);
    assert.is(callbacks('ignored'), answered.ignored);
    assert.is(callbacks('rejected'), answered.rejected);
    assert.is(callbacks(), answered.stored + answered.ignored + answered.rejected);
    for (const reason of rejectionReasons) {
      assert.is(
        metrics.sum('tencent_chat_callbacks_rejected_total', { reason }),
        reasons.get(reason) ?? 0,
        reason,
      );
      assert.ok(reasons.has(reason), `the mix has a ${reason}`);
    }
    assert.is(metrics.sum('tencent_chat_callback_duration_seconds_count'), callbacks());
    assert.is(metrics.sum('tencent_chat_callback_delay_seconds_count'), acknowledged.size);
  },
);

conservation.run();
