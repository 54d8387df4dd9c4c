/**
 * Connections to PostgreSQL, and what holds for each of them: one question at a time, none without a deadline, none on a
 * server that may forget what it has confirmed.
 */
import type { Client } from 'pg';
import { JournalUnusable } from './journal.ts';
import { type PostgresHost, type PostgresLocation, tlsOptions } from './postgres-url.ts';

/** To connect to one host, its name looked up and all greetings done. */
const connectMs = 1_500;
/** For what is no append. An append has its own, below the time that a callback can wait. */
const questionMs = 10_000;

export const schemaName = 'tencent_chat';

/** A row's columns by name. 64-bit integers are numbers: all that is stored here is below 2^53. */
// biome-ignore lint/suspicious/noExplicitAny: columns are what the statement beside it selects
export type Row = Record<string, any>;
export type Query = (text: string | Statement, values?: unknown[]) => Promise<Row[]>;

/** Prepared on each connection when it is first run there. */
export interface Statement {
  name: string;
  text: string;
}

/** The server's answer is not known: what was asked may be done, or be done yet. */
export class AnswerLost extends Error {
  override name = 'AnswerLost';
}

/** One connection. An error of the server's leaves it open, anything else closes it. */
export class Connection {
  readonly #client: Client;
  /** Resolves when nobody is asking. */
  #idle: Promise<unknown> = Promise.resolve();
  #problem: Error | null = null;
  /** Resolves with the reason, once. */
  readonly closed: Promise<Error>;

