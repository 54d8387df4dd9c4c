/** `journal`: what people ask of a journal, whether its exporter runs or not. */
import { Command, InvalidArgumentError } from 'commander';
import type { DeadLetterKey, Signal } from '../journal/journal.ts';
import { parseDuration, parseTime } from './arguments.ts';
import type { JsonKeys, World } from './command.ts';

export const statsJson: JsonKeys = {
  file: "the journal's file, or its database",
  format: 'of the file',
  bytes_max: '`JOURNAL_MAX_BYTES`',
  bytes_in_use: 'what counts against it: pages that hold something, and the log',
  bytes_file: 'on disk, free pages among them',
  bytes_log: 'of the write-ahead log',
  exceptions_counted: 'all that were ever counted',
  exceptions_kept: 'those whose identity is kept, for 25 hours',
  exceptions_since: 'when the oldest of them was received',
  'totals[].sdk_app_id': 'as the label',
  'totals[].error_code': 'as the label',
  'totals[].error_category': 'as the label',
  'totals[].group_type': 'as the label',
  'totals[].platform': 'as the label',
  'totals[].initiator': 'as the label',
  'totals[].count': "the counter's value",
  'totals[].since': 'when it was counted first',
  'totals[].replica': '`REPLICA` that counted it; `null` where one exporter alone has the journal',
  'undelivered.traces': 'records that wait; a signal that is not delivered is left out',
  'undelivered.logs': 'the same',
  oldest_undelivered: 'when the oldest of them was received',
  'dead_letters[].signal': '`traces` or `logs`',
  'dead_letters[].reason': 'why',
  'dead_letters[].count': 'how many',
  'dropped_since_start.traces':
    'records given up for want of room; the object is `null` where no exporter runs',
  'dropped_since_start.logs': 'the same',
};

export const verifyJson: JsonKeys = {
  file: "the journal's file",
  is_whole: 'whether there is no damage',
  exceptions: 'that were read',
  totals: 'that were read',
  records: 'undelivered ones, that were read',
  dead_letters: 'that were read',
  damage_count: 'of all damage',
  'damages[].table':
    '`exceptions`, `outbox`, `cursors`, `totals`, `dead_letters`, `meta`; `file` of its structure; `count` of the count file beside it',
  'damages[].row': 'the number or name of the row; `null` where it is not one row',
  'damages[].problem': 'what is wrong',
  'damages[].meaning': 'what follows from it',
};

/** Of each line of `journal export`. */
export const exportJson: JsonKeys = {
  trace_id: 'of its span and log record',
  received_at: 'when the callback came',
  'labels.sdk_app_id': 'as counted',
  'labels.error_code': 'as counted',
  'labels.error_category': 'as counted',
  'labels.group_type': 'as counted',
  'labels.platform': 'as counted',
  'labels.initiator': 'as counted',
  'undelivered[]': 'signals that still have to deliver it',
  'dead_letters[].id': 'for `retry` and `drop`',
  'dead_letters[].reason': 'why',
  'record.occurred_at':
    '`EventTime`; `record` is `null` once every signal has delivered it, or where it is damaged',
  'record.span_id': 'of its span',
  'record.error_name': "the catalogue's name",
  'record.error_info': '`ErrorInfo`',
  'record.error_code': '`ErrorCode` as sent',
  'record.group_id': '`GroupId`',
  'record.topic_id': '`TopicId`',
  'record.is_online_only': '`OnlineOnlyFlag`',
  'record.element_types[]': "of the message's elements",
  'record.random': '`Random`',
  'record.user_hash': 'with `USER_IDS=hashed` when it was received',
  'record.user_id': 'with `USER_IDS=plain` then',
  'record.client_address': 'with `USER_IDS=plain` then',
  'record.message_text': 'with `MESSAGE_CONTENT=included` then',
};

export const listJson: JsonKeys = {
  '[].id': 'for `retry` and `drop`',
  '[].sequence': 'of the row in the outbox that it was',
  '[].signal': '`traces` or `logs`',
  '[].reason': 'why',
  '[].received_at': 'when the callback came; `null` where the record is damaged',
  '[].error_code': 'as counted; `null` where the record is damaged',
  '[].trace_id': 'of its span and log record; `null` where the record is damaged',
};

const leftJson = {
  'left[].id': 'what was left as it is',
  'left[].why': '`unknown`, there is none; `damaged`, it can only be dropped; `signal_off`, not delivered',
};
export const retryJson: JsonKeys = { 'retried[]': 'their IDs', ...leftJson };
export const dropJson: JsonKeys = { 'dropped[]': 'their IDs', ...leftJson };

export interface JsonOption {
  json?: true;
}

export interface ExportOptions {
  latestFirst?: true;
  /** Milliseconds since the Unix epoch. */
  since?: number;
  limit?: number;
}

export interface ChoiceOptions extends JsonOption {
  all?: true;
  yes?: true;
}

