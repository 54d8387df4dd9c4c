/** For which apps, and with which tokens, a command signs callbacks or judges them: the settings, or its own options. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { CallbackToken } from '../callback/authenticate.ts';
import { resolveFiles, SettingsError, settings } from '../config.ts';
import { CommandFailed, exitCodes, type World } from './command.ts';

export interface CredentialOptions {
  sdkAppId?: string[];
  tokenFile?: string;
  token?: string;
}

export interface Credentials {
  /** Empty where neither the settings nor an option name one. */
  sdkAppIds: string[];
  /** Empty where there are none: callbacks are not signed. */
  tokens: CallbackToken[];
}

/** `apps`: whether the command is about one app or several. */
export function addCredentialOptions(command: Command, apps: 'one' | 'several'): Command {
  const { expects, parse } = settings.sdkAppIds;
  const sdkAppId =
    apps === 'one'
      ? { flag: '<id>', expects: 'a decimal SDKAppID', default: 'the first of SDK_APP_IDS' }
      : { flag: '<ids>', expects, default: 'SDK_APP_IDS' };
  return command
    .option(`--sdk-app-id ${sdkAppId.flag}`, `${sdkAppId.expects} (default: ${sdkAppId.default})`, text => {
      const ids = parse(text);
      if (ids !== undefined && (apps === 'several' || ids.length === 1)) return ids;
      throw new InvalidArgumentError(`Expected ${sdkAppId.expects}.`);
    })
    .option(
      '--token-file <file>',
      'file with the token, - for standard input (default: CALLBACK_TOKENS_FILE or CALLBACK_TOKENS)',
    )
    .addOption(
      new Option(
        '--token <token>',
        'the token itself; better not, since everyone on this machine can see arguments',
      ).conflicts('tokenFile'),
    );
}

/** What is wrong with them ends the command; no message shows a token. */
export async function readCredentials(options: CredentialOptions, world: World): Promise<Credentials> {
  const { sdkAppIds, callbackTokens } = settings;
  const ids = world.env[sdkAppIds.name]?.trim();
  return {
    sdkAppIds: options.sdkAppId ?? (ids ? parseOrFail(sdkAppIds, ids) : []),
    tokens: await readTokens(),
  };

  async function readTokens(): Promise<CallbackToken[]> {
    const { name } = callbackTokens;
    if (options.token !== undefined)
      return parseOrFail({ ...callbackTokens, name: '--token' }, options.token);
    if (options.tokenFile === '-') {
      return parseOrFail({ ...callbackTokens, name: 'standard input' }, await world.readInput());
    }
    if (options.tokenFile !== undefined) {
      const text = readText('--token-file', options.tokenFile, world);
      return parseOrFail({ ...callbackTokens, name: '--token-file' }, text);
    }
    const { env, problems } = resolveFiles(world.env, [name], world.readFile);
    if (problems.length > 0) throw new SettingsError(problems);
    const text = env[name]?.trim();
    return text ? parseOrFail(callbackTokens, text) : [];
  }
}

/** The token with which a callback for this app is signed; `null` where there is none at all. */
export function tokenFor(sdkAppId: string, tokens: readonly CallbackToken[]): string | null {
  if (tokens.length === 0) return null;
  const own = tokens.find(token => token.sdkAppId === sdkAppId || token.sdkAppId === null);
  if (own === undefined) throw new CommandFailed(`there is no token for ${sdkAppId}`, exitCodes.usage.code);
  return own.token;
}

function readText(name: string, path: string, world: World): string {
  try {
    return world.readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new CommandFailed(`${name} expects a readable file, got "${path}" (${code})`, exitCodes.usage.code);
  }
}

function parseOrFail<Value>(
  setting: {
    name: string;
    expects: string;
    isSecret?: true;
    parse: (text: string) => Value | undefined;
  },
  text: string,
): Value {
  const trimmed = text.trim();
  const value = trimmed === '' ? undefined : setting.parse(trimmed);
  if (value !== undefined) return value;
  const shown = setting.isSecret ? 'something else (not shown)' : JSON.stringify(trimmed);
  const got = trimmed === '' ? 'nothing' : shown;
  throw new CommandFailed(`${setting.name} expects ${setting.expects}, got ${got}`, exitCodes.usage.code);
}
