/**
 * What people ask a journal in SQLite, answered from its file: by the exporter that has it open, and by a command while
 * none has. Only reads. The journal's thread answers between two commits, so each page is bounded.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { ExceptionLabels } from '../callback/exception.ts';
import { traceIdOf } from '../callback/record.ts';
import type {
  DeadLetter,
  JournalSummary,
  Order,
  Signal,
  StoredException,
  Total,
  UndeliveredRecord,
} from './journal.ts';
import { labelsOf } from './label-columns.ts';
import { type Cursor, crcOfWaiver, readCursors, waived, wholeRecord } from './sqlite-checks.ts';
import { bytesOf, logPath, schemaVersion } from './sqlite-connection.ts';

/** A page ends with the record that passes this, whatever its rows: one may have 256 KiB. */
const pageCharsMax = 256 * 1024;

/** What the file alone does not tell, or an exporter knows better. */
export interface Known {
  /** Those that are delivered. */
  signals: readonly Signal[];
  /** What a signal has acknowledged, durable or not. */
  cursorOf(signal: Signal): number;
  labelsOf(labelSet: number): ExceptionLabels | undefined;
  /** Above the sequences of all exceptions that may be told of. */
  confirmedNext(): number;
  exceptionCount(): number;
  totals(): Total[];
  dropped: JournalSummary['dropped'];
}

interface OutboxRow {
  sequence: number;
  received_at: number;
  record: string;
  crc: number;
}

interface DeadLetterRow extends Omit<OutboxRow, 'received_at'> {
  signal: Signal;
  reason: string;
}

export class SqliteInquiry {
  readonly #path: string;
  readonly #known: Known;
  readonly #statements: Statements;

  constructor(db: DatabaseSync, path: string, known: Known) {
    this.#path = path;
    this.#known = known;
    this.#statements = prepare(db);
  }

