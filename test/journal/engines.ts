/** The engines, as the conformance suite takes them. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Journal, JournalOptions, JournalReport } from '../../src/journal/journal.ts';
import { MemoryJournal } from '../../src/journal/memory.ts';
import { PostgresJournal } from '../../src/journal/postgres.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import type { Postgres } from '../support/postgres.ts';
import type { Check, OpenedJournal, OpenOptions } from './conformance.ts';
import { newDirectory } from './fixtures.ts';

/** Creates a journal that keeps what it keeps in the directory. */
export type Engine = (directory: string, options: JournalOptions) => Journal;

export const sqlite: Engine = (directory, options) => new SqliteJournal(pathIn(directory), options);

export const memory: Engine = (_directory, options) => new MemoryJournal(options);

export interface PostgresEngine {
  engine: Engine;
  damageOutboxRow: (directory: string, sequence: number) => void;
}

/** For each directory a database of its own. */
export function inPostgres(server: Postgres, Journal = PostgresJournal): PostgresEngine {
  const databases = new Map<string, string>();
  const databaseOf = (directory: string): string => {
    if (!databases.has(directory)) {
      const name = `journal${databases.size + 1}`;
      server.querySync(`CREATE DATABASE ${name}`, 'postgres');
      databases.set(directory, name);
    }
    return databases.get(directory)!;
  };
  return {
    engine: (directory, options) =>
      new Journal({ ...options, url: server.url(databaseOf(directory)), replica: 'one' }),
    damageOutboxRow: (directory, sequence) =>
      server.querySync(
        `UPDATE tencent_chat.outbox
         SET records = set_byte(records, (SELECT sum(length) FROM unnest(lengths[:${sequence} - first_sequence + 1]) AS length)::integer - 1, 33)
         WHERE first_sequence <= ${sequence} AND ${sequence} < first_sequence + count`,
        databaseOf(directory),
      ),
  };
}

/** Runs one check against a new journal of the engine, and leaves nothing open. */
export async function runCheck(
  check: Check,
  engine: Engine,
  damage: PostgresEngine['damageOutboxRow'] = (path, sequence) => damageOutboxRow(pathIn(path), sequence),
): Promise<void> {
  const directory = newDirectory();
  let journal: OpenedJournal | undefined;
  try {
    await check.run({
      async open(options) {
        journal = await open(engine, directory.path, options);
        return journal;
      },
      damageOutboxRow: sequence => damage(directory.path, sequence),
    });
  } finally {
    await journal?.close().catch(() => {});
    directory.remove();
  }
}

/** Changes the last character of a record, and leaves its CRC as it was. */
export function damageOutboxRow(path: string, sequence: number): void {
  const db = new DatabaseSync(path);
  const { changes } = db
    .prepare("UPDATE outbox SET record = substr(record, 1, length(record) - 1) || '!' WHERE sequence = ?")
    .run(sequence);
  db.close();
  if (changes !== 1) throw new Error(`there is no row ${sequence} to damage`);
}

export function pathIn(directory: string): string {
  return join(directory, 'journal.db');
}

async function open(
  engine: Engine,
  directory: string,
  { signals = ['traces', 'logs'], bytesMax = 2 ** 30, recentSince = 0 }: OpenOptions = {},
): Promise<OpenedJournal> {
  const reports: JournalReport[] = [];
  const unseen: JournalReport[] = [];
  let wake = () => {};
  const journal = engine(directory, {
    signals,
    bytesMax,
    now: Date.now,
    report(report) {
      reports.push(report);
      unseen.push(report);
      wake();
    },
  });
  const contents = await journal.open(recentSince);
  async function reported(type: JournalReport['type']): Promise<JournalReport> {
    for (;;) {
      for (let report = unseen.shift(); report !== undefined; report = unseen.shift()) {
        if (report.type === type) return report;
      }
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    }
  }
  return Object.assign(journal, { contents, reports, reported }) as OpenedJournal;
}
