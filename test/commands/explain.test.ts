import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { fieldNames } from '../../src/callback/exception.ts';
import { explainJson } from '../../src/commands/explain.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startExporter } from '../support/exporter.ts';
import {
  sampleBody,
  sampleBodyWith,
  sampleQuery,
  sampleReceivedAt,
  sampleSdkAppId,
  sampleToken,
  signedQuery,
} from '../support/samples.ts';
import { assertFits, assertJsonKeys, runCommand, type WorldOptions } from './world.ts';

const explain = suite('explain');
explain.after.each(cleanUp);

const env = { SDK_APP_IDS: sampleSdkAppId, CALLBACK_TOKENS: sampleToken };

interface Explained {
  code: number;
  error: string;
  out: string;
  verdict: { outcome: string | null; reason: string | null; status: number };
  authentication: { is_authentic: boolean | null; explanation: string };
  command: string;
  fields: { name: string; state: string; is_invalid: boolean; value: unknown; note: string | null }[];
  unread: string[];
  series: string[];
  series_if_accepted: string[];
  error_code: { number: number | null; name: string | null; category: string } | null;
  identity: { has_body: boolean } | null;
  notes: string[];
}

/** Explains a text from standard input, as JSON. */
async function explained(text: string, args: string[] = [], options: WorldOptions = {}): Promise<Explained> {
  const ended = await runCommand(['explain', '--json', ...args], {
    env,
    startsAt: sampleReceivedAt,
    input: text,
    ...options,
  });
  assert.ok(ended.out !== '', ended.error);
  return { ...ended, ...JSON.parse(ended.out) };
}

const signed = ['--query', signedQuery(sampleReceivedAt)];

