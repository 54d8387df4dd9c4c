/** The table of answers, row by row, over HTTP. */
import { Agent } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Response, send } from '../support/request.ts';
import { sampleBody, sampleQuery, sampleReceivedAt, signedQuery } from '../support/samples.ts';
import { exceptionCount, type ListenerSetup, outcomes, samples, startListener } from './fixtures.ts';

const exception = 'Group.CallbackSendMsgException';
const query = signedQuery(sampleReceivedAt);

interface Row {
  name: string;
  /** How often the same is sent; the last answer is looked at. */
  times?: number;
  query?: string;
  method?: string;
  path?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** What is out of the ordinary about the listener. */
  prepare?: (setup: ListenerSetup) => void;
  status: number;
  answerHeaders?: Record<string, string>;
  outcomes: Record<string, number>;
  reason?: string;
  command?: string;
  exceptions?: number;
}

const table: Row[] = [
  { name: 'an exception', status: 200, outcomes: { counted: 1 }, exceptions: 1 },
  {
    name: 'an exception that is stored already',
    times: 2,
    status: 200,
    outcomes: { counted: 1, duplicate: 1 },
    exceptions: 1,
  },
  {
    name: 'the same exception 100 times, signed anew',
    times: 100,
    status: 200,
    outcomes: { counted: 1, duplicate: 99 },
    exceptions: 1,
  },
  {
    name: 'an exception while the journal cannot be written',
    prepare: ({ journal }) => {
      journal.isBroken = true;
    },
    status: 200,
    outcomes: { counted: 1 },
    exceptions: 1,
  },
  {
    name: 'another command',
    query: signedQuery(sampleReceivedAt, undefined, { CallbackCommand: 'Group.CallbackBeforeSendMsg' }),
    status: 200,
    outcomes: { ignored: 1 },
    command: 'Group.CallbackBeforeSendMsg',
  },
  {
    name: 'a command that nobody knows',
    query: signedQuery(sampleReceivedAt, undefined, { CallbackCommand: 'Group.X"} 1\n' }),
    status: 200,
    outcomes: { ignored: 1 },
    command: 'other',
  },
  {
    name: 'no SdkAppid',
    query: signedQuery(sampleReceivedAt, undefined, { SdkAppid: undefined }),
    status: 403,
    outcomes: { rejected: 1 },
    reason: 'sdk_app_id',
  },
  {
    name: 'an SdkAppid that is not ours',
    query: signedQuery(sampleReceivedAt, undefined, { SdkAppid: '1400000002' }),
    status: 403,
    outcomes: { rejected: 1 },
    reason: 'sdk_app_id',
  },
  {
    name: 'an SdkAppid twice',
    query: `${query}&SdkAppid=1400000001`,
    status: 403,
    outcomes: { rejected: 1 },
    reason: 'sdk_app_id',
  },
  {
    name: 'no Sign',
    query: sampleQuery(),
    status: 401,
    outcomes: { rejected: 1 },
    reason: 'signature',
  },
  {
    name: 'a Sign by another token',
    query: signedQuery(sampleReceivedAt, 'another'),
    status: 401,
    outcomes: { rejected: 1 },
    reason: 'signature',
  },
  {
    name: 'a malformed RequestTime',
    query: signedQuery(sampleReceivedAt, undefined, { RequestTime: 'NaN' }),
    status: 401,
    outcomes: { rejected: 1 },
    reason: 'signature',
  },
  {
    name: 'a RequestTime 62 s ago',
    query: signedQuery(sampleReceivedAt - 62_000),
    status: 401,
    outcomes: { rejected: 1 },
    reason: 'stale',
  },
  {
    name: 'a RequestTime 62 s ahead',
    query: signedQuery(sampleReceivedAt + 62_000),
    status: 401,
    outcomes: { rejected: 1 },
    reason: 'stale',
  },
  {
    name: 'a body that is no JSON',
    body: '{"CallbackCommand": "Group.CallbackSendMsgException"',
    status: 400,
    outcomes: { rejected: 1 },
    reason: 'malformed',
  },
  {
    name: 'a body that is no object',
    body: '[1]',
    status: 400,
    outcomes: { rejected: 1 },
    reason: 'malformed',
  },
  { name: 'no body', body: '', status: 400, outcomes: { rejected: 1 }, reason: 'malformed' },
  {
    name: 'a body of 256 KiB and one byte',
    body: sampleBody({
      CloudCustomData: 'x'.repeat(256 * 1024 + 1 - sampleBody({ CloudCustomData: '' }).length),
    }),
    status: 413,
    answerHeaders: { connection: 'close' },
    outcomes: { rejected: 1 },
    reason: 'too_large',
  },
  {
    name: 'a body of 256 KiB',
    body: sampleBody({
      CloudCustomData: 'x'.repeat(256 * 1024 - sampleBody({ CloudCustomData: '' }).length),
    }),
    status: 200,
    outcomes: { counted: 1 },
    exceptions: 1,
  },
  {
    name: 'a Content-Encoding',
    headers: { 'Content-Encoding': 'gzip' },
    body: Buffer.from('1f8b0800', 'hex'),
    status: 415,
    outcomes: { rejected: 1 },
    reason: 'encoding',
  },
  {
    name: 'a Content-Encoding that changes nothing',
    headers: { 'Content-Encoding': 'identity' },
    status: 415,
    outcomes: { rejected: 1 },
    reason: 'encoding',
  },
  {
    name: 'too much in flight',
    prepare: ({ receiver }) => {
      while (receiver.inFlight.enter(0)) {}
    },
    status: 503,
    answerHeaders: { 'retry-after': '1' },
    outcomes: { rejected: 1 },
    reason: 'overload',
  },
  {
    name: 'a journal that takes longer than 1.5 s',
    prepare: ({ journal }) => journal.hold(),
    status: 503,
    answerHeaders: { 'retry-after': '1' },
    outcomes: { rejected: 1 },
    reason: 'overload',
  },
  { name: 'GET', method: 'GET', status: 405, answerHeaders: { allow: 'POST' }, outcomes: {} },
  { name: 'PUT', method: 'PUT', status: 405, answerHeaders: { allow: 'POST' }, outcomes: {} },
  { name: 'OPTIONS', method: 'OPTIONS', status: 405, answerHeaders: { allow: 'POST' }, outcomes: {} },
  { name: 'another path', path: 'other', status: 404, outcomes: {} },
  { name: 'another path with GET', path: 'metrics', method: 'GET', status: 404, outcomes: {} },
];

