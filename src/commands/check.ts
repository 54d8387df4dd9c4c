/** `check`: settings, journal and OTLP endpoint, without serving. */
import { Command } from 'commander';
import type { JsonKeys, World } from './command.ts';

export const checkJson: JsonKeys = {
  ok: 'whether there is no problem; warnings are none',
  version: 'of the exporter',
  node_version: 'of Node.js',
  'settings[].name': 'the environment variable',
  'settings[].value': 'in effect; of a secret `set` or `not set`',
  'settings[].source': '`environment`, `file` or `default`',
  'settings[].file': 'the file that it is read from; else `null`',
  'journal.location': 'as in `JOURNAL`',
  'journal.state':
    '`memory`; `absent`, not made yet; its file is `held` by a running exporter; `readable`; `unusable`, see `problems`',
  'journal.format': 'the format of what can be read; this and what follows is `null` where nothing can',
  'journal.exceptions': 'all that were ever counted',
  'journal.undelivered': 'exceptions that wait for delivery',
  'journal.dead_letters': 'what the OTLP endpoint refused for good',
  'journal.bytes': 'of the file and its log, or of the tables',
  'journal.free_bytes': 'left on its disk; of a database it is not known',
  'telemetry[].signal': '`traces` or `logs`; one that is not delivered is left out',
  'telemetry[].protocol': 'of OTLP',
  'telemetry[].endpoint': 'without credentials',
  'telemetry[].answers': 'whether a connection could be made within 2 s',
  'warnings[]': 'what deserves a look',
  'problems[]': 'what an exporter could not start with',
};

export interface CheckOptions {
  json?: true;
}

export function checkCommand(world: World): Command {
  return new Command('check')
    .summary('check settings and journal, without serving')
    .description(
      'Shows the settings in effect and where they come from, looks at the journal without creating or changing it, also while an exporter runs on it, and tries to connect to the OTLP endpoint. Secrets are shown as "set".',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ tencent-chat-exporter check
  $ docker exec CONTAINER node src/start.js check
  $ tencent-chat-exporter check --json | jq '.warnings[]'

It exits with 1 on a problem, with 2 on wrong settings. A warning is no problem.
`,
    )
    .action(async (options: CheckOptions) => {
      const { check } = await import('./check-action.ts');
      await check(options, world);
    });
}
