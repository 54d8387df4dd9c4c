import { setImmediate as turn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExceptionRecord } from '../../src/callback/record.ts';
import type { Signal } from '../../src/journal/journal.ts';
import { batchCharsMax, type Delivery, lingerMs, startDelivery } from '../../src/telemetry/delivery.ts';
import { createExporter, type Exporter, listenToSdk, type Verdict } from '../../src/telemetry/exporters.ts';
import type { TelemetryReport } from '../../src/telemetry/report.ts';
import { readOrigin } from '../../src/telemetry/resource.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { MemoryOutbox, sampleRecord, sampleRecords } from './support.ts';

const delivered: Verdict = { type: 'delivered', rejected: 0, message: '' };
const refused: Verdict = { type: 'refused', message: 'HTTP 400 Bad Request' };
const failed: Verdict = { type: 'failed', message: 'HTTP 503 Service Unavailable', retryAfterMs: 0 };

/** An exporter that answers as told, and remembers the trace IDs of each batch. */
class FakeExporter implements Exporter<ExceptionRecord> {
  readonly batches: string[][] = [];
  readonly signal: Signal;
  answer: (items: ExceptionRecord[]) => Verdict | Promise<Verdict> = () => delivered;
  toItem = (record: ExceptionRecord) => record;

  constructor(signal: Signal) {
    this.signal = signal;
  }

  async export(items: ExceptionRecord[]): Promise<Verdict> {
    this.batches.push(items.map(item => item.traceId));
    return this.answer(items);
  }
}

/** Delivery with time in the test's hands: pauses end at once, but for those that `holds` keeps. */
class Bench {
  readonly outbox = new MemoryOutbox();
  readonly reports: TelemetryReport[] = [];
  readonly pausesMs: number[] = [];
  holds: (milliseconds: number) => boolean = () => false;
  #delivery: Delivery | undefined;

  start(...exporters: Exporter[]): void {
    this.#delivery = startDelivery({
      outbox: this.outbox,
      exporters,
      report: report => this.reports.push(report),
      random: () => 1,
      delay: async (milliseconds, signal) => {
        this.pausesMs.push(milliseconds);
        while (this.holds(milliseconds) && !signal.aborted) await turn();
        await turn(undefined, { signal });
      },
    });
  }

  stop(timeoutMs = 1): Promise<void> {
    return this.#delivery!.stop(timeoutMs);
  }

  reported<Type extends TelemetryReport['type']>(type: Type) {
    return this.reports.filter(
      (report): report is Extract<TelemetryReport, { type: Type }> => report.type === type,
    );
  }
}

async function turns(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) await turn();
}

const delivery = suite('delivery');
let bench: Bench;
let traces: FakeExporter;
let logs: FakeExporter;
delivery.before.each(() => {
  bench = new Bench();
  traces = new FakeExporter('traces');
  logs = new FakeExporter('logs');
});
delivery.after.each(() => bench.stop());

const idsOf = (records: ExceptionRecord[]) => records.map(record => record.traceId);
const both = (sequence: number) => () =>
  bench.outbox.cursor('traces') === sequence && bench.outbox.cursor('logs') === sequence;

delivery('gives every row to both signals, in order, and acknowledges it', async () => {
  const records = sampleRecords(3);
  bench.outbox.append(...records);
  bench.start(traces, logs);
  await bench.outbox.until(both(3));
  assert.equal(traces.batches.flat(), idsOf(records));
  assert.equal(logs.batches.flat(), idsOf(records));
  assert.equal(bench.reported('delivered'), [
    { type: 'delivered', signal: 'traces', count: 3 },
    { type: 'delivered', signal: 'logs', count: 3 },
  ]);
});

delivery(
  'gives a row that is for one signal to that signal alone, and acknowledges it for both',
  async () => {
    const [first, second, third] = sampleRecords(3);
    bench.outbox.append(first!);
    bench.outbox.appendFor('logs', second!);
    bench.outbox.append(third!);
    bench.outbox.appendFor('traces', second!);
    bench.start(traces, logs);
    await bench.outbox.until(both(4));
    assert.equal(traces.batches.flat(), idsOf([first!, third!, second!]));
    assert.equal(logs.batches.flat(), idsOf([first!, second!, third!]));
    assert.equal(bench.reported('delivered'), [
      { type: 'delivered', signal: 'traces', count: 3 },
      { type: 'delivered', signal: 'logs', count: 3 },
    ]);
  },
);

delivery('sends nothing of a batch that is for the other signal, and is past it', async () => {
  bench.outbox.appendFor('logs', sampleRecord());
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 1);
  assert.equal(traces.batches, []);
  assert.equal(bench.reports, []);
});

