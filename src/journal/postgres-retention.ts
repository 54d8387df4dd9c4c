/** Letting identities go that need not be known any more: see "Partitions" in postgres-schema.ts. */
import { identityRetentionMs } from './journal.ts';
import { housekeepingLock, lockClass, oddSlot, partitionName } from './postgres-schema.ts';
import type { Connection, Query } from './postgres-session.ts';

const hourMs = 60 * 60 * 1000;
/** A slot whose oldest exception is so much beyond its time is not about to be empty: others keep coming into it. */
const stragglersAfterMs = 8 * hourMs;
/** Rows deleted in one transaction: about 50 ms. */
const deleteRows = 5_000;
/** How long whoever writes into a partition may have to wait for its emptying, and emptying for whoever writes. */
const lockMs = 100;

/** Empties what can be emptied, one replica at a time; the others find nothing to do. Any of it can be left for later. */
export async function expire(connection: Connection, now: number): Promise<void> {
  const rows = await connection.query(
    'SELECT slot, max(newest_received_at) AS newest FROM slots GROUP BY slot ORDER BY slot',
  );
  const before = now - identityRetentionMs;
  for (const { slot, newest } of rows) {
    if (newest < before) await emptySlot(connection, slot, before);
    else if (await hasStragglers(connection, slot, before)) {
      while ((await deleteExpired(connection, slot, before)) === deleteRows);
    }
  }
}

async function emptySlot(connection: Connection, slot: number, before: number): Promise<void> {
  await connection
    .transact(async query => {
      if (!(await isOurTurn(query))) return;
      await query(`SET LOCAL lock_timeout = ${lockMs}`);
      await query(`LOCK TABLE ${partitionName(slot)} IN ACCESS EXCLUSIVE MODE`);
      // Nobody can write into it now; somebody may have, since it was looked at.
      const [row] = await query('SELECT max(newest_received_at) AS newest FROM slots WHERE slot = $1', [
        slot,
      ]);
      if (row!.newest === null || row!.newest >= before) return;
      await query(`TRUNCATE ${partitionName(slot)}`);
      await query('DELETE FROM slots WHERE slot = $1', [slot]);
    })
    .catch(error => {
      // 55P03: somebody writes into it, or reads it. There are hours left.
      if ((error as { code?: string }).code !== '55P03') throw error;
    });
}

async function hasStragglers(connection: Connection, slot: number, before: number): Promise<boolean> {
  const [oldest] = await connection.query(
    `SELECT received_at FROM ${partitionName(slot)} ORDER BY sequence LIMIT 1`,
  );
  return (
    oldest !== undefined && oldest.received_at < (slot === oddSlot ? before : before - stragglersAfterMs)
  );
}

/** Returns how many there were, at most `deleteRows`. */
async function deleteExpired(connection: Connection, slot: number, before: number): Promise<number> {
  return connection.transact(async query => {
    if (!(await isOurTurn(query))) return 0;
    const [row] = await query(
      `WITH expired AS (
         DELETE FROM ${partitionName(slot)} WHERE ctid = ANY (ARRAY (
           SELECT ctid FROM ${partitionName(slot)} WHERE received_at < $2 ORDER BY sequence LIMIT ${deleteRows}
         )) RETURNING life
       ), of_replica AS (
         SELECT replica, count(*) AS count FROM expired JOIN lives ON lives.id = life GROUP BY replica
       ), kept AS (
         UPDATE slots SET count = slots.count - of_replica.count FROM of_replica
         WHERE slots.slot = $1 AND slots.replica = of_replica.replica
       )
       SELECT count(*) FROM expired`,
      [slot, before],
    );
    return row!.count;
  });
}

async function isOurTurn(query: Query): Promise<boolean> {
  const [lock] = await query('SELECT pg_try_advisory_xact_lock($1, $2) AS is_ours', [
    lockClass,
    housekeepingLock,
  ]);
  return lock!.is_ours;
}
