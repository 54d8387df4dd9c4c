/**
 * The README's tables, made from the tables that the exporter itself uses. Each stands between two markers:
 *
 *     <!-- begin:settings -->
 *     …
 *     <!-- end:settings -->
 *
 *     npm run readme      writes them anew; test/readme.test.ts fails while they differ
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { emptyResource } from '@opentelemetry/resources';
import type { Argument, Command } from 'commander';
import { createClassifier } from '../../src/callback/classify.ts';
import { createIdentifier } from '../../src/callback/identify.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { parseBody, readException } from '../../src/callback/parse.ts';
import { type ExceptionRecord, type Privacy, toRecord } from '../../src/callback/record.ts';
import { program } from '../../src/cli.ts';
import { checkJson } from '../../src/commands/check.ts';
import { codesJson } from '../../src/commands/codes.ts';
import { exitCodes, type JsonKeys, type World } from '../../src/commands/command.ts';
import { explainJson } from '../../src/commands/explain.ts';
import {
  dropJson,
  exportJson,
  listJson,
  retryJson,
  statsJson,
  verifyJson,
} from '../../src/commands/journal.ts';
import { signJson } from '../../src/commands/sign.ts';
import { simulateJson } from '../../src/commands/simulate.ts';
import { type Config, secretNames, settings } from '../../src/config.ts';
import { alertGroups } from '../../src/grafana/rules/files.ts';
import * as answers from '../../src/http/answers.ts';
import { statusFields } from '../../src/http/api-status.ts';
import { type MetricRow, metricTable, type Outcome } from '../../src/metrics/table.ts';
import { optionNames } from '../../src/options.ts';
import { toLogRecord, toSpan } from '../../src/telemetry/mapping.ts';
import { sampleBody, sampleQuery, sampleReceivedAt, sampleSdkAppId } from './samples.ts';

export const readmePath = join(import.meta.dirname, '../../README.md');

const tables: Record<string, () => string> = {
  settings: settingsTable,
  metrics: metricsTable,
  answers: answersTable,
  attributes: attributesTable,
  status: statusTable,
  alerts: alertsTable,
  options: optionsTable,
  commands: commandsTable,
  exits: exitsTable,
  json: jsonTable,
};

/** The README with every table as it should be. Throws when a table has no place in it, or a place no table. */
export function withTables(readme: string): string {
  const missing = new Set(Object.keys(tables));
  const written = readme.replace(
    /(<!-- begin:(\w+) -->\n)[\s\S]*?(<!-- end:\2 -->)/g,
    (_, begin: string, name: string, end: string) => {
      if (!missing.delete(name)) throw new Error(`README.md has a place for "${name}" that is not wanted`);
      return `${begin}\n${tables[name]!()}\n${end}`;
    },
  );
  if (missing.size > 0) throw new Error(`README.md has no place for ${[...missing].join(', ')}`);
  return written;
}

function settingsTable(): string {
  const ours = Object.values(settings).map(setting => {
    const text = 'defaultText' in setting ? setting.defaultText : setting.default;
    const isLiteral = !('defaultText' in setting) && setting.default !== null;
    return [code(setting.name), text === null ? 'required' : isLiteral ? code(text) : text, setting.meaning];
  });
  const names = secretNames.map(name => code(`${name}_FILE`)).join(', ');
  return `${table(['Setting', 'Default', 'Meaning'], ours)}\nFrom a file instead, whose trailing white space is cut: ${names}.\n`;
}

function optionsTable(): string {
  const own = Object.entries(optionNames).map(([key, name]) => {
    const setting: { name: string; default: unknown; defaultText?: string } = settings[key as keyof Config];
    const fallback =
      setting.defaultText ?? (setting.default === null ? 'required' : code(String(setting.default)));
    return [code(name), code(setting.name), name === 'path' ? 'wherever it is used' : fallback];
  });
  return table(
    ['Option', 'Setting', 'Default'],
    [
      ...own,
      [
        code('log'),
        code(settings.logLevel.name),
        `${code('warn')}, on standard error; ${code('silent')}; or a function`,
      ],
      [code('env'), code('OTEL_*'), `${code('process.env')}; ${code('{}')} keeps delivery off`],
    ],
  );
}

