/**
 * 100,000 distinct values of everything that is, or might become, a label: the number of series stays within its bound,
 * memory does not follow, and the sums agree. Of one process, which the soak would kill.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codesMax, elementTypeLabels, groupTypeLabels, platformLabels } from '../../src/callback/classify.ts';
import { commandLabels } from '../../src/callback/commands.ts';
import { readOpenMetrics } from '../metrics/strict-openmetrics.ts';
import { cleanUp } from '../support/clean-up.ts';
import {
  type Exporter,
  exceptionsTotal,
  type Samples,
  startExporter,
  startFlags,
} from '../support/exporter.ts';
import { promtoolCheckMetrics, until } from '../support/prometheus.ts';
import { exchange, type RawRequest, requestBytes, statusesOf } from '../support/raw-socket.ts';
import { sampleBody, sampleQuery } from '../support/samples.ts';

const distinct = suite('distinct values');
distinct.after.each(cleanUp);

const distinctCount = 100_000;
const typesPerMessage = 10;
const connectionCount = 8;
/** Sent on a connection without waiting for answers: 800 in flight, and 503 would come beyond 2,000. */
const requestsPerConnection = 100;

/** The codes that keep their number and one that stands for the rest, twice; and the code of the moderated messages. */
const exceptionSeriesMax = 2 * (codesMax + 1) + 1;
/**
 * Bytes that are still in use after garbage was collected, above those after a quarter of the values. 2.5 MB are the
 * senders and groups of the last five minutes, which have a bound of their own; a map from one field's values to
 * anything at all would take another 4 MB.
 */
const heapGrowthBytesMax = 5e6;
/** What the threads that receive and that journal may let lie: young generations of 3 × 16 MiB, by the flag of `npm start`. */
const residentGrowthBytesMax = 2 * 3 * 16 * 2 ** 20;

/** What an exposition must escape, what prom-client takes for a separator, and what is no text. */
const oddTexts = ['', '"} 1\nforged_total{x="', 'a",b="', '\\', ',', '\u2028', '\0', '\ud800'];
const oddValue = (number: number): string => `${oddTexts[number % oddTexts.length]}${number}`;

interface Kind {
  count: number;
  status: number;
  make: (number: number) => Pick<RawRequest, 'target' | 'body'>;
}

const exceptions: Kind = {
  count: distinctCount,
  status: 200,
  make: number => ({
    target: `/?${sampleQuery({ OptPlatform: oddValue(number) })}`,
    body: sampleBody({
      // The wide range of the catalogue, 120001 to 130000, and 90,000 codes outside it.
      ErrorCode: 120_001 + number,
      Type: oddValue(number),
      GroupId: oddValue(number),
      From_Account: oddValue(number),
      Operator_Account: oddValue(number),
      Random: number,
    }),
  }),
};
const moderated: Kind = {
  count: distinctCount / typesPerMessage,
  status: 200,
  make: number => ({
    target: `/?${sampleQuery()}`,
    body: sampleBody({
      ErrorCode: 80001,
      Random: number,
      MsgBody: Array.from({ length: typesPerMessage }, (_, index) => ({
        // Of the documented shape: of what has another, no more than `other` is read.
        MsgType: `TIM${number * typesPerMessage + index}Elem`,
        MsgContent: {},
      })),
    }),
  }),
};
const commands: Kind = {
  count: distinctCount,
  status: 200,
  make: number => ({
    target: `/?${sampleQuery({ CallbackCommand: `${number % 2 === 0 ? 'Live.' : ''}${oddValue(number)}` })}`,
  }),
};
const apps: Kind = {
  count: distinctCount,
  status: 403,
  make: number => ({ target: `/?${sampleQuery({ SdkAppid: oddValue(number) })}` }),
};

/** Sends those from `from` up to `to`, shares of 1, and holds each answer to its status. */
async function sendShare(exporter: Exporter, { count, status, make }: Kind, from: number, to: number) {
  let next = count * from;
  const end = count * to;
  const run = async () => {
    while (next < end) {
      const first = next;
      next = Math.min(end, next + requestsPerConnection);
      const numbers = Array.from({ length: next - first }, (_, index) => first + index);
      const requests = numbers.map(number =>
        requestBytes({ ...make(number), isLast: number === numbers.at(-1) }),
      );
      const statuses = statusesOf(await exchange(exporter.callbackUrl, Buffer.concat(requests)));
      assert.equal(
        statuses,
        numbers.map(() => status),
      );
    }
  };
  await Promise.all(Array.from({ length: connectionCount }, run));
}

