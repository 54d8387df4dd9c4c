/** What the benchmarks start, and how they measure it: processes of their own, in a folder that goes with them. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { startFlags } from '../support/exporter.ts';
import type { LoadResult } from './load.ts';

export const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const children: ChildProcess[] = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** The exporter, with ports of its own. */
export interface Exporter {
  child: ChildProcess;
  port: number;
  operationsPort: number;
}

export async function startExporter(env: NodeJS.ProcessEnv): Promise<Exporter> {
  const child = spawnNode(
    ['../../src/start.js'],
    {
      SDK_APP_IDS: '1400000001',
      CALLBACK_LISTEN: '127.0.0.1:0',
      OPERATIONS_LISTEN: '127.0.0.1:0',
      ...env,
    },
    startFlags,
  );
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const port = portIn((await lines.next()).value);
  const operationsPort = portIn((await lines.next()).value);
  child.stdout!.resume();
  return { child, port, operationsPort };
}

/** A script that says its port in a line of JSON. */
export async function startScript(
  script: string,
  env: NodeJS.ProcessEnv = {},
): Promise<{ child: ChildProcess; port: number }> {
  const child = spawnNode([script], env);
  return { child, port: (JSON.parse(await firstLine(child)) as { port: number }).port };
}

export async function startSink(): Promise<number> {
  return (await startScript('../support/otlp-receiver-process.ts')).port;
}

export function otlpEnvironment(sink: number): NodeJS.ProcessEnv {
  return { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${sink}` };
}

export async function runLoad(port: number, seconds: number): Promise<LoadResult> {
  return JSON.parse(await firstLine(spawnNode(['load.ts', String(port), String(seconds)], {}))) as LoadResult;
}

/** Waits until the journal has nothing left to deliver. Its gauge is up to date 200 ms after the last append. */
export async function waitForDelivery({ operationsPort }: Exporter): Promise<void> {
  do await delay(300);
  while ((await gauge(operationsPort, 'tencent_chat_telemetry_backlog_events')) > 0);
}

export async function gauge(operationsPort: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${operationsPort}/metrics`)).text();
  return Number(new RegExp(`^${name} (.+)$`, 'm').exec(text)?.[1]);
}

/** User and system time so far, all threads, from Linux's process table, in its ticks of 10 ms. */
export function cpuMicroseconds({ pid }: ChildProcess): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** Now, or the most there ever was. */
export function residentMegabytes({ pid }: ChildProcess, what: 'now' | 'peak' = 'now'): number {
  const name = what === 'now' ? 'VmRSS' : 'VmHWM';
  const kibibytes = new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kibibytes) * 1024) / 1e6;
}

export function median(values: number[]): number {
  return values.toSorted((x, y) => x - y)[Math.floor(values.length / 2)] ?? Number.NaN;
}

export function spawnNode(
  [script, ...args]: string[],
  env: NodeJS.ProcessEnv,
  flags: string[] = [],
): ChildProcess {
  const child = spawn(process.execPath, [...flags, join(import.meta.dirname, script!), ...args], {
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  return child;
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout! })) return line;
  throw new Error(`${child.spawnargs.join(' ')} ended without a word`);
}

function portIn(line = ''): number {
  return Number(/:(\d+)\/?["\s]/.exec(line)?.[1]);
}
