import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeRecord } from '../../src/callback/record.ts';
import type { Answer } from '../../src/http/answers.ts';
import { answerWithinMs, type Callback, type Receiver, receive } from '../../src/http/receive.ts';
import { cleanUp } from '../support/clean-up.ts';
import {
  sampleBody,
  sampleBodyWith,
  sampleQuery,
  sampleReceivedAt,
  sampleToken,
  signedQuery,
} from '../support/samples.ts';
import { exceptionCount, newReceiver, outcomes, samples } from './fixtures.ts';

const query = signedQuery(sampleReceivedAt);

function newCallback(changes: Partial<Callback> & { body?: string | null } = {}): Callback {
  const { body = sampleBody(), ...rest } = changes;
  return {
    arrivedAt: performance.now(),
    querystring: query,
    contentEncoding: undefined,
    bodyBytesMax: 1_000,
    readBody: async () => body,
    ...rest,
  };
}

/** Body of a callback that must not be read. */
const unread: Partial<Callback> = {
  readBody: () => {
    throw new Error('the body was read');
  },
};

const receiveSuite = suite('receive');

receiveSuite.after.each(cleanUp);

receiveSuite(
  'authenticates, parses, classifies, identifies, journals, counts, answers: in this order',
  async () => {
    const { receiver, metrics } = await newReceiver();
    const steps: string[] = [];
    const watched: Receiver = {
      ...receiver,
      authenticate(...args) {
        steps.push('authenticate');
        return receiver.authenticate(...args);
      },
      classifier: {
        classify(exception) {
          steps.push('classify');
          return receiver.classifier.classify(exception);
        },
      },
      identifier: {
        ...receiver.identifier,
        identify(...args) {
          steps.push('identify');
          return receiver.identifier.identify(...args);
        },
      },
      writer: {
        async append(...args) {
          steps.push('journal');
          const outcome = await receiver.writer.append(...args);
          steps.push(`journaled, ${await exceptionCount(metrics)} counted`);
          return outcome;
        },
      },
      metrics: {
        ...metrics,
        callbackAnswered(...args) {
          steps.push('answer');
          metrics.callbackAnswered(...args);
        },
      },
    };
    const readBody = async (): Promise<string> => {
      steps.push('read');
      return sampleBody();
    };
    await receive(newCallback({ readBody }), watched);
    assert.equal(steps, [
      'authenticate',
      'read',
      'classify',
      'identify',
      'journal',
      'journaled, 1 counted',
      'answer',
    ]);
  },
);

receiveSuite('journals the record of the exception under its identity', async () => {
  const { receiver, journal } = await newReceiver({ messageContent: 'included' });
  await receive(newCallback(), receiver);
  const [row] = await journal.read(0, 10);
  const record = decodeRecord(row!.record);
  assert.is(record.receivedAt, sampleReceivedAt);
  assert.is(record.errorCode, 10023);
  assert.is(record.messageText, 'red packet');
  assert.equal(await journal.known([record.traceId]), [true]);
});

/** Refused or passed over by the URL and headers alone. */
const beforeTheBody: { name: string; callback: Partial<Callback>; status: number; outcome: string }[] = [
  { name: 'a foreign callback', callback: { querystring: '' }, status: 403, outcome: 'rejected' },
  { name: 'an unsigned one', callback: { querystring: sampleQuery() }, status: 401, outcome: 'rejected' },
  {
    name: 'a compressed one',
    callback: { contentEncoding: 'br' },
    status: 415,
    outcome: 'rejected',
  },
  {
    name: 'another command',
    callback: {
      querystring: signedQuery(sampleReceivedAt, sampleToken, { CallbackCommand: 'State.StateChange' }),
    },
    status: 200,
    outcome: 'ignored',
  },
];

for (const { name, callback, status, outcome } of beforeTheBody) {
  receiveSuite(`answers ${name} without reading its body`, async () => {
    const { receiver, metrics } = await newReceiver();
    assert.is((await receive(newCallback({ ...unread, ...callback }), receiver)).status, status);
    assert.equal(await outcomes(metrics), { [outcome]: 1 });
    assert.is(receiver.inFlight.callbacks, 0);
  });
}

receiveSuite('an unsigned callback of another command is refused, not ignored', async () => {
  const { receiver, metrics } = await newReceiver();
  const querystring = sampleQuery({ CallbackCommand: 'State.StateChange' });
  assert.is((await receive(newCallback({ querystring }), receiver)).status, 401);
  assert.equal(await outcomes(metrics), { rejected: 1 });
});

