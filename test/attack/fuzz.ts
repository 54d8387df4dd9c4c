/**
 * The fuzzer: hostile bodies through `receive` in this process, and hostile requests to an exporter of its own.
 *
 *     npm run fuzz                                       200,000 bodies, 5,000 requests
 *     npm run fuzz -- --bodies N --requests N --seed N   N of each; the seed repeats a run
 *
 * Each body is judged by a model of a few lines that says what must become of it, so that one exception too few is
 * found as surely as a crash. All the time: only documented answers, never a 5xx, no forged series, no NaN, expositions
 * that promtool and a strict reader take, memory that does not grow.
 */
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { groupTypeLabels, platformLabels } from '../../src/callback/classify.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { decodeRecord } from '../../src/callback/record.ts';
import { okAnswer, rejectionAnswers } from '../../src/http/answers.ts';
import { type CountedEntry, countException, type Receiver, receive } from '../../src/http/receive.ts';
import { type MetricRow, metricTable } from '../../src/metrics/table.ts';
import { exceptionCount, newReceiver, outcomes } from '../http/fixtures.ts';
import type { ReadFamily } from '../metrics/strict-openmetrics.ts';
import { cleanUp } from '../support/clean-up.ts';
import { exceptionsTotal } from '../support/exporter.ts';
import { promtoolCheckMetrics } from '../support/prometheus.ts';
import { newSeed } from '../support/random.ts';
import { openSocket } from '../support/raw-socket.ts';
import { sampleReceivedAt, sampleSdkAppId, sampleToken, signedQuery } from '../support/samples.ts';
import { hostileBody, hostileBytes, hostileParameters, hostileRequest } from './hostile.ts';
import { openMetricsType, readSoundMetrics, signals, startTarget, type Target, tokens } from './target.ts';

export interface Campaign {
  count: number;
  seed: number;
}

/** How many of each status, or outcome. */
export type Tally = Record<string, number>;

function add(tally: Tally, name: string | number): void {
  tally[name] = (tally[name] ?? 0) + 1;
}

// Bodies

/** What must become of an authentic body: a model of its own, which shares nothing with the parser. */
export function judge(text: string, urlNamesCommand: boolean): 'counted' | 'ignored' | 'rejected' {
  let body: unknown;
  try {
    body = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    return 'rejected';
  }
  if (Object.prototype.toString.call(body) !== '[object Object]') return 'rejected';
  const command = Object.getOwnPropertyDescriptor(body, 'CallbackCommand')?.value;
  return urlNamesCommand || command === 'Group.CallbackSendMsgException' ? 'counted' : 'ignored';
}

const statusOf = { counted: 200, ignored: 200, rejected: rejectionAnswers.malformed.status };

/** How often the expositions and the heap are looked at. */
const looks = 20;

/** What may be remembered between two looks: names, senders and groups, all bounded; and each series. */
const heapGrowthMax = 12 * 2 ** 20;
const heapPerSeries = 2_048;

/** Resolves with how many were counted, ignored and rejected. */
export async function fuzzBodies({ count, seed }: Campaign): Promise<Tally> {
  const { receiver: built, metrics } = await newReceiver({ messageContent: 'included' });
  const entries: CountedEntry[] = [];
  // Journals have suites of their own, and keep identities for a day: here they would only hide what grows.
  const receiver: Receiver = {
    ...built,
    writer: {
      async append(entry) {
        entries.push(entry);
        countException(entry, metrics);
        return 'new';
      },
    },
  };
  const expected: Tally = {};
  const collectGarbage = garbageCollector();
  const lookEvery = Math.ceil(count / looks);
  let sent = 0;
  // From the first look on: by then all code ran, and what is made once was made.
  let heapBefore: { bytes: number; series: number } | undefined;

  const look = async () => {
    const text = (await metrics.render(undefined, null)).body.toString();
    const families = checkExpositions(text, (await metrics.render(openMetricsType, null)).body.toString());
    collectGarbage();
    const heap = {
      bytes: process.memoryUsage().heapUsed,
      series: families.reduce((sum, { samples }) => sum + samples.length, 0),
    };
    if (heapBefore !== undefined) {
      const grown = heap.bytes - heapBefore.bytes;
      const allowed = heapGrowthMax + heapPerSeries * (heap.series - heapBefore.series);
      assert.ok(
        grown <= allowed,
        `the heap grew by ${grown} bytes in ${sent} bodies, ${allowed} are explained`,
      );
    }
    heapBefore ??= heap;
  };

  const property = fc.asyncProperty(
    hostileBody,
    hostileParameters,
    fc.boolean(),
    async (bytes, parameters, urlNamesCommand) => {
      const CallbackCommand = urlNamesCommand ? 'Group.CallbackSendMsgException' : undefined;
      const text = bytes.toString();
      const verdict = judge(text, urlNamesCommand);
      add(expected, verdict);
      entries.length = 0;
      const answer = await receive(
        {
          arrivedAt: performance.now(),
          querystring: signedQuery(sampleReceivedAt, sampleToken, {
            ...parameters,
            CallbackCommand,
          }),
          contentEncoding: undefined,
          bodyBytesMax: bytes.length,
          readBody: async () => text,
        },
        receiver,
      );
      assert.is(answer.status, statusOf[verdict]);
      assert.is(entries.length, verdict === 'counted' ? 1 : 0);
      for (const entry of entries) checkEntry(entry);
      assert.is(receiver.inFlight.callbacks, 0);
      sent += 1;
      if (sent % lookEvery === 0) await look();
    },
  );
  await fc.assert(property, { numRuns: count, seed });

  await look();
  assert.equal(
    sorted(await outcomes(metrics)),
    sorted(expected),
    'each callback has the outcome that it must have',
  );
  assert.is(await exceptionCount(metrics), expected.counted ?? 0);
  assert.is(({} as Record<string, unknown>).GroupId, undefined, 'no prototype was touched');
  return expected;
}

