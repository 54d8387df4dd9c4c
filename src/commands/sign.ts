/** `sign`: the URL of a callback, signed as Tencent signs it. */
import { Command } from 'commander';
import { exceptionCommand } from '../callback/commands.ts';
import { callbackParameters } from '../traffic/query.ts';
import { parseTime, parseUrl } from './arguments.ts';
import { CommandFailed, exitCodes, type JsonKeys, type World } from './command.ts';
import { addCredentialOptions, type CredentialOptions, readCredentials, tokenFor } from './credentials.ts';
import { json } from './text.ts';

export const signJson: JsonKeys = {
  url: 'with `--url`: the URL, signed; else `null`',
  query: 'the query string, without its `?`',
  request_time: '`RequestTime`, Unix seconds',
  sign: '`Sign`, 64 hex digits',
  valid_until: 'Unix seconds; after that an exporter refuses it as `stale`',
};

/** An exporter refuses what is further from its own time. */
const validMs = 60_000;

interface SignOptions extends CredentialOptions {
  url?: URL;
  command: string;
  at?: number;
  json?: true;
}

export function signCommand(world: World): Command {
  const command = new Command('sign')
    .summary("print a callback's signed URL")
    .description(
      'Prints the URL of a callback, signed as Tencent signs it, or only its query string. It is valid for 60 seconds.',
    )
    .option(
      '--url <url>',
      'callback URL of the exporter; left out, only the query string is printed',
      parseUrl,
    );
  return addCredentialOptions(command, 'one')
    .option('--command <name>', 'CallbackCommand', exceptionCommand)
    .option(
      '--at <time>',
      'sign for this time, as 2026-11-26T08:30:00Z or Unix seconds (default: now)',
      parseTime,
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ tencent-chat-exporter sign --token-file token.txt --sdk-app-id 1400000001
  $ tencent-chat-exporter sign --url http://localhost:8080/ | \\
      xargs curl --data-binary @body.json
`,
    )
    .action((options: SignOptions) => signUrl(options, world));
}

async function signUrl(options: SignOptions, world: World): Promise<void> {
  const { sdkAppIds, tokens } = await readCredentials(options, world);
  const [sdkAppId] = sdkAppIds;
  if (sdkAppId === undefined) {
    throw new CommandFailed('for which app? set SDK_APP_IDS, or give --sdk-app-id', exitCodes.usage.code);
  }
  const token = tokenFor(sdkAppId, tokens);
  if (token === null) {
    throw new CommandFailed(
      'there is no token to sign with: set CALLBACK_TOKENS_FILE or CALLBACK_TOKENS, or give --token-file',
      exitCodes.usage.code,
    );
  }

  const now = world.now();
  const at = options.at ?? now;
  const parameters = callbackParameters({ sdkAppId, command: options.command, token, at });
  const query = new URLSearchParams(parameters).toString();
  const url = options.url === undefined ? null : withQuery(options.url, query);
  const requestTime = Number(parameters.RequestTime);
  const validUntilMs = requestTime * 1000 + validMs;

  if (options.json) {
    world.writeOut(
      json({
        url,
        query,
        request_time: requestTime,
        sign: parameters.Sign,
        valid_until: validUntilMs / 1000,
      }),
    );
  } else {
    world.writeOut(`${url ?? query}\n`);
  }
  if (Math.abs(now - requestTime * 1000) > validMs) {
    world.writeError('note: RequestTime is more than 60 s from now: an exporter refuses it as stale\n');
  } else if (world.isErrorTerminal) {
    const until = new Date(validUntilMs).toISOString().replace('.000', '');
    world.writeError(`note: valid until ${until}; after that an exporter refuses it as stale\n`);
  }
}

function withQuery(url: URL, query: string): string {
  const joined = new URL(url);
  joined.search = url.search === '' ? query : `${url.search}&${query}`;
  joined.hash = '';
  return joined.href;
}