delivery('starts after the cursor', async () => {
  bench.outbox.append(...sampleRecords(3));
  bench.outbox.acknowledged.traces.push(2);
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 3);
  assert.equal(traces.batches, [idsOf(sampleRecords(3).slice(2))]);
});

delivery('reads a row once for both signals', async () => {
  traces.answer = logs.answer = () => turn(delivered);
  bench.outbox.append(...sampleRecords(1_200));
  bench.start(traces, logs);
  await bench.outbox.until(both(1_200));
  assert.equal(bench.outbox.reads, [0, 512, 1_024]);
});

delivery('makes one batch of a burst, and full batches of a backlog without waiting', async () => {
  bench.outbox.append(...sampleRecords(1));
  bench.holds = milliseconds => milliseconds === lingerMs;
  bench.start(traces);
  await turns(5);
  bench.outbox.append(...sampleRecords(1_199));
  bench.holds = () => false;
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 1_200);
  assert.equal(
    traces.batches.map(batch => batch.length),
    [512, 512, 176],
  );
  assert.equal(bench.pausesMs, [lingerMs]);
});

delivery('bounds a batch by its length, too', async () => {
  const long = sampleRecord({ errorInfo: 'x'.repeat(batchCharsMax / 2) });
  bench.outbox.append(...sampleRecords(1), long, long, long);
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 4);
  assert.equal(
    traces.batches.map(batch => batch.length),
    [2, 1, 1],
  );
});

delivery('does nothing while there is nothing to do', async () => {
  bench.outbox.append(...sampleRecords(1));
  bench.start(traces, logs);
  await bench.outbox.until(both(1));
  await turns(5);
  const { waits } = bench.outbox;
  const pauses = bench.pausesMs.length;
  await turns(100);
  assert.is(bench.outbox.waits, waits);
  assert.is(bench.pausesMs.length, pauses);
  assert.equal(bench.outbox.reads, [0]);
});

delivery(
  'repeats a batch that failed after pauses from 1 s to 30 s, and acknowledges nothing meanwhile',
  async () => {
    bench.outbox.append(...sampleRecords(2));
    traces.answer = () => {
      assert.equal(bench.outbox.acknowledged.traces, []);
      return traces.batches.length <= 7 ? failed : delivered;
    };
    bench.start(traces);
    await bench.outbox.until(() => bench.outbox.cursor('traces') === 2);
    const retries = bench.reported('failed').map(report => report.retryInMs);
    assert.equal(retries, [1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    assert.equal(bench.pausesMs, [lingerMs, ...retries]);
    assert.is(bench.reported('failed')[0]!.message, 'HTTP 503 Service Unavailable');
  },
);

delivery('waits as long as Retry-After asks', async () => {
  bench.outbox.append(...sampleRecords(1));
  traces.answer = () => (traces.batches.length === 1 ? { ...failed, retryAfterMs: 45_000 } : delivered);
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 1);
  assert.equal(bench.pausesMs, [lingerMs, 45_000]);
});

for (const poison of [1, 300, 512]) {
  delivery(`sets aside one poison row in 512, row ${poison}, with 18 requests more`, async () => {
    const records = sampleRecords(512);
    const poisonId = records[poison - 1]!.traceId;
    const taken: string[] = [];
    traces.answer = items => {
      if (items.some(item => item.traceId === poisonId)) return refused;
      taken.push(...idsOf(items));
      return delivered;
    };
    bench.outbox.append(...records);
    bench.start(traces);
    await bench.outbox.until(() => bench.outbox.cursor('traces') === 512);
    assert.equal(
      taken,
      idsOf(records).filter(id => id !== poisonId),
      'each of the others once, in order',
    );
    assert.equal(bench.outbox.deadLetters, [
      { signal: 'traces', sequence: poison, reason: 'HTTP 400 Bad Request' },
    ]);
    assert.is(traces.batches.length, 19);
    assert.equal(bench.reported('dead_letter'), [
      { type: 'dead_letter', signal: 'traces', sequence: poison, reason: 'HTTP 400 Bad Request' },
    ]);
  });
}

delivery('sets each signal’s poison aside for that signal alone', async () => {
  const records = sampleRecords(20);
  const refuses = (poison: number) => (items: ExceptionRecord[]) =>
    items.some(item => item.traceId === records[poison - 1]!.traceId) ? refused : delivered;
  traces.answer = refuses(3);
  logs.answer = refuses(20);
  bench.outbox.append(...records);
  bench.start(traces, logs);
  await bench.outbox.until(both(20));
  assert.equal(bench.outbox.deadLetters.map(({ signal, sequence }) => [signal, sequence]).sort(), [
    ['logs', 20],
    ['traces', 3],
  ]);
});

delivery('a failure between halves repeats the failed half only', async () => {
  const records = sampleRecords(4);
  const answers = [refused, delivered, failed, delivered];
  traces.answer = () => answers.shift()!;
  bench.outbox.append(...records);
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 4);
  const [a, b, c, d] = idsOf(records);
  assert.equal(traces.batches, [
    [a, b, c, d],
    [a, b],
    [c, d],
    [c, d],
  ]);
  assert.equal(
    [...new Set(bench.outbox.acknowledged.traces)],
    [2, 4],
    'the first half is acknowledged at once',
  );
});