/** What is journaled: finite, well-formed, bounded, and read back as it was written. */
function checkEntry(entry: CountedEntry): void {
  checkLabels(entry.labels);
  assert.match(entry.traceId, /^(?!0+$)[0-9a-f]{32}$/);
  assert.match(entry.spanId, /^(?!0+$)[0-9a-f]{16}$/);
  const record = decodeRecord(entry.record!);
  assert.ok(entry.record!.length < 64 * 1024);
  assert.ok(record.receivedAt >= record.occurredAt);
  for (const value of Object.values({ ...record, ...entry })) {
    if (typeof value === 'number') assert.ok(Number.isSafeInteger(value), String(value));
    if (typeof value === 'string') assert.ok(value.isWellFormed());
  }
}

function sorted(tally: Tally): [string, number][] {
  return Object.entries(tally).sort();
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}

// Expositions

const rowsByName = new Map<string, MetricRow>(Object.values(metricTable).map(row => [row.name, row]));

const closedLabels: Record<string, readonly string[]> = {
  sdk_app_id: [sampleSdkAppId],
  error_category: errorCategories,
  group_type: groupTypeLabels,
  platform: platformLabels,
  initiator: ['admin', 'user'],
};

function checkLabels(labels: object): void {
  for (const [label, value] of Object.entries(labels)) {
    if (label === 'error_code') assert.match(value, /^(-?\d{1,16}|unknown|invalid|other)$/);
    else assert.ok(closedLabels[label]?.includes(value), `${label} is ${JSON.stringify(value)}`);
  }
}

/** 184 rows of the catalogue, of which two are ranges; two caps of 100; unknown, invalid, other. */
const errorCodesMax = 182 + 101 + 100 + 100 + 3;

/** Both expositions of one moment: they parse, hold no NaN, and no series or label that a sender invented. */
export function checkExpositions(text: string, openMetrics: string): ReadFamily[] {
  assert.is(promtoolCheckMetrics(text), '');
  assert.not.match(text, /NaN/);
  const families = readSoundMetrics(openMetrics);
  for (const { name, type, samples } of families) {
    const row = rowsByName.get(type === 'counter' ? `${name}_total` : name);
    if (row === undefined) {
      assert.match(name, /^(process|nodejs)_/, 'a metric that nobody invented');
      continue;
    }
    for (const { labels } of samples) {
      const { le: _, ...own } = labels;
      assert.equal(Object.keys(own), [...row.labels], name);
      if (row.name === exceptionsTotal) checkLabels(own);
      else for (const value of Object.values(own)) assert.match(value, /^[\w.*-]{0,64}$/, name);
    }
    if (row.name === exceptionsTotal) {
      const codes = new Set(samples.map(({ labels }) => labels.error_code));
      assert.ok(codes.size <= errorCodesMax, `${codes.size} codes`);
    }
  }
  // Of this exporter's own: Node's can be born in between, with a first collection of garbage.
  const own = families.filter(({ name }) => name.startsWith('tencent_chat_'));
  assert.is(
    text.split('\n').filter(line => line.startsWith('tencent_chat_')).length,
    own.reduce((sum, { samples }) => sum + samples.length, 0),
    'as many series in either format',
  );
  return families;
}

// Requests

const requestsAtOnce = 16;

/** Answers in Tencent's three fields, and those that HTTP itself gives to what is no callback. */
const callbackStatuses = new Set([okAnswer, ...Object.values(rejectionAnswers)].map(({ status }) => status));
const httpStatuses = new Set([400, 404, 405, 408, 413, 417, 431]);

/** For the rest of a request whose framing was broken. Then this end is closed, which tells the other that it is all. */
const patienceMs = 300;

const residentGrowthMax = 96 * 2 ** 20;

