import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { ExceptionLabels } from '../../src/callback/exception.ts';
import { Activity, type ActivityView, type ListedException, windowMinutes } from '../../src/http/activity.ts';
import { type Failed, labelsOf, minuteMs, now, traceIdOf } from './status-fixtures.ts';

const activity = suite('activity');

const hourMs = windowMinutes * minuteMs;

let lastNumber = 0;

function exceptionOf({ age = 0, groupId = 'a group', ...failed }: Failed = {}): ListedException {
  lastNumber += 1;
  return { identity: traceIdOf(lastNumber), receivedAt: now - age, labels: labelsOf(failed), groupId };
}

const agesInMinutes = (...minutes: number[]): ListedException[] =>
  minutes.map(each => exceptionOf({ age: each * minuteMs }));

/** As the journal gives it: without a group, with labels of its own. */
function stored({ identity, receivedAt, labels }: ListedException): ListedException {
  return { identity, receivedAt, labels: structuredClone(labels) };
}

/** Minutes ago → exceptions, where there are any. */
const byAge = ({ perMinute }: Pick<ActivityView, 'perMinute'>): Record<number, number> =>
  Object.fromEntries(
    perMinute.map((count, index) => [windowMinutes - 1 - index, count]).filter(([, count]) => count !== 0),
  );

activity('knows nothing at first', () => {
  const { codes, exceptions, perMinute, unlisted, latest } = new Activity(now).view(now);
  assert.equal(
    { codes, exceptions, unlisted, latest },
    { codes: [], exceptions: 0, unlisted: 0, latest: [] },
  );
  assert.equal(perMinute, new Array(60).fill(0));
});

activity('counts each code by minute, group type and platform, the most first', () => {
  const noted = new Activity(now - hourMs);
  noted.note(exceptionOf({ errorCode: 10017, age: 30 * minuteMs }));
  noted.note(exceptionOf({ groupType: 'AVChatRoom', age: 2 * minuteMs }));
  noted.note(exceptionOf({ platform: 'iOS', age: 2 * minuteMs }));
  noted.note(exceptionOf());
  const { codes, exceptions, ...view } = noted.view(now);
  assert.is(exceptions, 4);
  assert.equal(byAge(view), { 30: 1, 2: 2, 0: 1 });
  assert.equal(
    codes.map(({ perMinute, ...code }) => ({ ...code, perMinute: byAge({ perMinute }) })),
    [
      {
        errorCode: '10023',
        errorCategory: 'rate_limited',
        exceptions: 3,
        perMinute: { 2: 2, 0: 1 },
        groupTypes: [
          ['Public', 2],
          ['AVChatRoom', 1],
        ],
        platforms: [
          ['Android', 2],
          ['iOS', 1],
        ],
      },
      {
        errorCode: '10017',
        errorCategory: 'muted',
        exceptions: 1,
        perMinute: { 30: 1 },
        groupTypes: [['Public', 1]],
        platforms: [['Android', 1]],
      },
    ],
  );
});

activity('forgets what is an hour old, minute by minute', () => {
  const noted = new Activity(now - hourMs);
  for (const exception of agesInMinutes(59, 30, 1, 0)) noted.note(exception);
  assert.equal(byAge(noted.view(now)), { 59: 1, 30: 1, 1: 1, 0: 1 });
  assert.equal(byAge(noted.view(now + minuteMs)), { 31: 1, 2: 1, 1: 1 });
  assert.equal(byAge(noted.view(now + 29 * minuteMs)), { 59: 1, 30: 1, 29: 1 });
  assert.equal(byAge(noted.view(now + 60 * minuteMs)), {});
  assert.equal(noted.view(now + 60 * minuteMs).codes, []);
});

activity('a minute whose turn comes again an hour later begins at nothing', () => {
  const noted = new Activity(now - 3 * hourMs);
  for (const exception of agesInMinutes(121, 61, 60, 1, 0)) noted.note(exception);
  assert.equal(byAge(noted.view(now)), { 1: 1, 0: 1 });
});

activity('adds what the journal tells of before the start, once, whatever its order', () => {
  const noted = new Activity(now);
  noted.note(exceptionOf());
  const before = agesInMinutes(1, 5, 5, 59).map(stored);
  noted.recall(before.slice(0, 2), now);
  noted.recall(before.slice(2).reverse(), now);
  noted.note(exceptionOf());
  assert.equal(byAge(noted.view(now)), { 59: 1, 5: 2, 1: 1, 0: 2 });
  assert.is(noted.view(now).codes.length, 1);
});

