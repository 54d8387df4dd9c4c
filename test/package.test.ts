/** The npm package, packed, installed into an empty project, and used from there. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../package.json' with { type: 'json' };
import { cleanUp, onCleanUp, temporaryDirectory } from './support/clean-up.ts';
import { startExporter, startFlags } from './support/exporter.ts';
import { startOtlpReceiver } from './support/otlp-receiver.ts';
import { until } from './support/prometheus.ts';
import { sampleBody } from './support/samples.ts';

const npmPackage = suite('package');
npmPackage.after(cleanUp);

const root = join(import.meta.dirname, '..');
const { name } = packageJson;
/** The Node that runs this comes first, as it would be the user's. */
const PATH = [dirname(process.execPath), process.env.PATH].join(delimiter);

const project = temporaryDirectory();
const command = join(project, 'node_modules/.bin', name);
let packed: { filename: string; size: number; files: { path: string }[] };

function npm(words: string[]): string {
  return execFileSync('npm', words, { cwd: root, env: { ...process.env, PATH }, encoding: 'utf8' });
}

npmPackage.before(() => {
  [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', project]));
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }');
  // Without scripts: nothing needs one.
  const options = ['--prefix', project, '--prefer-offline', '--ignore-scripts'];
  npm(['install', ...options, join(project, packed.filename)]);
});

npmPackage('holds what runs, compiled, and what one deploys beside it; no source, no test, no secret', () => {
  const paths = packed.files.map(({ path }) => path).sort();
  const shipped = [
    ...['LICENSE', 'README.md', 'package.json', 'src/deploy/*', 'grafana/secrets/README.md'],
    ...['grafana/*/*.json', 'grafana/{alertmanager,prometheus}.yml', 'grafana/provisioning/*/*.yml'],
    ...['grafana/rules/*.yml', 'grafana/{kubernetes,runbooks,templates}/*'],
  ];
  const expected = [
    ...globSync(shipped, { cwd: root }),
    ...compiled(['.js', '.d.ts']),
    'dist/http/status-page.css',
  ];
  assert.equal(paths, expected.sort());
  assert.ok(packed.size < 500_000, `${packed.size} bytes`);
});

/** What each source becomes, but for what a clone alone can run. */
function compiled(extensions: string[]): string[] {
  const sources = globSync('**/*.{ts,js}', { cwd: join(root, 'src'), exclude: ['grafana/**', 'demo/**'] });
  assert.ok(sources.length > 40);
  return sources.flatMap(path =>
    extensions.map(extension => `dist/${path.replace(/\.[jt]s$/, '')}${extension}`),
  );
}

npmPackage('is free to be published, and leaves nothing behind where it was packed', () => {
  assert.not('private' in packageJson);
  assert.not(existsSync(join(root, 'dist')));
});

npmPackage('runs no script on the machine it is installed on, but for one that only prints a warning', () => {
  for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
    assert.not(script in packageJson.scripts);
  const lock = JSON.parse(readFileSync(join(project, 'node_modules/.package-lock.json'), 'utf8'));
  const packages = Object.entries(lock.packages as Record<string, { hasInstallScript?: boolean }>);
  const withScripts = packages.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path);
  assert.equal(
    withScripts.map(path => path.split('node_modules/').at(-1)),
    ['protobufjs'],
  );
  assert.equal(
    packages.filter(([path]) => /node_modules\/(node|typescript|uvu)$/.test(path)),
    [],
    'no development dependency came along',
  );
});

npmPackage('has a command with version and help', () => {
  const run = (word: string) => spawnSync(command, [word], { env: { PATH }, encoding: 'utf8' });
  const version = run('--version');
  assert.equal([version.status, version.stdout, version.stderr], [0, `${packageJson.version}\n`, '']);
  assert.match(run('--help').stdout, /^Usage: tencent-chat-exporter /);
  assert.is(run('--nonsense').status, 2);
});

npmPackage('runs where a process cannot be replaced, too', () => {
  const withoutExecve = "data:text/javascript,process.execve = () => { throw new Error('not here') }";
  const words = ['--import', withoutExecve, command, '--version'];
  assert.is(execFileSync(process.execPath, words, { encoding: 'utf8' }), `${packageJson.version}\n`);
});

npmPackage(
  'serves with the flags of npm start: counted once across kill -9, delivered, exit code 0',
  async () => {
    const receiver = await startOtlpReceiver();
    onCleanUp(() => receiver.close());
    const endpoint = `http://127.0.0.1:${receiver.port}`;
    const env = { PATH, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint };
    const first = await startExporter({ command, env });
    const words = readFileSync(`/proc/${first.pid}/cmdline`, 'utf8').split('\0');
    assert.equal(
      words.filter(word => word.startsWith('--')),
      startFlags,
    );
    assert.is((await first.post(sampleBody())).status, 200);
    assert.is(await first.total(), 1);
    await first.kill('SIGKILL');

    const { journal } = first;
    const second = await startExporter({ command, env, journal });
    assert.is(await second.total(), 1);
    assert.is((await second.post(sampleBody())).status, 200);
    assert.is(await second.total(), 1);
    await until(async () => receiver.traceIds.traces.size === 1, 'the span');
    assert.equal(await second.kill('SIGTERM'), { code: 0, signal: null });
    assert.is(second.stderr, '');
  },
);

if (existsSync(join(root, 'src/index.ts'))) {
  npmPackage('is a library with types, which need no skipLibCheck', () => {
    const consumer = join(project, 'consumer.ts');
    writeFileSync(
      consumer,
      `import * as library from '${name}';
const names: readonly (keyof typeof library)[] = Object.keys(library) as (keyof typeof library)[];
console.log(names.join());\n`,
    );
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const options = ['--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', ...types];
    const tsc = join(root, 'node_modules/.bin/tsc');
    const { status, stdout } = spawnSync(tsc, [...options, consumer], { env: { PATH }, encoding: 'utf8' });
    assert.is(status, 0, stdout);
    assert.match(execFileSync(process.execPath, [consumer], { encoding: 'utf8' }), /^\w+(,\w+)*\n$/);
  });
}

npmPackage.run();
