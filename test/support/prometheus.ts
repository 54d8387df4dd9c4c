/**
 * A real Prometheus (Debian's, found on the PATH) on a free port, with its data in a directory of its own, and
 * promtool. What they accept and what they answer is the proof; nothing here looks inside the exporter.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';

/** One series of an instant query, with its value at that instant. */
export interface QueryResult {
  labels: Record<string, string>;
  value: number;
}

export interface ExemplarResult {
  seriesLabels: Record<string, string>;
  exemplars: { labels: Record<string, string>; value: string; timestamp: number }[];
}

export interface Target {
  labels: Record<string, string>;
  health: 'up' | 'down' | 'unknown';
  lastError: string;
}

export interface Prometheus {
  url: string;
  /** An instant query that answers with a vector. */
  query(expression: string): Promise<QueryResult[]>;
  /** Exemplars of the last hour. */
  queryExemplars(expression: string): Promise<ExemplarResult[]>;
  targets(): Promise<Target[]>;
  close(): Promise<void>;
}

interface Vector {
  result: { metric: Record<string, string>; value: [at: number, value: string] }[];
}

/**
 * Prometheus itself, on a free port, with its data in `directory`/data. Resolves when it listens and is ready, which it
 * may say in either order. `config` is its configuration file as an object; `flags`: more of the command line.
 */
export async function servePrometheus(
  directory: string,
  config: Record<string, unknown>,
  flags: readonly string[] = [],
): Promise<{ url: string; close(): Promise<void> }> {
  const configFile = join(directory, 'prometheus.json');
  // Every JSON document is a YAML document.
  await writeFile(configFile, JSON.stringify(config));
  const server = spawn(
    'prometheus',
    [
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
      ...flags,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(server, 'exit');
  async function close() {
    server.kill('SIGTERM');
    await exited;
  }

  let address = '';
  let isReady = false;
  const log: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    log.push(line);
    address = /msg="Listening on" address=(\S+)/.exec(line)?.[1] ?? address;
    isReady ||= line.includes('Server is ready to receive web requests');
    if (address === '' || !isReady) continue;
    server.stderr.resume();
    return { url: `http://${address}`, close };
  }
  await close();
  throw new Error(`prometheus did not start:\n${log.join('\n')}`);
}

/**
 * A Prometheus that scrapes. What `config` leaves out of `global` is set to scrape and evaluate every second. Exemplars
 * are stored.
 */
export async function startPrometheus(
  config: Record<string, unknown>,
  flags: readonly string[] = [],
): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'prometheus-'));
  const global = { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' };
  const { url, close } = await servePrometheus(
    directory,
    { ...config, global: { ...global, ...(config.global ?? {}) } },
    ['--enable-feature=exemplar-storage', ...flags],
  );

  async function get<T>(path: string, parameters: Record<string, string> = {}): Promise<T> {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as { status: string; error?: string; data: T };
    if (answer.status !== 'success') throw new Error(`prometheus: ${answer.error}`);
    return answer.data;
  }

  return {
    url,
    async query(expression) {
      const { result } = await get<Vector>('query', { query: expression });
      return result.map(({ metric, value }) => ({
        labels: metric,
        value: Number(value[1].replace('Inf', 'Infinity')),
      }));
    },
    queryExemplars: expression => {
      const now = Date.now() / 1000;
      return get('query_exemplars', { query: expression, start: `${now - 3600}`, end: `${now + 60}` });
    },
    async targets() {
      const { activeTargets } = await get<{ activeTargets: Target[] }>('targets');
      return activeTargets;
    },
    async close() {
      await close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Asks again until there is an answer: what Prometheus has stored cannot be waited for otherwise. */
export async function until<T>(
  ask: () => Promise<T | undefined | false>,
  what: string,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain for: ${what}`);
    await delay(50);
  }
}

/** `promtool check metrics`: the parser of the text format, and a linter of names. Empty when it has no complaint. */
export function promtoolCheckMetrics(text: string | Buffer): string {
  const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'metrics'], { input: text });
  if (error) throw error;
  const complaint = `${stdout}${stderr}`.trim();
  return status === 0 ? complaint : `exit code ${status}: ${complaint}`;
}
