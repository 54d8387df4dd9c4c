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
import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LoadResult } from './load.ts';
import {
  cpuMicroseconds,
  folder,
  median,
  otlpEnvironment,
  residentMegabytes,
  runLoad,
  startExporter,
  startScript,
  startSink,
  waitForDelivery,
} from './processes.ts';

const [rounds = 5, seconds = 4] = process.argv.slice(2, 4).map(Number) as [number?, number?];
const chosen = process.argv[4] ?? 'ABCD';
const warmUpSeconds = 3;

interface Variant {
  name: string;
  what: string;
  child: ChildProcess;
  port: number;
  /** Where spans and log records go. */
  sink?: number;
  /** Waits until what was answered has left the process. */
  settle: () => Promise<void>;
  answered: number;
  cpuMicroseconds: number[];
  results: LoadResult[];
}

const starters: Record<string, () => Promise<Variant>> = {
  A: () => startNaive('A', 'constant answer', './constant.ts'),
  B: async () => startNaive('B', 'handwritten, not durable', './handwritten.ts', await startSink()),
  C: () => startOurs('C', 'ours, no telemetry'),
  D: async () => startOurs('D', 'ours, delivering', await startSink()),
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
for (const variant of variants) printFigures(variant);
console.log();
for (const [over, under] of ['CA', 'DB', 'DA']) printRatio(over!, under!);
console.log();
for (const variant of variants) await printDelivery(variant);
const failed = variants.flatMap(({ results }) => results).reduce((sum, result) => sum + result.failed, 0);
console.log(`answers that were not OK: ${failed}`);
process.exit(0);

async function startNaive(name: string, what: string, script: string, sink?: number): Promise<Variant> {
  const { child, port } = await startScript(script, sink === undefined ? {} : otlpEnvironment(sink));
  // The default batch processor sends every 5 s.
  const settle = (): Promise<void> => delay(sink === undefined ? 0 : 6_000);
  return { name, what, child, port, sink, settle, answered: 0, cpuMicroseconds: [], results: [] };
}

async function startOurs(name: string, what: string, sink?: number): Promise<Variant> {
  const exporter = await startExporter({
    JOURNAL: `sqlite:${join(folder, name, 'journal.db')}`,
    ...(sink === undefined ? {} : otlpEnvironment(sink)),
  });
  const settle = (): Promise<void> => waitForDelivery(exporter);
  return { name, what, ...exporter, sink, settle, answered: 0, cpuMicroseconds: [], results: [] };
}

async function measure(variant: Variant, loadSeconds: number): Promise<void> {
  const before = cpuMicroseconds(variant.child);
  const result = await runLoad(variant.port, loadSeconds);
  await variant.settle();
  variant.answered += result.answered;
  variant.results.push(result);
  variant.cpuMicroseconds.push((cpuMicroseconds(variant.child) - before) / result.answered);
}

function printFigures({ name, what, child, results, cpuMicroseconds }: Variant): void {
  const figure = (values: number[], width: number, digits = 0): string =>
    median(values).toFixed(digits).padStart(width);
  console.log(
    `${name}  ${what}`.padEnd(30),
    figure(cpuMicroseconds, 15),
    figure(
      results.map(({ perSecond }) => perSecond),
      12,
    ),
    figure(
      results.map(({ p50Ms }) => p50Ms),
      8,
      1,
    ),
    figure(
      results.map(({ p99Ms }) => p99Ms),
      8,
      1,
    ),
    figure([residentMegabytes(child)], 8),
  );
}

/** Round by round, since a noisy neighbour slows both of one round. */
function printRatio(over: string, under: string): void {
  const [x, y] = [over, under].map(name => variants.find(variant => variant.name === name));
  if (x === undefined || y === undefined) return;
  const cpu = median(x.cpuMicroseconds.map((value, round) => value / y.cpuMicroseconds[round]!));
  const p99 = median(x.results.map(({ p99Ms }, round) => p99Ms / y.results[round]!.p99Ms));
  console.log(`${over}/${under}  CPU ${cpu.toFixed(2)}   p99 ${p99.toFixed(2)}`);
}

async function printDelivery({ name, answered, sink }: Variant): Promise<void> {
  if (sink === undefined) return;
  const response = await fetch(`http://127.0.0.1:${sink}/summary`);
  const { traces, logs } = (await response.json()) as Record<'traces' | 'logs', { distinct: number }>;
  const share = (count: number): string => `${count} (lost ${((1 - count / answered) * 100).toFixed(1)} %)`;
  console.log(
    `${name} answered ${answered}, delivered ${share(traces.distinct)} spans, ${share(logs.distinct)} log records`,
  );
}
