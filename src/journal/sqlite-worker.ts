/** The journal's thread: holds the one connection, so that a slow disk stops neither answers nor scrapes. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { type ControlConnection, type ControlServer, controlPath, serveControl } from './control.ts';
import {
  type DeadLetterKey,
  type Order,
  type Outbox,
  pageRowsMax,
  type Settlement,
  signals,
} from './journal.ts';
import { serveOutbox } from './outbox-port.ts';
import { type Handlers, serve } from './rpc.ts';
import type { SqliteWorkerData } from './sqlite.ts';
import { type PackedBatch, SqliteStore } from './sqlite-store.ts';
import { Waiters } from './waiters.ts';

/** How long acknowledgements wait for a transaction to ride on before they get one of their own. */
const flushAfterMs = 200;
/** Between looks for expired identities when nothing is appended. */
const expireEveryMs = 60_000;
/** How long a command may read the file while it is kept still: a gigabyte takes about 10 s. */
const stillMs = 60_000;

const { path, signals: delivered, bytesMax } = workerData as SqliteWorkerData;
const port = parentPort!;
const store = new SqliteStore(path, {
  signals: delivered,
  bytesMax,
  now: Date.now,
  report: report => port.postMessage({ report }),
});

const waiters = new Waiters(after => store.hasBeyond(after));
let housekeeping: NodeJS.Timeout | undefined;
let expiry: NodeJS.Timeout | undefined;

/** After a burst of work: what costs too much to do with each append. A failure shows in the next append, too. */
function keepHouseSoon(): void {
  housekeeping ??= setTimeout(() => {
    housekeeping = undefined;
    try {
      store.flush();
      store.enforceSize();
      store.limitStill();
    } catch {
      // The disk refuses: cursors and drops stay undone until the next burst, and the next append reports it.
    }
    try {
      port.postMessage({ report: { type: 'stats', stats: store.stats() } });
    } catch {
      // Not even to be read, since opening it anew failed: the last stats stay, and no thread dies of it.
    }
  }, flushAfterMs);
}

const outbox: Outbox = {
  cursors: async () => store.cursors(),
  read: async (after, limit) => store.read(after, limit),
  waitBeyond: after => waiters.waitBeyond(after),
  acknowledge: async (signal, upTo) => {
    store.acknowledge(signal, upTo);
    keepHouseSoon();
  },
  deadLetter: async (signal, row, reason) => store.deadLetter(signal, row, reason),
};

function settled(settlement: Settlement): Settlement {
  waiters.wake();
  keepHouseSoon();
  return settlement;
}

/** `Inquiry`; a question from the control socket may ask for anything. */
const inquiry = {
  summary: () => store.inquiry.summary(),
  exceptions: (from: number, limit: number, order?: Order) =>
    store.inquiry.exceptions(from, rows(limit), order),
  undelivered: (from: number, limit: number, order?: Order) =>
    store.inquiry.undelivered(from, rows(limit), order),
  retried: (from: number, limit: number) => store.inquiry.retried(from, rows(limit)),
  deadLetters: (from: number, limit: number) => store.inquiry.deadLetters(from, rows(limit)),
  retryDeadLetters: (keys: DeadLetterKey[]) => settled(store.retryDeadLetters(checked(keys))),
  dropDeadLetters: (keys: DeadLetterKey[]) => settled(store.dropDeadLetters(checked(keys))),
};

function rows(limit: number): number {
  if (!Number.isSafeInteger(limit) || limit < 1) throw new Error('a limit is a whole number above 0');
  return Math.min(limit, pageRowsMax);
}

/** In a transaction, what is no key would look like a disk that fails. */
function checked(keys: DeadLetterKey[]): DeadLetterKey[] {
  const areKeys =
    Array.isArray(keys) &&
    keys.length <= pageRowsMax &&
    keys.every(key => Number.isSafeInteger(key?.sequence) && signals.includes(key?.signal));
  if (!areKeys) throw new Error(`dead letters are up to ${pageRowsMax} sequences, each with its signal`);
  return keys;
}

let control: ControlServer | undefined;
/** The connection for which the file is kept still. */
let reader: ControlConnection | undefined;

async function serveInquiry(): Promise<void> {
  control = await serveControl(
    controlPath(path),
    connection => ({ ...inquiry, ...stillness(connection) }) as Handlers,
  ).catch((error: Error) => {
    port.postMessage({ report: { type: 'unreachable', problem: error.message } });
    return undefined;
  });
}

/** For one reader at a time, and no longer than it is connected. */
function stillness(connection: ControlConnection): { keepStill: () => void; endStill: () => boolean } {
  const end = (): boolean => {
    if (reader !== connection) return false;
    reader = undefined;
    return store.endStill();
  };
  return {
    keepStill() {
      if (reader !== undefined) throw new Error('another command is reading the file');
      store.keepStill();
      reader = connection;
      connection.prolong(stillMs);
      connection.onEnd(end);
    },
    endStill: end,
  };
}

serve(port, {
  open: async (recentSince: number) => {
    const contents = store.open(recentSince);
    expiry = setInterval(keepHouseSoon, expireEveryMs);
    keepHouseSoon();
    await serveInquiry();
    return contents;
  },
  append: (batch: PackedBatch) => {
    const duplicates = store.append(batch);
    waiters.wake();
    keepHouseSoon();
    return duplicates;
  },
  known: (identities: Uint8Array[]) => store.known(identities),
  ...(inquiry as Record<keyof typeof inquiry, never>),
  ...(outbox as Record<keyof Outbox, never>),
  serveOutbox: (outboxPort: MessagePort) => serveOutbox(outboxPort, outbox),
  close: async () => {
    // Before the lock: from then on another exporter may make its own.
    await control?.close();
    clearTimeout(housekeeping);
    clearInterval(expiry);
    store.close();
  },
});
