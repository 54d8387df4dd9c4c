/** The open-loop load as a process of its own, so that it does not slow down whoever starts it, or the other way round. */
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { LoadOptions, LoadResult } from './open-load.ts';

const script = fileURLToPath(new URL('./open-load.ts', import.meta.url));

export async function runLoadProcess(options: LoadOptions): Promise<LoadResult> {
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const output = await text(child.stdout);
  if (output === '') throw new Error('the load ended without a result');
  return JSON.parse(output);
}
