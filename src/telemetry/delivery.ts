/**
 * Delivery: from the journal's outbox to OTLP, at least once and in order.
 *
 * Each signal has a loop and a cursor of its own, so that a dead endpoint for traces does not hold up logs:
 *
 *     wait beyond the cursor → read a batch → export → acknowledge
 *
 * A batch that fails is repeated until it is taken. A batch that is refused is halved, down to the row at fault, which
 * becomes a dead letter: one poison row among 512 costs 18 requests more. The halves go front first, and what was
 * taken is acknowledged at once, so that nothing is sent twice but after a crash.
 */
import { decodeRecord, type ExceptionRecord } from '../callback/record.ts';
import type { Outbox, OutboxRow, Signal } from '../journal/journal.ts';
import { backoffMs } from './backoff.ts';
import type { Exporter } from './exporters.ts';
import { describe, type TelemetryReport } from './report.ts';

/** Larger batches save little more: the fixed cost of a request is shared by 512 already. It is the SDK's default. */
export const batchRowsMax = 512;

/** Receivers commonly take 4 MiB (gRPC's default). A row is longer in the journal than in protobuf. */
export const batchCharsMax = 1024 * 1024;

/** How long to wait for company when the last batch was not a full one: a burst of 40 messages/s becomes 5 batches. */
export const lingerMs = 200;

/** Batches remembered for the other signal. While both keep pace they read every row from one decoding. */
const batchesRemembered = 2;

export interface Delivery {
  /**
   * Takes no new batch, waits for the exports in flight, at most `timeoutMs`, and acknowledges what they delivered.
   * What is undelivered then stays in the journal. Never rejects.
   */
  stop(timeoutMs: number): Promise<void>;
}

export interface DeliveryOptions {
  outbox: Outbox;
  /** One for each enabled signal. */
  exporters: readonly Exporter[];
  report: (report: TelemetryReport) => void;
  /** From 0 to 1. */
  random: () => number;
  /** Resolves after `milliseconds`, or rejects when the signal is aborted. */
  delay: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
}

interface Batch {
  rows: (DecodedRow | UndecodableRow)[];
  /** There may be more rows already. */
  isFull: boolean;
}
interface DecodedRow {
  row: OutboxRow;
  record: ExceptionRecord;
}
interface UndecodableRow {
  row: OutboxRow;
  problem: string;
}
interface Ready {
  row: OutboxRow;
  item: unknown;
}

