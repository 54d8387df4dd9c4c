/**
 * Engines that are broken on purpose, each the way somebody might: loaded into an exporter before it starts
 * (`--import`), into each of its threads. The fault suite must catch every one.
 */
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { Gauge } from 'prom-client';
import type { AppendOutcome } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { JournalWriter, UnwrittenLimitReached } from '../../src/journal/writer.ts';
import { metricTable } from '../../src/metrics/table.ts';

const scrapeBlockedMs = 150;

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
  'drops one of those put aside'() {
    const { append } = SqliteJournal.prototype;
    let hasFailed = false;
    SqliteJournal.prototype.append = async function (this: SqliteJournal, entries) {
      const dropped = hasFailed ? 1 : 0;
      try {
        const outcomes = await append.call(this, entries.slice(dropped));
        hasFailed = false;
        return [...Array<AppendOutcome>(dropped).fill('new'), ...outcomes];
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    };
  },
  'says that it is up once one batch is written'() {
    const { set } = Gauge.prototype;
    let sayUp = () => {};
    Gauge.prototype.set = function (this: Gauge & { name: string }, ...values: unknown[]) {
      if (this.name === metricTable.journalUp.name) sayUp = () => set.call(this, 1);
      set.apply(this, values as [number]);
    };
    const { append } = SqliteJournal.prototype;
    SqliteJournal.prototype.append = async function (this: SqliteJournal, entries) {
      const outcomes = await append.call(this, entries);
      sayUp();
      return outcomes;
    };
  },
  'refuses instead of putting aside more'() {
    const { append } = JournalWriter.prototype;
    JournalWriter.prototype.append = async function (entry, answerBy) {
      if (this.unwrittenCount > 0) throw new UnwrittenLimitReached();
      return append.call(this, entry, answerBy);
    };
  },
  'takes what it cannot look up for a duplicate'() {
    const { known } = SqliteJournal.prototype;
    SqliteJournal.prototype.known = function (this: SqliteJournal, identities) {
      return known.call(this, identities).catch(() => identities.map(() => true));
    };
  },
  'looks nothing up'() {
    SqliteJournal.prototype.known = async identities => identities.map(() => false);
  },
  /** In the thread of scrapes. */
  'makes scrapes wait for the disk'() {
    const { append } = SqliteJournal.prototype;
    SqliteJournal.prototype.append = function (this: SqliteJournal, entries) {
      const stored = append.call(this, entries);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, scrapeBlockedMs);
      return stored;
    };
  },
  'answers when it is stored, however late'() {
    const { append } = JournalWriter.prototype;
    JournalWriter.prototype.append = function (entry) {
      return append.call(this, entry, Number.POSITIVE_INFINITY);
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
