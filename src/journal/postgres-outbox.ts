/**
 * The delivery side of a PostgreSQL journal. Replicas share one outbox; each sees its own claims as an outbox of its own.
 *
 * The outbox holds chunks: the records that one append stored. A replica claims the oldest free ones when its delivery
 * asks for more (`FOR UPDATE SKIP LOCKED`: two that claim at once get different ones), and gives their records the next
 * numbers of its own. By these its delivery goes: sequences without gaps, a cursor for each signal. No cursor ever stands
 * in the common order, in which transactions come to light later than their numbers say. A chunk is deleted when every
 * enabled signal is past it.
 *
 * Claims and cursors are the replica's, not the process's: after a restart it goes on where it was. Those of a replica
 * that nobody runs as any more are freed by the others after `orphanMs`, and then claimed like any: that is the one case,
 * beside a crash between delivery and its note, in which a record may be delivered twice.
 */
import { crc32 } from 'node:zlib';
import { deadLettersMax, type JournalOptions, type OutboxRow, type Signal, signals } from './journal.ts';
import { type ChunkRecord, chunkRecords } from './postgres-chunk.ts';
import { lockClass } from './postgres-schema.ts';
import type { Connection, Row } from './postgres-session.ts';
import { Waiters } from './waiters.ts';

/** How long the replica of a claim must have been gone: longer than a restart takes, and the wait for a dead session. */
export const orphanMs = 30_000;
/** Records claimed at a time when delivery waits: one batch of it. */
const claimRecords = 512;
/** Chunks looked at for one claim. */
const claimChunks = 64;
/** Chunks kept decoded: each signal reads them, a large one in two batches. */
const chunksRemembered = 4;

/** A chunk that is ours. Its record `i` has the sequence `first + i`. */
interface Claim {
  id: number;
  first: number;
  /** Milliseconds since the Unix epoch, one a record. */
  receivedAt: number[];
  /** Positions that are not to be delivered: damaged, or delivered by whoever had the chunk before. */
  aside: Set<number>;
  /** A dead letter that was put back is for its signal alone. */
  only: Signal | undefined;
}

export class PostgresOutbox {
  readonly #options: Pick<JournalOptions, 'signals' | 'report'>;
  #connection: Connection | null = null;
  #replica = 0;
  /** In order of sequence. */
  #claims: Claim[] = [];
  #nextSequence = 1;
  #cursors: Record<Signal, number> = { traces: 0, logs: 0 };
  #areCursorsDurable = true;
  /** Records given up for want of room since the start. */
  readonly dropped: Partial<Record<Signal, number>>;
  readonly #chunks = new Map<number, Promise<ChunkRecord[]>>();
  /** One claim at a time, so that none takes more than is asked for. */
  #claiming: Promise<unknown> = Promise.resolve();
  readonly #waiters = new Waiters(after => this.#hasBeyond(after));
  /** Replicas with claims and without a session, and since when that is known, on the clock of `performance.now()`. */
  #orphans = new Map<number, number>();

  constructor(options: Pick<JournalOptions, 'signals' | 'report'>) {
    this.#options = options;
    this.dropped = Object.fromEntries(options.signals.map(signal => [signal, 0]));
  }

