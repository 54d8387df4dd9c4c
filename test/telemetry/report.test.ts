import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { describe } from '../../src/telemetry/report.ts';

const report = suite('telemetry report');

const messages: [string, unknown, string][] = [
  ['takes an error by its message', new Error('connect ECONNREFUSED'), 'connect ECONNREFUSED'],
  ['takes an error without a message by its name', new RangeError(), 'RangeError'],
  ['takes anything else as text', undefined, 'undefined'],
  [
    'leaves credentials out, wherever a URL stands',
    'cannot reach http://me:se@cret@collector:4318/v1/logs or https://token@other',
    'cannot reach http://collector:4318/v1/logs or https://other',
  ],
  ['leaves an @ in a path alone', 'http://collector/@me', 'http://collector/@me'],
  ['cuts at 200 characters', 'x'.repeat(1_000), 'x'.repeat(200)],
];
for (const [name, error, expected] of messages) {
  report(name, () => assert.is(describe(error), expected));
}

report.run();
