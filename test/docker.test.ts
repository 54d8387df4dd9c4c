/** What can be told of the image without building it; test/docker.ts builds and runs it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../package.json' with { type: 'json' };
import { settings } from '../src/config.ts';
import { cleanUp } from './support/clean-up.ts';
import { entryPoint, startExporter } from './support/exporter.ts';

const docker = suite('docker');
docker.after.each(cleanUp);

const root = join(import.meta.dirname, '..');
/** One instruction a line, without comments. */
const instructions = readFileSync(join(root, 'Dockerfile'), 'utf8')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n');

function argumentsOf(instruction: string): string[] {
  return instructions
    .filter(line => line.startsWith(`${instruction} `))
    .map(line => line.slice(instruction.length + 1));
}

docker('runs as a user that is not root, named by number', () => {
  assert.equal(argumentsOf('USER'), ['1000:1000']);
});

docker('copies files that exist, and that .dockerignore lets through', () => {
  const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
  assert.ok(ignore.includes('*'));
  const sources = argumentsOf('COPY')
    .filter(line => !line.startsWith('--from='))
    .flatMap(line => line.split(' ').slice(0, -1));
  assert.ok(sources.includes('src'));
  for (const source of sources) {
    assert.ok(existsSync(join(root, source)), `${source} exists`);
    assert.ok(ignore.includes(`!${source}`), `${source} is let through`);
  }
  // The generator of dashboards and rules, and what is for whoever deploys it.
  for (const path of ['src/grafana', 'src/deploy']) assert.ok(ignore.includes(path), `${path} is left out`);
});

docker('installs no development dependency, and runs no install script', () => {
  assert.equal(
    argumentsOf('RUN').filter(line => line.startsWith('npm')),
    ['npm ci --omit=dev --ignore-scripts'],
  );
});

docker('holds every package that the exporter imports', () => {
  const imported = new Set<string>();
  for (const file of globSync('src/**/*.ts', { cwd: root, exclude: ['src/grafana/**'] })) {
    const source = readFileSync(join(root, file), 'utf8');
    for (const [, name] of source.matchAll(/(?:from |import\()'((?:@[\w-]+\/)?[a-z][\w.-]*)(?:\/[^']*)?'/g)) {
      imported.add(name!);
    }
  }
  // As whoever uses the library imports it, in an example.
  imported.delete(packageJson.name);
  assert.ok(imported.has('koa'));
  for (const name of imported) assert.ok(name in packageJson.dependencies, name);
});

docker('is of a Node that the exporter takes', () => {
  const required = Number(/\d+/.exec(packageJson.engines.node)![0]);
  const bases = argumentsOf('FROM').map(line => line.split(' ')[0]!);
  assert.is(new Set(bases).size, 1, 'what is installed is run on what it was installed with');
  assert.ok(Number(/^node:(\d+)/.exec(bases[0]!)![1]) >= required);
});

docker('opens the ports of the listeners, and has the journal in its volume', () => {
  const ports = [settings.callbackListen, settings.operationsListen].map(
    setting => setting.default.split(':')[1],
  );
  assert.equal(argumentsOf('EXPOSE'), [ports.join(' ')]);
  const [volume] = argumentsOf('VOLUME');
  assert.ok(argumentsOf('ENV').includes(`JOURNAL=sqlite:${volume}/journal.db`));
});

docker('starts the exporter itself, without a shell that would keep SIGTERM', () => {
  const [entry] = argumentsOf('ENTRYPOINT');
  assert.equal(JSON.parse(entry!), packageJson.scripts.start.split(' '));
  assert.is(join(root, 'src/start.js'), entryPoint);
});

docker('is healthy while the exporter runs, and not when it does not', async () => {
  const [healthcheck] = argumentsOf('HEALTHCHECK');
  const [, ...words] = JSON.parse(/CMD (\[.*\])$/.exec(healthcheck!)![1]!) as string[];
  const check = async (host: string): Promise<number> => {
    const local = words.map(word => word.replace('127.0.0.1:9464', host));
    assert.not.equal(local, words);
    const [code] = await once(spawn(process.execPath, local), 'exit');
    return code;
  };
  const exporter = await startExporter();
  const { host } = new URL(exporter.operationsUrl);
  assert.is(await check(host), 0);
  await exporter.kill('SIGTERM');
  assert.is(await check(host), 1);
});

docker.run();
