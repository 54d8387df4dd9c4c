import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Activity } from '../../src/http/activity.ts';
import { recall } from '../../src/http/recall.ts';
import { pageRowsMax } from '../../src/journal/journal.ts';
import { MemoryJournal } from '../../src/journal/memory.ts';
import { newEntry } from '../journal/fixtures.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { minuteMs, now } from './status-fixtures.ts';

const recalling = suite('recall');
recalling.after.each(cleanUp);

interface Setup {
  activity: Activity;
  journal: MemoryJournal;
  /** What was asked for. */
  pages: { before: number; limit: number; found: number }[];
  rests: number[];
  append(number: number, ageMinutes: number): Promise<unknown>;
  recall(lastSequence: number): Promise<void>;
  stopping: AbortController;
}

async function setUp(): Promise<Setup> {
  const journal = new MemoryJournal({ signals: [], bytesMax: 2 ** 30, now: () => now, report: () => {} });
  await journal.open();
  onCleanUp(() => journal.close());
  const activity = new Activity(now);
  const pages: Setup['pages'] = [];
  const rests: number[] = [];
  const stopping = new AbortController();
  return {
    activity,
    journal,
    pages,
    rests,
    stopping,
    append: (number, ageMinutes) =>
      journal.append([newEntry(number, { receivedAt: now - ageMinutes * minuteMs })]),
    recall: lastSequence =>
      recall({
        activity,
        journal: {
          async exceptions(before, limit) {
            const page = await journal.exceptions(before, limit);
            pages.push({ before, limit, found: page.length });
            return page;
          },
        },
        lastSequence,
        now: () => now,
        async delay(milliseconds, signal) {
          signal.throwIfAborted();
          rests.push(milliseconds);
        },
        signal: stopping.signal,
      }),
  };
}

const firstMinute = Math.floor(now / minuteMs - 59) * minuteMs;

recalling('an empty journal has nothing to tell, and the hour is known', async () => {
  const { activity, recall } = await setUp();
  await recall(0);
  const { exceptions, since } = activity.view(now);
  assert.equal([exceptions, since], [0, firstMinute]);
});

recalling('reads page by page back to an hour, and rests after each', async () => {
  const { activity, append, recall, pages, rests } = await setUp();
  let number = 0;
  const appendMany = async (count: number, ageMinutes: number) => {
    for (let each = 0; each < count; each += 1) await append(++number, ageMinutes);
  };
  await appendMany(2_000, 90);
  await appendMany(700, 30);
  await appendMany(450, 5);
  await recall(number);
  const { exceptions, since, latest } = activity.view(now);
  assert.equal([exceptions, since, latest.length], [1_150, firstMinute, 50]);
  // Four pages and part of a fifth are of the hour; the sixth proves that nothing else is to come.
  assert.equal(
    pages.map(({ before, limit, found }) => [before, limit, found]),
    [0, 1, 2, 3, 4, 5].map(page => [number + 1 - page * pageRowsMax, pageRowsMax, pageRowsMax]),
  );
  assert.is(rests.length, 5);
  assert.ok(rests.every(milliseconds => milliseconds > 0));
});

recalling('leaves out what was stored after the start: it is noted as it comes', async () => {
  const { activity, journal, append, recall } = await setUp();
  await append(1, 2);
  await append(2, 1);
  await append(3, 0);
  const [last] = await journal.exceptions(3, 1);
  activity.note({ ...last!, groupId: '@TGS#live' });
  await recall(2);
  assert.is(activity.view(now).exceptions, 3);
});

recalling('goes past what was stored late, having been held in memory', async () => {
  const { activity, append, recall } = await setUp();
  for (let number = 1; number <= 10; number += 1) await append(number, 20);
  for (let number = 11; number <= 20; number += 1) await append(number, 70);
  for (let number = 21; number <= 22; number += 1) await append(number, 1);
  await recall(22);
  assert.is(activity.view(now).exceptions, 12);
});

recalling('ends when it is stopped, and says then that the hour is not known', async () => {
  const { activity, append, recall, stopping } = await setUp();
  await append(1, 20);
  stopping.abort();
  let problem: unknown;
  await recall(1).catch(error => {
    problem = error;
  });
  assert.is((problem as Error).name, 'AbortError');
  assert.is(activity.view(now).since, now);
});

recalling('rejects when the journal cannot be read', async () => {
  const { activity } = await setUp();
  const journal = {
    async exceptions(): Promise<never> {
      throw new Error('disk I/O error');
    },
  };
  const { signal } = new AbortController();
  let message = '';
  await recall({ activity, journal, lastSequence: 9, now: () => now, delay: async () => {}, signal }).catch(
    (error: Error) => {
      message = error.message;
    },
  );
  assert.is(message, 'disk I/O error');
});

recalling.run();
