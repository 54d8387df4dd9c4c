/**
 * Boots a Debian of its own with the npm package and its unit in it, and proves that the unit does as it says: systemd
 * itself starts it, sandboxed, starts it again after kill -9, and stops it in order.
 *
 *     npx node test/systemd.ts
 *
 * Not part of `npm test`: it wants root, debootstrap, systemd-container, curl and 1 GB of disk. Where cgroups are of
 * version 1, the limits of memory and tasks are not enforced in there, and so not proven.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { sampleBody, sampleSdkAppId, sampleToken, signedQuery } from './support/samples.ts';

const root = join(import.meta.dirname, '..');
const unit = 'tencent-chat-exporter.service';
const work = mkdtempSync(join(tmpdir(), 'systemd-'));
const debian = join(work, 'debian');
const etc = join(debian, 'etc/tencent-chat-exporter');

// As the unit's first lines tell.
run('debootstrap', ['--variant=minbase', '--include=systemd,dbus,curl', 'bookworm', debian]);
cpSync(join(root, 'node_modules/node/bin/node'), join(debian, 'usr/local/bin/node'));
const packed = run('npm', ['pack', '--silent', '--pack-destination', work]).trim();
const options = ['--global', '--prefix', join(debian, 'usr/local'), '--prefer-offline', '--ignore-scripts'];
run('npm', ['install', ...options, join(work, packed)]);
writeFileSync(join(debian, 'etc/hosts'), '127.0.0.1 localhost collector\n');
mkdirSync(etc, { mode: 0o700 });
writeFileSync(join(etc, 'settings'), settings(sampleSdkAppId));
writeFileSync(join(etc, 'token'), `${sampleToken}\n`, { mode: 0o600 });
const shipped = join(debian, 'usr/local/lib/node_modules/tencent-chat-exporter/src/deploy', unit);
cpSync(shipped, join(debian, 'etc/systemd/system', unit));

const boot = ['--quiet', '--register=no', '--keep-unit', '--private-network', '-D', debian, '--boot'];
const nspawn = spawn('systemd-nspawn', boot, { stdio: ['ignore', 'ignore', 'inherit'] });
let receiver: ReturnType<typeof spawn> | undefined;
try {
  await prove();
} finally {
  receiver?.kill('SIGKILL');
  // In order, as its own power button would.
  nspawn.kill('SIGTERM');
  await once(nspawn, 'exit');
  rmSync(work, { recursive: true });
}

function settings(sdkAppIds: string): string {
  return `SDK_APP_IDS=${sdkAppIds}\nOTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318\n`;
}

async function prove(): Promise<void> {
  const leader = await until(
    () => read(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`).split(' ')[0] || undefined,
  );
  const inside = (...command: string[]) =>
    spawnSync('nsenter', ['--all', '--target', leader, ...command], { encoding: 'utf8' });
  const systemctl = (...words: string[]): string => inside('systemctl', ...words).stdout.trim();
  const property = (name: string): string => systemctl('show', '--property', name, '--value', unit);
  const get = (path: string) => inside('curl', '-fs', `http://127.0.0.1:9464${path}`);
  const isReady = () => get('/-/ready').status === 0 || undefined;
  const total = () => sum(get('/metrics').stdout, 'tencent_chat_group_message_exceptions_total');
  const post = (query: string, body: string): string =>
    inside('curl', '-s', `http://127.0.0.1:8080/?${query}`, '-d', body).stdout;
  const netOf = ['--net', '--target', leader];

  const receiverFile = join(import.meta.dirname, 'support/otlp-receiver-process.ts');
  receiver = spawn('nsenter', [...netOf, process.execPath, receiverFile, '4318'], { stdio: 'ignore' });
  await until(() => systemctl('is-system-running') === 'running' || undefined);
  systemctl('enable', '--now', unit);
  await until(isReady);
  check('systemd starts it', property('ActiveState') === 'active');
  const pid = hostPid(property('MainPID'));
  const status = read(`/proc/${pid}/status`);
  const words = read(`/proc/${pid}/cmdline`).split('\0');
  check('with the flag of npm start', words.includes('--max-semi-space-size=16'));
  check('as a user of its own', /^Uid:\t(6\d{4})\t\1\t\1\t\1$/m.test(status));
  check('without capabilities', /^CapEff:\t0+$/m.test(status) && /^CapBnd:\t0+$/m.test(status));
  check('without new privileges', /^NoNewPrivs:\t1$/m.test(status));
  check('with system calls filtered', /^Seccomp:\t2$/m.test(status));
  const state = '/var/lib/private/tencent-chat-exporter';
  const isWritable = (path: string): boolean =>
    read(`/proc/${pid}/mountinfo`)
      .split('\n')
      .findLast(line => line.split(' ')[4] === path)
      ?.split(' ')[5]
      ?.startsWith('rw') ?? false;
  check('on a root that is read-only, with one folder for its state', !isWritable('/') && isWritable(state));
  check('the journal is in it', existsSync(join(debian, state, 'journal.db')));

  const unsigned = post(signedQuery(Date.now(), 'another'), sampleBody());
  check('the token is its credential: another is refused', unsigned.includes('"ErrorCode":401'));
  check('and it is taken', post(signedQuery(Date.now()), sampleBody()).includes('"ActionStatus":"OK"'));
  check('the exception is counted', total() === 1);
  const delivered = () => inside('curl', '-s', 'http://127.0.0.1:4318/summary').stdout;
  await until(() => delivered().includes('"distinct":1},"logs":{"requests":1') || undefined);
  check('and delivered, to a host by its name', true);
  check('its process metrics are there', get('/metrics').stdout.includes('process_resident_memory_bytes'));

  process.kill(pid, 'SIGKILL');
  await until(() => (property('NRestarts') === '1' && isReady()) || undefined);
  post(signedQuery(Date.now()), sampleBody());
  check('kill -9: systemd starts it again, and the exception is still counted once', total() === 1);

  const body = sampleBody({ Random: 2 });
  const upload = [
    '-X',
    'POST',
    '-H',
    'Expect:',
    '-T',
    '-',
    `http://127.0.0.1:8080/?${signedQuery(Date.now())}`,
  ];
  const sender = spawn('nsenter', [...netOf, 'curl', '-s', ...upload]);
  const answer = text(sender.stdout);
  sender.stdin.write(body.slice(0, 50));
  const restarted = hostPid(property('MainPID'));
  // Port 8080, in state 01: established.
  await until(() => /:1F90 \S+ 01 /.test(read(`/proc/${restarted}/net/tcp`)) || undefined);
  systemctl('stop', '--no-block', unit);
  sender.stdin.end(body.slice(50));
  check('stop: a callback in flight is answered', (await answer).includes('"ActionStatus":"OK"'));
  await until(() => property('ActiveState') === 'inactive' || undefined);
  check('and it ends in order', property('Result') === 'success' && property('ExecMainStatus') === '0');

  writeFileSync(join(etc, 'settings'), settings('wrong'));
  systemctl('start', unit);
  await until(() => property('ActiveState') === 'failed' || undefined);
  check('wrong settings: told, and not tried again', property('NRestarts') === '0');
  check('by name', inside('journalctl', '--unit', unit).stdout.includes('SDK_APP_IDS expects'));

  const node = ['--property', 'MemoryDenyWriteExecute=yes', '/usr/local/bin/node', '--eval', '0'];
  const denied = inside('systemd-run', '--quiet', '--wait', ...node);
  check('with MemoryDenyWriteExecute Node does not even start', denied.status !== 0);
  console.log(inside('systemd-analyze', '--no-pager', 'security', unit).stdout.trim().split('\n').at(-1));
}

/** The process outside that is this one in there. */
function hostPid(pidInside: string): number {
  const isIt = (pid: string): boolean =>
    new RegExp(`^NSpid:.*\\t${pidInside}$`, 'm').test(read(`/proc/${pid}/status`)) &&
    read(`/proc/${pid}/cmdline`).includes('tencent-chat-exporter');
  return Number(
    readdirSync('/proc')
      .filter(name => /^\d+$/.test(name))
      .find(isIt),
  );
}

function sum(metrics: string, name: string): number {
  const values = metrics.matchAll(new RegExp(`^${name}{.*} (\\d+)$`, 'gm'));
  return values.reduce((total, [, value]) => total + Number(value), 0);
}

function check(what: string, isSo: boolean): void {
  console.log(`${isSo ? 'ok  ' : 'FAIL'} ${what}`);
  if (!isSo) process.exitCode = 1;
}

async function until<Result>(attempt: () => Result | undefined): Promise<Result> {
  for (let tries = 0; tries < 150; tries += 1) {
    const result = attempt();
    if (result !== undefined) return result;
    await delay(200);
  }
  throw new Error('waited 30 s in vain');
}

/** A process may be gone before it is looked at. */
function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function run(command: string, words: string[]): string {
  return execFileSync(command, words, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
