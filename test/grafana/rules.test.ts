/**
 * The rule files: Prometheus takes them, they keep to the conventions, what they name exists, and every alert is shown
 * quiet, firing and resolved by promtool. What each check refuses is shown on a planted mistake.
 */
import { execFile, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { grafanaFolder } from '../../src/grafana/generate.ts';
import {
  alertGroups,
  type PrometheusGroup,
  type PrometheusRule,
  recordingGroups,
} from '../../src/grafana/rules/files.ts';
import { links, thresholds } from '../../src/grafana/settings.ts';
import { metricTable } from '../../src/metrics/table.ts';
import {
  exporterSeries,
  promtoolCheckQueries,
  readPromql,
  ruleSeries,
  type SeriesLabels,
} from './inventory.ts';

type AlertRule = Extract<PrometheusRule, { alert: string }>;

const folder = join(grafanaFolder, 'rules');
const testFiles = readdirSync(join(folder, 'tests')).filter(name => name.endsWith('.yml'));
const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
const rulesOf = (file: string): PrometheusRule[] =>
  (parse(read(file)).groups as PrometheusGroup[]).flatMap(group => group.rules);
const alerts = rulesOf('alerts.yml') as AlertRule[];

const exporter = await exporterSeries();
const { known, problems: seriesProblems } = ruleSeries(exporter, [...recordingGroups, ...alertGroups]);

/** Four scrapes at the usual 15 s, so that one may be missed. */
const windowSecondsMin = 60;

const unitSeconds: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** `1h30m` → 5400. */
function seconds(duration: string): number {
  return [...duration.matchAll(/(\d+)([smhdw])/g)].reduce(
    (sum, [, number, unit]) => sum + Number(number) * unitSeconds[unit!]!,
    0,
  );
}

const counterName = /_(?:total|bucket|count|sum)$/;

/** Always 1, or constant as long as a process lives: nothing to smooth. */
const constants: string[] = [
  metricTable.buildInfo.name,
  metricTable.errorCodeInfo.name,
  'process_start_time_seconds',
];

/** What both kinds of rules keep to. */
function exprProblems(expr: string, series: SeriesLabels): string[] {
  const { selectors, labels, problems: found } = readPromql(expr, series);
  const problems = [...found];
  if (labels !== null && labels.size > 0 && !labels.has('job')) problems.push('the job is lost');
  for (const { name, within, window } of selectors) {
    if (window !== null && seconds(window) < windowSecondsMin) problems.push(`${name}[${window}] is short`);
    const isCounted = within.includes('rate') || within.includes('increase');
    // A process younger than the window has counted all of its total within it.
    const isOfYoung =
      within[0] === '>' && within[1] === 'and' && expr.includes('time() - process_start_time_seconds < ');
    if (counterName.test(name) && !isCounted && !isOfYoung)
      problems.push(`${name} outside rate and increase`);
    if (!counterName.test(name) && isCounted) problems.push(`${name} is no counter`);
  }
  return problems;
}

function recordingProblems(
  { record, expr }: { record: string; expr: string },
  series: SeriesLabels,
): string[] {
  const problems = exprProblems(expr, series);
  const [, level] = /^([a-z_]+):[a-z_]+:[a-z0-9_]+$/.exec(record) ?? [];
  if (level === undefined) return [...problems, 'is not named level:metric:operations'];
  const given = [...(readPromql(expr, series).labels ?? [])];
  // A code has one category: who names the code need not name the category.
  const labels = given.filter(label => label !== 'error_category' || !given.includes('error_code'));
  // Longer ones first: `error_code` is no `code`.
  const rest = labels
    .sort((a, b) => b.length - a.length)
    .reduce(
      (text, label) => (text.includes(label) ? text.replace(label, '') : `${text} lacks ${label}`),
      level,
    );
  if (/[^_]/.test(rest)) problems.push(`its level does not name its labels ${labels}`);
  return problems;
}

function alertProblems(rule: AlertRule, series: SeriesLabels): string[] {
  const problems = exprProblems(rule.expr, series);
  const check = (isRight: boolean, problem: string): void => {
    if (!isRight) problems.push(problem);
  };
  const { selectors, labels } = readPromql(rule.expr, series);
  const { summary, description, runbook_url, dashboard_url } = rule.annotations;
  const isAct = ['critical', 'warning'].includes(rule.labels.severity ?? '');

  check(/^TencentChat([A-Z][a-z]+)+$/.test(rule.alert), 'is not named TencentChat…');
  check(isAct || ['info', 'none'].includes(rule.labels.severity ?? ''), 'has no severity');
  check(/\.$/.test(summary) && !summary.includes('{{'), 'has no static summary with a full stop');
  check(/\.$/.test(description), 'has no description with a full stop');
  check(rule.labels.severity === 'none' || description.includes('{{'), 'has no value in its description');
  check(runbook_url === `${links.runbooksUrl}/${rule.alert}.md`, 'has no runbook_url');
  check(
    Object.values(dashboardUids).some(uid => dashboard_url.split('?')[0] === `${links.grafanaUrl}/d/${uid}`),
    'has no dashboard_url',
  );
  check(
    !labels?.has('job') || dashboard_url.includes('?var-job={{ $labels.job | urlquery }}'),
    'leads to all jobs',
  );
  for (const [, label] of Object.values(rule.annotations)
    .join()
    .matchAll(/\$labels\.(\w+)/g)) {
    check(labels?.has(label!) === true, `speaks of the label ${label}, which it has not`);
  }
  check(!isAct || rule.for !== undefined, 'fires at once');
  check(!rule.expr.includes('absent(') || rule.for !== undefined, 'uses absent() without for');
  for (const { name, within } of selectors) {
    const isGauge =
      exporter.has(name) && name !== 'up' && !counterName.test(name) && !constants.includes(name);
    const isSmooth = within.some(operation => operation.endsWith('_over_time'));
    check(!isGauge || isSmooth, `${name} can flap with one scrape`);
  }
  return problems;
}

const severityOf = (rule: AlertRule): string => `${rule.alert} (${rule.labels.severity})`;

interface RuleTest {
  alert_rule_test?: {
    eval_time: string;
    alertname: string;
    exp_alerts?: { exp_labels: Record<string, string>; exp_annotations: Record<string, string> }[];
  }[];
}

/** Alerts that no test shows quiet, then firing, then resolved; tests of what is no alert, or of a broken link. */
function untested(rules: readonly AlertRule[], tests: readonly RuleTest[]): string[] {
  const evaluations = tests.map(test =>
    (test.alert_rule_test ?? []).toSorted((a, b) => seconds(a.eval_time) - seconds(b.eval_time)),
  );
  const isShown = (rule: AlertRule): boolean =>
    evaluations.some(ofTest => {
      const states = ofTest
        .filter(({ alertname }) => alertname === rule.alert)
        .map(({ exp_alerts = [] }) =>
          exp_alerts.some(({ exp_labels }) => exp_labels.severity === rule.labels.severity)
            ? 'firing'
            : 'quiet',
        );
      // What always fires is never quiet.
      if (rule.expr === 'vector(1)') return states.includes('firing');
      return /quiet.*firing.*quiet/.test(states.join());
    });
  const all = evaluations.flat();
  const names = new Set(rules.map(rule => rule.alert));
  return [
    ...rules.filter(rule => !isShown(rule)).map(rule => `${severityOf(rule)} is not shown`),
    ...all
      .filter(({ alertname }) => !names.has(alertname))
      .map(({ alertname }) => `${alertname} is no alert`),
    ...all
      .flatMap(({ exp_alerts = [] }) => exp_alerts)
      .flatMap(({ exp_annotations = {} }) => Object.values(exp_annotations))
      .filter(text => /<no value>|<error|var-\w+=(?:&|$)/.test(text))
      .map(text => `an empty value: ${text}`),
  ];
}

/**
 * The groups of these alerts and of what is recorded for them: `tencent-chat.exporter.rules` goes with
 * `tencent-chat.exporter.alerts`. Left to itself, promtool 2.42 takes groups in an order of chance, and an alert may
 * come one evaluation later.
 */
function evaluationOrder(tests: readonly RuleTest[]): string[] {
  const names = tests.flatMap(test => (test.alert_rule_test ?? []).map(({ alertname }) => alertname));
  const subjects = alertGroups
    .filter(group => group.rules.some(rule => names.includes(rule.name)))
    .map(group => group.name.replace(/alerts$/, ''));
  return [...recordingGroups, ...alertGroups]
    .map(group => group.name)
    .filter(name => subjects.some(subject => name.startsWith(subject)));
}

const tests = testFiles.flatMap(file => parse(read(`tests/${file}`)).tests as RuleTest[]);

const rules = suite('rules');

for (const file of ['recording.yml', 'alerts.yml']) {
  rules(`promtool takes ${file}`, () => {
    const { status, stdout, stderr } = spawnSync(
      'promtool',
      ['check', 'rules', '--lint=all', '--lint-fatal', join(folder, file)],
      {
        encoding: 'utf8',
      },
    );
    assert.is(status, 0, `${stdout}${stderr}`);
  });
}

rules('recording rules are named after their labels, keep the job, and name what exists', () => {
  const recording = rulesOf('recording.yml') as { record: string; expr: string }[];
  assert.ok(recording.length >= 15);
  assert.equal(
    recording.flatMap(rule => recordingProblems(rule, known).map(problem => `${rule.record} ${problem}`)),
    [],
  );
});

rules('alerts keep to the conventions, and name what exists', () => {
  assert.ok(alerts.length >= 25);
  assert.equal(
    alerts.flatMap(rule => alertProblems(rule, known).map(problem => `${severityOf(rule)}: ${problem}`)),
    [],
  );
});

rules('rules rest on what is recorded before them', () => {
  assert.equal(seriesProblems, []);
});

rules('the same alert and severity stands once', () => {
  const names = alerts.map(severityOf);
  assert.is(new Set(names).size, names.length);
});

rules('the objective is asked at a bound of the histogram', () => {
  assert.ok(
    (metricTable.callbackDuration.buckets as readonly number[]).includes(thresholds.slowAnswer.value),
  );
});

// All at once, since each takes one core for up to a minute and a half: days of history, minute by minute.
const promtoolRuns = testFiles.map(file => ({
  file,
  output: promisify(execFile)('promtool', ['test', 'rules', join(folder, 'tests', file)]).then(
    ({ stdout }) => stdout,
    error => `${error.stdout}${error.stderr}`,
  ),
}));
for (const { file, output } of promtoolRuns) {
  rules(`promtool finds ${file} as it says`, async () => {
    assert.match(await output, /SUCCESS\s*$/);
  });
}

rules('every test file says in which order the groups that it is about are evaluated', () => {
  for (const file of testFiles) {
    const { tests, group_eval_order = [] } = parse(read(`tests/${file}`));
    assert.equal(group_eval_order, evaluationOrder(tests), file);
  }
  const of = (alertname: string): RuleTest[] => [{ alert_rule_test: [{ eval_time: '1m', alertname }] }];
  const order = evaluationOrder(of('TencentChatJournalDown'));
  assert.equal(order, ['tencent-chat.exporter.rules', 'tencent-chat.exporter.alerts']);
  assert.equal(evaluationOrder([]), []);
});

rules('every alert is shown quiet, then firing, then resolved', () => {
  assert.equal(untested(alerts, tests), []);
});

const planted: AlertRule = {
  alert: 'TencentChatPlanted',
  expr: 'max_over_time(tencent_chat_journal_up[5m]) == 0',
  for: '5m',
  labels: { severity: 'warning' },
  annotations: {
    summary: 'It was planted.',
    description: 'On {{ $labels.instance }}.',
    runbook_url: `${links.runbooksUrl}/TencentChatPlanted.md`,
    dashboard_url: `${links.grafanaUrl}/d/${dashboardUids.exporter}?var-job={{ $labels.job | urlquery }}`,
  },
};

/** One mistake each, and the words that refuse it. */
const mistakes: {
  name: string;
  rule: Partial<Omit<AlertRule, 'annotations'>>;
  annotations?: object;
  refused: RegExp;
}[] = [
  { name: 'another prefix', rule: { alert: 'ChatPlanted' }, refused: /is not named/ },
  { name: 'no severity', rule: { labels: {} }, refused: /no severity/ },
  {
    name: 'a value in the summary',
    rule: {},
    annotations: { summary: '{{ $value }}.' },
    refused: /static summary/,
  },
  {
    name: 'a summary without a full stop',
    rule: {},
    annotations: { summary: 'It' },
    refused: /static summary/,
  },
  {
    name: 'a description without a value',
    rule: {},
    annotations: { description: 'It.' },
    refused: /no value/,
  },
  {
    name: 'another runbook',
    rule: {},
    annotations: { runbook_url: 'http://x/y.md' },
    refused: /no runbook_url/,
  },
  {
    name: 'no such dashboard',
    rule: {},
    annotations: { dashboard_url: `${links.grafanaUrl}/d/x` },
    refused: /no dashboard_url/,
  },
  {
    name: 'a link to all jobs',
    rule: {},
    annotations: { dashboard_url: `${links.grafanaUrl}/d/${dashboardUids.exporter}` },
    refused: /all jobs/,
  },
  {
    name: 'a label that it has not',
    rule: {},
    annotations: { description: '{{ $labels.reason }}.' },
    refused: /label reason/,
  },
  { name: 'no for', rule: { for: undefined }, refused: /fires at once/ },
  {
    name: 'absent() without for',
    rule: { for: undefined, labels: { severity: 'info' }, expr: 'absent(up{job="x"})' },
    refused: /absent/,
  },
  { name: 'a raw gauge', rule: { expr: 'tencent_chat_journal_up == 0' }, refused: /can flap/ },
  {
    name: 'a short window',
    rule: { expr: 'max_over_time(tencent_chat_journal_up[30s]) == 0' },
    refused: /is short/,
  },
  {
    name: 'a raw counter',
    rule: { expr: 'tencent_chat_journal_failures_total > 3' },
    refused: /outside rate/,
  },
  {
    name: 'the rate of a gauge',
    rule: { expr: 'rate(tencent_chat_journal_bytes[5m]) > 3' },
    refused: /no counter/,
  },
  {
    name: 'a lost job',
    rule: { expr: 'max by (instance) (max_over_time(tencent_chat_journal_up[5m])) == 0' },
    refused: /job is lost/,
  },
  {
    name: 'a metric that is not there',
    rule: { expr: 'max_over_time(tencent_chat_journal_fill[5m]) > 1' },
    refused: /no such metric/,
  },
  {
    name: 'a label that is not there',
    rule: { expr: 'max_over_time(tencent_chat_journal_up{engine="sqlite"}[5m]) == 0' },
    refused: /no label engine/,
  },
];

rules('a planted alert without a mistake is not refused', () => {
  assert.equal(alertProblems(planted, known), []);
});

for (const { name, rule, annotations, refused } of mistakes) {
  rules(`refuses ${name}`, () => {
    const wrong = { ...planted, ...rule, annotations: { ...planted.annotations, ...annotations } };
    assert.match(alertProblems(wrong, known).join('\n'), refused);
  });
}

rules('refuses recorded names that do not say their labels', () => {
  const expr = 'sum by (job, error_code) (rate(tencent_chat_group_message_exceptions_total[5m]))';
  assert.equal(
    recordingProblems({ record: 'job_error_code:tencent_chat_exceptions:rate5m', expr }, known),
    [],
  );
  for (const record of [
    'job:tencent_chat_exceptions:rate5m',
    'job_error_code_platform:tencent_chat_exceptions:rate5m',
    'exceptions_5m',
  ]) {
    assert.ok(recordingProblems({ record, expr }, known).length > 0, record);
  }
});

/** Expressions that Prometheus' parser takes, and that can never give what they ask for. */
const misread: [expr: string, refused: RegExp][] = [
  ['sum by (plattform) (rate(tencent_chat_group_message_exceptions_total[5m]))', /no label plattform/],
  ['sum(up) / up', /never matches/],
  ['up and tencent_chat_exception_senders', /never matches/],
  ['up * on (job, error_code) up', /no label error_code/],
  ['up * on (job) group_left (version) up', /no label version/],
  ['sum by (instance) (sum by (job) (up))', /no label instance/],
  ['max without (le) (up)', /no label le/],
  ['label_replace(up, "a", "$1", "b", "(.*)")', /no label b/],
  [
    'histogram_quantile(0.9, sum by (job) (rate(tencent_chat_callback_delay_seconds_bucket[5m])))',
    /no label le/,
  ],
  ['{__name__=~"up|down"}', /name the metric/],
  ['ALERTS{platfrom="Web"}', /no label platfrom/],
];

for (const [expr, refused] of misread) {
  rules(`the inventory refuses ${expr}`, () => {
    assert.is(promtoolCheckQueries([expr]), '');
    assert.match(readPromql(expr, known).problems.join('\n'), refused);
  });
}

rules('Prometheus’ parser refuses what is no PromQL, and says which', () => {
  assert.match(promtoolCheckQueries(['up', 'rate(up)']), /query:1/);
});

rules('the gate refuses an alert without a test, one that never resolves, and a test of no alert', () => {
  const state = (eval_time: string, isFiring: boolean, alertname = planted.alert, severity = 'warning') => ({
    eval_time,
    alertname,
    exp_alerts: isFiring
      ? [{ exp_labels: { severity }, exp_annotations: { dashboard_url: '/d/x?var-job=a' } }]
      : [],
  });
  const shown = [{ alert_rule_test: [state('10m', false), state('90s', true), state('1m', false)] }];
  assert.equal(untested([planted], shown), []);
  const notShown = [
    [],
    [{}],
    [{ alert_rule_test: [state('1m', false), state('2m', true)] }],
    [{ alert_rule_test: [state('1m', true), state('2m', false)] }],
    [
      {
        alert_rule_test: [
          state('1m', false),
          state('2m', true, planted.alert, 'critical'),
          state('3m', false),
        ],
      },
    ],
    // Quiet in one test, resolved in another: not the same alert's life.
    [{ alert_rule_test: [state('1m', false)] }, { alert_rule_test: [state('2m', true), state('3m', false)] }],
  ];
  for (const tests of notShown)
    assert.equal(untested([planted], tests), ['TencentChatPlanted (warning) is not shown']);
  assert.equal(untested([], [{ alert_rule_test: [state('1m', false, 'TencentChatPlannted')] }]), [
    'TencentChatPlannted is no alert',
  ]);
  const empty = {
    ...state('90s', true),
    exp_alerts: [
      { exp_labels: { severity: 'warning' }, exp_annotations: { dashboard_url: '/d/x?var-job=&var-b=1' } },
    ],
  };
  assert.match(
    untested([planted], [{ alert_rule_test: [state('1m', false), empty, state('2m', false)] }]).join(),
    /an empty value/,
  );
});

rules.run();