/** Where the command stands, and what becomes of the callback. */
const commands: {
  name: string;
  url: string | undefined;
  body: unknown;
  outcome: string;
  invalid: boolean;
}[] = [
  {
    name: 'only in the body',
    url: undefined,
    body: 'Group.CallbackSendMsgException',
    outcome: 'counted',
    invalid: false,
  },
  {
    name: 'only in the URL',
    url: 'Group.CallbackSendMsgException',
    body: undefined,
    outcome: 'counted',
    invalid: false,
  },
  {
    name: 'another one only in the body',
    url: undefined,
    body: 'State.StateChange',
    outcome: 'ignored',
    invalid: false,
  },
  { name: 'nowhere', url: undefined, body: undefined, outcome: 'ignored', invalid: false },
  {
    name: 'another one in the body than in the URL: the URL decides, and the field counts as invalid',
    url: 'Group.CallbackSendMsgException',
    body: 'State.StateChange',
    outcome: 'counted',
    invalid: true,
  },
];

for (const { name, url, body, outcome, invalid } of commands) {
  receiveSuite(`${outcome}: the command is ${name}`, async () => {
    const { receiver, metrics } = await newReceiver();
    const querystring = signedQuery(sampleReceivedAt, sampleToken, { CallbackCommand: url });
    const answer = await receive(
      newCallback({ querystring, body: sampleBody({ CallbackCommand: body }) }),
      receiver,
    );
    assert.is(answer.status, 200);
    assert.equal(await outcomes(metrics), { [outcome]: 1 });
    assert.equal(
      await samples(metrics, 'tencent_chat_invalid_fields_total'),
      invalid ? { 'field="CallbackCommand"': 1 } : {},
    );
  });
}

/** Odd bodies of an authentic exception: none of them may lose it. */
const oddBodies: Record<string, string> = {
  'an empty object': '{}',
  'every field of a wrong type': sampleBody({
    GroupId: 5,
    Type: [],
    From_Account: {},
    Operator_Account: true,
    Random: 'x',
    OnlineOnlyFlag: 'maybe',
    MsgBody: 'text',
    ErrorCode: '10023.5',
    ErrorInfo: null,
    EventTime: -1,
  }),
  'a number of 120,000 digits': sampleBodyWith('ErrorCode', '9'.repeat(120_000)),
  '1e400 as EventTime': sampleBodyWith('EventTime', '1e400'),
  'a __proto__ key': `{"__proto__": {"isAdmin": true}, "constructor": {"prototype": {"isAdmin": true}}}`,
  '60,000 nested arrays': sampleBodyWith('MsgBody', '['.repeat(60_000) + ']'.repeat(60_000)),
  'NUL and lone surrogates': sampleBody({ GroupId: '\0\ud800', From_Account: '\udfff\n' }),
};

for (const [name, body] of Object.entries(oddBodies)) {
  receiveSuite(`counts ${name}, once, and every sample stays a finite number`, async () => {
    const { receiver, metrics } = await newReceiver();
    assert.is((await receive(newCallback({ body }), receiver)).status, 200);
    assert.is((await receive(newCallback({ body }), receiver)).status, 200);
    assert.equal(await outcomes(metrics), { counted: 1, duplicate: 1 });
    assert.is(await exceptionCount(metrics), 1);
    const scrape = (await metrics.render(undefined, null)).body.toString();
    const values = scrape.split('\n').filter(line => /^tencent_/.test(line));
    assert.equal(
      values.filter(line => !Number.isFinite(Number(line.slice(line.lastIndexOf(' '))))),
      [],
    );
    assert.is(({} as { isAdmin?: boolean }).isAdmin, undefined);
  });
}

receiveSuite(
  'answers 503 after 1.5 s of a slow journal, counts once later, and then knows the duplicate',
  async () => {
    const { receiver, journal, metrics } = await newReceiver();
    journal.hold();
    const startedAt = performance.now();
    const answer = await receive(newCallback(), receiver);
    const waitedMs = performance.now() - startedAt;
    assert.is(answer.status, 503);
    assert.ok(waitedMs >= answerWithinMs && waitedMs < 1_800, `${waitedMs} ms, and Tencent waits 2,000`);
    assert.is(receiver.inFlight.callbacks, 0);
    assert.is(await exceptionCount(metrics), 0);
    journal.release();
    assert.is((await receive(newCallback(), receiver)).status, 200);
    assert.equal(await outcomes(metrics), { rejected: 1, duplicate: 1 });
    assert.is(await exceptionCount(metrics), 1);
  },
);

