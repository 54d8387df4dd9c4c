/** `journal`, at work. */
import { decodeRecord, traceIdOf } from '../callback/record.ts';
import { loadSettings } from '../config.ts';
import { accessJournal, type JournalAccess } from '../journal/access.ts';
import {
  type DeadLetter,
  type DeadLetterKey,
  type JournalSummary,
  type LeftReason,
  pageRowsMax,
  type Settlement,
  type Signal,
  signals,
} from '../journal/journal.ts';
import { accessPostgres } from '../journal/postgres-access.ts';
import { shownPostgresUrl } from '../journal/postgres-url.ts';
import type { Verification } from '../journal/verification.ts';
import { escapeControls } from '../log.ts';
import { enabledSignals } from '../telemetry/settings.ts';
import { CommandFailed, exitCodes, type World } from './command.ts';
import type { ChoiceOptions, ExportOptions, JsonOption } from './journal.ts';
import { exportExceptions, idOf, isoTime, pages } from './journal-export.ts';
import { bytes, count, json, table } from './text.ts';

interface Opened {
  access: JournalAccess;
  /** Its file, or its database without the password. */
  place: string;
  bytesMax: number;
}

export function stats(options: JsonOption, world: World): Promise<void> {
  return opened(world, async journal => {
    const summary = await journal.access.summary();
    world.writeOut(
      options.json ? json(statsToJson(journal, summary)) : statsText(journal, summary, world.columns),
    );
  });
}

export function verify(options: JsonOption, world: World): Promise<void> {
  return opened(world, async ({ access, place }) => {
    const verification = await access.verify();
    world.writeOut(
      options.json
        ? json(verificationToJson(place, verification))
        : verificationText(verification, world.columns),
    );
    const { damageCount } = verification;
    if (damageCount > 0) throw new CommandFailed(`${place} is damaged in ${count(damageCount, 'place')}`);
  });
}

export function exportAll(options: ExportOptions, world: World): Promise<void> {
  return opened(world, async ({ access, place }) => {
    const order = options.latestFirst ? 'latest_first' : 'oldest_first';
    const unreadable = { count: 0 };
    const { since = Number.NEGATIVE_INFINITY, limit = Number.POSITIVE_INFINITY } = options;
    await world.streamOut(inChunks(exportExceptions(access, { order, since, limit, unreadable })));
    if (unreadable.count === 0) return;
    throw new CommandFailed(
      `${place}: records that are damaged and were left out: ${unreadable.count}; "journal verify" and "journal dead-letters list" say which`,
    );
  });
}

export function list(options: JsonOption, world: World): Promise<void> {
  return opened(world, async ({ access }) => {
    const letters = (await allDeadLetters(access)).map(letter => ({
      id: idOf(letter),
      sequence: letter.sequence,
      signal: letter.signal,
      reason: letter.reason,
      ...whatIsKnown(letter),
    }));
    if (options.json) return world.writeOut(json(letters));
    if (letters.length === 0) return world.writeOut('no dead letters\n');
    const rows = letters.map(({ id, received_at, error_code, reason }) => [
      id,
      received_at ?? '-',
      error_code ?? '-',
      escapeControls(reason),
    ]);
    world.writeOut(table([['ID', 'RECEIVED', 'CODE', 'REASON'], ...rows], world.columns));
  });
}

export function retry(keys: DeadLetterKey[], options: ChoiceOptions, world: World): Promise<void> {
  return opened(world, async ({ access }) => {
    const chosen = await choose(access, keys, options);
    tell('retried', await inPortions(chosen, portion => access.retryDeadLetters(portion)), options, world);
  });
}

export function drop(keys: DeadLetterKey[], options: ChoiceOptions, world: World): Promise<void> {
  return opened(world, async ({ access }) => {
    const chosen = await choose(access, keys, options);
    if (!options.yes) {
      throw new CommandFailed(
        `nothing was dropped: say --yes to remove dead letters for ever, ${chosen.length} here`,
        exitCodes.usage.code,
      );
    }
    tell('dropped', await inPortions(chosen, portion => access.dropDeadLetters(portion)), options, world);
  });
}

async function opened(world: World, work: (journal: Opened) => Promise<void>): Promise<void> {
  const journal = await open(world);
  try {
    await work(journal);
  } finally {
    await journal.access.close();
  }
}

