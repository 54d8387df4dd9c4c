/** The tree checks its own tidiness. What each check refuses is shown on a planted mistake. */
import { spawnSync } from 'node:child_process';
import { globSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

const sources = globSync(['src/**/*.{ts,js}', 'test/**/*.ts'], { cwd: root }).sort();
const packageJson = JSON.parse(read('package.json'));

/** Which folders of src/ a folder may import from. Files of src/ itself are held by `fileImporters`. */
const folderImports: Record<string, string[]> = {
  callback: ['callback'],
  journal: ['journal', 'callback'],
  metrics: ['metrics', 'callback', 'journal'],
  telemetry: ['telemetry', 'callback', 'journal'],
  http: ['http', 'callback', 'journal', 'metrics'],
  traffic: ['traffic', 'callback'],
  commands: ['commands', 'callback', 'journal', 'metrics', 'telemetry', 'http', 'traffic'],
  // Not part of the running exporter: starts it, with traffic and Prometheus.
  demo: ['demo', 'callback', 'traffic'],
  // Not part of the running exporter: writes grafana/ from the tables the exporter is made of.
  grafana: ['grafana', 'callback', 'metrics', 'telemetry'],
};

/** Who may import a file of src/ itself: a folder, or a file. */
const fileImporters: Record<string, string[]> = {
  'src/log.ts': [
    'src/http',
    'src/config.ts',
    'src/reports.ts',
    'src/exporter.ts',
    'src/service.ts',
    'src/commands',
    'src/options.ts',
    'src/index.ts',
  ],
  'src/config.ts': [
    'src/exporter.ts',
    'src/service.ts',
    'src/cli.ts',
    'src/commands',
    'src/options.ts',
    'src/index.ts',
  ],
  'src/guidance.ts': ['src/config.ts', 'src/http', 'src/demo', 'src/grafana'],
  'src/health.ts': ['src/exporter.ts'],
  'src/reports.ts': ['src/exporter.ts'],
  'src/exporter.ts': ['src/service.ts', 'src/exception-callbacks.ts'],
  'src/options.ts': ['src/exception-callbacks.ts', 'src/index.ts'],
  'src/exception-callbacks.ts': ['src/index.ts'],
  'src/index.ts': [],
  'src/service.ts': ['src/commands/serve.ts'],
  'src/cli.ts': ['src/main.ts'],
  'src/main.ts': ['src/start.js'],
  'src/start.js': ['src/bin.js'],
  'src/bin.js': [],
};

/** Where a package, or a part of Node, may be imported. The longest that fits counts. */
const packageImporters: Record<string, string[]> = {
  'prom-client': ['src/metrics'],
  '@opentelemetry/': ['src/telemetry'],
  commander: ['src/cli.ts', 'src/commands'],
  koa: ['src/http'],
  'koa-bodyparser': ['src/http'],
  '@koa/router': ['src/http'],
  'node:sqlite': ['src/journal'],
  pg: ['src/journal'],
  '@grafana/': ['src/grafana'],
  yaml: ['src/grafana'],
};

/** No part of the running exporter, so that development dependencies will do. */
const generator = 'src/grafana';

/** Of Node, these folders use what computes, and nothing that does I/O. */
const pureFolders: Record<string, string[]> = { callback: ['node:crypto', 'node:net'], traffic: [] };

function importsOf(text: string): string[] {
  const pattern =
    /^\s*(?:import|export)\s[^;]*?from '([^']+)'|\bimport\(\s*'([^']+)'\s*\)|^import '([^']+)'/gm;
  return [...text.matchAll(pattern)].map(([, from, dynamic, bare]) => (from ?? dynamic ?? bare)!);
}

const isIn = (path: string, place: string): boolean => path === place || path.startsWith(`${place}/`);

