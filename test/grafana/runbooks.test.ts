/** The gate of the runbooks: nothing is missing, nothing is left over, and what they quote is there. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalogue } from '../../src/callback/catalogue.ts';
import { codesMax, createClassifier } from '../../src/callback/classify.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { secretNames, settings } from '../../src/config.ts';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { grafanaFolder } from '../../src/grafana/generate.ts';
import { watchers } from '../../src/grafana/runbooks/error-codes.ts';
import { alertsByName, runbookFiles, sections } from '../../src/grafana/runbooks/files.ts';
import { links, thresholds } from '../../src/grafana/settings.ts';
import { anchorOf } from '../../src/guidance.ts';
import { knownSeries, promtoolCheckQueries, readPromql } from './inventory.ts';

const runbooks = suite('runbooks');
const root = join(grafanaFolder, '..');

/** File name → text. */
type Pages = Record<string, string>;

const pages: Pages = Object.fromEntries(
  globSync('*', { cwd: join(grafanaFolder, 'runbooks') })
    .sort()
    .map(file => [file, readFileSync(join(grafanaFolder, 'runbooks', file), 'utf8')]),
);
const source = (pattern: string): string =>
  globSync(pattern, { cwd: root, exclude: path => path.startsWith('src/grafana') })
    .map(file => readFileSync(join(root, file), 'utf8'))
    .join('\n');

