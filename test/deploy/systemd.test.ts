/** What can be told of the unit without booting it; test/systemd.ts boots it. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import packageJson from '../../package.json' with { type: 'json' };
import { exitCodes } from '../../src/commands/command.ts';
import { stopWithinMs } from '../../src/commands/serve.ts';
import { loadConfig, secretNames, settings } from '../../src/config.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';

const systemd = suite('systemd');
systemd.after.each(cleanUp);

const name = `${packageJson.name}.service`;
const unit = readFileSync(join(import.meta.dirname, '../../src/deploy', name), 'utf8');

/** Of 10, by systemd's own reckoning without looking at what runs; running it is 1.1. Most of it is the network. */
const exposureMax = 1.3;

/** What each of a unit's directives says, in order; what it names more than once, more than once. */
function valuesOf(directive: string): string[] {
  return Array.from(unit.matchAll(new RegExp(`^${directive}=(.*)$`, 'gm')), ([, value]) => value!);
}

/** The words of systemd-analyze about a unit, whose command is one that this machine has. */
function analyze(words: string[], text: string): { status: number | null; output: string } {
  const file = join(temporaryDirectory(), name);
  writeFileSync(file, text.replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`));
  const { status, stdout, stderr } = spawnSync('systemd-analyze', [...words, file], { encoding: 'utf8' });
  return { status, output: `${stdout}${stderr}` };
}

const verify = (text: string) => analyze(['verify', '--recursive-errors=no'], text);

systemd('is a unit that systemd has no complaint about', () => {
  assert.equal(verify(unit), { status: 0, output: '' });
  for (const [from, to] of [
    ['ProtectSystem=', 'ProtectSytem='],
    ['AF_INET6', 'AF_INET7'],
    ['@system-service', '@system-services'],
    ['Restart=on-failure', 'Restart=on-failures'],
  ] as const) {
    assert.ok(unit.includes(from), from);
    assert.is.not(verify(unit.replace(from, to)).output, '', to);
  }
});

systemd(`exposes no more than ${exposureMax} of 10`, () => {
  const options = ['security', '--offline=true', '--no-pager', `--threshold=${exposureMax * 10}`];
  const { status, output } = analyze(options, unit);
  assert.is(status, 0, output);
  assert.is.not(analyze(options, unit.replace('CapabilityBoundingSet=\n', '')).status, 0);
});

systemd('lets V8 compile, and nothing else write what it runs', () => {
  assert.equal(valuesOf('MemoryDenyWriteExecute'), []);
  assert.equal(valuesOf('ProtectSystem'), ['strict']);
});

systemd('lets it listen where the journal command asks, and on no socket but IP beside', () => {
  assert.equal(valuesOf('RestrictAddressFamilies'), ['AF_INET AF_INET6 AF_UNIX']);
});

systemd('runs the command of the npm package', () => {
  const [command] = valuesOf('ExecStart');
  assert.is(command, `${Object.keys(packageJson.bin)[0]} serve`);
});

systemd('has settings that exist and are taken: the token by credential, the journal in its folder', () => {
  const specifiers: Record<string, string> = { S: '/var/lib', d: '/run/credentials' };
  const env = Object.fromEntries(
    valuesOf('Environment')
      .flatMap(line => line.split(' '))
      .map(assignment => assignment.replace(/%(.)/g, (_, letter: string) => specifiers[letter]!).split('=')),
  ) as Record<string, string>;
  const names: string[] = Object.values(settings).map(setting => setting.name);
  for (const each of Object.keys(env)) {
    assert.ok(names.includes(each) || secretNames.includes(each.replace(/_FILE$/, '')), each);
  }
  const read: string[] = [];
  const { config } = loadConfig({ ...env, SDK_APP_IDS: '1400000001' }, path => {
    read.push(path);
    return 'a-token';
  });
  assert.equal(config.journal, {
    engine: 'sqlite',
    path: `/var/lib/${valuesOf('StateDirectory')[0]}/journal.db`,
  });
  assert.equal(valuesOf('LoadCredential'), ['token:/etc/tencent-chat-exporter/token']);
  assert.equal(read, ['/run/credentials/token']);
  for (const [key, setting] of [
    ['callbackListen', settings.callbackListen],
    ['operationsListen', settings.operationsListen],
  ] as const) {
    assert.equal(config[key], { host: '127.0.0.1', port: Number(setting.default.split(':')[1]) });
  }
});

systemd('starts it again unless the settings are wrong, and leaves it time to stop', () => {
  assert.equal(valuesOf('Restart'), ['on-failure']);
  assert.equal(valuesOf('StartLimitIntervalSec'), ['0']);
  assert.equal(valuesOf('RestartPreventExitStatus'), [String(exitCodes.usage.code)]);
  assert.ok(Number(valuesOf('TimeoutStopSec')[0]) * 1000 > 1.5 * stopWithinMs);
});

systemd.run();