/** The sample as it is seen on the wire. */
function rawRequest(
  query = signedQuery(sampleReceivedAt),
  { head = 'POST', body = sampleBody(), headers = '' } = {},
): string {
  return `${head} /?${query} HTTP/1.1\r\nHost: exporter\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;
}

explain('of an authentic exception: how it is answered and counted', async () => {
  const { code, verdict, authentication, series, series_if_accepted, notes } = await explained(
    sampleBody(),
    signed,
  );
  assert.is(code, 0);
  assert.equal(verdict, { outcome: 'counted', reason: null, status: 200, error_info: '' });
  assert.is(authentication.is_authentic, true);
  assert.equal(series, [
    'tencent_chat_group_message_exceptions_total{sdk_app_id="1400000001",error_code="10023",error_category="rate_limited",group_type="Public",platform="Android",initiator="user"}',
    'tencent_chat_callbacks_total{command="Group.CallbackSendMsgException",outcome="counted"}',
  ]);
  assert.equal([series_if_accepted, notes], [[], []]);
});

explain('of each field: what is taken from it', async () => {
  const { fields, unread } = await explained(sampleBody(), signed, { env: { ...env, USER_IDS: 'plain' } });
  assert.equal(fields.map(({ name }) => name).sort(), [...fieldNames].sort());
  const of = (wanted: string) => fields.find(({ name }) => name === wanted)!;
  assert.equal([of('Type').value, of('Type').note], ['Public', 'group_type="Public"']);
  assert.equal([of('EventTime').value, of('EventTime').note], [1670574414123, '2022-12-09T08:26:54.123Z']);
  assert.equal([of('MsgBody').value, of('From_Account').value], ['TIMTextElem', 'jared']);
  assert.match(of('MsgBody').note!, 'text not shown: MESSAGE_CONTENT=included shows it');
  assert.equal([of('TopicId').state, of('TopicId').is_invalid], ['missing', false]);
  assert.equal(unread, ['contenttype', 'CloudCustomData']);
});

/** What is odd about a field, and what is said of it. */
const odd: { name: string; body: string; field: string; state: string; note: RegExp }[] = [
  {
    name: 'a time in seconds',
    body: sampleBody({ EventTime: 1670574414 }),
    field: 'EventTime',
    state: 'odd',
    note: /these are seconds; the time of receipt is taken, 2022-12-09/,
  },
  {
    name: 'a code that is text',
    body: sampleBody({ ErrorCode: 'canary' }),
    field: 'ErrorCode',
    state: 'odd',
    note: /expected an integer, got other text; error_code="invalid"/,
  },
  {
    name: 'no code',
    body: sampleBody({ ErrorCode: undefined }),
    field: 'ErrorCode',
    state: 'missing',
    note: /error_code="unknown"/,
  },
  {
    name: 'a number of 17 digits',
    body: sampleBodyWith('Random', '12345678901234567'),
    field: 'Random',
    state: 'odd',
    note: /expected an integer from 0 to 4294967295, got another number/,
  },
  {
    name: 'a message that is no list',
    body: sampleBody({ MsgBody: { Text: 'canary' } }),
    field: 'MsgBody',
    state: 'odd',
    note: /expected a list of elements that have a MsgType, got an object/,
  },
  {
    name: 'a group without a type',
    body: sampleBody({ Type: '' }),
    field: 'Type',
    state: 'missing',
    note: /group_type="unknown"/,
  },
];
for (const { name, body, field, state, note } of odd) {
  explain(`of ${name}: that it is counted all the same, and as what`, async () => {
    const { code, out, fields, series } = await explained(body, signed);
    assert.is(code, 0);
    const found = fields.find(each => each.name === field)!;
    assert.equal([found.state, found.is_invalid], [state, true]);
    assert.match(found.note!, note);
    assert.ok(series.includes(`tencent_chat_invalid_fields_total{field="${field}"}`));
    assert.not.match(out, 'canary');
  });
}

explain('of a parameter given twice: that it is expected once', async () => {
  const { fields } = await explained(sampleBody(), ['--query', `${signed[1]}&OptPlatform=iOS`]);
  const platform = fields.find(({ name }) => name === 'OptPlatform')!;
  assert.equal([platform.state, platform.value], ['odd', null]);
  assert.match(platform.note!, 'expected once');
});

const queries: {
  name: string;
  query: string;
  reason: string | null;
  words: RegExp;
  env?: NodeJS.ProcessEnv;
}[] = [
  {
    name: 'another app',
    query: signedQuery(sampleReceivedAt, sampleToken, { SdkAppid: '1400000009' }),
    reason: 'sdk_app_id',
    words: /SdkAppid is 1400000009, expected one of SDK_APP_IDS, 1400000001/,
  },
  {
    name: 'no app',
    query: signedQuery(sampleReceivedAt, sampleToken, { SdkAppid: undefined }),
    reason: 'sdk_app_id',
    words: /SdkAppid is missing/,
  },
  {
    name: 'another token',
    query: signedQuery(sampleReceivedAt, 'another'),
    reason: 'signature',
    words: /Sign fits none of the tokens/,
  },
  {
    name: 'no signature',
    query: sampleQuery(),
    reason: 'signature',
    words: /Sign is missing: is authentication on in the console\?/,
  },
  {
    name: 'a time that is no number',
    query: signedQuery(sampleReceivedAt, sampleToken, { RequestTime: '1e9' }),
    reason: 'signature',
    words: /RequestTime is not ten digits/,
  },
  {
    name: 'a signature in capitals',
    query: signedQuery(sampleReceivedAt, sampleToken, { Sign: 'A'.repeat(64) }),
    reason: 'signature',
    words: /Sign is not 64 lower-case hex digits/,
  },
  {
    name: 'an old one',
    query: signedQuery(sampleReceivedAt - 3 * 86_400_000),
    reason: 'stale',
    words:
      /Sign is right, but RequestTime is 3 days before now, more than 60 s; --at 2022-12-06T08:26:54Z judges/,
  },
  {
    name: 'no token here',
    query: signedQuery(sampleReceivedAt),
    env: { SDK_APP_IDS: sampleSdkAppId },
    reason: null,
    words: /no token is set, so the signature cannot be judged/,
  },
  {
    name: 'no settings here',
    query: sampleQuery({ SdkAppid: '1400000009' }),
    env: {},
    reason: null,
    words: /SDK_APP_IDS is not set, so the app is not judged/,
  },
];
for (const { name, query, reason, words, env: given = env } of queries) {
  explain(`of authenticity: ${name}`, async () => {
    const answer = await explained(sampleBody(), ['--query', query], { env: given });
    assert.is(answer.verdict.reason, reason);
    assert.is(answer.code, reason === null ? 0 : 1);
    assert.match(answer.authentication.explanation, words);
    assert.is(answer.authentication.is_authentic, reason === null ? null : false);
    // What it says is explained all the same.
    assert.is(answer.error_code!.number, 10023);
    if (reason === null) return;
    assert.ok(answer.series.includes(`tencent_chat_callbacks_rejected_total{reason="${reason}"}`));
    assert.match(answer.series_if_accepted[0]!, /^tencent_chat_group_message_exceptions_total/);
  });
}

explain('of an old one, judged at its own time: that it is authentic', async () => {
  const at = ['--at', '2022-12-09T08:26:54Z'];
  const { authentication } = await explained(rawRequest(), at, { startsAt: sampleReceivedAt + 1e10 });
  assert.equal(authentication, {
    is_authentic: true,
    explanation: 'Sign fits a token, and RequestTime is within a second of 2022-12-09T08:26:54.000Z',
  });
});

explain('of a body alone: that authenticity cannot be judged, nor the app be known', async () => {
  const { code, authentication, series, notes } = await explained(sampleBody(), [], { env: {} });
  assert.is(code, 0);
  assert.is(authentication.is_authentic, null);
  assert.match(series[0]!, 'sdk_app_id="SDKAPPID"');
  assert.match(notes[0]!, 'give --query or --url');
});

/** Whole requests, and how each is answered. */
const requests: { name: string; text: string; status: number; outcome: string | null; note?: RegExp }[] = [
  { name: 'as it came', text: rawRequest(), status: 200, outcome: 'counted' },
  {
    name: 'with the line ends of an editor',
    text: rawRequest().replaceAll('\r\n', '\n'),
    status: 200,
    outcome: 'counted',
  },
  {
    name: 'of another command',
    text: rawRequest(
      signedQuery(sampleReceivedAt, sampleToken, { CallbackCommand: 'Group.CallbackAfterSendMsg' }),
    ),
    status: 200,
    outcome: 'ignored',
    note: /another command: it is answered OK at once/,
  },
  {
    name: 'to another path',
    text: rawRequest().replace('POST /?', 'POST /chat?'),
    status: 404,
    outcome: null,
    note: /the path is not \/, CALLBACK_PATH/,
  },
  { name: 'of another method', text: rawRequest().replace('POST', 'GET'), status: 405, outcome: null },
  {
    name: 'compressed',
    text: rawRequest(undefined, { headers: 'Content-Encoding: gzip\r\n' }),
    status: 415,
    outcome: 'rejected',
    note: /Tencent sends bodies as they are/,
  },
  {
    name: 'too large',
    text: rawRequest(undefined, { body: sampleBody({ CloudCustomData: 'x'.repeat(300_000) }) }),
    status: 413,
    outcome: 'rejected',
  },
  {
    name: 'cut',
    text: rawRequest().slice(0, -40),
    status: 400,
    outcome: 'rejected',
    note: /the body is cut: it has \d+ bytes, and Content-Length says \d+/,
  },
  {
    name: 'in chunks',
    text: rawRequest()
      .replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked')
      .replace('\r\n\r\n', '\r\n\r\n1a3\r\n'),
    status: 400,
    outcome: 'rejected',
    note: /the body is in chunks/,
  },
];
for (const { name, text, status, outcome, note } of requests) {
  explain(`of a whole request ${name}: how it is answered`, async () => {
    const { verdict, notes, code } = await explained(text);
    assert.equal([verdict.status, verdict.outcome, code], [status, outcome, status === 200 ? 0 : 1]);
    if (note !== undefined) assert.match(notes.join('\n'), note);
  });
}

const malformed: { name: string; body: string; words: RegExp }[] = [
  {
    name: "the sample of Tencent's page",
    body: sampleBody().replace(',"Type"', ', // the group\n"Type"').replace(',"EventTime"', '\n"EventTime"'),
    words:
      /has \/\/ comments, as the sample on Tencent's page.*remove them; without them it still is none: Expected ',' .*\(line \d+ column \d+\); Tencent's sample also lacks a comma before EventTime/,
  },
  {
    name: 'comments alone',
    body: sampleBody().replace(',"Type"', ', // the group\n"Type"'),
    words: /without them it is JSON/,
  },
  { name: 'a list', body: '["canary"]', words: /the body is JSON, but not an object/ },
  { name: 'nothing', body: ' \n', words: /the body is empty/ },
  { name: 'plain text', body: 'canary', words: /not JSON: a character stands where JSON has none/ },
  { name: 'a missing bracket', body: '{"canary":1', words: /Expected ',' or '}' .*\(line 1 column 12\)/ },
  {
    name: 'an address with slashes',
    body: '{"u":"http://canary" 1}',
    words: /^the body is not JSON: Expected/,
  },
];
for (const { name, body, words } of malformed) {
  explain(`of a body that is no JSON, ${name}: what is wrong, without a word of it`, async () => {
    const { code, verdict, notes, out, error } = await explained(body, signed);
    assert.equal([code, verdict.reason], [1, 'malformed']);
    assert.match(notes.join('\n'), words);
    assert.not.match(out + error, 'canary');
  });
}

explain('of a code outside the catalogue: that it keeps its number, up to a number of them', async () => {
  const { error_code, notes, series } = await explained(sampleBody({ ErrorCode: 10999 }), signed);
  assert.equal([error_code!.number, error_code!.name, error_code!.category], [10999, null, 'unknown']);
  assert.match(notes[0]!, '10999 is not in the catalogue');
  assert.match(series[0]!, 'error_code="10999"');
});

explain('of an exception that cannot be told from the next: that the whole body tells it', async () => {
  assert.is((await explained(sampleBody(), signed)).identity!.has_body, false);
  assert.is((await explained(sampleBody({ Random: undefined }), signed)).identity!.has_body, true);
});

explain('counts what the exporter counts', async () => {
  const exporter = await startExporter({ env });
  const body = sampleBody({
    ErrorCode: 80001,
    EventTime: 5,
    Type: 7,
    Operator_Account: 'administrator',
    MsgBody: [{ MsgType: 'TIMTextElem' }, { MsgType: 'TIMImageElem' }],
  });
  const query = signedQuery(Date.now(), sampleToken, { OptPlatform: 'iPad' });
  const scrape = async () =>
    (await exporter.get('/metrics')).body.split('\n').filter(line => / \d+$/.test(line));
  const before = new Set(await scrape());
  assert.is((await exporter.post(body, query)).status, 200);
  const risen = (await scrape()).filter(line => !before.has(line) && /^tencent_chat_\w+_total/.test(line));
  const { series } = await explained(body, ['--query', query], { startsAt: Date.now() });
  const own = risen
    .filter(line => !/^tencent_chat_(journal|telemetry)/.test(line))
    .map(line => line.replace(/ \d+$/, ''));
  assert.equal(series.sort(), own.sort());
  assert.is(series.length, 6);
});

const canaries = sampleBody({
  From_Account: 'canary-sender',
  Operator_Account: 'canary-operator',
  MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-text' } }, { MsgType: 'canary-type' }],
  CloudCustomData: 'canary-custom-data',
  'canary name': 1,
});
const canaryQuery = [
  '--query',
  signedQuery(sampleReceivedAt, 'canary-token', { ClientIP: '198.51.100.77', Customer: 'canary-parameter' }),
];

for (const format of [[], ['--json']]) {
  explain(`shows nothing private by default, ${format[0] ?? 'as text'}`, async () => {
    const given = { ...env, CALLBACK_TOKENS: 'canary-token' };
    const { code, out, error } = await runCommand(['explain', ...format, ...canaryQuery], {
      env: given,
      startsAt: sampleReceivedAt,
      input: canaries,
    });
    assert.is(code, 0);
    assert.not.match(out + error, /canary|198\.51\.100\.77/);
  });

  explain(`shows what the settings let out, and no token, ${format[0] ?? 'as text'}`, async () => {
    const { out, error } = await runCommand(['explain', ...format, ...canaryQuery], {
      env: {
        ...env,
        CALLBACK_TOKENS: 'canary-token',
        USER_IDS: 'plain',
        MESSAGE_CONTENT: 'included',
      },
      startsAt: sampleReceivedAt,
      input: canaries,
    });
    for (const word of ['canary-sender', 'canary-operator', 'canary-text', '198.51.100.77']) {
      assert.ok(out.includes(word), word);
    }
    assert.not.match(out + error, /canary-(token|custom|parameter|type)|canary name/);
  });

  explain(`lets nothing in a callback steer the terminal, ${format[0] ?? 'as text'}`, async () => {
    const body = sampleBody({ GroupId: 'a\u001b[2Jb\u202ec\u0085d\u2028', ErrorInfo: '\r\nAnswer 200' });
    const { out } = await runCommand(['explain', ...format, ...signed], {
      env,
      startsAt: sampleReceivedAt,
      input: body,
    });
    assert.not.match(out.replaceAll('\n', ''), /[\p{Cc}\p{Zl}\p{Bidi_Control}]/u);
    assert.match(out, 'u001b');
  });
}

explain('fits the terminal, but for the series, which are to be copied', async () => {
  for (const columns of [60, 80, 120]) {
    const { out } = await runCommand(['explain', ...signed], {
      env,
      startsAt: sampleReceivedAt,
      input: sampleBody({ Random: undefined, ErrorCode: 10010 }),
      columns,
    });
    assertFits(out.replaceAll(/^ {2}tencent_chat_.*\n/gm, ''), columns);
    assert.match(out, 'Series that go up by 1');
  }
});

explain('reads a file, standard input when there is none, and says so to a person', async () => {
  const files = { 'body.json': sampleBody() };
  const fromFile = await runCommand(['explain', 'body.json', ...signed], {
    env,
    files,
    startsAt: sampleReceivedAt,
  });
  const input = { env, input: sampleBody(), startsAt: sampleReceivedAt };
  const fromInput = await runCommand(['explain', ...signed], { ...input, isInputTerminal: true });
  const fromDash = await runCommand(['explain', '-', ...signed], input);
  assert.is(fromFile.out, fromInput.out);
  assert.is(fromFile.out, fromDash.out);
  assert.match(fromInput.error, 'end with Ctrl-D');
  assert.is(fromDash.error, '');
});

for (const { args, input = '', words } of [
  { args: ['none.json'], words: /"none.json" cannot be read \(ENOENT\)/ },
  { args: ['--query', 'a=1', '--url', 'http://x/'], words: /cannot be used with option/ },
  { args: ['--query', 'a=1'], input: rawRequest(), words: /leave out --url and --query/ },
  { args: ['--token-file', '-'], words: /either the token or the callback/ },
]) {
  explain(`refuses with 2: ${args.join(' ')}`, async () => {
    const { code, out, error } = await runCommand(['explain', ...args], { env, input });
    assert.equal([code, out], [2, '']);
    assert.match(error, words);
  });
}

explain('refuses wrong settings', async () => {
  const { code, error } = await runCommand(['explain'], { env: { ...env, USER_IDS: 'all' }, input: '{}' });
  assert.is(code, 2);
  assert.match(error, 'USER_IDS expects');
});

explain('prints JSON with the documented keys', async () => {
  const outputs = [
    await explained(sampleBody(), ['--query', signedQuery(sampleReceivedAt, 'another')]),
    await explained('no', signed),
  ];
  assertJsonKeys(
    explainJson,
    outputs.map(({ out }) => out),
  );
});

explain.run();
