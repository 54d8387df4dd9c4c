/**
 * What durability costs: four receivers under the same load, alternating, in one run.
 *
 *     npm run bench [-- ROUNDS SECONDS VARIANTS]      5 rounds of 4 s of ABCD unless told otherwise
 *
 * A  Koa, koa-bodyparser and @koa/router answering a constant
 * B  the exporter that most people would write: prom-client and NodeSDK with its default batch processors, not durable
 * C  this exporter, on its SQLite journal, without telemetry
 * D  this exporter, delivering spans and log records
 *
 * CPU is user and system time of the whole process, all threads, from the first callback until everything it makes
 * of it has left, over the callbacks answered. Medians over the rounds; on a noisy machine trust the ratios.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoadResult } from './load.ts';

const [rounds = 5, seconds = 4] = process.argv.slice(2, 4).map(Number) as [number?, number?];
const chosen = process.argv[4] ?? 'ABCD';
const warmUpSeconds = 3;

interface Variant {
  name: string;
  what: string;
  port: number;
  process: ChildProcess;
  operationsPort?: number;
  /** Waits until what was answered has left the process. */
  settle: () => Promise<void>;
  /** Spans and log records at the sink, and how many exceptions were answered in all. */
  sink?: number;
  answered: number;
  cpuMicroseconds: number[];
  results: LoadResult[];
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'));
const children: ChildProcess[] = [];
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

const starters: Record<string, () => Promise<Variant>> = {
  A: () => startNaive('A', 'constant answer', './constant.ts'),
  B: async () => startNaive('B', 'handwritten, not durable', './handwritten.ts', await startSink()),
  C: () => startExporter('C', 'ours, no telemetry'),
  D: async () => startExporter('D', 'ours, delivering', await startSink()),
};
const variants: Variant[] = [];
for (const name of chosen) variants.push(await starters[name]!());

for (const variant of variants) await measure(variant, warmUpSeconds);
for (const variant of variants) Object.assign(variant, { cpuMicroseconds: [], results: [] });
for (let round = 0; round < rounds; round += 1) {
  for (const variant of variants) await measure(variant, seconds);
}

console.log(`${rounds} rounds of ${seconds} s, 64 connections; medians\n`);
console.log('                               CPU µs/callback  callbacks/s   p50 ms   p99 ms   RSS MB');
for (const variant of variants) {
  console.log(
    `${`${variant.name}  ${variant.what}`.padEnd(30)}`,
    number(median(variant.cpuMicroseconds), 15),
    number(median(variant.results.map(({ perSecond }) => perSecond)), 12),
    number(median(variant.results.map(({ p50Ms }) => p50Ms)), 8, 1),
    number(median(variant.results.map(({ p99Ms }) => p99Ms)), 8, 1),
    number(residentBytes(variant) / 1e6, 8),
  );
}
console.log();
for (const [over, under] of ['CA', 'DB', 'DA']) {
  const pair = [over, under].map(name => variants.find(variant => variant.name === name));
  if (pair[0] === undefined || pair[1] === undefined) continue;
  console.log(`${over}/${under}  CPU ${cpuRatio(pair[0], pair[1])}   p99 ${p99Ratio(pair[0], pair[1])}`);
}
for (const variant of variants.filter(({ sink }) => sink !== undefined)) {
  const { traces, logs } = (await getJson(variant.sink!, '/summary')) as Record<
    'traces' | 'logs',
    { distinct: number }
  >;
  const lost = (count: number): string =>
    `${count} (lost ${((1 - count / variant.answered) * 100).toFixed(1)} %)`;
  console.log(
    `${variant.name} answered ${variant.answered}, delivered ${lost(traces.distinct)} spans, ${lost(logs.distinct)} log records`,
  );
}
const failed = variants.reduce(
  (sum, { results }) => sum + results.reduce((count, result) => count + result.failed, 0),
  0,
);
console.log(`answers that were not OK: ${failed}`);
process.exit(0);

async function measure(variant: Variant, loadSeconds: number): Promise<void> {
  const before = cpuMicroseconds(variant);
  const load = spawnNode(['load.ts', String(variant.port), String(loadSeconds)], {});
  const result = JSON.parse(await firstLine(load)) as LoadResult;
  await variant.settle();
  variant.answered += result.answered;
  variant.results.push(result);
  variant.cpuMicroseconds.push((cpuMicroseconds(variant) - before) / result.answered);
}

async function startNaive(name: string, what: string, script: string, sink?: number): Promise<Variant> {
  const { child, port } = await startScript(script, sink === undefined ? {} : otlpEnvironment(sink));
  // The default batch processor sends every 5 s.
  const settle = (): Promise<void> => delay(sink === undefined ? 0 : 6_000);
  return { name, what, port, process: child, settle, sink, answered: 0, cpuMicroseconds: [], results: [] };
}

async function startExporter(name: string, what: string, sink?: number): Promise<Variant> {
  const child = spawnNode(['../../src/start.js'], {
    SDK_APP_IDS: '1400000001',
    CALLBACK_LISTEN: '127.0.0.1:0',
    OPERATIONS_LISTEN: '127.0.0.1:0',
    JOURNAL: `sqlite:${join(folder, name, 'journal.db')}`,
    ...(sink === undefined ? {} : otlpEnvironment(sink)),
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const port = portIn((await lines.next()).value);
  const operationsPort = portIn((await lines.next()).value);
  child.stdout!.resume();
  const settle = async (): Promise<void> => {
    while (sink !== undefined && (await backlog(operationsPort)) > 0) await delay(100);
    await delay(300);
  };
  return {
    name,
    what,
    port,
    process: child,
    operationsPort,
    settle,
    sink,
    answered: 0,
    cpuMicroseconds: [],
    results: [],
  };
}

async function backlog(operationsPort: number): Promise<number> {
  // The gauge is up to date 200 ms after the last append.
  await delay(300);
  const text = await (await fetch(`http://127.0.0.1:${operationsPort}/metrics`)).text();
  return Number(/^tencent_chat_telemetry_backlog_events (\d+)$/m.exec(text)?.[1]);
}

async function startSink(): Promise<number> {
  return (await startScript('../support/otlp-receiver-process.ts', {})).port;
}

async function startScript(
  script: string,
  env: NodeJS.ProcessEnv,
): Promise<{ child: ChildProcess; port: number }> {
  const child = spawnNode([script], env);
  return { child, port: (JSON.parse(await firstLine(child)) as { port: number }).port };
}

function spawnNode([script, ...args]: string[], env: NodeJS.ProcessEnv): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, script!), ...args], {
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

function otlpEnvironment(sink: number): NodeJS.ProcessEnv {
  return { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${sink}` };
}

async function getJson(port: number, path: string): Promise<unknown> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).json();
}

/** User and system time so far, from Linux's process table, in its ticks of 10 ms. */
function cpuMicroseconds({ process: { pid } }: Variant): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

function residentBytes({ process: { pid } }: Variant): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

function median(values: number[]): number {
  return values.toSorted((x, y) => x - y)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Round by round, since a noisy neighbour slows both of one round. */
function cpuRatio(over: Variant, under: Variant): string {
  return median(over.cpuMicroseconds.map((value, round) => value / under.cpuMicroseconds[round]!)).toFixed(2);
}

function p99Ratio(over: Variant, under: Variant): string {
  return median(over.results.map(({ p99Ms }, round) => p99Ms / under.results[round]!.p99Ms)).toFixed(2);
}

function number(value: number, width: number, digits = 0): string {
  return value.toFixed(digits).padStart(width);
}