const answers = suite('answers');

answers.after.each(cleanUp);

for (const row of table) {
  const { times = 1, status, reason, command = exception } = row;
  answers(`${row.name}: ${status}${reason === undefined ? '' : `, ${reason}`}`, async () => {
    const setup = await startListener();
    const agent = new Agent({ keepAlive: true });
    onCleanUp(() => agent.destroy());
    row.prepare?.(setup);
    let answer: Response | undefined;
    for (let time = 0; time < times; time += 1) {
      answer = await send(`${setup.url}${row.path ?? ''}?${row.query ?? query}`, {
        method: row.method ?? 'POST',
        headers: row.headers,
        agent,
        body: row.method === undefined ? (row.body ?? sampleBody()) : undefined,
      });
    }
    assert.is(answer!.status, status);
    const { ErrorInfo, ...fields } = JSON.parse(answer!.body);
    assert.equal(
      fields,
      status === 200 ? { ActionStatus: 'OK', ErrorCode: 0 } : { ActionStatus: 'FAIL', ErrorCode: status },
    );
    assert.is(status === 200, ErrorInfo === '', 'a refusal says why');
    const { headers } = answer!;
    assert.is(headers['content-type'], 'application/json');
    assert.is(headers['content-length'], String(Buffer.byteLength(answer!.body)));
    for (const name of ['allow', 'retry-after']) assert.is(headers[name], row.answerHeaders?.[name], name);
    assert.is(headers.connection, row.answerHeaders?.connection ?? 'keep-alive');

    assert.equal(await outcomes(setup.metrics), row.outcomes);
    assert.equal(
      await samples(setup.metrics, 'tencent_chat_callbacks_rejected_total'),
      reason === undefined ? {} : { [`reason="${reason}"`]: 1 },
    );
    for (const labels of Object.keys(await samples(setup.metrics, 'tencent_chat_callbacks_total'))) {
      assert.ok(labels.startsWith(`command="${command}",`), labels);
    }
    assert.is(await exceptionCount(setup.metrics), row.exceptions ?? 0);
    assert.equal(setup.logLines, []);
  });
}

answers('an error inside the exporter: 500, logged without the body', async () => {
  const setup = await startListener();
  setup.receiver.classifier = {
    classify() {
      throw new TypeError('a bug');
    },
  };
  const answer = await send(`${setup.url}?${query}`, { method: 'POST', body: sampleBody() });
  assert.is(answer.status, 500);
  assert.is(JSON.parse(answer.body).ActionStatus, 'FAIL');
  assert.equal(setup.logLines, [
    'a callback failed inside the exporter; this is a bug {"error":"TypeError: a bug"}',
  ]);
  assert.is(setup.receiver.inFlight.callbacks, 0);
});

answers.run();