function metricsTable(): string {
  const rows = Object.values(metricTable).map((row: MetricRow) => [
    code(row.name),
    row.hasExemplars ? `${row.type}, exemplars` : row.type,
    row.labels.map(code).join(', '),
    row.help,
  ]);
  return table(['Metric', 'Type', 'Labels', 'Meaning'], rows);
}

function answersTable(): string {
  // Typed so that an answer without a row here does not compile.
  const cases: Record<Exclude<keyof typeof answers, 'rejectionAnswers' | 'rejectionCauses'>, string> = {
    okAnswer: (['counted', 'duplicate', 'ignored'] satisfies Outcome[]).map(code).join(', '),
    notFoundAnswer: 'not counted',
    methodAnswer: 'not counted',
    failureAnswer: 'not counted; logged as an error',
  };
  const { rejectionAnswers, rejectionCauses, okAnswer, ...others } = answers;
  const rows: [string, answers.Answer][] = [
    [cases.okAnswer, okAnswer],
    ...Object.entries(rejectionAnswers).map(([reason, answer]): [string, answers.Answer] => [
      `${code('rejected')}, reason ${code(reason)}`,
      answer,
    ]),
    ...Object.entries(others).map(([name, answer]): [string, answers.Answer] => [
      cases[name as keyof typeof cases],
      answer,
    ]),
  ];
  return table(
    ['Counted as', 'Status', 'ActionStatus', 'ErrorCode', 'ErrorInfo', 'Headers'],
    rows.map(([countedAs, { status, body, headers }]) => {
      const { ActionStatus, ErrorCode, ErrorInfo } = JSON.parse(body) as Record<string, unknown>;
      // Every answer has the first two, Content-Type and Content-Length.
      const [name, value] = headers.slice(4);
      return [
        countedAs,
        String(status),
        String(ActionStatus),
        String(ErrorCode),
        String(ErrorInfo),
        name === undefined ? '' : code(`${name}: ${value}`),
      ];
    }),
  );
}

/** Under which settings each attribute is there, found by mapping a full callback and an empty one under all of them. */
function attributesTable(): string {
  const full = everyPrivacy.map(privacy => ({ privacy, ...attributesOf(fullRecord(privacy)) }));
  const empty = everyPrivacy.map(privacy => attributesOf(emptyRecord(privacy)));
  const examples = Object.assign({}, ...full.map(({ log }) => log)) as Record<string, unknown>;
  return table(
    ['Attribute', 'On', 'Present', 'Example'],
    Object.entries(examples).map(([name, example]) => {
      const allowing = full.filter(({ log }) => name in log).map(({ privacy }) => privacy);
      const present = [
        ...wanted('USER_IDS', everyUserIds, new Set(allowing.map(({ userIds }) => userIds))),
        ...wanted(
          'MESSAGE_CONTENT',
          everyMessageContent,
          new Set(allowing.map(({ messageContent }) => messageContent)),
        ),
        ...(empty.every(({ log }) => name in log) ? [] : ['if known']),
      ];
      return [
        code(name),
        full.some(({ span }) => name in span) ? 'span, log record' : 'log record',
        present.length === 0 ? 'always' : present.join(', '),
        code(Array.isArray(example) ? example.join(', ') : String(example)),
      ];
    }),
  );
}

/** `["USER_IDS=plain"]`; nothing where every value allows it. */
function wanted(setting: string, values: readonly string[], allowing: ReadonlySet<string>): string[] {
  if (values.every(value => allowing.has(value))) return [];
  return [...allowing].map(value => code(`${setting}=${value}`));
}

const everyUserIds = ['hashed', 'plain', 'omitted'] as const satisfies Privacy['userIds'][];
const everyMessageContent = ['omitted', 'included'] as const satisfies Privacy['messageContent'][];
const everyPrivacy: Privacy[] = everyUserIds.flatMap(userIds =>
  everyMessageContent.map(messageContent => ({ userIds, messageContent })),
);

