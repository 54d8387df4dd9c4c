/**
 * Damaged journals: one flipped bit, a sector of zeros or of rubbish, a file cut short, a log removed, anywhere in what an exporter has
 * left behind, in order or killed. The journal must hold all that was acknowledged, or say that it does not: refuse to
 * open, report damage, or fail when it is used. Never silently less.
 *
 *     node test/faults/damage.ts --seeds 500 --seed 1
 */
import { copyFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ExceptionLabels } from '../../src/callback/exception.ts';
import { type JournalEntry, type JournalReport, JournalUnusable } from '../../src/journal/journal.ts';
import { type PackedBatch, SqliteStore } from '../../src/journal/sqlite-store.ts';
import { newEntry, newLabels } from '../journal/fixtures.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { between, createRandom, newSeed, type Random } from '../support/random.ts';

/** A log of 32 pages: most of the journal is in the file, the last batches are in the log. */
const bytesMax = 32 * 8 * 4_096;
const batches = 60;
const entriesPerBatchMax = 12;
const now = Date.UTC(2026, 10, 23);
const codes = ['10004', '10010', '10015', '10017', '10023', '80001', '80004'];

/** What was acknowledged, and has to be found again. */
interface Truth {
  identities: Set<string>;
  totals: Map<string, number>;
  /** Records that some signal lacks. */
  undelivered: Set<string>;
}

export interface Journal {
  /** The files as a stop in order leaves them, and as a kill does. */
  directories: { stopped: string; killed: string };
  truth: Truth;
}

function newStore(path: string): { store: SqliteStore; reports: JournalReport[] } {
  const reports: JournalReport[] = [];
  const report = (report: JournalReport) => reports.push(report);
  return {
    store: new SqliteStore(path, { signals: ['traces', 'logs'], bytesMax, now: () => now, report }),
    reports,
  };
}

function pack(entries: readonly JournalEntry[]): PackedBatch {
  const numbers = entries.flatMap(({ receivedAt, labels, senderHash, groupHash }) => [
    receivedAt,
    codes.indexOf(labels.error_code) + 1,
    senderHash,
    groupHash,
  ]);
  return {
    labelSets: codes.map((error_code, index) => [index + 1, newLabels({ error_code })]),
    identities: identitiesOf(entries.map(({ identity }) => identity)),
    numbers: Float64Array.from(numbers, number => number),
    records: entries.map(({ record }) => record!),
  };
}

const identitiesOf = (identities: readonly string[]): Uint8Array =>
  Uint8Array.from(Buffer.from(identities.join(''), 'hex'));

const keyOf = ({ error_code }: ExceptionLabels): string => error_code;

/** As identities are: a time, in order, and something at random. */
function identityAt(number: number, random: Random): string {
  const bits = () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return (now + number).toString(16).padStart(12, '0') + bits() + bits() + bits().slice(0, 4);
}

export function newJournal(random: Random): Journal {
  const directories = { stopped: temporaryDirectory(), killed: temporaryDirectory() };
  const { store } = newStore(join(directories.stopped, 'journal.db'));
  store.open(0);
  const truth: Truth = { identities: new Set(), totals: new Map(), undelivered: new Set() };
  let sequence = 0;
  for (let batch = 0; batch < batches; batch += 1) {
    const entries = Array.from({ length: between(random, 1, entriesPerBatchMax) }, () => {
      sequence += 1;
      const labels = newLabels({ error_code: codes[between(random, 0, codes.length - 1)]! });
      return newEntry(sequence, { identity: identityAt(sequence, random), labels, receivedAt: now });
    });
    store.append(pack(entries));
    for (const { identity, labels, record } of entries) {
      truth.identities.add(identity);
      truth.totals.set(keyOf(labels), (truth.totals.get(keyOf(labels)) ?? 0) + 1);
      truth.undelivered.add(record!);
    }
    if (batch % 20 === 19) {
      const delivered = store.read(0, entries.length);
      for (const { record } of delivered) truth.undelivered.delete(record);
      for (const signal of ['traces', 'logs'] as const) store.acknowledge(signal, delivered.at(-1)!.sequence);
      store.flush();
    }
  }
  for (const name of readdirSync(directories.stopped)) {
    copyFileSync(join(directories.stopped, name), join(directories.killed, name));
  }
  store.close();
  return { directories, truth };
}

const kinds = ['bit', 'zeros', 'rubbish', 'cut'] as const;
const sectorBytes = 512;

/** Damages one file. Returns what was done. */
export function damage(directory: string, random: Random): string {
  const names = readdirSync(directory).sort();
  const name = names[between(random, 0, names.length - 1)]!;
  const path = join(directory, name);
  if (name.endsWith('-wal') && random() < 0.1) {
    rmSync(path);
    return `${name}: removed`;
  }
  const bytes = readFileSync(path);
  const kind = kinds[Math.min(between(random, 0, kinds.length * 2), kinds.length - 1)]!;
  // Half of them in a page's or frame's first bytes, where its structure is.
  const frameBytes = name.endsWith('-wal') ? 4_120 : 4_096;
  const start = name.endsWith('-wal') ? 32 : 0;
  const page = between(random, 0, Math.floor((bytes.length - start) / frameBytes));
  const at =
    random() < 0.5
      ? between(random, 0, bytes.length - 1)
      : Math.min(bytes.length - 1, start * Math.sign(page) + page * frameBytes + between(random, 0, 63));
  if (kind === 'bit') bytes[at]! ^= 1 << between(random, 0, 7);
  const sector = bytes.subarray(at - (at % sectorBytes), at - (at % sectorBytes) + sectorBytes);
  if (kind === 'zeros') sector.fill(0);
  if (kind === 'rubbish') for (const index of sector.keys()) sector[index] = between(random, 0, 255);
  writeFileSync(path, kind === 'cut' ? bytes.subarray(0, at) : bytes);
  return `${name}: ${kind} at ${at}`;
}

