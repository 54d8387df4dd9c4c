/** The delivery side of a journal, reached from another thread. */
import type { MessagePort } from 'node:worker_threads';
import type { Outbox } from './journal.ts';
import { connect, serve } from './rpc.ts';

export function serveOutbox(port: MessagePort, outbox: Outbox): void {
  serve(port, {
    cursors: () => outbox.cursors(),
    read: (after: number, limit: number) => outbox.read(after, limit),
    waitBeyond: (after: number) => outbox.waitBeyond(after),
    acknowledge: (...args: Parameters<Outbox['acknowledge']>) => outbox.acknowledge(...args),
    deadLetter: (...args: Parameters<Outbox['deadLetter']>) => outbox.deadLetter(...args),
  });
}

export function connectOutbox(port: MessagePort): Outbox {
  const call = connect(port);
  return {
    cursors: () => call('cursors', []),
    read: (after, limit) => call('read', [after, limit]),
    waitBeyond: after => call('waitBeyond', [after]),
    acknowledge: (signal, upTo) => call('acknowledge', [signal, upTo]),
    deadLetter: (signal, row, reason) => call('deadLetter', [signal, row, reason]),
  };
}
