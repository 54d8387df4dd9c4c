import { createHash, createHmac } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createIdentifier, nonZero } from '../../src/callback/identify.ts';

const identify = suite('identify');

const key = '0123456789abcdef'.repeat(4);
const identifier = createIdentifier(key);
const eventTime = 1670574414123;
const parts = ['1400000001', '@TGS#2J4SZEAEL', '', 'jared', '123456', '10023', '1670574414123'];
const hmac = (text: string) => createHmac('sha256', key).update(text).digest('hex');
const idsOf = (identityParts: string[]) => JSON.stringify(identifier.identify(identityParts, eventTime));

identify('gives 32 and 16 hex digits, the same ones every time', () => {
  const ids = identifier.identify(parts, eventTime);
  assert.match(ids.traceId, /^[0-9a-f]{32}$/);
  assert.match(ids.spanId, /^[0-9a-f]{16}$/);
  assert.equal(createIdentifier(key).identify([...parts], eventTime), ids);
});

identify('is SHA-256 over key and parts as JSON: a change here makes every stored exception new', () => {
  const digits = createHash('sha256')
    .update(key + JSON.stringify(parts))
    .digest('hex');
  assert.equal(identifier.identify(parts, eventTime), {
    traceId: `0184f5fe992b${digits.slice(0, 20)}`,
    spanId: digits.slice(20, 36),
  });
});

for (const time of [null, -1, 2 ** 48, Number.MAX_SAFE_INTEGER]) {
  identify(`begins the trace ID with zeros where the event time is ${time}`, () => {
    assert.match(identifier.identify(parts, time).traceId, /^0{12}[0-9a-f]{20}$/);
  });
}

identify('orders trace IDs by the time of the event', () => {
  const traceIds = [0, 1, 1670574414123, 1670574414124, 2 ** 48 - 1].map(
    at => identifier.identify(parts, at).traceId,
  );
  assert.equal(traceIds.toSorted(), traceIds);
});

identify('gives other IDs under another key', () => {
  const other = createIdentifier('f'.repeat(64));
  assert.not.equal(other.identify(parts, eventTime), identifier.identify(parts, eventTime));
  assert.is.not(other.hashAccount('jared'), identifier.hashAccount('jared'));
  assert.is.not(other.hash48('jared'), identifier.hash48('jared'));
});

const lookalikes: [string[], string[]][] = [
  [
    ['ab', 'c'],
    ['a', 'bc'],
  ],
  [['a,b'], ['a', 'b']],
  [['a","b'], ['a', 'b']],
  [
    ['a', ''],
    ['', 'a'],
  ],
  [['a', ''], ['a']],
  [['a\u0000b'], ['a', 'b']],
  [['a\nb'], ['a', 'b']],
  [['\\'], ['\\\\']],
  [['\ud800'], ['\ud801']],
  [['\ud800'], ['\ufffd']],
];
for (const [left, right] of lookalikes) {
  identify(`tells ${JSON.stringify(left)} from ${JSON.stringify(right)}`, () => {
    assert.is.not(idsOf(left), idsOf(right));
  });
}

identify('hashes an account as openssl would under the same key', () => {
  for (const account of ['jared', '', '用户', 'a\u0000b', 'x'.repeat(1000)]) {
    assert.is(identifier.hashAccount(account), hmac(account).slice(0, 32));
  }
});

identify('hashes to 48 bits for counting, and keeps 0 for none', () => {
  assert.is(identifier.hash48('jared'), Number.parseInt(hmac('jared').slice(0, 12), 16));
  assert.is(identifier.hash48(null), 0);
  assert.ok(identifier.hash48('') > 0);
  for (let index = 0; index < 1000; index += 1) {
    const value = identifier.hash48(`user${index}`);
    assert.ok(Number.isSafeInteger(value) && value > 0 && value < 2 ** 48);
  }
});

identify('finds no two of 100,000 accounts alike', () => {
  const hashes = new Set<number>();
  for (let index = 0; index < 100_000; index += 1) hashes.add(identifier.hash48(`user${index}`));
  assert.is(hashes.size, 100_000);
});

identify('never gives an ID of zeros', () => {
  assert.is(nonZero('0000000000000000'), '0000000000000001');
  assert.is(nonZero('0000000000000010'), '0000000000000010');
});

identify('accepts no key but 64 hex digits, and does not quote it', () => {
  for (const wrong of ['', 'a'.repeat(63), 'a'.repeat(65), 'A'.repeat(64), 'é'.repeat(64)]) {
    assert.throws(
      () => createIdentifier(wrong),
      (error: Error) =>
        /64 lower-case hex digits/.test(error.message) && !(wrong && error.message.includes(wrong)),
    );
  }
});

identify.run();
