/** Every query of every dashboard, asked of a real Prometheus that holds a day of believable traffic. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dashboards } from '../../src/grafana/dashboards/files.ts';
import { annotations } from '../../src/grafana/dashboards/queries.ts';
import { metricTable } from '../../src/metrics/table.ts';
import { substitute } from './dashboard-lint.ts';
import { type DayOptions, dayEnd, writeDay } from './day.ts';
import { startDayServer } from './day-server.ts';

/** A quarter of the pictures' samples. A window of five minutes holds two of them, wherever it begins. */
const options: DayOptions = { dayStepSeconds: 150, weekStepSeconds: 150, combinations: 2, replicas: 3 };

const live = suite('dashboards, live');

live('the day has every metric of the exporter', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tencent-chat-exporter-'));
  try {
    const file = join(directory, 'day.txt');
    writeDay(file, { dayStepSeconds: 3600, weekStepSeconds: 86_400, combinations: 1 });
    const text = readFileSync(file, 'utf8');
    for (const { name, type, labels } of Object.values(metricTable)) {
      const shown = type === 'histogram' ? `${name}_bucket` : name;
      const [, found] = new RegExp(`^${shown}\\{(.*)\\} `, 'm').exec(text) ?? [];
      assert.ok(found !== undefined, shown);
      for (const label of labels) assert.ok(found.includes(`${label}="`), `${shown} has ${label}`);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
});

live('with three replicas every panel and annotation has data, and only finite numbers', async () => {
  const server = await startDayServer(options);
  const problems: string[] = [];
  let asked = 0;

  async function values(expr: string, isInstant: boolean): Promise<string[]> {
    const moments: Record<string, string> = isInstant
      ? { time: `${dayEnd}` }
      : { start: `${dayEnd - 86_400}`, end: `${dayEnd}`, step: '480' };
    const body = new URLSearchParams({ query: expr, ...moments });
    const response = await fetch(`${server.url}/api/v1/${isInstant ? 'query' : 'query_range'}`, {
      method: 'POST',
      body,
    });
    const answer = (await response.json()) as {
      error?: string;
      data: { result: { value?: [number, string]; values?: [number, string][] }[] };
    };
    if (answer.error) throw new Error(`${answer.error} in ${expr}`);
    return answer.data.result.flatMap(({ value, values }) => (values ?? [value!]).map(([, text]) => text));
  }

  async function check(where: string, expr: string, isInstant: boolean) {
    asked++;
    const found = await values(substitute(expr), isInstant);
    if (found.length === 0) problems.push(`${where}: empty`);
    const odd = found.find(text => !Number.isFinite(Number(text)));
    if (odd !== undefined) problems.push(`${where}: ${odd}`);
  }

  try {
    for (const { uid, rows } of dashboards) {
      for (const { title, queries } of rows.flatMap(row => row.panels)) {
        for (const query of queries) {
          if (query.source === 'prometheus')
            await check(`${uid} › ${title}`, query.expr, query.isInstant ?? false);
        }
      }
    }
    for (const { name, expr } of annotations) await check(`annotation ${name}`, expr, false);
    assert.equal(await values(substitute('sum(no_such_metric{job=~"$job"})'), true), [], 'emptiness is seen');
  } finally {
    await server.close();
  }
  assert.equal(problems, []);
  assert.ok(asked > 80, `${asked} queries`);
});

live.run();
