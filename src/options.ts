/** The options of the library: what an app gives as values, put as the settings' text, so that one table parses both. */
import { readFileSync } from 'node:fs';
import { type Config, type Given, resolveFiles, SettingsError, secretNames, settle } from './config.ts';
import { createLog, type Log, type LogFields, type LogLevel, logLevels } from './log.ts';
import { telemetryProblems } from './telemetry/settings.ts';

/** Gets every log line: a sentence, and what there is to say beside it; nothing private. What it throws is dropped. */
export type LogFunction = (level: LogLevel, message: string, fields: LogFields) => void;

/** An option is the setting of that name, with the same default. A list may also be one text with commas. */
export interface ExceptionCallbacksOptions {
  /** `SDK_APP_IDS`: the SDKAppIDs whose exceptions are taken. The exceptions of another are answered 403. */
  sdkAppIds: number | string | readonly (number | string)[];
  /**
   * `CALLBACK_TOKENS`: the tokens of Tencent's console, each `token`, or `sdkappid:token` for one app. Left out or `[]`:
   * exceptions are not authenticated, and a warning says so. `undefined` and `''` are refused: they come of a variable
   * that was not set.
   */
  callbackTokens?: string | readonly string[];
  /**
   * `CALLBACK_PATH`: the one `ctx.path` at which exceptions are taken; under koa-mount that is without the prefix. Left
   * out: wherever the app uses the middleware.
   */
  path?: string;
  /** `JOURNAL`: `sqlite:PATH`, a file that no other exporter uses, or `memory:`. */
  journal?: string;
  /** `JOURNAL_MAX_BYTES` */
  journalMaxBytes?: number;
  /** `ADMIN_ACCOUNTS` */
  adminAccounts?: string | readonly string[];
  /** `USER_IDS` */
  userIds?: Config['userIds'];
  /** `MESSAGE_CONTENT` */
  messageContent?: Config['messageContent'];
  /** `REPLICA` */
  replica?: string;
  /** Who gets the log lines, or the least severe level that is written to standard error; `warn` when left out. */
  log?: LogFunction | LogLevel | 'silent';
  /**
   * Where the `OTEL_*` variables are, and none of the others is read; `process.env` when left out. There an endpoint for
   * the app's own telemetry switches delivery on; `{}` keeps it off.
   */
  env?: Readonly<Record<string, string | undefined>>;
}

export interface LoadedOptions {
  config: Config;
  env: NodeJS.ProcessEnv;
  path: string | undefined;
  log: Log;
}

/** Settings by the names of their options. Those that are not here are of the exporter's own listeners and output. */
export const optionNames: Partial<Record<keyof Config, keyof ExceptionCallbacksOptions>> = {
  sdkAppIds: 'sdkAppIds',
  callbackTokens: 'callbackTokens',
  callbackPath: 'path',
  journal: 'journal',
  journalMaxBytes: 'journalMaxBytes',
  adminAccounts: 'adminAccounts',
  userIds: 'userIds',
  messageContent: 'messageContent',
  replica: 'replica',
};

const knownNames: readonly string[] = [...Object.values(optionNames), 'log', 'env'];

/** Throws `SettingsError` with every problem, those of the `OTEL_*` variables included; never with a secret. */
export function loadOptions(options: ExceptionCallbacksOptions): LoadedOptions {
  const { log = 'warn', env = process.env, path } = options ?? {};
  const names = Object.keys(options ?? {});
  const unknown = names.filter(name => !knownNames.includes(name));
  const problems = unknown.map(name => `${name} is no option; these are: ${knownNames.join(', ')}`);

  const { config, problems: settingProblems } = settle(
    key => {
      const name = optionNames[key];
      return name !== undefined && names.includes(name) ? toGiven(name, options[name]) : undefined;
    },
    key => optionNames[key] ?? key,
  );
  problems.push(...settingProblems);

  const levels = [...logLevels, 'silent'] as const;
  if (typeof log !== 'function' && !levels.includes(log)) {
    problems.push(`log expects a function or one of ${levels.join(', ')}, got ${inWords(log)}`);
  }
  if (!isObject(env)) problems.push(`env expects an object, got ${inWords(env)}`);
  const otelSecrets = secretNames.filter(name => name.startsWith('OTEL_'));
  const resolved = resolveFiles(isObject(env) ? env : {}, otelSecrets, file => readFileSync(file, 'utf8'));
  problems.push(...resolved.problems, ...telemetryProblems(resolved.env));
  if (config === null || problems.length > 0) throw new SettingsError(problems);
  return { config, env: { ...resolved.env, REVISION: undefined }, path, log: logOf(log) };
}

/** The text that the setting would have. What no text stands for is not bent to fit. */
function toGiven(name: string, value: unknown): Given {
  const isAuthentication = name === 'callbackTokens';
  if (value === undefined && !isAuthentication) return undefined;
  const items = Array.isArray(value) ? value : [value];
  if (items.length === 0) return isAuthentication ? undefined : { got: 'an empty list' };
  const odd = items.filter(item => !isText(item));
  if (odd.length > 0) return { got: inWords(odd[0]) };
  if (Array.isArray(value) && value.join('').includes(',')) return { got: 'an item with a comma' };
  return items.join(',');
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function isText(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && value.trim() !== '');
}

/** What it is; a text only where it is none that can be secret. */
function inWords(value: unknown): string {
  if (typeof value === 'string') return value.trim() === '' ? 'an empty text' : JSON.stringify(value);
  if (value === undefined || value === null) return String(value);
  return Array.isArray(value) ? 'a list' : typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function logOf(log: NonNullable<ExceptionCallbacksOptions['log']>): Log {
  if (typeof log === 'string') {
    return createLog({
      level: log === 'silent' ? 'error' : log,
      isTerminal: process.stderr.isTTY === true,
      write: log === 'silent' ? () => {} : line => process.stderr.write(line),
      now: () => new Date(),
    });
  }
  const tell =
    (level: LogLevel): Log[LogLevel] =>
    (message, fields = {}) => {
      try {
        log(level, message, fields);
      } catch {
        // It is called between an exception and its answer: neither may depend on it.
      }
    };
  return { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error') };
}
