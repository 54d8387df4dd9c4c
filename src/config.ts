/**
 * The table of settings. The parser, the messages about wrong settings and the README's table all come from it.
 *
 * All problems are told at once, each naming the setting, what was expected and what was got; never a secret.
 */
import { hostname } from 'node:os';
import type { CallbackToken } from './callback/authenticate.ts';
import { runbooksUrlDefault } from './guidance.ts';
import { parsePostgresUrl } from './journal/postgres-url.ts';
import { logLevels } from './log.ts';

export interface Address {
  host: string;
  port: number;
}
export type JournalLocation =
  | { engine: 'sqlite'; path: string }
  /** May hold a password. */
  | { engine: 'postgres'; url: string }
  | { engine: 'memory' };

export interface Config {
  sdkAppIds: string[];
  /** Empty: callbacks are not authenticated. */
  callbackTokens: CallbackToken[];
  callbackListen: Address;
  callbackPath: string;
  /** As Tencent reaches it; `null`: not told. */
  callbackPublicUrl: string | null;
  operationsListen: Address;
  journal: JournalLocation;
  journalMaxBytes: number;
  adminAccounts: string[];
  userIds: 'hashed' | 'plain' | 'omitted';
  messageContent: 'omitted' | 'included';
  logLevel: (typeof logLevels)[number];
  replica: string;
  /** Holds `{trace_id}`; `null`: traces are not linked. */
  traceUrlTemplate: string | null;
  dashboardsUrl: string | null;
  /** Without a `/` at its end. */
  runbooksUrl: string;
}

interface Setting {
  name: string;
  /** `null`: the setting is required. A function: found out at start. */
  default: string | (() => string) | null;
  /** Shown in the README where the default alone would not say it. */
  defaultText?: string;
  /** Completes "… expects". */
  expects: string;
  meaning: string;
  isSecret?: true;
  /** `undefined`: not what is expected. */
  parse: (text: string) => unknown;
}

