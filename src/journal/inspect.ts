/**
 * Looks at a journal's file from outside, without creating or changing anything, whether or not an exporter runs on it.
 *
 * An exporter holds the file's lock for as long as it runs, and keeps a write-ahead log beside it. So there are three
 * cases: no log, then nobody holds the file, and it is read as if it could not change; a log and the lock taken, then an
 * exporter runs; a log and no lock, then an exporter died, and what it left is read with the log.
 */
import { accessSync, constants, existsSync, realpathSync, rmSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { damagedMessage } from './sqlite-checks.ts';
import { applicationId, schemaVersion } from './sqlite-store.ts';

export interface JournalInspection {
  /**
   * `absent`: not made yet; `held`: by a running exporter, which alone can read it; `readable`: see `contents`;
   * `unusable`: see `problem`.
   */
  state: 'absent' | 'held' | 'readable' | 'unusable';
  /** Why an exporter could not start on it, in a sentence that names it; `null` where it could, or one runs on it. */
  problem: string | null;
  /** Left on its disk; `null` where that is not known. */
  freeBytes: number | null;
  contents: JournalInspectionContents | null;
}

export interface JournalInspectionContents {
  /** `null`: the file is empty, and is made a journal by the first start. */
  format: number | null;
  /** All that were ever counted. */
  exceptions: number;
  undelivered: number;
  deadLetters: number;
  /** Of the file and its log. */
  bytes: number;
  /** An exporter was killed: what its log holds is taken over at the next start. */
  wasKilled: boolean;
}

/** SQLite's primary result codes; see sqlite.org/rescode.html. */
const codes = { busy: 5, corrupt: 11, cannotOpen: 14, notADatabase: 26 };

/** Never throws. */
export function inspectJournal(path: string): JournalInspection {
  const inspection: JournalInspection = { state: 'absent', problem: null, freeBytes: null, contents: null };
  try {
    const file = existsSync(path) ? realpathSync(path) : resolve(path);
    inspection.freeBytes = freeBytesOf(existingParent(file));
    inspection.problem = writeProblem(file, path);
    if (!existsSync(file)) {
      return inspection.problem === null ? inspection : { ...inspection, state: 'unusable' };
    }
    const contents = readContents(file, path);
    if (contents === 'held') return { ...inspection, state: 'held', problem: null };
    const state = inspection.problem === null ? 'readable' : 'unusable';
    return { ...inspection, state, contents };
  } catch (error) {
    return { ...inspection, state: 'unusable', problem: inspection.problem ?? explainError(error, path) };
  }
}

function readContents(file: string, path: string): JournalInspectionContents | 'held' {
  const hasLog = existsSync(`${file}-wal`);
  const hadIndex = existsSync(`${file}-shm`);
  const url = pathToFileURL(file);
  // Without a log nothing is left to be read from anywhere else, and SQLite would make one to look into.
  if (!hasLog) url.searchParams.set('immutable', '1');
  const db = new DatabaseSync(url, { readOnly: true, timeout: 0 });
  try {
    const pragma = (name: string): unknown => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0];
    const isEmpty = pragma('schema_version') === 0;
    const format = isEmpty ? null : (pragma('user_version') as number);
    if (!isEmpty && pragma('application_id') !== applicationId) {
      throw new Error(`${path} is a SQLite file, but not a journal; JOURNAL must name another file`);
    }
    if (format !== null && format !== schemaVersion) {
      throw new Error(
        `${path} has journal format ${format}, this version reads ${schemaVersion}; run the version that wrote it`,
      );
    }
    // Only where it takes no lock: of a large journal it lasts longer than a start waits for one.
    const problem = hasLog ? 'ok' : pragma('integrity_check(1)');
    if (problem !== 'ok') throw new Error(damagedMessage(path, String(problem)));
    const bytesOf = (name: string): number => statSync(name, { throwIfNoEntry: false })?.size ?? 0;
    const sum = (query: string): number =>
      isEmpty ? 0 : (db.prepare(`SELECT ${query} AS sum`).get()!.sum as number);
    return {
      format,
      exceptions: sum('(SELECT coalesce(sum(count), 0) FROM totals)'),
      // What some signal has yet to deliver, or another setting left behind.
      undelivered: sum('(SELECT count(*) FROM outbox)'),
      deadLetters: sum('(SELECT count(*) FROM dead_letters)'),
      bytes: bytesOf(file) + bytesOf(`${file}-wal`),
      wasKilled: hasLog,
    };
  } catch (error) {
    if (resultCode(error) === codes.busy) return 'held';
    throw error;
  } finally {
    db.close();
    // SQLite's index of the log, which it leaves behind when it may not write. An exporter has none.
    if (!hadIndex) rmSync(`${file}-shm`, { force: true });
  }
}

/** What keeps this user from making or writing the file and the log beside it; `null`: nothing. */
function writeProblem(file: string, path: string): string | null {
  const parent = existingParent(file);
  if (!statSync(parent).isDirectory()) return `${path} cannot be made: ${parent} is not a directory`;
  if (existsSync(file)) {
    if (!statSync(file).isFile()) return `${path} is not a file`;
    const code = accessProblem(file, constants.R_OK | constants.W_OK);
    if (code !== null) return `${path} cannot be written by this user (${code})`;
  }
  const code = accessProblem(parent, constants.W_OK | constants.X_OK);
  if (code === null) return null;
  const what = existsSync(file) ? `the log of ${path}` : path;
  return `${what} cannot be made: ${parent} cannot be written by this user (${code})`;
}

function accessProblem(path: string, mode: number): string | null {
  try {
    accessSync(path, mode);
    return null;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unknown';
  }
}

/** The directory that the file is in, or the nearest one above it that is there. */
function existingParent(file: string): string {
  let parent = dirname(file);
  while (!existsSync(parent)) parent = dirname(parent);
  return parent;
}

function freeBytesOf(directory: string): number | null {
  try {
    const { bavail, bsize } = statfsSync(directory);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function resultCode(error: unknown): number | null {
  const code = (error as { errcode?: unknown }).errcode;
  return typeof code === 'number' ? code & 0xff : null;
}

function explainError(error: unknown, path: string): string {
  const { message } = error as Error;
  switch (resultCode(error)) {
    case null:
      return (error as NodeJS.ErrnoException).code === undefined
        ? message
        : `${path} cannot be read (${message})`;
    case codes.corrupt:
    case codes.notADatabase:
      return damagedMessage(path, message);
    case codes.cannotOpen:
      return `${path} cannot be opened (${message}); look at it as the user that the exporter runs as`;
    default:
      return `${path} cannot be read (${message})`;
  }
}
