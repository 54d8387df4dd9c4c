/**
 * A journal's appends and nothing else: what a replica asks of the database, without HTTP.
 *
 *     node test/bench/append-loop.ts URL REPLICA BATCH SECONDS      prints {"appends":1234}
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { JournalEntry } from '../../src/journal/journal.ts';
import { PostgresJournal } from '../../src/journal/postgres.ts';
import { benchLabels, benchRecord } from './scale-fixtures.ts';

const [url, replica, batchText, secondsText] = process.argv.slice(2) as [string, string, string, string];
const [batch, seconds] = [Number(batchText), Number(secondsText)];
const journal = new PostgresJournal({
  url,
  replica,
  signals: ['traces', 'logs'],
  bytesMax: Number.MAX_SAFE_INTEGER,
  now: Date.now,
  report: () => {},
});
await journal.open(Date.now());

/** Unlike those of every other process and run. */
const origin = (process.pid * 1_000_000_000 + (Date.now() % 1_000_000_000))
  .toString(16)
  .slice(-12)
  .padStart(12, '0');
let count = 0;
const newEntry = (): JournalEntry => {
  count += 1;
  const time = Date.now();
  return {
    identity: time.toString(16).padStart(12, '0') + origin + count.toString(16).padStart(8, '0'),
    labels: benchLabels[count % benchLabels.length]!,
    receivedAt: time,
    senderHash: 2 ** 47 + (count % 997),
    groupHash: 2 ** 47 + (count % 200),
    record: benchRecord,
  };
};

await journal.append(Array.from({ length: batch }, newEntry));
let appends = 0;
const endAt = performance.now() + seconds * 1000;
while (performance.now() < endAt) {
  try {
    await journal.append(Array.from({ length: batch }, newEntry));
    appends += 1;
  } catch {
    // On a machine that is too busy one comes too late; the writer would put it aside.
    await delay(100);
  }
}
await journal.close();
console.log(JSON.stringify({ appends }));