delivery('does not repeat what partial_success left out, but counts it', async () => {
  bench.outbox.append(...sampleRecords(10));
  traces.answer = () => ({ type: 'delivered', rejected: 3, message: 'too old' });
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 10);
  await turns(5);
  assert.is(traces.batches.length, 1);
  assert.equal(bench.reports, [
    { type: 'dropped', signal: 'traces', reason: 'partial_success', count: 3, message: 'too old' },
    { type: 'delivered', signal: 'traces', count: 7 },
  ]);
});

delivery('never counts more rejected rows than were sent', async () => {
  bench.outbox.append(...sampleRecords(2));
  traces.answer = () => ({ type: 'delivered', rejected: 1e9, message: '' });
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 2);
  assert.equal(bench.reported('delivered')[0]?.count, 0);
  assert.equal(bench.reported('dropped')[0]?.count, 2);
});

delivery('goes on with traces while the logs endpoint is dead', async () => {
  logs.answer = () => failed;
  for (let round = 1; round <= 5; round += 1) {
    bench.outbox.append(...sampleRecords(1));
    if (round === 1) bench.start(traces, logs);
    await bench.outbox.until(() => bench.outbox.cursor('traces') === round);
  }
  assert.is(bench.outbox.cursor('logs'), 0);
  logs.answer = () => delivered;
  await bench.outbox.until(both(5));
});

delivery('sets aside a row that cannot be decoded, even the last', async () => {
  const records = sampleRecords(2);
  bench.outbox.append(records[0]!, '{"torn', records[1]!, '[999]');
  bench.start(traces, logs);
  await bench.outbox.until(both(4));
  assert.equal(traces.batches, [idsOf(records)]);
  assert.equal(bench.outbox.deadLetters.map(({ signal, sequence }) => `${signal} ${sequence}`).sort(), [
    'logs 2',
    'logs 4',
    'traces 2',
    'traces 4',
  ]);
  assert.match(bench.outbox.deadLetters[0]!.reason, /^cannot be decoded: /);
});

delivery('sets aside a row that cannot be mapped', async () => {
  const records = sampleRecords(3);
  traces.toItem = record => {
    if (record.traceId === records[1]!.traceId) throw new TypeError('no labels');
    return record;
  };
  bench.outbox.append(...records);
  bench.start(traces);
  await bench.outbox.until(() => bench.outbox.cursor('traces') === 3);
  assert.equal(bench.outbox.deadLetters, [
    { signal: 'traces', sequence: 2, reason: 'cannot be mapped: no labels' },
  ]);
  assert.is(traces.batches.flat().length, 2);
});

for (const method of ['cursors', 'waitBeyond', 'read', 'acknowledge', 'deadLetter'] as const) {
  delivery(`repeats what the journal fails to do: ${method}`, async () => {
    const original = bench.outbox[method].bind(bench.outbox) as (...args: unknown[]) => Promise<never>;
    let failures = 0;
    bench.outbox[method] = async (...args: unknown[]) => {
      if (failures < 2) {
        failures += 1;
        throw new Error('disk I/O error');
      }
      return original(...args);
    };
    bench.outbox.append(...sampleRecords(1), 'undecodable');
    bench.start(traces);
    await bench.outbox.until(() => bench.outbox.cursor('traces') === 2);
    assert.is(traces.batches.length, 1, 'nothing is sent twice');
    assert.equal(bench.reported('failed'), [
      { type: 'failed', signal: 'traces', message: 'journal: disk I/O error', retryInMs: 1_000 },
      { type: 'failed', signal: 'traces', message: 'journal: disk I/O error', retryInMs: 2_000 },
    ]);
  });
}

delivery('stop waits for the export in flight, acknowledges it, and takes nothing new', async () => {
  let answer: (verdict: Verdict) => void = () => {};
  traces.answer = () => new Promise(resolve => (answer = resolve));
  bench.holds = milliseconds => milliseconds === 5_000;
  bench.outbox.append(...sampleRecords(600));
  bench.start(traces);
  while (traces.batches.length === 0) await turn();
  const stopped = bench.stop(5_000);
  await turns(5);
  assert.equal(bench.outbox.acknowledged.traces, []);
  answer(delivered);
  await stopped;
  assert.is(bench.outbox.cursor('traces'), 512);
  assert.is(traces.batches.length, 1);
});

