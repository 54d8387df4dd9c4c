/**
 * Every exception of a journal as a line of JSON, in the order of storage or its reverse, with what is still kept of
 * its record. Page by page: in memory there is one page of exceptions, one of records, and the trace IDs of dead letters.
 *
 * Undelivered records are in the order of their exceptions, so that two streams are merged as they come. Dead letters
 * and what was retried are not: each is fetched when its exception comes by. Exceptions whose identity is not kept any
 * more, only their record, are older than all others.
 */
import type { ExceptionLabels } from '../callback/exception.ts';
import { decodeRecord, type ExceptionRecord, traceIdOf } from '../callback/record.ts';
import {
  type DeadLetter,
  type DeadLetterKey,
  type Inquiry,
  type Order,
  pageRowsMax,
  type Signal,
  type StoredException,
  signals,
  type UndeliveredRecord,
} from '../journal/journal.ts';

export interface ExportOptions {
  order: Order;
  /** Milliseconds since the Unix epoch. */
  since: number;
  limit: number;
  /** Is told how many records are damaged, or cannot be decoded. */
  unreadable: { count: number };
}

/** What stands apart of one exception: outbox sequences. */
interface Apart {
  deadLetters: Set<number>;
  retried: Set<number>;
  /** Its identity is kept: it comes by as an exception. */
  isKept: boolean;
}

/** Its keys are documented in journal.ts. */
interface Line {
  trace_id: string;
  received_at: string | null;
  labels: ExceptionLabels | null;
  undelivered: Signal[];
  dead_letters: { id: string; reason: string }[];
  record: Record<string, unknown> | null;
}

export async function* exportExceptions(
  inquiry: Inquiry,
  { order, since, limit, unreadable }: ExportOptions,
): AsyncGenerator<string> {
  let left = limit;
  for await (const [receivedAt, line] of exportLines(inquiry, order, unreadable)) {
    if (receivedAt < since) continue;
    if (left === 0) return;
    left -= 1;
    yield `${JSON.stringify(line)}\n`;
    if (left === 0) return;
  }
}

async function* exportLines(
  inquiry: Inquiry,
  order: Order,
  unreadable: { count: number },
): AsyncGenerator<[receivedAt: number, Line]> {
  const isUp = order === 'oldest_first';
  const isBefore = (one: number, other: number): boolean => (isUp ? one < other : one > other);
  const apart = await findApart(inquiry, unreadable);
  const records = new Peekable(undeliveredRecords(inquiry, order));

  if (isUp) yield* forgotten();
  for await (const exception of storedExceptions(inquiry, order)) {
    // Of an exception that went between two pages, or cannot be told: its record can.
    for (let record = await records.peek(); isPassed(record, exception); record = await records.peek()) {
      yield* ofRecord(await records.take());
    }
    const record = await records.peek();
    const own = record?.exception === exception.sequence ? await records.take() : undefined;
    yield [
      exception.receivedAt,
      await lineOf(exception.identity, exception.receivedAt, exception.labels, own),
    ];
  }
  if (!isUp) yield* forgotten();

  function isPassed(record: UndeliveredRecord | undefined, { sequence }: StoredException): boolean {
    if (record === undefined) return false;
    return record.exception === null || isBefore(record.exception, sequence);
  }

  /** What has no exception any more: records that wait, and among them dead letters and what was retried. */
  async function* forgotten(): AsyncGenerator<[number, Line]> {
    const rest = [...apart]
      .filter(([, { isKept }]) => !isKept)
      .map(([traceId, { deadLetters, retried }]) => ({
        traceId,
        first: Math.min(...deadLetters, ...retried),
      }))
      .sort((one, other) => (isUp ? one.first - other.first : other.first - one.first));
    const upTo = async function* (sequence: number): AsyncGenerator<[number, Line]> {
      while (rest.length > 0 && isBefore(rest[0]!.first, sequence)) {
        const { traceId } = rest.shift()!;
        if (apart.has(traceId)) yield* ofApart(traceId);
      }
    };
    for (let record = await records.peek(); record !== undefined; record = await records.peek()) {
      // Going up, the exceptions begin here.
      if (record.exception !== null && isUp) break;
      yield* upTo(record.sequence);
      yield* ofRecord(await records.take());
    }
    yield* upTo(isUp ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY);
  }

  async function* ofRecord(row: UndeliveredRecord | undefined): AsyncGenerator<[number, Line]> {
    const record = decode(row?.record ?? null);
    if (record === null) unreadable.count += 1;
    else yield [record.receivedAt, await lineOf(record.traceId, record.receivedAt, record.labels, row)];
  }

  async function* ofApart(traceId: string): AsyncGenerator<[number, Line]> {
    const line = await lineOf(traceId, 0, null, undefined);
    if (line.received_at !== null) yield [Date.parse(line.received_at), line];
  }

  /** With all that is kept of it. Where `labels` are not known they are the record's, and so is the time. */
  async function lineOf(
    traceId: string,
    receivedAt: number,
    labels: ExceptionLabels | null,
    row: UndeliveredRecord | undefined,
  ): Promise<Line> {
    const { deadLetters, retried } = await fetchApart(inquiry, apart.get(traceId));
    apart.delete(traceId);
    const rows = [...(row === undefined ? [] : [row]), ...retried];
    const texts = [...rows, ...deadLetters].map(({ record }) => record);
    const record = texts.map(decode).find(found => found !== null) ?? null;
    if (record === null && texts.length > 0) unreadable.count += 1;
    return {
      trace_id: traceId,
      received_at: isoTime(labels === null ? (record?.receivedAt ?? null) : receivedAt),
      labels: labels ?? record?.labels ?? null,
      undelivered: signals.filter(signal => rows.some(row => row.signals.includes(signal))),
      dead_letters: deadLetters.map(letter => ({ id: idOf(letter), reason: letter.reason })),
      record: record === null ? null : fieldsOf(record),
    };
  }
}

