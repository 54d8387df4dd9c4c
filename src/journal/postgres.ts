/**
 * The journal in a PostgreSQL database, which several exporters may share. Its tables: postgres-schema.ts; its delivery
 * side: postgres-outbox.ts.
 *
 * An append is one statement, one round trip and one transaction. The unique identity decides which replica stored an
 * exception first; that one counts it, in totals of its own, so that the sum over replicas is exact. Identities are
 * inserted in their order, so that two replicas with the same ones cannot deadlock.
 *
 * A session is two connections to one server: one for appends, one for all else, so that no append waits for a question
 * of delivery's. The first one holds an advisory lock of the replica's name for as long as it lives: a second exporter of
 * that name would count on totals that are not its own, and is refused. When either connection is lost, both are given
 * up and a new session is made, on whichever host can be written then; until there is one, every call rejects.
 *
 * An append whose answer was lost may have been stored. Each row says which process stored it (`life`), and when
 * (`sequence`): appended again, what that very append stored is told as new, and is not added to the totals again.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { crc32 } from 'node:zlib';
import type { ExceptionLabels } from '../callback/exception.ts';
import {
  type AppendOutcome,
  type DeadLetter,
  type DeadLetterKey,
  identityRetentionMs,
  type Journal,
  type JournalContents,
  type JournalEntry,
  type JournalOptions,
  type JournalSummary,
  JournalUnusable,
  type Order,
  type OutboxRow,
  type RecentException,
  type Settlement,
  type Signal,
  type StoredException,
  type Total,
  type UndeliveredRecord,
} from './journal.ts';
import { labelColumns, labelsKey, labelsOf } from './label-columns.ts';
import { serveOutbox } from './outbox-port.ts';
import { PostgresInquiry } from './postgres-inquiry.ts';
import { orphanMs as orphanMsDefault, PostgresOutbox } from './postgres-outbox.ts';
import { expire } from './postgres-retention.ts';
import {
  batchStep,
  housekeepingLock,
  lockClass,
  migrate,
  readBytes,
  sequenceBase,
  slotOf,
} from './postgres-schema.ts';
import {
  AnswerLost,
  type Connection,
  connect,
  connectTo,
  isServerError,
  type Query,
} from './postgres-session.ts';
import { type PostgresLocation, parsePostgresUrl } from './postgres-url.ts';

/** Exceptions in one statement. */
const partMax = batchStep / 2;
/** Of a callback's 1,500 ms: one that waits for the batch before its own is still answered in time, from memory. */
const appendMs = 700;
/** On top of that, so that a batch of the longest message texts is not given up for ever: 8 MB a second. */
const bytesPerMs = 8 * 1024;

/** How long a start waits: for the database, and for the session of an exporter that has died to end. */
const openMsDefault = 20_000;
const openRetryMs = 250;
const reconnectFirstMs = 50;
const reconnectLastMs = 2_000;

/** How long acknowledgements wait to become durable. */
const keepHouseAfterMs = 200;
/** Between looks for free chunks that others left, for claims of the dead, for identities to let go. */
const offerEveryMs = 1_000;
const orphansEveryMs = 5_000;
const expireEveryMs = 60_000;
/** Statistics read tables that others write, too: at most so much of the time goes into them. */
const measureShareMax = 1 / 20;

/** Recent exceptions read at start, newest first: five minutes at 600 a second. */
const recentMax = 200_000;
const recentPage = 10_000;

export interface PostgresOptions extends JournalOptions {
  url: string;
  replica: string;
  /** How long another replica must have been gone before its claims are taken. */
  orphanMs?: number;
  /** How long a start waits for the database, and for its name. */
  openMs?: number;
}

/** Which process stored an exception, and when. */
interface Origin {
  life: number;
  sequence: number;
}

interface Session {
  appends: Connection;
  others: Connection;
}