  summary(): JournalSummary {
    const { signals, totals, exceptionCount, dropped } = this.#known;
    const firstException = this.#statements.firstException.get() as { received_at: number } | undefined;
    return {
      format: schemaVersion,
      bytes: this.#bytes(),
      exceptions: exceptionCount(),
      exceptionsSince: firstException?.received_at ?? null,
      totals: totals(),
      undelivered: Object.fromEntries(signals.map(signal => [signal, this.#countUndelivered(signal)])),
      oldestUndeliveredAt: this.undelivered(0, 1, 'oldest_first')[0]?.receivedAt ?? null,
      deadLetters: this.#statements.deadLetterCounts.all().map(row => ({ ...row })) as never,
      dropped,
    };
  }

  exceptions(from: number, limit: number, order: Order = 'latest_first'): StoredException[] {
    const [statement, above, below] =
      order === 'latest_first'
        ? [this.#statements.exceptionsDown, 0, from]
        : [this.#statements.exceptionsUp, from, Number.POSITIVE_INFINITY];
    const rows = statement.iterate(above, Math.min(below, this.#known.confirmedNext()));
    const page: StoredException[] = [];
    for (const { sequence, identity, received_at, label_set } of rows as Iterable<ExceptionRow>) {
      if (page.length === limit) break;
      const labels = this.#known.labelsOf(label_set);
      // Without its label set it cannot be told; `verify` reports it.
      if (labels === undefined) continue;
      page.push({
        sequence,
        identity: Buffer.from(identity).toString('hex'),
        receivedAt: received_at,
        labels,
      });
    }
    return page;
  }

  undelivered(from: number, limit: number, order: Order = 'latest_first'): UndeliveredRecord[] {
    const rows =
      order === 'latest_first'
        ? this.#statements.outboxDown.iterate(this.#delivered(), from)
        : this.#statements.outboxUp.iterate(Math.max(from, this.#delivered()));
    return this.#page(rows, limit);
  }

  retried(from: number, limit: number): UndeliveredRecord[] {
    return this.#page(this.#statements.retriedUp.iterate(Math.max(from, this.#delivered())), limit);
  }

  deadLetters(from: number, limit: number): DeadLetter[] {
    const page: DeadLetter[] = [];
    let chars = 0;
    const rows = this.#statements.deadLettersUp.iterate(from) as Iterable<unknown>;
    for (const { sequence, signal, reason, record, crc } of rows as Iterable<DeadLetterRow>) {
      if (sequence !== page.at(-1)?.sequence && (page.length >= limit || chars > pageCharsMax)) break;
      chars += String(record).length;
      const whole = reason === 'checksum' ? null : wholeRecord({ record, crc });
      page.push({ sequence, signal, reason, record: whole, exception: this.#exceptionOf(whole) });
    }
    return page;
  }

  #page(rows: Iterable<unknown>, limit: number): UndeliveredRecord[] {
    const page: UndeliveredRecord[] = [];
    let chars = 0;
    for (const row of rows as Iterable<OutboxRow>) {
      if (page.length === limit || chars > pageCharsMax) break;
      const undelivered = this.#undeliveredRecord(row);
      if (undelivered.signals.length === 0) continue;
      chars += String(row.record).length;
      page.push(undelivered);
    }
    return page;
  }

  #undeliveredRecord({ sequence, received_at, record, crc }: OutboxRow): UndeliveredRecord {
    const { signals, cursorOf } = this.#known;
    const waivers = waiversIn(this.#statements.waivers, sequence, sequence).map(({ signal }) => signal);
    const whole = wholeRecord({ record, crc });
    return {
      sequence,
      receivedAt: received_at,
      record: whole,
      signals: signals.filter(signal => cursorOf(signal) < sequence && !waivers.includes(signal)),
      isRetried: waivers.length > 0,
      exception: this.#exceptionOf(whole),
    };
  }

  #exceptionOf(record: string | null): number | null {
    const traceId = record === null ? null : traceIdOf(record);
    if (traceId === null) return null;
    const row = this.#statements.selectIdentity.get(Buffer.from(traceId, 'hex')) as ExceptionRow | undefined;
    return row !== undefined && row.sequence < this.#known.confirmedNext() ? row.sequence : null;
  }

  /** The outbox sequence that every signal is past. */
  #delivered(): number {
    const { signals, cursorOf } = this.#known;
    return Math.min(...signals.map(cursorOf));
  }

  /** Sequences have no gaps, but where damaged rows were set aside; and some need not be delivered. */
  #countUndelivered(signal: Signal): number {
    const { first, last } = this.#statements.outboxBounds.get() as Record<string, number | null>;
    if (first === null || last === null) return 0;
    const cursor = Math.max(this.#known.cursorOf(signal), first! - 1);
    if (cursor >= last!) return 0;
    return last! - cursor - countNotWanted(this.#statements.notWanted, signal, cursor, last!);
  }

  #bytes(): JournalSummary['bytes'] {
    const { pages, free, size } = this.#statements.pages.get() as Record<string, number>;
    const log = bytesOf(logPath(this.#path)) ?? 0;
    return { inUse: (pages! - free!) * size! + log, file: bytesOf(this.#path) ?? 0, log };
  }
}

/** Of the sequences above `from` up to `upTo`, those that were never, or are no more, to be delivered to the signal. */
export function countNotWanted(statement: StatementSync, signal: Signal, from: number, upTo: number): number {
  return (statement.get(signal, from, upTo) as { count: number }).count;
}

/** The waivers of the sequences `from` to `to`. */
export function waiversIn(statement: StatementSync, from: number, to: number): Cursor[] {
  const rows = statement.all(from, to) as unknown as (Cursor & { crc: number })[];
  return rows.filter(row => row.crc === crcOfWaiver(row));
}

export const waiversSql = `
  SELECT sequence, signal, crc & 0xffffffff AS crc FROM dead_letters
  WHERE sequence BETWEEN ? AND ? AND reason = '${waived}'`;

export const notWantedSql = `
  SELECT count(*) AS count FROM dead_letters
  WHERE signal = ? AND sequence > ? AND sequence <= ? AND reason IN ('checksum', '${waived}')`;

/** What a file tells by itself, to a command that has opened it. */
export function readKnown(db: DatabaseSync, signals: readonly Signal[]): Known {
  const { cursors, isWhole } = readCursors(db);
  const labelSets = new Map<number, ExceptionLabels>();
  const totals: Total[] = [];
  for (const row of db.prepare('SELECT * FROM totals').all()) {
    const labels = labelsOf(row);
    labelSets.set(row.id as number, labels);
    totals.push({ labels, count: row.count as number, bornAt: row.born_at as number });
  }
  const count = db.prepare('SELECT count(*) AS count FROM exceptions');
  return {
    signals,
    // Where they are damaged, delivery begins again with the oldest record.
    cursorOf: signal => (isWhole ? (cursors.get(signal) ?? 0) : 0),
    labelsOf: labelSet => labelSets.get(labelSet),
    confirmedNext: () => Number.MAX_SAFE_INTEGER,
    exceptionCount: () => count.get()!.count as number,
    totals: () => totals,
    dropped: null,
  };
}

interface ExceptionRow {
  sequence: number;
  identity: Uint8Array;
  received_at: number;
  label_set: number;
}

type Statements = ReturnType<typeof prepare>;

function prepare(db: DatabaseSync) {
  const exceptions =
    'SELECT sequence, identity, received_at, label_set FROM exceptions WHERE sequence > ? AND sequence < ?';
  // Masked, since a damaged one may be larger than a number can be.
  const outbox = 'SELECT sequence, received_at, record, crc & 0xffffffff AS crc FROM outbox';
  return {
    exceptionsUp: db.prepare(`${exceptions} ORDER BY sequence`),
    exceptionsDown: db.prepare(`${exceptions} ORDER BY sequence DESC`),
    firstException: db.prepare('SELECT received_at FROM exceptions ORDER BY sequence LIMIT 1'),
    selectIdentity: db.prepare('SELECT sequence FROM exceptions WHERE identity = ?'),
    outboxUp: db.prepare(`${outbox} WHERE sequence > ? ORDER BY sequence`),
    outboxDown: db.prepare(`${outbox} WHERE sequence > ? AND sequence < ? ORDER BY sequence DESC`),
    outboxBounds: db.prepare(
      'SELECT (SELECT min(sequence) FROM outbox) AS first, (SELECT max(sequence) FROM outbox) AS last',
    ),
    retriedUp: db.prepare(
      `${outbox} WHERE sequence IN
         (SELECT sequence FROM dead_letters WHERE reason = '${waived}' AND sequence > ?) ORDER BY sequence`,
    ),
    waivers: db.prepare(waiversSql),
    notWanted: db.prepare(notWantedSql),
    deadLettersUp: db.prepare(
      `SELECT sequence, signal, reason, record, crc & 0xffffffff AS crc FROM dead_letters
       WHERE sequence > ? AND reason <> '${waived}' ORDER BY sequence, signal`,
    ),
    deadLetterCounts: db.prepare(
      `SELECT signal, reason, count(*) AS count FROM dead_letters WHERE reason <> '${waived}'
       GROUP BY signal, reason ORDER BY signal, count DESC, reason`,
    ),
    pages: db.prepare(
      `SELECT (SELECT page_count FROM pragma_page_count) AS pages,
       (SELECT freelist_count FROM pragma_freelist_count) AS free, (SELECT page_size FROM pragma_page_size) AS size`,
    ),
  };
}
