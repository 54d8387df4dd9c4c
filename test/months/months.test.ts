/**
 * The short form of `npm run months`: sixteen hours of a middling app, full of incidents, before the shipped rules. A threshold
 * that is far too high misses some, one that is far too low fires beside them.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exceptionAlertGroup, exceptionRecordingGroups } from '../../src/grafana/rules/exceptions.ts';
import { simulate, suddenKinds } from './app.ts';
import { evaluate, judge, ruleFile, summarize } from './judge.ts';

const months = suite('months');

/** Not one of those by which the rules were chosen. */
const seed = 104;

months('sudden incidents of the first hours are found within minutes, and nothing else is', async () => {
  const month = simulate('medium', seed, 16 / 24, {
    kinds: suddenKinds,
    leastPauseMinutes: 60,
    meanPauseMinutes: 20,
  });
  const rules = ruleFile([...exceptionRecordingGroups, exceptionAlertGroup]);
  const verdict = judge(month, await evaluate(month, rules));
  const { incidents, found, medianMinutes } = summarize([verdict], ({ isClear }) => isClear).at(-1)!;
  assert.ok(incidents >= 4, `${incidents} clear incidents are too few to judge by`);
  assert.is(found, incidents);
  assert.ok(medianMinutes <= 5, `found after ${medianMinutes} minutes`);
  assert.equal(verdict.isFalse, []);
});

months('the same seed gives the same month', () => {
  const [one, other, another] = [1, 1, 2].map(number => simulate('small', number, 0.1).kinds);
  assert.equal(one, other);
  assert.not.equal(one, another);
});

months.run();
