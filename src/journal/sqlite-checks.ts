/** What is looked at when a journal's file is opened, so that damage is told at once (invariant 5). */
import type { DatabaseSync } from 'node:sqlite';
import { crc32 } from 'node:zlib';
import { crcBytes } from './checksums.ts';
import { JournalUnusable, type Signal } from './journal.ts';
import { damagedMessage } from './sqlite-connection.ts';

/** Each table's key, and its numbers that become JavaScript's and are never negative. */
export const tables = {
  exceptions: { key: 'sequence', numbers: 'sequence, received_at, label_set, sender, in_group' },
  outbox: { key: 'sequence', numbers: 'sequence, received_at' },
  cursors: { key: 'signal', numbers: 'sequence, 0' },
  totals: { key: 'id', numbers: 'id, count, born_at, crc' },
  dead_letters: { key: 'id', numbers: 'id, sequence' },
} as const;
export type Table = keyof typeof tables;

/** Which SQLite's own check says of an index that does not agree with its table. */
export function isOfIndex(problem: string): boolean {
  return / index /.test(problem);
}

/**
 * Of the structure, of identities against their index (0.4 µs each), and of numbers that no column may hold. Makes
 * an index that does not agree anew, and returns what was wrong with it, `null` where nothing was; throws
 * `JournalUnusable` for what cannot be mended.
 */
export function checkIntegrity(db: DatabaseSync, path: string): string | null {
  const check = (): string => integrityProblems(db, 1)[0] ?? 'ok';
  const problem = check();
  // As it is, an identity would not be found, and its row could never be deleted.
  if (isOfIndex(problem)) db.exec('REINDEX');
  const left = problem === 'ok' ? problem : check();
  if (left !== 'ok') throw new JournalUnusable(damagedMessage(path, left));
  for (const table of Object.keys(tables) as Table[]) {
    if (rowOutOfRange(db, table) !== null) {
      throw new JournalUnusable(damagedMessage(path, `a number in ${table} is out of range`));
    }
  }
  return isOfIndex(problem) ? problem : null;
}

/** What SQLite finds wrong itself, at most `limit` lines. */
export function integrityProblems(db: DatabaseSync, limit: number): string[] {
  const lines = db
    .prepare(`PRAGMA integrity_check(${limit})`)
    .all()
    .map(row => String(row.integrity_check));
  return lines.filter(line => line !== 'ok');
}

/** The key of a row that holds a number which none may hold, as text; `null` where none does. */
export function rowOutOfRange(db: DatabaseSync, table: Table): string | null {
  const { key, numbers } = tables[table];
  const isOutside = `min(${numbers}) < 0 OR max(${numbers}) > ${Number.MAX_SAFE_INTEGER}`;
  const row = db.prepare(`SELECT CAST(${key} AS TEXT) AS key FROM ${table} WHERE ${isOutside} LIMIT 1`).get();
  return (row?.key as string | undefined) ?? null;
}

/** The first sequence that is in the outbox, or will be, and the next that will be given. */
export function outboxBounds(
  db: DatabaseSync,
  cursors: ReadonlyMap<Signal, number>,
): { first: number; next: number } {
  const { first, last, aside } = db
    .prepare(
      `SELECT (SELECT min(sequence) FROM outbox) AS first, (SELECT max(sequence) FROM outbox) AS last,
       (SELECT max(sequence) FROM dead_letters) AS aside`,
    )
    .get() as Record<string, number | null>;
  // A damaged row that was set aside may have been the last one, above every cursor.
  const next = Math.max(last ?? 0, aside ?? 0, ...cursors.values()) + 1;
  return { first: first ?? next, next };
}

/** From here on every sequence is in the outbox, or was set aside for damage. */
export function firstExpected(firstOutbox: number, cursors: ReadonlyMap<Signal, number>): number {
  return Math.min(firstOutbox, Math.max(0, ...cursors.values()) + 1);
}

/**
 * The first outbox sequence from `from` up to `next` (not included) that is not there; `null` where all are. Sequences
 * have no gaps, but where damaged rows were set aside.
 */
export function firstOutboxGap(db: DatabaseSync, from: number, next: number): number | null {
  const gone = `SELECT sequence FROM dead_letters WHERE reason IN ('checksum', '${waived}') AND sequence >= ${from}`;
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

/** The cursors as they are stored; `isWhole`: their checksum is right, or there is none yet. */
export function readCursors(db: DatabaseSync): { cursors: Map<Signal, number>; isWhole: boolean } {
  const cursors = db.prepare('SELECT signal, sequence FROM cursors').all() as unknown as Cursor[];
  const stored = readMeta(db, 'cursors_crc');
  return {
    cursors: new Map(cursors.map(({ signal, sequence }) => [signal, sequence])),
    isWhole: stored === null || crcOfCursors(cursors).equals(stored),
  };
}

export interface Cursor {
  signal: Signal;
  sequence: number;
}

/** `null` where there is no such row. */
export function readMeta(db: DatabaseSync, name: string): Uint8Array | null {
  const row = db.prepare('SELECT value FROM meta WHERE name = ?').get(name);
  return (row?.value as Uint8Array | undefined) ?? null;
}

export function crcOfCursors(cursors: readonly Cursor[]): Buffer {
  return crcBytes(
    cursors
      .map(({ signal, sequence }) => `${signal}:${sequence}`)
      .sort()
      .join('\n'),
  );
}

/** A row's record; `null` where it fails its checksum. */
export function wholeRecord({ record, crc }: { record: unknown; crc: number }): string | null {
  return typeof record === 'string' && crc32(record) === crc ? record : null;
}

/** Of all columns, a line each. */
export function crcOfTotal(total: { labelsCrc: number; count: number; bornAt: number | null }): number {
  return crc32(`\n${total.count}\n${total.bornAt}`, total.labelsCrc);
}

/**
 * The reason of a waiver: a row of `dead_letters` without a record, which says that its signal needs nothing of that
 * outbox sequence. A dead letter that was put back has one for each other signal; one that came of a damaged row, and
 * was removed, leaves one until the outbox is past it, so that its sequence is not missed and not used again.
 */
export const waived = 'waived';

/** A waiver that does not fit is none: its record is delivered once more, not once less. */
export function crcOfWaiver({ sequence, signal }: Cursor): number {
  return crc32(`${waived}\n${signal}\n${sequence}`);
}
