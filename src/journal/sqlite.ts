/** The journal in a SQLite file: the half on the receive path's thread. It packs, asks the worker, and unpacks. */
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { ExceptionLabels } from '../callback/exception.ts';
import type {
  AppendOutcome,
  DeadLetter,
  DeadLetterKey,
  Journal,
  JournalContents,
  JournalEntry,
  JournalOptions,
  JournalReport,
  JournalSummary,
  Order,
  OutboxRow,
  Settlement,
  Signal,
  StoredException,
  UndeliveredRecord,
} from './journal.ts';
import { connect } from './rpc.ts';
import { batchColumns, type PackedBatch } from './sqlite-store.ts';

/** A batch is garbage as soon as it is stored: Node's 48 MB for such would only make the process larger. */
const youngHeapMegabytes = 8;

/** `.ts` here, `.js` in the npm package: of a file that is named by its URL the compiler knows nothing. */
const extension = extname(import.meta.url);

export interface SqliteWorkerData {
  path: string;
  signals: readonly Signal[];
  bytesMax: number;
}

export class SqliteJournal implements Journal {
  readonly #worker: Worker;
  readonly #call: ReturnType<typeof connect>;
  readonly #labelSetNumbers = new Map<string, number>();
  /** The number of each labels object seen: the classifier gives the same object for the same label set. */
  readonly #numberOf = new WeakMap<ExceptionLabels, number>();
  #lastLabelSet = 0;

  constructor(path: string, { signals, bytesMax, report }: JournalOptions) {
    this.#worker = new Worker(new URL(`./sqlite-worker${extension}`, import.meta.url), {
      workerData: { path, signals, bytesMax } satisfies SqliteWorkerData,
      resourceLimits: { maxYoungGenerationSizeMb: youngHeapMegabytes },
    });
    this.#call = connect(this.#worker, (message: { report: JournalReport }) => report(message.report));
    // A bug, not a disk: nothing can be trusted any more, and a restart is exact.
    this.#worker.on('error', error => {
      throw new Error('the journal thread died', { cause: error });
    });
  }

  async open(recentSince: number): Promise<JournalContents> {
    const contents: JournalContents & { totalIds: number[] } = await this.#call('open', [recentSince]);
    for (const [index, { labels }] of contents.totals.entries()) {
      const number = contents.totalIds[index]!;
      this.#labelSetNumbers.set(keyOf(labels), number);
      this.#lastLabelSet = Math.max(this.#lastLabelSet, number);
    }
    return { ...contents, key: Buffer.from(contents.key) };
  }

  async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    const batch: PackedBatch = {
      labelSets: [],
      identities: packIdentities(entries.map(({ identity }) => identity)),
      numbers: new Float64Array(entries.length * batchColumns),
      records: [],
    };
    for (const [index, { receivedAt, labels, senderHash, groupHash, record }] of entries.entries()) {
      const number = this.#labelSetNumber(labels, batch.labelSets);
      batch.numbers.set([receivedAt, number, senderHash, groupHash], index * batchColumns);
      if (record !== null) batch.records[index] = record;
    }
    const duplicates: number[] = await this.#call('append', [batch]);
    const outcomes: AppendOutcome[] = new Array(entries.length).fill('new');
    for (const index of duplicates) outcomes[index] = 'duplicate';
    return outcomes;
  }

  known(identities: readonly string[]): Promise<boolean[]> {
    return this.#call('known', [identities.map(identity => packIdentities([identity]))]);
  }

  summary(): Promise<JournalSummary> {
    return this.#call('summary', []);
  }

  exceptions(from: number, limit: number, order?: Order): Promise<StoredException[]> {
    return this.#call('exceptions', [from, limit, order]);
  }

  undelivered(from: number, limit: number, order?: Order): Promise<UndeliveredRecord[]> {
    return this.#call('undelivered', [from, limit, order]);
  }

  retried(from: number, limit: number): Promise<UndeliveredRecord[]> {
    return this.#call('retried', [from, limit]);
  }

  deadLetters(from: number, limit: number): Promise<DeadLetter[]> {
    return this.#call('deadLetters', [from, limit]);
  }

  retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#call('retryDeadLetters', [keys]);
  }

  dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
    return this.#call('dropDeadLetters', [keys]);
  }

  outboxPort(): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#call('serveOutbox', [port1], [port1]).catch(() => {});
    return port2;
  }

  cursors(): Promise<Record<Signal, number>> {
    return this.#call('cursors', []);
  }

  read(after: number, limit: number): Promise<OutboxRow[]> {
    return this.#call('read', [after, limit]);
  }

  waitBeyond(after: number): Promise<void> {
    return this.#call('waitBeyond', [after]);
  }

  acknowledge(signal: Signal, upTo: number): Promise<void> {
    return this.#call('acknowledge', [signal, upTo]);
  }

  deadLetter(signal: Signal, row: OutboxRow, reason: string): Promise<void> {
    return this.#call('deadLetter', [signal, row, reason]);
  }

  async close(): Promise<void> {
    try {
      await this.#call('close', []);
    } finally {
      await this.#worker.terminate();
    }
  }

  /** A set that is new is defined in the batch that first names it; the worker remembers it, stored or not. */
  #labelSetNumber(labels: ExceptionLabels, definitions: PackedBatch['labelSets']): number {
    const known = this.#numberOf.get(labels);
    if (known !== undefined) return known;
    const key = keyOf(labels);
    let number = this.#labelSetNumbers.get(key);
    if (number === undefined) {
      this.#lastLabelSet += 1;
      number = this.#lastLabelSet;
      this.#labelSetNumbers.set(key, number);
      definitions.push([number, { ...labels }]);
    }
    this.#numberOf.set(labels, number);
    return number;
  }
}

/** Label values come from closed or capped sets; none holds a line feed. */
function keyOf(labels: ExceptionLabels): string {
  const { sdk_app_id, error_code, error_category, group_type, platform, initiator } = labels;
  return [sdk_app_id, error_code, error_category, group_type, platform, initiator].join('\n');
}

/** One conversion for the whole batch, into memory of its own: of a pooled Buffer the whole pool would be copied. */
function packIdentities(identities: readonly string[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(identities.length * 16);
  bytes.write(identities.join(''), 'hex');
  return bytes;
}
