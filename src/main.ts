/** The process: arguments and environment in, exit code out. */
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { run } from './cli.ts';

// A callback outlives a collection or two while its batch is synced. From that V8 concludes that such objects live for
// long, makes them where only a full collection finds them, and then half of all CPU goes into full collections.
setFlagsFromString('--no-allocation-site-pretenuring');

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  writeOut: output => process.stdout.write(output),
  writeError: output => process.stderr.write(output),
  isTerminal: process.stdout.isTTY === true,
  columns: process.stdout.columns ?? 80,
  readInput: () => text(process.stdin),
  now: Date.now,
});
