/**
 * The journal in a SQLite file: the synchronous half, which runs in the journal's worker thread.
 *
 * Format, `user_version` 1:
 *   meta          the key of all hashes
 *   totals        one row a label set: how many distinct exceptions, since when
 *   exceptions    one row an exception, its identity unique; kept for `identityRetentionMs`
 *   outbox        one row an exception that some signal has yet to deliver: the encoded record
 *   cursors       one row a signal: the last outbox sequence that was delivered
 *   dead_letters  what was refused for good or came back damaged, the last `deadLettersMax`
 *
 * Write-ahead log with `synchronous=FULL`: a commit returns after the log was synced, and nothing of it can be lost
 * by a power cut (with NORMAL, 142 of 200 simulated power cuts lost acknowledged rows). `locking_mode=EXCLUSIVE`: one
 * connection holds the file for as long as it lives. A second exporter on the same journal would count on totals
 * that are not its own, so it is refused; and SQLite's WAL-reset bug (mended in 3.51.3) needs two connections.
 *
 * `<path>-count` beside it tells what a damaged log has lost: count-file.ts. What is looked at when the file is opened:
 * sqlite-checks.ts.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import type { ExceptionLabels } from '../callback/exception.ts';
import { CountFile } from './count-file.ts';
import {
  identityRetentionMs,
  type JournalContents,
  type JournalOptions,
  type JournalStats,
  JournalUnusable,
  type OutboxRow,
  type RecentException,
  type Signal,
  type StoredException,
  signals,
  type Total,
} from './journal.ts';
import { checkIntegrity, damagedMessage, firstOutboxGap } from './sqlite-checks.ts';

/** "tcex" in ASCII: tells a journal from any other SQLite file. */
export const applicationId = 0x74636578;
export const schemaVersion = 1;

/** How long a start waits for an exporter that is about to let go of the file. */
const lockWaitMs = 5_000;
/** Page cache. Identities begin with their time, so that only the end of their index is in use. */
const cacheKib = 8 * 1024;
/** Pages of 4 KiB in the log before it is written back into the file: 16 MiB, so that index pages are merged. */
const checkpointPages = 4_000;
const pageBytes = 4_096;
/** A small journal has a small log: what fills the log counts as bytes in use, and no drop makes it shorter. */
const logShareMax = 1 / 8;
/** Expired identities removed with each append, per appended one: twice, so that the backlog of expiry shrinks. */
const expiredPerAppended = 2;
/** Outbox rows dropped at a time when the journal is over its size. */
const dropChunk = 1_000;
const deadLettersMax = 10_000;
/** Recent exceptions read at start, newest first: five minutes at 600 a second. */
const recentMax = 200_000;

const labelColumns = [
  'sdk_app_id',
  'error_code',
  'error_category',
  'group_type',
  'platform',
  'initiator',
] as const satisfies readonly (keyof ExceptionLabels)[];

