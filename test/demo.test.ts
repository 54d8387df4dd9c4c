/** `npm run demo` as a user sees it: what it starts, says, and leaves behind, which is nothing. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../package.json' with { type: 'json' };
import { cleanUp, onCleanUp, temporaryDirectory } from './support/clean-up.ts';
import { exceptionsTotal, Samples } from './support/exporter.ts';
import { until } from './support/prometheus.ts';
import { send } from './support/request.ts';

const demo = suite('demo');
demo.after.each(cleanUp);

const root = join(import.meta.dirname, '..');
const [, script] = packageJson.scripts.demo.split(' ') as [string, string];

interface Demo {
  child: ChildProcess;
  /** Where its temporary directory is, and nothing else. */
  directory: string;
  /** All that it has printed, on either output. */
  said(): string;
  exited: Promise<unknown[]>;
}

function startDemo(args: string[] = [], path = process.env.PATH): Demo {
  const directory = temporaryDirectory();
  const child = spawn(process.execPath, [script, ...args], {
    cwd: root,
    env: { PATH: path, TMPDIR: directory },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', chunk => {
      text += chunk;
    });
  }
  const exited = once(child, 'close');
  // In order, so that it takes with it what it started.
  onCleanUp(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  return { child, directory, said: () => text, exited };
}

/** The URL behind a name, once it was printed. */
function urlOf({ said }: Demo, name: string): Promise<string> {
  const find = async () => new RegExp(`^ *${name} +(http\\S+)$`, 'm').exec(said())?.[1];
  return until(find, `${name} in: ${said()}`);
}

/** No process listens at it any more. */
async function assertGone(url: string): Promise<void> {
  const problem = await send(url).then(
    ({ status }) => `still answers ${status}`,
    ({ code }: NodeJS.ErrnoException) => code,
  );
  assert.is(problem, 'ECONNREFUSED', url);
}

interface PrometheusData {
  activeTargets: { health: string }[];
  activeAlertmanagers: { url: string }[];
  groups: { rules: { name: string; annotations?: { runbook_url: string } }[] }[];
}

/** What the Prometheus behind one of its pages answers under this path of its API. */
async function ask(page: string, path: string): Promise<PrometheusData> {
  return JSON.parse((await send(new URL(`/api/v1/${path}`, page).href)).body).data;
}

demo(
  'shows where to look, counts traffic and an incident, is scraped, and Ctrl-C leaves nothing',
  async () => {
    const started = startDemo(['--incident']);
    const [page, metrics, alerts, alertmanager] = [
      await urlOf(started, 'Status page'),
      await urlOf(started, 'Metrics'),
      await urlOf(started, 'Alerts'),
      await urlOf(started, 'Alertmanager'),
    ];
    for (const url of [page, alerts, alertmanager]) assert.is((await send(url)).status, 200, url);
    assert.ok(started.said().includes(`curl -s ${metrics} | grep ^${exceptionsTotal}\n`));

    const scrape = async () => new Samples((await send(metrics)).body);
    await until(async () => (await scrape()).list(exceptionsTotal).length > 2, 'exceptions of several kinds');
    assert.is((await scrape()).sum('tencent_chat_callback_authentication'), 1);
    await until(
      async () => (await scrape()).sum(exceptionsTotal, { error_category: 'internal_error' }) >= 8,
      'the incident',
    );
    assert.is((await scrape()).sum('tencent_chat_callbacks_rejected_total'), 0);

    await until(async () => {
      const { activeTargets } = await ask(alerts, 'targets');
      return activeTargets.length === 1 && activeTargets[0]!.health === 'up';
    }, 'the target to be up');
    const { groups } = await ask(alerts, 'rules');
    const rules = groups.flatMap(group => group.rules);
    assert.ok(rules.some(({ name }) => name === 'TencentChatServerInternalErrors'));
    const runbooks = rules.flatMap(({ annotations }) =>
      annotations === undefined ? [] : [annotations.runbook_url],
    );
    assert.is(new URL(runbooks[0]!).host, new URL(alerts).host);
    assert.is((await send(runbooks[0]!)).status, 200, runbooks[0]);
    const { activeAlertmanagers } = await ask(alerts, 'alertmanagers');
    assert.is(new URL(activeAlertmanagers[0]!.url).host, new URL(alertmanager).host);

    assert.is(readdirSync(started.directory).length, 1);
    started.child.kill('SIGINT');
    assert.equal(await started.exited, [0, null]);
    assert.match(started.said(), /Stopping\.\n[\s\S]*Answered OK/);
    for (const url of [page, alerts, alertmanager]) await assertGone(url);
    assert.equal(readdirSync(started.directory), []);
  },
);

demo('without Prometheus says so, how to have it, and shows the rest', async () => {
  const started = startDemo([], temporaryDirectory());
  const page = await urlOf(started, 'Status page');
  await until(async () => started.said().includes('Ctrl-C ends it all'), 'all to be said');
  assert.match(
    started.said(),
    /Prometheus and Alertmanager not found.*\n +apt-get install prometheus prometheus-alertmanager\n/,
  );
  assert.not.match(started.said(), /Alerts +http/);
  assert.is((await send(page)).status, 200);
  started.child.kill('SIGTERM');
  assert.equal(await started.exited, [0, null]);
  await assertGone(page);
  assert.equal(readdirSync(started.directory), []);
});

demo('when one of them ends by itself says what it said last, and ends the others', async () => {
  const prometheus = join(temporaryDirectory(), 'bin/prometheus');
  mkdirSync(dirname(prometheus));
  writeFileSync(prometheus, '#!/bin/sh\necho "no more disk" >&2\nexit 3\n');
  chmodSync(prometheus, 0o755);
  const started = startDemo([], dirname(prometheus));
  assert.equal(await started.exited, [1, null]);
  assert.match(
    started.said(),
    /Prometheus has ended by itself \(exit code 3\)\. It said last:\n {2}no more disk\n/,
  );
  assert.equal(readdirSync(started.directory), []);
});

demo('takes no other argument', async () => {
  const started = startDemo(['--alerts']);
  assert.equal(await started.exited, [2, null]);
  assert.match(started.said(), /'--alerts'[\s\S]*--incident/);
});

demo.run();
