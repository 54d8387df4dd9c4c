/** What is looked at when a journal's file is opened, so that damage is told at once (invariant 5). */
import type { DatabaseSync } from 'node:sqlite';
import { JournalUnusable } from './journal.ts';

/** Numbers that become JavaScript's, and are never negative. */
const numberColumns = {
  exceptions: 'sequence, received_at, label_set, sender, in_group',
  outbox: 'sequence, received_at',
  cursors: 'sequence, 0',
  totals: 'id, count, born_at, crc',
  dead_letters: 'id, sequence',
};

/**
 * Of the structure, of identities against their index (0.4 µs each), and of numbers that no column may hold. Makes
 * an index that does not agree anew, and returns what was wrong with it, `null` where nothing was; throws
 * `JournalUnusable` for what cannot be mended.
 */
export function checkIntegrity(db: DatabaseSync, path: string): string | null {
  const check = (): string => db.prepare('PRAGMA integrity_check(1)').get()!.integrity_check as string;
  const problem = check();
  const isOfIndex = / index /.test(problem);
  // As it is, an identity would not be found, and its row could never be deleted.
  if (isOfIndex) db.exec('REINDEX');
  const left = problem === 'ok' ? problem : check();
  if (left !== 'ok') throw new JournalUnusable(damagedMessage(path, left));
  for (const [table, list] of Object.entries(numberColumns)) {
    const isOutside = `min(${list}) < 0 OR max(${list}) > ${Number.MAX_SAFE_INTEGER}`;
    if (db.prepare(`SELECT 1 FROM ${table} WHERE ${isOutside} LIMIT 1`).get() !== undefined) {
      throw new JournalUnusable(damagedMessage(path, `a number in ${table} is out of range`));
    }
  }
  return isOfIndex ? problem : null;
}

/**
 * The first outbox sequence from `from` up to `next` (not included) that is not there; `null` where all are. Sequences
 * have no gaps, but where damaged rows were set aside.
 */
export function firstOutboxGap(db: DatabaseSync, from: number, next: number): number | null {
  const gone = `SELECT sequence FROM dead_letters WHERE reason = 'checksum' AND sequence >= ${from}`;
  const { present } = db
    .prepare(
      `SELECT (SELECT count(*) FROM outbox) + count(DISTINCT sequence) AS present FROM (${gone})
       WHERE sequence NOT IN (SELECT sequence FROM outbox)`,
    )
    .get() as { present: number };
  if (present === next - from) return null;
  const { gap } = db
    .prepare(
      `WITH present(sequence) AS (SELECT ${from - 1} UNION SELECT sequence FROM outbox UNION ${gone})
       SELECT min(sequence) + 1 AS gap FROM present WHERE sequence + 1 NOT IN (SELECT sequence FROM present)`,
    )
    .get() as { gap: number };
  return gap;
}

export function damagedMessage(path: string, problem: string): string {
  return `${path} is damaged or not a SQLite file (${problem}); restore it from a backup, or move it away to start from zero`;
}
