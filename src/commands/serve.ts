/** `serve`: the exporter itself, until a signal stops it. */
import { Command } from 'commander';
import { loadConfig } from '../config.ts';
import { createLog, type Log } from '../log.ts';
import type { Service } from '../service.ts';
import { exitCodes, type World } from './command.ts';

/** The kernel kills what does not stop; Kubernetes after 30 s, Docker after 10 s. */
export const stopWithinMs = 9_000;

export function serveCommand(world: World): Command {
  return new Command('serve')
    .summary('take callbacks and serve metrics (the default)')
    .description(
      'Takes callbacks and serves metrics until SIGTERM or SIGINT. All settings are environment variables.',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ SDK_APP_IDS=1400000001 tencent-chat-exporter serve
  $ SDK_APP_IDS=1400000001 JOURNAL=memory: tencent-chat-exporter
`,
    )
    .action(() => serve(world));
}

async function serve({ env, isTerminal, writeOut, readFile }: World): Promise<void> {
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
    process.exit(exitCodes.failure.code);
  });

  const loaded = loadConfig(env, readFile);
  log = createLog({ level: loaded.config.logLevel, isTerminal, write: writeOut, now: () => new Date() });
  // Here, since it takes longer to load than any other command does to run.
  const { startService } = await import('../service.ts');
  stopOnSignal(await startService({ ...loaded, log }), log);
}

/** The first signal stops in order, a second one at once. */
function stopOnSignal(service: Service, log: Log): void {
  let isStopping = false;
  const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
    if (isStopping) process.exit(exitCodes.killed.code);
    isStopping = true;
    log.info('stopping: callbacks in flight are answered, then the journal is closed', { signal });
    await service.stop(stopWithinMs);
    log.info('stopped');
    process.exit(exitCodes.success.code);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
}
