/** The process: arguments and environment in, exit code out. */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { setFlagsFromString } from 'node:v8';
import { run } from './cli.ts';
import { exitCodes } from './commands/command.ts';

// A callback outlives a collection or two while its batch is synced. From that V8 concludes that such objects live for
// long, makes them where only a full collection finds them, and then half of all CPU goes into full collections.
setFlagsFromString('--no-allocation-site-pretenuring');

// Nobody reads what is written any more, as in `… codes | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(exitCodes.failure.code);
  throw error;
});

process.exitCode = await run(process.argv.slice(2), {
  env: process.env,
  writeOut: output => process.stdout.write(output),
  streamOut: output => pipeline(Readable.from(output), process.stdout, { end: false }),
  writeError: output => process.stderr.write(output),
  isTerminal: process.stdout.isTTY === true,
  isErrorTerminal: isatty(2),
  isInputTerminal: isatty(0),
  columns: process.stdout.columns || 80,
  readInput: () => text(process.stdin),
  readFile: path => readFileSync(path, 'utf8'),
  now: Date.now,
  monotonicNow: () => performance.now(),
  wait: (milliseconds, signal) => delay(milliseconds, undefined, { signal }).catch(() => {}),
  onInterrupt(stop) {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, stop);
  },
});