const schema = `
  CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE totals (
    id INTEGER PRIMARY KEY, ${labelColumns.map(name => `${name} TEXT NOT NULL`).join(', ')},
    count INTEGER NOT NULL, born_at INTEGER NOT NULL, crc INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE exceptions (
    sequence INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, received_at INTEGER NOT NULL,
    label_set INTEGER NOT NULL, sender INTEGER NOT NULL, in_group INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY, received_at INTEGER NOT NULL, record TEXT NOT NULL, crc INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE cursors (signal TEXT PRIMARY KEY, sequence INTEGER NOT NULL) STRICT, WITHOUT ROWID;
  CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, signal TEXT NOT NULL, reason TEXT NOT NULL,
    record TEXT NOT NULL, crc INTEGER NOT NULL, UNIQUE (sequence, signal)
  ) STRICT;
`;

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
  };

  constructor(path: string, options: JournalOptions) {
    this.#path = path;
    this.#options = options;
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
      syncDirectory(dirname(this.#path));
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

  exceptions(before: number, limit: number): StoredException[] {
    const rows = this.#statements.selectExceptions.all(
      Math.min(before, this.#confirmedNext),
      limit,
    ) as unknown as { sequence: number; identity: Uint8Array; received_at: number; label_set: number }[];
    return rows.flatMap(({ sequence, identity, received_at, label_set }) => {
      const labels = this.#labelSets.get(label_set)?.labels;
      if (labels === undefined) return [];
      return [{ sequence, identity: Buffer.from(identity).toString('hex'), receivedAt: received_at, labels }];
    });
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
      const damaged = rows.filter(({ record, crc }) => typeof record !== 'string' || crc32(record) !== crc);
      if (damaged.length === 0) return rows.map(({ sequence, record }) => ({ sequence, record }));
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
    while (
      this.#bytes() > this.#options.bytesMax &&
      this.#positions.firstOutbox < this.#positions.nextOutbox
    ) {
      const upTo = Math.min(this.#positions.firstOutbox + dropChunk, this.#positions.nextOutbox) - 1;
      const dropped = this.#options.signals.map(signal => {
        const cursor = Math.max(this.#positions.cursors.get(signal) ?? 0, this.#positions.firstOutbox - 1);
        return { type: 'dropped', signal, count: Math.max(0, upTo - cursor) } as const;
      });
      this.#transact(() => {
        for (const signal of this.#options.signals) this.acknowledge(signal, upTo);
        // Also where no signal is delivered any more, and no cursor moves: rows of earlier must go all the same.
        this.#positions.areCursorsDurable = false;
        this.#writeCursors();
      });
      for (const report of dropped) if (report.count > 0) this.#options.report(report);
    }
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
    this.#db = new DatabaseSync(this.#path, { timeout: lockWaitMs });
    this.#isLogDurable = false;
    const pragma = (text: string): unknown =>
      Object.values(this.#db.prepare(`PRAGMA ${text}`).get() ?? {})[0];
    const expected = { locking_mode: 'exclusive', journal_mode: 'wal', synchronous: 2 };
    try {
      pragma('locking_mode=EXCLUSIVE');
      pragma('journal_mode=WAL');
      pragma('synchronous=FULL');
      pragma(`cache_size=-${cacheKib}`);
      const logPages = Math.min(
        checkpointPages,
        Math.floor((this.#options.bytesMax * logShareMax) / pageBytes),
      );
      pragma(`wal_autocheckpoint=${logPages}`);
      pragma(`journal_size_limit=${logPages * pageBytes}`);
      this.#db.exec('BEGIN IMMEDIATE; COMMIT');
      for (const [name, value] of Object.entries(expected)) {
        if (pragma(name) !== value) {
          throw new JournalUnusable(
            `${this.#path}: PRAGMA ${name} is ${pragma(name)}, not ${value}; is it a local disk?`,
          );
        }
      }
      const version = pragma('user_version');
      const isEmpty = pragma('schema_version') === 0;
      if (!isEmpty && pragma('application_id') !== applicationId) {
        throw new JournalUnusable(
          `${this.#path} is a SQLite file, but not a journal; JOURNAL must name another file`,
        );
      }
      if (!isEmpty && version !== schemaVersion) {
        throw new JournalUnusable(
          `${this.#path} has journal format ${version}, this version reads ${schemaVersion}; run the version that wrote it`,
        );
      }
      if (isEmpty) {
        this.#db.exec(
          `BEGIN; ${schema} PRAGMA application_id=${applicationId}; PRAGMA user_version=${schemaVersion}; COMMIT`,
        );
      }
      this.#statements = prepare(this.#db);
    } catch (error) {
      this.#db.close();
      throw explainOpenError(error, this.#path);
    }
    this.#mustReopen = false;
  }

  #createOrRead(): Buffer {
    const select = this.#db.prepare('SELECT value FROM meta WHERE name = ?');
    const insert = this.#db.prepare('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING');
    insert.run('key', randomBytes(32));
    const key = Buffer.from(select.get('key')!.value as Uint8Array);
    insert.run('key_crc', crcBytes(key));
    if (!crcBytes(key).equals(select.get('key_crc')!.value as Uint8Array)) this.#reportDamage('meta', 1);
    return key;
  }

  #reportDamage(table: 'totals' | 'outbox' | 'cursors' | 'meta', row: number): void {
    this.#options.report({ type: 'damage', table, row, deadLettered: [] });
  }

  /** A cursor that is too high would take records with it that were not delivered. */
  #checkCursors(): void {
    const stored = this.#db.prepare("SELECT value FROM meta WHERE name = 'cursors_crc'").get();
    const cursors = this.#db.prepare('SELECT signal, sequence FROM cursors').all() as never;
    if (stored === undefined || crcOfCursors(cursors).equals(stored.value as Uint8Array)) return;
    this.#reportDamage('cursors', 1);
    this.#positions.cursors = new Map(
      this.#options.signals.map(name => [name, this.#positions.firstOutbox - 1]),
    );
    this.#positions.areCursorsDurable = false;
  }

  #checkOutbox(): void {
    const { firstOutbox, nextOutbox, cursors } = this.#positions;
    const from = Math.min(firstOutbox, Math.max(0, ...cursors.values()) + 1);
    const gap = firstOutboxGap(this.#db, from, nextOutbox);
    if (gap !== null) this.#reportDamage('outbox', gap);
  }

  /** Whether all is there that was acknowledged. */
  #checkCount(): void {
    this.#countFile = new CountFile(`${this.#path}-count`);
    const missing = this.#countFile.read() - this.#countedCount;
    if (missing > 0) this.#options.report({ type: 'lost', count: missing });
    this.#countFile.write(this.#countedCount);
  }

  #readTotals(): { totals: Total[]; totalIds: number[] } {
    const totals: Total[] = [];
    const totalIds: number[] = [];
    this.#countedCount = 0;
    for (const row of this.#db.prepare('SELECT * FROM totals').all()) {
      const labels = Object.fromEntries(
        labelColumns.map(name => [name, row[name]]),
      ) as unknown as ExceptionLabels;
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
    const bounds = (table: string): { first: number | null; last: number | null; count: number } =>
      this.#db
        .prepare(
          `SELECT (SELECT min(sequence) FROM ${table}) AS first, (SELECT max(sequence) FROM ${table}) AS last,
           (SELECT count(*) FROM ${table}) AS count`,
        )
        .get() as never;
    const exceptions = bounds('exceptions');
    this.#positions.firstException = exceptions.first ?? 1;
    this.#positions.nextException = (exceptions.last ?? 0) + 1;
    this.#positions.exceptionCount = exceptions.count;

    const rows = this.#db.prepare('SELECT signal, sequence FROM cursors').all() as {
      signal: Signal;
      sequence: number;
    }[];
    this.#positions.cursors = new Map(rows.map(row => [row.signal, row.sequence]));
    const outbox = bounds('outbox');
    // A damaged row that was set aside may have been the last one, above every cursor.
    const given = [outbox.last ?? 0, bounds('dead_letters').last ?? 0, ...this.#positions.cursors.values()];
    this.#positions.nextOutbox = Math.max(...given) + 1;
    this.#positions.firstOutbox = outbox.first ?? this.#positions.nextOutbox;
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

  /**
   * SQLite believes the log as the page cache shows it, which may never have been synced, when the process was killed
   * before: its exceptions are known as duplicates then, and would be answered, though a power cut still takes them. Or
   * the sync failed: Linux takes such pages for clean, so that a later one succeeds without them. Written anew, they are
   * synced for certain. Until that is done nothing is stored, and nothing written back; reading works. Only this
   * connection can have the log open: it holds the lock.
   */
  #makeLogDurable(): void {
    if (this.#isLogDurable) return;
    const path = `${this.#path}-wal`;
    try {
      if (statSync(path, { throwIfNoEntry: false }) !== undefined) {
        const log = openSync(path, 'r+');
        try {
          const bytes = readFileSync(log);
          for (let at = 0; at < bytes.length; ) at += writeSync(log, bytes, at, bytes.length - at, at);
          fsyncSync(log);
        } finally {
          closeSync(log);
        }
      }
    } catch (error) {
      throw new JournalUnusable(`${path} cannot be made durable (${(error as Error).message})`);
    }
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
    const pending = (row: OutboxRow): Signal[] =>
      this.#options.signals.filter(signal => row.sequence > (this.#positions.cursors.get(signal) ?? 0));
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

  #writeDeadLetter(signal: Signal, row: OutboxRow, reason: string): void {
    const { changes, lastInsertRowid } = this.#statements.insertDeadLetter.run(
      row.sequence,
      signal,
      reason,
      row.record,
      crc32(row.record),
    );
    // It is there already, and was refused again after a crash: the last row that was inserted is of another table.
    if (changes === 0) return;
    this.#statements.deleteDeadLetters.run(Number(lastInsertRowid) - deadLettersMax);
  }

  #bytes(): number {
    const { pages, free, size } = this.#statements.selectPages.get() as {
      pages: number;
      free: number;
      size: number;
    };
    return (pages - free) * size + (statSync(`${this.#path}-wal`, { throwIfNoEntry: false })?.size ?? 0);
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
  | 'selectIdentity'
  | 'selectOutbox'
  | 'selectOutboxReceivedAt'
  | 'selectFirstException'
  | 'selectExceptions'
  | 'selectRecent'
  | 'selectPages'
  | 'deleteExceptions'
  | 'deleteOutbox'
  | 'deleteOutboxRow'
  | 'deleteDeadLetters',
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
    selectExceptions: db.prepare(
      `SELECT sequence, identity, received_at, label_set FROM exceptions
       WHERE sequence < ? ORDER BY sequence DESC LIMIT ?`,
    ),
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
    deleteDeadLetters: db.prepare('DELETE FROM dead_letters WHERE id <= ?'),
  };
}

