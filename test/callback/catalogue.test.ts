import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalogue, describeCode } from '../../src/callback/catalogue.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { triggers } from '../support/samples.ts';

const catalogueSuite = suite('catalogue');

const firstOf = (code: number | { from: number; to: number }) =>
  typeof code === 'number' ? code : code.from;
const lastOf = (code: number | { from: number; to: number }) => (typeof code === 'number' ? code : code.to);

catalogueSuite('has 184 entries, in ascending order, of which none overlap', () => {
  assert.is(catalogue.length, 184);
  for (const [index, { code }] of catalogue.entries()) {
    assert.ok(firstOf(code) <= lastOf(code));
    const next = catalogue[index + 1];
    if (next !== undefined)
      assert.ok(lastOf(code) < firstOf(next.code), `${lastOf(code)} comes before the next`);
  }
});

catalogueSuite('gives every entry a name of its own', () => {
  assert.is(new Set(catalogue.map(({ name }) => name)).size, catalogue.length);
  for (const { name } of catalogue) assert.match(name, /^[a-z][a-z0-9_]{2,48}$/);
});

catalogueSuite('keeps to the closed sets, and says something in each text', () => {
  const categories = errorCategories.filter(category => category !== 'unknown') as string[];
  for (const { category, likelihood, meaning, remedy } of catalogue) {
    assert.ok(categories.includes(category), category);
    assert.ok(['high', 'medium', 'low'].includes(likelihood), likelihood);
    assert.match(meaning, /^\S.+\S$/);
    assert.match(remedy, /^\S.+\S$/);
  }
});

for (const { trigger, errorCode, category } of triggers) {
  catalogueSuite(`knows ${errorCode}, for ${trigger}, as ${category}`, () => {
    assert.is(describeCode(errorCode)?.category, category);
    assert.is(describeCode(errorCode)?.likelihood, 'high');
  });
}

catalogueSuite("knows each code of Tencent's own list for a group send", () => {
  const names = [10002, 10004, 10007, 10010, 10015, 10016, 10017, 10023, 80002].map(
    code => describeCode(code)?.name,
  );
  assert.equal(names, [
    'group_internal_error',
    'group_invalid_parameters',
    'group_permission_deny',
    'group_not_found',
    'group_invalid_group_id',
    'group_rejected_by_app_callback',
    'group_sender_muted',
    'group_send_msg_freq_limit',
    'message_body_too_large',
  ]);
});

catalogueSuite('tells 10004 from -10004', () => {
  assert.is(describeCode(10004)?.category, 'invalid_parameter');
  assert.is(describeCode(-10004)?.category, 'not_permitted');
});

catalogueSuite('finds a code by the range it is in, with both ends', () => {
  for (const code of [10100, 10150, 10200]) assert.is(describeCode(code)?.name, 'group_custom_app_code');
  for (const code of [120001, 125000, 130000]) assert.is(describeCode(code)?.name, 'c2c_custom_app_code');
  for (const code of [10099, 10201, 120000, 130001]) assert.is(describeCode(code), undefined, String(code));
});

catalogueSuite('knows nothing of a code that is not listed', () => {
  for (const code of [0, 10001, 6013, 2 ** 52]) assert.is(describeCode(code), undefined);
});

catalogueSuite.run();
