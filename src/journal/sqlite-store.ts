/**
 * The journal in a SQLite file: the synchronous half, which runs in the journal's worker thread.
 *
 * Format, `user_version` 1:
 *   meta          the key of all hashes
 *   totals        one row a label set: how many distinct exceptions, since when
 *   exceptions    one row an exception, its identity unique; kept for `identityRetentionMs`
 *   outbox        one row an exception that some signal has yet to deliver: the encoded record
 *   cursors       one row a signal: the last outbox sequence that was delivered
 *   dead_letters  what was refused for good or came back damaged, the last `deadLettersMax`; and waivers, which say that
 *                 a signal needs nothing of an outbox sequence (sqlite-checks.ts)
 *
 * Write-ahead log with `synchronous=FULL`: a commit returns after the log was synced, and nothing of it can be lost
 * by a power cut (with NORMAL, 142 of 200 simulated power cuts lost acknowledged rows). `locking_mode=EXCLUSIVE`: one
 * connection holds the file for as long as it lives. A second exporter on the same journal would count on totals
 * that are not its own, so it is refused; and SQLite's WAL-reset bug (mended in 3.51.3) needs two connections.
 *
 * `<path>-count` beside it tells what a damaged log has lost: count-file.ts. How the file is opened: sqlite-connection.ts.
 * What is looked at then: sqlite-checks.ts. What people ask it: sqlite-inquiry.ts.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { ExceptionLabels } from '../callback/exception.ts';
import { receivedAtOf } from '../callback/record.ts';
import { crcBytes } from './checksums.ts';
import { CountFile, countPath } from './count-file.ts';
import {
  type DeadLetterKey,
  deadLettersMax,
  identityRetentionMs,
  type JournalContents,
  type JournalOptions,
  type JournalStats,
  JournalUnusable,
  type LeftReason,
  type OutboxRow,
  type RecentException,
  reportSettled,
  type Settlement,
  type Signal,
  signals,
  type Total,
} from './journal.ts';
import { crcOfLabels, labelColumns, labelsOf } from './label-columns.ts';
import {
  checkIntegrity,
  crcOfCursors,
  crcOfTotal,
  crcOfWaiver,
  firstExpected,
  firstOutboxGap,
  outboxBounds,
  readCursors,
  readMeta,
  waived,
  wholeRecord,
} from './sqlite-checks.ts';
import {
  bytesOf,
  connectAlone,
  explainOpenError,
  isDiskFull,
  logPagesMax,
  logPath,
  pageBytes,
  pragma,
  writeLogAnew,
} from './sqlite-connection.ts';
import {
  countNotWanted,
  type Known,
  notWantedSql,
  SqliteInquiry,
  waiversIn,
  waiversSql,
} from './sqlite-inquiry.ts';

/** Expired identities removed with each append, per appended one: twice, so that the backlog of expiry shrinks. */
const expiredPerAppended = 2;
/** Outbox rows dropped at a time when the journal is over its size. */
const dropChunk = 1_000;
/** Recent exceptions read at start, newest first: five minutes at 600 a second. */
const recentMax = 200_000;

/**
 * A batch as it crosses from the receive path's thread. Two typed arrays, because copying costs by the object: one
 * object an exception would take three times as long.
 */
export interface PackedBatch {
  /** Label sets that no earlier batch of this thread has named, by number. */
  labelSets: [number, ExceptionLabels][];
  /** 16 bytes an exception. */
  identities: Uint8Array;
  /** `batchColumns` numbers an exception: received at, label set, sender hash, group hash. */
  numbers: Float64Array;
  /** One an exception, or none at all where nothing is delivered. */
  records: string[];
}
export const batchColumns = 4;

interface LabelSetState {
  labels: ExceptionLabels;
  labelsCrc: number;
  count: number;
  /** `null` until the first exception with it is durable. */
  bornAt: number | null;
}

interface Positions {
  firstException: number;
  nextException: number;
  exceptionCount: number;
  firstOutbox: number;
  nextOutbox: number;
  cursors: Map<Signal, number>;
  areCursorsDurable: boolean;
  /** Waivers of sequences below it are gone already. */
  firstWaived: number;
  deadLetterCount: number;
}

