/**
 * The fuzzer's short form, with a seed that is printed; `SEED=…` repeats it. `npm run fuzz` is the long one. And that
 * what it looks for would be found.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { newLabels } from '../journal/fixtures.ts';
import { cleanUp } from '../support/clean-up.ts';
import { newSeed } from '../support/random.ts';
import { sampleBody, sampleReceivedAt } from '../support/samples.ts';
import { checkAnswer, checkExpositions, fuzzBodies, fuzzRequests, judge } from './fuzz.ts';
import { openMetricsType } from './target.ts';

const fuzz = suite('fuzz');
fuzz.after.each(cleanUp);

const seed = newSeed();
console.log(`\nfuzz: SEED=${seed}`);

fuzz('8,000 hostile bodies: each becomes what it must, and every exposition is sound', async () => {
  const tally = await fuzzBodies({ count: 8_000, seed });
  // Else it would prove little.
  for (const outcome of ['counted', 'ignored', 'rejected']) assert.ok(tally[outcome]! > 250, outcome);
});

fuzz('640 hostile requests: only documented answers, nothing lost, all delivered', async () => {
  const tally = await fuzzRequests({ count: 640, seed });
  for (const status of [200, 400, 401, 403]) assert.ok(tally[status]! > 5, `${status}`);
});

const checker = suite('fuzz: the checks themselves');

checker('know what must become of a body', () => {
  assert.is(judge(sampleBody(), true), 'counted');
  assert.is(judge(`\ufeff${sampleBody()}`, false), 'counted');
  assert.is(judge('{"CallbackCommand":"State.StateChange"}', false), 'ignored');
  assert.is(judge('{"__proto__":{"CallbackCommand":"Group.CallbackSendMsgException"}}', false), 'ignored');
  for (const text of ['', '[]', 'null', '"x"', '{', '{}}', '\ufeff\ufeff{}']) {
    assert.is(judge(text, true), 'rejected', text);
  }
});

async function expositions(): Promise<[text: string, openMetrics: string]> {
  const options = { version: '1.2.3', revision: '', isAuthenticating: true, journalBytesMax: 1 };
  const metrics = createMetrics({ ...options, now: () => sampleReceivedAt });
  const labels = newLabels();
  const ids = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) };
  const times = { occurredAt: sampleReceivedAt, receivedAt: sampleReceivedAt };
  const hashes = { senderHash: 1, groupHash: 2 };
  metrics.exceptionCounted({ ...ids, ...times, labels, elementTypes: [] }, hashes);
  const body = async (accept?: string) => (await metrics.render(accept, null)).body.toString();
  return [await body(), await body(openMetricsType)];
}

/** What a check has to say; empty when it is content. */
function complaint(check: () => unknown): string {
  try {
    check();
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

/** Each stands in for a bug that a body could have caused. */
const planted: [what: string, from: string | RegExp, to: string, complaint: RegExp][] = [
  ['a forged metric', '# EOF', '# TYPE forged gauge\n# HELP forged x\nforged 1\n# EOF', /nobody invented/],
  ['a platform of the sender’s', 'platform="Android"', 'platform="Amiga"', /platform is "Amiga"/],
  ['a label that was not escaped', 'platform="Android"', 'platform="x",forged="Android"', /_exceptions/],
  ['an app that is not ours', 'sdk_app_id="1400000001"', 'sdk_app_id="1"', /sdk_app_id is "1"/],
  [
    'a code that is no number',
    'error_code="10023",error_category="rate_limited",g',
    'error_code="1.5",error_category="rate_limited",g',
    /unknown\|invalid/,
  ],
  ['a command of the sender’s', 'command="Group.CallbackSendMsgException"', 'command="é"', /_callbacks/],
  ['NaN', /^(tencent_chat_journal_up) \d/m, '$1 NaN', /is NaN/],
  ['an infinity', /^(tencent_chat_journal_up) \d/m, '$1 +Inf', /is Infinity/],
  ['what is no OpenMetrics', '# EOF', '', /ends in # EOF/],
  ['a series that one format lacks', /tencent_chat_journal_up \d\n/, '', /as many series/],
];
for (const [what, from, to, expected] of planted) {
  checker(`find ${what}`, async () => {
    const [text, openMetrics] = await expositions();
    assert.is(
      complaint(() => checkExpositions(text, openMetrics)),
      '',
    );
    assert.match(
      complaint(() => checkExpositions(text, openMetrics.replace(from, to))),
      expected,
    );
  });
}

checker('find what promtool refuses, and NaN, in the text format', async () => {
  const [text, openMetrics] = await expositions();
  assert.match(
    complaint(() => checkExpositions(`${text}forged{ 1\n`, openMetrics)),
    /strictly equal/,
  );
  const withNaN = text.replace('journal_up 0', 'journal_up NaN');
  assert.match(
    complaint(() => checkExpositions(withNaN, openMetrics)),
    /NaN/,
  );
});

checker('find an answer that is not documented', () => {
  const ok = '{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}';
  const complaintOf = (status: number, body: string) => complaint(() => checkAnswer({ status, body }));
  assert.is(complaintOf(200, ok), '');
  assert.is(complaintOf(431, ''), '');
  assert.match(complaintOf(500, ''), /^500/);
  assert.match(complaintOf(503, ok), /^503/);
  assert.match(complaintOf(302, ''), /undocumented/);
  assert.match(complaintOf(200, ''), /without a word/);
  assert.match(complaintOf(401, ok), /equal/);
  assert.match(complaintOf(200, ok.replace('}', ',"Stack":"x"}')), /equal/);
});

fuzz.run();
checker.run();
