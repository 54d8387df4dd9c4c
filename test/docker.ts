/**
 * Builds the image and proves that it runs as its configuration says: as PID 1 and uid 1000, without capabilities, on
 * a root file system that cannot be written except for the volume, with the default ports in a network of its own.
 *
 *     npx node test/docker.ts [OPTIONS OF buildah bud]
 *
 * Not part of `npm test`: it wants root, buildah, debootstrap, curl and 2 GB of disk. The options are where the
 * settings of a private registry go, such as `-v /etc/npmrc:/usr/local/etc/npmrc:ro`. The base image is made here, of
 * Debian, the Node of devDependencies and the npm on the PATH, so that no Docker registry is needed.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { sampleBody, sampleQuery, sampleSdkAppId } from './support/samples.ts';

const root = join(import.meta.dirname, '..');
const image = 'localhost/tencent-chat-exporter:test';
const work = mkdtempSync(join(tmpdir(), 'docker-'));
Object.assign(process.env, { STORAGE_DRIVER: 'vfs', BUILDAH_ISOLATION: 'chroot' });

const base = /^FROM (\S+)$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))![1]!;
if (spawnSync('buildah', ['inspect', '--type', 'image', base]).status !== 0) makeBase(base);
const options = ['--format', 'docker', '--pull-never', '--build-arg', 'REVISION=0123abc'];
run('buildah', ['bud', '-q', ...options, ...process.argv.slice(2), '-t', image, root]);

interface Inspected {
  Docker: {
    config: { User: string; Env: string[]; Entrypoint: string[]; WorkingDir: string };
  };
}
const { config } = (JSON.parse(run('buildah', ['inspect', '--type', 'image', image])) as Inspected).Docker;
const healthcheck = JSON.parse(
  /^\s+CMD (\[.*\])$/m.exec(readFileSync(join(root, 'Dockerfile'), 'utf8'))![1]!,
) as string[];
const container = run('buildah', ['from', '--pull-never', image]).trim();
const mount = run('buildah', ['mount', container]).trim();

const [uid, gid] = config.User.split(':');
const asUser = `setpriv --reuid ${uid} --regid ${gid} --clear-groups --bounding-set=-all --no-new-privs`;
const child = spawn(
  'unshare',
  [
    ...['--net', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-euc'],
    `ip link set lo up
     mount --bind '${mount}' '${mount}'
     mount -t tmpfs -o mode=700,uid=1000,gid=1000 tmpfs '${mount}/data'
     mount -o remount,bind,ro '${mount}'
     exec chroot '${mount}' ${asUser} --pdeathsig KILL env -i -C '${config.WorkingDir}' "$@"`,
    'sh',
    ...config.Env,
    `SDK_APP_IDS=${sampleSdkAppId}`,
    ...config.Entrypoint,
  ],
  { stdio: ['ignore', 'inherit', 'inherit'] },
);
try {
  await prove();
} finally {
  child.kill('SIGKILL');
  run('buildah', ['rm', container]);
  console.log(`${sizeOf(image)}, of which ${sizeOf(base)} are the base made here`);
  rmSync(work, { recursive: true });
}

async function prove(): Promise<void> {
  // unshare stays outside; its only child is the exporter, once every `exec` is done.
  const pid = await until(() => {
    const [first] = read(`/proc/${child.pid}/task/${child.pid}/children`).split(' ');
    const isExporter = read(`/proc/${first}/cmdline`).startsWith(config.Entrypoint.join('\0'));
    return first && isExporter ? first : undefined;
  });
  const inside = (...command: string[]) =>
    spawnSync('nsenter', ['--net', '--target', pid, ...command], { encoding: 'utf8' });
  const url = 'http://127.0.0.1:9464';
  await until(() => inside('curl', '-fs', `${url}/-/ready`).status === 0 || undefined);

  const status = read(`/proc/${pid}/status`);
  check('uid 1000', /^Uid:\t1000\t1000\t1000\t1000$/m.test(status));
  check('no capabilities', /^CapEff:\t0+$/m.test(status) && /^CapBnd:\t0+$/m.test(status));
  check('PID 1 of its namespace', /^NSpid:\t\d+\t1$/m.test(status));
  const rootMount = read(`/proc/${pid}/mountinfo`)
    .split('\n')
    .find(line => line.split(' ')[4] === '/');
  check('read-only root', rootMount?.split(' ')[5]?.startsWith('ro') === true);

  const post = ['-s', `http://127.0.0.1:8080/?${sampleQuery()}`, '-d', sampleBody()];
  check('a callback is answered OK', inside('curl', ...post).stdout.includes('"ActionStatus":"OK"'));
  const metrics = inside('curl', '-s', `${url}/metrics`).stdout;
  check('and counted', /^tencent_chat_group_message_exceptions_total\{.*\} 1$/m.test(metrics));
  check('the revision is told', metrics.includes('revision="0123abc"'));
  check('the journal is in the volume', existsSync(`/proc/${pid}/root/data/journal.db`));

  const health = () =>
    inside('chroot', mount, ...asUser.split(' '), 'env', '-i', ...config.Env, ...healthcheck).status;
  check('the health check passes', health() === 0);

  const body = sampleBody({ Random: 2 });
  const upload = ['-s', '-X', 'POST', '-H', 'Expect:', '-T', '-', `http://127.0.0.1:8080/?${sampleQuery()}`];
  const sender = spawn('nsenter', ['--net', '--target', pid, 'curl', ...upload]);
  const answer = text(sender.stdout);
  sender.stdin.write(body.slice(0, 50));
  // The connection is there, on port 8080, in state 01: established.
  await until(() => /:1F90 \S+ 01 /.test(read(`/proc/${pid}/net/tcp`)) || undefined);
  process.kill(Number(pid), 'SIGTERM');
  sender.stdin.end(body.slice(50));
  check('SIGTERM: a callback in flight is answered', (await answer).includes('"ActionStatus":"OK"'));
  const [code] = (await once(child, 'exit')) as [number | null];
  check('and then it ends with exit code 0', code === 0);
  const after = spawnSync('unshare', ['--net', 'chroot', mount, 'env', '-i', ...config.Env, ...healthcheck]);
  check('the health check fails when nothing listens', after.status === 1);
}

function check(what: string, isSo: boolean): void {
  console.log(`${isSo ? 'ok  ' : 'FAIL'} ${what}`);
  if (!isSo) process.exitCode = 1;
}

async function until<Result>(attempt: () => Result | undefined): Promise<Result> {
  for (let tries = 0; tries < 100; tries += 1) {
    const result = attempt();
    if (result !== undefined) return result;
    await delay(100);
  }
  throw new Error('the container did not come up within 10 s');
}

/** As buildah says it: `384 MB`. */
function sizeOf(name: string): string {
  const [found] = JSON.parse(run('buildah', ['images', '--json', name])) as { size: string }[];
  return found!.size;
}

function makeBase(name: string): void {
  const folder = join(work, 'base');
  run('debootstrap', ['--variant=minbase', 'bookworm', folder]);
  cpSync(join(root, 'node_modules/node/bin/node'), join(folder, 'usr/local/bin/node'));
  const npm = join(run('npm', ['root', '--global']).trim(), 'npm');
  cpSync(npm, join(folder, 'usr/local/lib/node_modules/npm'), { recursive: true, dereference: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm'));
  const scratch = run('buildah', ['from', 'scratch']).trim();
  run('buildah', ['copy', '-q', scratch, folder, '/']);
  run('buildah', ['commit', '-q', scratch, name]);
  run('buildah', ['rm', scratch]);
}

/** A process may be gone before it is looked at. */
function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function run(command: string, words: string[]): string {
  return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}
