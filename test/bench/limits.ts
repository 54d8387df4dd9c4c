/**
 * How the exporter stands at its limits: nothing to do, a journal of a million exceptions, a scrape of 5,000 series.
 *
 *     npm run bench:limits [-- EXCEPTIONS]      a million unless told otherwise
 */
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { platformLabels } from '../../src/callback/classify.ts';
import type { ExceptionLabels } from '../../src/callback/exception.ts';
import { createIdentifier } from '../../src/callback/identify.ts';
import { encodeRecord } from '../../src/callback/record.ts';
import type { JournalEntry } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import {
  cpuMicroseconds,
  folder,
  median,
  otlpEnvironment,
  residentMegabytes,
  runLoad,
  startExporter,
  startSink,
  waitForDelivery,
} from './processes.ts';

const exceptions = Number(process.argv[2] ?? 1_000_000);
const seriesCount = 5_000;
/** One after the other, as a busy hour would leave them. */
const perSecond = 300;
const startCount = 5;
/** What is left of a start, before idling is measured. */
const settleMs = 5_000;
const idleSeconds = 20;

await empty();
await million();
await scrapes();
process.exit(0);

/** From start to ready, delivery included, and what it costs to wait for callbacks. */
async function empty(): Promise<void> {
  const sink = await startSink();
  const readyMs: number[] = [];
  let child: ChildProcess;
  for (let count = 1; ; count += 1) {
    const startedAt = performance.now();
    ({ child } = await startExporter({
      JOURNAL: `sqlite:${join(folder, `empty-${count}`, 'journal.db')}`,
      ...otlpEnvironment(sink),
    }));
    readyMs.push(performance.now() - startedAt);
    if (count === startCount) break;
    child.kill('SIGKILL');
  }
  await delay(settleMs);
  const before = cpuMicroseconds(child);
  await delay(idleSeconds * 1_000);
  const share = (cpuMicroseconds(child) - before) / (idleSeconds * 1e6);
  console.log('empty journal');
  console.log(`  start to ready, median     ${median(readyMs).toFixed(0)} ms`);
  console.log(`  CPU when idle              ${(share * 100).toFixed(2)} % of a core`);
  console.log(`  RSS when idle              ${residentMegabytes(child).toFixed(0)} MB`);
  child.kill('SIGKILL');
}

/** Ready over a full journal, small with a backlog, and able to work it off. */
async function million(): Promise<void> {
  const path = join(folder, 'million', 'journal.db');
  await fill(path, exceptions, true, labelSets(200));

  const sink = await startSink();
  const setBehaviour = (behaviour: object): Promise<unknown> =>
    fetch(`http://127.0.0.1:${sink}/behave`, { method: 'POST', body: JSON.stringify(behaviour) });
  await setBehaviour({ type: 'status', status: 503 });
  const startedAt = performance.now();
  const exporter = await startExporter({
    JOURNAL: `sqlite:${path}`,
    JOURNAL_MAX_BYTES: String(4 * 2 ** 30),
    ...otlpEnvironment(sink),
  });
  const readyMs = performance.now() - startedAt;
  await runLoad(exporter.port, 10);
  console.log(`${exceptions} exceptions in the journal, none delivered`);
  console.log(`  start to ready             ${readyMs.toFixed(0)} ms`);
  console.log(`  RSS under load, peak       ${residentMegabytes(exporter.child, 'peak').toFixed(0)} MB`);

  const before = cpuMicroseconds(exporter.child);
  const catchUpAt = performance.now();
  await setBehaviour({ type: 'accept' });
  await waitForDelivery(exporter);
  const seconds = (performance.now() - catchUpAt) / 1000;
  const cpu = (cpuMicroseconds(exporter.child) - before) / exceptions;
  console.log(`  delivered in               ${seconds.toFixed(0)} s, ${cpu.toFixed(0)} µs of CPU each`);
  console.log(`  RSS, peak until then       ${residentMegabytes(exporter.child, 'peak').toFixed(0)} MB`);
  exporter.child.kill('SIGKILL');
}

