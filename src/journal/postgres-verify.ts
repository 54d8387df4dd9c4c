/**
 * Reads a whole journal in PostgreSQL, of all its replicas, and says everything that is wrong with it (invariant 5). It
 * changes nothing, and exporters go on beside it. The database's own pages are for its own means, `data_checksums` and
 * `pg_amcheck`; here is what those cannot know.
 */
import { signals } from './journal.ts';
import { crcOfLabels, labelsOf } from './label-columns.ts';
import { chunkRecords } from './postgres-chunk.ts';
import { wholeRecord } from './postgres-inquiry.ts';
import { crcOfCursors } from './postgres-outbox.ts';
import { readKey } from './postgres-schema.ts';
import { type Connection, type Query, type Row, schemaName } from './postgres-session.ts';
import { newVerification, type Verification } from './verification.ts';

/** Exceptions are counted in the database; what has a checksum is read here, so many rows at a time. */
const rowsMax = 1_000;
/** Chunks have up to 1,024 records. */
const chunksMax = 16;
/** Identities of 25 h may be a hundred million. */
const countMs = 10 * 60_000;

export async function verifyPostgres(connection: Pick<Connection, 'transact'>): Promise<Verification> {
  return connection.transact(async query => {
    await query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY');
    await query(`SET LOCAL statement_timeout = ${countMs}`);
    // Before the first look, which is of one state of all: a partition that is emptied later would look empty already.
    await query('LOCK TABLE exceptions IN ACCESS SHARE MODE');
    const verification = newVerification();
    await checkKey(query, verification);
    await checkTotals(query, verification);
    await checkExceptions(query, verification);
    await checkReplicas(query, verification);
    await checkOutbox(query, verification);
    await checkDeadLetters(query, verification);
    const { checked, damages, damageCount } = verification;
    return { checked, damages, damageCount };
  }, countMs);
}

type Findings = ReturnType<typeof newVerification>;

async function checkKey(query: Query, found: Findings): Promise<void> {
  if ((await readKey(query)) !== null) return;
  found.tell({
    table: 'meta',
    row: 'key',
    problem: 'is not there, or fails its checksum',
    meaning: `no exporter starts on it: restore ${schemaName}.meta from a backup`,
  });
}

async function checkTotals(query: Query, found: Findings): Promise<void> {
  for (const row of await query('SELECT * FROM label_sets ORDER BY id')) {
    if (crcOfLabels(labelsOf(row)) === row.crc) continue;
    found.tell({
      table: 'label_sets',
      row: String(row.id),
      problem: 'fails its checksum',
      meaning: 'its labels are not what was stored; totals of it are shown under what is read',
    });
  }
  for (const row of await query('SELECT replica, label_set, count, mirror FROM totals')) {
    found.checked.totals += 1;
    if (row.count === -row.mirror) continue;
    found.tell({
      table: 'totals',
      row: `${row.replica}/${row.label_set}`,
      problem: `counts ${row.count}, and its mirror says ${-row.mirror}`,
      meaning: 'one of the two is not what was stored; the count is shown as it is read',
    });
  }
}

async function checkExceptions(query: Query, found: Findings): Promise<void> {
  const kept = await query(
    `SELECT replica, label_set, sum(kept)::bigint AS kept, min(totals.count) AS total FROM (
       SELECT life, label_set, count(*) AS kept FROM exceptions GROUP BY life, label_set
     ) AS counted JOIN lives ON lives.id = life LEFT JOIN totals USING (replica, label_set)
     GROUP BY replica, label_set`,
  );
  for (const row of kept) {
    found.checked.exceptions += row.kept;
    if (row.total !== null && row.total >= row.kept) continue;
    found.tell({
      table: 'totals',
      row: `${row.replica}/${row.label_set}`,
      problem: `counts ${row.total ?? 'nothing'}, and ${row.kept} of its exceptions are kept`,
      meaning: `the counter is too low by ${row.kept - (row.total ?? 0)} at least`,
    });
  }
  const slots = await query(
    `SELECT slot, replica, coalesce(slots.count, 0) AS told, coalesce(kept, 0) AS kept FROM slots
     FULL JOIN (
       SELECT slot, replica, count(*) AS kept FROM exceptions JOIN lives ON lives.id = life GROUP BY slot, replica
     ) AS counted USING (slot, replica)
     WHERE coalesce(slots.count, 0) <> coalesce(kept, 0)`,
  );
  for (const row of slots) {
    found.tell({
      table: 'exceptions',
      row: null,
      problem: `partition ${row.slot} keeps ${row.kept} of replica ${row.replica}, and ${row.told} were stored`,
      meaning: 'exceptions that are not kept would count again if they were sent again',
    });
  }
}

async function checkReplicas(query: Query, found: Findings): Promise<void> {
  for (const row of await query('SELECT name, traces, logs, cursors_crc FROM replicas ORDER BY id')) {
    if (row.cursors_crc === null || row.cursors_crc === crcOfCursors({ traces: row.traces, logs: row.logs }))
      continue;
    found.tell({
      table: 'replicas',
      row: row.name,
      problem: 'its cursors fail their checksum',
      meaning:
        'its delivery begins again with the oldest record that it has claimed: some are delivered again',
    });
  }
}

async function checkOutbox(query: Query, found: Findings): Promise<void> {
  const select =
    'SELECT id, count, aside, lengths, crcs, records FROM outbox WHERE id > $1 ORDER BY id LIMIT $2';
  for await (const chunk of rowsOf(query, select, chunksMax)) {
    found.checked.records += chunk.count;
    const records = chunkRecords(chunk, chunk.count);
    const damaged = records?.filter(
      ({ isDamaged }, position) => isDamaged && !chunk.aside.includes(position),
    ).length;
    if (damaged === 0) continue;
    found.tell({
      table: 'outbox',
      row: String(chunk.id),
      problem:
        damaged === undefined
          ? 'its records cannot be told apart'
          : `${damaged} of its ${chunk.count} records fail their checksum`,
      meaning: 'they are counted, and cannot be delivered; delivery sets them aside as dead letters',
    });
  }
}

async function checkDeadLetters(query: Query, found: Findings): Promise<void> {
  const select = `SELECT id, sequence, signal, record, crc FROM dead_letters WHERE id > $1 ORDER BY id LIMIT $2`;
  for await (const row of rowsOf(query, select, rowsMax)) {
    found.checked.deadLetters += 1;
    const isKnown = (signals as readonly string[]).includes(row.signal);
    if (isKnown && wholeRecord(row) !== null) continue;
    found.tell({
      table: 'dead_letters',
      row: String(row.id),
      problem: isKnown ? 'fails its checksum' : 'names no signal',
      meaning: `the dead letter ${row.sequence}-${row.signal} cannot be delivered again; drop it`,
    });
  }
}

async function* rowsOf(query: Query, select: string, limit: number): AsyncGenerator<Row> {
  for (let last = -1; ; ) {
    const rows = await query(select, [last, limit]);
    yield* rows;
    if (rows.length < limit) return;
    last = rows.at(-1)!.id;
  }
}