/** Why this file of src/ may not import this; `null` where it may. */
function importProblem(path: string, specifier: string): string | null {
  const [, folder] = /^src\/(\w+)\//.exec(path) ?? [];
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier);
    if (target === 'package.json') return null;
    const [, targetFolder] = /^src\/(\w+)\//.exec(target) ?? [];
    const isAllowed =
      targetFolder === undefined
        ? fileImporters[target]?.some(place => isIn(path, place))
        : folder === undefined || folderImports[folder]?.includes(targetFolder);
    return isAllowed ? null : `${path} imports ${target}`;
  }
  const isBuiltin = specifier.startsWith('node:');
  const owner = Object.keys(packageImporters).find(
    name => specifier === name || (name.endsWith('/') && specifier.startsWith(name)),
  );
  const places = owner === undefined ? ['src'] : packageImporters[owner]!;
  const isAllowed =
    places.some(place => isIn(path, place)) &&
    (isBuiltin || packageOf(specifier) in dependenciesOf(path)) &&
    (folder === undefined || (pureFolders[folder]?.includes(specifier) ?? true));
  return isAllowed ? null : `${path} imports ${specifier}`;
}

function dependenciesOf(path: string): Record<string, string> {
  const { dependencies, devDependencies } = packageJson;
  return isIn(path, generator) ? { ...dependencies, ...devDependencies } : dependencies;
}

