/**
 * A PostgreSQL of the tests' own: Debian's server, in a folder of its own, on a free port of loopback, with its syncs on.
 * It refuses to run as root, and is then run as `postgres`. `cleanUp` ends it.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  globSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { onCleanUp, temporaryDirectory } from './clean-up.ts';
import { freePort } from './ports.ts';
import { until } from './prometheus.ts';

/** The newest of Debian's servers. */
export const binaries = globSync('/usr/lib/postgresql/*/bin').sort().at(-1) ?? '';
const isRoot = process.getuid?.() === 0;
const superuser = 'admin';

export interface PostgresOptions {
  /** Lines of postgresql.conf. */
  settings?: string[];
  /** Lines of pg_hba.conf, before the one that lets everybody in. */
  access?: string[];
  /** PEM files for TLS, which the server gets copies of. */
  tls?: { certificate: string; key: string };
  /** The port of the server that this one is to be a standby of. */
  primaryPort?: number;
  /** The name under which a standby says that it has what it was sent. */
  standbyName?: string;
}

export class Postgres {
  readonly port: number;
  readonly directory: string;
  #child: ChildProcess | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #databaseCount = 0;

  constructor(port: number, directory: string) {
    this.port = port;
    this.directory = directory;
  }

  /** What `JOURNAL` is set to, as the superuser. */
  url(database: string, { user = superuser, password = '' } = {}): string {
    return `postgres://${user}${password && `:${password}`}@127.0.0.1:${this.port}/${database}`;
  }

  get log(): string {
    return readFileSync(join(this.directory, 'log'), 'utf8');
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    // What a killed server has left behind is in use until the last of its processes has ended.
    await until(async () => {
      const [command, ...args] = asServer([join(binaries, 'postgres'), '-D', join(this.directory, 'data')]);
      const child = spawn(command!, args, { stdio: ['ignore', 'ignore', 'pipe'] });
      child.stderr!.on('data', data => appendFileSync(join(this.directory, 'log'), data));
      this.#child = child;
      let hasExited = false;
      this.#exited = new Promise<void>(resolve => {
        child.on('exit', () => {
          hasExited = true;
          resolve();
        });
      });
      while (!hasExited) {
        if (await this.#answers()) return true;
        await delay(50);
      }
      return false;
    }, 'PostgreSQL to start');
  }

  /** `SIGINT`: the sessions are ended, all is in order. `SIGKILL`: every one of its processes, at once. */
  async stop(signal: 'SIGINT' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const backends = signal === 'SIGKILL' ? this.#childProcesses() : [];
    child.kill(signal);
    for (const pid of backends) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await this.#exited;
  }

  /** The pids of all that live. */
  get processes(): number[] {
    return [this.#child!.pid!, ...this.#childProcesses()];
  }

  /** All its processes stand still, and its sockets stay open. */
  freeze(): void {
    for (const pid of this.processes) process.kill(pid, 'SIGSTOP');
  }

  thaw(): void {
    for (const pid of this.processes) process.kill(pid, 'SIGCONT');
  }

  /** A new, empty database; its name. */
  async createDatabase(): Promise<string> {
    this.#databaseCount += 1;
    const name = `journal${this.#databaseCount}`;
    await this.query(`CREATE DATABASE ${name}`);
    return name;
  }

  /** As the superuser. */
  async query(
    text: string,
    database = 'postgres',
    values: unknown[] = [],
  ): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.url(database), connectionTimeoutMillis: 5_000 });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** The same where nobody can wait. */
  querySync(text: string, database: string): void {
    execFileSync('psql', ['-qXv', 'ON_ERROR_STOP=1', this.url(database), '-c', text], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }

  /** A standby becomes the primary. */
  async promote(): Promise<void> {
    await this.query('SELECT pg_promote(wait => true)');
  }

  async #answers(): Promise<boolean> {
    return this.query('SELECT 1').then(
      () => true,
      () => false,
    );
  }

  #childProcesses(): number[] {
    const { pid } = this.#child!;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  }
}

/** Starts a server, empty or as a standby. */
export async function startPostgres({
  settings = [],
  access = [],
  tls,
  primaryPort,
  standbyName = 'standby',
}: PostgresOptions = {}): Promise<Postgres> {
  if (!existsSync(binaries)) throw new Error('there is no PostgreSQL: apt-get install postgresql');
  const directory = temporaryDirectory();
  if (isRoot) chownSync(directory, serverId('-u'), serverId('-g'));
  const data = join(directory, 'data');
  const postgres = new Postgres(await freePort(), directory);
  if (primaryPort === undefined) {
    await run([
      join(binaries, 'initdb'),
      '-D',
      data,
      '-U',
      superuser,
      '-A',
      'trust',
      '-E',
      'UTF8',
      '--no-locale',
      '--no-sync',
    ]);
  } else {
    const source = `host=127.0.0.1 port=${primaryPort} user=${superuser} application_name=${standbyName}`;
    await run([
      join(binaries, 'pg_basebackup'),
      '-D',
      data,
      '-R',
      '-X',
      'stream',
      '-c',
      'fast',
      '--no-sync',
      '-d',
      source,
    ]);
  }
  const lines = [
    `port = ${postgres.port}`,
    "listen_addresses = '127.0.0.1'",
    `unix_socket_directories = '${directory}'`,
    'max_connections = 40',
    'shared_buffers = 32MB',
    'log_min_messages = warning',
    ...settings,
  ];
  appendFileSync(join(data, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
  if (access.length > 0) {
    const file = join(data, 'pg_hba.conf');
    writeFileSync(file, `${access.join('\n')}\n${readFileSync(file, 'utf8')}`);
  }
  if (tls !== undefined) {
    // It takes no key that others could read.
    for (const [from, name] of [
      [tls.certificate, 'server.crt'],
      [tls.key, 'server.key'],
    ]) {
      const file = join(data, name!);
      copyFileSync(from!, file);
      chmodSync(file, 0o600);
      if (isRoot) chownSync(file, serverId('-u'), serverId('-g'));
    }
    appendFileSync(join(data, 'postgresql.conf'), 'ssl = on\n');
  }
  onCleanUp(() => postgres.stop('SIGKILL'));
  await postgres.start();
  return postgres;
}

function serverId(flag: '-u' | '-g'): number {
  return Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
}

/** It ends with this process, also when that is killed. */
function asServer(command: string[]): string[] {
  const user = isRoot ? ['--reuid=postgres', '--regid=postgres', '--clear-groups'] : [];
  return ['setpriv', '--pdeathsig=QUIT', ...user, ...command];
}

/** Not synchronously: a standby may be copied by way of a proxy in this process. */
async function run(command: string[]): Promise<void> {
  const [file, ...args] = asServer(command);
  await promisify(execFile)(file!, args, { cwd: '/' });
}