  /** Takes over what the database holds for this replica. Cursors may be further than there. */
  async attach(connection: Connection, replica: number): Promise<void> {
    const [row] = await connection.query(
      'SELECT next_sequence, delivered, traces, logs, cursors_crc FROM replicas WHERE id = $1',
      [replica],
    );
    const claims = await connection.query(
      'SELECT id, first_sequence, aside, received_at, only_signal FROM outbox WHERE claimant = $1 ORDER BY first_sequence',
      [replica],
    );
    this.#connection = connection;
    this.#replica = replica;
    this.#chunks.clear();
    this.#orphans.clear();
    this.#claims = claims.map(toClaim);
    this.#nextSequence = row!.next_sequence;
    let delivered = row!.delivered;
    if (row!.cursors_crc !== null && row!.cursors_crc !== crcOfCursors(row as Cursors & Row)) {
      // One that is too high would take records with it that were not delivered.
      this.#options.report({ type: 'damage', table: 'cursors', row: replica, deadLettered: [] });
      delivered = (this.#claims[0]?.first ?? this.#nextSequence) - 1;
      for (const signal of signals) row![signal] = delivered;
    }
    for (const signal of signals) {
      const stored: number = this.#isEnabled(signal) ? Math.max(row![signal], delivered) : row![signal];
      this.#cursors[signal] = Math.max(stored, this.#cursors[signal]);
    }
    this.#areCursorsDurable = false;
    this.#waiters.wake();
  }

  detach(): void {
    this.#connection = null;
  }

  cursors(): Record<Signal, number> {
    return { ...this.#cursors };
  }

  async read(after: number, limit: number): Promise<OutboxRow[]> {
    for (;;) {
      while (this.#countBeyond(after) < limit && (await this.#claim(limit - this.#countBeyond(after))) > 0);
      const rows: OutboxRow[] = [];
      const damaged: { claim: Claim; positions: number[] }[] = [];
      for (const claim of this.#claimsBeyond(after)) {
        if (rows.length >= limit) break;
        const records = await this.#chunk(claim);
        const positions = positionsBeyond(claim, Math.max(after, this.#delivered()));
        const bad = positions.filter(position => records[position]!.isDamaged);
        if (bad.length > 0) damaged.push({ claim, positions: bad });
        for (const position of positions.slice(0, limit - rows.length)) {
          const row = { sequence: claim.first + position, record: records[position]!.bytes.toString() };
          rows.push(claim.only === undefined ? row : { ...row, only: claim.only });
        }
      }
      if (damaged.length === 0) return rows;
      for (const { claim, positions } of damaged) await this.#setAside(claim, positions);
    }
  }

  waitBeyond(after: number): Promise<void> {
    const wait = this.#waiters.waitBeyond(after);
    this.offer();
    return wait;
  }

  /** Moves the cursor; that becomes durable with the next `flush`. */
  acknowledge(signal: Signal, upTo: number): void {
    if (upTo <= this.#cursors[signal]) return;
    this.#cursors[signal] = upTo;
    this.#areCursorsDurable = false;
  }

  async deadLetter(signal: Signal, { sequence, record }: OutboxRow, reason: string): Promise<void> {
    await this.#writeDeadLetter(signal, sequence, Buffer.from(record), reason);
  }

  /** Claims for whoever waits, if there is anything free: after an append, and every now and then. Never rejects. */
  async offer(): Promise<void> {
    if (this.#waiters.isAnyone && this.#connection !== null) await this.#claim(claimRecords).catch(() => {});
  }

  /** Makes cursors durable, and deletes what every enabled signal is past. */
  async flush(): Promise<void> {
    if (this.#areCursorsDurable) return;
    const delivered = this.#delivered();
    const cursors = { ...this.#cursors };
    const done = this.#claims.filter(claim => countBeyond(claim, delivered) === 0);
    this.#areCursorsDurable = true;
    try {
      await this.#ask(
        `WITH moved AS (
           UPDATE replicas SET delivered = $2, traces = $3, logs = $4, cursors_crc = $5 WHERE id = $1
         )
         DELETE FROM outbox WHERE id = ANY ($6::bigint[]) AND claimant = $1`,
        [
          this.#replica,
          Math.min(delivered, this.#nextSequence - 1),
          cursors.traces,
          cursors.logs,
          crcOfCursors(cursors),
          done.map(({ id }) => id),
        ],
      );
    } catch (error) {
      this.#areCursorsDurable = false;
      throw error;
    }
    for (const { id } of done) this.#chunks.delete(id);
    this.#claims = this.#claims.filter(claim => !done.includes(claim));
  }

  /** Our part of what is undelivered: our claims, and what we stored and nobody has claimed. */
  async backlog(): Promise<{ events: number; oldestReceivedAt: number | null }> {
    const [free] = await this.#ask(
      `SELECT coalesce(sum(count), 0)::bigint AS events, min(received_at[1]) AS oldest FROM outbox
       WHERE claimant IS NULL AND author = $1`,
      [this.#replica],
    );
    const delivered = this.#delivered();
    let events: number = free!.events;
    let oldest: number | null = free!.oldest;
    for (const claim of this.#claims) events += countBeyond(claim, delivered);
    const [first] = this.#claimsBeyond(delivered);
    if (first !== undefined) {
      const times = positionsBeyond(first, delivered).map(position => first.receivedAt[position]!);
      oldest = Math.min(oldest ?? Number.POSITIVE_INFINITY, ...times);
    }
    return { events, oldestReceivedAt: oldest };
  }

  /** Drops the oldest chunk that is ours or free, and reports it. `false` where there is none. */
  async dropOldest(): Promise<boolean> {
    // Cursors first, so that nothing counts as dropped that was delivered.
    await this.flush();
    if (this.#claims.length === 0) await this.#claim(1);
    const [oldest] = this.#claims;
    if (oldest === undefined) return false;
    const last = oldest.first + oldest.receivedAt.length - 1;
    const dropped = this.#signalsOf(oldest).map(signal => ({
      signal,
      count: countBeyond(oldest, this.#cursors[signal]),
    }));
    for (const signal of this.#options.signals) this.acknowledge(signal, last);
    if (this.#options.signals.length === 0) {
      await this.#ask('DELETE FROM outbox WHERE id = $1 AND claimant = $2', [oldest.id, this.#replica]);
      this.#claims = this.#claims.slice(1);
    }
    await this.flush();
    for (const { signal, count } of dropped) {
      if (count === 0) continue;
      this.dropped[signal] = (this.dropped[signal] ?? 0) + count;
      this.#options.report({ type: 'dropped', signal, count });
    }
    return true;
  }

  /** Frees the claims of replicas that have had no session for `afterMs`. */
  async freeOrphans(afterMs: number): Promise<void> {
    const rows = await this.#ask(
      `SELECT DISTINCT claimant FROM outbox WHERE claimant <> $1 AND NOT EXISTS (
         SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted
           AND classid = $2::oid AND objid = claimant::oid
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`,
      [this.#replica, lockClass],
    );
    const now = performance.now();
    this.#orphans = new Map(rows.map(({ claimant }) => [claimant, this.#orphans.get(claimant) ?? now]));
    for (const [claimant, since] of this.#orphans) {
      if (now - since < afterMs) continue;
      await this.#connection?.transact(async query => {
        // While this is held nobody can begin to run as that replica.
        const [lock] = await query('SELECT pg_try_advisory_xact_lock($1, $2) AS is_ours', [
          lockClass,
          claimant,
        ]);
        if (!lock!.is_ours) return;
        await query(
          `UPDATE outbox SET claimant = NULL, first_sequence = NULL, aside = aside || ARRAY (
             SELECT generate_series(0, least(count - 1, delivered - first_sequence))::integer)
           FROM replicas WHERE claimant = $1 AND replicas.id = $1`,
          [claimant],
        );
      });
    }
  }

  /** Those that a chunk's records are for, of the enabled ones. */
  #signalsOf({ only }: Claim): Signal[] {
    return this.#options.signals.filter(signal => (only ?? signal) === signal);
  }

  #isEnabled(signal: Signal): boolean {
    return this.#options.signals.includes(signal);
  }

  /** The sequence that every enabled signal is past. */
  #delivered(): number {
    if (this.#options.signals.length === 0) return 0;
    return Math.min(...this.#options.signals.map(signal => this.#cursors[signal]));
  }

  #claimsBeyond(after: number): Claim[] {
    const beyond = Math.max(after, this.#delivered());
    return this.#claims.filter(claim => countBeyond(claim, beyond) > 0);
  }

  #countBeyond(after: number): number {
    const beyond = Math.max(after, this.#delivered());
    return this.#claims.reduce((sum, claim) => sum + countBeyond(claim, beyond), 0);
  }

  #hasBeyond(after: number): boolean {
    const beyond = Math.max(after, this.#delivered());
    return this.#claims.some(claim => countBeyond(claim, beyond) > 0);
  }

  /** Claims the oldest free chunks, until they hold so many records. Returns how many they hold. */
  #claim(records: number): Promise<number> {
    const claim = this.#claiming.then(async () => {
      const rows = await this.#ask(
        `WITH free AS (
           SELECT id, count FROM outbox WHERE claimant IS NULL ORDER BY id LIMIT least($2::integer, ${claimChunks})
           FOR UPDATE SKIP LOCKED
         ), numbered AS (
           SELECT id, count, sum(count) OVER (ORDER BY id) - count AS before FROM free
         ), taken AS (
           SELECT id, count, before FROM numbered WHERE before < $2::integer
         ), given AS (
           UPDATE replicas SET next_sequence = next_sequence + (SELECT sum(count) FROM taken)
           WHERE id = $1 AND EXISTS (SELECT FROM taken)
           RETURNING next_sequence - (SELECT sum(count) FROM taken) AS first
         )
         UPDATE outbox SET claimant = $1, first_sequence = given.first + taken.before FROM taken, given
         WHERE outbox.id = taken.id
         RETURNING outbox.id, outbox.first_sequence, outbox.aside, outbox.received_at, outbox.only_signal`,
        [this.#replica, records],
      );
      const claims = rows.map(toClaim).sort((a, b) => a.first - b.first);
      this.#claims.push(...claims);
      const last = claims.at(-1);
      if (last === undefined) return 0;
      this.#nextSequence = last.first + last.receivedAt.length;
      // One may hold nothing more that is to be delivered, and can go at once.
      this.#areCursorsDurable = false;
      this.#waiters.wake();
      return claims.reduce((sum, { receivedAt }) => sum + receivedAt.length, 0);
    });
    this.#claiming = claim.catch(() => {});
    return claim;
  }

  #chunk(claim: Claim): Promise<ChunkRecord[]> {
    const known = this.#chunks.get(claim.id);
    if (known !== undefined) return known;
    const chunk = this.#readChunk(claim);
    this.#chunks.set(claim.id, chunk);
    if (this.#chunks.size > chunksRemembered) this.#chunks.delete(this.#chunks.keys().next().value!);
    chunk.catch(() => this.#chunks.delete(claim.id));
    return chunk;
  }

  async #readChunk({ id, receivedAt }: Claim): Promise<ChunkRecord[]> {
    const allDamaged = receivedAt.map(() => ({ bytes: Buffer.alloc(0), isDamaged: true }));
    let row: Row | undefined;
    try {
      [row] = await this.#ask('SELECT lengths, crcs, records FROM outbox WHERE id = $1', [id]);
    } catch (error) {
      // XX001: it cannot even be read, such as where its compression is damaged.
      if ((error as { code?: string }).code === 'XX001') return allDamaged;
      throw error;
    }
    if (row === undefined) throw new Error(`chunk ${id} of the outbox is gone`);
    return chunkRecords(row, receivedAt.length) ?? allDamaged;
  }

  /** Damaged records: dead letters of those signals that are not past them. */
  async #setAside(claim: Claim, positions: number[]): Promise<void> {
    const pending = (position: number): Signal[] =>
      this.#signalsOf(claim).filter(signal => claim.first + position > this.#cursors[signal]);
    const records = await this.#chunk(claim);
    for (const position of positions) {
      for (const signal of pending(position)) {
        await this.#writeDeadLetter(signal, claim.first + position, records[position]!.bytes, 'checksum');
      }
    }
    await this.#ask('UPDATE outbox SET aside = aside || $2::integer[] WHERE id = $1', [claim.id, positions]);
    for (const position of positions) {
      claim.aside.add(position);
      this.#options.report({
        type: 'damage',
        table: 'outbox',
        row: claim.first + position,
        deadLettered: pending(position),
      });
    }
    this.#areCursorsDurable = false;
  }

  async #writeDeadLetter(signal: Signal, sequence: number, record: Buffer, reason: string): Promise<void> {
    await this.#ask(
      `WITH written AS (
         INSERT INTO dead_letters (replica, sequence, signal, reason, record, crc)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING RETURNING id
       )
       DELETE FROM dead_letters WHERE EXISTS (SELECT FROM written)
         AND id <= (SELECT id FROM dead_letters ORDER BY id DESC OFFSET ${deadLettersMax - 1} LIMIT 1)`,
      [this.#replica, sequence, signal, reason, record, crc32(record)],
    );
  }

  async #ask(text: string, values: unknown[]): Promise<Row[]> {
    if (this.#connection === null) throw new Error('the database cannot be reached');
    return this.#connection.query(text, values);
  }
}

type Cursors = Record<Signal, number>;

function toClaim({ id, first_sequence, aside, received_at, only_signal }: Row): Claim {
  const only = only_signal ?? undefined;
  return { id, first: first_sequence, receivedAt: received_at, aside: new Set(aside), only };
}

/** How many records above the sequence are to be delivered. */
function countBeyond(claim: Claim, after: number): number {
  const { first, receivedAt, aside } = claim;
  if (aside.size > 0) return positionsBeyond(claim, after).length;
  return Math.max(0, receivedAt.length - Math.max(0, after - first + 1));
}

/** Their positions, in order. */
function positionsBeyond({ first, receivedAt, aside }: Claim, after: number): number[] {
  const positions: number[] = [];
  for (let position = Math.max(0, after - first + 1); position < receivedAt.length; position += 1) {
    if (!aside.has(position)) positions.push(position);
  }
  return positions;
}

export function crcOfCursors({ traces, logs }: Cursors): number {
  return crc32(`${traces}:${logs}`);
}