/** Answers while a large scrape is encoded, every half second, against answers without. */
async function scrapes(): Promise<void> {
  const path = join(folder, 'series', 'journal.db');
  await fill(path, seriesCount, false, labelSets(seriesCount));
  const exporter = await startExporter({ JOURNAL: `sqlite:${path}` });
  await runLoad(exporter.port, 4);
  const quiet = await runLoad(exporter.port, 8);

  let isScraping = true;
  const seconds: number[] = [];
  let bytes = 0;
  const scraper = (async () => {
    while (isScraping) {
      const startedAt = performance.now();
      bytes = (await (await fetch(`http://127.0.0.1:${exporter.operationsPort}/metrics`)).text()).length;
      seconds.push(performance.now() - startedAt);
      await delay(500);
    }
  })();
  const scraped = await runLoad(exporter.port, 8);
  isScraping = false;
  await scraper;
  console.log(`\na scrape of ${seriesCount} exception series (${bytes} bytes) every 0.5 s, under full load`);
  console.log(`                 p50 ms   p99 ms   max ms`);
  for (const [name, { p50Ms, p99Ms, maxMs }] of [
    ['without', quiet],
    ['with', scraped],
  ] as const) {
    const [p50, p99, max] = [p50Ms, p99Ms, maxMs].map(value => value.toFixed(1).padStart(8));
    console.log(`  ${name.padEnd(12)} ${p50} ${p99} ${max}`);
  }
}

async function fill(
  path: string,
  count: number,
  withRecords: boolean,
  sets: ExceptionLabels[],
): Promise<void> {
  const journal = new SqliteJournal(path, {
    signals: withRecords ? ['traces', 'logs'] : [],
    bytesMax: 4 * 2 ** 30,
    now: Date.now,
    report: () => {},
  });
  const { key } = await journal.open(Date.now());
  const identifier = createIdentifier(key.toString('hex'));
  const firstAt = Date.now() - (count / perSecond) * 1000;
  for (let from = 0; from < count; from += 1_000) {
    const batch = Array.from({ length: Math.min(1_000, count - from) }, (_, index) =>
      entryAt(from + index, firstAt),
    );
    await journal.append(batch);
  }
  await journal.close();

  function entryAt(index: number, firstAt: number): JournalEntry {
    const receivedAt = Math.floor(firstAt + (index / perSecond) * 1000);
    const labels = sets[index % sets.length]!;
    const ids = identifier.identify([String(index)], receivedAt);
    const record = {
      ...ids,
      occurredAt: receivedAt,
      receivedAt,
      labels,
      errorName: 'group_send_msg_freq_limit',
      errorInfo: 'msg count exceeds limit,please retry later',
      errorCode: 10023,
      groupId: `@TGS#2J4SZ${index % 1000}`,
      topicId: null,
      isOnlineOnly: false,
      elementTypes: ['TIMTextElem'],
      random: index,
      userHash: identifier.hashAccount(`user${index % 5000}`),
      userId: null,
      clientAddress: null,
      messageText: null,
    };
    return {
      identity: ids.traceId,
      labels,
      receivedAt,
      senderHash: identifier.hash48(`user${index % 5000}`),
      groupHash: identifier.hash48(record.groupId),
      record: withRecords ? encodeRecord(record) : null,
    };
  }
}

/** Label sets of distinct codes and platforms. */
function labelSets(count: number): ExceptionLabels[] {
  return Array.from({ length: count }, (_, index) => ({
    sdk_app_id: '1400000001',
    error_code: String(20_000 + Math.floor(index / platformLabels.length)),
    error_category: 'rate_limited',
    group_type: 'Public',
    platform: platformLabels[index % platformLabels.length]!,
    initiator: 'user',
  }));
}
