/** The README says what is so: its tables, its commands, its names. */
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../package.json' with { type: 'json' };
import { settings } from '../src/config.ts';
import { metricTable } from '../src/metrics/table.ts';
import { startApp } from './support/app.ts';
import { cleanUp, temporaryDirectory } from './support/clean-up.ts';
import { exceptionsTotal, Samples, startExporter } from './support/exporter.ts';
import { freePort } from './support/ports.ts';
import { readmePath, withTables } from './support/readme-tables.ts';
import { send } from './support/request.ts';
import { sampleBody, sampleQuery, signedQuery } from './support/samples.ts';

const readme = suite('readme');
readme.after.each(cleanUp);

const root = join(import.meta.dirname, '..');
const text = readFileSync(readmePath, 'utf8');

/** The fenced blocks, in order. */
const blocks = Array.from(text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm), ([, language, content]) => ({
  language: language!,
  content: content!,
}));

function matches(pattern: RegExp): Set<string> {
  return new Set(Array.from(text.matchAll(pattern), ([, found]) => found!));
}

readme('holds the tables as the exporter has them; else: npm run readme', () => {
  assert.is(withTables(text), text);
});

readme('names npm scripts that exist', () => {
  const named = [...matches(/\bnpm run (\w[\w:]*\w)/g), ...matches(/\bnpm (start|test)\b/g)];
  assert.ok(named.length > 3);
  for (const name of named) assert.ok(name in packageJson.scripts, name);
});