receiveSuite('the time to answer begins with the arrival', async () => {
  const { receiver } = await newReceiver();
  let answerBy = 0;
  const arrivedAt = performance.now() - 300;
  await receive(newCallback({ arrivedAt }), {
    ...receiver,
    writer: {
      async append(_entry, by) {
        answerBy = by;
        return 'new';
      },
    },
  });
  assert.is(answerBy, arrivedAt + answerWithinMs);
});

receiveSuite('refuses as overload what no longer fits into memory while the journal is down', async () => {
  const { receiver, journal, metrics } = await newReceiver({ unwrittenMax: 1 });
  journal.isBroken = true;
  const statuses: number[] = [];
  for (const Random of [1, 2, 1]) {
    statuses.push((await receive(newCallback({ body: sampleBody({ Random }) }), receiver)).status);
  }
  assert.equal(statuses, [200, 503, 200]);
  assert.equal(await outcomes(metrics), { counted: 1, rejected: 1, duplicate: 1 });
  assert.is(await exceptionCount(metrics), 1);
  assert.is(receiver.inFlight.callbacks, 0);
});

receiveSuite('takes as many callbacks and bytes at once as the limits say, and no more', async () => {
  const { receiver, journal, metrics } = await newReceiver({
    inFlight: { callbacksMax: 3, bytesMax: 2_500 },
  });
  journal.hold();
  const underway = [1, 2].map(Random => receive(newCallback({ body: sampleBody({ Random }) }), receiver));
  assert.is((await receive(newCallback({ ...unread }), receiver)).status, 503, 'of 2,500 bytes 500 are left');
  underway.push(receive(newCallback({ body: sampleBody({ Random: 3 }), bodyBytesMax: 500 }), receiver));
  assert.is(
    (await receive(newCallback({ ...unread, bodyBytesMax: 0 }), receiver)).status,
    503,
    'three are there',
  );
  journal.release();
  assert.equal(
    (await Promise.all(underway)).map(({ status }) => status),
    [200, 200, 200],
  );
  assert.equal(await outcomes(metrics), { counted: 3, rejected: 2 });
});

/** Every way out of `receive` after a callback was let in. */
const waysOut: { name: string; callback: Callback; leaves: number | string }[] = [
  { name: 'counted', callback: newCallback(), leaves: 200 },
  { name: 'too large', callback: newCallback({ body: null }), leaves: 413 },
  { name: 'malformed', callback: newCallback({ body: 'x' }), leaves: 400 },
  {
    name: 'ignored after its body was read',
    callback: newCallback({
      querystring: signedQuery(sampleReceivedAt, sampleToken, { CallbackCommand: undefined }),
      body: '{}',
    }),
    leaves: 200,
  },
  {
    name: 'a sender that goes away',
    callback: newCallback({ readBody: () => Promise.reject(new Error('aborted')) }),
    leaves: 'aborted',
  },
];

for (const { name, callback, leaves } of waysOut) {
  receiveSuite(`nothing stays in flight: ${name}`, async () => {
    const { receiver } = await newReceiver({
      inFlight: { callbacksMax: 1, bytesMax: callback.bodyBytesMax },
    });
    const left = await receive(callback, receiver).then(
      (answer: Answer) => answer.status,
      (error: Error) => error.message,
    );
    assert.is(left, leaves);
    assert.is(receiver.inFlight.callbacks, 0);
    assert.ok(receiver.inFlight.enter(callback.bodyBytesMax), 'nor any of its bytes');
  });
}

receiveSuite(
  'keeps refused bodies only with MESSAGE_CONTENT=included, the first 2,048 characters',
  async () => {
    const body = `not JSON ${'x'.repeat(5_000)}`;
    const kept = async (messageContent: 'omitted' | 'included') => {
      const { receiver } = await newReceiver({ messageContent });
      await receive(newCallback({ body }), receiver);
      return receiver.rejections.list();
    };
    const rejection = {
      at: sampleReceivedAt,
      reason: 'malformed',
      command: 'Group.CallbackSendMsgException',
    };
    assert.equal(await kept('omitted'), [{ ...rejection, body: null }]);
    assert.equal(await kept('included'), [{ ...rejection, body: body.slice(0, 2_048) }]);
  },
);

receiveSuite('keeps the last 100 rejections, the latest first', async () => {
  let now = sampleReceivedAt;
  const { receiver } = await newReceiver({ now: () => now });
  for (let count = 0; count < 150; count += 1) {
    now += 1;
    await receive(newCallback({ querystring: sampleQuery() }), receiver);
  }
  const list = receiver.rejections.list();
  assert.is(list.length, 100);
  assert.is(list[0]!.at, now);
  assert.is(list.at(-1)!.at, now - 99);
});

receiveSuite.run();
