/**
 * Looks at a journal's file from outside, without creating or changing anything, whether or not an exporter runs on it.
 *
 * An exporter holds the file's lock for as long as it runs, and keeps a write-ahead log beside it. So there are three
 * cases: no log, then nobody holds the file, and it is read as if it could not change; a log and the lock taken, then an
 * exporter runs; a log and no lock, then an exporter died, and what it left is read with the log.
 */
import { accessSync, constants, existsSync, realpathSync, statfsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { integrityProblems, waived } from './sqlite-checks.ts';
import {
  bytesOf,
  connectToRead,
  connectToStill,
  damagedMessage,
  explainOpenError,
  JournalBusy,
  logPath,
  readFormat,
} from './sqlite-connection.ts';

export interface JournalInspection {
  /**
   * `absent`: not made yet; `held`: its file is, by a running exporter, which alone can read it; `readable`: see `contents`;
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
  /** Of the file and its log; of a database's tables. */
  bytes: number;
  /** An exporter was killed: what its log holds is taken over at the next start. */
  wasKilled: boolean;
}

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
    return {
      ...inspection,
      state: 'unusable',
      problem: inspection.problem ?? (explainOpenError(error, path) as Error).message,
    };
  }
}

function readContents(file: string, path: string): JournalInspectionContents | 'held' {
  const logBytes = bytesOf(logPath(file));
  let opened: ReturnType<typeof connectToRead> | undefined;
  try {
    // Without a log nothing is left to be read from anywhere else, and SQLite would make one to look into.
    opened = logBytes === null ? connectToStill(file) : connectToRead(file);
    const { db } = opened;
    const format = readFormat(db, path);
    // Only where it takes no lock: of a large journal it lasts longer than a start waits for one.
    const [problem] = logBytes === null ? integrityProblems(db, 1) : [];
    if (problem !== undefined) throw new Error(damagedMessage(path, problem));
    const sum = (query: string): number =>
      format === null ? 0 : (db.prepare(`SELECT (${query}) AS sum`).get()!.sum as number);
    return {
      format,
      exceptions: sum('SELECT coalesce(sum(count), 0) FROM totals'),
      // What some signal has yet to deliver, or another setting left behind.
      undelivered: sum('SELECT count(*) FROM outbox'),
      deadLetters: sum(`SELECT count(*) FROM dead_letters WHERE reason <> '${waived}'`),
      bytes: (bytesOf(file) ?? 0) + (logBytes ?? 0),
      wasKilled: logBytes !== null,
    };
  } catch (error) {
    if (error instanceof JournalBusy) return 'held';
    throw error;
  } finally {
    opened?.close();
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
