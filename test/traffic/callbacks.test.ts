/** What believable traffic is made of, read with the functions that receive it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createClassifier, groupTypeLabels, platformLabels } from '../../src/callback/classify.ts';
import { commandLabel, exceptionCommand } from '../../src/callback/commands.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { parseBody, readException } from '../../src/callback/parse.ts';
import { createTraffic, type SimulatedCallback } from '../../src/traffic/callbacks.ts';
import { callbackQuery } from '../../src/traffic/query.ts';
import { codeShares } from '../../src/traffic/shares.ts';

const traffic = suite('traffic');

const startsAt = Date.UTC(2026, 10, 26);
const apps = ['1400000001', '1400000002'];

/** So many, at a rate. */
function take(count: number, { seed = 7, perSecond = 5, at = startsAt } = {}): SimulatedCallback[] {
  const source = createTraffic({ seed, sdkAppIds: apps });
  return Array.from({ length: count }, (_, index) => {
    const dueMs = (index * 1000) / perSecond;
    return source.next(dueMs, at + dueMs);
  });
}

const day = take(20_000);

function read({ sdkAppId, command, parameters, body }: SimulatedCallback) {
  const query = callbackQuery({ sdkAppId, command, token: null, at: startsAt, others: parameters });
  return readException(parseBody(body)!, parseParameters(query), startsAt + 5 * 3_600_000, {
    withMessageText: true,
  });
}

const exceptions = day.filter(({ kind }) => kind === 'exception').map(read);

traffic('the same seed gives the same callbacks, apart from their times', () => {
  const timeless = (list: SimulatedCallback[]) =>
    list.map(one => ({ ...one, body: one.body.replace(/"EventTime":"\d+"/, '') }));
  assert.equal(timeless(take(500, { at: startsAt + 1e9 })), timeless(take(500)));
  assert.not.equal(timeless(take(500, { seed: 8 })), timeless(take(500)));
});

traffic('an exporter finds nothing wrong with it, but that a group that is not there has no type', () => {
  for (const { errorCode, invalidFields } of exceptions) {
    const hasType = errorCode !== 10010 && errorCode !== 10015;
    assert.equal(invalidFields, hasType ? [] : ['Type']);
  }
});

traffic('holds every group type, platform, category and app', () => {
  const classifier = createClassifier({ adminAccounts: new Set(['administrator']), admittedCodes: [] });
  const labels = exceptions.map(one => classifier.classify(one).labels);
  const values = (name: keyof (typeof labels)[0]) => new Set(labels.map(each => each[name]));
  const missing = (wanted: readonly string[], found: Set<string>) =>
    wanted.filter(value => !found.has(value));
  assert.equal(missing(groupTypeLabels, values('group_type')), ['other']);
  assert.equal(missing(platformLabels, values('platform')), []);
  assert.equal(missing(errorCategories, values('error_category')), ['other']);
  assert.equal(missing([...apps], values('sdk_app_id')), []);
  assert.equal([...values('initiator')].sort(), ['admin', 'user']);
});

traffic('repeats a few exceptions, byte by byte, and has a few of other commands', () => {
  const bodies = new Set<string>();
  let repetitions = 0;
  let others = 0;
  for (const { kind, body, command } of day) {
    if (kind === 'exception') {
      assert.not.ok(bodies.has(body), 'distinct');
      bodies.add(body);
    } else if (kind === 'repetition') {
      assert.ok(bodies.has(body), 'sent before');
      repetitions += 1;
    } else {
      assert.is.not(command, exceptionCommand);
      assert.is(commandLabel(command), command, 'a documented one');
      others += 1;
    }
  }
  assert.ok(repetitions > 100 && repetitions < 400, `${repetitions} repetitions`);
  assert.ok(others > 700 && others < 1_300, `${others} others`);
});

/** Of the exceptions in a minute, the share of a code. */
function sharesByMinute(codes: readonly number[]): number[] {
  const minutes = Map.groupBy(
    day.flatMap((one, index) => (one.kind === 'exception' ? [{ code: read(one).errorCode, index }] : [])),
    ({ index }) => Math.floor(index / (5 * 10)),
  );
  return [...minutes.values()].map(
    all => all.filter(({ code }) => codes.includes(code as number)).length / all.length,
  );
}

traffic('has hours of the usual, rooms that hit the limit for seconds, and waves of moderation', () => {
  const limited = sharesByMinute([10023]);
  const moderated = sharesByMinute([80001, 80004]);
  const usual = (code: number): number => codeShares[code]!;
  const median = (shares: number[]): number =>
    shares.toSorted((a, b) => a - b)[Math.floor(shares.length / 2)]!;
  assert.ok(Math.abs(median(limited) - usual(10023)) < 0.05, `usually limited ${median(limited)}`);
  assert.ok(
    Math.abs(median(moderated) - usual(80001) - usual(80004)) < 0.06,
    `usually moderated ${median(moderated)}`,
  );
  assert.ok(Math.max(...limited) > 0.7, 'a hot room');
  assert.ok(moderated.filter(share => share > 0.7).length >= 6, 'a wave of a minute and more');
});

traffic.run();
