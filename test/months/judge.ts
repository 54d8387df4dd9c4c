/**
 * Puts a month before the rules, in Prometheus' own engine, and compares what fired with what had happened.
 *
 * `promtool test rules` evaluates the rules minute by minute; a question at every minute, with the expectation that
 * nothing fires, makes it print everything that does.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { ErrorCategory } from '../../src/callback/exception.ts';
import type { Alert, RecordingRule, RuleGroup } from '../../src/grafana/rules/model.ts';
import type { Incident, IncidentKind, Month } from './app.ts';
import { inputSeries } from './exporter.ts';

/** One alert from its first firing minute to its last, both included. */
export interface Episode {
  alert: string;
  severity: string;
  labels: Record<string, string>;
  from: number;
  to: number;
}

export interface Verdict {
  /** Per incident, minutes to the first alert that counts; null where none came. */
  found: { incident: Incident; minutes: number | null }[];
  /** Alerts that no incident explains. */
  isFalse: Episode[];
  /** How many alerts began in an incident, its own and others. */
  notifications: number;
}

/** Rule files as Prometheus reads them; every JSON document is a YAML document. */
export function ruleFile(groups: readonly RuleGroup<RecordingRule | Alert>[]): string {
  return JSON.stringify({
    groups: groups.map(({ name, rules }) => ({
      name,
      rules: rules.map(rule =>
        'record' in rule
          ? { record: rule.record, expr: rule.expr }
          : {
              alert: rule.name,
              expr: rule.expr,
              for: rule.for,
              keep_firing_for: rule.keepFiringFor,
              labels: { severity: rule.severity },
            },
      ),
    })),
  });
}

/** Everything that fires in a month under `rules`, the text of a rule file. */
export async function evaluate(month: Month, rules: string): Promise<Episode[]> {
  const directory = await mkdtemp(join(tmpdir(), 'months-'));
  try {
    await writeFile(join(directory, 'rules.yml'), rules);
    const questions = Array.from({ length: month.minutes }, (_, minute) => ({
      expr: 'ALERTS{alertstate="firing"}',
      eval_time: `${minute}m`,
    }));
    const test = {
      rule_files: ['rules.yml'],
      evaluation_interval: '1m',
      // Without it, promtool takes groups in any order, and alerts see recorded series a minute late.
      group_eval_order: (parse(rules) as { groups: { name: string }[] }).groups.map(({ name }) => name),
      tests: [{ interval: '1m', input_series: inputSeries(month), promql_expr_test: questions }],
    };
    await writeFile(join(directory, 'test.yml'), JSON.stringify(test));
    return episodes(await promtool(join(directory, 'test.yml')));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function promtool(file: string): Promise<string> {
  const child = spawn('promtool', ['test', 'rules', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', text => output.push(text));
  }
  await new Promise(resolve => child.on('close', resolve));
  return output.join('');
}

/** From promtool's complaints: `time: 1h5m,` and then `got: {__name__="ALERTS", …} 1E+00, {…} 1E+00`. */
function episodes(output: string): Episode[] {
  const open = new Map<string, Episode>();
  const all: Episode[] = [];
  let minute = 0;
  for (const line of output.split('\n')) {
    const time = /time: ([0-9dhms]+),/.exec(line)?.[1];
    if (time !== undefined) minute = minutesOf(time);
    if (/error|panic/i.test(line) && !line.includes('alertname')) throw new Error(`promtool: ${line}`);
    if (!line.trimStart().startsWith('got:') && !line.includes('got:')) continue;
    for (const [text] of line.matchAll(/\{[^}]*\}/g)) {
      const labels = Object.fromEntries(
        [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]),
      );
      const known = open.get(text);
      if (known !== undefined && known.to >= minute - 1) {
        known.to = minute;
        continue;
      }
      const { alertname, severity, __name__: _, alertstate: __, job: ___, ...rest } = labels;
      const episode = { alert: alertname!, severity: severity!, labels: rest, from: minute, to: minute };
      open.set(text, episode);
      all.push(episode);
    }
  }
  return all;
}

function minutesOf(duration: string): number {
  const units: Record<string, number> = { d: 1440, h: 60, m: 1, s: 0 };
  return [...duration.matchAll(/(\d+)([dhms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * units[unit!]!,
    0,
  );
}

const ofCategory: Partial<Record<ErrorCategory, string>> = {
  internal_error: 'TencentChatServerInternalErrors',
  moderated: 'TencentChatModerationSurge',
  rate_limited: 'TencentChatRateLimitSurge',
  muted: 'TencentChatMassMute',
  rejected_by_app: 'TencentChatAppCallbackRejecting',
  quota_exceeded: 'TencentChatQuotaExhausted',
};
const spike = 'TencentChatExceptionSpike';

function isOwn({ kind, category, platform }: Incident, { alert, labels }: Episode): boolean {
  switch (kind) {
    case 'stopped':
      return alert === 'TencentChatCallbacksStopped';
    case 'new code':
      return alert === 'TencentChatNewErrorCode';
    case 'platform':
      if (alert === 'TencentChatPlatformRegression') return labels.platform === platform;
      return alert === spike && (category === null || labels.error_category === category);
    default: {
      const own = ofCategory[category!] ?? spike;
      return alert === own && (own !== spike || labels.error_category === category);
    }
  }
}

/** An alert may come so long after an incident's end, since windows and averages look back. */
const afterMinutes = 75;

export function judge({ incidents }: Month, all: readonly Episode[]): Verdict {
  const found = incidents.map(incident => {
    // One that had been firing from before says nothing about this incident, but nobody would be called again.
    const first = all
      .filter(
        episode =>
          isOwn(incident, episode) && episode.to >= incident.from && episode.from <= incident.to + 10,
      )
      .sort((one, other) => one.from - other.from)[0];
    return { incident, minutes: first === undefined ? null : Math.max(0, first.from - incident.from) };
  });
  const isExplained = ({ from }: Episode) =>
    incidents.some(incident => from >= incident.from && from <= incident.to + afterMinutes);
  return {
    found,
    isFalse: all.filter(episode => episode.severity !== 'none' && !isExplained(episode)),
    notifications: all.filter(isExplained).length,
  };
}

export interface Summary {
  kind: IncidentKind | 'all';
  incidents: number;
  found: number;
  medianMinutes: number;
  p95Minutes: number;
}

/** Per kind, and over all. Incidents of the first day, while nothing is learned, are left out with `fromMinute`. */
export function summarize(
  verdicts: readonly Verdict[],
  keep: (incident: Incident) => boolean = () => true,
): Summary[] {
  const all = verdicts.flatMap(({ found }) => found).filter(({ incident }) => keep(incident));
  const kinds = [...new Set(all.map(({ incident }) => incident.kind))].sort();
  return [...kinds, 'all' as const].map(kind => {
    const some = all.filter(({ incident }) => kind === 'all' || incident.kind === kind);
    const times = some.flatMap(({ minutes }) => (minutes === null ? [] : [minutes])).sort((a, b) => a - b);
    const quantile = (share: number) =>
      times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? Number.NaN;
    return {
      kind,
      incidents: some.length,
      found: times.length,
      medianMinutes: quantile(0.5),
      p95Minutes: quantile(0.95),
    };
  });
}
