/** `explain`: what the exporter makes of one callback, and why. */
import { Command, Option } from 'commander';
import { parseTime, parseUrl } from './arguments.ts';
import { CommandFailed, exitCodes, type JsonKeys, type World } from './command.ts';
import { addCredentialOptions, type CredentialOptions } from './credentials.ts';

export const explainJson: JsonKeys = {
  'verdict.outcome': '`counted`, `ignored` or `rejected`; `null` for what is no callback',
  'verdict.reason': 'why it is rejected, as in the label `reason`',
  'verdict.status': 'HTTP status of the answer',
  'verdict.error_info': '`ErrorInfo` of the answer',
  'authentication.is_authentic': '`null` where the settings do not allow to judge it',
  'authentication.explanation': 'why',
  command: '`CallbackCommand`, if it is documented; else `other`',
  'fields[].name': 'the name on the wire',
  'fields[].in': '`query` or `body`',
  'fields[].state': '`taken`, `missing` or `odd`',
  'fields[].is_invalid': 'whether it is counted in `tencent_chat_invalid_fields_total`',
  'fields[].value': 'the value taken; `null` where there is none, or it is not shown',
  'fields[].note': 'what it counts as, or what was expected',
  'unread[]': 'names of further parameters and fields, which mean nothing to the exporter',
  'series[]': 'the series that go up by one',
  'series_if_accepted[]': 'of what is rejected: the series that would go up otherwise',
  'error_code.number': '`null` where it is missing or invalid',
  'error_code.name': "the catalogue's name; `null` outside the catalogue",
  'error_code.category': 'the label `error_category`',
  'error_code.meaning': 'what it says',
  'error_code.remedy': 'what to do',
  'identity.fields[]': 'what makes it the same exception when it comes again',
  'identity.has_body': 'whether the whole body must be the same, too',
  'notes[]': 'what else is worth knowing',
};

export interface ExplainOptions extends CredentialOptions {
  url?: URL;
  query?: string;
  at?: number;
  json?: true;
}

export function explainCommand(world: World): Command {
  const command = new Command('explain')
    .summary('show what becomes of one callback, and why')
    .description(
      'Shows what an exporter with these settings makes of a callback: whether it is authentic, what is taken from each field, what is counted, what the error code means. FILE holds a body, or a whole HTTP request with its headers. User IDs and message text are shown as USER_IDS and MESSAGE_CONTENT allow.',
    )
    .argument('[file]', 'the callback; standard input when left out, or -')
    .addOption(
      new Option('--url <url>', 'the URL that a body was posted to').argParser(parseUrl).conflicts('query'),
    )
    .option('--query <query>', 'or only its query string, SdkAppid=…&CallbackCommand=…');
  return addCredentialOptions(command, 'several')
    .option('--at <time>', 'judge it as if received at this time (default: now)', parseTime)
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ tencent-chat-exporter explain request.http
  $ tencent-chat-exporter explain body.json --query 'SdkAppid=1400000001&…'
  $ CALLBACK_TOKENS_FILE=token.txt SDK_APP_IDS=1400000001 \\
      tencent-chat-exporter explain request.http --at 2026-11-26T08:30:00Z

It exits with 1 when the callback would be rejected.
`,
    )
    .action(async (file: string | undefined, options: ExplainOptions) => {
      const isInput = file === undefined || file === '-';
      if (isInput && options.tokenFile === '-') {
        throw new CommandFailed(
          'standard input is either the token or the callback: name a file for one of them',
          exitCodes.usage.code,
        );
      }
      if (isInput && world.isInputTerminal) {
        world.writeError('paste the callback, end with Ctrl-D on a line of its own\n');
      }
      const text = isInput ? await world.readInput() : readCallback(file, world);
      const { explain } = await import('./explain-action.ts');
      await explain(text, options, world);
    });
}

function readCallback(path: string, world: World): string {
  try {
    return world.readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandFailed(`"${path}" cannot be read (${code})`, exitCodes.usage.code);
  }
}