/** Resolves with how many had each status; `none` where the connection was closed without one. */
export async function fuzzRequests({ count, seed }: Campaign): Promise<Tally> {
  const target = await startTarget();
  const statuses: Tally = {};
  let callbacksAnswered = 0;
  let unanswered = 0;
  const before = await target.exporter.metrics();
  let residentBefore: number | undefined;

  const property = fc.asyncProperty(
    fc.array(hostileRequest, { minLength: requestsAtOnce, maxLength: requestsAtOnce }),
    async requests => {
      const texts = await Promise.all(
        requests.map(request =>
          exchangePatiently(target.exporter.callbackUrl, hostileBytes(request, tokens.current)),
        ),
      );
      for (const text of texts) {
        const answers = readAnswers(text);
        if (answers.length === 0) {
          add(statuses, 'none');
          unanswered += 1;
        }
        for (const answer of answers) {
          checkAnswer(answer);
          add(statuses, answer.status);
          if (answer.isCounted) callbacksAnswered += 1;
        }
      }
      residentBefore ??= await target.residentBytes();
    },
  );
  const numRuns = Math.ceil(count / requestsAtOnce);
  await fc.assert(property, { numRuns, seed, markInterruptAsFailure: true });

  const grown = (await target.residentBytes()) - residentBefore!;
  assert.ok(grown < residentGrowthMax, `${grown} bytes more in ${count} requests`);
  const after = await target.exporter.metrics();
  const callbacks = after.sum('tencent_chat_callbacks_total') - before.sum('tencent_chat_callbacks_total');
  // A sender that was gone may have been counted all the same.
  assert.ok(
    callbacks >= callbacksAnswered && callbacks <= callbacksAnswered + unanswered,
    `${callbacks} callbacks, ${callbacksAnswered} answered, ${unanswered} without an answer`,
  );
  await isIntact(target);
  return statuses;
}

/** Both expositions, the OTLP end, and the probe of the attack suite. */
async function isIntact(target: Target): Promise<void> {
  const { exporter, collector } = target;
  await target.survives('the fuzzer', async () => ({}));
  const text = (await exporter.get('/metrics')).body;
  checkExpositions(text, (await exporter.get('/metrics', { Accept: openMetricsType })).body);
  await target.hasDeliveredAllProbes();
  const total = await exporter.total();
  for (const signal of signals) {
    await collector.until(() => collector.traceIds[signal].size >= total).catch(() => {});
    assert.is(collector.traceIds[signal].size, total, `every exception is at the OTLP end: ${signal}`);
  }
}

interface ReadAnswer {
  status: number;
  body: string;
  /** One that the exporter counts as a callback. */
  isCounted: boolean;
}

/** Every answer that came over one connection. */
function readAnswers(text: string): ReadAnswer[] {
  return text
    .split(/^(?=HTTP\/1\.1 \d{3} )/m)
    .filter(part => part !== '' && !part.startsWith('HTTP/1.1 100 '))
    .map(part => {
      const status = Number(part.slice('HTTP/1.1 '.length, 'HTTP/1.1 '.length + 3));
      // What Node itself answers is empty, and sometimes empty in chunks.
      const body = part.slice(part.indexOf('\r\n\r\n') + 4).replace(/^0\r\n\r\n$/, '');
      return { status, body, isCounted: body !== '' && callbackStatuses.has(status) };
    });
}

export function checkAnswer({ status, body }: { status: number; body: string }): void {
  assert.ok(status < 500, `${status}: ${body}`);
  assert.ok(callbackStatuses.has(status) || httpStatuses.has(status), `an undocumented ${status}`);
  if (body === '') {
    assert.ok(httpStatuses.has(status), `a ${status} without a word`);
    return;
  }
  const { ActionStatus, ErrorInfo, ErrorCode, ...more } = JSON.parse(body);
  assert.equal(more, {});
  assert.type(ErrorInfo, 'string');
  assert.equal([ActionStatus, ErrorCode], status === 200 ? ['OK', 0] : ['FAIL', status]);
}

async function exchangePatiently(url: string, bytes: Buffer): Promise<string> {
  const { socket, closed } = await openSocket(url);
  socket.write(bytes);
  const patience = setTimeout(() => socket.end(), patienceMs);
  const { text } = await closed;
  clearTimeout(patience);
  return text;
}

// The campaign

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      bodies: { type: 'string', default: '200000' },
      requests: { type: 'string', default: '5000' },
      seed: { type: 'string', default: String(newSeed()) },
    },
  });
  const seed = Number(values.seed);
  console.log(`fuzz: SEED=${seed}`);
  const startedAt = performance.now();
  try {
    const bodies = await fuzzBodies({ count: Number(values.bodies), seed });
    const requests = await fuzzRequests({ count: Number(values.requests), seed });
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    console.log(
      `fuzz: ${values.bodies} bodies ${JSON.stringify(bodies)}, ${values.requests} requests ${JSON.stringify(requests)}, nothing found in ${seconds} s`,
    );
  } finally {
    await cleanUp();
  }
}