async function findApart(inquiry: Inquiry, unreadable: { count: number }): Promise<Map<string, Apart>> {
  const apart = new Map<string, Apart>();
  const add = (
    list: 'deadLetters' | 'retried',
    { sequence, record, exception }: DeadLetter | UndeliveredRecord,
  ) => {
    const traceId = record === null ? null : traceIdOf(record);
    if (traceId === null) {
      unreadable.count += 1;
      return;
    }
    const entry = apart.get(traceId) ?? {
      deadLetters: new Set(),
      retried: new Set(),
      isKept: exception !== null,
    };
    entry[list].add(sequence);
    apart.set(traceId, entry);
  };
  for await (const letter of pages(from => inquiry.deadLetters(from, pageRowsMax), 0))
    add('deadLetters', letter);
  for await (const record of pages(from => inquiry.retried(from, pageRowsMax), 0)) add('retried', record);
  return apart;
}

async function fetchApart(
  inquiry: Inquiry,
  apart: Apart | undefined,
): Promise<{ deadLetters: DeadLetter[]; retried: UndeliveredRecord[] }> {
  const deadLetters: DeadLetter[] = [];
  const retried: UndeliveredRecord[] = [];
  for (const sequence of apart?.deadLetters ?? []) {
    const page = await inquiry.deadLetters(sequence - 1, 1);
    deadLetters.push(...page.filter(letter => letter.sequence === sequence && letter.record !== null));
  }
  for (const sequence of apart?.retried ?? []) {
    const page = await inquiry.undelivered(sequence - 1, 1, 'oldest_first');
    retried.push(...page.filter(record => record.sequence === sequence));
  }
  return { deadLetters, retried };
}

function storedExceptions(inquiry: Inquiry, order: Order): AsyncGenerator<StoredException> {
  return pages(from => inquiry.exceptions(from, pageRowsMax, order), beginning(order));
}

async function* undeliveredRecords(inquiry: Inquiry, order: Order): AsyncGenerator<UndeliveredRecord> {
  const records = pages(from => inquiry.undelivered(from, pageRowsMax, order), beginning(order));
  for await (const record of records) if (!record.isRetried) yield record;
}

function beginning(order: Order): number {
  return order === 'oldest_first' ? 0 : Number.POSITIVE_INFINITY;
}

/** Everything above or below `from`, as far as `read` finds more. */
export async function* pages<Item extends { sequence: number }>(
  read: (from: number) => Promise<Item[]>,
  from: number,
): AsyncGenerator<Item> {
  for (let last = from; ; ) {
    const page = await read(last);
    if (page.length === 0) return;
    yield* page;
    last = page.at(-1)!.sequence;
  }
}

/** A stream whose next item can be looked at. */
class Peekable<Item> {
  readonly #source: AsyncIterator<Item>;
  #next: Promise<Item | undefined> | undefined;

  constructor(source: AsyncIterable<Item>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** `undefined` at the end. */
  peek(): Promise<Item | undefined> {
    this.#next ??= this.#source.next().then(({ value, done }) => (done ? undefined : value));
    return this.#next;
  }

  async take(): Promise<Item | undefined> {
    const item = await this.peek();
    if (item !== undefined) this.#next = undefined;
    return item;
  }
}

function decode(text: string | null): ExceptionRecord | null {
  try {
    return text === null ? null : decodeRecord(text);
  } catch {
    return null;
  }
}

/** What was stored of it, beside what every line has. Nothing else than the settings allowed to leave can be in it. */
function fieldsOf({
  traceId: _,
  labels: __,
  receivedAt: ___,
  occurredAt,
  ...fields
}: ExceptionRecord): Record<string, unknown> {
  const named = Object.entries(fields).map(([name, value]) => [
    name.replace(/[A-Z]/g, letter => `_${letter.toLowerCase()}`),
    value,
  ]);
  return { occurred_at: isoTime(occurredAt), ...Object.fromEntries(named) };
}

/** As `retry` and `drop` take it. */
export function idOf({ sequence, signal }: DeadLetterKey): string {
  return `${sequence}-${signal}`;
}

export function isoTime(at: number | null): string | null {
  return at === null ? null : new Date(at).toISOString();
}
