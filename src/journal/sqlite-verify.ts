/**
 * Reads a whole journal, and says everything that is wrong with it (invariant 5). It changes nothing: what is mended, set
 * aside or reported when an exporter opens the file is left for that exporter.
 */
import type { DatabaseSync } from 'node:sqlite';
import { crcBytes } from './checksums.ts';
import { signals } from './journal.ts';
import { crcOfLabels, labelsOf } from './label-columns.ts';
import {
  crcOfTotal,
  crcOfWaiver,
  firstExpected,
  firstOutboxGap,
  integrityProblems,
  isOfIndex,
  outboxBounds,
  readCursors,
  readMeta,
  rowOutOfRange,
  type Table,
  tables,
  waived,
  wholeRecord,
} from './sqlite-checks.ts';
import { type Damage, newVerification, type Verification } from './verification.ts';

/** Of SQLite's own. */
const problemsMax = 100;

const refused = 'the exporter refuses to start on it: restore a backup, or move it away to start from zero';

/** `count`: what the count file said, read before `db` was opened. */
export function verifyJournal(db: DatabaseSync, count: number | 'damaged' | null): Verification {
  const verification = newVerification();
  const { checked } = verification;
  const tell = (damage: Damage): void => verification.tell(damage);
  /** What stops one check is damage itself, and stops no other. */
  const check = (table: Damage['table'], run: () => void): void => {
    try {
      run();
    } catch (error) {
      tell({ table, row: null, problem: `cannot be read (${(error as Error).message})`, meaning: refused });
    }
  };

  check('file', () => {
    for (const problem of integrityProblems(db, problemsMax)) {
      const [, row = null, table = 'file'] =
        /^row (\d+) missing from index sqlite_autoindex_(\w+)_\d+$/.exec(problem) ?? [];
      const meaning = isOfIndex(problem)
        ? 'the index is made anew when an exporter opens it; duplicates of some exceptions may have been counted'
        : refused;
      tell({ table: table as Table | 'file', row, problem, meaning });
    }
  });
  for (const table of Object.keys(tables) as Table[]) {
    check(table, () => {
      const row = rowOutOfRange(db, table);
      if (row !== null) tell({ table, row, problem: 'a number is out of range', meaning: refused });
    });
  }
  check('meta', () => {
    const [key, crc] = [readMeta(db, 'key'), readMeta(db, 'key_crc')];
    if (key !== null && crc !== null && crcBytes(key).equals(crc)) return;
    tell({
      table: 'meta',
      row: 'key',
      problem: 'fails its checksum',
      meaning:
        'hashes of users and trace IDs come out as others than before, and repeated exceptions count again',
    });
  });
  check('totals', () => checkTotals());
  check('exceptions', () => checkExceptions());
  check('cursors', () => {
    if (readCursors(db).isWhole) return;
    tell({
      table: 'cursors',
      row: null,
      problem: 'they fail their checksum',
      meaning: 'delivery begins again with the oldest record that is kept: some are delivered again',
    });
  });
  check('outbox', () => checkOutbox());
  check('dead_letters', () => checkDeadLetters());
  const { damages, damageCount } = verification;
  return { checked, damages, damageCount };

  function checkTotals(): void {
    let sum = 0;
    for (const row of db.prepare('SELECT * FROM totals').iterate()) {
      const total = { labelsCrc: crcOfLabels(labelsOf(row)), count: row.count as number };
      checked.totals += 1;
      sum += total.count;
      if (crcOfTotal({ ...total, bornAt: row.born_at as number }) === row.crc) continue;
      tell({
        table: 'totals',
        row: String(row.id),
        problem: 'fails its checksum',
        meaning: `its labels or its count, ${total.count}, are not what was stored; it is shown as it is read`,
      });
    }
    if (count === 'damaged') {
      tell({
        table: 'count',
        row: null,
        problem: 'fails its checksum',
        meaning:
          'nobody can tell whether exceptions are missing; it is made anew when an exporter opens the journal',
      });
    } else if (count !== null && count > sum) {
      tell({
        table: 'count',
        row: null,
        problem: `${count} exceptions were stored, and the totals hold ${sum}`,
        meaning: `${count - sum} exceptions are lost: the file or its log was damaged, cut, or replaced by an older one`,
      });
    }
  }

  function checkExceptions(): void {
    const rows = db
      .prepare(
        `SELECT label_set, count(*) AS kept, totals.count AS total FROM exceptions
         LEFT JOIN totals ON totals.id = label_set GROUP BY label_set`,
      )
      .iterate() as Iterable<unknown>;
    for (const row of rows as Iterable<{ label_set: number; kept: number; total: number | null }>) {
      checked.exceptions += row.kept;
      if (row.total !== null && row.total >= row.kept) continue;
      tell({
        table: 'totals',
        row: String(row.label_set),
        problem: `counts ${row.total ?? 'nothing'}, and ${row.kept} of its exceptions are kept`,
        meaning: `the counter is too low by ${row.kept - (row.total ?? 0)} at least`,
      });
    }
    const odd = db.prepare('SELECT sequence FROM exceptions WHERE length(identity) <> 16').iterate();
    for (const { sequence } of odd) {
      tell({
        table: 'exceptions',
        row: String(sequence),
        problem: 'its identity has not 16 bytes',
        meaning: 'the exception would count again if it were sent again',
      });
    }
  }

  function checkOutbox(): void {
    for (const row of db.prepare('SELECT sequence, record, crc & 0xffffffff AS crc FROM outbox').iterate()) {
      checked.records += 1;
      if (wholeRecord(row as { record: unknown; crc: number }) !== null) continue;
      tell({
        table: 'outbox',
        row: String(row.sequence),
        problem: 'fails its checksum',
        meaning: 'it is counted, and cannot be delivered; delivery sets it aside as a dead letter',
      });
    }
    const { cursors, isWhole } = readCursors(db);
    const { first, next } = outboxBounds(db, cursors);
    const gap = isWhole ? firstOutboxGap(db, firstExpected(first, cursors), next) : null;
    if (gap === null) return;
    tell({
      table: 'outbox',
      row: String(gap),
      problem: 'is not there',
      meaning: 'it is counted, and is not delivered; later ones may be missing, too',
    });
  }

  function checkDeadLetters(): void {
    const rows = db
      .prepare('SELECT id, sequence, signal, reason, record, crc & 0xffffffff AS crc FROM dead_letters')
      .iterate() as Iterable<unknown>;
    for (const row of rows as Iterable<DeadLetterRow>) {
      const id = `${row.sequence}-${row.signal}`;
      if (row.reason === waived) {
        if (row.crc === crcOfWaiver(row)) continue;
        tell({
          table: 'dead_letters',
          row: String(row.id),
          problem: 'fails its checksum',
          meaning: 'a record that was put back for one signal is delivered to the other, too',
        });
        continue;
      }
      checked.deadLetters += 1;
      const isKnown = (signals as readonly string[]).includes(row.signal);
      if (isKnown && wholeRecord(row) !== null) continue;
      tell({
        table: 'dead_letters',
        row: String(row.id),
        problem: isKnown ? 'fails its checksum' : 'names no signal',
        meaning: `the dead letter ${id} cannot be delivered again; drop it`,
      });
    }
  }
}

interface DeadLetterRow {
  id: number;
  sequence: number;
  signal: (typeof signals)[number];
  reason: string;
  record: string;
  crc: number;
}