export class SqliteStore {
  readonly #path: string;
  readonly #options: JournalOptions;
  #db!: DatabaseSync;
  #statements!: Statements;
  /** Set after an error that may have left the page cache unlike the file: the next transaction reopens. */
  #mustReopen = false;
  /** Whether what was read from the log at opening is known to be on the disk. */
  #isLogDurable = false;

  // What one connection may keep in memory, because nobody else writes.
  readonly #labelSets = new Map<number, LabelSetState>();
  /**
   * Above all sequences of exceptions whose append succeeded. A file that is opened anew after a failed sync may hold
   * more: those of whom nobody was told.
   */
  #confirmedNext = 1;
  /** The sum of all totals, as far as they are durable. */
  #countedCount = 0;
  /** `null` until the file is open. */
  #countFile: CountFile | null = null;
  /** Put back as it was when a transaction fails. */
  #positions: Positions = {
    firstException: 1,
    nextException: 1,
    exceptionCount: 0,
    firstOutbox: 1,
    nextOutbox: 1,
    cursors: new Map(),
    areCursorsDurable: true,
    firstWaived: 0,
    deadLetterCount: 0,
  };
  #inquiry!: SqliteInquiry;
  readonly #dropped: Partial<Record<Signal, number>>;
  /** The log is not written back, so that the file can be read as it lies: `keepStill`. */
  #isStill = false;

  constructor(path: string, options: JournalOptions) {
    this.#path = path;
    this.#options = options;
    this.#dropped = Object.fromEntries(options.signals.map(signal => [signal, 0]));
  }

  open(recentSince: number): JournalContents & { totalIds: number[] } {
    try {
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
      closeSync(openSync(this.#path, 'a', 0o600));
    } catch (error) {
      throw new JournalUnusable(`${this.#path} cannot be made or written (${(error as Error).message})`);
    }
    this.#connect();
    try {
      this.#makeLogDurable();
      const problem = checkIntegrity(this.#db, this.#path);
      if (problem !== null) this.#options.report({ type: 'reindexed', problem });
      const key = this.#createOrRead();
      syncDirectory(dirname(realpathSync(this.#path)));
      const totals = this.#readTotals();
      this.#readPositions();
      this.#checkCursors();
      this.#checkOutbox();
      this.#checkCount();
      this.#confirmedNext = this.#positions.nextException;
      return { key, ...totals, recent: this.#readRecent(recentSince) };
    } catch (error) {
      throw explainOpenError(error, this.#path);
    }
  }

  /**
   * For a command, while no exporter has the journal: nothing is checked, mended or told. Only `retryDeadLetters` and
   * `dropDeadLetters` may be called then, and `closeEdited`.
   */
  openToEdit(): void {
    this.#connect();
    this.#makeLogDurable();
    this.#readPositions();
  }

  closeEdited(): void {
    this.#db.close();
  }

  /** Stores the batch, and returns the positions in it of the duplicates. */
  append({ labelSets, identities, numbers, records }: PackedBatch): number[] {
    for (const [id, labels] of labelSets) {
      if (!this.#labelSets.has(id)) this.#labelSets.set(id, newLabelSet(labels));
    }
    const now = this.#options.now();
    const length = numbers.length / batchColumns;
    const duplicates: number[] = [];
    const totals = new Map<number, LabelSetState & Total>();

    this.#transact((statements, positions) => {
      const added = new Map<number, number>();
      for (let index = 0; index < length; index += 1) {
        const column = index * batchColumns;
        const receivedAt = numbers[column]!;
        const labelSet = numbers[column + 1]!;
        const { changes } = statements.insertException.run(
          positions.nextException,
          identities.subarray(index * 16, index * 16 + 16),
          receivedAt,
          labelSet,
          numbers[column + 2]!,
          numbers[column + 3]!,
        );
        if (changes === 0) {
          duplicates.push(index);
          continue;
        }
        positions.nextException += 1;
        positions.exceptionCount += 1;
        added.set(labelSet, (added.get(labelSet) ?? 0) + 1);
        const record = records[index];
        if (record !== undefined) {
          statements.insertOutbox.run(positions.nextOutbox, receivedAt, record, crc32(record));
          positions.nextOutbox += 1;
        }
      }
      for (const [id, count] of added) {
        const before = this.#labelSets.get(id)!;
        const total = { ...before, count: before.count + count, bornAt: before.bornAt ?? now };
        this.#writeTotal(id, total);
        totals.set(id, total);
      }
      this.#expire(length * expiredPerAppended, now);
      this.#writeCursors();
    });
    for (const [id, total] of totals) this.#labelSets.set(id, total);
    this.#confirmedNext = this.#positions.nextException;
    this.#countedCount += length - duplicates.length;
    if (length > duplicates.length) this.#countFile?.write(this.#countedCount);
    return duplicates;
  }

  known(identities: readonly Uint8Array[]): boolean[] {
    return identities.map(identity => {
      const row = this.#statements.selectIdentity.get(identity) as { sequence: number } | undefined;
      return row !== undefined && row.sequence < this.#confirmedNext;
    });
  }

  /** To be asked for each time: it is another one after the file was opened anew. */
  get inquiry(): SqliteInquiry {
    return this.#inquiry;
  }

  /** Whether there is a row above `after`. A sequence above it may have been given, and its row have left again. */
  hasBeyond(after: number): boolean {
    return this.#statements.selectOutboxReceivedAt.get(after) !== undefined;
  }

  cursors(): Record<Signal, number> {
    return Object.fromEntries(
      signals.map(signal => [signal, this.#positions.cursors.get(signal) ?? 0]),
    ) as Record<Signal, number>;
  }

  read(after: number, limit: number): OutboxRow[] {
    for (;;) {
      const rows = this.#statements.selectOutbox.all(after, limit) as unknown as (OutboxRow & {
        crc: number;
      })[];
      const damaged = rows.filter(row => wholeRecord(row) === null);
      if (damaged.length === 0)
        return this.#withTargets(rows.map(({ sequence, record }) => ({ sequence, record })));
      this.#setDamagedAside(damaged);
    }
  }

  /** Remembers the cursor; it becomes durable with the next transaction (`flush` makes one). */
  acknowledge(signal: Signal, upTo: number): void {
    if (upTo <= (this.#positions.cursors.get(signal) ?? 0)) return;
    this.#positions.cursors.set(signal, upTo);
    this.#positions.areCursorsDurable = false;
  }

  deadLetter(signal: Signal, row: OutboxRow, reason: string): void {
    this.#transact(() => this.#writeDeadLetter(signal, row, reason));
  }

  retryDeadLetters(keys: readonly DeadLetterKey[]): Settlement {
    return this.#settle(keys, 'dead_letters_retried', ({ sequence, signal }, row) => {
      const record = row.reason === 'checksum' ? null : wholeRecord(row);
      if (record === null) return 'damaged';
      if (!this.#options.signals.includes(signal)) return 'signal_off';
      this.#statements.deleteDeadLetter.run(sequence, signal);
      this.#putBack(signal, record);
      return null;
    });
  }

  dropDeadLetters(keys: readonly DeadLetterKey[]): Settlement {
    return this.#settle(keys, 'dead_letters_removed', ({ sequence, signal }, row) => {
      this.#statements.deleteDeadLetter.run(sequence, signal);
      // There is no row of it: its sequence would be missed, and might be given again.
      if (row.reason === 'checksum' && sequence >= this.#firstExpected()) this.#waive(sequence, signal);
      return null;
    });
  }

  /** Makes acknowledged cursors durable and lets expired identities go, if there is anything to do. */
  flush(): void {
    const now = this.#options.now();
    const isExpiring =
      this.#positions.exceptionCount > 0 && this.#firstReceivedAt() < now - identityRetentionMs;
    if (this.#positions.areCursorsDurable && !isExpiring) return;
    this.#transact(() => {
      this.#expire(dropChunk, now);
      this.#writeCursors();
    });
  }

  /** Drops the oldest undelivered records until the journal is within its size or nothing is left to drop. */
  enforceSize(): void {
    // The log grows for the sake of a reader then, and no drop would make it shorter.
    if (this.#isStill) return;
    while (
      this.#bytes() > this.#options.bytesMax &&
      this.#positions.firstOutbox < this.#positions.nextOutbox
    ) {
      const upTo = Math.min(this.#positions.firstOutbox + dropChunk, this.#positions.nextOutbox) - 1;
      const dropped = this.#options.signals.map(signal => {
        const cursor = Math.max(this.#positions.cursors.get(signal) ?? 0, this.#positions.firstOutbox - 1);
        const notWanted = countNotWanted(this.#statements.notWanted, signal, cursor, upTo);
        return { type: 'dropped', signal, count: Math.max(0, upTo - cursor - notWanted) } as const;
      });
      this.#transact(() => {
        for (const signal of this.#options.signals) this.acknowledge(signal, upTo);
        // Also where no signal is delivered any more, and no cursor moves: rows of earlier must go all the same.
        this.#positions.areCursorsDurable = false;
        this.#writeCursors();
      });
      for (const report of dropped) {
        if (report.count === 0) continue;
        this.#dropped[report.signal]! += report.count;
        this.#options.report(report);
      }
    }
  }

  /**
   * Writes the log back and leaves the file as it then lies, with all that was stored until now, so that it can be read
   * from outside. The log grows meanwhile.
   */
  keepStill(): void {
    if (this.#mustReopen) this.#reopen();
    this.#makeLogDurable();
    this.#isStill = true;
    try {
      pragma(this.#db, 'wal_autocheckpoint=0');
      const { log, checkpointed } = this.#db.prepare('PRAGMA wal_checkpoint(PASSIVE)').get()!;
      if (log !== checkpointed) throw new Error(`${logPath(this.#path)} cannot be written back`);
    } catch (error) {
      this.endStill();
      throw error;
    }
  }

  /** Says whether the file has been left alone since `keepStill`. What the log has grown by meanwhile is given back. */
  endStill(): boolean {
    if (!this.#isStill) return false;
    this.#isStill = false;
    pragma(this.#db, `wal_autocheckpoint=${logPagesMax(this.#options.bytesMax)}`);
    // After a failed sync the log must not be written back; it is written anew first.
    if (this.#mustReopen) return true;
    try {
      pragma(this.#db, 'wal_checkpoint(TRUNCATE)');
    } catch {
      // The disk refuses. The next append reports it, and the log stays as long as it is.
    }
    return true;
  }

  /** A log of twice its size is written back in one go, and whoever reads the file has to begin again. */
  limitStill(): void {
    const logBytes = bytesOf(logPath(this.#path)) ?? 0;
    if (this.#isStill && logBytes > 2 * logPagesMax(this.#options.bytesMax) * pageBytes) this.endStill();
  }

  stats(): JournalStats {
    const delivered = this.#delivered();
    const oldest = this.#statements.selectOutboxReceivedAt.get(delivered) as
      | { received_at: number }
      | undefined;
    return {
      bytes: this.#bytes(),
      events: this.#positions.exceptionCount,
      // Sequences have no gaps but where damaged rows were set aside; those alone are no backlog.
      backlogEvents: oldest === undefined ? 0 : this.#positions.nextOutbox - 1 - delivered,
      oldestUndeliveredAt: oldest?.received_at ?? null,
    };
  }

  close(): void {
    try {
      this.#makeLogDurable();
      this.flush();
    } finally {
      this.#countFile?.close();
      // Closing writes the log back into the file: half of that on a disk that lacks the log would be damage.
      if (this.#isLogDurable) this.#db.close();
    }
  }

  #connect(): void {
    this.#isLogDurable = false;
    this.#isStill = false;
    this.#db = connectAlone(this.#path, this.#options.bytesMax);
    this.#statements = prepare(this.#db);
    this.#inquiry = new SqliteInquiry(this.#db, this.#path, this.#known());
    this.#mustReopen = false;
  }

  #known(): Known {
    return {
      signals: this.#options.signals,
      cursorOf: signal => this.#positions.cursors.get(signal) ?? 0,
      labelsOf: labelSet => this.#labelSets.get(labelSet)?.labels,
      confirmedNext: () => this.#confirmedNext,
      exceptionCount: () => this.#positions.exceptionCount,
      totals: () =>
        [...this.#labelSets.values()].flatMap(({ labels, count, bornAt }) =>
          bornAt === null ? [] : [{ labels, count, bornAt }],
        ),
      dropped: this.#dropped,
    };
  }

  #createOrRead(): Buffer {
    const insert = this.#db.prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING');
    insert.run('key', randomBytes(32));
    const key = Buffer.from(readMeta(this.#db, 'key')!);
    insert.run('key_crc', crcBytes(key));
    if (!crcBytes(key).equals(readMeta(this.#db, 'key_crc')!)) this.#reportDamage('meta', 1);
    return key;
  }

  #reportDamage(table: 'totals' | 'outbox' | 'cursors' | 'meta', row: number): void {
    this.#options.report({ type: 'damage', table, row, deadLettered: [] });
  }

  /** A cursor that is too high would take records with it that were not delivered. */
  #checkCursors(): void {
    if (readCursors(this.#db).isWhole) return;
    this.#reportDamage('cursors', 1);
    this.#positions.cursors = new Map(
      this.#options.signals.map(name => [name, this.#positions.firstOutbox - 1]),
    );
    this.#positions.areCursorsDurable = false;
  }

  #checkOutbox(): void {
    const gap = firstOutboxGap(this.#db, this.#firstExpected(), this.#positions.nextOutbox);
    if (gap !== null) this.#reportDamage('outbox', gap);
  }

  /** From here on every sequence is in the outbox, or was set aside for damage. */
  #firstExpected(): number {
    return firstExpected(this.#positions.firstOutbox, this.#positions.cursors);
  }

  /** Whether all is there that was acknowledged. */
  #checkCount(): void {
    this.#countFile = new CountFile(countPath(this.#path));
    const missing = this.#countFile.read() - this.#countedCount;
    if (missing > 0) this.#options.report({ type: 'lost', count: missing });
    this.#countFile.write(this.#countedCount);
  }

  #readTotals(): { totals: Total[]; totalIds: number[] } {
    const totals: Total[] = [];
    const totalIds: number[] = [];
    this.#countedCount = 0;
    for (const row of this.#db.prepare('SELECT * FROM totals').all()) {
      const labels = labelsOf(row);
      const total = { labels, count: row.count as number, bornAt: row.born_at as number };
      const labelSet = { ...newLabelSet(labels), ...total };
      if (crcOfTotal(labelSet) !== row.crc) {
        this.#reportDamage('totals', row.id as number);
      }
      totals.push(total);
      this.#countedCount += total.count;
      totalIds.push(row.id as number);
      this.#labelSets.set(row.id as number, labelSet);
    }
    return { totals, totalIds };
  }

  #readPositions(): void {
    const { first, last, count } = this.#db
      .prepare(
        `SELECT (SELECT min(sequence) FROM exceptions) AS first, (SELECT max(sequence) FROM exceptions) AS last,
         (SELECT count(*) FROM exceptions) AS count`,
      )
      .get() as { first: number | null; last: number | null; count: number };
    this.#positions.firstException = first ?? 1;
    this.#positions.nextException = (last ?? 0) + 1;
    this.#positions.exceptionCount = count;

    this.#positions.cursors = readCursors(this.#db).cursors;
    const outbox = outboxBounds(this.#db, this.#positions.cursors);
    this.#positions.nextOutbox = outbox.next;
    this.#positions.firstOutbox = outbox.first;
    this.#positions.firstWaived = 0;
    this.#positions.deadLetterCount = this.#db
      .prepare(`SELECT count(*) AS count FROM dead_letters WHERE reason <> '${waived}'`)
      .get()!.count as number;
    for (const signal of this.#options.signals) this.acknowledge(signal, this.#positions.firstOutbox - 1);
  }

  #readRecent(since: number): RecentException[] {
    const recent: RecentException[] = [];
    for (const row of this.#statements.selectRecent.iterate()) {
      if ((row.received_at as number) < since || recent.length === recentMax) break;
      const labelSet = this.#labelSets.get(row.label_set as number);
      if (labelSet === undefined) continue;
      recent.push({
        receivedAt: row.received_at as number,
        errorCategory: labelSet.labels.error_category,
        senderHash: row.sender as number,
        groupHash: row.in_group as number,
      });
    }
    return recent.reverse();
  }

  /**
   * Runs `work` in a transaction. After an error nothing of it is stored; or, where the sync failed, that is unknown:
   * the page cache may then show what the disk does not hold, so all is read anew before the next one. A full disk is
   * told before the log is synced; that connection stays good.
   */
  #transact(work: (statements: Statements, positions: Positions) => void): void {
    if (this.#mustReopen) this.#reopen();
    this.#makeLogDurable();
    const before = { ...this.#positions, cursors: new Map(this.#positions.cursors) };
    try {
      this.#statements.begin.run();
      work(this.#statements, this.#positions);
      this.#statements.commit.run();
    } catch (error) {
      this.#positions = before;
      this.#mustReopen = !isDiskFull(error);
      try {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK');
      } catch {
        this.#mustReopen = true;
      }
      throw error;
    }
  }

  /** Until that is done nothing is stored, and nothing written back; reading works. */
  #makeLogDurable(): void {
    if (this.#isLogDurable) return;
    writeLogAnew(this.#path);
    this.#isLogDurable = true;
  }

  /** All is read from the file, but for the cursors: what was delivered stays delivered. */
  #reopen(): void {
    try {
      this.#db.close();
    } catch {
      // An error of the connection that is being given up says nothing new.
    }
    const { cursors } = this.#positions;
    this.#connect();
    for (const labelSet of this.#labelSets.values()) Object.assign(labelSet, { count: 0, bornAt: null });
    this.#readTotals();
    this.#readPositions();
    for (const [signal, sequence] of cursors) this.acknowledge(signal, sequence);
  }

  #writeTotal(id: number, total: LabelSetState & Total): void {
    const crc = crcOfTotal(total);
    // Its labels never change: three columns instead of ten, and in a mixed load as many totals change as there are rows.
    if (this.#statements.updateTotal.run(total.count, crc, id).changes === 1) return;
    this.#statements.insertTotal.run(
      id,
      ...labelColumns.map(name => total.labels[name]),
      total.count,
      total.bornAt,
      crc,
    );
  }

  /** Inside a transaction. Rows leave the outbox when every enabled signal is past them. */
  #writeCursors(): void {
    if (this.#positions.areCursorsDurable) return;
    const cursors = [...this.#positions.cursors].map(([signal, sequence]) => ({ signal, sequence }));
    for (const { signal, sequence } of cursors) this.#statements.upsertCursor.run(signal, sequence);
    this.#statements.upsertMeta.run('cursors_crc', crcOfCursors(cursors));
    const delivered = this.#delivered();
    if (delivered >= this.#positions.firstOutbox) {
      this.#statements.deleteOutbox.run(delivered);
      this.#positions.firstOutbox = delivered + 1;
    }
    if (delivered >= this.#positions.firstWaived) {
      this.#statements.deleteWaivers.run(this.#positions.firstWaived, delivered);
      this.#positions.firstWaived = delivered + 1;
    }
    this.#positions.areCursorsDurable = true;
  }

  /** The outbox sequence that every enabled signal is past. */
  #delivered(): number {
    return Math.min(
      ...this.#options.signals.map(signal => this.#positions.cursors.get(signal) ?? 0),
      this.#positions.nextOutbox - 1,
    );
  }

  #firstReceivedAt(): number {
    const row = this.#statements.selectFirstException.get() as { received_at: number } | undefined;
    return row?.received_at ?? Number.POSITIVE_INFINITY;
  }

  /** Inside a transaction. */
  #expire(limit: number, now: number): void {
    const { changes } = this.#statements.deleteExceptions.run(
      this.#positions.firstException + limit,
      now - identityRetentionMs,
    );
    if (changes === 0) return;
    this.#positions.exceptionCount -= Number(changes);
    const row = this.#statements.selectFirstException.get() as { sequence: number } | undefined;
    this.#positions.firstException = row?.sequence ?? this.#positions.nextException;
  }

  #setDamagedAside(rows: OutboxRow[]): void {
    const targets = new Map(this.#withTargets([...rows]).map(({ sequence, only }) => [sequence, only]));
    const pending = ({ sequence }: OutboxRow): Signal[] =>
      this.#options.signals.filter(
        signal =>
          sequence > (this.#positions.cursors.get(signal) ?? 0) &&
          (targets.get(sequence) ?? signal) === signal,
      );
    this.#transact(statements => {
      for (const row of rows) {
        for (const signal of pending(row)) this.#writeDeadLetter(signal, row, 'checksum');
        // Found again and again, it would be read again and again.
        if (statements.deleteOutboxRow.run(row.sequence).changes === 0) {
          throw new Error(`row ${row.sequence} of the outbox is damaged and cannot be removed`);
        }
      }
    });
    for (const row of rows) {
      this.#options.report({
        type: 'damage',
        table: 'outbox',
        row: row.sequence,
        deadLettered: pending(row),
      });
    }
  }

  /** Says of each row whether it is for one signal alone. */
  #withTargets(rows: OutboxRow[]): OutboxRow[] {
    const [first, last] = [rows[0]?.sequence, rows.at(-1)?.sequence];
    if (first === undefined) return rows;
    for (const waiver of waiversIn(this.#statements.waivers, first, last!)) {
      const row = rows.find(({ sequence }) => sequence === waiver.sequence);
      if (row !== undefined) row.only = signals.find(signal => signal !== waiver.signal)!;
    }
    return rows;
  }

  #writeDeadLetter(signal: Signal, { sequence, record }: OutboxRow, reason: string): void {
    this.#positions.deadLetterCount += Number(
      this.#statements.insertDeadLetter.run(sequence, signal, reason, record, crc32(record)).changes,
    );
    for (; this.#positions.deadLetterCount > deadLettersMax; this.#positions.deadLetterCount -= 1) {
      this.#statements.deleteOldestDeadLetter.run();
    }
  }

  /** In one transaction; `act` says why a dead letter is left as it is. */
  #settle(
    keys: readonly DeadLetterKey[],
    type: 'dead_letters_retried' | 'dead_letters_removed',
    act: (key: DeadLetterKey, row: { reason: string; record: string; crc: number }) => LeftReason | null,
  ): Settlement {
    const settlement: Settlement = { done: [], left: [] };
    this.#transact((statements, positions) => {
      for (const key of keys) {
        const row = statements.selectDeadLetter.get(key.sequence, key.signal) as
          | Parameters<typeof act>[1]
          | undefined;
        const why = row === undefined ? 'unknown' : act(key, row);
        if (why === null) {
          settlement.done.push(key);
          positions.deadLetterCount -= 1;
        } else settlement.left.push({ ...key, why });
      }
    });
    reportSettled(type, settlement, this.#options.report);
    return settlement;
  }

  /** Inside a transaction: the outbox's last row, for one signal alone. */
  #putBack(signal: Signal, record: string): void {
    const sequence = this.#positions.nextOutbox;
    this.#statements.insertOutbox.run(
      sequence,
      receivedAtOf(record) ?? this.#options.now(),
      record,
      crc32(record),
    );
    for (const other of signals) if (other !== signal) this.#waive(sequence, other);
    this.#positions.nextOutbox += 1;
  }

  #waive(sequence: number, signal: Signal): void {
    this.#statements.insertDeadLetter.run(sequence, signal, waived, '', crcOfWaiver({ sequence, signal }));
  }

  #bytes(): number {
    const { pages, free, size } = this.#statements.selectPages.get() as {
      pages: number;
      free: number;
      size: number;
    };
    return (pages - free) * size + (bytesOf(logPath(this.#path)) ?? 0);
  }
}

type Statements = Record<
  | 'begin'
  | 'commit'
  | 'insertException'
  | 'insertOutbox'
  | 'updateTotal'
  | 'insertTotal'
  | 'upsertCursor'
  | 'upsertMeta'
  | 'insertDeadLetter'
  | 'selectDeadLetter'
  | 'selectIdentity'
  | 'selectOutbox'
  | 'selectOutboxReceivedAt'
  | 'selectFirstException'
  | 'waivers'
  | 'notWanted'
  | 'selectRecent'
  | 'selectPages'
  | 'deleteExceptions'
  | 'deleteOutbox'
  | 'deleteOutboxRow'
  | 'deleteDeadLetter'
  | 'deleteOldestDeadLetter'
  | 'deleteWaivers',
  StatementSync
>;

function prepare(db: DatabaseSync): Statements {
  const totalColumns = ['id', ...labelColumns, 'count', 'born_at', 'crc'];
  return {
    begin: db.prepare('BEGIN IMMEDIATE'),
    commit: db.prepare('COMMIT'),
    insertException: db.prepare(
      'INSERT INTO exceptions VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (identity) DO NOTHING',
    ),
    insertOutbox: db.prepare('INSERT INTO outbox VALUES (?, ?, ?, ?)'),
    updateTotal: db.prepare('UPDATE totals SET count = ?, crc = ? WHERE id = ?'),
    insertTotal: db.prepare(`INSERT INTO totals VALUES (${totalColumns.map(() => '?').join(', ')})`),
    upsertCursor: db.prepare('INSERT OR REPLACE INTO cursors VALUES (?, ?)'),
    upsertMeta: db.prepare('INSERT OR REPLACE INTO meta VALUES (?, ?)'),
    insertDeadLetter: db.prepare(
      'INSERT OR IGNORE INTO dead_letters (sequence, signal, reason, record, crc) VALUES (?, ?, ?, ?, ?)',
    ),
    selectIdentity: db.prepare('SELECT sequence FROM exceptions WHERE identity = ?'),
    selectOutbox: db.prepare(
      // Masked, since a damaged one may be larger than a number can be.
      'SELECT sequence, record, crc & 0xffffffff AS crc FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT ?',
    ),
    selectOutboxReceivedAt: db.prepare(
      'SELECT received_at FROM outbox WHERE sequence > ? ORDER BY sequence LIMIT 1',
    ),
    selectFirstException: db.prepare(
      'SELECT sequence, received_at FROM exceptions ORDER BY sequence LIMIT 1',
    ),
    selectDeadLetter: db.prepare(
      `SELECT reason, record, crc & 0xffffffff AS crc FROM dead_letters
       WHERE sequence = ? AND signal = ? AND reason <> '${waived}'`,
    ),
    waivers: db.prepare(waiversSql),
    notWanted: db.prepare(notWantedSql),
    selectRecent: db.prepare(
      'SELECT received_at, label_set, sender, in_group FROM exceptions ORDER BY sequence DESC',
    ),
    selectPages: db.prepare(
      `SELECT (SELECT page_count FROM pragma_page_count) AS pages,
       (SELECT freelist_count FROM pragma_freelist_count) AS free, (SELECT page_size FROM pragma_page_size) AS size`,
    ),
    deleteExceptions: db.prepare('DELETE FROM exceptions WHERE sequence < ? AND received_at < ?'),
    deleteOutbox: db.prepare('DELETE FROM outbox WHERE sequence <= ?'),
    deleteOutboxRow: db.prepare('DELETE FROM outbox WHERE sequence = ?'),
    deleteDeadLetter: db.prepare('DELETE FROM dead_letters WHERE sequence = ? AND signal = ?'),
    deleteOldestDeadLetter: db.prepare(
      `DELETE FROM dead_letters WHERE id = (SELECT min(id) FROM dead_letters WHERE reason <> '${waived}')`,
    ),
    deleteWaivers: db.prepare(
      `DELETE FROM dead_letters WHERE sequence BETWEEN ? AND ? AND reason = '${waived}'`,
    ),
  };
}

function newLabelSet(labels: ExceptionLabels): LabelSetState {
  return { labels, labelsCrc: crcOfLabels(labels), count: 0, bornAt: null };
}

/** A new file's name is durable only after its directory was synced. */
function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