const known = await knownSeries();
const sources = source('src/**/*.ts');
const endpoints = [...source('src/http/operator-listener.ts').matchAll(/router\.get\('([^']+)'/g)].map(
  ([, path]) => path!,
);
const attributes = [
  ...source('src/telemetry/mapping.ts').matchAll(/(?<=['\s])[a-z_]+(?:\.[a-z_]+)+(?=')/g),
].map(([name]) => name);
const settingNames = new Set<string>([
  ...Object.values(settings).map(({ name }) => name),
  ...secretNames.map(name => `${name}_FILE`),
  'RUNBOOKS_URL',
  'GRAFANA_URL',
]);
const otherPages = ['README.md', 'error-codes.md'];

/** Fewer words than this say nothing; the shortest section that does has about 25. */
const sectionWordsMin = 20;

/** Code of the fences that say one of `languages`, without the indentation that a list gives it. */
function fences(page: string, ...languages: string[]): string[] {
  return [...page.matchAll(/^( *)```(\w+)\n([\s\S]*?)^ *```$/gm)]
    .filter(([, , language]) => languages.includes(language!))
    .map(([, indentation, , code]) => code!.replaceAll(new RegExp(`^${indentation}`, 'gm'), '').trim());
}

function withoutFences(page: string): string {
  return page.replace(/^ *```\w*\n[\s\S]*?^ *```$/gm, '');
}

/** The explicit anchors of a page, and those that renderers make of its headings. */
function anchors(page: string): Set<string> {
  const explicit = [...page.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id!);
  const slugs = [...withoutFences(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .replace(/<[^>]*>/g, '')
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  );
  return new Set([...explicit, ...slugs]);
}

/** What is wrong with the runbooks, a sentence each; `all` in place of those in the folder. */
function problemsOf(all: Pages): string[] {
  return [
    ...pagesProblems(all),
    ...Object.entries(all).flatMap(([file, page]) =>
      [
        ...linkProblems(page, file, all),
        ...quoteProblems(page),
        ...fences(page, 'promql').flatMap(queryProblems),
      ].map(problem => `${file}: ${problem}`),
    ),
    ...codeProblems(all['error-codes.md'] ?? ''),
  ];
}

function pagesProblems(all: Pages): string[] {
  const alerts = [...alertsByName().keys()].map(name => `${name}.md`);
  const expected = [...alerts, ...otherPages];
  const generated = runbookFiles(path => all[path.replace('runbooks/', '')]);
  return [
    ...expected.filter(file => !(file in all)).map(file => `${file} is missing`),
    ...Object.keys(all)
      .filter(file => !expected.includes(file))
      .map(file => `${file} belongs to no alert`),
    ...expected
      .filter(file => file in all && generated[`runbooks/${file}`] !== all[file])
      .map(file => `${file} has not what npm run grafana would write`),
    ...alerts
      .filter(file => file in all)
      .flatMap(file => sectionProblems(all[file]!, file).map(text => `${file}: ${text}`)),
  ];
}

function sectionProblems(page: string, file: string): string[] {
  const [head, ...parts] = withoutFences(page).split(/^## /m);
  const title = head!.split('\n')[0];
  const bodies = parts.map(part => part.slice(part.indexOf('\n')));
  const headings = parts.map(part => part.slice(0, part.indexOf('\n')));
  const problems = headings.flatMap((heading, index) => {
    const words = bodies[index]!.split(/\s+/).filter(word => /\w/.test(word)).length;
    // The condition is generated: how much it says is the rule's matter.
    return heading !== 'Condition' && words < sectionWordsMin ? [`${heading} says nothing`] : [];
  });
  if (`${title}.md` !== `# ${file}`) problems.push(`its title is ${title}`);
  if (headings.join() !== sections.join()) problems.push(`its headings are ${headings.join(', ')}`);
  const diagnosis = page.slice(page.indexOf('## Diagnosis'), page.indexOf('## Mitigation'));
  if (fences(diagnosis, 'promql').length === 0) problems.push('Diagnosis has no query');
  return problems;
}

function linkProblems(page: string, file: string, all: Pages): string[] {
  const targets = [...withoutFences(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  return targets.flatMap(target => {
    if (target.startsWith('https://www.tencentcloud.com/')) return [];
    if (target.startsWith(`${links.grafanaUrl}/d/`)) {
      return isDashboard(target.slice(`${links.grafanaUrl}/d/`.length))
        ? []
        : [`${target} is no dashboard, or has no such variable`];
    }
    const [path, anchor] = target.split('#') as [string, string?];
    const page = all[path === '' ? file : path];
    if (page === undefined) return [`the link to ${target} leads nowhere`];
    return anchor === undefined || anchors(page).has(anchor) ? [] : [`${target} has no such anchor`];
  });
}

/** `tencent-chat-error-code?var-error_code=10023`. */
function isDashboard(link: string): boolean {
  const url = new URL(link, 'http://grafana/');
  const uid = url.pathname.slice(1);
  if (!Object.values<string>(dashboardUids).includes(uid)) return false;
  const { templating } = JSON.parse(readFileSync(join(grafanaFolder, `dashboards/${uid}.json`), 'utf8'));
  const variables = templating.list.map(({ name }: { name: string }) => `var-${name}`);
  return [...url.searchParams.keys()].every(name => variables.includes(name));
}

/** What a page quotes of the exporter: log lines, endpoints, attributes, metrics, settings. */
function quoteProblems(page: string): string[] {
  const lines = fences(page, 'log').flatMap(text => text.split('\n'));
  const paths = [...page.matchAll(/localhost:9464(\/[-\w/]*)/g)].map(([, path]) => path!);
  const logql = fences(page, 'logql').flatMap(query =>
    [...query.replace(/\{.*?\}|"[^"]*"/g, '').matchAll(/\b[a-z]+_[a-z_]+\b/g)].map(([name]) => name),
  );
  const traceql = fences(page, 'traceql').flatMap(query =>
    [...query.matchAll(/span\.([\w.]+)/g)].map(([, name]) => name!),
  );
  const inlineCode = [...withoutFences(page).matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
  const metrics = inlineCode.flatMap(code =>
    [...code.matchAll(/(?<![\w:.])(?:\w+:)?(?:tencent_chat|process|nodejs)_[\w:]+/g)].map(([name]) => name),
  );
  const inLoki = attributes.map(name => name.replaceAll('.', '_'));
  const functions = ['count_over_time'];
  return [
    ...lines
      .filter(line => !line.split('…').every(part => sources.includes(part.trim())))
      .map(line => `the exporter logs no such line: ${line}`),
    ...paths.filter(path => !endpoints.includes(path)).map(path => `there is no endpoint ${path}`),
    ...logql
      .filter(name => ![...inLoki, ...functions].includes(name))
      .map(name => `log records have no ${name}`),
    ...traceql.filter(name => !attributes.includes(name)).map(name => `spans have no ${name}`),
    ...metrics
      .filter(name => !known.has(name) && !known.has(`${name}_count`))
      .map(name => `there is no metric ${name}`),
    ...inlineCode
      .flatMap(code => code.match(/\b[A-Z]+(?:_[A-Z]+)+\b/g) ?? [])
      .filter(name => !name.startsWith('OTEL_') && !settingNames.has(name))
      .map(name => `there is no setting ${name}`),
  ];
}

/** Most pages are the same from mistake to mistake: each query is read once. */
const readQueries = new Map<string, string[]>();
function queryProblems(query: string): string[] {
  const problems = readQueries.get(query) ?? readPromql(query, known).problems;
  readQueries.set(query, problems);
  return problems;
}

function codeProblems(page: string): string[] {
  const entries = page.slice(page.indexOf('## By number'), page.indexOf('## Other codes'));
  const found = [...entries.matchAll(/^### <a id="([^"]+)"/gm)].map(([, anchor]) => anchor!);
  const expected = catalogue.map(anchorOf);
  return [
    ...expected.filter(anchor => !found.includes(anchor)).map(anchor => `code ${anchor} has no entry`),
    ...found
      .filter((anchor, index) => !expected.includes(anchor) || found.indexOf(anchor) !== index)
      .map(anchor => `the entry ${anchor} is not wanted`),
  ];
}

runbooks('there is a page per alert and an entry per code, complete, and all that they quote exists', () => {
  assert.equal(problemsOf(pages), []);
});

runbooks('every query of every page passes Prometheus’ own parser', () => {
  const queries = Object.values(pages).flatMap(page => fences(page, 'promql'));
  assert.ok(queries.length > 100);
  assert.is(promtoolCheckQueries(queries), '');
});

runbooks(
  'every code that a counter can show has an anchor, or is in a range that the page begins with',
  () => {
    const { classify } = createClassifier({ adminAccounts: new Set(), admittedCodes: [] });
    const exception = { sdkAppId: '1', groupType: null, platform: null, operatorAccount: null };
    const label = (errorCode: number | 'invalid' | null): string =>
      classify({ ...exception, errorCode } as Parameters<typeof classify>[0]).labels.error_code;
    for (let code = 0; code < codesMax; code += 1) label(500_000 + code);
    const withoutNumber = [null, 'invalid' as const, 600_000].map(label);
    assert.equal(withoutNumber, ['unknown', 'invalid', 'other']);

    const page = pages['error-codes.md']!;
    const ids = anchors(page);
    for (const name of withoutNumber) assert.ok(ids.has(name), name);
    const top = page.slice(0, page.indexOf('## '));
    for (const entry of catalogue.filter(({ code }) => typeof code === 'object')) {
      assert.match(top, `(#${anchorOf(entry)})`);
    }
  },
);

runbooks('anchors are unique', () => {
  const ids = [...pages['error-codes.md']!.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id);
  assert.is(new Set(ids).size, ids.length);
});

runbooks('every category has an alert that watches it, and internal errors the critical one', () => {
  const alerts = alertsByName();
  for (const category of errorCategories) assert.ok(watchers(category, alerts).length > 0, category);
  assert.equal(watchers('internal_error', alerts), ['TencentChatServerInternalErrors']);
  assert.equal(watchers('unknown', alerts), ['TencentChatExceptionSpike']);
});

runbooks('every threshold is explained on the page of an alert', () => {
  const text = Object.values(pages).join('\n');
  for (const [name, { value }] of Object.entries(thresholds))
    assert.match(text, `| \`${name}\` | ${value} |`);
});

runbooks('a page that is not there yet is begun with its headings', () => {
  const page = runbookFiles(() => undefined)['runbooks/TencentChatJournalDown.md']!;
  assert.equal(
    [...page.matchAll(/^## (.*)$/gm)].map(([, heading]) => heading),
    [...sections],
  );
  assert.match(page, 'tencent_chat_journal_up');
});

runbooks('a page without a place for its block is told by name', () => {
  const read = (path: string) => (path.endsWith('JournalDown.md') ? '# No markers\n' : undefined);
  assert.throws(() => runbookFiles(read), /TencentChatJournalDown\.md has no place for its block/);
});

const down = 'TencentChatJournalDown.md';
const changed = (file: string, from: string | RegExp, to: string): Pages => {
  const text = pages[file]!.replace(from, to);
  assert.is.not(text, pages[file], `nothing to change in ${file}: ${from}`);
  return { ...pages, [file]: text };
};
const without = (file: string): Pages =>
  Object.fromEntries(Object.entries(pages).filter(([name]) => name !== file));

const mistakes: Record<string, [() => Pages, RegExp]> = {
  'a missing page': [() => without(down), /^TencentChatJournalDown\.md is missing/],
  'a page of no alert': [
    () => ({ ...pages, 'TencentChatGone.md': '# TencentChatGone\n' }),
    /belongs to no alert/,
  ],
  'a file that is no page': [() => ({ ...pages, 'notes.txt': '' }), /notes\.txt belongs to no alert/],
  'an empty section': [
    () => changed(down, /## Impact[\s\S]*?(?=## Diagnosis)/, '## Impact\n\n'),
    /Impact says nothing/,
  ],
  'headings out of order': [() => changed(down, '## Meaning', '## Purpose'), /its headings are Purpose,/],
  'the title of another page': [
    () => changed(down, '# TencentChatJournalDown', '# JournalDown'),
    /its title is/,
  ],
  'a head that was edited': [() => changed(down, '**critical**', '**warning**'), /would write/],
  'an index that was edited': [
    () => changed('README.md', `- [TencentChatJournalDown](${down})`, '- '),
    /would write/,
  ],
  'a Diagnosis without a query': [
    () => changed(down, /(## Diagnosis)[\s\S]*(?=## Mitigation)/, '$1\n\nLook at the disk.\n\n'),
    /Diagnosis has no query/,
  ],
  'a query that is no PromQL': [
    () => changed(down, 'max by (job, instance) (', 'max by (job, instance) (('),
    /no PromQL/,
  ],
  'a metric that does not exist': [
    () =>
      changed(
        down,
        'max by (job, instance) (tencent_chat_journal_',
        'max by (job, instance) (tencent_chat_log_',
      ),
    /tencent_chat_log_unwritten_events: no such metric/,
  ],
  'a label that does not exist': [
    () => changed(down, 'max by (job, instance)', 'max by (job, replica)'),
    /no label replica/,
  ],
  'a metric in prose that does not exist': [
    () => changed(down, '`tencent_chat_journal_up`', '`tencent_chat_journal_ok`'),
    /there is no metric tencent_chat_journal_ok/,
  ],
  'a log line that is not logged': [
    () => changed(down, 'the journal cannot be written:', 'the journal is broken:'),
    /logs no such line: the journal is broken/,
  ],
  'an endpoint that is not served': [
    () => changed('README.md', 'localhost:9464/-/ready', 'localhost:9464/ready'),
    /there is no endpoint \/ready/,
  ],
  'an attribute that log records lack': [
    () => changed('README.md', '| tencent_chat_error_category', '| tencent_chat_category'),
    /log records have no tencent_chat_category/,
  ],
  'an attribute that spans lack': [
    () => changed('README.md', 'span.tencent_chat.error.category', 'span.tencent_chat.category'),
    /spans have no tencent_chat\.category/,
  ],
  'a setting that does not exist': [
    () => changed('TencentChatJournalFilling.md', '`JOURNAL_MAX_BYTES`', '`JOURNAL_BYTES`'),
    /there is no setting JOURNAL_BYTES/,
  ],
  'a link to a page that is not there': [
    () => changed(down, '](TencentChatJournalFilling.md)', '](TencentChatJournalFull.md)'),
    /leads nowhere/,
  ],
  'a link to a code that is not there': [
    () => changed('TencentChatMassMute.md', '#10017', '#10117'),
    /#10117 has no such anchor/,
  ],
  'a link to a dashboard that is not there': [
    () => changed(down, '/d/tencent-chat-exporter', '/d/tencent-chat-health'),
    /is no dashboard/,
  ],
  'a link with a variable that the dashboard lacks': [
    () => changed('error-codes.md', '?var-error_code=10023', '?var-code=10023'),
    /no such variable/,
  ],
  'a missing code': [
    () => changed('error-codes.md', '### <a id="10023"', '### <a id="10022"'),
    /code 10023 has no entry/,
  ],
  'a code too many': [
    () => changed('error-codes.md', '### <a id="10023"', '### <a id="10022"'),
    /entry 10022 is not wanted/,
  ],
};

for (const [name, [pagesWith, complaint]] of Object.entries(mistakes)) {
  runbooks(`the gate refuses ${name}`, () => {
    const problems = problemsOf(pagesWith());
    assert.ok(
      problems.some(problem => complaint.test(problem)),
      problems.join('\n'),
    );
  });
}

runbooks('the parser refuses what only Prometheus knows to be wrong', () => {
  assert.match(promtoolCheckQueries(['rate(up)']), 'expected type range vector');
});

runbooks.run();
