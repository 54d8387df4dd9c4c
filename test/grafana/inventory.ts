/**
 * What PromQL expressions name, held against what there is: which metrics with which labels, and whether the labels
 * get as far as the expression uses them. For rules, dashboards and runbooks alike.
 *
 *     const known = await knownSeries();                       // a real exporter's /metrics, recorded series, up, ALERTS
 *     readPromql('sum by (plattform) (rate(…[5m]))', known).problems   // ['by (plattform): no such label in …']
 *     promtoolCheckQueries([…])                                // Prometheus' own parser, '' when it has no complaint
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SyntaxNode } from '@lezer/common';
import { parser } from '@prometheus-io/lezer-promql';
import { alertGroups, recordingGroups } from '../../src/grafana/rules/files.ts';
import type { RuleGroup } from '../../src/grafana/rules/model.ts';
import { startExporter } from '../support/exporter.ts';
import { until } from '../support/prometheus.ts';
import { sampleBody } from '../support/samples.ts';

/** The name of a series → the labels it can have. */
export type SeriesLabels = ReadonlyMap<string, ReadonlySet<string>>;

export interface Selector {
  name: string;
  /** Labels that its matchers name. */
  labels: string[];
  /** Functions, aggregations and operators around it, innermost first: `['increase', 'sum', '>']`. */
  within: string[];
  /** `5m` of `[5m]` or of `[5m:1m]`, the innermost; `null` where there is none. */
  window: string | null;
}

export interface PromqlReading {
  /** Labels that the result can have; `null` for a scalar. */
  labels: ReadonlySet<string> | null;
  selectors: Selector[];
  /** What is misspelt, unknown or lost on the way. */
  problems: string[];
}

/** Labels that Prometheus adds to whatever it scrapes. */
const targetLabels = ['job', 'instance'];

/** Series of a target that Prometheus makes itself. */
const ownSeries = [
  'up',
  'scrape_duration_seconds',
  'scrape_samples_scraped',
  'scrape_samples_post_metric_relabeling',
  'scrape_series_added',
];

/** The series of a real exporter that has counted an exception and refused a callback, read off its `/metrics`. */
export async function exporterSeries(): Promise<SeriesLabels> {
  // With so little room garbage is collected soon; before, there is no series of it.
  const exporter = await startExporter({ nodeArgs: ['--max-semi-space-size=1'] });
  try {
    await exporter.post(sampleBody());
    await exporter.post(sampleBody({ Random: 2, ErrorCode: 80001 }));
    await exporter.post('not JSON');
    const body = await until(async () => {
      const answer = await exporter.get('/metrics');
      return answer.body.includes('\nnodejs_gc_') && answer.body;
    }, 'a collection of garbage');
    const series = new Map<string, Set<string>>();
    for (const line of body.split('\n').filter(line => line !== '' && !line.startsWith('#'))) {
      const [, name, labels = ''] = /^(\w+)(?:\{(.*)\})? /.exec(line)!;
      const known = series.get(name!) ?? new Set(targetLabels);
      for (const [, label] of labels.matchAll(/(\w+)="(?:[^"\\]|\\.)*"/g)) known.add(label!);
      series.set(name!, known);
    }
    for (const name of ownSeries) series.set(name, new Set(targetLabels));
    return series;
  } finally {
    await exporter.kill('SIGKILL');
  }
}

/** What rules may rest on, and what is wrong with them: series of the exporter, recorded series, `ALERTS`. */
export function ruleSeries(
  exporter: SeriesLabels,
  groups: readonly RuleGroup[],
): { known: SeriesLabels; problems: string[] } {
  const known = new Map(exporter);
  const rules = groups.flatMap(group => group.rules);
  const problems: string[] = [];
  const alertLabels = new Set(['alertname', 'alertstate', 'severity']);
  for (const rule of rules) {
    const name = 'record' in rule ? rule.record : rule.name;
    const { labels, problems: found } = readPromql(rule.expr, known);
    problems.push(...found.map(problem => `${name}: ${problem}`));
    if ('record' in rule) known.set(name, new Set([...(known.get(name) ?? []), ...(labels ?? [])]));
    else for (const label of labels ?? []) alertLabels.add(label);
  }
  known.set('ALERTS', alertLabels);
  known.set('ALERTS_FOR_STATE', alertLabels);
  return { known, problems };
}

