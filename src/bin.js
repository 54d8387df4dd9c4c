#!/usr/bin/env node
// What npm links as `tencent-chat-exporter`: the entry point with the flag of `npm start`. A shebang cannot give it,
// since BusyBox's env, Alpine's, has no -S. The process stays the same one: signals and exit codes are the exporter's.
import { fileURLToPath } from 'node:url';

const entryPoint = new URL('./start.js', import.meta.url);
try {
  const flags = ['--max-semi-space-size=16', ...process.execArgv];
  const words = [process.execPath, ...flags, fileURLToPath(entryPoint), ...process.argv.slice(2)];
  process.execve(process.execPath, words);
} catch {
  // Windows has no execve, nor has a Node that is too old. It does without the flag, at 75 MB more.
  await import('./start.js');
}
