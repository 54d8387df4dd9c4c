import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { errorCategories } from '../../src/callback/exception.ts';
import { createDistinctCounts } from '../../src/metrics/distinct.ts';

const distinct = suite('distinct');

const second = 1000;
const minute = 60 * second;

distinct('is 0 for every category from the start', () => {
  const counts = createDistinctCounts();
  for (const category of errorCategories) {
    assert.is(counts.senders(category, 0), 0);
    assert.is(counts.groups(category, 0), 0);
  }
});

distinct('counts a sender and a group once, however often they come', () => {
  const counts = createDistinctCounts();
  for (let index = 0; index < 1000; index++) counts.add('muted', 7, 1 + (index % 3), index);
  assert.is(counts.senders('muted', second), 1);
  assert.is(counts.groups('muted', second), 3);
});

distinct('counts categories apart, and senders apart from groups', () => {
  const counts = createDistinctCounts();
  counts.add('muted', 7, 7, 0);
  counts.add('moderated', 7, 8, 0);
  counts.add('moderated', 9, 8, 0);
  assert.equal([counts.senders('muted', 0), counts.groups('muted', 0)], [1, 1]);
  assert.equal([counts.senders('moderated', 0), counts.groups('moderated', 0)], [2, 1]);
});

distinct('does not count what was not named', () => {
  const counts = createDistinctCounts();
  counts.add('muted', 0, 5, 0);
  counts.add('muted', 6, 0, 0);
  assert.equal([counts.senders('muted', 0), counts.groups('muted', 0)], [1, 1]);
});

distinct('tells 48-bit hashes apart to the last bit', () => {
  const counts = createDistinctCounts();
  counts.add('muted', 2 ** 48 - 1, 2 ** 47, 0);
  counts.add('muted', 2 ** 48 - 2, 2 ** 47 + 1, 0);
  assert.equal([counts.senders('muted', 0), counts.groups('muted', 0)], [2, 2]);
});

distinct('forgets after five minutes, and at most ten seconds more', () => {
  for (const offset of [0, 4 * second, 10 * second - 1]) {
    const counts = createDistinctCounts();
    counts.add('muted', 1, 2, offset);
    assert.is(counts.senders('muted', offset + 5 * minute), 1, `${offset}: still there`);
    assert.is(counts.senders('muted', offset + 5 * minute + 10 * second), 0, `${offset}: gone`);
    assert.is(counts.groups('muted', offset + 5 * minute + 10 * second), 0, `${offset}: gone`);
  }
});

distinct('keeps who comes again', () => {
  const counts = createDistinctCounts();
  counts.add('muted', 1, 0, 0);
  counts.add('muted', 2, 0, second);
  counts.add('muted', 1, 0, 4 * minute);
  assert.is(counts.senders('muted', 6 * minute), 1);
  assert.is(counts.senders('muted', 10 * minute), 0);
});

distinct('agrees with a count over the whole list, through an hour of traffic', () => {
  const counts = createDistinctCounts();
  const seen: { sender: number; slot: number }[] = [];
  let state = 1;
  const random = (below: number) => {
    state = (state * 48271) % 2147483647;
    return state % below;
  };
  for (let at = 0; at < 60 * minute; at += 100 + random(4000)) {
    const sender = 1 + random(50);
    counts.add('muted', sender, 0, at);
    const slot = Math.floor(at / (10 * second));
    seen.push({ sender, slot });
    const expected = new Set(seen.filter(one => one.slot >= slot - 30).map(one => one.sender)).size;
    assert.is(counts.senders('muted', at), expected, `at ${at}`);
  }
});

distinct('leaves out a category that only another version knows', () => {
  const counts = createDistinctCounts();
  counts.add('retired' as 'other', 1, 2, 0);
  for (const category of errorCategories) assert.is(counts.senders(category, 0), 0);
});

distinct('holds no more than its bound, goes on counting those it knows, and recovers', () => {
  const counts = createDistinctCounts(10);
  for (let index = 1; index <= 20; index++) counts.add('muted', index, 1000 + index, 0);
  assert.is(counts.senders('muted', 0) + counts.groups('muted', 0), 10);
  counts.add('muted', 1, 1001, 4 * minute);
  counts.add('moderated', 1, 0, 4 * minute);
  assert.is(counts.senders('moderated', 4 * minute), 0);
  counts.add('moderated', 1, 0, 6 * minute);
  assert.is(counts.senders('muted', 6 * minute), 1, 'the one that came again');
  assert.is(counts.senders('moderated', 6 * minute), 1, 'there is room now');
});

distinct.run();