/** All that an expression may name. Takes a second: it starts an exporter. */
export async function knownSeries(): Promise<SeriesLabels> {
  return ruleSeries(await exporterSeries(), [...recordingGroups, ...alertGroups]).known;
}

/** `name` is unknown, a label never there, a label summed away before it is used, or two sides that never match. */
export function readPromql(expr: string, known: SeriesLabels): PromqlReading {
  const selectors: Selector[] = [];
  const problems: string[] = [];
  const text = ({ from, to }: SyntaxNode): string => expr.slice(from, to);
  const shown = (node: SyntaxNode): string => text(node).replace(/\s+/g, ' ').slice(0, 80);

  parser.parse(expr).iterate({
    enter(node) {
      if (node.type.isError)
        problems.push(`no PromQL at character ${node.from}: ${expr.slice(node.from, node.from + 20)}`);
    },
  });
  const tree = parser.parse(expr).topNode.firstChild;
  if (problems.length > 0 || tree === null) return { labels: null, selectors, problems };

  /** Complains of each label that is not among `labels`. */
  function require(wanted: readonly string[], labels: ReadonlySet<string>, where: string, node: SyntaxNode) {
    for (const label of wanted) {
      if (!labels.has(label)) problems.push(`${where}: no label ${label} in ${shown(node)}`);
    }
  }

  function groupingLabels(node: SyntaxNode | null): string[] {
    return children(node)
      .filter(child => child.name === 'LabelName')
      .map(text);
  }

  function readSelector(node: SyntaxNode, within: string[], window: string | null): ReadonlySet<string> {
    const matchers = children(node.getChild('LabelMatchers'));
    const labels: string[] = [];
    let name = node.getChild('Identifier') ? text(node.getChild('Identifier')!) : '';
    for (const matcher of matchers) {
      const label = matcher.getChild('LabelName');
      if (label === null) problems.push(`${shown(node)}: only plain label names are read here`);
      else if (text(label) !== '__name__') labels.push(text(label));
      else if (matcher.getChild('MatchOp')?.getChild('EqlSingle')) name = unquote(text(matcher.lastChild!));
    }
    selectors.push({ name, labels, within, window });
    const found = known.get(name);
    if (found === undefined) {
      problems.push(name === '' ? `${shown(node)}: name the metric` : `${name}: no such metric`);
      return new Set(labels);
    }
    require(labels, found, 'matcher', node);
    return found;
  }

  function readCall(node: SyntaxNode, within: string[], window: string | null): ReadonlySet<string> | null {
    const name = text(node.getChild('FunctionIdentifier')!);
    const parameters = children(node.getChild('FunctionCallBody'));
    const read = parameters.map(parameter => readNode(parameter, [name, ...within], window));
    if (name === 'absent' || name === 'absent_over_time') {
      const matchers = selectors.at(-1)?.labels ?? [];
      return new Set(matchers);
    }
    if (['scalar', 'time', 'pi'].includes(name)) return null;
    const labels = new Set(read.flatMap(one => [...(one ?? [])]));
    if (name === 'label_replace' || name === 'label_join') {
      const words = parameters.slice(1).map(parameter => unquote(text(parameter)));
      const [target, ...rest] = words;
      const sources =
        name === 'label_replace' ? rest.slice(1, 2).filter(label => label !== '') : rest.slice(1);
      require(sources, labels, name, parameters[0]!);
      labels.add(target!);
    }
    if (name === 'histogram_quantile') {
      require(['le'], labels, name, parameters[1]!);
      labels.delete('le');
    }
    return labels;
  }

  function readAggregation(node: SyntaxNode, within: string[], window: string | null): ReadonlySet<string> {
    const name = text(node.getChild('AggregateOp')!);
    const parameters = children(node.getChild('FunctionCallBody'));
    const inner = parameters.at(-1)!;
    const labels = readNode(inner, [name, ...within], window) ?? new Set();
    const modifier = node.getChild('AggregateModifier');
    const grouping = groupingLabels(modifier?.getChild('GroupingLabels') ?? null);
    require(grouping, labels, modifier === null ? name : text(modifier), inner);
    // These pick series, and leave them as they are.
    if (['topk', 'bottomk', 'limitk', 'limit_ratio'].includes(name)) return labels;
    const result = new Set(
      modifier?.getChild('Without') ? [...labels].filter(label => !grouping.includes(label)) : grouping,
    );
    if (name === 'count_values') result.add(unquote(text(parameters[0]!)));
    return result;
  }

  function readBinary(node: SyntaxNode, within: string[], window: string | null): ReadonlySet<string> | null {
    const [left, right] = [node.firstChild!, node.lastChild!];
    const operator = text(children(node)[1]!);
    const [ofLeft, ofRight] = [left, right].map(side => readNode(side, [operator, ...within], window)) as [
      ReadonlySet<string> | null,
      ReadonlySet<string> | null,
    ];
    if (ofLeft === null || ofRight === null) return ofLeft ?? ofRight;
    const clause = node.getChild('MatchingModifierClause');
    const [matching, included] = (clause?.getChildren('GroupingLabels') ?? []).map(groupingLabels) as [
      string[]?,
      string[]?,
    ];
    const isOn = clause?.getChild('On') != null;
    const matched = (labels: ReadonlySet<string>): string[] =>
      (isOn ? matching! : [...labels].filter(label => !matching?.includes(label))).sort();
    if (isOn) {
      require(matching!, ofLeft, text(clause!), left);
      require(matching!, ofRight, text(clause!), right);
    } else {
      require(matching ?? [], new Set([...ofLeft, ...ofRight]), clause ? text(clause) : '', node);
      // `a or b` takes what has no partner: that sides differ is no mistake there.
      if (operator !== 'or' && matched(ofLeft).join() !== matched(ofRight).join()) {
        problems.push(
          `${operator} never matches: ${shown(left)} has {${[...ofLeft]}}, ${shown(right)} has {${[...ofRight]}}`,
        );
      }
    }
    if (operator === 'or') return new Set([...ofLeft, ...ofRight]);
    if (['and', 'unless'].includes(operator)) return ofLeft;
    for (const [group, many, one, oneSide] of [
      ['GroupLeft', ofLeft, ofRight, right],
      ['GroupRight', ofRight, ofLeft, left],
    ] as const) {
      if (!clause?.getChild(group)) continue;
      require(included ?? [], one, text(clause), oneSide);
      return new Set([...many, ...(included ?? [])]);
    }
    return new Set(matched(ofLeft));
  }

  function readNode(node: SyntaxNode, within: string[], window: string | null): ReadonlySet<string> | null {
    switch (node.name) {
      case 'NumberDurationLiteral':
      case 'StringLiteral':
        return null;
      case 'VectorSelector':
        return readSelector(node, within, window);
      case 'MatrixSelector':
      case 'SubqueryExpr':
        return readNode(node.firstChild!, within, text(node.getChild('DurationExpr')!));
      case 'OffsetExpr':
      case 'StepInvariantExpr':
      case 'ParenExpr':
        return readNode(node.firstChild!, within, window);
      case 'UnaryExpr':
        return readNode(node.lastChild!, within, window);
      case 'FunctionCall':
        return readCall(node, within, window);
      case 'AggregateExpr':
        return readAggregation(node, within, window);
      case 'BinaryExpr':
        return readBinary(node, within, window);
      default:
        throw new Error(`a part of PromQL that is not read here: ${node.name} in ${expr}`);
    }
  }

  return { labels: readNode(tree, [], null), selectors, problems };
}

/** Each expression through Prometheus' own parser, as a recording rule. What it says, or '' when it has no complaint. */
export function promtoolCheckQueries(exprs: readonly string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'tencent-chat-exporter-'));
  try {
    const file = join(directory, 'queries.json');
    const rules = exprs.map((expr, index) => ({ record: `query:${index}`, expr }));
    writeFileSync(file, JSON.stringify({ groups: [{ name: 'queries', rules }] }));
    const { status, stdout, stderr, error } = spawnSync('promtool', ['check', 'rules', file], {
      encoding: 'utf8',
    });
    if (error) throw error;
    return status === 0 ? '' : `${stdout}${stderr}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function children(node: SyntaxNode | null): SyntaxNode[] {
  const found: SyntaxNode[] = [];
  for (let child = node?.firstChild ?? null; child !== null; child = child.nextSibling) found.push(child);
  return found;
}

/** `"a\\.b"` → `a\.b`; PromQL's strings are quoted by `"`, `'` or a backtick. */
function unquote(literal: string): string {
  const inner = literal.slice(1, -1);
  return literal.startsWith('`') ? inner : inner.replace(/\\(.)/g, '$1');
}
