/**
 * A journal engine above a disk of the simulation's own. What was committed outlives a crash; cursors, as with SQLite,
 * are committed with the next transaction or by one of their own a little later.
 *
 * A disk that fails does so as SQLite's does: a full one has stored nothing; after a failed sync it is unknown what is
 * stored, this connection does not see it, and the next transaction opens the file anew and does.
 */
import type {
  AppendOutcome,
  Inquiry,
  Journal,
  JournalContents,
  JournalEntry,
  JournalOptions,
  OutboxRow,
  Signal,
  Total,
} from '../../src/journal/journal.ts';
import { Waiters } from '../../src/journal/waiters.ts';
import { between, type Random } from '../support/random.ts';
import type { VirtualClock } from './clock.ts';

export type DiskState = 'good' | 'full' | 'sync_fails';

/** What outlives a crash, and how the disk behaves. */
export class Disk {
  state: DiskState = 'good';
  latencyMs: readonly [number, number] = [0, 2];
  readonly key = Buffer.alloc(32, 7);
  readonly exceptions = new Map<string, JournalEntry>();
  readonly totals = new Map<string, Total>();
  outbox: (OutboxRow & { identity: string; receivedAt: number })[] = [];
  cursors: Record<Signal, number> = { traces: 0, logs: 0 };
  /** By signal and sequence. */
  readonly deadLetters = new Map<string, { signal: Signal; row: OutboxRow }>();
  lastSequence = 0;
  /** Identities that an append stored although it failed. */
  readonly storedByFailure = new Set<string>();
  /** Identities of outbox rows that were given up for want of room. */
  readonly dropped = new Set<string>();
}

export interface EngineOptions extends Pick<JournalOptions, 'signals' | 'now' | 'report'> {
  disk: Disk;
  clock: VirtualClock;
  random: Random;
  /** Undelivered rows beyond this are dropped, the oldest first. */
  outboxRowsMax: number;
}

const flushAfterMs = 200;
/** Of the reads and small writes that delivery asks for while the disk is not good. */
const failedShare = 0.3;

export class SimulatedEngine implements Omit<Journal, keyof Inquiry> {
  protected readonly options: EngineOptions;
  protected readonly disk: Disk;
  #cursors: Record<Signal, number>;
  /** Stored by an append whose sync failed, and not seen until the file is opened anew. */
  readonly #unseen = new Set<string>();
  /** The same, until an append succeeds: what the writer has put aside must not be known for a duplicate of itself. */
  protected readonly unconfirmed = new Set<string>();
  #isFlushDue = false;
  readonly #waiters = new Waiters(after => this.#seenRows().some(({ sequence }) => sequence > after));

  constructor(options: EngineOptions) {
    this.options = options;
    this.disk = options.disk;
    this.#cursors = { ...this.disk.cursors };
  }

  async open(recentSince: number): Promise<JournalContents> {
    await this.#wait();
    return {
      key: this.disk.key,
      totals: [...this.disk.totals.values()].map(total => ({ ...total })),
      recent: [...this.disk.exceptions.values()]
        .filter(({ receivedAt }) => receivedAt >= recentSince)
        .map(({ receivedAt, labels, senderHash, groupHash }) => ({
          receivedAt,
          errorCategory: labels.error_category,
          senderHash,
          groupHash,
        })),
    };
  }

