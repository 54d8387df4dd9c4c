/**
 * A real Alertmanager (Debian's, found on the PATH) on a free port, alone, with its data in a directory of its own, and
 * amtool.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** An alert as Prometheus posts it. */
export interface PostedAlert {
  labels: Record<string, string>;
  annotations?: Record<string, string>;
  /** RFC 3339; now when left out. */
  startsAt?: string;
  /** RFC 3339; resolved when it is past. */
  endsAt?: string;
  generatorURL?: string;
}

/** An alert as Alertmanager has it. */
export interface HeldAlert {
  labels: Record<string, string>;
  status: { state: 'active' | 'suppressed' | 'unprocessed'; inhibitedBy: string[]; silencedBy: string[] };
  receivers: { name: string }[];
}

export interface Alertmanager {
  url: string;
  post(alerts: PostedAlert[]): Promise<void>;
  alerts(): Promise<HeldAlert[]>;
  close(): Promise<void>;
}

/** Resolves when Alertmanager is ready. `config` is its configuration file as an object. */
export async function startAlertmanager(config: object): Promise<Alertmanager> {
  const directory = await mkdtemp(join(tmpdir(), 'alertmanager-'));
  const configFile = join(directory, 'alertmanager.json');
  // Every JSON document is a YAML document.
  await writeFile(configFile, JSON.stringify(config));
  const server = spawn(
    'prometheus-alertmanager',
    [
      `--config.file=${configFile}`,
      `--storage.path=${join(directory, 'data')}`,
      '--web.listen-address=127.0.0.1:0',
      '--web.external-url=http://alertmanager.test',
      '--web.route-prefix=/',
      '--cluster.listen-address=',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  const exited = once(server, 'exit');

  async function close() {
    server.kill('SIGTERM');
    await exited;
    await rm(directory, { recursive: true, force: true });
  }

  let address = '';
  const log: string[] = [];
  for await (const line of createInterface({ input: server.stderr })) {
    log.push(line);
    address = /msg="Listening on" address=(\S+)/.exec(line)?.[1] ?? '';
    if (address !== '') break;
  }
  if (address === '') {
    await close();
    throw new Error(`alertmanager did not start:\n${log.join('\n')}`);
  }
  server.stderr.resume();
  const url = `http://${address}`;

  return {
    url,
    async post(alerts) {
      const response = await fetch(`${url}/api/v2/alerts`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(alerts),
      });
      if (!response.ok) throw new Error(`alertmanager: ${response.status} ${await response.text()}`);
    },
    async alerts() {
      const response = await fetch(`${url}/api/v2/alerts`);
      return (await response.json()) as HeldAlert[];
    },
    close,
  };
}

/** `amtool` with these words: whether it was content, and what it says; its warnings only when it was not. */
export function amtool(...words: string[]): { isContent: boolean; text: string } {
  const { status, stdout, stderr, error } = spawnSync('amtool', words, { encoding: 'utf8' });
  if (error) throw error;
  return { isContent: status === 0, text: (status === 0 ? stdout : `${stdout}${stderr}`).trim() };
}
