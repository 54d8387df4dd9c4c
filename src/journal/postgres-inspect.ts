/** Looks at a PostgreSQL journal from outside, without creating or changing anything, whether or not exporters run on it. */
import type { JournalInspection, JournalInspectionContents } from './inspect.ts';
import { JournalUnusable } from './journal.ts';
import { readBytes, readFormat } from './postgres-schema.ts';
import { connect, type Query, schemaName } from './postgres-session.ts';
import { parsePostgresUrl } from './postgres-url.ts';

/** Never throws. `url` is one that settings took; no message holds its password. */
export async function inspectPostgres(url: string): Promise<JournalInspection> {
  const inspection = { problem: null, freeBytes: null, contents: null };
  try {
    const { connection } = await connect(parsePostgresUrl(url)!, 'tencent-chat-exporter check');
    try {
      return await connection.transact(async query => {
        await query('SET TRANSACTION READ ONLY');
        const format = await readFormat(query);
        if (format === null) {
          await refuseWithoutCreate(query);
          return { ...inspection, state: 'absent' };
        }
        await refuseWithoutGrants(query);
        return { ...inspection, state: 'readable', contents: await readContents(query, format) };
      });
    } finally {
      await connection.close();
    }
  } catch (error) {
    return {
      ...inspection,
      state: 'unusable',
      problem: `the database cannot be used: ${(error as Error).message}`,
    };
  }
}

async function readContents(query: Query, format: number): Promise<JournalInspectionContents> {
  const [row] = await query(`
    SELECT (SELECT coalesce(sum(count), 0) FROM totals)::bigint AS exceptions,
      (SELECT count(*) FROM dead_letters) AS dead_letters,
      (SELECT coalesce(sum(CASE
         WHEN claimant IS NULL AND aside = '{}' THEN count
         ELSE (
           SELECT count(*) FROM generate_series(0, count - 1) AS position
           WHERE position <> ALL (aside) AND (claimant IS NULL OR first_sequence + position > delivered)
         ) END), 0)
       FROM outbox LEFT JOIN replicas ON replicas.id = claimant)::bigint AS undelivered`);
  return {
    format,
    exceptions: row!.exceptions,
    undelivered: row!.undelivered,
    deadLetters: row!.dead_letters,
    bytes: await readBytes(query),
    wasKilled: false,
  };
}

async function refuseWithoutCreate(query: Query): Promise<void> {
  const [role] = await query(
    `SELECT to_regnamespace('${schemaName}') IS NOT NULL
       OR has_database_privilege(current_database(), 'CREATE') AS may_create`,
  );
  if (!role!.may_create) {
    throw new JournalUnusable(
      `there is no schema ${schemaName}, and the role may not create it: start once as a role that may`,
    );
  }
}

async function refuseWithoutGrants(query: Query): Promise<void> {
  const [table] = await query(
    `SELECT relname AS name FROM pg_class, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'::text[]) AS privilege
     WHERE relnamespace = '${schemaName}'::regnamespace AND relkind IN ('r', 'p')
       AND NOT has_table_privilege(oid, privilege)
     ORDER BY relname LIMIT 1`,
  );
  if (table !== undefined) {
    throw new JournalUnusable(
      `the role may not use ${schemaName}.${table.name}: grant it what the README says`,
    );
  }
}
