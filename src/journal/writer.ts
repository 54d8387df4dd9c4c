/**
 * Between the callbacks and the journal: puts single exceptions into batches, and stands in for the journal while it
 * cannot be written.
 *
 * A batch is whatever came while the last one was being made durable, so that one sync serves many callbacks and
 * their answers leave together. When an append fails, the journal counts as down: exceptions are put aside in memory,
 * bounded, and count as stored; what was put aside is written once the journal takes it again (invariant 1).
 *
 * In a journal that others share, what was put aside counts only when it is written: the same exception may have come to
 * another exporter, and only the journal can tell whose it is. So the sum over exporters is never too high, and no counter
 * shows what a restart would not find again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { AppendOutcome, Journal, JournalEntry } from './journal.ts';

/** Exceptions in one transaction: about 10 ms of work, so that a backlog does not make the last one late. */
const batchMax = 1_024;
/**
 * A batch begins when so many exceptions wait, or so long after the one before began: each costs a sync and two thread
 * switches, 300 µs of CPU, however little is in it. Tencent waits 2,000 ms. What comes alone begins one at once.
 */
const batchFull = 32;
const batchEveryMs = 8;
/** How often answers that are due are looked for. */
const lateEveryMs = 50;
/** Exceptions put aside: at 700 bytes each about 70 MB, and 100 s at 1,000 a second. */
const unwrittenMax = 100_000;
/** Between attempts to write what was put aside. */
const retryFirstMs = 250;
const retryLastMs = 5_000;

export type WriterReport =
  | { type: 'committed'; seconds: number }
  | { type: 'failed'; error: Error }
  | { type: 'up' }
  | { type: 'down'; error: Error }
  | { type: 'unwritten'; count: number };

export interface WriterOptions<Entry extends JournalEntry> {
  journal: Pick<Journal, 'append' | 'known' | 'isShared'>;
  /** Called for each new exception once it is stored, before its `append` resolves, and also after it was late. */
  onNew: (entry: Entry) => void;
  report: (report: WriterReport) => void;
  unwrittenMax?: number;
  batchEveryMs?: number;
}

/** More was put aside than memory is allowed for, or it comes after `drain`. Neither stored nor counted. */
export class UnwrittenLimitReached extends Error {
  override name = 'UnwrittenLimitReached';
}

interface Waiting<Entry> {
  entry: Entry;
  /** On the clock of `performance.now()`. */
  answerBy: number;
  resolve: (outcome: AppendOutcome | 'late') => void;
  reject: (error: Error) => void;
}

export class JournalWriter<Entry extends JournalEntry> {
  readonly #journal: Pick<Journal, 'append' | 'known' | 'isShared'>;
  readonly #onNew: (entry: Entry) => void;
  readonly #report: (report: WriterReport) => void;
  readonly #unwrittenMax: number;
  readonly #batchEveryMs: number;
  #queue: Waiting<Entry>[] = [];
  #underway: Waiting<Entry>[] = [];
  /** What was put aside, by identity, in order of arrival. */
  readonly #unwritten = new Map<string, Entry>();
  /** The last append failed: its first exception, which shows whether the journal takes it again. */
  #failed: Entry | null = null;
  /** What was reported: from a failure until an append succeeds and nothing is left unwritten. */
  #isDown = false;
  #isPumping = false;
  #endRest: () => void = () => {};
  #retry: NodeJS.Timeout | undefined;
  #retryInMs = retryFirstMs;
  #isRetryDue = false;
  #isDrained = false;

  constructor(options: WriterOptions<Entry>) {
    this.#journal = options.journal;
    this.#onNew = options.onNew;
    this.#report = options.report;
    this.#unwrittenMax = options.unwrittenMax ?? unwrittenMax;
    this.#batchEveryMs = options.batchEveryMs ?? batchEveryMs;
  }

