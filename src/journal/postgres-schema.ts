/**
 * The tables of a PostgreSQL journal, schema `tencent_chat`, format 1:
 *
 *   meta         the format, and the key of all hashes
 *   replicas     one row a `REPLICA`: how far its delivery is, which numbers it has given to records
 *   lives        one row a process that ran as a replica
 *   label_sets   the label sets, for all replicas
 *   totals       one row a replica and label set: how many distinct exceptions it stored first, since when
 *   exceptions   one row an exception, its identity unique; in 33 partitions
 *   slots        one row a partition and replica: how many exceptions, the time of the newest
 *   outbox       one row a chunk: the records that one append stored, until all signals have delivered them; or a dead
 *                letter that was put back, for one signal alone. Their order is that of `batches`
 *   dead_letters what was refused for good or came back damaged, the last `deadLettersMax`
 *
 * Partitions. An identity is unique over all exceptions only if the partition follows from it: it begins with the time
 * of its event, and partition `n` of 32 holds the hours that leave `n` when divided by 32. It is emptied (TRUNCATE: no
 * bloat, no vacuum, a lock on this partition alone) once its newest exception is older than `identityRetentionMs`, hours
 * before it is needed again. Nothing is created or dropped at run time, so that a role will do which owns nothing. What
 * has no plausible time is in partition 32; it, and what comes late again and again, is deleted row by row.
 */
import { randomBytes } from 'node:crypto';
import { crcBytes } from './checksums.ts';
import { JournalUnusable } from './journal.ts';
import { labelColumns } from './label-columns.ts';
import { type Connection, type Query, schemaName } from './postgres-session.ts';

export const schemaVersion = 1;

/** "tcex" in ASCII: the first half of the numbers of our advisory locks. */
export const lockClass = 0x74636578;
/** The second half; a replica's own is its number, from 1 on. */
export const schemaLock = 0;
export const housekeepingLock = -1;

const hourMs = 60 * 60 * 1000;
/** One more than the 25 h that identities are kept, one for the slot's own length, and six to come round to emptying. */
export const ringSlots = 32;
export const oddSlot = ringSlots;
/** Before 2016 there was no Tencent Cloud Chat; what claims to be from then has no time. */
const plausibleFrom = Date.UTC(2016);

/** The partition of an identity: the same for everyone, whenever it comes. */
export function slotOf(identity: string): number {
  const eventTime = Number.parseInt(identity.slice(0, 12), 16);
  return eventTime < plausibleFrom ? oddSlot : Math.floor(eventTime / hourMs) % ringSlots;
}

/**
 * What numbers the records of a replica's outbox begin after: they are its own, and are dead letters' names, so that no
 * two replicas may give the same.
 */
export function sequenceBase(replica: number): number {
  return (replica - 1) * 2 ** 40;
}

export function partitionName(slot: number): string {
  return `exceptions_${String(slot).padStart(2, '0')}`;
}

/** Between the numbers of two batches; each of its exceptions, and of its records, has a number of its own. */
export const batchStep = 2_048;

const migrations: readonly string[] = [
  `
  CREATE SEQUENCE replica_ids;
  CREATE TABLE replicas (
    id integer PRIMARY KEY, name text NOT NULL UNIQUE, next_sequence bigint NOT NULL, delivered bigint NOT NULL,
    traces bigint NOT NULL, logs bigint NOT NULL, cursors_crc bigint,
    touched bigint NOT NULL DEFAULT 0
  ) WITH (fillfactor = 50);
  CREATE TABLE lives (
    id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY, replica integer NOT NULL REFERENCES replicas,
    started_at timestamptz NOT NULL DEFAULT now()
  );
  CREATE TABLE label_sets (
    id integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    ${labelColumns.map(name => `${name} text NOT NULL`).join(', ')}, crc bigint NOT NULL,
    UNIQUE (${labelColumns.join(', ')})
  );
  CREATE TABLE totals (
    replica integer NOT NULL, label_set integer NOT NULL, count bigint NOT NULL,
    mirror bigint NOT NULL, born_at bigint NOT NULL, PRIMARY KEY (replica, label_set)
  ) WITH (fillfactor = 50);
  COMMENT ON COLUMN totals.mirror IS '-count: tells a damaged one, which a checksum made by the exporter cannot';
  CREATE TABLE exceptions (
    identity uuid NOT NULL, sequence bigint NOT NULL, received_at bigint NOT NULL, sender bigint NOT NULL,
    in_group bigint NOT NULL, label_set integer NOT NULL, life integer NOT NULL, slot smallint NOT NULL,
    PRIMARY KEY (slot, identity)
  ) PARTITION BY LIST (slot);
  CREATE INDEX ON exceptions (sequence);
  ${Array.from({ length: ringSlots + 1 }, (_, slot) => `CREATE TABLE ${partitionName(slot)} PARTITION OF exceptions FOR VALUES IN (${slot});`).join('\n  ')}
  CREATE SEQUENCE batches INCREMENT ${batchStep} START ${batchStep};
  CREATE TABLE slots (
    slot smallint NOT NULL, replica integer NOT NULL, count bigint NOT NULL, newest_received_at bigint NOT NULL,
    PRIMARY KEY (slot, replica)
  ) WITH (fillfactor = 50);
  CREATE TABLE outbox (
    id bigint PRIMARY KEY, author integer NOT NULL, only_signal text,
    claimant integer, first_sequence bigint, count integer NOT NULL, bytes integer NOT NULL,
    aside integer[] NOT NULL DEFAULT '{}', received_at bigint[] NOT NULL, lengths integer[] NOT NULL,
    crcs bigint[] NOT NULL, records bytea NOT NULL
  ) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
  CREATE INDEX outbox_free ON outbox (id) WHERE claimant IS NULL;
  CREATE TABLE dead_letters (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, replica integer NOT NULL, sequence bigint NOT NULL,
    signal text NOT NULL, reason text NOT NULL, record bytea NOT NULL, crc bigint NOT NULL,
    UNIQUE (sequence, signal)
  );`,
];

