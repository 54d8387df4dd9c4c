import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { deadLettersMax } from '../../src/journal/journal.ts';
import { MemoryJournal } from '../../src/journal/memory.ts';

const memory = suite('journal in memory alone');

memory('keeps the last 10,000 dead letters', async () => {
  const journal = new MemoryJournal({
    signals: ['traces', 'logs'],
    bytesMax: 2 ** 30,
    now: Date.now,
    report: () => {},
  });
  const { bytes: empty } = await journal.summary();
  for (let sequence = 1; sequence <= deadLettersMax + 2; sequence += 1) {
    await journal.deadLetter('logs', { sequence, record: '["record"]' }, '400 refused');
  }
  const { deadLetters, bytes } = await journal.summary();
  assert.equal(deadLetters, [{ signal: 'logs', reason: '400 refused', count: deadLettersMax }]);
  assert.is(bytes.inUse - empty.inUse, deadLettersMax * '["record"]'.length);
  assert.is((await journal.deadLetters(0, 1))[0]!.sequence, 3);
  await journal.close();
});

memory.run();
