/** The journal that lasts as long as the process: for trials, and for telling what an engine's disk adds. */
import { randomBytes } from 'node:crypto';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import {
  type AppendOutcome,
  identityRetentionMs,
  type Journal,
  type JournalContents,
  type JournalEntry,
  type JournalOptions,
  type OutboxRow,
  type Signal,
  type StoredException,
  signals,
} from './journal.ts';
import { serveOutbox } from './outbox-port.ts';
import { Waiters } from './waiters.ts';

/** What an exception costs in a Map, about: a 32-digit string, an object of four, their entry. */
const exceptionBytes = 160;
const statsEveryMs = 200;

interface MemoryRow extends OutboxRow {
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
  #outboxBytes = 0;
  readonly #waiters = new Waiters(after => this.#outbox.size > 0 && this.#lastSequence > after);
  #statsTimer: NodeJS.Timeout | undefined;

  constructor(options: JournalOptions) {
    this.#options = options;
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

  async exceptions(before: number, limit: number): Promise<StoredException[]> {
    const below = [...this.#exceptions.values()].filter(({ sequence }) => sequence < before);
    return below.slice(-limit).reverse();
  }

  async cursors(): Promise<Record<Signal, number>> {
    return Object.fromEntries(signals.map(signal => [signal, this.#cursors.get(signal) ?? 0])) as Record<
      Signal,
      number
    >;
  }

  async read(after: number, limit: number): Promise<OutboxRow[]> {
    const rows: OutboxRow[] = [];
    const first = this.#outbox.keys().next().value ?? 1;
    for (
      let sequence = Math.max(after + 1, first);
      sequence <= this.#lastSequence && rows.length < limit;
      sequence += 1
    ) {
      rows.push({ sequence, record: this.#outbox.get(sequence)!.record });
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
      this.#outboxBytes -= row.record.length;
    }
    this.#reportStatsSoon();
  }

  /** Counted by whoever calls; there is no place that would outlive the process to keep it in. */
  async deadLetter(): Promise<void> {}

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
    if (record !== null) {
      this.#lastSequence += 1;
      this.#outbox.set(this.#lastSequence, { sequence: this.#lastSequence, record, receivedAt });
      this.#outboxBytes += record.length;
    }
    return 'new';
  }

  #expire(now: number): void {
    for (const { identity, receivedAt } of this.#exceptions.values()) {
      if (receivedAt >= now - identityRetentionMs) return;
      this.#exceptions.delete(identity);
    }
  }

  #enforceSize(): void {
    while (this.#bytes() > this.#options.bytesMax && this.#outbox.size > 0) {
      const [sequence] = this.#outbox.keys();
      for (const signal of this.#options.signals) {
        if (sequence! > (this.#cursors.get(signal) ?? 0))
          this.#options.report({ type: 'dropped', signal, count: 1 });
        this.acknowledge(signal, sequence!);
      }
    }
  }

  #bytes(): number {
    return this.#outboxBytes + this.#exceptions.size * exceptionBytes;
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