  constructor(client: Client) {
    this.#client = client;
    this.closed = new Promise(resolve => {
      const end = (error: Error) => {
        this.#problem ??= error;
        resolve(this.#problem);
      };
      client.on('error', end);
      client.on('end', () => end(new Error('the connection was closed')));
    });
  }

  query(text: string | Statement, values: unknown[] = [], withinMs = questionMs): Promise<Row[]> {
    return this.#enqueue(() => this.#ask(text, values, withinMs));
  }

  /** Several questions in one transaction, with no other in between, each within so many milliseconds. */
  transact<Result>(work: (query: Query) => Promise<Result>, withinMs = questionMs): Promise<Result> {
    const query: Query = (text, values = []) => this.#ask(text, values, withinMs);
    return this.#enqueue(async () => {
      await query('BEGIN');
      try {
        const result = await work(query);
        await query('COMMIT');
        return result;
      } catch (error) {
        await query('ROLLBACK').catch(() => this.destroy());
        throw error;
      }
    });
  }

  /** Says goodbye, or hangs up. */
  async close(): Promise<void> {
    if (this.#problem === null) await Promise.race([this.#client.end(), timeout(connectMs)]);
    this.destroy();
  }

  destroy(reason = new Error('the connection was given up')): void {
    this.#problem ??= reason;
    // With a question under way the driver hangs up without a goodbye.
    this.#client.end().catch(() => {});
    this.#client.connection.stream.destroy();
  }

  #enqueue<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#idle.then(work);
    this.#idle = result.catch(() => {});
    return result;
  }

  async #ask(statement: string | Statement, values: unknown[], withinMs: number): Promise<Row[]> {
    // A closed one has sent nothing.
    if (this.#problem !== null) throw this.#problem;
    const question = typeof statement === 'string' ? { text: statement } : statement;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const error = new AnswerLost(`the database did not answer within ${withinMs} ms`);
        reject(error);
        this.destroy(error);
      }, withinMs);
    });
    try {
      const { rows } = await Promise.race([this.#client.query({ ...question, values, types }), late]);
      return rows;
    } catch (error) {
      // The server's own errors have a code; by then its transaction is undone.
      if (isServerError(error) && !isFatal(error)) throw error;
      this.destroy(error as Error);
      throw error instanceof AnswerLost ? error : new AnswerLost((error as Error).message, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Connects to the first host that can be written. Throws `JournalUnusable` where trying again is no use.
 * `name` is what the server's own tables call this exporter.
 */
export async function connect(
  location: PostgresLocation,
  name: string,
): Promise<{ connection: Connection; host: PostgresHost }> {
  const problems: string[] = [];
  for (const host of location.hosts) {
    try {
      return { connection: await connectTo(location, host, name), host };
    } catch (error) {
      const { message, code = '' } = error as Error & { code?: string };
      const problem = `${host.host}:${host.port}: ${message || code}`;
      if (error instanceof JournalUnusable) throw error;
      // A wrong password stays wrong, and a certificate, on every host.
      if (unusableCodes.includes(code) || certificateCode.test(code)) throw new JournalUnusable(problem);
      problems.push(problem);
    }
  }
  throw new Error(problems.join('; '));
}

/** Throws when this host cannot be reached or cannot be written. */
export async function connectTo(
  location: PostgresLocation,
  host: PostgresHost,
  name: string,
): Promise<Connection> {
  // Nobody who keeps the journal in a file pays for the driver.
  const { Client } = await import('pg');
  const client = new Client({
    ...host,
    user: location.user,
    database: location.database,
    // Not from the driver's other sources, such as PGPASSWORD.
    password: location.password ?? (() => ''),
    ssl: readTls(location, host),
    application_name: name,
    connectionTimeoutMillis: connectMs,
  });
  const connection = new Connection(client);
  try {
    await Promise.race([client.connect(), connection.closed.then(error => Promise.reject(error))]);
    await settle(connection);
  } catch (error) {
    connection.destroy();
    throw error;
  }
  return connection;
}

/** What a session must be, whatever the role, the database or the server prefer. Idempotent. */
async function settle(connection: Connection): Promise<void> {
  // Of a dead peer each side learns within 15 s: until then the session of an exporter that is gone keeps its name.
  await connection.query(`
    SET search_path = ${schemaName};
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = ${questionMs};
    SET idle_in_transaction_session_timeout = ${questionMs};
    SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 4;
    SET tcp_user_timeout = 10000;
    SET jit = off; SET bytea_output = 'hex'; SET plan_cache_mode = force_generic_plan`);
  const select = `SELECT pg_is_in_recovery() AS is_standby, current_setting('transaction_read_only') AS read_only,
    current_setting('synchronous_commit') AS synchronous_commit, current_setting('fsync') AS fsync`;
  const [found] = await connection.query(select);
  if (found!.is_standby || found!.read_only !== 'off') throw new Error('it is a standby, or read-only');
  if (found!.fsync !== 'on') {
    throw new JournalUnusable(
      'the database runs with fsync=off and may forget what it has confirmed; switch it on',
    );
  }
  // `remote_apply` waits for more than `on` does, the others for less.
  if (found!.synchronous_commit === 'remote_apply') return;
  await connection.query('SET synchronous_commit = on');
  const [now] = await connection.query(select);
  if (now!.synchronous_commit !== 'on') {
    throw new JournalUnusable(`synchronous_commit is ${now!.synchronous_commit}, and cannot be switched on`);
  }
}

function readTls(location: PostgresLocation, host: PostgresHost): ReturnType<typeof tlsOptions> {
  try {
    return tlsOptions(location, host);
  } catch (error) {
    throw new JournalUnusable(`a file that JOURNAL names cannot be read: ${(error as Error).message}`);
  }
}

/** Numbers for 64-bit integers, also in arrays; text for all else but what the driver knows. */
const types = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    return parsers[oid] ?? fallbackParser(oid, format);
  },
} as never;

const numbersOf = (text: string): number[] => (text === '{}' ? [] : text.slice(1, -1).split(',').map(Number));
const [boolOid, byteaOid, int8Oid, int2Oid, int4Oid] = [16, 17, 20, 21, 23];
const [int4ArrayOid, int8ArrayOid] = [1007, 1016];
const parsers: Record<number, (text: string) => unknown> = {
  [boolOid]: text => text === 't',
  [byteaOid]: text => Buffer.from(text.slice(2), 'hex'),
  [int8Oid]: Number,
  [int2Oid]: Number,
  [int4Oid]: Number,
  [int4ArrayOid]: numbersOf,
  [int8ArrayOid]: numbersOf,
};
const fallbackParser = (_oid: number, _format?: string) => (text: string) => text;

export function isServerError(error: unknown): error is Error & { code: string; severity: string } {
  return error instanceof Error && 'severity' in error;
}

/** It ended the connection with it: what was asked may have been done before. */
function isFatal({ severity }: { severity: string }): boolean {
  return severity === 'FATAL' || severity === 'PANIC';
}

/** Of the role, its password, the database. 42501: the role may not. */
const unusableCodes = ['28000', '28P01', '3D000', '42501'];

/** Of Node's TLS: `SELF_SIGNED_CERT_IN_CHAIN`, `ERR_TLS_CERT_ALTNAME_INVALID`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE`. */
const certificateCode = /CERT|^UNABLE_TO_/;

function timeout(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref());
}
