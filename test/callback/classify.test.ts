import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createClassifier, groupTypeLabels, platformLabels } from '../../src/callback/classify.ts';
import { type Exception, errorCategories } from '../../src/callback/exception.ts';
import { parseParameters } from '../../src/callback/parameters.ts';
import { parseBody, readException } from '../../src/callback/parse.ts';
import { sampleBody, sampleQuery, sampleReceivedAt, triggers } from '../support/samples.ts';

const classify = suite('classify');
const caps = suite('caps');

const sample = readException(parseBody(sampleBody())!, parseParameters(sampleQuery()), sampleReceivedAt, {
  withMessageText: false,
});
const sampleWith = (overrides: Partial<Exception>): Exception => ({ ...sample, ...overrides });

const create = (admittedCodes: Iterable<string> = []) =>
  createClassifier({ adminAccounts: new Set(['administrator', 'ops']), admittedCodes });
const labelsOf = (overrides: Partial<Exception>) => create().classify(sampleWith(overrides)).labels;

classify('labels the sample', () => {
  const { labels, entry, folded } = create().classify(sample);
  assert.equal(labels, {
    sdk_app_id: '1400000001',
    error_code: '10023',
    error_category: 'rate_limited',
    group_type: 'Public',
    platform: 'Android',
    initiator: 'user',
  });
  assert.is(entry?.name, 'group_send_msg_freq_limit');
  assert.is(folded, null);
});

for (const { trigger, errorCode, category } of triggers) {
  classify(`takes ${errorCode}, for ${trigger}, to ${category}`, () => {
    const { error_code, error_category } = labelsOf({ errorCode });
    assert.equal([error_code, error_category], [String(errorCode), category]);
  });
}

const codes: [string, Exception['errorCode'], string, string, string | undefined][] = [
  ['a missing code', null, 'unknown', 'unknown', undefined],
  ['a code that is no integer', 'invalid', 'invalid', 'unknown', undefined],
  ['a code outside the catalogue', 424242, '424242', 'unknown', undefined],
  ['a negative code', -302, '-302', 'rate_limited', 'access_too_many_connections'],
  ['the code -0', -0, '0', 'unknown', undefined],
  ["the app's own code for a group send", 10142, '10142', 'rejected_by_app', 'group_custom_app_code'],
  ["the app's own code from the wide range", 120001, '120001', 'rejected_by_app', 'c2c_custom_app_code'],
];
for (const [what, errorCode, label, category, name] of codes) {
  classify(`labels ${what} ${label}, of category ${category}`, () => {
    const { labels, entry, folded } = create().classify(sampleWith({ errorCode }));
    assert.equal([labels.error_code, labels.error_category], [label, category]);
    assert.is(entry?.name, name);
    assert.is(folded, null);
  });
}

const groupTypes: [string | null, string][] = [
  ...groupTypeLabels.slice(0, 8).map((name): [string, string] => [name, name]),
  ['Work', 'Private'],
  ['work', 'Private'],
  ['Meeting', 'ChatRoom'],
  ['avchatroom', 'AVChatRoom'],
  ['PUBLIC', 'Public'],
  [null, 'unknown'],
  ['unknown', 'unknown'],
  ['Hypergroup', 'other'],
  ['Public ', 'other'],
  ['constructor', 'other'],
  ['Public\n10023', 'other'],
];
for (const [groupType, label] of groupTypes) {
  classify(`labels the group type ${JSON.stringify(groupType)} ${label}`, () => {
    assert.is(labelsOf({ groupType }).group_type, label);
  });
}

const platforms: [string | null, string][] = [
  ...platformLabels.slice(0, 7).map((name): [string, string] => [name, name]),
  ['IOS', 'iOS'],
  ['IPad', 'iPad'],
  ['macOS', 'Mac'],
  ['mac os', 'Mac'],
  ['Mac OS', 'Mac'],
  ['restapi', 'RESTAPI'],
  ['Unknown', 'unknown'],
  ['Unkown', 'unknown'],
  [null, 'unknown'],
  ['HarmonyOS', 'other'],
  ['__proto__', 'other'],
];
for (const [platform, label] of platforms) {
  classify(`labels the platform ${JSON.stringify(platform)} ${label}`, () => {
    assert.is(labelsOf({ platform }).platform, label);
  });
}

const initiators: [string, Partial<Exception>, string][] = [
  ['an admin for a send over REST', { platform: 'RESTAPI', operatorAccount: 'jared' }, 'admin'],
  [
    'an admin for a send over REST in another spelling',
    { platform: 'RestAPI', operatorAccount: null },
    'admin',
  ],
  ['an admin where the operator is one of ADMIN_ACCOUNTS', { operatorAccount: 'ops' }, 'admin'],
  ['a user where the operator is not', { operatorAccount: 'admin' }, 'user'],
  ['a user where the operator is an admin in another case', { operatorAccount: 'Ops' }, 'user'],
  ['a user where there is no operator', { operatorAccount: null }, 'user'],
  ['a user where only the sender is an admin', { fromAccount: 'ops', operatorAccount: null }, 'user'],
];
for (const [what, overrides, initiator] of initiators) {
  classify(`takes the initiator for ${what}`, () => {
    assert.is(labelsOf(overrides).initiator, initiator);
  });
}

