/**
 * The journal's file and how it is opened: alone and for writing, by the exporter; for reading, while no exporter has
 * it; as it lies, while an exporter leaves it be.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { JournalUnusable } from './journal.ts';
import { labelColumns } from './label-columns.ts';

/** "tcex" in ASCII: tells a journal from any other SQLite file. */
const applicationId = 0x74636578;
export const schemaVersion = 1;

/** How long a start waits for whoever is about to let go of the file. */
export const lockWaitMs = 5_000;
/** Page cache. Identities begin with their time, so that only the end of their index is in use. */
const cacheKib = 8 * 1024;
/** Pages of 4 KiB in the log before it is written back into the file: 16 MiB, so that index pages are merged. */
const checkpointPages = 4_000;
export const pageBytes = 4_096;
/** A small journal has a small log: what fills the log counts as bytes in use, and no drop makes it shorter. */
const logShareMax = 1 / 8;

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

/** Pages of the log before it is written back into the file. */
export function logPagesMax(bytesMax: number): number {
  return Math.min(checkpointPages, Math.floor((bytesMax * logShareMax) / pageBytes));
}

/** Opens the file for writing, for this connection alone, and makes the tables of an empty one. */
export function connectAlone(path: string, bytesMax: number): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: lockWaitMs });
  const expected = { locking_mode: 'exclusive', journal_mode: 'wal', synchronous: 2 };
  try {
    pragma(db, 'locking_mode=EXCLUSIVE');
    pragma(db, 'journal_mode=WAL');
    pragma(db, 'synchronous=FULL');
    pragma(db, `cache_size=-${cacheKib}`);
    const logPages = logPagesMax(bytesMax);
    pragma(db, `wal_autocheckpoint=${logPages}`);
    pragma(db, `journal_size_limit=${logPages * pageBytes}`);
    db.exec('BEGIN IMMEDIATE; COMMIT');
    for (const [name, value] of Object.entries(expected)) {
      if (pragma(db, name) !== value) {
        throw new JournalUnusable(
          `${path}: PRAGMA ${name} is ${pragma(db, name)}, not ${value}; is it a local disk?`,
        );
      }
    }
    if (readFormat(db, path) === null) {
      db.exec(
        `BEGIN; ${schema} PRAGMA application_id=${applicationId}; PRAGMA user_version=${schemaVersion}; COMMIT`,
      );
    }
    return db;
  } catch (error) {
    db.close();
    throw explainOpenError(error, path);
  }
}

/** A connection that only reads. `close` leaves no file behind that it made. */
export interface ReadConnection {
  db: DatabaseSync;
  close(): void;
}

/**
 * Reads a journal that no exporter has open, its log included, and changes nothing of it. An exporter that starts waits
 * until it is closed. Throws `JournalBusy` at once where another process has it.
 */
export function connectToRead(path: string): ReadConnection {
  const file = realpathSync(path);
  const [log, index] = [logPath(file), `${file}-shm`];
  const [hadLog, hadIndex] = [bytesOf(log) !== null, bytesOf(index) !== null];
  let db: DatabaseSync | undefined;
  let isLocked = false;
  const close = (): void => {
    // What this connection made. An exporter has no such index; its log it makes when it can open the file, which it
    // cannot while this connection has its lock.
    if (!hadIndex) rmSync(index, { force: true });
    if (isLocked && !hadLog && bytesOf(log) === 0) rmSync(log);
    db?.close();
  };
  try {
    db = new DatabaseSync(file, { readOnly: true, timeout: 0 });
    pragma(db, `cache_size=-${cacheKib}`);
    pragma(db, 'schema_version');
    isLocked = true;
  } catch (error) {
    close();
    throw explainOpenError(error, path);
  }
  return { db, close };
}

/** Reads the file as it lies, without its log and without a lock: for as long as nobody writes to it. */
export function connectToStill(path: string): ReadConnection {
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  const db = new DatabaseSync(url, { readOnly: true });
  pragma(db, `cache_size=-${cacheKib}`);
  return { db, close: () => db.close() };
}

/**
 * SQLite believes the log as the page cache shows it, which may never have been synced, when the process was killed
 * before: its exceptions are known as duplicates then, and would be answered, though a power cut still takes them. Or
 * the sync failed: Linux takes such pages for clean, so that a later one succeeds without them. Written anew, they are
 * synced for certain. Only the connection that holds the lock can have the log open.
 */
export function writeLogAnew(databasePath: string): void {
  const path = logPath(databasePath);
  if (bytesOf(path) === null) return;
  try {
    const log = openSync(path, 'r+');
    try {
      const bytes = readFileSync(log);
      for (let at = 0; at < bytes.length; ) at += writeSync(log, bytes, at, bytes.length - at, at);
      fsyncSync(log);
    } finally {
      closeSync(log);
    }
  } catch (error) {
    throw new JournalUnusable(`${path} cannot be made durable (${(error as Error).message})`);
  }
}

/** SQLite keeps the log beside the file itself, whatever links lead to it. */
export function logPath(path: string): string {
  return `${existsSync(path) ? realpathSync(path) : path}-wal`;
}

/** `null` where there is no such file. */
export function bytesOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.size ?? null;
}

export function pragma(db: DatabaseSync, text: string): unknown {
  return Object.values(db.prepare(`PRAGMA ${text}`).get() ?? {})[0];
}

/** The format of the journal's file; `null` where it is empty. Throws `JournalUnusable` for any other file. */
export function readFormat(db: DatabaseSync, path: string): number | null {
  if (pragma(db, 'schema_version') === 0) return null;
  if (pragma(db, 'application_id') !== applicationId) {
    throw new JournalUnusable(`${path} is a SQLite file, but not a journal; JOURNAL must name another file`);
  }
  const format = pragma(db, 'user_version');
  if (format !== schemaVersion) {
    throw new JournalUnusable(
      `${path} has journal format ${format}, this version reads ${schemaVersion}; run the version that wrote it`,
    );
  }
  return schemaVersion;
}

/** SQLite's primary result code, the low byte of `errcode`; see sqlite.org/rescode.html. */
export function resultCode(error: unknown): number | null {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : null;
}

export function isDiskFull(error: unknown): boolean {
  return resultCode(error) === 13;
}

/** Another process has the file. */
export class JournalBusy extends JournalUnusable {
  constructor(path: string) {
    super(`${path} is in use by another process; every exporter needs a journal of its own`);
  }
}

export function explainOpenError(error: unknown, path: string): unknown {
  if (error instanceof JournalUnusable) return error;
  const [busy, corrupt, cannotOpen, notADatabase] = [5, 11, 14, 26];
  // A number in the file that is larger than a number can be.
  if (error instanceof RangeError) return new JournalUnusable(damagedMessage(path, error.message));
  switch (resultCode(error)) {
    case busy:
      return new JournalBusy(path);
    case corrupt:
    case notADatabase:
      return new JournalUnusable(damagedMessage(path, (error as Error).message));
    case cannotOpen:
      return new JournalUnusable(
        `${path} cannot be opened (${(error as Error).message}); has this user the right to it, and to its directory?`,
      );
    case null:
      return error;
    default:
      return new JournalUnusable(`${path} cannot be used (${(error as Error).message})`);
  }
}

export function damagedMessage(path: string, problem: string): string {
  return `${path} is damaged or not a SQLite file (${problem}); restore it from a backup, or move it away to start from zero`;
}