/** Creates what is missing, one exporter at a time, and returns the key. Throws `JournalUnusable`. */
export async function migrate(connection: Connection): Promise<Buffer> {
  const format = await readFormat((text, values) => connection.query(text, values));
  if (format === null || format < schemaVersion) {
    await connection
      .transact(async query => {
        await query('SELECT pg_advisory_xact_lock($1, $2)', [lockClass, schemaLock]);
        await migrateFrom(query, await readFormat(query));
      })
      .catch(explain);
  }
  const key = await readKey((text, values) => connection.query(text, values)).catch(explain);
  if (key === null) {
    throw new JournalUnusable(`the key in ${schemaName}.meta is damaged or gone; restore it from a backup`);
  }
  return key;
}

/** `null`: it is not there, or fails its checksum. */
export async function readKey(query: Query): Promise<Buffer | null> {
  const [found] = await query(
    `SELECT key.value AS key, crc.value AS crc FROM meta AS key, meta AS crc
     WHERE key.name = 'key' AND crc.name = 'key_crc'`,
  );
  return found !== undefined && crcBytes(found.key).equals(found.crc) ? found.key : null;
}

function explain(error: unknown): never {
  if ((error as { code?: string }).code !== insufficientPrivilege) throw error;
  throw new JournalUnusable(
    `the role may not create or use the schema ${schemaName} (${(error as Error).message}): start once as a role that may, and grant this one what the README says`,
  );
}

const insufficientPrivilege = '42501';

/** `null` where there is no journal yet. Throws `JournalUnusable` where it is newer, or the role may not look. */
export async function readFormat(query: Query): Promise<number | null> {
  const [table] = await query(`SELECT to_regclass('${schemaName}.meta') IS NOT NULL AS is_there`).catch(
    explain,
  );
  if (!table!.is_there) return null;
  const [row] = await query(`SELECT value FROM ${schemaName}.meta WHERE name = 'format'`).catch(explain);
  if (row === undefined) return null;
  const format = Number(row.value.toString());
  if (format > schemaVersion) {
    throw new JournalUnusable(
      `the schema ${schemaName} has journal format ${format}, this version reads ${schemaVersion}; run the version that wrote it`,
    );
  }
  return format;
}

/** What identities take, and records. Not what deleted records still take: that is used again. */
export async function readBytes(query: Query): Promise<number> {
  const [row] = await query(
    `SELECT (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'exceptions'::regclass)::bigint
       + (SELECT coalesce(sum(bytes), 0) FROM outbox)::bigint AS bytes`,
  );
  return row!.bytes;
}

async function migrateFrom(query: Query, format: number | null): Promise<void> {
  if (format === null) {
    await query(`CREATE SCHEMA IF NOT EXISTS ${schemaName}`);
    await query('CREATE TABLE meta (name text PRIMARY KEY, value bytea NOT NULL)');
    const key = randomBytes(32);
    await query(`INSERT INTO meta VALUES ('key', $1), ('key_crc', $2)`, [key, crcBytes(key)]);
  }
  for (const migration of migrations.slice(format ?? 0)) await query(migration);
  await query(
    `INSERT INTO meta VALUES ('format', $1) ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    [Buffer.from(String(schemaVersion))],
  );
}
