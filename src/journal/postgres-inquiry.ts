/**
 * What people ask a journal in PostgreSQL, of all its replicas: asked by an exporter on its own connection, and by a
 * command on one of the command's. What an exporter knows better, how far its delivery is, it makes durable before.
 *
 * Undelivered records are in the order of `batches`, which is that of their exceptions, whoever has claimed them.
 */
import { crc32 } from 'node:zlib';
import { receivedAtOf, traceIdOf } from '../callback/record.ts';
import {
  type DeadLetter,
  type DeadLetterKey,
  type Inquiry,
  type JournalReport,
  type JournalSummary,
  type LeftReason,
  type Order,
  pageRowsMax,
  reportSettled,
  type Settlement,
  type Signal,
  type StoredException,
  type UndeliveredRecord,
} from './journal.ts';
import { labelColumns, labelsOf } from './label-columns.ts';
import { chunkRecords } from './postgres-chunk.ts';
import { batchStep, readBytes, schemaVersion, slotOf } from './postgres-schema.ts';
import type { Connection, Query, Row } from './postgres-session.ts';

export interface PostgresInquiryOptions {
  /** Those that are delivered. */
  signals: readonly Signal[];
  now(): number;
  report(report: JournalReport): void;
  /** The connection for the next question; throws where there is none. */
  connection(): Connection;
  /** Makes durable what this process alone knows. */
  flush(): Promise<void>;
  dropped(): JournalSummary['dropped'];
}

export class PostgresInquiry implements Inquiry {
  readonly #options: PostgresInquiryOptions;

  constructor(options: PostgresInquiryOptions) {
    this.#options = options;
  }

