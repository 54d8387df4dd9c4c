/** `check`, at work. */
import { connect } from 'node:net';
import packageJson from '../../package.json' with { type: 'json' };
import {
  type Address,
  type Config,
  type JournalLocation,
  loadConfig,
  SettingsError,
  secretNames,
  settings,
} from '../config.ts';
import { inspectJournal, type JournalInspection } from '../journal/inspect.ts';
import type { Signal } from '../journal/journal.ts';
import { inspectPostgres } from '../journal/postgres-inspect.ts';
import { shownPostgresUrl } from '../journal/postgres-url.ts';
import { escapeControls } from '../log.ts';
import { enabledSignals, endpointOf, protocolOf, telemetryProblems } from '../telemetry/settings.ts';
import type { CheckOptions } from './check.ts';
import { CommandFailed, type World } from './command.ts';
import { bytes, count, json, table } from './text.ts';

/** How long an OTLP endpoint has to take a connection. */
const connectWithinMs = 2_000;
/** Shorter tokens can be guessed from one signature that was seen. */
const tokenCharactersMin = 16;

interface SettingInEffect {
  name: string;
  value: string;
  source: 'environment' | 'file' | 'default';
  file: string | null;
}

interface Endpoint {
  signal: Signal;
  protocol: string;
  /** Without credentials. */
  endpoint: string;
  /** Why no connection could be made; `null`: it could. */
  problem: string | null;
}

interface Report {
  settings: SettingInEffect[];
  /** `null` with wrong settings, which do not say where it is. */
  journal: { location: string; inspection: JournalInspection | null } | null;
  telemetry: Endpoint[];
  warnings: string[];
  problems: string[];
}

export async function check(options: CheckOptions, world: World): Promise<void> {
  const loaded = load(world);
  if (loaded instanceof SettingsError) {
    if (options.json) {
      const report = { settings: [], journal: null, telemetry: [], warnings: [], problems: loaded.problems };
      world.writeOut(json(toJson(report)));
    }
    throw loaded;
  }
  const { config, env } = loaded;
  const inspection = await inspect(config.journal);
  const telemetry = await Promise.all(enabledSignals(env).map(signal => probe(env, signal)));
  const report: Report = {
    settings: settingsInEffect(world.env, config, env),
    journal: { location: locationText(config.journal), inspection },
    telemetry,
    warnings: [
      ...misspelt(world.env),
      ...settingWarnings(config),
      ...journalWarnings(config, inspection),
      ...telemetryWarnings(telemetry),
    ],
    problems: [
      ...(inspection === null || inspection.problem === null ? [] : [inspection.problem]),
      ...listenProblems(config),
    ],
  };
  world.writeOut(options.json ? json(toJson(report)) : toText(report, world.columns));
  if (report.problems.length > 0) throw new CommandFailed('an exporter could not start');
}

function load({ env, readFile }: World): ReturnType<typeof loadConfig> | SettingsError {
  try {
    const loaded = loadConfig(env, readFile);
    const problems = telemetryProblems(loaded.env);
    return problems.length === 0 ? loaded : new SettingsError(problems);
  } catch (error) {
    if (error instanceof SettingsError) return error;
    throw error;
  }
}

/** Of the standard variables, those whose values hold no secret. */
const openTelemetryNames =
  /^OTEL_(SDK_DISABLED|LOG_LEVEL|SERVICE_NAME|NODE_RESOURCE_DETECTORS|\w+_(PROTOCOL|COMPRESSION|TIMEOUT|EXPORTER))$/;

function settingsInEffect(
  given: NodeJS.ProcessEnv,
  config: Config,
  resolved: NodeJS.ProcessEnv,
): SettingInEffect[] {
  const sourceOf = (name: string): Pick<SettingInEffect, 'source' | 'file'> => {
    const file = secretNames.includes(name) ? given[`${name}_FILE`] : undefined;
    if (file) return { source: 'file', file };
    return { source: given[name]?.trim() ? 'environment' : 'default', file: null };
  };
  const ours = Object.entries(settings).map(([key, setting]) => {
    const { name } = setting;
    return { name, value: valueText(key as keyof Config, config), ...sourceOf(name) };
  });
  const theirs = Object.keys(resolved)
    .filter(name => name.startsWith('OTEL_') && !name.endsWith('_FILE') && resolved[name]?.trim())
    .sort()
    .map(name => ({
      name,
      value: openTelemetryNames.test(name) ? resolved[name]!.trim() : endpointText(name, resolved[name]!),
      ...sourceOf(name),
    }));
  return [...ours, ...theirs];
}