async function open({ env, readFile }: World): Promise<Opened> {
  const { journal, journalMaxBytes: bytesMax } = loadSettings(env, readFile, ['journal', 'journalMaxBytes']);
  const signals = enabledSignals(env);
  switch (journal.engine) {
    case 'memory':
      throw new CommandFailed(
        'JOURNAL=memory: is in the memory of its exporter alone; there is no file to look into',
      );
    case 'sqlite': {
      const access = accessJournal({ path: journal.path, signals, bytesMax });
      return { access, place: journal.path, bytesMax };
    }
    case 'postgres': {
      const access = await accessPostgres(journal.url, signals);
      return { access, place: shownPostgresUrl(journal.url), bytesMax };
    }
  }
}

function statsToJson({ place, bytesMax }: Opened, summary: JournalSummary): Record<string, unknown> {
  return {
    file: place,
    format: summary.format,
    bytes_max: bytesMax,
    bytes_in_use: summary.bytes.inUse,
    bytes_file: summary.bytes.file,
    bytes_log: summary.bytes.log,
    exceptions_counted: countedOf(summary),
    exceptions_kept: summary.exceptions,
    exceptions_since: isoTime(summary.exceptionsSince),
    totals: summary.totals.map(({ labels, count, bornAt, replica = null }) => ({
      ...labels,
      count,
      since: isoTime(bornAt),
      replica,
    })),
    undelivered: summary.undelivered,
    oldest_undelivered: isoTime(summary.oldestUndeliveredAt),
    dead_letters: summary.deadLetters,
    dropped_since_start: summary.dropped,
  };
}

function statsText({ place, bytesMax }: Opened, summary: JournalSummary, width: number): string {
  const { undelivered, deadLetters, dropped } = summary;
  const number = (value: number): string => value.toLocaleString('en-US');
  const bySignal = (counts: Partial<Record<Signal, number>>): string =>
    Object.entries(counts)
      .map(([signal, value]) => `${signal} ${number(value)}`)
      .join(', ') || 'telemetry is not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set';
  const since = summary.exceptionsSince === null ? '' : `, since ${isoTime(summary.exceptionsSince)}`;
  const oldest =
    summary.oldestUndeliveredAt === null ? '' : `, the oldest of ${isoTime(summary.oldestUndeliveredAt)}`;
  const letterCount = deadLetters.reduce((sum, letters) => sum + letters.count, 0);
  const letterLines = deadLetters.map(letters =>
    escapeControls(`${number(letters.count)} ${letters.signal}: ${letters.reason}`),
  );
  const rows = [
    ['Journal', escapeControls(place)],
    ['Format', String(summary.format)],
    ['In use', `${bytes(summary.bytes.inUse)} of ${bytes(bytesMax)}`],
    ['On disk', onDiskText(summary)],
    ['Counted', countedText(summary)],
    ['Identities', `${number(summary.exceptions)}${since}`],
    ['Undelivered', `${bySignal(undelivered)}${oldest}`],
    ['Dead letters', [number(letterCount), ...letterLines].join('\n')],
    ...(Object.keys(dropped ?? {}).length === 0
      ? []
      : [['Dropped', `${bySignal(dropped!)}, since the exporter started`]]),
  ];
  return table(rows, width);
}

/** A line each for replicas that share the journal, with those that are gone. */
function countedText({ totals }: JournalSummary): string {
  const byReplica = Map.groupBy(totals, ({ replica }) => replica);
  const text = (part: JournalSummary['totals']): string =>
    `${count(sumOf(part), 'exception')} in ${count(part.length, 'label set')}`;
  if (byReplica.size === 0 || byReplica.has(undefined)) return text(totals);
  return [...byReplica].map(([replica, part]) => `${escapeControls(replica!)}: ${text(part)}`).join('\n');
}

function onDiskText({ bytes: { file, log } }: JournalSummary): string {
  return log === 0 ? bytes(file) : `file ${bytes(file)}, log ${bytes(log)}`;
}

function countedOf({ totals }: JournalSummary): number {
  return sumOf(totals);
}

function sumOf(totals: JournalSummary['totals']): number {
  return totals.reduce((sum, total) => sum + total.count, 0);
}