export const settings = {
  sdkAppIds: {
    name: 'SDK_APP_IDS',
    default: null,
    expects: 'decimal SDKAppIDs separated by commas',
    meaning: 'SDKAppIDs this exporter answers for',
    parse: text => parseList(text, item => (/^[1-9]\d{0,19}$/.test(item) ? item : undefined)),
  },
  callbackTokens: {
    name: 'CALLBACK_TOKENS',
    default: '',
    defaultText: 'none: callbacks are not authenticated',
    expects: 'tokens separated by commas, each `token` or `sdkappid:token`',
    meaning:
      "the authentication tokens of Tencent's console, separated by commas; each `token`, or `sdkappid:token` for one app; several are valid at once, for rotation",
    isSecret: true,
    parse: text => (text === '' ? [] : parseList(text, parseToken)),
  },
  callbackListen: {
    name: 'CALLBACK_LISTEN',
    default: '0.0.0.0:8080',
    expects: 'address:port',
    meaning: 'the callback listener, for Tencent',
    parse: parseAddress,
  },
  callbackPath: {
    name: 'CALLBACK_PATH',
    default: '/',
    expects: 'a path that begins with / and has no ? or #',
    meaning: 'the path that takes callbacks',
    parse: text => (/^\/[^?#\s]*$/.test(text) ? text : undefined),
  },
  callbackPublicUrl: {
    name: 'CALLBACK_PUBLIC_URL',
    default: '',
    defaultText: 'none: the status page tells how to put it together',
    expects: 'an http(s) URL without credentials, ? and #',
    meaning:
      "the callback URL as Tencent reaches it, through your proxy: what to paste into Tencent's console",
    parse: text => (text === '' ? null : /[?#]/.test(text) ? undefined : parseUrl(text)),
  },
  operationsListen: {
    name: 'OPERATIONS_LISTEN',
    default: '0.0.0.0:9464',
    expects: 'address:port',
    meaning: 'the operator listener: metrics, health, status page; keep it inside',
    parse: parseAddress,
  },
  journal: {
    name: 'JOURNAL',
    default: 'sqlite:./data/journal.db',
    expects: '`sqlite:PATH`, `postgres://USER:PASSWORD@HOST/DATABASE?sslmode=…` or `memory:`',
    meaning:
      'where exceptions are made durable: `sqlite:PATH`, `postgres://…` (for several exporters), or `memory:` (no durability, for trials)',
    isSecret: true,
    parse: parseJournal,
  },
  journalMaxBytes: {
    name: 'JOURNAL_MAX_BYTES',
    default: '1073741824',
    expects: 'a whole number of bytes, at least 1048576',
    meaning:
      'beyond it the oldest undelivered telemetry is dropped, and counted; counters and identities are never dropped',
    parse: text => (/^\d{7,15}$/.test(text) && Number(text) >= 1_048_576 ? Number(text) : undefined),
  },
  adminAccounts: {
    name: 'ADMIN_ACCOUNTS',
    default: 'administrator',
    expects: 'accounts separated by commas',
    meaning: 'accounts whose sends count as `initiator="admin"`',
    parse: text => parseList(text, item => item),
  },
  userIds: {
    name: 'USER_IDS',
    default: 'hashed',
    expects: '`hashed`, `plain` or `omitted`',
    meaning:
      'user IDs in spans and log records: `hashed` (keyed HMAC, the key is kept in the journal), `plain` (with the client address), `omitted`',
    parse: oneOf('hashed', 'plain', 'omitted'),
  },
  messageContent: {
    name: 'MESSAGE_CONTENT',
    default: 'omitted',
    expects: '`omitted` or `included`',
    meaning: '`included` puts the message text into log records, and bodies into the list of rejections',
    parse: oneOf('omitted', 'included'),
  },
  logLevel: {
    name: 'LOG_LEVEL',
    default: 'info',
    expects: '`debug`, `info`, `warn` or `error`',
    meaning: 'the least severe log line that is written',
    parse: oneOf(...logLevels),
  },
  replica: {
    name: 'REPLICA',
    default: hostname,
    defaultText: 'the host name',
    expects: 'a name of up to 200 characters',
    meaning:
      "this replica's name: `service.instance.id` in telemetry, and whose totals it counts on in a journal that several share",
    parse: text => (text.length <= 200 ? text : undefined),
  },
  traceUrlTemplate: {
    name: 'TRACE_URL_TEMPLATE',
    default: '',
    defaultText: 'none: trace IDs are not links',
    expects: 'an http(s) URL that contains {trace_id}, without credentials',
    meaning: 'where the status page links a trace ID to: a URL that contains `{trace_id}`',
    parse: text => (text === '' ? null : parseUrlTemplate(text)),
  },
  dashboardsUrl: {
    name: 'DASHBOARDS_URL',
    default: '',
    defaultText: 'none',
    expects: 'an http(s) URL without credentials',
    meaning: 'where the status page says that the dashboards are',
    parse: text => (text === '' ? null : parseUrl(text)),
  },
  runbooksUrl: {
    name: 'RUNBOOKS_URL',
    default: runbooksUrlDefault,
    expects: 'an http(s) URL without credentials',
    meaning:
      'the folder of the runbooks that the status page links to; the same as when `grafana/` was generated',
    parse: text => parseUrl(text)?.replace(/\/+$/, ''),
  },
} as const satisfies Record<keyof Config, Setting>;

/** Settings that `<NAME>_FILE` can give; the standard ones of OpenTelemetry that carry credentials among them. */
export const secretNames: readonly string[] = [
  ...Object.values(settings)
    .filter((setting: Setting) => setting.isSecret)
    .map(({ name }) => name),
  'OTEL_EXPORTER_OTLP_HEADERS',
  'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
  'OTEL_EXPORTER_OTLP_LOGS_HEADERS',
];

/** Wrong settings, one problem a line. */
export class SettingsError extends Error {
  override name = 'SettingsError';
  readonly problems: string[];

  constructor(problems: string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export interface LoadedConfig {
  config: Config;
  /** The environment with every `<NAME>_FILE` resolved, for OpenTelemetry's own settings. */
  env: NodeJS.ProcessEnv;
}

/**
 * Reads the settings from the environment. A variable that is empty counts as not set, as OpenTelemetry has it.
 * Throws `SettingsError` with every problem. `readFile` returns a file's text or throws.
 */
export function loadConfig(env: NodeJS.ProcessEnv, readFile: (path: string) => string): LoadedConfig {
  const resolved = resolveFiles(env, secretNames, readFile);
  const settled = settle((_, { name }) => resolved.env[name]?.trim() || undefined);
  const problems = [...resolved.problems, ...settled.problems];
  if (settled.config === null || problems.length > 0) throw new SettingsError(problems);
  return { config: settled.config, env: resolved.env };
}

/** Only these settings, as `loadConfig` reads them: for a command that needs no others. */
export function loadSettings<Key extends keyof Config>(
  env: NodeJS.ProcessEnv,
  readFile: (path: string) => string,
  keys: readonly Key[],
): Pick<Config, Key> {
  const names = keys.map(key => settings[key].name).filter(name => secretNames.includes(name));
  const resolved = resolveFiles(env, names, readFile);
  const { parsed, problems } = parse(
    keys,
    (_, { name }) => resolved.env[name]?.trim() || undefined,
    key => settings[key].name,
  );
  problems.unshift(...resolved.problems);
  if (problems.length > 0) throw new SettingsError(problems);
  return parsed as Pick<Config, Key>;
}

/** The environment with the value of each `<NAME>_FILE` in `<NAME>`. */
export function resolveFiles(
  env: NodeJS.ProcessEnv,
  names: readonly string[],
  readFile: (path: string) => string,
): { env: NodeJS.ProcessEnv; problems: string[] } {
  const problems: string[] = [];
  const resolved = { ...env };
  for (const name of names) {
    const path = env[`${name}_FILE`];
    if (!path) continue;
    if (env[name]) problems.push(`${name} and ${name}_FILE are both set; set one`);
    try {
      resolved[name] = readFile(path).trim();
      // Not as if it were not set: a secret that was not filled in must not switch authentication off.
      if (resolved[name] === '')
        problems.push(`${name}_FILE expects a file with a value, got the empty "${path}"`);
    } catch (error) {
      problems.push(
        `${name}_FILE expects a readable file, got "${path}" (${(error as NodeJS.ErrnoException).code})`,
      );
    }
  }
  return { env: resolved, problems };
}

/** What a setting was given: its text; what no text stands for, in words (`an object`); or nothing. */
export type Given = string | { got: string } | undefined;

/** Parses settings, and takes the default of what is `undefined`. `nameOf` is what problems call a setting. */
function parse(
  keys: readonly (keyof Config)[],
  givenOf: (key: keyof Config, setting: Setting) => Given,
  nameOf: (key: keyof Config) => string,
): { parsed: Partial<Config>; problems: string[] } {
  const problems: string[] = [];
  const parsed: Record<string, unknown> = {};
  for (const key of keys) {
    const setting: Setting = settings[key];
    const given = givenOf(key, setting) ?? fallback(setting) ?? { got: 'nothing' };
    parsed[key] = typeof given === 'string' ? setting.parse(given) : undefined;
    if (parsed[key] !== undefined) continue;
    const got =
      typeof given !== 'string'
        ? given.got
        : setting.isSecret
          ? 'something else (not shown)'
          : JSON.stringify(given.replace(/\/\/.*@/, '//…@'));
    problems.push(`${nameOf(key)} expects ${setting.expects}, got ${got}`);
  }
  return { parsed, problems };
}

/**
 * Parses every setting, and takes the default of what is `undefined`. `nameOf` is what problems call a setting. With any
 * problem, `config` is `null`.
 */
export function settle(
  givenOf: (key: keyof Config, setting: Setting) => Given,
  nameOf: (key: keyof Config) => string = key => settings[key].name,
): { config: Config | null; problems: string[] } {
  const { parsed, problems } = parse(Object.keys(settings) as (keyof Config)[], givenOf, nameOf);
  const config = parsed as Config;
  if (problems.length === 0) problems.push(...contradictions(config, nameOf));
  return { config: problems.length === 0 ? config : null, problems };
}

/** What no setting shows alone. */
function contradictions(
  { sdkAppIds, callbackTokens }: Config,
  nameOf: (key: keyof Config) => string,
): string[] {
  if (callbackTokens.length === 0) return [];
  const tokens = nameOf('callbackTokens');
  const problems = callbackTokens
    .filter(({ sdkAppId }) => sdkAppId !== null && !sdkAppIds.includes(sdkAppId))
    .map(
      ({ sdkAppId }) => `${tokens} has a token for ${sdkAppId}, which is not one of ${nameOf('sdkAppIds')}`,
    );
  for (const id of sdkAppIds) {
    if (callbackTokens.some(({ sdkAppId }) => sdkAppId === null || sdkAppId === id)) continue;
    problems.push(`${tokens} has no token for ${id}: its callbacks would all be refused`);
  }
  return problems;
}

function fallback(setting: Setting): string | null {
  return typeof setting.default === 'function' ? setting.default() : setting.default;
}

function parseList<Item>(text: string, parseItem: (item: string) => Item | undefined): Item[] | undefined {
  const items = text.split(',').map(item => item.trim());
  const parsed = items.map(item => (item === '' ? undefined : parseItem(item)));
  return parsed.includes(undefined) ? undefined : (parsed as Item[]);
}

/** `1400000001:token` is for one app. Tencent's tokens are letters and digits; a colon elsewhere is taken as it is. */
function parseToken(item: string): CallbackToken {
  const [, sdkAppId, token] = /^([1-9]\d{0,19}):(.+)$/.exec(item) ?? [];
  return sdkAppId === undefined || token === undefined
    ? { sdkAppId: null, token: item }
    : { sdkAppId, token };
}

/** `0.0.0.0:8080`, `[::]:8080`, `localhost:8080`; port 0 takes any free one. */
function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/.exec(text);
  if (match === null || Number(match[3]) > 65_535) return undefined;
  return { host: match[1] ?? (match[2] || '0.0.0.0'), port: Number(match[3]) };
}

function parseJournal(text: string): JournalLocation | undefined {
  if (text === 'memory:') return { engine: 'memory' };
  if (parsePostgresUrl(text) !== null) return { engine: 'postgres', url: text };
  const path = /^sqlite:(.+)$/.exec(text)?.[1];
  return path === undefined || path === ':memory:' ? undefined : { engine: 'sqlite', path };
}

/** As it is written. Without credentials, since these URLs are shown. */
function parseUrl(text: string): string | undefined {
  if (!/^https?:\/\/\S+$/i.test(text)) return undefined;
  const url = URL.parse(text);
  return url === null || url.username !== '' || url.password !== '' ? undefined : text;
}

function parseUrlTemplate(text: string): string | undefined {
  const [before, ...rest] = text.split('{trace_id}');
  return rest.length > 0 && parseUrl([before, ...rest].join('0'.repeat(32))) !== undefined ? text : undefined;
}

function oneOf<Choice extends string>(...choices: Choice[]): (text: string) => Choice | undefined {
  return text => choices.find(choice => choice === text);
}