export function journalCommand(world: World): Command {
  return new Command('journal')
    .summary('look into the journal; export it; retry dead letters')
    .description(
      "Asks the exporter that has the journal open, or opens the file when none has; a database is asked itself. Run it as the exporter's user, with its settings: JOURNAL, JOURNAL_MAX_BYTES, OTEL_*.",
    )
    .addHelpText(
      'after',
      examples('journal stats', 'journal verify && echo whole', 'journal dead-letters list'),
    )
    .addCommand(statsCommand(world))
    .addCommand(verifyCommand(world))
    .addCommand(exportCommand(world))
    .addCommand(deadLettersCommand(world));
}

function statsCommand(world: World): Command {
  return new Command('stats')
    .summary('what the journal holds, and what waits in it')
    .description('Shows what the journal holds, and what waits in it.')
    .option('--json', 'print JSON')
    .addHelpText('after', examples('journal stats', "journal stats --json | jq '.undelivered'"))
    .action(async (options: JsonOption) => (await actions()).stats(options, world));
}

function verifyCommand(world: World): Command {
  return new Command('verify')
    .summary('read all of the journal, and say what is damaged')
    .description(
      'Reads all of the journal, and says what is damaged and what follows from it. It changes nothing. The exporter goes on beside it.',
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `${examples('journal verify', "journal verify --json | jq -r '.damages[].meaning'")}
It exits with 1 when anything is damaged.
`,
    )
    .action(async (options: JsonOption) => (await actions()).verify(options, world));
}

function exportCommand(world: World): Command {
  return new Command('export')
    .summary('print every exception as a line of JSON')
    .description(
      'Prints every exception whose identity is kept as a line of JSON, with its record while that is undelivered or a dead letter. User IDs and message text are in it as far as USER_IDS and MESSAGE_CONTENT let the exporter store them.',
    )
    .option('--latest-first', 'the latest first, instead of the oldest')
    .option('--since <time>', 'received since 2026-11-26T08:30:00Z, or 90m, 12h, 7d ago', text =>
      parseSince(text, world.now()),
    )
    .option('--limit <number>', 'at most so many', parseCount)
    .addHelpText(
      'after',
      `${examples(
        'journal export > exceptions.jsonl',
        'journal export --latest-first --limit 10',
        "journal export --since 1h | jq '.dead_letters[]'",
      )}
It exits with 1 when a record is damaged, and was left out.
`,
    )
    .action(async (options: ExportOptions) => (await actions()).exportAll(options, world));
}

function deadLettersCommand(world: World): Command {
  const retryAll = 'journal dead-letters retry --all';
  return new Command('dead-letters')
    .summary('what the OTLP endpoint refused for good, or came back damaged')
    .description(
      'Lists the records that the OTLP endpoint refused for good, or that came back damaged; has them delivered again, or removes them.',
    )
    .addHelpText('after', examples('journal dead-letters list', retryAll))
    .addCommand(
      new Command('list')
        .summary('list them, the oldest first')
        .description('Lists dead letters, the oldest first; as JSON with the trace ID of each.')
        .option('--json', 'print JSON')
        .addHelpText('after', examples('journal dead-letters list'))
        .action(async (options: JsonOption) => (await actions()).list(options, world)),
    )
    .addCommand(
      withChoice(new Command('retry'))
        .summary('have them delivered again')
        .description(
          'Puts dead letters back, to be delivered again under the same identity, to the signal that refused them alone. Mend first what they were refused for: what is refused again is a dead letter again. Nothing is counted twice.',
        )
        .addHelpText('after', examples('journal dead-letters retry 18432-logs', retryAll))
        .action(async (keys: DeadLetterKey[], options: ChoiceOptions) =>
          (await actions()).retry(keys, options, world),
        ),
    )
    .addCommand(
      withChoice(new Command('drop'))
        .summary('remove them for ever')
        .description('Removes dead letters for ever. What was counted stays counted.')
        .option('--yes', 'what is dropped cannot be had back: say that you mean it')
        .addHelpText('after', examples('journal dead-letters drop --yes 18432-logs'))
        .action(async (keys: DeadLetterKey[], options: ChoiceOptions) =>
          (await actions()).drop(keys, options, world),
        ),
    );
}

function withChoice(command: Command): Command {
  return command
    .argument('[ids...]', 'which, as "list" names them: 18432-logs', parseKeys)
    .option('--all', 'all that there are')
    .option('--json', 'print JSON');
}

/** Not loaded before it is needed: with it comes SQLite, which a served exporter has in another thread alone. */
function actions(): Promise<typeof import('./journal-actions.ts')> {
  return import('./journal-actions.ts');
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map(line => `  $ tencent-chat-exporter ${line}\n`).join('')}`;
}

/** Called with each argument, and what it made of those before. */
function parseKeys(text: string, before: DeadLetterKey[] = []): DeadLetterKey[] {
  const [, sequence, signal] = /^(\d{1,15})-(traces|logs)$/.exec(text) ?? [];
  if (sequence === undefined) throw new InvalidArgumentError('Expected an ID such as 18432-logs.');
  return [...before, { sequence: Number(sequence), signal: signal as Signal }];
}

function parseCount(text: string): number {
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number above 0.');
}

/** Milliseconds since the Unix epoch. */
function parseSince(text: string, now: number): number {
  return /^[\d.]+[a-z]/.test(text) ? now - parseDuration(text) : parseTime(text);
}
