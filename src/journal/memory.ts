/** The journal that lasts as long as the process: for trials, and for telling what an engine's disk adds. */
import { randomBytes } from 'node:crypto';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { traceIdOf } from '../callback/record.ts';
import {
  type AppendOutcome,
  type DeadLetter,
  type DeadLetterKey,
  deadLettersMax,
  identityRetentionMs,
  type Journal,
  type JournalContents,
  type JournalEntry,
  type JournalOptions,
  type JournalSummary,
  type LeftReason,
  type Order,
  type OutboxRow,
  reportSettled,
  type Settlement,
  type Signal,
  type StoredException,
  signals,
  type Total,
  type UndeliveredRecord,
} from './journal.ts';
import { serveOutbox } from './outbox-port.ts';
import { Waiters } from './waiters.ts';

/** What an exception costs in a Map, about: a 32-digit string, an object of four, their entry. */
const exceptionBytes = 160;
const statsEveryMs = 200;

interface MemoryRow extends OutboxRow {
  receivedAt: number;
}

interface MemoryDeadLetter extends DeadLetterKey {
  reason: string;
  record: string;
  receivedAt: number;
}

export class MemoryJournal implements Journal {
  readonly #options: JournalOptions;
  /** By identity, in order of sequence. */
  readonly #exceptions = new Map<string, StoredException>();
  #lastException = 0;
  /** In order of sequence; a Map keeps the order of insertion. */
  readonly #outbox = new Map<number, MemoryRow>();
  readonly #cursors = new Map<Signal, number>();
  #lastSequence = 0;
  /** Of the outbox's records and of dead letters. */
  #recordBytes = 0;
  /** Totals by their labels as JSON. */
  readonly #totals = new Map<string, Total>();
  /** In order of setting aside. */
  readonly #deadLetters = new Map<string, MemoryDeadLetter>();
  readonly #dropped: Partial<Record<Signal, number>>;
  readonly #waiters = new Waiters(after => this.#outbox.size > 0 && this.#lastSequence > after);
  #statsTimer: NodeJS.Timeout | undefined;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.#dropped = Object.fromEntries(options.signals.map(signal => [signal, 0]));
  }

  async open(): Promise<JournalContents> {
    this.#reportStatsSoon();
    return { key: randomBytes(32), totals: [], recent: [] };
  }

  async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    const outcomes = entries.map(entry => this.#appendOne(entry));
    this.#expire(this.#options.now());
    this.#enforceSize();
    this.#waiters.wake();
    this.#reportStatsSoon();
    return outcomes;
  }

  async known(identities: readonly string[]): Promise<boolean[]> {
    return identities.map(identity => this.#exceptions.has(identity));
  }

  async summary(): Promise<JournalSummary> {
    const [oldest] = this.#exceptions.values();
    const letters = Object.groupBy(this.#deadLetters.values(), ({ signal, reason }) => `${signal} ${reason}`);
    const undelivered = this.#undelivered();
    return {
      format: null,
      bytes: { inUse: this.#bytes(), file: 0, log: 0 },
      exceptions: this.#exceptions.size,
      exceptionsSince: oldest?.receivedAt ?? null,
      totals: [...this.#totals.values()],
      undelivered: Object.fromEntries(
        this.#options.signals.map(signal => [
          signal,
          undelivered.filter(record => record.signals.includes(signal)).length,
        ]),
      ),
      oldestUndeliveredAt: undelivered[0]?.receivedAt ?? null,
      deadLetters: Object.values(letters)
        .map(list => ({ signal: list![0]!.signal, reason: list![0]!.reason, count: list!.length }))
        .sort((one, other) => one.signal.localeCompare(other.signal) || other.count - one.count),
      dropped: this.#dropped,
    };
  }

  async exceptions(from: number, limit: number, order: Order = 'latest_first'): Promise<StoredException[]> {
    return pageOf([...this.#exceptions.values()], from, limit, order);
  }

  async undelivered(
    from: number,
    limit: number,
    order: Order = 'latest_first',
  ): Promise<UndeliveredRecord[]> {
    return pageOf(this.#undelivered(), from, limit, order);
  }

  async retried(from: number, limit: number): Promise<UndeliveredRecord[]> {
    const retried = this.#undelivered().filter(({ isRetried }) => isRetried);
    return pageOf(retried, from, limit, 'oldest_first');
  }

  async deadLetters(from: number, limit: number): Promise<DeadLetter[]> {
    const letters = [...this.#deadLetters.values()]
      .filter(({ sequence }) => sequence > from)
      .sort((one, other) => one.sequence - other.sequence || (one.signal < other.signal ? -1 : 1));
    const last = [...new Set(letters.map(({ sequence }) => sequence))].slice(0, limit).at(-1) ?? from;
    return letters
      .filter(({ sequence }) => sequence <= last)
      .map(({ receivedAt: _, ...letter }) => ({ ...letter, exception: this.#exceptionOf(letter.record) }));
  }

  async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    const settlement = this.#settle(keys, 'dead_letters_retried', ({ signal, record, receivedAt }) => {
      if (!this.#options.signals.includes(signal)) return 'signal_off';
      this.#appendRow(record, receivedAt, signal);
      return null;
    });
    this.#waiters.wake();
    return settlement;
  }

  async dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#settle(keys, 'dead_letters_removed', () => null);
  }

  async cursors(): Promise<Record<Signal, number>> {
    return Object.fromEntries(signals.map(signal => [signal, this.#cursors.get(signal) ?? 0])) as Record<
      Signal,
      number
    >;
  }

  async read(after: number, limit: number): Promise<OutboxRow[]> {
    const rows: OutboxRow[] = [];
    const first = this.#outbox.keys().next().value ?? this.#lastSequence + 1;
    for (
      let sequence = Math.max(after + 1, first);
      sequence <= this.#lastSequence && rows.length < limit;
      sequence += 1
    ) {
      const { receivedAt: _, ...row } = this.#outbox.get(sequence)!;
      rows.push(row);
    }
    return rows;
  }

  waitBeyond(after: number): Promise<void> {
    return this.#waiters.waitBeyond(after);
  }

  async acknowledge(signal: Signal, upTo: number): Promise<void> {
    this.#cursors.set(signal, Math.max(upTo, this.#cursors.get(signal) ?? 0));
    const delivered = this.#delivered();
    for (const [sequence, row] of this.#outbox) {
      if (sequence > delivered) break;
      this.#outbox.delete(sequence);
      this.#recordBytes -= row.record.length;
    }
    this.#reportStatsSoon();
  }

  async deadLetter(signal: Signal, { sequence, record }: OutboxRow, reason: string): Promise<void> {
    const key = keyOf({ sequence, signal });
    if (this.#deadLetters.has(key)) return;
    const receivedAt = this.#outbox.get(sequence)?.receivedAt ?? this.#options.now();
    this.#deadLetters.set(key, { sequence, signal, reason, record, receivedAt });
    this.#recordBytes += record.length;
    const [oldest] = this.#deadLetters.values();
    if (this.#deadLetters.size > deadLettersMax) this.#removeDeadLetter(oldest!);
  }

  outboxPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    serveOutbox(port1, this);
    port1.unref();
    return port2;
  }

  async close(): Promise<void> {
    clearTimeout(this.#statsTimer);
  }

  #appendOne({ identity, receivedAt, labels, record }: JournalEntry): AppendOutcome {
    if (this.#exceptions.has(identity)) return 'duplicate';
    this.#lastException += 1;
    this.#exceptions.set(identity, { sequence: this.#lastException, identity, receivedAt, labels });
    const key = JSON.stringify(labels);
    const total = this.#totals.get(key) ?? { labels, count: 0, bornAt: this.#options.now() };
    this.#totals.set(key, { ...total, count: total.count + 1 });
    if (record !== null) this.#appendRow(record, receivedAt);
    return 'new';
  }

  #appendRow(record: string, receivedAt: number, only?: Signal): void {
    this.#lastSequence += 1;
    const row = { sequence: this.#lastSequence, record, receivedAt, ...(only === undefined ? {} : { only }) };
    this.#outbox.set(this.#lastSequence, row);
    this.#recordBytes += record.length;
  }

  #undelivered(): UndeliveredRecord[] {
    const records = [...this.#outbox.values()].map(({ only, ...row }) => ({
      ...row,
      signals: this.#options.signals.filter(
        signal => row.sequence > (this.#cursors.get(signal) ?? 0) && (only ?? signal) === signal,
      ),
      isRetried: only !== undefined,
      exception: this.#exceptionOf(row.record),
    }));
    return records.filter(record => record.signals.length > 0);
  }

  #exceptionOf(record: string): number | null {
    const traceId = traceIdOf(record);
    return traceId === null ? null : (this.#exceptions.get(traceId)?.sequence ?? null);
  }

  #settle(
    keys: readonly DeadLetterKey[],
    type: 'dead_letters_retried' | 'dead_letters_removed',
    act: (letter: MemoryDeadLetter) => LeftReason | null,
  ): Settlement {
    const settlement: Settlement = { done: [], left: [] };
    for (const key of keys) {
      const letter = this.#deadLetters.get(keyOf(key));
      const why = letter === undefined ? 'unknown' : act(letter);
      if (why !== null) settlement.left.push({ ...key, why });
      else {
        this.#removeDeadLetter(letter!);
        settlement.done.push(key);
      }
    }
    reportSettled(type, settlement, this.#options.report);
    this.#reportStatsSoon();
    return settlement;
  }

  #removeDeadLetter(letter: MemoryDeadLetter): void {
    this.#deadLetters.delete(keyOf(letter));
    this.#recordBytes -= letter.record.length;
  }

  #expire(now: number): void {
    for (const { identity, receivedAt } of this.#exceptions.values()) {
      if (receivedAt >= now - identityRetentionMs) return;
      this.#exceptions.delete(identity);
    }
  }

  #enforceSize(): void {
    while (this.#bytes() > this.#options.bytesMax && this.#outbox.size > 0) {
      const [{ sequence, only }] = this.#outbox.values() as unknown as [MemoryRow];
      for (const signal of this.#options.signals) {
        if (sequence > (this.#cursors.get(signal) ?? 0) && (only ?? signal) === signal) {
          this.#dropped[signal]! += 1;
          this.#options.report({ type: 'dropped', signal, count: 1 });
        }
        this.acknowledge(signal, sequence);
      }
    }
  }

  #bytes(): number {
    return this.#recordBytes + this.#exceptions.size * exceptionBytes;
  }

  #delivered(): number {
    return Math.min(
      ...this.#options.signals.map(signal => this.#cursors.get(signal) ?? 0),
      this.#lastSequence,
    );
  }

  #reportStatsSoon(): void {
    this.#statsTimer ??= setTimeout(() => {
      this.#statsTimer = undefined;
      const [oldest] = this.#outbox.values();
      this.#options.report({
        type: 'stats',
        stats: {
          bytes: this.#bytes(),
          events: this.#exceptions.size,
          backlogEvents: this.#outbox.size,
          oldestUndeliveredAt: oldest?.receivedAt ?? null,
        },
      });
    }, statsEveryMs);
  }
}

const keyOf = ({ sequence, signal }: DeadLetterKey): string => `${sequence} ${signal}`;

/** Of a list in order of sequence. */
function pageOf<Item extends { sequence: number }>(
  list: readonly Item[],
  from: number,
  limit: number,
  order: Order,
): Item[] {
  return order === 'latest_first'
    ? list
        .filter(({ sequence }) => sequence < from)
        .slice(-limit)
        .reverse()
    : list.filter(({ sequence }) => sequence > from).slice(0, limit);
}
