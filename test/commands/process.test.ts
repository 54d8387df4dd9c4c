/** The commands as a user runs them: real processes, a real exporter. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { type Exporter, entryPoint, exceptionsTotal, startExporter } from '../support/exporter.ts';
import { until } from '../support/prometheus.ts';
import { sampleBody, sampleSdkAppId } from '../support/samples.ts';

const commands = suite('commands, as processes');
commands.after.each(cleanUp);

const token = 'canary-token-of-some-length';
const env = { SDK_APP_IDS: sampleSdkAppId, CALLBACK_TOKENS: token };

function start(args: string[], input = '', given: NodeJS.ProcessEnv = env) {
  const child = spawn(process.execPath, [entryPoint, ...args], { env: { PATH: process.env.PATH, ...given } });
  const ended = { code: null as number | null, out: '', error: '' };
  child.stdout.setEncoding('utf8').on('data', text => {
    ended.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', text => {
    ended.error += text;
  });
  // A command that reads nothing may have ended before all of it is written.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  onCleanUp(() => child.kill('SIGKILL'));
  const exit = new Promise<typeof ended>(resolve =>
    child.on('close', code => resolve(Object.assign(ended, { code }))),
  );
  return { child, ended, exit };
}

const run = (args: string[], input?: string, given?: NodeJS.ProcessEnv) => start(args, input, given).exit;

/** Callbacks by their outcome, of all commands. */
async function outcomesOf(exporter: Exporter): Promise<Record<string, number>> {
  const metrics = await exporter.metrics();
  const of = (outcome: string): number => metrics.sum('tencent_chat_callbacks_total', { outcome });
  return {
    counted: of('counted'),
    duplicate: of('duplicate'),
    ignored: of('ignored'),
    rejected: of('rejected'),
  };
}

commands('simulate sends what the exporter then has counted, one by one', async () => {
  const exporter = await startExporter({ env: { CALLBACK_TOKENS: token } });
  const args = ['simulate', exporter.callbackUrl, '--rate', '200', '--for', '2s', '--seed', '5', '--json'];
  const { code, out, error } = await run(args);
  assert.is(code, 0, error + out);
  const { sent, answered_ok, seconds } = JSON.parse(out);
  assert.equal(answered_ok, sent);
  assert.is(sent.exceptions + sent.repetitions + sent.other_commands, 400);
  assert.ok(sent.repetitions > 0 && sent.other_commands > 0);
  assert.ok(seconds >= 1.9);
  assert.equal(await outcomesOf(exporter), {
    counted: sent.exceptions,
    duplicate: sent.repetitions,
    ignored: sent.other_commands,
    rejected: 0,
  });
  assert.is((await exporter.metrics()).sum(exceptionsTotal), sent.exceptions);
  assert.not.match(out + error, 'canary');
});

commands(
  'simulate sums up when it is interrupted; with another token it is refused and exits with 1',
  async () => {
    const exporter = await startExporter({ env: { CALLBACK_TOKENS: token } });
    const { child, exit } = start(['simulate', exporter.callbackUrl, '--rate', '50']);
    await until(async () => (await outcomesOf(exporter)).counted! > 3, 'some callbacks');
    child.kill('SIGINT');
    const { code, out, error } = await exit;
    assert.is(code, 0, error);
    const { counted, duplicate, ignored } = await outcomesOf(exporter);
    assert.match(out, `Sent         ${counted! + duplicate! + ignored!} callbacks in `);

    const again = ['simulate', exporter.callbackUrl, '--rate', '20', '--for', '500ms'];
    const refused = await run(again, '', { ...env, CALLBACK_TOKENS: 'canary-another' });
    assert.is(refused.code, 1);
    assert.match(refused.out, /10 × 401[\s\S]*The token differs/);
    assert.is((await outcomesOf(exporter)).rejected, 10);
    assert.not.match(refused.out + refused.error, 'canary');
  },
);

commands('sign makes a URL that the exporter takes, explain tells before what becomes of it', async () => {
  const exporter = await startExporter({ env: { CALLBACK_TOKENS: token } });
  const signed = await run(['sign', '--url', exporter.callbackUrl, '--token-file', '-'], `${token}\n`, {
    SDK_APP_IDS: sampleSdkAppId,
  });
  assert.is(signed.code, 0, signed.error);
  const url = signed.out.trim();
  const explained = await run(['explain', '--url', url, '--json'], sampleBody());
  assert.is(explained.code, 0, explained.error);
  const { verdict, series } = JSON.parse(explained.out);
  const answer = await exporter.post(sampleBody(), new URL(url).search.slice(1));
  assert.is(answer.status, verdict.status);
  const lines = (await exporter.get('/metrics')).body.split('\n');
  for (const line of series) assert.ok(lines.includes(`${line} 1`), line);
  assert.not.match(signed.out + signed.error + explained.out + explained.error, 'canary');
});

commands('check tells of the exporter that runs, and of the journal when it was stopped', async () => {
  const exporter = await startExporter({ env: { CALLBACK_TOKENS: token } });
  await run(['simulate', exporter.callbackUrl, '--rate', '100', '--for', '200ms', '--seed', '1']);
  const total = await exporter.total();
  const given = { ...env, JOURNAL: `sqlite:${exporter.journal}` };
  const check = async () => JSON.parse((await run(['check', '--json'], '', given)).out).journal;
  assert.is((await check()).state, 'held');
  await exporter.kill('SIGKILL');
  const killed = await check();
  assert.equal([killed.state, killed.exceptions], ['readable', total]);

  const next = await startExporter({ journal: exporter.journal });
  await next.kill('SIGTERM');
  const stopped = await check();
  assert.equal([stopped.state, stopped.exceptions], ['readable', total]);
});

commands('end with the documented codes', async () => {
  const codes = async (...args: string[]) => (await run(args)).code;
  assert.is(await codes('codes', '10023'), 0);
  assert.is(await codes('codes', '99999'), 1);
  assert.is(await codes('explain', '/no/such/file'), 2);
  assert.is(await codes('codes', '--nonsense'), 2);
  assert.is(await codes('simulate', 'http://127.0.0.1:1/', '--for', '100ms'), 1);
  assert.is((await run(['check'], '', {})).code, 2);
});

commands('codes ends quietly when nobody reads on', async () => {
  const { child, ended, exit } = start(['codes']);
  child.stdout.destroy();
  await exit;
  assert.is(ended.error, '');
});

commands('shows no token of the environment or of a file, whatever it is asked', async () => {
  const file = join(temporaryDirectory(), 'token');
  writeFileSync(file, `${token}\n`);
  const journal = { SDK_APP_IDS: sampleSdkAppId, JOURNAL: 'memory:' };
  const runs: [args: string[], given: NodeJS.ProcessEnv][] = [
    [['check'], { ...journal, CALLBACK_TOKENS_FILE: file }],
    [['check', '--json'], { ...journal, CALLBACK_TOKENS: token }],
    [['sign'], { ...journal, CALLBACK_TOKENS_FILE: file }],
    [['explain'], { ...journal, CALLBACK_TOKENS: token }],
    [['simulate', 'http://127.0.0.1:1/', '--for', '100ms'], { ...journal, CALLBACK_TOKENS_FILE: file }],
  ];
  for (const [args, given] of runs) {
    const { out, error } = await run(args, sampleBody(), given);
    assert.ok(out.length > 50, `${args} printed: ${error}`);
    assert.not.match(out + error, 'canary');
  }
});

commands.run();