export class PostgresJournal implements Journal {
  readonly isShared = true;
  readonly #options: PostgresOptions;
  readonly #location: PostgresLocation;
  readonly #outbox: PostgresOutbox;
  readonly #inquiry: PostgresInquiry;
  /** What the server calls this process: it ends its own lost sessions by it, and nobody else's. */
  readonly #name: string;
  #session: Session | null = null;
  #isClosed = false;
  /** Why there is no session. */
  #problem = 'not opened yet';
  #replica = 0;
  #life = 0;
  #areTotalsKnown = false;
  /** The sum of this replica's totals, as far as appends were answered. */
  #countedCount = 0;
  readonly #labelSets = new Map<string, number>();
  readonly #labelSetOf = new WeakMap<ExceptionLabels, number>();
  /**
   * Identities of appends whose answer was lost, until one of them is answered; for each the last sequence that was given
   * before: a row of this process above it was stored, and nobody was told.
   */
  readonly #untold = new Map<string, number>();
  #lastConfirmed = 0;
  readonly #timers: NodeJS.Timeout[] = [];
  #housekeeping: NodeJS.Timeout | undefined;
  /** On the clock of `performance.now()`. */
  #measureAt = 0;
  /** Something has changed since housekeeping began. */
  #isHouseDirty = false;

