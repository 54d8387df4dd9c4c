/** How a command comes at a journal in PostgreSQL: on a connection of its own, beside those of its exporters. */
import type { JournalAccess } from './access.ts';
import { JournalUnusable, type Signal } from './journal.ts';
import { PostgresInquiry } from './postgres-inquiry.ts';
import { readFormat } from './postgres-schema.ts';
import { type Connection, connect } from './postgres-session.ts';
import { parsePostgresUrl } from './postgres-url.ts';
import { verifyPostgres } from './postgres-verify.ts';

/** Rejects with `JournalUnusable` where the database cannot be reached, or holds no journal. */
export async function accessPostgres(url: string, signals: readonly Signal[]): Promise<JournalAccess> {
  const connection = await open(url);
  const inquiry = new PostgresInquiry({
    signals,
    now: Date.now,
    report: () => {},
    connection: () => connection,
    flush: async () => {},
    dropped: () => null,
  });
  return Object.assign(inquiry, {
    verify: () => verifyPostgres(connection),
    close: () => connection.close(),
  });
}

async function open(url: string): Promise<Connection> {
  try {
    const { connection } = await connect(parsePostgresUrl(url)!, 'tencent-chat-exporter journal');
    const format = await readFormat((text, values) => connection.query(text, values));
    if (format !== null) return connection;
    await connection.close();
  } catch (error) {
    if (error instanceof JournalUnusable) throw error;
    throw new JournalUnusable(`the database cannot be used: ${(error as Error).message}`);
  }
  throw new JournalUnusable('the database holds no journal: no exporter has made one yet');
}
