/** The JSON at /api/status has the fields that the README's table has, all of them and no other. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type FieldType, statusFields, toApiStatus } from '../../src/http/api-status.ts';
import type { Status } from '../../src/http/status.ts';
import { minuteMs, newActivity, newRejections, newStatus, now, traceIdOf } from './status-fixtures.ts';
import { scenes } from './status-scenes.ts';

const api = suite('api status');

const ask = (status: Status) => JSON.parse(JSON.stringify(toApiStatus(status)));

/** What is in it, by its place: leaves, and whatever the table says is no list of objects. */
function leavesOf(value: unknown, path: string, found: Map<string, unknown[]>): Map<string, unknown[]> {
  const isLeaf = path in statusFields || value === null || typeof value !== 'object';
  if (isLeaf) found.set(path, [...(found.get(path) ?? []), value]);
  else if (Array.isArray(value)) for (const each of value) leavesOf(each, `${path}[]`, found);
  else {
    for (const [name, each] of Object.entries(value))
      leavesOf(each, path === '' ? name : `${path}.${name}`, found);
  }
  return found;
}

const isString = (value: unknown): boolean => typeof value === 'string';
const isInteger = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isTime = (value: unknown): boolean =>
  typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/.test(value);

const fits: Record<FieldType, (value: unknown) => boolean> = {
  string: isString,
  'string or null': value => value === null || isString(value),
  integer: isInteger,
  boolean: value => typeof value === 'boolean',
  time: isTime,
  'time or null': value => value === null || isTime(value),
  strings: value => Array.isArray(value) && value.every(isString),
  integers: value => Array.isArray(value) && value.every(isInteger),
  'integers by label': value =>
    typeof value === 'object' && !Array.isArray(value) && Object.values(value as object).every(isInteger),
};

for (const [name, scene] of Object.entries(scenes)) {
  api(`${name}: every field is documented, and is of its type`, () => {
    for (const [path, values] of leavesOf(ask(scene), '', new Map())) {
      const field = statusFields[path];
      assert.ok(field, `${path} is not documented`);
      for (const value of values) assert.ok(fits[field[0]](value), `${path}: ${JSON.stringify(value)}`);
    }
  });
}

api('every documented field is there, in the order of the table', () => {
  assert.equal([...leavesOf(ask(scenes['100 rejections']), '', new Map()).keys()], Object.keys(statusFields));
});

api('what may be null is null somewhere, and something elsewhere', () => {
  const all = Object.values(scenes).map(scene => leavesOf(ask(scene), '', new Map()));
  for (const [path, [type]] of Object.entries(statusFields)) {
    if (!type.endsWith('or null')) continue;
    const values = all.flatMap(found => found.get(path) ?? []);
    assert.ok(values.includes(null), `${path} is never null`);
    assert.ok(
      values.some(value => value !== null),
      `${path} is always null`,
    );
  }
});

api('says what the page says', () => {
  const activity = newActivity([
    { groupId: '@TGS#1', age: minuteMs },
    { groupId: undefined, errorCode: 4711 },
  ]).view(now);
  const links = { ...newStatus().links, traceTemplate: 'https://g/{trace_id}' };
  const status = newStatus({ activity, links, tokens: 0, rejections: newRejections(1, ['stale']) });
  const { state, says, checks, callbacks, delivery, failing, exceptions, rejections } = ask(status);
  assert.is(state, 'attention');
  assert.is(says, 'Callbacks are not authenticated: anyone who finds the URL is believed.');
  assert.equal(
    checks.map((check: { name: string; state: string }) => [check.name, check.state]),
    [
      ['Journal', 'well'],
      ['Delivery', 'well'],
      ['Authentication', 'attention'],
      ['Callbacks', 'well'],
    ],
  );
  assert.is(
    checks[2].runbook_url,
    'http://localhost:9090/user/runbooks/TencentChatCallbacksUnauthenticated.md',
  );
  assert.equal([callbacks.counted, callbacks.last_outcome], [17, 'counted']);
  assert.is(delivery.delivered_up_to, '2026-11-25T21:04:19.250Z');
  assert.equal(
    failing.codes.map((code: { error_code: string; name: string; by_platform: object }) => [
      code.error_code,
      code.name,
      code.by_platform,
    ]),
    [
      ['10023', 'group_send_msg_freq_limit', { Android: 1 }],
      ['4711', 'unknown', { Android: 1 }],
    ],
  );
  assert.equal(
    exceptions.map((exception: Record<string, unknown>) => [
      exception.group_id,
      exception.is_group_id_known,
      exception.trace_url,
    ]),
    [
      [null, false, `https://g/${traceIdOf(1)}`],
      ['@TGS#1', true, `https://g/${traceIdOf(0)}`],
    ],
  );
  assert.match(rejections[0].cause, /clock/);
});

api.run();
