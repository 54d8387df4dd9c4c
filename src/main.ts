/** The process: environment in, exit code out, signals. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { loadConfig, SettingsError } from './config.ts';
import { JournalUnusable } from './journal/journal.ts';
import { createLog, type Log } from './log.ts';
import { type Service, startService } from './service.ts';

/** 0: stopped when asked to. */
const exitCodes = { failure: 1, settings: 2, killed: 137 };

/** The kernel kills what does not stop; Kubernetes after 30 s, Docker after 10 s. */
const stopWithinMs = 9_000;

// A callback outlives a collection or two while its batch is synced. From that V8 concludes that such objects live for
// long, makes them where only a full collection finds them, and then half of all CPU goes into full collections.
setFlagsFromString('--no-allocation-site-pretenuring');

await main();

async function main(): Promise<void> {
  let log: Log | undefined;
  // Whatever was not thought of: say so in one line and die. What was answered is durable, and a restart is exact.
  process.on('uncaughtException', error => {
    const { name, message, stack, cause } = error;
    const fields = {
      error: `${name}: ${message}`,
      stack,
      cause: cause === undefined ? undefined : String(cause),
    };
    if (log === undefined) process.stderr.write(`${fields.error}\n`);
    else log.error('the exporter failed and stops; what was answered is safe in the journal', fields);
    process.exit(exitCodes.failure);
  });

  try {
    const { config, env } = loadConfig(process.env, path => readFileSync(path, 'utf8'));
    log = createLog({
      level: config.logLevel,
      isTerminal: process.stdout.isTTY === true,
      write: line => process.stdout.write(line),
      now: () => new Date(),
    });
    stopOnSignal(await startService({ config, env, log }), log);
  } catch (error) {
    process.exitCode = explain(error);
  }
}

/** The first signal stops in order, a second one at once. */
function stopOnSignal(service: Service, log: Log): void {
  let isStopping = false;
  const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) process.exit(exitCodes.killed);
    isStopping = true;
    log.info('stopping: callbacks in flight are answered, then the journal is closed', { signal });
    await service.stop(stopWithinMs);
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}

/** Says on stderr why there was no start, and returns the exit code. */
function explain(error: unknown): number {
  if (error instanceof SettingsError) {
    const list = error.problems.map(problem => `  ${problem}\n`).join('');
    process.stderr.write(`tencent-chat-exporter: wrong settings\n${list}`);
    return exitCodes.settings;
  }
  const { name, code, message } = error as NodeJS.ErrnoException;
  // By its name: it comes from the journal's thread.
  const isExpected = name === JournalUnusable.name || code !== undefined;
  process.stderr.write(
    `tencent-chat-exporter: ${isExpected ? message : ((error as Error).stack ?? message)}\n`,
  );
  return exitCodes.failure;
}