/** Collects garbage on SIGUSR2, and says so. */
const collectingFlags = [
  '--expose-gc',
  '--import',
  'data:text/javascript,process.on("SIGUSR2", () => { gc(); console.error("collected"); })',
];

/** A scrape of what is left once garbage was collected. */
async function collectedMetrics(exporter: Exporter): Promise<Samples> {
  const told = exporter.stderr;
  exporter.signal('SIGUSR2');
  await until(async () => exporter.stderr !== told, 'garbage to be collected');
  return exporter.metrics();
}

/** Of ours: Node's own are born with the first collection of a kind. */
const ourName = /^tencent_chat_/;
const countSeries = (scrape: string): number => scrape.split('\n').filter(line => ourName.test(line)).length;

distinct(
  `${distinctCount} codes, types, platforms, elements, senders, groups, commands and apps: bounded, sound, and all counted`,
  async () => {
    const exporter = await startExporter({ nodeArgs: [...startFlags, ...collectingFlags] });
    for (const kind of [exceptions, moderated, commands, apps]) await sendShare(exporter, kind, 0, 0.25);
    const before = await collectedMetrics(exporter);
    const seriesBefore = countSeries((await exporter.get('/metrics')).body);
    for (const kind of [exceptions, moderated, commands, apps]) await sendShare(exporter, kind, 0.25, 1);
    const after = await collectedMetrics(exporter);

    const growth = (name: string) => after.sum(name) - before.sum(name);
    const heapGrowth = growth('nodejs_heap_size_used_bytes');
    const residentGrowth = growth('process_resident_memory_bytes');
    console.log(
      `\ndistinct values: heap ${(heapGrowth / 1e6).toFixed(1)} MB more, resident ${(residentGrowth / 1e6).toFixed(1)} MB`,
    );
    assert.ok(heapGrowth <= heapGrowthBytesMax, `${heapGrowth} bytes more are in use`);
    assert.ok(residentGrowth <= residentGrowthBytesMax, `${residentGrowth} bytes more are resident`);

    const text = (await exporter.get('/metrics')).body;
    const openMetrics = await exporter.get('/metrics', {
      Accept: 'application/openmetrics-text; version=1.0.0',
    });
    assert.is(countSeries(text), seriesBefore, 'no series is born once the caps are full');
    assert.is(promtoolCheckMetrics(text), '');
    const samples = readOpenMetrics(openMetrics.body).flatMap(family => family.samples);
    assert.is(samples.filter(({ name }) => ourName.test(name)).length, seriesBefore);
    assert.not.match(text, /forged/);

    const series = after.list(exceptionsTotal);
    assert.ok(series.length <= exceptionSeriesMax, `${series.length} series`);
    const values = (name: string, label: string) => after.list(name).map(({ labels }) => labels[label]!);
    for (const [name, label, labels] of [
      [exceptionsTotal, 'group_type', groupTypeLabels],
      [exceptionsTotal, 'platform', platformLabels],
      ['tencent_chat_moderated_elements_total', 'msg_type', elementTypeLabels],
      ['tencent_chat_callbacks_total', 'command', commandLabels],
    ] as const) {
      assert.equal([...new Set(values(name, label)).difference(new Set<string>(labels))], [], label);
    }

    const outcome = (name: string) => after.sum('tencent_chat_callbacks_total', { outcome: name });
    assert.is(after.sum(exceptionsTotal), exceptions.count + moderated.count);
    assert.is(outcome('counted'), exceptions.count + moderated.count);
    assert.is(outcome('duplicate'), 0);
    assert.is(outcome('ignored'), commands.count);
    assert.is(outcome('rejected'), apps.count);
    assert.is(after.sum('tencent_chat_callbacks_rejected_total', { reason: 'sdk_app_id' }), apps.count);
    const kept = new Set(values(exceptionsTotal, 'error_code').filter(code => Number(code) > 120_000));
    assert.is(kept.size, 2 * codesMax);
    assert.is(after.sum('tencent_chat_label_values_folded_total'), exceptions.count - kept.size);
    assert.is(after.sum(exceptionsTotal, { platform: 'other', group_type: 'other' }), exceptions.count);
    assert.is(after.sum('tencent_chat_moderated_elements_total', { msg_type: 'other' }), distinctCount);
  },
);

distinct.run();
