/**
 * The promise itself: kill -9 at random moments, again and again on one journal, under a load of which every answer is
 * remembered in another process. `SEED=1234` repeats the load and the moments.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { Exporter, startExporter } from '../support/exporter.ts';
import { exceptionNumber } from '../support/oracle.ts';
import type { Order, Report } from '../support/oracle-process.ts';
import type { Behaviour } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { between, createRandom, newSeed } from '../support/random.ts';
import { send } from '../support/request.ts';

const kill = suite('kill');
kill.after.each(cleanUp);

const cycleCount = 32;
/** Of ten cycles, so many are killed while they start: recovery itself is interrupted. */
const startsKilled = 2;
const startMsMax = 500;
/** Under load, until the kill. */
const loadMsMax = 500;

const support = (name: string) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));

/** An order to the oracle's process, and its report. */
async function tell(oracle: ChildProcess, order: Order): Promise<Report> {
  const answer = once(oracle, 'message');
  oracle.send(order);
  return (await answer)[0] as Report;
}

function startOracle(seed: number): ChildProcess {
  const oracle = fork(support('oracle-process.ts'), [String(seed)]);
  onCleanUp(() => oracle.kill('SIGKILL'));
  return oracle;
}

interface Sink {
  endpoint: string;
  behave(behaviour: Behaviour): Promise<unknown>;
  /** How many requests have come, whatever became of them. */
  requestCount(): Promise<number>;
  traceIds(signal: 'traces' | 'logs'): Promise<string[]>;
}

/** One for each cycle, at random: the kill also finds batches that are being repeated, or that were taken unknown. */
const behaviours: Behaviour[] = [
  { type: 'accept' },
  { type: 'accept' },
  { type: 'status', status: 503 },
  { type: 'lose_answer' },
];

async function startSink(): Promise<Sink> {
  const sink = spawn(process.execPath, [support('otlp-receiver-process.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onCleanUp(() => sink.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: sink.stdout }), 'line');
  const endpoint = `http://127.0.0.1:${JSON.parse(line).port}`;
  return {
    endpoint,
    behave: behaviour => send(`${endpoint}/behave`, { method: 'POST', body: JSON.stringify(behaviour) }),
    async requestCount() {
      const { traces, logs } = JSON.parse((await send(`${endpoint}/summary`)).body);
      return traces.requests + logs.requests;
    },
    traceIds: async signal => Object.keys(JSON.parse((await send(`${endpoint}/${signal}`)).body)),
  };
}

const ascending = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);

/** What is in `all` and not in `some`, the first few. */
function missing(all: Iterable<number>, some: Iterable<number>): number[] {
  const present = new Set(some);
  return [...all].filter(number => !present.has(number)).slice(0, 10);
}

kill('no answered exception is lost, none is counted twice, and all are delivered', async () => {
  const seed = newSeed();
  const random = createRandom(seed);
  const sink = await startSink();
  const oracle = startOracle(seed);
  const options = {
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint },
    journal: join(temporaryDirectory(), 'journal.db'),
  };

  for (let cycle = 0; cycle < cycleCount; cycle += 1) {
    await sink.behave(behaviours[between(random, 0, behaviours.length - 1)]!);
    if (cycle % 10 < startsKilled) {
      const exporter = new Exporter(options);
      await delay(between(random, 0, startMsMax));
      await exporter.kill('SIGKILL');
      continue;
    }
    const exporter = await startExporter(options);
    await tell(oracle, { type: 'start', callbackUrl: exporter.callbackUrl });
    // Delivery takes longer to get going than callbacks do; every third kill waits until it is at work.
    if (cycle % 3 === 0) {
      const before = await sink.requestCount();
      await until(async () => (await sink.requestCount()) > before, 'delivery');
    }
    await delay(between(random, 1, loadMsMax));
    await exporter.kill('SIGKILL');
    await tell(oracle, { type: 'stop' });
  }

  await sink.behave({ type: 'accept' });
  const exporter = await startExporter(options);
  const load = await tell(oracle, { type: 'stop' });
  const { acknowledged, unanswered } = load;
  console.log(
    `\nkill: SEED=${seed}, ${cycleCount} kills, ${load.answeredCount} answered, ` +
      `${acknowledged.length} exceptions acknowledged, ${unanswered.length} without an answer`,
  );
  // A load that never ran, or never hit a callback in flight, would prove nothing.
  assert.ok(acknowledged.length > 1_000);
  assert.ok(unanswered.length > 0);
  assert.is(load.refusedCount, 0);

  const total = await exporter.total();
  assert.ok(total >= acknowledged.length, `${acknowledged.length - total} acknowledged exceptions are lost`);
  assert.ok(
    total <= acknowledged.length + unanswered.length,
    `${total - acknowledged.length - unanswered.length} are counted twice`,
  );

  const delivered = async (signal: 'traces' | 'logs', count: number): Promise<number[]> => {
    await until(
      async () => (await sink.traceIds(signal)).length >= count,
      `${count} ${signal} at the collector`,
    );
    const numbers = (await sink.traceIds(signal)).map(exceptionNumber);
    assert.is(numbers.length, count, `${signal}: as many as are counted`);
    assert.is(new Set(numbers).size, count, `${signal}: each under one trace`);
    return numbers;
  };
  const traces = await delivered('traces', total);
  assert.equal(missing(acknowledged, traces), [], 'acknowledged exceptions that were not delivered');
  assert.equal(missing(traces, [...acknowledged, ...unanswered]), [], 'delivered, but never sent');
  assert.equal(ascending(await delivered('logs', total)), ascending(traces));

  // What had no answer is sent again, as Tencent may: now everything is there once.
  const all = await tell(oracle, { type: 'send_unanswered', callbackUrl: exporter.callbackUrl });
  assert.equal(all.unanswered, []);
  assert.is(await exporter.total(), all.acknowledged.length);
  assert.equal(ascending(await delivered('traces', all.acknowledged.length)), ascending(all.acknowledged));
  await delivered('logs', all.acknowledged.length);
});

kill.run();