  constructor(options: PostgresOptions) {
    this.#options = options;
    const location = parsePostgresUrl(options.url);
    if (location === null) throw new JournalUnusable('JOURNAL is no postgres:// URL');
    this.#location = location;
    this.#outbox = new PostgresOutbox(options);
    this.#inquiry = new PostgresInquiry({
      ...options,
      connection: () => this.#currentSession().others,
      flush: () => this.#outbox.flush(),
      dropped: () => this.#outbox.dropped,
    });
    this.#name = `tencent-chat-exporter ${randomBytes(8).toString('hex')}`;
  }

  async open(recentSince: number): Promise<JournalContents> {
    const deadline = performance.now() + (this.#options.openMs ?? openMsDefault);
    let contents: JournalContents | undefined;
    while (contents === undefined) {
      try {
        contents = await this.#establish(recentSince);
      } catch (error) {
        this.#problem = (error as Error).message;
        const isFinal = error instanceof JournalUnusable && !(error instanceof NameTaken);
        if (isFinal || this.#isClosed) throw error;
        if (performance.now() > deadline) {
          throw error instanceof JournalUnusable ? error : new JournalUnusable(unreachable(this.#problem));
        }
        await delay(openRetryMs);
      }
    }
    const every = (ms: number, work: () => Promise<unknown>) =>
      this.#timers.push(setInterval(() => work().catch(() => {}), ms).unref());
    every(offerEveryMs, () => this.#outbox.offer());
    const { orphanMs = orphanMsDefault } = this.#options;
    every(Math.min(orphansEveryMs, orphanMs), () => this.#outbox.freeOrphans(orphanMs));
    every(expireEveryMs, async () => expire(this.#currentSession().others, this.#options.now()));
    return contents;
  }

  async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    const outcomes = new Array<AppendOutcome>(entries.length).fill('duplicate');
    const seen = new Set<string>();
    const first: number[] = [];
    for (const [index, { identity }] of entries.entries()) {
      if (!seen.has(identity)) first.push(index);
      seen.add(identity);
    }
    for (let start = 0; start < first.length; start += partMax) {
      const part = first.slice(start, start + partMax);
      const news = await this.#appendPart(part.map(index => entries[index]!));
      for (const position of news) outcomes[part[position]!] = 'new';
    }
    return outcomes;
  }

  async known(identities: readonly string[]): Promise<boolean[]> {
    const stored = await this.#lookUp(this.#currentSession().others, identities);
    return identities.map(identity => {
      const row = stored.get(identity);
      return row !== undefined && !this.#isUntold(identity, row);
    });
  }

  summary(): Promise<JournalSummary> {
    return this.#inquiry.summary();
  }

  exceptions(from: number, limit: number, order?: Order): Promise<StoredException[]> {
    return this.#inquiry.exceptions(from, limit, order);
  }

  undelivered(from: number, limit: number, order?: Order): Promise<UndeliveredRecord[]> {
    return this.#inquiry.undelivered(from, limit, order);
  }

  retried(from: number, limit: number): Promise<UndeliveredRecord[]> {
    return this.#inquiry.retried(from, limit);
  }

  deadLetters(from: number, limit: number): Promise<DeadLetter[]> {
    return this.#inquiry.deadLetters(from, limit);
  }

  async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    const settlement = await this.#inquiry.retryDeadLetters(keys);
    await this.#outbox.offer();
    this.#keepHouseSoon();
    return settlement;
  }

  dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#inquiry.dropDeadLetters(keys);
  }

  outboxPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    serveOutbox(port1, this);
    port1.unref();
    return port2;
  }

  async cursors(): Promise<Record<Signal, number>> {
    return this.#outbox.cursors();
  }

  read(after: number, limit: number): Promise<OutboxRow[]> {
    return this.#outbox.read(after, limit);
  }

  waitBeyond(after: number): Promise<void> {
    return this.#outbox.waitBeyond(after);
  }

  async acknowledge(signal: Signal, upTo: number): Promise<void> {
    this.#outbox.acknowledge(signal, upTo);
    this.#keepHouseSoon();
  }

  deadLetter(signal: Signal, row: OutboxRow, reason: string): Promise<void> {
    return this.#outbox.deadLetter(signal, row, reason);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#housekeeping);
    const session = this.#session;
    this.#session = null;
    if (session === null) return;
    try {
      await this.#outbox.flush();
    } finally {
      this.#outbox.detach();
      await Promise.all([session.others.close(), session.appends.close()]);
    }
  }

  /** Returns the positions of those that are new. */
  async #appendPart(entries: JournalEntry[]): Promise<number[]> {
    const session = this.#currentSession();
    const { appends } = session;
    await this.#nameLabelSets(appends, entries);
    const startedAt = performance.now();
    const { values, bytes } = this.#pack(entries);
    const withinMs = appendMs + bytes / bytesPerMs;
    const left = () => Math.max(1, withinMs - (performance.now() - startedAt));
    try {
      const [row] = await appends.query(appendStatement, values, left());
      const news: number[] = row!.positions;
      if (this.#untold.size > 0) news.push(...(await this.#storedUntold(appends, entries, news, left())));
      this.#lastConfirmed = row!.number + partMax;
      this.#countedCount += news.length;
      this.#keepHouseSoon();
      if (news.length > 0 && bytes > 0) this.#outbox.offer();
      return news;
    } catch (error) {
      // An error of the server's own undoes the transaction. Anything else leaves open what has become of it.
      if (error instanceof AnswerLost) this.#leaveUntold(entries);
      // 25006: it has become a standby, or read-only. Another host may be writable.
      if (isServerError(error) && error.code === '25006') this.#giveUp(session, error);
      throw error;
    }
  }

  #pack(entries: JournalEntry[]): { values: unknown[]; bytes: number } {
    const records = entries.map(({ record }) => (record === null ? null : Buffer.from(record)));
    const blob = Buffer.concat(records.filter(record => record !== null));
    const starts: number[] = [];
    let end = 1;
    for (const record of records) {
      starts.push(end);
      end += record?.length ?? 0;
    }
    const values = [
      this.#replica,
      this.#life,
      this.#options.now(),
      arrayOf(entries.map(({ identity }) => identity)),
      arrayOf(entries.map(({ identity }) => slotOf(identity))),
      arrayOf(entries.map(({ receivedAt }) => receivedAt)),
      arrayOf(entries.map(({ labels }) => this.#labelSetOf.get(labels)!)),
      arrayOf(entries.map(({ senderHash }) => senderHash)),
      arrayOf(entries.map(({ groupHash }) => groupHash)),
      blob,
      arrayOf(starts),
      arrayOf(records.map(record => record?.length ?? -1)),
      arrayOf(records.map(record => (record === null ? 0 : crc32(record)))),
    ];
    return { values, bytes: blob.length };
  }

  /** Positions of those that an append of this process stored whose answer was lost; they are told now. */
  async #storedUntold(
    appends: Connection,
    entries: JournalEntry[],
    news: number[],
    withinMs: number,
  ): Promise<number[]> {
    const isNew = new Set(news);
    const open = entries.filter(({ identity }, index) => !isNew.has(index) && this.#untold.has(identity));
    // Stored, and not told if this question fails.
    this.#leaveUntold(entries);
    const stored = open.length === 0 ? new Map() : await this.#lookUp(appends, identitiesOf(open), withinMs);
    const ours = new Set(
      identitiesOf(open).filter(identity => this.#isUntold(identity, stored.get(identity))),
    );
    for (const { identity } of entries) this.#untold.delete(identity);
    return entries.flatMap(({ identity }, index) => (ours.has(identity) ? [index] : []));
  }

  #leaveUntold(entries: JournalEntry[]): void {
    for (const { identity } of entries) {
      if (!this.#untold.has(identity)) this.#untold.set(identity, this.#lastConfirmed);
    }
  }

  #isUntold(identity: string, row: Origin | undefined): boolean {
    const confirmed = this.#untold.get(identity);
    return confirmed !== undefined && row?.life === this.#life && row.sequence > confirmed;
  }

  /** Those that are stored and not expired. */
  async #lookUp(
    connection: Connection,
    identities: readonly string[],
    withinMs?: number,
  ): Promise<Map<string, Origin>> {
    // One index lookup each, whatever the planner thinks of the tables' sizes.
    const rows = await connection.query(
      `SELECT found.* FROM unnest($1::smallint[], $2::uuid[]) AS wanted (slot, identity),
       LATERAL (
         SELECT identity, life, sequence FROM exceptions
         WHERE slot = wanted.slot AND identity = wanted.identity AND received_at >= $3 LIMIT 1
       ) AS found`,
      [arrayOf(identities.map(slotOf)), arrayOf(identities), this.#options.now() - identityRetentionMs],
      withinMs,
    );
    return new Map(rows.map(row => [row.identity.replaceAll('-', ''), row as unknown as Origin]));
  }

  /** Each set has one number for all replicas. Those that are new are named in one order, so that none can deadlock. */
  async #nameLabelSets(connection: Connection, entries: JournalEntry[]): Promise<void> {
    const unnamed = new Map<string, ExceptionLabels>();
    for (const { labels } of entries) {
      if (this.#labelSetOf.has(labels)) continue;
      const key = labelsKey(labels);
      if (!this.#labelSets.has(key)) unnamed.set(key, labels);
    }
    if (unnamed.size > 0) {
      const sets = [...unnamed.values()];
      await connection.query(
        `INSERT INTO label_sets (${labelColumns.join(', ')}, crc)
         SELECT * FROM unnest(${labelColumns.map((_, index) => `$${index + 1}::text[]`).join(', ')}, $7::bigint[])
         ORDER BY 1, 2, 3, 4, 5, 6 ON CONFLICT DO NOTHING`,
        [
          ...labelColumns.map(name => sets.map(labels => labels[name])),
          arrayOf([...unnamed.keys()].map(key => crc32(key))),
        ],
        appendMs,
      );
      await this.#readLabelSets(connection);
    }
    for (const { labels } of entries) {
      if (!this.#labelSetOf.has(labels))
        this.#labelSetOf.set(labels, this.#labelSets.get(labelsKey(labels))!);
    }
  }

  /** Makes a session, and takes over what the database knows. Leaves nothing open when it rejects. */
  async #establish(recentSince: number): Promise<JournalContents> {
    const { connection: appends, host } = await connect(this.#location, this.#name);
    let others: Connection | undefined;
    try {
      others = await connectTo(this.#location, host, this.#name);
      const key = await migrate(others);
      await this.#endLostSessions(appends, others);
      await this.#takeName(appends);
      await this.#readLabelSets(others);
      const totals = await this.#readTotals(others);
      const recent = this.#areTotalsKnown ? [] : await this.#readRecent(others, recentSince);
      await this.#outbox.attach(others, this.#replica);
      if (this.#isClosed) throw new Error('the journal was closed');
      const session = { appends, others };
      this.#areTotalsKnown = true;
      this.#session = session;
      for (const connection of [appends, others]) {
        connection.closed.then(error => this.#giveUp(session, error));
      }
      this.#keepHouseSoon();
      return { key, totals, recent };
    } catch (error) {
      appends.destroy();
      others?.destroy();
      this.#outbox.detach();
      throw error;
    }
  }

  /**
   * After a network was cut the server may still keep sessions of this process, and with them its name and whatever an
   * unanswered append has locked. A role may end sessions of its own.
   */
  async #endLostSessions(appends: Connection, others: Connection): Promise<void> {
    const [own] = await appends.query('SELECT pg_backend_pid() AS pid');
    const [other] = await others.query('SELECT pg_backend_pid() AS pid');
    await appends.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE application_name = $1 AND usename = current_user AND pid NOT IN ($2, $3)`,
      [this.#name, own!.pid, other!.pid],
    );
  }

  async #takeName(appends: Connection): Promise<void> {
    const { replica } = this.#options;
    const select = 'SELECT id FROM replicas WHERE name = $1';
    const [known] = await appends.query(select, [replica]);
    if (known === undefined) {
      const [next] = await appends.query("SELECT nextval('replica_ids') AS id");
      const base = sequenceBase(next!.id);
      await appends.query(
        `INSERT INTO replicas (id, name, next_sequence, delivered, traces, logs)
         VALUES ($1, $2, $3::bigint + 1, $3, $3, $3) ON CONFLICT DO NOTHING`,
        [next!.id, replica, base],
      );
    }
    const [row] = await appends.query(select, [replica]);
    this.#replica = row!.id;
    const [lock] = await appends.query('SELECT pg_try_advisory_lock($1, $2) AS is_ours', [
      lockClass,
      this.#replica,
    ]);
    if (!lock!.is_ours) throw new NameTaken(replica);
    if (this.#life !== 0) return;
    const [life] = await appends.query('INSERT INTO lives (replica) VALUES ($1) RETURNING id', [
      this.#replica,
    ]);
    this.#life = life!.id;
  }

  async #readLabelSets(others: Connection): Promise<void> {
    for (const row of await others.query('SELECT * FROM label_sets')) {
      const key = labelsKey(labelsOf(row));
      if (crc32(key) !== row.crc && !this.#areTotalsKnown) this.#reportDamage(row.id);
      this.#labelSets.set(key, row.id);
    }
  }

  /** Those of this replica. A database that holds less than it has acknowledged says so. */
  async #readTotals(others: Connection): Promise<Total[]> {
    const rows = await others.query(
      'SELECT * FROM totals JOIN label_sets ON label_sets.id = label_set WHERE replica = $1',
      [this.#replica],
    );
    for (const { count, mirror, label_set } of rows) {
      if (count !== -mirror && !this.#areTotalsKnown) this.#reportDamage(label_set);
    }
    const countedCount = rows.reduce((sum, { count }) => sum + count, 0);
    const missing = this.#countedCount - countedCount;
    if (missing > 0) this.#options.report({ type: 'lost', count: missing });
    // What it holds beyond was stored by an append whose answer was lost, and is told when that is repeated.
    if (!this.#areTotalsKnown || missing > 0) this.#countedCount = countedCount;
    return rows.map(row => ({ labels: labelsOf(row), count: row.count, bornAt: row.born_at }));
  }

  /** What this replica stored. The order of storage is about that of receipt. */
  async #readRecent(others: Connection, since: number): Promise<RecentException[]> {
    const recent: RecentException[] = [];
    let before = Number.MAX_SAFE_INTEGER;
    while (recent.length < recentMax) {
      const rows = await others.query(
        `SELECT sequence, received_at, sender, in_group, error_category, replica
         FROM exceptions JOIN lives ON lives.id = life JOIN label_sets ON label_sets.id = label_set
         WHERE sequence < $1 ORDER BY sequence DESC LIMIT ${recentPage}`,
        [before],
      );
      const inTime = rows.filter(({ received_at }) => received_at >= since);
      for (const row of inTime) {
        if (row.replica !== this.#replica) continue;
        recent.push({
          receivedAt: row.received_at,
          errorCategory: row.error_category,
          senderHash: row.sender,
          groupHash: row.in_group,
        });
      }
      if (inTime.length === 0 || rows.length < recentPage) break;
      before = rows.at(-1)!.sequence;
    }
    return recent.reverse();
  }

  #reportDamage(row: number): void {
    this.#options.report({ type: 'damage', table: 'totals', row, deadLettered: [] });
  }

  #currentSession(): Session {
    if (this.#session === null) throw new Error(unreachable(this.#problem));
    return this.#session;
  }

  /** Ends the session, and makes another as soon as there is a server to make it with. */
  #giveUp(session: Session, reason: Error): void {
    if (this.#session !== session) return;
    this.#session = null;
    this.#problem = reason.message;
    this.#outbox.detach();
    session.appends.destroy(reason);
    session.others.destroy(reason);
    this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    for (let waitMs = reconnectFirstMs; !this.#isClosed; waitMs = Math.min(waitMs * 2, reconnectLastMs)) {
      // Spread, so that replicas do not all come back in the same moment.
      await delay(waitMs * (0.5 + Math.random()), undefined, { ref: false });
      if (this.#isClosed) return;
      try {
        await this.#establish(0);
        return;
      } catch (error) {
        this.#problem = (error as Error).message;
      }
    }
  }

  /** After a burst of work: what costs too much to do with each append. A failure shows in the next append, too. */
  #keepHouseSoon(): void {
    this.#isHouseDirty = true;
    if (this.#isClosed) return;
    this.#housekeeping ??= setTimeout(async () => {
      this.#isHouseDirty = false;
      await this.#keepHouse().catch(() => {});
      this.#housekeeping = undefined;
      if (this.#isHouseDirty) this.#keepHouseSoon();
    }, keepHouseAfterMs).unref();
  }

  async #keepHouse(): Promise<void> {
    await this.#outbox.flush();
    const startedAt = performance.now();
    if (startedAt < this.#measureAt) {
      this.#isHouseDirty = true;
      return;
    }
    await this.#measure();
    const tookMs = performance.now() - startedAt;
    this.#measureAt = startedAt + tookMs / measureShareMax;
  }

  /** Drops what is too much, and reports what is left. */
  async #measure(): Promise<void> {
    const { others } = this.#currentSession();
    const ask: Query = (text, values) => others.query(text, values);
    let bytes = await readBytes(ask);
    if (bytes > this.#options.bytesMax) {
      // One at a time, or each would drop what is too much.
      const [lock] = await others.query('SELECT pg_try_advisory_lock($1, $2) AS is_ours', housekeeping);
      try {
        while (lock!.is_ours && bytes > this.#options.bytesMax && (await this.#outbox.dropOldest())) {
          bytes = await readBytes(ask);
        }
      } finally {
        if (lock!.is_ours) await others.query('SELECT pg_advisory_unlock($1, $2)', housekeeping);
      }
    }
    const { events, oldestReceivedAt } = await this.#outbox.backlog();
    const [kept] = await others.query(
      'SELECT coalesce(sum(count), 0)::bigint AS count FROM slots WHERE replica = $1',
      [this.#replica],
    );
    this.#options.report({
      type: 'stats',
      stats: { bytes, events: kept!.count, backlogEvents: events, oldestUndeliveredAt: oldestReceivedAt },
    });
  }
}

/** Another exporter runs under our name. */
class NameTaken extends JournalUnusable {
  constructor(replica: string) {
    super(
      `another exporter runs as "${replica}" on this journal; every exporter that shares one needs a REPLICA of its own`,
    );
  }
}

/**
 * $1 replica, $2 life, $3 now, then one a column: $4 identities, $5 slots, $6 received at, $7 label sets, $8 senders,
 * $9 groups; $10 all records, one after the other, $11 where each starts in it (from 1 on), $12 its length (-1: none),
 * $13 its CRC. No identity twice. Answers with the positions of those that are new.
 *
 * Where none is, something is written all the same: what is there already may be a transaction that no standby has yet
 * (its session was ended while it waited), and a commit that writes waits for all before it.
 */
export const appendStatement = {
  name: 'append',
  text: `
    WITH batch AS MATERIALIZED (
      SELECT nextval('batches') AS number
    ), stored AS (
      INSERT INTO exceptions (identity, sequence, received_at, sender, in_group, label_set, life, slot)
      SELECT identity, number + position - 1, received_at, sender, in_group, label_set, $2::integer, slot
      FROM batch, unnest($4::uuid[], $5::smallint[], $6::bigint[], $7::integer[], $8::bigint[], $9::bigint[])
        WITH ORDINALITY AS entry (identity, slot, received_at, label_set, sender, in_group, position)
      ORDER BY identity
      ON CONFLICT DO NOTHING
      RETURNING (sequence % ${batchStep})::integer AS position, slot, label_set, received_at
    ), counted AS (
      INSERT INTO totals AS total (replica, label_set, count, mirror, born_at)
      SELECT $1::integer, label_set, count(*), -count(*), $3::bigint FROM stored GROUP BY label_set
      ON CONFLICT (replica, label_set) DO UPDATE
        SET count = total.count + excluded.count, mirror = total.mirror + excluded.mirror
    ), kept AS (
      INSERT INTO slots AS kept (slot, replica, count, newest_received_at)
      SELECT slot, $1::integer, count(*), max(received_at) FROM stored GROUP BY slot
      ON CONFLICT (slot, replica) DO UPDATE SET count = kept.count + excluded.count,
        newest_received_at = greatest(kept.newest_received_at, excluded.newest_received_at)
    ), delivered AS (
      INSERT INTO outbox (id, author, count, bytes, received_at, lengths, crcs, records)
      SELECT (SELECT number FROM batch), $1::integer, count(*), sum(length), array_agg(received_at), array_agg(length), array_agg(crc),
        string_agg(substring($10::bytea FROM start FOR length), '')
      FROM (
        SELECT received_at, ($11::integer[])[position + 1] AS start, ($12::integer[])[position + 1] AS length,
          ($13::bigint[])[position + 1] AS crc
        FROM stored ORDER BY position
      ) AS record
      WHERE length >= 0 HAVING count(*) > 0
    ), touched AS (
      UPDATE replicas SET touched = touched + 1 WHERE id = $1::integer AND NOT EXISTS (SELECT FROM stored)
    )
    SELECT (SELECT number FROM batch) AS number, coalesce(array_agg(position), '{}') AS positions FROM stored`,
};

const housekeeping = [lockClass, housekeepingLock];

/** Of numbers, and of identities: nothing that must be quoted. */
function arrayOf(values: readonly (number | string)[]): string {
  return `{${values.join(',')}}`;
}

function identitiesOf(entries: readonly JournalEntry[]): string[] {
  return entries.map(({ identity }) => identity);
}

function unreachable(problem: string): string {
  return `the database cannot be used: ${problem}`;
}