  async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    await this.#wait();
    const { random } = this.options;
    const { state } = this.disk;
    if (state === 'full') throw new Error('database or disk is full');
    if (state === 'sync_fails' && random() < 0.5) throw new Error('disk I/O error');
    this.#openAnew();
    const outcomes = this.commit(entries);
    if (state === 'sync_fails') {
      for (const [index, { identity }] of entries.entries())
        if (outcomes[index] === 'new') {
          this.#unseen.add(identity);
          this.unconfirmed.add(identity);
          this.disk.storedByFailure.add(identity);
        }
      throw new Error('disk I/O error, stored all the same');
    }
    this.unconfirmed.clear();
    await this.#wait();
    this.#dropWhatIsTooMuch();
    this.#waiters.wake();
    return outcomes;
  }

  async known(identities: readonly string[]): Promise<boolean[]> {
    await this.#wait();
    return identities.map(identity => this.disk.exceptions.has(identity) && !this.unconfirmed.has(identity));
  }

  async cursors(): Promise<Record<Signal, number>> {
    await this.#waitForSmall();
    return { ...this.#cursors };
  }

  async read(after: number, limit: number): Promise<OutboxRow[]> {
    await this.#waitForSmall();
    return this.#seenRows()
      .filter(({ sequence }) => sequence > after)
      .slice(0, limit)
      .map(({ sequence, record }) => ({ sequence, record }));
  }

  waitBeyond(after: number): Promise<void> {
    return this.#waiters.waitBeyond(after);
  }

  async acknowledge(signal: Signal, upTo: number): Promise<void> {
    await this.#waitForSmall();
    this.#cursors[signal] = Math.max(this.#cursors[signal], upTo);
    this.#flushSoon();
  }

  async deadLetter(signal: Signal, row: OutboxRow, _reason: string): Promise<void> {
    await this.#waitForSmall();
    this.#openAnew();
    this.disk.deadLetters.set(`${signal} ${row.sequence}`, { signal, row });
  }

  outboxPort(): never {
    throw new Error('the simulation has one thread');
  }

  async close(): Promise<void> {
    this.writeCursors();
  }

  /** The transaction itself: from here on the entries outlive a crash. */
  protected commit(entries: readonly JournalEntry[]): AppendOutcome[] {
    this.writeCursors();
    return entries.map(entry => {
      if (this.disk.exceptions.has(entry.identity)) return 'duplicate';
      this.store(entry);
      return 'new';
    });
  }

  protected store(entry: JournalEntry): void {
    const { identity, labels, receivedAt, record } = entry;
    this.disk.exceptions.set(identity, entry);
    const key = JSON.stringify(labels);
    const total = this.disk.totals.get(key) ?? { labels, count: 0, bornAt: this.options.now() };
    this.disk.totals.set(key, { ...total, count: total.count + 1 });
    if (record === null) return;
    this.disk.lastSequence += 1;
    this.disk.outbox.push({ sequence: this.disk.lastSequence, record, identity, receivedAt });
  }

  protected writeCursors(): void {
    this.disk.cursors = { ...this.#cursors };
    const delivered = Math.min(...this.options.signals.map(signal => this.#cursors[signal]));
    this.disk.outbox = this.disk.outbox.filter(({ sequence }) => sequence > delivered);
  }

  protected moveCursor(signal: Signal, upTo: number): void {
    this.#cursors[signal] = Math.max(this.#cursors[signal], upTo);
  }

  #seenRows(): Disk['outbox'] {
    return this.disk.outbox.filter(({ identity }) => !this.#unseen.has(identity));
  }

  /** Before each transaction. */
  #openAnew(): void {
    if (this.#unseen.size === 0) return;
    this.#unseen.clear();
    this.#waiters.wake();
  }

  #flushSoon(): void {
    if (this.#isFlushDue) return;
    this.#isFlushDue = true;
    this.options.clock.delay(flushAfterMs).then(() => {
      this.#isFlushDue = false;
      if (this.disk.state !== 'good') return;
      this.#openAnew();
      this.writeCursors();
    });
  }

  #dropWhatIsTooMuch(): void {
    const { signals, outboxRowsMax, report } = this.options;
    const surplus = this.disk.outbox.slice(0, Math.max(0, this.disk.outbox.length - outboxRowsMax));
    for (const { sequence, identity } of surplus) {
      for (const signal of signals) {
        if (sequence <= this.#cursors[signal]) continue;
        this.moveCursor(signal, sequence);
        this.disk.dropped.add(identity);
        report({ type: 'dropped', signal, count: 1 });
      }
    }
    if (surplus.length > 0) this.writeCursors();
  }

  #wait(): Promise<void> {
    return this.options.clock.delay(between(this.options.random, ...this.disk.latencyMs));
  }

  async #waitForSmall(): Promise<void> {
    await this.options.clock.delay(this.options.random() < 0.5 ? 0 : 1);
    if (this.disk.state !== 'good' && this.options.random() < failedShare) throw new Error('disk I/O error');
  }
}