/** `@opentelemetry/otlp-exporter-base/node-http` is a part of `@opentelemetry/otlp-exporter-base`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** Suites that a test file makes and does not run: they would pass whatever happens. */
function suitesNotRun(text: string): string[] {
  const names = [...text.matchAll(/^const (\w+) = suite\(/gm)].map(([, name]) => name!);
  if (names.length === 0) return ['(no suite)'];
  return names.filter(name => !new RegExp(`^${name}\\.run\\(\\);$`, 'm').test(text));
}

const unfinished = new RegExp(`\\b(${['todo', 'fixme', 'xxx'].join('|').toUpperCase()})\\b`);
const homes = ['home', 'root', 'work', 'Users', 'mnt'];
const machinePath = new RegExp(`(^|[\\s'"\`(=:])/(${homes.join('|')})/`, 'm');

const topLevel = [
  ...['src', 'test', 'grafana', 'package.json', 'package-lock.json', 'tsconfig.json', 'Dockerfile'],
  ...['README.md', 'LICENSE'],
];

/** What stands at the top of the tree: as git has it; without git, what is there but for what git ignores. */
function topLevelNames(): string[] {
  const { status, stdout } = spawnSync('git', ['ls-files'], { cwd: root, encoding: 'utf8' });
  const paths = status === 0 ? stdout.trim().split('\n') : readdirSync(root);
  const ignored = ['node_modules', 'data', 'dist'];
  return [...new Set(paths.map(path => path.split('/')[0]!))].filter(name => !ignored.includes(name));
}

const isAllowedAtTop = (name: string): boolean => name.startsWith('.') || topLevel.includes(name);
const isPinned = (version: string): boolean => /^\d+\.\d+\.\d+$/.test(version);

const tree = suite('tree');

tree('imports point downwards, and each package has its one place', () => {
  const problems = sources
    .filter(path => path.startsWith('src/'))
    .flatMap(path => importsOf(read(path)).map(specifier => importProblem(path, specifier)));
  assert.ok(problems.length > 100, 'imports were found');
  assert.equal(
    problems.filter(problem => problem !== null),
    [],
  );
});

/** Imports that must be refused. */
const forbidden: [path: string, statement: string][] = [
  ['src/callback/parse.ts', "import type { Journal } from '../journal/journal.ts';"],
  ['src/callback/parse.ts', "import { readFileSync } from 'node:fs';"],
  ['src/callback/parse.ts', "import { trace } from '@opentelemetry/api';"],
  ['src/callback/parse.ts', "import { createRandom } from '../traffic/random.ts';"],
  ['src/traffic/callbacks.ts', "import { readFileSync } from 'node:fs';"],
  ['src/traffic/callbacks.ts', "import { loadConfig } from '../config.ts';"],
  ['src/http/receive.ts', "import { createTraffic } from '../traffic/callbacks.ts';"],
  ['src/commands/check.ts', "import { startService } from '../service.ts';"],
  ['src/journal/writer.ts', "import { createMetrics } from '../metrics/metrics.ts';"],
  ['src/journal/writer.ts', "import type { Log } from '../log.ts';"],
  ['src/metrics/metrics.ts', "import { receive } from '../http/receive.ts';"],
  ['src/telemetry/delivery.ts', "import {\n  createMetrics,\n} from '../metrics/metrics.ts';"],
  ['src/telemetry/delivery.ts', "const { DatabaseSync } = await import('node:sqlite');"],
  ['src/http/receive.ts', "export { Counter } from 'prom-client';"],
  ['src/http/receive.ts', "import { loadConfig } from '../config.ts';"],
  ['src/http/receive.ts', "import { startService } from '../service.ts';"],
  ['src/service.ts', "import './main.ts';"],
  ['src/metrics/metrics.ts', "import Koa from 'koa';"],
  ['src/http/receive.ts', "import leftPad from 'left-pad';"],
  ['src/http/receive.ts', "import { stringify } from 'yaml';"],
  ['src/service.ts', "import { stringify } from 'yaml';"],
  ['src/http/status-page.ts', "import { links } from '../grafana/settings.ts';"],
  ['src/grafana/files.ts', "import { startService } from '../service.ts';"],
];

for (const [path, statement] of forbidden) {
  tree(`refuses in ${path}: ${statement.replaceAll('\n', ' ')}`, () => {
    const [specifier] = importsOf(statement);
    assert.ok(specifier !== undefined);
    assert.match(String(importProblem(path, specifier)), / imports /);
  });
}

tree('every dependency is used', () => {
  const used = new Set(
    sources.filter(path => path.startsWith('src/')).flatMap(path => importsOf(read(path))),
  );
  assert.equal(
    Object.keys(packageJson.dependencies).filter(name => !used.has(name)),
    [],
  );
});

tree('every test file runs every suite that it makes', () => {
  const problems = sources
    .filter(path => path.endsWith('.test.ts'))
    .flatMap(path => suitesNotRun(read(path)).map(name => `${path}: ${name}`));
  assert.equal(problems, []);
  assert.equal(suitesNotRun("const a = suite('a');\nconst b = suite('b');\na.run();\n"), ['b']);
  assert.equal(suitesNotRun("test('x', () => {});"), ['(no suite)']);
});

tree('nothing is left to be done', () => {
  assert.equal(
    sources.filter(path => unfinished.test(read(path))),
    [],
  );
  assert.match(`// ${'todo'.toUpperCase()}: later`, unfinished);
});

tree('no file names a path of somebody’s machine', () => {
  assert.equal(
    sources.filter(path => machinePath.test(read(path))),
    [],
  );
  for (const home of homes) assert.match(`'/${home}/someone/exporter'`, machinePath);
});

tree('at the top stands only what belongs there', () => {
  assert.equal(
    topLevelNames().filter(name => !isAllowedAtTop(name)),
    [],
  );
  assert.not.ok(isAllowedAtTop('notes.md'));
});

tree('dependencies are pinned to one version', () => {
  const versions: [string, string][] = Object.entries({
    ...packageJson.dependencies,
    ...packageJson.devDependencies,
  });
  assert.ok(versions.length > 10);
  assert.equal(
    versions.filter(([, version]) => !isPinned(version)),
    [],
  );
  for (const version of ['^1.2.3', '~1.2.3', '1.x', '*', 'latest', '>=1']) assert.not.ok(isPinned(version));
});

tree('the lock file names no registry: it serves whoever installs from another', () => {
  const lock = JSON.parse(read('package-lock.json'));
  const packages: [string, { resolved?: string; integrity?: string }][] = Object.entries(lock.packages);
  assert.equal(
    packages.filter(([, { resolved }]) => resolved !== undefined).map(([name]) => name),
    [],
  );
  assert.equal(
    packages.filter(([name, { integrity }]) => name !== '' && integrity === undefined).map(([name]) => name),
    [],
    'each has its checksum',
  );
});

tree.run();