export function startDelivery({ outbox, exporters, report, random, delay }: DeliveryOptions): Delivery {
  const stopping = new AbortController();
  const readBatch = rememberBatches(outbox);

  async function run(exporter: Exporter): Promise<void> {
    const { signal } = exporter;
    let cursor = await insist(signal, async () => (await outbox.cursors())[signal]);
    let isBehind = false;
    for (;;) {
      await insist(signal, () => unlessStopped(outbox.waitBeyond(cursor)));
      if (!isBehind) await delay(lingerMs, stopping.signal);
      const batch = await insist(signal, () => readBatch(cursor));
      isBehind = batch.isFull;
      const last = batch.rows.at(-1);
      if (last === undefined) continue;
      await deliver(exporter, await prepare(exporter, batch));
      // Once more for rows at the batch's end that were set aside, or are for another signal.
      await insist(signal, () => outbox.acknowledge(signal, last.row.sequence));
      cursor = last.row.sequence;
    }
  }

  /** The batch's items for this signal; rows that cannot be made into one are dead letters. */
  async function prepare(exporter: Exporter, batch: Batch): Promise<Ready[]> {
    const ready: Ready[] = [];
    for (const entry of batch.rows) {
      if ((entry.row.only ?? exporter.signal) !== exporter.signal) continue;
      if ('problem' in entry) {
        await setAside(exporter.signal, entry.row, entry.problem);
        continue;
      }
      try {
        ready.push({ row: entry.row, item: exporter.toItem(entry.record) });
      } catch (error) {
        await setAside(exporter.signal, entry.row, `cannot be mapped: ${describe(error)}`);
      }
    }
    return ready;
  }

  /** Returns when every row was delivered or set aside, and the cursor is past all of them. */
  async function deliver(exporter: Exporter, rows: Ready[]): Promise<void> {
    const last = rows.at(-1);
    if (last === undefined) return;
    const { signal } = exporter;
    const verdict = await exportUntilJudged(exporter, rows);
    if (verdict.type === 'refused' && rows.length > 1) {
      const middle = rows.length >>> 1;
      await deliver(exporter, rows.slice(0, middle));
      await deliver(exporter, rows.slice(middle));
      return;
    }
    if (verdict.type === 'refused') {
      await setAside(signal, last.row, verdict.message);
    } else {
      const { message } = verdict;
      const rejected = Math.min(verdict.rejected, rows.length);
      if (rejected > 0)
        report({ type: 'dropped', signal, reason: 'partial_success', count: rejected, message });
      else if (message !== '') report({ type: 'diagnostic', level: 'warn', message });
      report({ type: 'delivered', signal, count: rows.length - rejected });
    }
    await insist(signal, () => outbox.acknowledge(signal, last.row.sequence));
  }

  async function exportUntilJudged(exporter: Exporter, rows: Ready[]) {
    const items = rows.map(row => row.item);
    for (let failures = 0; ; failures += 1) {
      stopping.signal.throwIfAborted();
      const verdict = await exporter.export(items);
      if (verdict.type !== 'failed') return verdict;
      await backOff(
        exporter.signal,
        verdict.message,
        Math.max(backoffMs(failures, random()), verdict.retryAfterMs),
      );
    }
  }

  async function setAside(signal: Signal, row: OutboxRow, reason: string): Promise<void> {
    await insist(signal, () => outbox.deadLetter(signal, row, reason));
    report({ type: 'dead_letter', signal, sequence: row.sequence, reason });
  }

  /** Repeats what the journal cannot do at the moment. */
  async function insist<Result>(signal: Signal, action: () => Promise<Result>): Promise<Result> {
    for (let failures = 0; ; failures += 1) {
      try {
        return await action();
      } catch (error) {
        stopping.signal.throwIfAborted();
        await backOff(signal, `journal: ${describe(error)}`, backoffMs(failures, random()));
      }
    }
  }

  async function backOff(signal: Signal, message: string, retryInMs: number): Promise<void> {
    report({ type: 'failed', signal, message, retryInMs });
    await delay(retryInMs, stopping.signal);
  }

  /** Not Promise.race: it would leave a reaction on the endless promise for each batch, for ever. */
  function unlessStopped(promise: Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      const { signal } = stopping;
      const stop = () => reject(signal.reason);
      if (signal.aborted) return stop();
      signal.addEventListener('abort', stop, { once: true });
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
    });
  }

  const loops = exporters.map(exporter =>
    run(exporter).catch(error => {
      // Nothing but a stop ends a loop. Anything else is a broken assumption: the thread dies and starts afresh.
      if (!stopping.signal.aborted) throw error;
    }),
  );
  return {
    async stop(timeoutMs) {
      stopping.abort();
      const waiting = new AbortController();
      await Promise.race([Promise.allSettled(loops), delay(timeoutMs, waiting.signal).catch(() => {})]);
      waiting.abort();
    },
  };
}

/** Reads a batch once, though every signal asks for it. */
function rememberBatches(outbox: Outbox): (after: number) => Promise<Batch> {
  const remembered = new Map<number, Promise<Batch>>();
  return after => {
    const known = remembered.get(after);
    if (known !== undefined) return known;
    const batch = outbox.read(after, batchRowsMax).then(decodeBatch);
    remembered.set(after, batch);
    if (remembered.size > batchesRemembered) remembered.delete(remembered.keys().next().value!);
    const forget = () => remembered.delete(after);
    batch.then(({ rows }) => rows.length === 0 && forget(), forget);
    return batch;
  };
}

function decodeBatch(rows: OutboxRow[]): Batch {
  const batch: Batch = { rows: [], isFull: rows.length === batchRowsMax };
  let chars = 0;
  for (const row of rows) {
    chars += row.record.length;
    if (chars > batchCharsMax && batch.rows.length > 0) {
      batch.isFull = true;
      break;
    }
    batch.rows.push(decode(row));
  }
  return batch;
}

function decode(row: OutboxRow): DecodedRow | UndecodableRow {
  try {
    return { row, record: decodeRecord(row.record) };
  } catch (error) {
    return { row, problem: `cannot be decoded: ${describe(error)}` };
  }
}