activity('does not count what the journal tells of before the hour, or of the future', () => {
  const noted = new Activity(now);
  noted.note(exceptionOf());
  noted.recall(agesInMinutes(-5, 3, 60, 600).map(stored), now);
  assert.equal(byAge(noted.view(now)), { 3: 1, 0: 1 });
});

activity('counts on when the clock was set back: by an hour or more, from nothing', () => {
  const noted = new Activity(now);
  for (const exception of agesInMinutes(-300, -299)) noted.note(exception);
  assert.equal(byAge(noted.view(now)), {}, 'what the future holds is not shown');
  for (const exception of agesInMinutes(1, 0, 0)) noted.note(exception);
  assert.equal(byAge(noted.view(now)), { 1: 1, 0: 2 });

  const aBit = new Activity(now);
  for (const exception of agesInMinutes(-10, 2, 0)) aBit.note(exception);
  assert.equal(byAge(aBit.view(now)), { 2: 1, 0: 1 });
});

activity('says from when on it counts', () => {
  const firstMinute = Math.floor(now / minuteMs - 59) * minuteMs;
  const noted = new Activity(now - 5 * minuteMs);
  assert.is(noted.view(now).since, now - 5 * minuteMs);
  noted.recall(agesInMinutes(6, 20).map(stored), now);
  assert.is(noted.view(now).since, now - 20 * minuteMs);
  noted.recalled();
  assert.is(noted.view(now).since, firstMinute, 'an hour, though the journal knew of 20 minutes only');
  assert.is(new Activity(now - 2 * hourMs).view(now).since, firstMinute);
});

activity('lists the latest 50, the last one first, then those from before the start', () => {
  const noted = new Activity(now);
  const before = Array.from({ length: 60 }, (_, index) =>
    stored(exceptionOf({ age: (index + 1) * minuteMs })),
  );
  noted.recall(before.slice(0, 40), now);
  noted.recall(before.slice(40), now);
  assert.equal(noted.view(now).latest, before.slice(0, 50));

  const live = Array.from({ length: 120 }, () => exceptionOf());
  for (const exception of live.slice(0, 3)) noted.note(exception);
  assert.equal(noted.view(now).latest, [...live.slice(0, 3).reverse(), ...before.slice(0, 47)]);
  for (const exception of live.slice(3)) noted.note(exception);
  assert.equal(noted.view(now).latest, live.slice(-50).reverse());
});

activity('knows the group of what came in this life, and not that of what came before', () => {
  const noted = new Activity(now);
  noted.recall([stored(exceptionOf())], now);
  noted.note(exceptionOf({ groupId: null }));
  noted.note(exceptionOf({ groupId: '@TGS#1' }));
  assert.equal(
    noted.view(now).latest.map(({ groupId }) => groupId),
    ['@TGS#1', null, undefined],
  );
});

/** Label sets that differ by their app. */
const manyLabels = (count: number): ExceptionLabels[] =>
  Array.from({ length: count }, (_, index) => ({ ...labelsOf({}), sdk_app_id: String(1400000001 + index) }));

activity('counts together what is beyond the label sets that it has room for', () => {
  const noted = new Activity(now, { labelSetsMax: 3 });
  for (const labels of [...manyLabels(5), ...manyLabels(5)]) noted.note({ ...exceptionOf(), labels });
  const { codes, exceptions, unlisted, ...view } = noted.view(now);
  assert.equal([codes[0]!.exceptions, unlisted, exceptions], [6, 4, 10]);
  assert.equal(byAge(view), { 0: 10 });
});

activity('makes room for new label sets where the old ones had no exception for an hour', () => {
  const noted = new Activity(now - 2 * hourMs, { labelSetsMax: 3 });
  const labels = manyLabels(6);
  const note = (index: number, age: number) =>
    noted.note({ ...exceptionOf({ age }), labels: labels[index]! });
  for (const index of [0, 1, 2]) note(index, 80 * minuteMs);
  note(2, 30 * minuteMs);
  for (const index of [3, 4, 5]) note(index, 0);
  // One that was forgotten is counted anew, where there is room.
  note(0, 0);
  const { codes, unlisted } = noted.view(now);
  assert.equal([codes[0]!.exceptions, unlisted], [3, 2]);
  assert.equal(byAge(codes[0]!), { 30: 1, 0: 2 });
});

activity.run();
