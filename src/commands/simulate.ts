/** `simulate`: believable callbacks, posted to an exporter at a rate. */
import { Command } from 'commander';
import { parseDuration, parseNumber, parseSeed, parseUrl } from './arguments.ts';
import type { JsonKeys, World } from './command.ts';
import { addCredentialOptions, type CredentialOptions } from './credentials.ts';

export const simulateJson: JsonKeys = {
  ok: 'whether every callback was answered OK',
  url: 'where they were posted, without its query',
  seed: 'gives the same callbacks again, apart from their times',
  seconds: 'how long it sent',
  'sent.exceptions': 'distinct exceptions',
  'sent.repetitions': 'of exceptions sent before, as Tencent sends them again',
  'sent.other_commands': 'callbacks of other commands',
  'answered_ok.exceptions': 'an exporter counts them as `counted`',
  'answered_ok.repetitions': 'as `duplicate`',
  'answered_ok.other_commands': 'as `ignored`',
  'failures[].what': 'an HTTP status, or the error of the connection',
  'failures[].error_info': '`ErrorInfo` of the answer; `null` without one',
  'failures[].count': 'how many callbacks ended so',
  'failures[].remedy': 'what to do',
  'answer_seconds.p50':
    'from when a callback was due to its answer: half of them took no longer; `null` without answers',
  'answer_seconds.p99': 'the same for 99 of 100',
  'answer_seconds.max': 'the slowest',
};

export interface SimulateOptions extends CredentialOptions {
  rate: number;
  for?: number;
  speed?: number;
  seed?: number;
  json?: true;
}

/** More than one process of Node can send. */
const rateMax = 5_000;
const speedMax = 10_000;

export function simulateCommand(world: World): Command {
  const command = new Command('simulate')
    .summary('post believable callbacks to a callback URL')
    .description(
      'Posts signed callbacks of a chat app that does not exist, to see an exporter, its dashboards and alerts at work. Most are exceptions of all kinds of groups and platforms, some are sent again, a few are of other commands. Now and then a room hits the frequency limit, or moderation blocks many messages.\n\nThe exporter counts what it is sent, and keeps the count: send to one for trials.',
    )
    .argument('<url>', 'callback URL of the exporter', parseUrl)
    .option('--rate <number>', 'callbacks a second', parseNumber(rateMax), 1)
    .option('--for <duration>', 'how long, as 30s, 10m or 1h30m (default: until Ctrl-C)', parseDuration)
    .option(
      '--speed <factor>',
      "follow the rise and fall of a week, this many times as fast as the clock: 1 is the week itself, 144 a day in 10 minutes; --rate is the week's average (default: a steady rate)",
      parseNumber(speedMax),
    );
  return addCredentialOptions(command, 'several')
    .option(
      '--seed <number>',
      'send the same callbacks again, apart from their times (default: any)',
      parseSeed,
    )
    .option('--json', 'print the summary as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ SDK_APP_IDS=1400000001 tencent-chat-exporter simulate http://localhost:8080/
  $ tencent-chat-exporter simulate http://localhost:8080/ --rate 20 --for 10m \\
      --sdk-app-id 1400000001 --token-file token.txt

Progress goes to standard error, the summary to standard output. It exits with 1
when anything was not answered OK within 2 seconds, as Tencent waits.
`,
    )
    .action(async (url: URL, options: SimulateOptions) => {
      const { simulate } = await import('./simulate-action.ts');
      await simulate(url, options, world);
    });
}
