/**
 * Runs every test file in a process of its own, so that nothing leaks from one into the next, and counts.
 *
 *     npm test                    all of them
 *     npm test -- journal parse   those whose path holds one of the words
 *
 * Ends with the line `N passed, N failed`. Debian's Prometheus and Alertmanager, PostgreSQL, Chromium, nginx, openssl, systemd
 * and gcc are installed when they are missing and this is root.
 */
import { spawn, spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';

/** No file takes a quarter of this; one that hangs is ended and counted as failed. */
const fileTimeoutMs = 5 * 60_000;
/** Files that run at a time: most wait, for answers, time-outs and processes, more than they work. */
const filesAtOnce = 2;
/** Those that judge how long something takes, or keep all cores busy. */
const alone = ['attack/attack', 'faults/disk', 'grafana/rules', 'load', 'replicas', 'soak'];

const root = import.meta.dirname;
const words = process.argv.slice(2);
const files = globSync('**/*.test.ts', { cwd: root })
  .filter(file => words.length === 0 || words.some(word => file.includes(word)))
  .sort();

requireTools();
let passed = 0;
let failed = 0;
const isAlone = (file: string): boolean => alone.some(start => file.startsWith(start));
const { lone = [], others = [] } = Object.groupBy(files, file => (isAlone(file) ? 'lone' : 'others'));
await Promise.all(Array.from({ length: filesAtOnce }, () => runAll(others)));
await runAll(lone);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;

/** Until none is left in the queue. */
async function runAll(queue: string[]): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const result = await runFile(join(root, file));
    passed += result.passed;
    failed += result.failed;
  }
}

async function runFile(path: string): Promise<{ passed: number; failed: number }> {
  const startedAt = performance.now();
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', text => {
      output += text;
    });
  }
  const timer = setTimeout(() => child.kill('SIGKILL'), fileTimeoutMs);
  const [code, signal] = await new Promise<[number | null, string | null]>(resolve =>
    child.on('close', (...end) => resolve(end)),
  );
  clearTimeout(timer);

  const read = (name: string): number =>
    Number(new RegExp(`^\\s+${name}:\\s+(\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  const total = read('Total');
  // A file that dies, hangs or runs nothing is a failure of its own, whatever it counted.
  const isBroken = code !== 0 && read('Passed') === total;
  const result = {
    passed: read('Passed'),
    failed: total - read('Passed') + (isBroken || total === 0 ? 1 : 0),
  };
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stdout.write(
    `${result.failed === 0 ? 'ok  ' : 'FAIL'} ${relative(root, path)}  ${result.passed} passed, ${result.failed} failed  ${seconds} s\n`,
  );
  if (result.failed > 0) {
    process.stdout.write(`${output}\n${signal === null ? `exit code ${code}` : `ended by ${signal}`}\n`);
  }
  return result;
}

/**
 * The tests start their own Prometheus and nginx on free ports: it does not matter whether Debian's packages start
 * theirs on the usual ones. Of systemd they need the checker of units. With gcc the fault suite compiles its failing
 * disk, for which it needs libc's headers.
 */
function requireTools(): void {
  const runs = (command: string, args: string[], input = ''): boolean =>
    spawnSync(command, args, { input }).status === 0;
  const tools: { packages: string[]; isThere: () => boolean }[] = [
    { packages: ['prometheus'], isThere: () => runs('promtool', ['--version']) },
    { packages: ['prometheus-alertmanager'], isThere: () => runs('amtool', ['--version']) },
    { packages: ['nginx'], isThere: () => runs('nginx', ['-v']) },
    { packages: ['openssl'], isThere: () => runs('openssl', ['version']) },
    { packages: ['systemd'], isThere: () => runs('systemd-analyze', ['--version']) },
    { packages: ['chromium'], isThere: () => runs('chromium', ['--version']) },
    {
      packages: ['postgresql'],
      isThere: () => globSync('/usr/lib/postgresql/*/bin/postgres').length > 0,
    },
    {
      packages: ['gcc', 'libc6-dev'],
      isThere: () => runs('gcc', ['-xc', '-fsyntax-only', '-'], '#include <dlfcn.h>\n'),
    },
  ];
  const missing = (): string[] =>
    tools.filter(({ isThere }) => !isThere()).flatMap(({ packages }) => packages);
  const packages = missing();
  if (packages.length === 0) return;
  const isRoot = process.getuid?.() === 0;
  if (isRoot && spawnSync('apt-get', ['--version']).status === 0) {
    process.stdout.write(`installing Debian's ${packages.join(', ')}, which the tests run\n`);
    spawnSync('apt-get', ['update', '-qq'], { stdio: 'inherit' });
    const options = ['install', '-qq', '--no-install-recommends', ...packages];
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    spawnSync('apt-get', options, { stdio: ['ignore', 'ignore', 'inherit'], env });
    if (missing().length === 0) return;
  }
  process.stderr.write(`the tests need what Debian has in these: apt-get install ${missing().join(' ')}\n`);
  process.exit(1);
}