  async summary(): Promise<JournalSummary> {
    await this.#options.flush();
    return this.#options.connection().transact(async query => {
      // One state of the database, or a total and its exceptions could differ.
      await query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
      const [sizes] = await query(
        `SELECT (SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r')::bigint AS file,
           (SELECT coalesce(sum(count), 0) FROM slots)::bigint AS kept,
           (SELECT received_at FROM exceptions ORDER BY sequence LIMIT 1) AS since`,
      );
      const totals = await query(
        `SELECT ${labelColumns.join(', ')}, count, born_at, name AS replica
         FROM totals JOIN label_sets ON label_sets.id = label_set JOIN replicas ON replicas.id = replica
         ORDER BY replica, label_set`,
      );
      const deadLetters = await query(
        `SELECT signal, reason, count(*) AS count FROM dead_letters GROUP BY signal, reason
         ORDER BY signal, count DESC`,
      );
      return {
        format: schemaVersion,
        bytes: { inUse: await readBytes(query), file: sizes!.file, log: 0 },
        exceptions: sizes!.kept,
        exceptionsSince: sizes!.since,
        totals: totals.map(row => ({
          labels: labelsOf(row),
          count: row.count,
          bornAt: row.born_at,
          replica: row.replica,
        })),
        ...(await this.#undeliveredCounts(query)),
        deadLetters: deadLetters as JournalSummary['deadLetters'],
        dropped: this.#options.dropped(),
      };
    });
  }

  async exceptions(from: number, limit: number, order: Order = 'latest_first'): Promise<StoredException[]> {
    const [where, direction] = order === 'latest_first' ? ['<', 'DESC'] : ['>', 'ASC'];
    const rows = await this.#query(
      `SELECT sequence, identity, received_at, ${labelColumns.join(', ')}
       FROM exceptions JOIN label_sets ON label_sets.id = label_set
       WHERE sequence ${where} $1 ORDER BY sequence ${direction} LIMIT $2`,
      [finite(from), Math.min(limit, pageRowsMax)],
    );
    return rows.map(row => ({
      sequence: row.sequence,
      identity: row.identity.replaceAll('-', ''),
      receivedAt: row.received_at,
      labels: labelsOf(row),
    }));
  }

  async undelivered(
    from: number,
    limit: number,
    order: Order = 'latest_first',
  ): Promise<UndeliveredRecord[]> {
    return this.#records(from, limit, order, '');
  }

  async retried(from: number, limit: number): Promise<UndeliveredRecord[]> {
    return this.#records(from, limit, 'oldest_first', 'AND only_signal IS NOT NULL');
  }

  async deadLetters(from: number, limit: number): Promise<DeadLetter[]> {
    const rowsMax = Math.min(limit, pageRowsMax);
    const rows = await this.#query(
      `SELECT sequence, signal, reason, record, crc FROM dead_letters
       WHERE sequence > $1 ORDER BY sequence, signal LIMIT $2`,
      [from, rowsMax + 1],
    );
    // All of one sequence, or none; there are no more than two.
    const isSplit = rows[rowsMax]?.sequence === rows[rowsMax - 1]?.sequence;
    const letters = rows.slice(0, isSplit ? rowsMax + 1 : rowsMax).map(row => ({
      sequence: row.sequence as number,
      signal: row.signal as Signal,
      reason: row.reason as string,
      record: row.reason === 'checksum' ? null : wholeRecord(row),
    }));
    return this.#withExceptions(letters);
  }

  retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#settle(keys, 'dead_letters_retried', async (query, rows) => {
      const records = rows.map(({ record }) => record as Buffer);
      await query(
        `INSERT INTO outbox (id, author, only_signal, count, bytes, received_at, lengths, crcs, records)
         SELECT nextval('batches'), author, signal, 1, length(record), ARRAY[received_at], ARRAY[length(record)],
           ARRAY[crc], record
         FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
           AS letter (author, signal, received_at, crc, record)`,
        [
          rows.map(({ replica }) => replica),
          rows.map(({ signal }) => signal),
          records.map(record => receivedAtOf(record.toString()) ?? this.#options.now()),
          rows.map(({ crc }) => crc),
          records,
        ],
      );
    });
  }

  dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#settle(keys, 'dead_letters_removed', null);
  }

  async #query(text: string, values: unknown[] = []): Promise<Row[]> {
    return this.#options.connection().query(text, values);
  }

  async #records(from: number, limit: number, order: Order, also: string): Promise<UndeliveredRecord[]> {
    await this.#options.flush();
    const isUp = order === 'oldest_first';
    const page: Omit<UndeliveredRecord, 'exception'>[] = [];
    let beyond = finite(from);
    while (page.length < Math.min(limit, pageRowsMax)) {
      // Chunk by chunk: one may be large. Of the first only a part may be beyond.
      const [chunk] = await this.#query(
        `SELECT outbox.*, replicas.traces, replicas.logs FROM outbox LEFT JOIN replicas ON replicas.id = claimant
         WHERE ${isUp ? `outbox.id > $1::bigint - ${batchStep} AND outbox.id + count - 1 > $1` : 'outbox.id < $1'} ${also}
         ORDER BY outbox.id ${isUp ? 'ASC' : 'DESC'} LIMIT 1`,
        [beyond],
      );
      if (chunk === undefined) break;
      const records = this.#recordsOf(chunk).filter(({ sequence }) =>
        isUp ? sequence > beyond : sequence < beyond,
      );
      page.push(...(isUp ? records : records.reverse()));
      beyond = isUp ? chunk.id + chunk.count - 1 : chunk.id;
    }
    return this.#withExceptions(page.slice(0, Math.min(limit, pageRowsMax)));
  }

  /** Those of a chunk that some signal lacks. */
  #recordsOf(chunk: Row): Omit<UndeliveredRecord, 'exception'>[] {
    const aside = new Set<number>(chunk.aside);
    const only: Signal | null = chunk.only_signal;
    const records = chunkRecords(chunk, chunk.count);
    return (chunk.received_at as number[]).flatMap((receivedAt, position) => {
      const { bytes, isDamaged } = records?.[position] ?? { isDamaged: true };
      const lacking = this.#options.signals.filter(
        signal =>
          (only ?? signal) === signal &&
          (chunk.claimant === null || chunk.first_sequence + position > chunk[signal]),
      );
      if (aside.has(position) || lacking.length === 0) return [];
      return {
        sequence: chunk.id + position,
        receivedAt,
        record: isDamaged ? null : bytes!.toString(),
        signals: lacking,
        isRetried: only !== null,
      };
    });
  }

  /** Each with the sequence of its exception. */
  async #withExceptions<Item extends { record: string | null }>(
    items: Item[],
  ): Promise<(Item & { exception: number | null })[]> {
    const identities = items.map(({ record }) => (record === null ? null : traceIdOf(record)));
    const known = identities.filter(identity => identity !== null);
    const rows =
      known.length === 0
        ? []
        : await this.#query(
            `SELECT found.* FROM unnest($1::smallint[], $2::uuid[]) AS wanted (slot, identity),
             LATERAL (
               SELECT identity, sequence FROM exceptions
               WHERE slot = wanted.slot AND identity = wanted.identity LIMIT 1
             ) AS found`,
            [known.map(slotOf), known],
          );
    const sequences = new Map(rows.map(row => [row.identity.replaceAll('-', ''), row.sequence]));
    return items.map((item, index) => ({ ...item, exception: sequences.get(identities[index]) ?? null }));
  }

  async #undeliveredCounts(
    query: Query,
  ): Promise<Pick<JournalSummary, 'undelivered' | 'oldestUndeliveredAt'>> {
    const undelivered: Partial<Record<Signal, number>> = {};
    let oldestUndeliveredAt: number | null = null;
    for (const signal of this.#options.signals) {
      // By the chunk, and by the record only where a part of it is delivered or set aside.
      const [row] = await query(
        `SELECT coalesce(sum(waiting.count), 0)::bigint AS count, min(waiting.oldest) AS oldest
         FROM outbox LEFT JOIN replicas ON replicas.id = claimant, LATERAL (
           SELECT count(*) AS count, min(received_at[position + 1]) AS oldest
           FROM generate_series(greatest(0, coalesce(replicas.${signal} - first_sequence + 1, 0)), count - 1) AS position
           WHERE position <> ALL (aside)
         ) AS waiting
         WHERE coalesce(only_signal, $1) = $1`,
        [signal],
      );
      undelivered[signal] = row!.count;
      if (row!.oldest !== null)
        oldestUndeliveredAt = Math.min(oldestUndeliveredAt ?? row!.oldest, row!.oldest);
    }
    return { undelivered, oldestUndeliveredAt };
  }

  /** In one transaction. Without `putBack` those that are there are removed, whatever they are. */
  async #settle(
    keys: readonly DeadLetterKey[],
    type: 'dead_letters_retried' | 'dead_letters_removed',
    putBack: ((query: Query, rows: Row[]) => Promise<unknown>) | null,
  ): Promise<Settlement> {
    const settlement = await this.#options.connection().transact(async query => {
      const rows = await query(
        `SELECT id, replica, letter.sequence, letter.signal, reason, record, crc
         FROM dead_letters AS letter, unnest($1::bigint[], $2::text[]) AS key (sequence, signal)
         WHERE letter.sequence = key.sequence AND letter.signal = key.signal
         ORDER BY id FOR UPDATE OF letter`,
        [keys.map(({ sequence }) => sequence), keys.map(({ signal }) => signal)],
      );
      const done: DeadLetterKey[] = [];
      const left: Settlement['left'] = [];
      const chosen: Row[] = [];
      for (const key of keys) {
        const row = rows.find(({ sequence, signal }) => sequence === key.sequence && signal === key.signal);
        const why = this.#whyLeft(row, putBack !== null);
        if (why === null && !chosen.includes(row!)) {
          done.push(key);
          chosen.push(row!);
        } else left.push({ ...key, why: why ?? 'unknown' });
      }
      if (chosen.length > 0) {
        await query('DELETE FROM dead_letters WHERE id = ANY ($1::bigint[])', [chosen.map(({ id }) => id)]);
        await putBack?.(query, chosen);
      }
      return { done, left };
    });
    reportSettled(type, settlement, this.#options.report);
    return settlement;
  }

  #whyLeft(row: Row | undefined, isPutBack: boolean): LeftReason | null {
    if (row === undefined) return 'unknown';
    if (!isPutBack) return null;
    if (row.reason === 'checksum' || wholeRecord(row) === null) return 'damaged';
    return this.#options.signals.includes(row.signal) ? null : 'signal_off';
  }
}

/** `null`: its CRC-32 is wrong. */
export function wholeRecord({ record, crc }: Row): string | null {
  return crc32(record) === crc ? record.toString() : null;
}

/** PostgreSQL's integers have no `Infinity`. */
function finite(sequence: number): number {
  return Math.min(sequence, Number.MAX_SAFE_INTEGER);
}