function fullRecord(privacy: Privacy): ExceptionRecord {
  const community = {
    GroupId: '@TGS#_@TGS#cQVLVHIM62CJ',
    Type: 'Community',
    TopicId: '@TGS#_@TGS#cQVLVHIM62CJ@TOPIC#_TestTopic',
  };
  return recordOf(sampleBody(community), sampleQuery(), privacy);
}

/** The least that is still taken for an exception. */
function emptyRecord(privacy: Privacy): ExceptionRecord {
  return recordOf('{}', `SdkAppid=${sampleSdkAppId}&CallbackCommand=Group.CallbackSendMsgException`, privacy);
}

/** As `receive()` makes it, under a fixed key. */
function recordOf(text: string, query: string, privacy: Privacy): ExceptionRecord {
  const identifier = createIdentifier('00'.repeat(32));
  const classifier = createClassifier({ adminAccounts: new Set(['administrator']), admittedCodes: [] });
  const exception = readException(parseBody(text)!, parseParameters(query), sampleReceivedAt, {
    withMessageText: true,
  });
  const ids = identifier.identify(exception.identityParts, exception.eventTime);
  return toRecord(exception, classifier.classify(exception), ids, privacy, identifier);
}

function attributesOf(record: ExceptionRecord) {
  const origin = { resource: emptyResource(), scope: { name: '' } };
  return { span: toSpan(record, origin).attributes, log: toLogRecord(record, origin).attributes };
}

function statusTable(): string {
  return table(
    ['Field', 'Type', 'Meaning'],
    Object.entries(statusFields).map(([path, [type, meaning]]) => [code(path), type, meaning]),
  );
}

function alertsTable(): string {
  const rows = alertGroups.flatMap(({ rules }) => rules);
  return table(
    ['Alert and its runbook', 'Severity', 'Says', 'After'],
    rows.map(({ name, severity, summary, for: after = 'at once' }) => [
      `[${name.replace('TencentChat', '')}](grafana/runbooks/${name}.md)`,
      severity,
      summary,
      after,
    ]),
  );
}

function commandsTable(): string {
  const rowsOf = (command: Command, path: string[]): string[][] => [
    [code([...path, ...command.registeredArguments.map(argumentText)].join(' ')), '', command.summary()],
    ...command.registeredArguments.map(argument => ['', code(argumentText(argument)), argument.description]),
    ...command.options.map(option => [
      '',
      code(option.flags),
      option.defaultValue === undefined
        ? option.description
        : `${option.description} (default: ${option.defaultValue})`,
    ]),
    ...command.commands.flatMap(child => rowsOf(child, [...path, child.name()])),
  ];
  const { commands } = program({} as World);
  return table(
    ['Command', 'Argument or option', 'Meaning'],
    commands.flatMap(command => rowsOf(command, [command.name()])),
  );
}

/** `<url>`, `[file]`, `[search...]`: as in the usage of its help. */
function argumentText(argument: Argument): string {
  const name = argument.name() + (argument.variadic ? '...' : '');
  return argument.required ? `<${name}>` : `[${name}]`;
}

function exitsTable(): string {
  const rows = Object.values(exitCodes).map(exit => [String(exit.code), exit.meaning]);
  return table(['Exit code', 'Meaning'], rows);
}

function jsonTable(): string {
  const shapes: Record<string, JsonKeys> = {
    'check --json': checkJson,
    'journal stats --json': statsJson,
    'journal verify --json': verifyJson,
    'journal export': exportJson,
    'journal dead-letters list --json': listJson,
    'journal dead-letters retry --json': retryJson,
    'journal dead-letters drop --json': dropJson,
    'simulate --json': simulateJson,
    'explain --json': explainJson,
    'sign --json': signJson,
    'codes --json': codesJson,
  };
  const rows = Object.entries(shapes).flatMap(([name, keys]) =>
    Object.entries(keys).map(([key, meaning], index) => [index === 0 ? code(name) : '', code(key), meaning]),
  );
  return table(['Command', 'Key', 'Meaning'], rows);
}

function code(text: string): string {
  return `\`${text}\``;
}

function table(head: string[], rows: string[][]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map(cells => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |\n`).join('');
}

if (import.meta.main && process.argv[2] === '--write') {
  writeFileSync(readmePath, withTables(readFileSync(readmePath, 'utf8')));
}