function verificationToJson(
  place: string,
  { checked, damages, damageCount }: Verification,
): Record<string, unknown> {
  return {
    file: place,
    is_whole: damageCount === 0,
    exceptions: checked.exceptions,
    totals: checked.totals,
    records: checked.records,
    dead_letters: checked.deadLetters,
    damage_count: damageCount,
    damages,
  };
}

function verificationText({ checked, damages, damageCount }: Verification, width: number): string {
  const { exceptions, totals, records, deadLetters } = checked;
  const read = `${count(exceptions, 'exception')}, ${count(totals, 'total')}, ${count(records, 'undelivered record')} and ${count(deadLetters, 'dead letter')} were read`;
  if (damageCount === 0) return table([[`Whole: ${read}.`]], width);
  const lines = damages.map(damage => {
    const row = damage.row === null ? '' : `, row ${damage.row}`;
    // SQLite tells of some in two lines.
    const problem = damage.problem.replaceAll('\n', ' ');
    return escapeControls(`${damage.table}${row}: ${problem}; ${damage.meaning}`);
  });
  const more =
    damageCount > damages.length ? [`and ${count(damageCount - damages.length, 'more', 'more')}`] : [];
  return `${table(
    [...lines, ...more].map(line => ['-', line]),
    width,
  )}${table([[`${read}.`]], width)}`;
}

/** Of the record only what no setting holds back. */
function whatIsKnown({
  record,
}: DeadLetter): Record<'received_at' | 'error_code' | 'trace_id', string | null> {
  if (record === null) return { received_at: null, error_code: null, trace_id: null };
  try {
    const { traceId, labels, receivedAt } = decodeRecord(record);
    return { received_at: isoTime(receivedAt), error_code: labels.error_code, trace_id: traceId };
  } catch {
    return { received_at: null, error_code: null, trace_id: traceIdOf(record) };
  }
}

function allDeadLetters(access: JournalAccess): Promise<DeadLetter[]> {
  return Array.fromAsync(pages(from => access.deadLetters(from, pageRowsMax), 0));
}

/** Those that are there now; what is refused again while they are being put back is another one. */
async function choose(
  access: JournalAccess,
  keys: readonly DeadLetterKey[],
  { all }: ChoiceOptions,
): Promise<readonly DeadLetterKey[]> {
  if (keys.length > 0 === (all === true)) {
    throw new CommandFailed('say which dead letters: their IDs, or --all', exitCodes.usage.code);
  }
  if (!all) return keys;
  return (await allDeadLetters(access)).map(({ sequence, signal }) => ({ sequence, signal }));
}

async function inPortions(
  keys: readonly DeadLetterKey[],
  settle: (portion: readonly DeadLetterKey[]) => Promise<Settlement>,
): Promise<Settlement> {
  const all: Settlement = { done: [], left: [] };
  for (let start = 0; start < keys.length; start += pageRowsMax) {
    const { done, left } = await settle(keys.slice(start, start + pageRowsMax));
    all.done.push(...done);
    all.left.push(...left);
  }
  return all;
}

const whyLeft: Record<LeftReason, string> = {
  unknown: 'there is no such dead letter',
  damaged: 'its record is damaged and cannot be delivered; it can be dropped',
  signal_off: 'its signal is not delivered; the OTEL_* settings say so',
};

function tell(
  verb: 'retried' | 'dropped',
  { done, left }: Settlement,
  options: ChoiceOptions,
  { writeOut }: World,
): void {
  if (options.json) {
    writeOut(json({ [verb]: done.map(idOf), left: left.map(key => ({ id: idOf(key), why: key.why })) }));
  } else {
    const counts = signals.map(signal => `${signal} ${done.filter(key => key.signal === signal).length}`);
    writeOut(`${verb}: ${counts.join(', ')}\n`);
    for (const key of left) writeOut(`left as it is: ${idOf(key)}, ${whyLeft[key.why]}\n`);
  }
  if (left.length > 0) throw new CommandFailed(`not all were ${verb}; left as they are: ${left.length}`);
}

/** Lines put together: one write for many. */
async function* inChunks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  const chunkCharsMax = 64 * 1024;
  let chunk = '';
  for await (const line of lines) {
    chunk += line;
    if (chunk.length < chunkCharsMax) continue;
    yield chunk;
    chunk = '';
  }
  if (chunk !== '') yield chunk;
}
