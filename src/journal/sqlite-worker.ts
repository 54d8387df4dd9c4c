/** The journal's thread: holds the one connection, so that a slow disk stops neither answers nor scrapes. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import type { Outbox } from './journal.ts';
import { serveOutbox } from './outbox-port.ts';
import { serve } from './rpc.ts';
import type { SqliteWorkerData } from './sqlite.ts';
import { type PackedBatch, SqliteStore } from './sqlite-store.ts';
import { Waiters } from './waiters.ts';

/** How long acknowledgements wait for a transaction to ride on before they get one of their own. */
const flushAfterMs = 200;
/** Between looks for expired identities when nothing is appended. */
const expireEveryMs = 60_000;

const { path, signals, bytesMax } = workerData as SqliteWorkerData;
const port = parentPort!;
const store = new SqliteStore(path, {
  signals,
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

serve(port, {
  open: (recentSince: number) => {
    const contents = store.open(recentSince);
    expiry = setInterval(keepHouseSoon, expireEveryMs);
    keepHouseSoon();
    return contents;
  },
  append: (batch: PackedBatch) => {
    const duplicates = store.append(batch);
    waiters.wake();
    keepHouseSoon();
    return duplicates;
  },
  known: (identities: Uint8Array[]) => store.known(identities),
  exceptions: (before: number, limit: number) => store.exceptions(before, limit),
  ...(outbox as Record<keyof Outbox, never>),
  serveOutbox: (outboxPort: MessagePort) => serveOutbox(outboxPort, outbox),
  close: () => {
    clearTimeout(housekeeping);
    clearInterval(expiry);
    store.close();
  },
});
