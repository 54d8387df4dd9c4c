/** The command line: which commands there are, and how each ends. */
import { Command, CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { checkCommand } from './commands/check.ts';
import { codesCommand } from './commands/codes.ts';
import { CommandFailed, exitCodes, type World } from './commands/command.ts';
import { explainCommand } from './commands/explain.ts';
import { journalCommand } from './commands/journal.ts';
import { serveCommand } from './commands/serve.ts';
import { signCommand } from './commands/sign.ts';
import { simulateCommand } from './commands/simulate.ts';
import { SettingsError } from './config.ts';
import { JournalUnusable } from './journal/journal.ts';

/** Runs what the arguments ask for, and resolves with the exit code; a served exporter goes on after that. */
export async function run(args: readonly string[], world: World): Promise<number> {
  try {
    await program(world).parseAsync(args.length === 0 ? ['serve'] : args, { from: 'user' });
    return exitCodes.success.code;
  } catch (error) {
    return explain(error, world);
  }
}

export function program(world: World): Command {
  const root = new Command('tencent-chat-exporter')
    .description(packageJson.description)
    .version(packageJson.version, '-V, --version', 'show the version')
    .addCommand(serveCommand(world))
    .addCommand(checkCommand(world))
    .addCommand(journalCommand(world))
    .addCommand(simulateCommand(world))
    .addCommand(explainCommand(world))
    .addCommand(signCommand(world))
    .addCommand(codesCommand(world))
    .addHelpText('after', `\nExit codes:\n${exitCodeLines()}`);
  settle(root, world);
  return root;
}

/** What holds for every command, since Commander hands it down only to those that it makes itself. */
function settle(command: Command, world: World): void {
  command
    .helpCommand(false)
    .helpOption('-h, --help', 'show this')
    .showHelpAfterError('(--help says more)')
    .exitOverride()
    .configureOutput({
      writeOut: world.writeOut,
      writeErr: world.writeError,
      getOutHelpWidth: () => world.columns,
      getErrHelpWidth: () => world.columns,
    });
  for (const child of command.commands) settle(child, world);
}

function exitCodeLines(): string {
  return Object.values(exitCodes)
    .map(({ code, meaning }) => `  ${String(code).padEnd(3)}  ${meaning}\n`)
    .join('');
}

/** Says on standard error why it did not work, and returns the exit code. */
function explain(error: unknown, { writeError }: World): number {
  if (error instanceof CommanderError) {
    // Commander has said it; 0 is for --help and --version.
    return error.exitCode === 0 ? exitCodes.success.code : exitCodes.usage.code;
  }
  if (error instanceof SettingsError) {
    const list = error.problems.map(problem => `  ${problem}\n`).join('');
    writeError(`tencent-chat-exporter: wrong settings\n${list}`);
    return exitCodes.usage.code;
  }
  const { name, code, message, stack } = error as NodeJS.ErrnoException;
  // By its name: it comes from the journal's thread.
  const isExpected = error instanceof CommandFailed || name === JournalUnusable.name || code !== undefined;
  writeError(`tencent-chat-exporter: ${isExpected ? message : (stack ?? message)}\n`);
  return error instanceof CommandFailed ? error.exitCode : exitCodes.failure.code;
}
