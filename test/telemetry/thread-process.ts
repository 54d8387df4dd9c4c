/**
 * A process that delivers one exception, started by telemetry.test.ts. It ends by itself with exit code 0, and with
 * another when the thread told what is in a record, did not tell of an export, delivered nothing, or kept the process alive.
 */
import { MessageChannel } from 'node:worker_threads';
import { serveOutbox } from '../../src/journal/outbox-port.ts';
import { startTelemetry } from '../../src/telemetry/telemetry.ts';
import { MemoryOutbox, sampleRecord } from './support.ts';

const outbox = new MemoryOutbox();
outbox.append(sampleRecord({ errorInfo: 'canary', messageText: 'canary', userId: 'canary' }));
let exportsTold = 0;
startTelemetry({
  signals: ['traces', 'logs'],
  version: '1',
  instanceId: 'i',
  env: process.env,
  outboxPort() {
    const { port1, port2 } = new MessageChannel();
    serveOutbox(port1, outbox);
    port1.unref();
    return port2;
  },
  report(report) {
    // The SDK passes the batch along as a second word.
    if (report.type === 'diagnostic' && report.message === 'OTLPExportDelegate items to be sent')
      exportsTold += 1;
    if (JSON.stringify(report).includes('canary')) process.exit(3);
  },
});
const keepsAlive = setTimeout(() => process.exit(4), 10_000);
await outbox.until(() => outbox.cursor('traces') === 1 && outbox.cursor('logs') === 1);
if (exportsTold !== 2) process.exit(5);
// The thread still runs; it must not keep the process alive.
clearTimeout(keepsAlive);