classify('gives the same frozen object for the same label set, and another for another', () => {
  const classifier = create();
  const { labels } = classifier.classify(sample);
  assert.is(
    classifier.classify(sampleWith({ groupType: 'PUBLIC', random: 7, fromAccount: 'x' })).labels,
    labels,
  );
  assert.ok(Object.isFrozen(labels));
  for (const overrides of [
    { sdkAppId: '2' },
    { errorCode: 10017 },
    { groupType: null },
    { platform: 'Web' },
    { operatorAccount: 'ops' },
  ]) {
    assert.is.not(classifier.classify(sampleWith(overrides)).labels, labels);
  }
});

classify('lists the labels in the order in which they are shown', () => {
  assert.equal(Object.keys(labelsOf({})), [
    'sdk_app_id',
    'error_code',
    'error_category',
    'group_type',
    'platform',
    'initiator',
  ]);
});

/** `count` codes from `from` on, in turn, as labels and what was folded. */
function classifyCodes(classifier: ReturnType<typeof create>, from: number, count: number) {
  return Array.from({ length: count }, (_, index) => {
    const { labels, folded } = classifier.classify(sampleWith({ errorCode: from + index }));
    return { ...labels, folded };
  });
}

caps('let 100 codes outside the catalogue keep their number; the next is other, of category unknown', () => {
  const results = classifyCodes(create(), 500_000, 101);
  assert.equal(
    results.slice(0, 100).map(({ error_code }) => error_code),
    Array.from({ length: 100 }, (_, index) => String(500_000 + index)),
  );
  assert.ok(results.slice(0, 100).every(({ folded }) => folded === null));
  const last = results[100]!;
  assert.equal([last.error_code, last.error_category, last.folded], ['other', 'unknown', 'error_code']);
});

caps('let a code keep its number for good once it has it', () => {
  const classifier = create();
  classifyCodes(classifier, 500_000, 1000);
  assert.is(classifyCodes(classifier, 500_000, 1)[0]?.error_code, '500000');
  assert.is(classifyCodes(classifier, 500_100, 1)[0]?.error_code, 'other');
});

caps('let 100 codes of the wide range keep their number; the next is other, of the range', () => {
  const classifier = create();
  const results = classifyCodes(classifier, 120_001, 101);
  assert.is(results[99]?.error_code, '120100');
  assert.equal(
    [results[100]?.error_code, results[100]?.error_category, results[100]?.folded],
    ['other', 'rejected_by_app', 'error_code'],
  );
  assert.is(classifier.classify(sampleWith({ errorCode: 125_000 })).entry?.name, 'c2c_custom_app_code');
});

caps('are separate: a full range leaves room outside the catalogue, and the other way round', () => {
  const classifier = create();
  classifyCodes(classifier, 120_001, 200);
  assert.is(classifyCodes(classifier, 500_000, 100).at(-1)?.error_code, '500099');
  const reverse = create();
  classifyCodes(reverse, 500_000, 200);
  assert.is(classifyCodes(reverse, 120_001, 100).at(-1)?.error_code, '120100');
});

caps('tell the folded codes of a range from those outside the catalogue', () => {
  const classifier = create();
  const inside = classifyCodes(classifier, 120_001, 101)[100]!;
  const outside = classifyCodes(classifier, 500_000, 101)[100]!;
  assert.equal([inside.error_code, inside.error_category], ['other', 'rejected_by_app']);
  assert.equal([outside.error_code, outside.error_category], ['other', 'unknown']);
});

caps('do not touch codes of the catalogue, nor the 101 of the narrow range', () => {
  const classifier = create();
  classifyCodes(classifier, 500_000, 200);
  assert.is(classifyCodes(classifier, 10_023, 1)[0]?.error_code, '10023');
  assert.equal(
    classifyCodes(classifier, 10_100, 101).map(({ error_code }) => error_code),
    Array.from({ length: 101 }, (_, index) => String(10_100 + index)),
  );
});

caps('survive a restart: the codes of the totals fill them again', () => {
  const before = create();
  const labels = [...classifyCodes(before, 500_000, 300), ...classifyCodes(before, 120_001, 300)].map(
    ({ error_code }) => error_code,
  );
  const after = create([...labels, '10023', 'unknown', 'invalid', 'other']);
  assert.is(classifyCodes(after, 500_099, 1)[0]?.error_code, '500099');
  assert.is(classifyCodes(after, 600_000, 1)[0]?.error_code, 'other');
  assert.is(classifyCodes(after, 120_100, 1)[0]?.error_code, '120100');
  assert.is(classifyCodes(after, 121_000, 1)[0]?.error_code, 'other');
});

caps('take a slot only for a code that needs one, and once', () => {
  const catalogued = Array.from({ length: 101 }, (_, index) => String(10_100 + index));
  const classifier = create([
    ...catalogued,
    '10023',
    '-302',
    'unknown',
    'invalid',
    'other',
    '500000',
    '500000',
  ]);
  const results = classifyCodes(classifier, 500_000, 101);
  assert.is(results[99]?.error_code, '500099');
  assert.is(results[100]?.error_code, 'other');
});

caps('hold label values to closed sets under 100,000 odd exceptions', () => {
  const classifier = create();
  const seen = new Set<object>();
  const errorCodes = new Set<string>();
  for (let index = 0; index < 100_000; index += 1) {
    const text = `x${index}`;
    const { labels } = classifier.classify(
      sampleWith({ errorCode: 1_000_000 + index, groupType: text, platform: text, groupId: text }),
    );
    seen.add(labels);
    errorCodes.add(labels.error_code);
    assert.ok(Object.values(labels).every(value => typeof value === 'string'));
    assert.ok(errorCategories.includes(labels.error_category));
  }
  assert.is(errorCodes.size, 101);
  assert.is(seen.size, 101);
});

classify.run();
caps.run();