function valueText(key: keyof Config, config: Config): string {
  switch (key) {
    case 'callbackTokens':
      return config.callbackTokens.length === 0 ? 'not set' : 'set';
    case 'journal':
      return locationText(config.journal);
    case 'callbackListen':
    case 'operationsListen':
      return addressText(config[key]);
    case 'sdkAppIds':
    case 'adminAccounts':
      return config[key].join(',');
    default:
      return String(config[key] ?? 'not set');
  }
}

function addressText({ host, port }: Address): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

function locationText(location: JournalLocation): string {
  switch (location.engine) {
    case 'memory':
      return 'memory:';
    case 'sqlite':
      return `sqlite:${location.path}`;
    case 'postgres':
      return shownPostgresUrl(location.url);
  }
}

/** `null`: there is nothing to look at. */
async function inspect(location: JournalLocation): Promise<JournalInspection | null> {
  switch (location.engine) {
    case 'memory':
      return null;
    case 'sqlite':
      return inspectJournal(location.path);
    case 'postgres':
      return inspectPostgres(location.url);
  }
}

function endpointText(name: string, value: string): string {
  const url = name.endsWith('_ENDPOINT') ? URL.parse(value) : null;
  return url === null || url.host === '' ? 'set' : withoutCredentials(url);
}

function withoutCredentials({ protocol, host, pathname }: URL): string {
  return `${protocol}//${host}${pathname === '/' ? '' : pathname}`;
}

async function probe(env: NodeJS.ProcessEnv, signal: Signal): Promise<Endpoint> {
  const url = endpointOf(env, signal)!;
  return {
    signal,
    protocol: protocolOf(env, signal)!,
    endpoint: withoutCredentials(url),
    problem: await connectionProblem(url),
  };
}

