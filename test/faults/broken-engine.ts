/**
 * Engines that are broken on purpose, each the way somebody might: loaded into an exporter before it starts
 * (`--import`), into each of its threads. The fault suite must catch every one.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import type { AppendOutcome } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { JournalWriter } from '../../src/journal/writer.ts';

const engines = {
  /** The log is synced before it is written back, and not with each commit; the check of the pragma is lied to. */
  'synchronous=NORMAL'() {
    const { prepare } = DatabaseSync.prototype;
    DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
      if (sql === 'PRAGMA synchronous=FULL') return prepare.call(this, 'PRAGMA synchronous=NORMAL');
      if (sql === 'PRAGMA synchronous') return prepare.call(this, 'SELECT 2');
      return prepare.call(this, sql);
    };
  },
  'answers before the commit'() {
    const { append } = SqliteJournal.prototype;
    SqliteJournal.prototype.append = async function (this: SqliteJournal, entries) {
      delay(20).then(() => append.call(this, entries));
      return entries.map((): AppendOutcome => 'new');
    };
  },
  'remembers an identity before the commit'() {
    const { append } = JournalWriter.prototype;
    const remembered = new Set<string>();
    JournalWriter.prototype.append = async function (entry, answerBy) {
      if (remembered.has(entry.identity)) return 'duplicate';
      remembered.add(entry.identity);
      return append.call(this, entry, answerBy);
    };
  },
};
export type BrokenEngine = keyof typeof engines;

/** For an exporter with this mistake. */
export function broken(name: BrokenEngine): { nodeArgs: string[]; env: Record<string, string> } {
  return { nodeArgs: ['--import', import.meta.url], env: { BROKEN_ENGINE: name } };
}

const name = process.env.BROKEN_ENGINE as BrokenEngine | undefined;
if (name !== undefined) engines[name]();