/** Flips one bit of a record's text, in the file. */
export function damageRecord(directory: string, random: Random): string {
  const path = join(directory, 'journal.db');
  const bytes = readFileSync(path);
  const places: number[] = [];
  for (let at = bytes.indexOf('["record '); at >= 0; at = bytes.indexOf('["record ', at + 1)) places.push(at);
  const at = places[between(random, 0, places.length - 1)]! + between(random, 0, 8);
  bytes[at]! ^= 1 << between(random, 0, 6);
  writeFileSync(path, bytes);
  return `a record: bit at ${at}`;
}

export type Verdict = 'whole' | 'refused' | 'reported' | 'failed' | 'SILENT';

/** What becomes of a damaged journal when it is opened and used. `detail` says what is missing, or what was told. */
export function open(directory: string, { truth }: Journal): { verdict: Verdict; detail: string } {
  const { store, reports } = newStore(join(directory, 'journal.db'));
  const missing: string[] = [];
  try {
    const { totals } = store.open(0);
    const records = new Set<string>();
    for (let after = 0; ; ) {
      const rows = store.read(after, 1_000);
      if (rows.length === 0) break;
      if (rows.at(-1)!.sequence <= after) throw new Error('sequences go back');
      for (const { record } of rows) records.add(record);
      after = rows.at(-1)!.sequence;
    }
    const identities = [...truth.identities];
    const known = store.known(identities.map(identity => identitiesOf([identity])));
    const forgotten = known.filter(isKnown => !isKnown).length;
    const counts = new Map(totals.map(({ labels, count }) => [keyOf(labels), count]));
    for (const [key, count] of truth.totals) {
      if (counts.get(key) !== count) missing.push(`total ${key} is ${counts.get(key)}, not ${count}`);
    }
    if (counts.size !== truth.totals.size) missing.push(`${counts.size} totals`);
    if (forgotten > 0) missing.push(`${forgotten} identities are not known`);
    const undelivered = truth.undelivered.difference(records).size;
    if (undelivered > 0) missing.push(`${undelivered} records are gone`);
    store.append(pack([newEntry(0, { identity: 'f'.repeat(32), receivedAt: now })]));
    store.flush();
    store.enforceSize();
    store.stats();
    store.close();
  } catch (error) {
    const { name, message } = error as Error;
    if (error instanceof JournalUnusable) return { verdict: 'refused', detail: message };
    // What SQLite says itself fails the append, and is counted and logged as such.
    if ('errcode' in (error as object)) return { verdict: 'failed', detail: message };
    return { verdict: 'SILENT', detail: `not made for it: ${name}: ${message}` };
  }
  if (reports.some(({ type }) => type !== 'dropped' && type !== 'stats')) {
    return { verdict: 'reported', detail: reports.map(report => JSON.stringify(report)).join(' ') };
  }
  if (missing.length === 0) return { verdict: 'whole', detail: '' };
  return { verdict: 'SILENT', detail: missing.join(', ') };
}

export interface Damaged {
  seed: number;
  what: string;
  verdict: Verdict;
  detail: string;
}

/** Damages copies of one journal in `count` ways. */
export function damageMany(seed: number, count: number, harm = damage): Damaged[] {
  const journal = newJournal(createRandom(seed));
  return Array.from({ length: count }, (_, index) => {
    const random = createRandom(seed + index);
    const state = random() < 0.5 ? 'stopped' : 'killed';
    const directory = temporaryDirectory();
    for (const name of readdirSync(journal.directories[state])) {
      copyFileSync(join(journal.directories[state], name), join(directory, name));
    }
    const what = `${state}, ${harm(directory, random)}`;
    return { seed: seed + index, what, ...open(directory, journal) };
  });
}

export function summary(results: readonly Damaged[]): string {
  const counts = Object.groupBy(results, ({ verdict }) => verdict);
  return Object.entries(counts)
    .map(([verdict, list]) => `${list.length} ${verdict}`)
    .sort()
    .join(', ');
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '500' },
      seed: { type: 'string' },
      all: { type: 'boolean' },
    },
  });
  const seed = Number(values.seed ?? newSeed());
  const results = damageMany(seed, Number(values.seeds));
  console.log(`damage: SEED=${seed}, ${results.length} seeds: ${summary(results)}`);
  for (const { seed, what, verdict, detail } of results) {
    if (values.all || verdict === 'SILENT') console.log(`${seed} ${verdict} ${what}: ${detail}`);
  }
  process.exitCode = results.some(({ verdict }) => verdict === 'SILENT') ? 1 : 0;
  await cleanUp();
}