delivery(
  'stop gives an endpoint that hangs the time it was given, and leaves the rows in the journal',
  async () => {
    traces.answer = () => new Promise(() => {});
    bench.outbox.append(...sampleRecords(1));
    bench.start(traces);
    while (traces.batches.length === 0) await turn();
    await bench.stop(5_000);
    assert.is(bench.pausesMs.at(-1), 5_000);
    assert.equal(bench.outbox.acknowledged.traces, []);
  },
);

delivery('stop between two halves keeps what was delivered of the first, and sends no other', async () => {
  let answer: (verdict: Verdict) => void = () => {};
  traces.answer = items => (items.length === 4 ? refused : new Promise(resolve => (answer = resolve)));
  bench.holds = milliseconds => milliseconds === 5_000;
  bench.outbox.append(...sampleRecords(4));
  bench.start(traces);
  while (traces.batches.length < 2) await turn();
  const stopped = bench.stop(5_000);
  answer(delivered);
  await stopped;
  assert.equal(bench.outbox.acknowledged.traces, [2]);
  assert.is(traces.batches.length, 2);
});

delivery('stop does not wait for pauses', async () => {
  traces.answer = () => failed;
  bench.holds = () => true;
  bench.outbox.append(...sampleRecords(1));
  bench.start(traces, logs);
  await turns(5);
  await bench.stop(60_000);
});

delivery.run();

const endToEnd = suite('delivery over HTTP');

/** xorshift32: the same seed, the same faults. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const seed = Number(process.env.SEED ?? Date.now() % 1e9) + 1;
endToEnd(
  `every record arrives at least once, always the same, whatever the collector does (SEED=${seed - 1})`,
  async () => {
    const receiver = await startOtlpReceiver();
    process.env.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.endpoint;
    process.env.OTEL_EXPORTER_OTLP_TIMEOUT = '100';
    const bench = new Bench();
    listenToSdk(report => bench.reports.push(report));
    const origin = await readOrigin('1.2.3', 'replica-1');
    const random = randomFrom(seed);
    const faults = [
      { type: 'status', status: 429, retryAfter: '1' },
      { type: 'status', status: 401 },
      { type: 'status', status: 500 },
      { type: 'status', status: 503 },
      { type: 'hang' },
      { type: 'reset' },
      { type: 'lose_answer' },
      { type: 'rubbish' },
    ] as const;
    const records = sampleRecords(4_000);
    const poison = new Set(idsOf(records).filter(() => random() < 0.001));
    let requests = 0;
    receiver.behave(request => {
      requests += 1;
      // The faults stop in the end, as faults do.
      if (requests < 60 && random() < 0.5) {
        const fault = faults[Math.floor(random() * faults.length)]!;
        return fault.type === 'rubbish' && request.records.some(({ traceId }) => poison.has(traceId))
          ? { type: 'reset' }
          : fault;
      }
      return request.records.some(({ traceId }) => poison.has(traceId))
        ? { type: 'status', status: 400 }
        : { type: 'accept' };
    });
    bench.start(await createExporter('traces', origin), await createExporter('logs', origin));
    for (let index = 0; index < records.length; index += 100) {
      bench.outbox.append(...records.slice(index, index + 100));
      await turns(3);
    }
    await bench.outbox.until(
      () => bench.outbox.cursor('traces') === 4_000 && bench.outbox.cursor('logs') === 4_000,
    );
    await bench.stop(1_000);
    await receiver.close();

    for (const received of [receiver.spans, receiver.logRecords]) {
      const first = new Map<string, string>();
      for (const record of received) {
        const payload = JSON.stringify(record);
        assert.is(first.get(record.traceId) ?? payload, payload, 'a repeated delivery is equal to the first');
        first.set(record.traceId, payload);
      }
      const missing = idsOf(records).filter(id => !first.has(id) && !poison.has(id));
      assert.is(missing.length, 0);
    }
    assert.is(bench.outbox.deadLetters.length, 2 * poison.size, 'dead letters are exactly the refused');
  },
);

endToEnd('a wrong token keeps the backlog, and the right one delivers it', async () => {
  const receiver = await startOtlpReceiver();
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = receiver.endpoint;
  const bench = new Bench();
  receiver.behave({ type: 'status', status: 401 });
  bench.outbox.append(...sampleRecords(600));
  bench.start(await createExporter('logs', await readOrigin('1.2.3', 'replica-1')));
  await receiver.until(() => receiver.requests.logs > 3);
  assert.is(bench.outbox.cursor('logs'), 0);
  receiver.behave({ type: 'accept' });
  await bench.outbox.until(() => bench.outbox.cursor('logs') === 600);
  await bench.stop();
  await receiver.close();
  assert.is(receiver.logRecords.length, 600);
  assert.equal(bench.outbox.deadLetters, []);
  assert.is(bench.reported('failed')[0]?.message, 'HTTP 401 Unauthorized');
});

endToEnd.run();
