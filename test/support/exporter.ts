/**
 * The exporter as a process of its own, started as a user would start it, seen from outside: what it prints, what it
 * answers, how it ends. `cleanUp` ends what is still running.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import packageJson from '../../package.json' with { type: 'json' };
import { onCleanUp, temporaryDirectory } from './clean-up.ts';
import { until } from './prometheus.ts';
import { type RequestOptions, type Response, send } from './request.ts';
import { sampleQuery, sampleSdkAppId } from './samples.ts';

/** Node's flags as `npm start` gives them: what is measured is what is run. */
export const startFlags = packageJson.scripts.start.split(' ').filter(word => word.startsWith('--'));

export const entryPoint = fileURLToPath(new URL('../../src/start.js', import.meta.url));

/** How long after its last connection broke. */
const exitWithinMs = 1_000;

export interface ExporterOptions {
  /** Over a minimum of settings: ports of the system's choice, a journal in a directory of its own. `undefined` unsets. */
  env?: Record<string, string | undefined>;
  /** The file of its journal, to start on one that is there already. */
  journal?: string;
  nodeArgs?: string[];
  /** What is run, in place of the sources. */
  command?: string;
  cwd?: string;
}

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface Sample {
  labels: Record<string, string>;
  value: number;
}

/** The samples of one scrape in the text format. */
export class Samples {
  readonly #samples: (Sample & { name: string })[];

  constructor(scrape: string) {
    this.#samples = scrape
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))
      .map(line => {
        const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line)!;
        const pairs = Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, label, text]) => [
          label,
          text,
        ]);
        return { name: name!, labels: Object.fromEntries(pairs), value: Number(value) };
      });
  }

  /** The series of a metric that carry at least these labels. */
  list(name: string, labels: Record<string, string> = {}): Sample[] {
    const wanted = Object.entries(labels);
    return this.#samples
      .filter(
        sample => sample.name === name && wanted.every(([label, value]) => sample.labels[label] === value),
      )
      .map(({ labels, value }) => ({ labels, value }));
  }

  /** Their sum; 0 where there is none. */
  sum(name: string, labels: Record<string, string> = {}): number {
    return this.list(name, labels).reduce((sum, { value }) => sum + value, 0);
  }
}

export const exceptionsTotal = 'tencent_chat_group_message_exceptions_total';

export class Exporter {
  /** The file of its journal, unless the settings name another. */
  readonly journal: string;
  readonly exit: Promise<Exit>;
  stdout = '';
  stderr = '';
  readonly #child;
  #hasExited = false;
  // Found once: an hour of a log is long.
  #callbackUrl: string | undefined;
  #operationsUrl: string | undefined;

  constructor({ env = {}, journal, nodeArgs = [], command, cwd }: ExporterOptions) {
    this.journal = journal ?? join(temporaryDirectory(), 'journal.db');
    const settings = {
      PATH: process.env.PATH,
      SDK_APP_IDS: sampleSdkAppId,
      CALLBACK_LISTEN: '127.0.0.1:0',
      OPERATIONS_LISTEN: '127.0.0.1:0',
      JOURNAL: `sqlite:${this.journal}`,
      ...env,
    };
    const words = command === undefined ? [process.execPath, ...nodeArgs, entryPoint] : [command];
    this.#child = spawn(words[0]!, words.slice(1), {
      env: settings,
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const name of ['stdout', 'stderr'] as const) {
      this.#child[name].setEncoding('utf8').on('data', text => {
        this[name] += text;
      });
    }
    this.exit = new Promise(resolve => {
      this.#child.on('close', (code, signal) => {
        this.#hasExited = true;
        resolve({ code, signal });
      });
    });
    onCleanUp(() => this.kill('SIGKILL'));
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** What it logged: one JSON object a line. */
  get logLines(): { level: string; message: string; [field: string]: unknown }[] {
    return this.stdout
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line));
  }

  /** Resolves when callbacks are taken. Rejects with what it said when it ends instead. */
  async ready(): Promise<void> {
    await until(async () => {
      if (this.#hasExited) throw new Error(`the exporter ended instead: ${this.stderr}${this.stdout}`);
      return this.#find(/ are at (\S+)$/) !== undefined && (await this.isReady());
    }, 'the exporter to be ready');
  }

  async isReady(): Promise<boolean> {
    return (await this.get('/-/ready')).status === 200;
  }

  get callbackUrl(): string {
    this.#callbackUrl ??= this.#find(/ takes callbacks at (\S+)$/);
    return this.#callbackUrl!;
  }

  get operationsUrl(): string {
    this.#operationsUrl ??= this.#find(/ are at (\S+)$/);
    return this.#operationsUrl!;
  }

  /** Posts a callback with a connection of its own. */
  post(
    body: string | Buffer,
    query: string = sampleQuery(),
    options: Omit<RequestOptions, 'body'> = {},
  ): Promise<Response> {
    return send(`${this.callbackUrl}?${query}`, { method: 'POST', ...options, body });
  }

  /** Gets a page of the operator listener. Rejects with what it said when it has ended instead. */
  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    try {
      return await send(`${this.operationsUrl}${path}`, { headers });
    } catch (error) {
      const exit = await Promise.race([this.exit, delay(exitWithinMs)]);
      throw exit ? new Error(`the exporter has ended: ${this.stderr}`) : error;
    }
  }

  /** A scrape in the text format, as a person sees it. */
  async metrics(): Promise<Samples> {
    return new Samples((await this.get('/metrics')).body);
  }

  /** The sum of all exceptions. */
  async total(): Promise<number> {
    return (await this.metrics()).sum(exceptionsTotal);
  }

  /** Sends a signal and waits for the end. */
  kill(signal: NodeJS.Signals): Promise<Exit> {
    this.#child.kill(signal);
    return this.exit;
  }

  /** Sends a signal, and does not wait. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #find(message: RegExp): string | undefined {
    return this.logLines.map(line => message.exec(line.message)?.[1]).find(found => found !== undefined);
  }
}

/** Resolves when callbacks are taken. */
export async function startExporter(options: ExporterOptions = {}): Promise<Exporter> {
  const exporter = new Exporter(options);
  await exporter.ready();
  return exporter;
}
