/**
 * How a command comes at a journal: through the exporter that has it open, or else by opening the file. Each question
 * finds its own way, so that an exporter may start or stop between two of them, and none has to wait for a reader whose
 * output is not taken.
 */
import type { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { type Control, ControlLost, connectControl, controlPath } from './control.ts';
import { countPath, readCount } from './count-file.ts';
import {
  type DeadLetterKey,
  type Inquiry,
  type JournalReport,
  JournalUnusable,
  type Settlement,
  type Signal,
} from './journal.ts';
import {
  bytesOf,
  connectToRead,
  connectToStill,
  explainOpenError,
  JournalBusy,
  lockWaitMs,
  type ReadConnection,
  readFormat,
} from './sqlite-connection.ts';
import { readKnown, SqliteInquiry } from './sqlite-inquiry.ts';
import { SqliteStore } from './sqlite-store.ts';
import { verifyJournal } from './sqlite-verify.ts';
import type { Verification } from './verification.ts';

export interface JournalAccess extends Inquiry {
  /** Reads the whole journal. */
  verify(): Promise<Verification>;
  close(): Promise<void>;
}

export interface AccessOptions {
  path: string;
  /** The signals that are delivered, where no exporter runs that could say so. */
  signals: readonly Signal[];
  bytesMax: number;
}

/** Between two looks for an exporter that is starting or stopping. */
const lookEveryMs = 100;
/** How often the whole journal is read again because the exporter wrote too much meanwhile. */
const attemptsMax = 3;

/** Opens nothing yet. Every question rejects with `JournalUnusable` where neither way leads to the journal. */
export function accessJournal({ path, signals, bytesMax }: AccessOptions): JournalAccess {
  return {
    summary: () => read('summary', []),
    exceptions: (...args) => read('exceptions', args),
    undelivered: (...args) => read('undelivered', args),
    retried: (...args) => read('retried', args),
    deadLetters: (...args) => read('deadLetters', args),
    retryDeadLetters: keys => edit('retryDeadLetters', keys),
    dropDeadLetters: keys => edit('dropDeadLetters', keys),
    verify: () => through(verifyStill, verifyClosed),
    close: async () => {},
  };

  function read<Method extends 'summary' | 'exceptions' | 'undelivered' | 'retried' | 'deadLetters'>(
    method: Method,
    args: Parameters<Inquiry[Method]>,
  ): ReturnType<Inquiry[Method]> {
    return through(
      control => control.call(method, args.map(finite)) as never,
      () =>
        reading(connectToRead(path), db => {
          const inquiry = new SqliteInquiry(db, path, readKnown(db, signals));
          return (inquiry[method] as (...args: unknown[]) => never)(...args);
        }),
    ) as never;
  }

  function edit(
    method: 'retryDeadLetters' | 'dropDeadLetters',
    keys: readonly DeadLetterKey[],
  ): Promise<Settlement> {
    return through(
      control =>
        (control.call(method, [keys]) as Promise<Settlement>).catch(error => {
          if (!(error instanceof ControlLost)) throw error;
          throw new JournalUnusable(
            'the exporter ended meanwhile: what it did not do is still listed as a dead letter; ask again for that',
          );
        }),
      () => {
        // Opening an empty file to edit it would make it a journal.
        reading(connectToRead(path), () => {});
        const store = new SqliteStore(path, { signals, bytesMax, now: Date.now, report: ignore });
        store.openToEdit();
        try {
          return store[method](keys);
        } finally {
          store.closeEdited();
        }
      },
    );
  }

  async function verifyStill(control: Control): Promise<Verification> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const count = readCount(countPath(path));
      await control.call('keepStill', []);
      const verification = reading(connectToStill(path), db => verifyJournal(db, count));
      if (await control.call('endStill', [])) return verification;
    }
    throw new JournalUnusable(
      `${path} cannot be read as a whole while the exporter writes so much: try again later, or with a snapshot of it`,
    );
  }

  function verifyClosed(): Verification {
    const count = readCount(countPath(path));
    return reading(connectToRead(path), db => verifyJournal(db, count));
  }

  function reading<Result>({ db, close }: ReadConnection, ask: (db: DatabaseSync) => Result): Result {
    try {
      if (readFormat(db, path) !== null) return ask(db);
      throw new JournalUnusable(`${path} is empty: no exporter has made it a journal yet`);
    } finally {
      close();
    }
  }

  /** Asks the exporter, or else the file; where neither can be had, again, for as long as a start or a stop may take. */
  async function through<Result>(
    ask: (control: Control) => Promise<Result>,
    look: () => Result,
  ): Promise<Result> {
    const deadline = performance.now() + lockWaitMs;
    for (;;) {
      const control = await connectControl(controlPath(path)).catch((error: NodeJS.ErrnoException) => {
        throw new JournalUnusable(
          `${controlPath(path)} cannot be used (${error.code}): run this as the exporter's own user`,
        );
      });
      try {
        if (control !== null) return await ask(control);
        if (bytesOf(path) === null)
          throw new JournalUnusable(`${path} is not there: does JOURNAL name the journal?`);
        return look();
      } catch (error) {
        const isBetween = error instanceof ControlLost || error instanceof JournalBusy;
        if (!isBetween) throw explain(error, control !== null);
        if (performance.now() > deadline) throw new JournalUnusable(unreachableMessage(error));
        await delay(lookEveryMs);
      } finally {
        control?.close();
      }
    }
  }

  function explain(error: unknown, isOfExporter: boolean): unknown {
    const explained = explainOpenError(error, path);
    return isOfExporter && !(explained instanceof JournalUnusable)
      ? new JournalUnusable(`the exporter cannot answer: ${(error as Error).message}`)
      : explained;
  }

  function unreachableMessage(error: Error): string {
    return error instanceof ControlLost
      ? `${controlPath(path)} is there, and does not answer: too many commands at once, or an exporter that is stuck`
      : `${path} is in use, and nobody answers at ${controlPath(path)}: another command has it, or an exporter whose log says why it cannot be reached; try again, or stop that exporter first`;
  }
}

/** JSON has no `Infinity`. */
function finite(value: unknown): unknown {
  return value === Number.POSITIVE_INFINITY ? Number.MAX_SAFE_INTEGER : value;
}

/** What an exporter reports when it opens the journal is left for it to report. */
function ignore(_report: JournalReport): void {}