/** Makes a connection and ends it again. */
function connectionProblem(url: URL): Promise<string | null> {
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  const socket =
    url.protocol === 'unix:'
      ? connect({ path: `${url.host}${url.pathname}` })
      : connect({ host: url.hostname.replace(/^\[|\]$/g, ''), port });
  return new Promise(resolve => {
    const end = (problem: string | null): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(problem);
    };
    // Over all of it: the look-up of the name has no time-out of its own.
    const timer = setTimeout(() => end(`no connection within ${connectWithinMs / 1000} s`), connectWithinMs);
    socket.once('connect', () => end(null));
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}

/** Variables that are set, mean nothing, and differ from a setting by an underscore or an S. */
function misspelt(env: NodeJS.ProcessEnv): string[] {
  const names = [
    ...Object.values(settings).map(({ name }) => name),
    ...secretNames.map(name => `${name}_FILE`),
  ];
  const key = (name: string): string => name.toUpperCase().replace(/_|S(?=$|_)/g, '');
  return Object.keys(env).flatMap(given => {
    const meant = names.find(name => key(name) === key(given));
    if (meant === undefined || names.includes(given) || !env[given]) return [];
    return [`${given} is set, but is no setting: is ${meant} meant?`];
  });
}

function settingWarnings({ callbackTokens, operationsListen }: Config): string[] {
  const warnings: string[] = [];
  if (callbackTokens.length === 0) {
    warnings.push(
      'callbacks are not authenticated: anyone who finds the URL is believed; set CALLBACK_TOKENS',
    );
  }
  if (callbackTokens.some(({ token }) => token.length < tokenCharactersMin)) {
    warnings.push(
      `CALLBACK_TOKENS has a token of fewer than ${tokenCharactersMin} characters: it can be guessed from one signature`,
    );
  }
  if (['0.0.0.0', '::'].includes(operationsListen.host)) {
    warnings.push(
      `OPERATIONS_LISTEN is ${addressText(operationsListen)}, every address of this machine: see that only the inside reaches it`,
    );
  }
  return warnings;
}

function listenProblems({ callbackListen, operationsListen }: Config): string[] {
  const [callbacks, operations] = [addressText(callbackListen), addressText(operationsListen)];
  return callbacks === operations && callbackListen.port !== 0
    ? [`CALLBACK_LISTEN and OPERATIONS_LISTEN are both ${callbacks}`]
    : [];
}

function journalWarnings({ journalMaxBytes }: Config, inspection: JournalInspection | null): string[] {
  if (inspection === null) {
    return ['the journal is in memory: a restart forgets every exception; set JOURNAL'];
  }
  const warnings: string[] = [];
  const { contents, freeBytes } = inspection;
  if (freeBytes !== null && freeBytes + (contents?.bytes ?? 0) < journalMaxBytes) {
    warnings.push(
      `the journal's disk has ${bytes(freeBytes)} left: it is full before JOURNAL_MAX_BYTES, ${bytes(journalMaxBytes)}, is reached`,
    );
  }
  if (contents !== null && contents.deadLetters > 0) {
    warnings.push(
      `the journal has ${count(contents.deadLetters, 'dead letter')}: the OTLP endpoint refused them for good`,
    );
  }
  return warnings;
}

function telemetryWarnings(telemetry: readonly Endpoint[]): string[] {
  const silent = Map.groupBy(
    telemetry.filter(({ problem }) => problem !== null),
    ({ endpoint }) => endpoint,
  );
  return [...silent].map(([endpoint, them]) => {
    const signals = them.map(({ signal }) => signal).join(' and ');
    return `${signals}: ${endpoint} does not answer (${them[0]!.problem}); exceptions wait in the journal until it does`;
  });
}

function toJson({ settings, journal, telemetry, warnings, problems }: Report): Record<string, unknown> {
  const inspection = journal?.inspection ?? null;
  const contents = inspection?.contents ?? null;
  return {
    ok: problems.length === 0,
    version: packageJson.version,
    node_version: process.version,
    settings,
    journal: journal && {
      location: journal.location,
      state: inspection?.state ?? 'memory',
      format: contents?.format ?? null,
      exceptions: contents?.exceptions ?? null,
      undelivered: contents?.undelivered ?? null,
      dead_letters: contents?.deadLetters ?? null,
      bytes: contents?.bytes ?? null,
      free_bytes: inspection?.freeBytes ?? null,
    },
    telemetry: telemetry.map(({ signal, protocol, endpoint, problem }) => ({
      signal,
      protocol,
      endpoint,
      answers: problem === null,
    })),
    warnings,
    problems,
  };
}

function toText({ settings, journal, telemetry, warnings, problems }: Report, width: number): string {
  const settingRows = settings.map(({ name, value, source, file }) => [
    name,
    escapeControls(value),
    file === null ? source : `file ${escapeControls(file)}`,
  ]);
  const telemetryRows =
    telemetry.length === 0
      ? [['not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set, or delivery is switched off']]
      : telemetry.map(({ signal, protocol, endpoint, problem }) => [
          signal,
          `${protocol} to ${endpoint}: ${problem === null ? 'it answers' : `it does not answer (${problem})`}`,
        ]);
  const list = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0
      ? []
      : [
          `${title}\n${table(
            lines.map(line => ['-', escapeControls(line)]),
            width,
            2,
          )}`,
        ];
  const verdict =
    problems.length > 0
      ? `${count(problems.length, 'problem')}, ${count(warnings.length, 'warning')}.`
      : warnings.length > 0
        ? `No problem, ${count(warnings.length, 'warning')}.`
        : 'All is well.';
  return [
    `tencent-chat-exporter ${packageJson.version} on Node.js ${process.version}\n`,
    `Settings\n${table(settingRows, width, 2)}`,
    `Journal\n${table([[escapeControls(journalText(journal!))]], width, 2)}`,
    `Telemetry\n${table(telemetryRows, width, 2)}`,
    ...list('Warnings', warnings),
    ...list('Problems', problems),
    `${verdict}\n`,
  ].join('\n');
}

function journalText({ location, inspection }: NonNullable<Report['journal']>): string {
  if (inspection === null) return 'in memory';
  const { state, contents } = inspection;
  switch (state) {
    case 'absent':
      return `${location} is not there yet; it can be made`;
    case 'held':
      return `${location} is in use by a running exporter; "journal stats" asks it what it holds`;
    case 'unusable':
      return `${location} cannot be used, see below`;
    case 'readable': {
      if (contents!.format === null) return `${location} is empty; it is made a journal by the first start`;
      const { format, exceptions, undelivered, deadLetters, wasKilled } = contents!;
      const numbers = [
        count(exceptions, 'exception'),
        `${undelivered.toLocaleString('en-US')} undelivered`,
        count(deadLetters, 'dead letter'),
        bytes(contents!.bytes),
      ];
      const end = wasKilled ? '; its exporter was killed, and the next start takes over what it left' : '';
      return `${location}, format ${format}, can be written: ${numbers.join(', ')}${end}`;
    }
  }
}