readme('names files that exist', () => {
  const paths = [
    ...matches(/`((?:src|test)\/[\w./-]*)`/g),
    ...matches(/\bnode (test\/[\w./-]+)/g),
    ...matches(/\]\(((?!https?:|#)[^)]+)\)/g),
  ];
  assert.ok(paths.length > 5);
  for (const path of paths) assert.ok(existsSync(join(root, path)), path);
});

readme('links to headings that exist', () => {
  const slugs = Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );
  const links = [...matches(/\]\(#([^)]+)\)/g)];
  assert.ok(links.length > 5);
  for (const link of links) assert.ok(slugs.includes(link), link);
});

readme('names metrics and settings that exist', () => {
  const metrics: Set<string> = new Set(Object.values(metricTable).map(({ name }) => name));
  for (const name of matches(/`(tencent_chat_\w+)`/g)) assert.ok(metrics.has(name), name);
  const names: Set<string> = new Set(Object.values(settings).map(({ name }) => name));
  const isForeign = (name: string) => name.startsWith('OTEL_') || name === 'INVALID_ARGUMENT';
  for (const name of matches(/`([A-Z]+_[A-Z_]+)[=`]/g)) {
    assert.ok(names.has(name.replace(/_FILE$/, '')) || isForeign(name), name);
  }
});

readme('gives a reason for every dependency, and for nothing else', () => {
  const section = /^## Dependencies$([\s\S]*?)^## /m.exec(text)![1]!;
  const rows = Array.from(section.matchAll(/^\| (`.+?) \|/gm), ([, cell]) => cell!);
  const named = rows.flatMap(cell => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name!));
  const wanted = Object.keys({ ...packageJson.dependencies, ...packageJson.devDependencies });
  assert.equal(named.sort(), wanted.sort());
});

readme('tells what this version changed', () => {
  assert.ok(text.includes(`\n### ${packageJson.version}\n`));
});

readme("shows commands that print what it says, the callback's answer and its metrics", async () => {
  const exporter = await startExporter();
  const examples = blocks.flatMap(({ language, content }, index) =>
    language === 'sh' && content.startsWith('curl ') && content.includes('localhost:')
      ? [{ command: content, printed: blocks[index + 1]!.content }]
      : [],
  );
  assert.is(examples.length, 2);
  const run = async (command: string) => {
    const local = command
      .replace('localhost:8080', new URL(exporter.callbackUrl).host)
      .replace('localhost:9464', new URL(exporter.operationsUrl).host);
    return (await promisify(execFile)('sh', ['-c', local])).stdout.trimEnd();
  };
  for (const { command, printed } of examples) assert.is(await run(command), printed.trimEnd());

  const [post, metrics] = examples as [(typeof examples)[0], (typeof examples)[0]];
  assert.is(await run(post.command), post.printed.trimEnd(), 'the same again is answered the same');
  assert.is(
    await run(metrics.command),
    metrics.printed.trimEnd().replace('outcome="duplicate"} 0', 'outcome="duplicate"} 1'),
  );
});

readme('shows how to see that a signed callback comes through', async () => {
  const app = { SDK_APP_IDS: '1400000001', CALLBACK_TOKENS: 'a-long-random-token' };
  const exporter = await startExporter({ env: app });
  const index = blocks.findIndex(({ content }) => content.includes(' sign --url '));
  const command = blocks[index]!.content;
  const local = command
    .replace('https://chat.example.org/', exporter.callbackUrl)
    .replace('npm start --silent --', `'${process.execPath}' src/start.js`);
  assert.ok(!local.includes('example.org') && !local.includes('npm'));
  const run = async (env: Record<string, string>) => {
    const options = { cwd: root, env: { PATH: process.env.PATH, ...env } };
    return (await promisify(execFile)('sh', ['-c', local], options)).stdout.trimEnd();
  };
  assert.is(await run(app), blocks[index + 1]!.content.trimEnd());
  assert.is((await exporter.metrics()).sum('tencent_chat_callbacks_total', { outcome: 'ignored' }), 1);
  assert.match(await run({ ...app, CALLBACK_TOKENS: 'another-token' }), /"ActionStatus":"FAIL"/);
});

readme('shows an app that takes exceptions beside its own callbacks', async () => {
  const [callbackPort, operationsPort] = [await freePort(), await freePort()];
  const source = blocks.find(({ language }) => language === 'js')!.content;
  for (const listening of ['listen(3000', 'listen(9464']) assert.ok(source.includes(listening));
  const { child } = await startApp(
    'app.mjs',
    {
      'app.mjs': source
        .replace('listen(3000', `listen(${callbackPort}`)
        .replace('listen(9464', `listen(${operationsPort}`),
    },
    { env: { CALLBACK_TOKENS: 'a-token' } },
  );
  const post = async (body: string, query: string) => {
    const url = `http://127.0.0.1:${callbackPort}/tencent?${query}`;
    const answer = await send(url, { method: 'POST', body });
    return [answer.status, JSON.parse(answer.body).ErrorCode];
  };
  const command = { CallbackCommand: 'Group.CallbackBeforeSendMsg' };
  const messageOf = (text: string) =>
    sampleBody({ ...command, MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: text } }] });
  assert.equal(await post(messageOf('darn it'), sampleQuery(command)), [200, 1]);
  assert.equal(await post(messageOf('well'), sampleQuery(command)), [200, 0]);
  assert.equal(await post(sampleBody(), signedQuery(Date.now(), 'a-token')), [200, 0]);
  assert.equal(await post(sampleBody(), sampleQuery()), [401, 401]);

  const samples = new Samples((await send(`http://127.0.0.1:${operationsPort}/metrics`)).body);
  assert.is(samples.sum(exceptionsTotal), 1);
  assert.is(samples.sum('tencent_chat_callbacks_total'), 2);
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  assert.equal(await exited, [0, null]);
});

readme('starts the exporter with settings that suffice', () => {
  const { scripts } = packageJson;
  assert.ok(blocks.some(({ content }) => content === 'npm ci && SDK_APP_IDS=1400000001 npm start\n'));
  assert.match(scripts.start!, /^node (--\S+ )*src\/start\.js$/);
});

readme('shows a configuration that Prometheus takes', () => {
  const file = join(temporaryDirectory(), 'prometheus.yml');
  writeFileSync(file, blocks.find(({ language }) => language === 'yaml')!.content);
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'config', file], { encoding: 'utf8' });
  assert.is(status, 0, `${stdout}${stderr}`);
});

readme.run();
