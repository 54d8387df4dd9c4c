/**
 * An app of somebody else's, in a process of its own: plain JavaScript in a directory of its own, in which the package
 * and what an app needs beside it are found by their names.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { onCleanUp, temporaryDirectory } from './clean-up.ts';

const root = join(import.meta.dirname, '../..');

/** What an app may import beside this package. */
const dependencies = ['koa', 'koa-bodyparser', '@koa/router'];

export interface App {
  directory: string;
  child: ChildProcess;
  /** The first line that it prints. */
  line: string;
}

/**
 * Writes the files and starts `main` among them; resolves with the first line that it prints. Rejects with what it says
 * on standard error when it ends instead.
 */
export async function startApp(
  main: string,
  files: Record<string, string>,
  { env, directory = temporaryDirectory() }: { env?: Record<string, string>; directory?: string } = {},
): Promise<App> {
  for (const [name, text] of Object.entries({ ...files, ...packageFiles() })) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  for (const name of dependencies)
    link(join(root, 'node_modules', name), join(directory, 'node_modules', name));
  const child = spawn(process.execPath, [main], {
    cwd: directory,
    env: { PATH: process.env.PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onCleanUp(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', chunk => {
    stderr += chunk;
  });
  const ended = once(child, 'exit').then(() => {
    throw new Error(`the app ended: ${stderr}`);
  });
  const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), ended]);
  ended.catch(() => {});
  return { directory, child, line };
}

/** The package as an app finds it, by way of its entry in this tree. */
function packageFiles(): Record<string, string> {
  const entry = JSON.stringify(new URL('../../src/index.ts', import.meta.url).href);
  const at = 'node_modules/tencent-chat-exporter';
  return {
    [`${at}/package.json`]: JSON.stringify({ type: 'module', exports: './index.js' }),
    [`${at}/index.js`]: `export * from ${entry};\n`,
  };
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true });
  try {
    symlinkSync(target, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