  /**
   * Resolves when the exception is durable, or put aside while the journal is down; says whether it was new. Resolves
   * with `late` at `answerBy` (on the clock of `performance.now()`) if that is not so by then: the exception is stored
   * all the same. Rejects only with `UnwrittenLimitReached`.
   */
  append(entry: Entry, answerBy: number): Promise<AppendOutcome | 'late'> {
    return new Promise((resolve, reject) => {
      if (this.#isDrained) return reject(new UnwrittenLimitReached());
      this.#queue.push({ entry, answerBy, resolve, reject });
      if (this.#queue.length === batchFull) this.#endRest();
      if (this.#isPumping) return;
      this.#isPumping = true;
      // Callbacks that arrived in the same turn of the event loop join the same batch.
      setImmediate(() => this.#pump());
    });
  }

  get unwrittenCount(): number {
    return this.#unwritten.size;
  }

  /**
   * Waits until nothing is queued and nothing is put aside, at most `timeoutMs`. Says how many were left unwritten; after
   * that nothing more is put aside, since nobody would write it.
   */
  async drain(timeoutMs: number): Promise<number> {
    const deadline = performance.now() + timeoutMs;
    while ((this.#isPumping || this.#unwritten.size > 0) && performance.now() < deadline) {
      this.#retryNow();
      await delay(this.#unwritten.size > 0 ? retryFirstMs : 5);
    }
    clearTimeout(this.#retry);
    this.#isDrained = true;
    return this.#unwritten.size;
  }

  async #pump(): Promise<void> {
    const lateness = setInterval(() => this.#settleLate(), lateEveryMs);
    while (this.#queue.length > 0 || this.#isRetryDue) {
      const startedAt = performance.now();
      if (this.#isRetryDue) await this.#writeUnwritten();
      const batch = this.#queue.splice(0, batchMax);
      if (batch.length === 0) continue;
      this.#underway = batch;
      // What is put aside is tried again by its timer; a batch that finds nothing there is a try of its own.
      if (this.#failed !== null && this.#unwritten.size > 0) await this.#putAside(batch);
      else await this.#commit(batch);
      this.#underway = [];
      await this.#rest(this.#batchEveryMs - (performance.now() - startedAt));
    }
    clearInterval(lateness);
    this.#isPumping = false;
  }

  async #rest(ms: number): Promise<void> {
    if (ms <= 0 || this.#queue.length >= batchFull) return;
    await new Promise<void>(resolve => {
      const timer = setTimeout(resolve, ms);
      this.#endRest = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#endRest = () => {};
  }

  async #commit(batch: Waiting<Entry>[]): Promise<void> {
    // While what was put aside is being written, an exception in it is stored as good as any.
    const fresh =
      this.#unwritten.size === 0 ? batch : batch.filter(({ entry }) => !this.#unwritten.has(entry.identity));
    let outcomes: AppendOutcome[];
    try {
      outcomes = await this.#append(fresh.map(({ entry }) => entry));
    } catch {
      return this.#putAside(batch);
    }
    for (const [index, waiting] of fresh.entries()) this.#settle(waiting, outcomes[index]!);
    if (fresh !== batch) for (const { resolve } of batch) resolve('duplicate');
    this.#reportIfUp();
  }

  /** Counts, then answers. A promise that was settled as late stays so. */
  #settle({ entry, resolve }: Waiting<Entry>, outcome: AppendOutcome): void {
    if (outcome === 'new') this.#onNew(entry);
    resolve(outcome);
  }

  #settleLate(): void {
    const now = performance.now();
    for (const waiting of [this.#underway, this.#queue]) {
      // Not in the order of `answerBy`: a callback whose body came slowly has less time left than those before it.
      for (const { answerBy, resolve } of waiting) if (answerBy <= now) resolve('late');
    }
  }

  /** Times and reports. */
  async #append(entries: Entry[]): Promise<AppendOutcome[]> {
    if (entries.length === 0) return [];
    const startedAt = performance.now();
    try {
      const outcomes = await this.#journal.append(entries);
      this.#report({ type: 'committed', seconds: (performance.now() - startedAt) / 1000 });
      this.#failed = null;
      this.#retryInMs = retryFirstMs;
      return outcomes;
    } catch (error) {
      this.#report({ type: 'failed', error: error as Error });
      if (!this.#isDown) this.#report({ type: 'down', error: error as Error });
      this.#isDown = true;
      this.#failed = entries[0]!;
      this.#armRetry();
      throw error;
    }
  }

  async #putAside(batch: Waiting<Entry>[]): Promise<void> {
    const { isShared } = this.#journal;
    // What counts when it is written need not be known before, from a database that may take its time to fail.
    const known = isShared ? [] : await this.#known(batch);
    for (const [index, waiting] of batch.entries()) {
      const { entry, reject, resolve } = waiting;
      if (known[index] || this.#unwritten.has(entry.identity)) this.#settle(waiting, 'duplicate');
      else if (this.#isDrained || this.#unwritten.size >= this.#unwrittenMax)
        reject(new UnwrittenLimitReached());
      else {
        this.#unwritten.set(entry.identity, entry);
        if (isShared) resolve('new');
        else this.#settle(waiting, 'new');
      }
    }
    this.#report({ type: 'unwritten', count: this.#unwritten.size });
    // The try that the failed append asked for may have come while nothing was put aside yet.
    if (this.#unwritten.size > 0 && this.#retry === undefined && !this.#isRetryDue) this.#armRetry();
  }

  #known(batch: Waiting<Entry>[]): Promise<boolean[]> {
    return (
      this.#journal
        .known(batch.map(({ entry }) => entry.identity))
        // A journal that cannot even be read: what it holds is unknown, and an exception more is better than one less.
        .catch(() => batch.map(() => false))
    );
  }

  /**
   * One batch of what was put aside, or else what failed. Some of it may be stored already, after a failed sync: that
   * changes nothing.
   */
  async #writeUnwritten(): Promise<void> {
    this.#isRetryDue = false;
    const aside = [...this.#unwritten.values().take(batchMax)];
    const entries = aside.length === 0 && this.#failed !== null ? [this.#failed] : aside;
    let outcomes: AppendOutcome[];
    try {
      outcomes = await this.#append(entries);
    } catch {
      return;
    }
    for (const [index, entry] of entries.entries()) {
      const isCounted = this.#unwritten.delete(entry.identity) && !this.#journal.isShared;
      if (outcomes[index] === 'new' && !isCounted) this.#onNew(entry);
    }
    this.#report({ type: 'unwritten', count: this.#unwritten.size });
    this.#isRetryDue = this.#unwritten.size > 0;
    this.#reportIfUp();
  }

  #reportIfUp(): void {
    if (!this.#isDown || this.#failed !== null || this.#unwritten.size > 0) return;
    this.#isDown = false;
    this.#report({ type: 'up' });
  }

  #armRetry(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#retryNow();
    }, this.#retryInMs);
    this.#retryInMs = Math.min(this.#retryInMs * 2, retryLastMs);
  }

  #retryNow(): void {
    if (this.#unwritten.size === 0 && this.#failed === null) return;
    this.#isRetryDue = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#pump();
  }
}
