/**
 * A real Prometheus that holds the day of day.ts, with the recording rules computed over it.
 *
 *     node test/grafana/day-server.ts        prints its address and the day's end; ends with Ctrl-C
 *
 * For pictures of the dashboards: draw `grafana/dashboards/*.json` over that address, up to that end, with a scrape
 * interval of 60 s, and keep them as `grafana/pictures/<uid>.png`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { dashboards } from '../../src/grafana/dashboards/files.ts';
import { recordingGroups } from '../../src/grafana/rules/files.ts';
import type { RecordingRule } from '../../src/grafana/rules/model.ts';
import { servePrometheus } from '../support/prometheus.ts';
import { type DayOptions, dayEnd, dayStart, weekStart, writeDay } from './day.ts';

export interface DayServer {
  url: string;
  close(): Promise<void>;
}

interface Matrix {
  result: { metric: Record<string, string>; values: [at: number, value: string][] }[];
}

/** For pictures. A test can do with less. */
export const pictureOptions: DayOptions = { dayStepSeconds: 60, weekStepSeconds: 120, combinations: 8 };

/** The day is of the past. */
const keepAll = ['--storage.tsdb.retention.time=10y'];

/** Resolves when the day can be queried. */
export async function startDayServer(options: DayOptions): Promise<DayServer> {
  const directory = await mkdtemp(join(tmpdir(), 'prometheus-day-'));
  try {
    const text = join(directory, 'day.txt');
    writeDay(text, options);
    backfill(directory, text);
    await rm(text);
    // A rule may name what another records: each round computes those whose sources are all there.
    let waiting = neededRules();
    while (waiting.length > 0) {
      const names = waiting.map(({ record }) => record);
      const ready = waiting.filter(({ expr }) => !namesIn(expr).some(name => names.includes(name)));
      if (ready.length === 0) throw new Error(`recording rules in a circle: ${names.join(', ')}`);
      await record(directory, ready, options);
      waiting = waiting.filter(rule => !ready.includes(rule));
    }
    const server = await servePrometheus(directory, {}, keepAll);
    return {
      url: server.url,
      async close() {
        await server.close();
        await rm(directory, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

const namesIn = (expr: string): string[] => expr.match(/\w+:\w+:\w+/g) ?? [];

/** The rules that dashboards name, and those that these rest on. */
function neededRules(): RecordingRule[] {
  const rules = recordingGroups.flatMap(group => group.rules);
  const needed = new Set<RecordingRule>();
  function need(expr: string) {
    for (const rule of rules.filter(({ record }) => namesIn(expr).includes(record))) {
      if (needed.has(rule)) continue;
      needed.add(rule);
      need(rule.expr);
    }
  }
  for (const { rows } of dashboards) {
    for (const { panels } of rows)
      for (const { queries } of panels) for (const { expr } of queries) need(expr);
  }
  return [...needed];
}

/** Blocks as large as may be: promtool reads the whole text once for each. */
function backfill(directory: string, text: string) {
  const { status, stderr } = spawnSync(
    'promtool',
    [
      'tsdb',
      'create-blocks-from',
      'openmetrics',
      '--quiet',
      '--max-block-duration=162h',
      text,
      join(directory, 'data'),
    ],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(`promtool: ${stderr}`);
}

async function record(directory: string, rules: readonly RecordingRule[], options: DayOptions) {
  const server = await servePrometheus(directory, {}, keepAll);
  const parts: string[] = [];
  try {
    for (const { record, expr } of rules) {
      const ranges = [
        { from: weekStart, to: dayStart - 1, step: options.weekStepSeconds },
        { from: dayStart, to: dayEnd, step: options.dayStepSeconds },
      ];
      const found = new Map<string, string[]>();
      for (const { from, to, step } of ranges) {
        const start = Math.ceil(from / step) * step;
        const query = new URLSearchParams({ query: expr, start: `${start}`, end: `${to}`, step: `${step}` });
        const response = await fetch(`${server.url}/api/v1/query_range`, { method: 'POST', body: query });
        const answer = (await response.json()) as { status: string; error?: string; data: Matrix };
        if (answer.status !== 'success') throw new Error(`${record}: ${answer.error}`);
        for (const { metric, values } of answer.data.result) {
          const { __name__, ...labels } = metric;
          const text = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
          const lines = found.get(text.join()) ?? [];
          for (const [at, value] of values) lines.push(`${record}{${text}} ${value} ${at}\n`);
          found.set(text.join(), lines);
        }
      }
      for (const lines of found.values()) parts.push(lines.join(''));
    }
  } finally {
    await server.close();
  }
  if (parts.length === 0) return;
  const text = join(directory, 'recorded.txt');
  await writeFile(text, `${parts.join('')}# EOF\n`);
  backfill(directory, text);
  await rm(text);
}

if (import.meta.main) {
  const server = await startDayServer(pictureOptions);
  console.log(`${server.url} up to ${new Date(dayEnd * 1000).toISOString()}`);
  process.once('SIGINT', server.close);
  process.once('SIGTERM', server.close);
}