function newLabelSet(labels: ExceptionLabels): LabelSetState {
  return {
    labels,
    labelsCrc: crc32(labelColumns.map(name => labels[name]).join('\n')),
    count: 0,
    bornAt: null,
  };
}

/** Of all columns, a line each. */
function crcOfTotal({ labelsCrc, count, bornAt }: LabelSetState): number {
  return crc32(`\n${count}\n${bornAt}`, labelsCrc);
}

function crcBytes(bytes: Uint8Array | string): Buffer {
  const crc = Buffer.alloc(4);
  crc.writeUInt32LE(crc32(bytes));
  return crc;
}

function crcOfCursors(cursors: { signal: string; sequence: number }[]): Buffer {
  return crcBytes(
    cursors
      .map(({ signal, sequence }) => `${signal}:${sequence}`)
      .sort()
      .join('\n'),
  );
}

/** SQLite's primary result code, the low byte of `errcode`; see sqlite.org/rescode.html. */
function resultCode(error: unknown): number | null {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : null;
}

function isDiskFull(error: unknown): boolean {
  return resultCode(error) === 13;
}

function explainOpenError(error: unknown, path: string): unknown {
  if (error instanceof JournalUnusable) return error;
  const [busy, corrupt, cannotOpen, notADatabase] = [5, 11, 14, 26];
  // A number in the file that is larger than a number can be.
  if (error instanceof RangeError) return new JournalUnusable(damagedMessage(path, error.message));
  switch (resultCode(error)) {
    case busy:
      return new JournalUnusable(
        `${path} is in use by another process; every exporter needs a journal of its own`,
      );
    case corrupt:
    case notADatabase:
      return new JournalUnusable(damagedMessage(path, (error as Error).message));
    case cannotOpen:
      return new JournalUnusable(`${path} cannot be opened (${(error as Error).message})`);
    case null:
      return error;
    default:
      return new JournalUnusable(`${path} cannot be used (${(error as Error).message})`);
  }
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
