/**
 * Canaries in every place where something private can stand, and a search in every place where it could come out:
 * output, metrics, status page and its JSON, OTLP as bytes, the journal's files, what is told of them, answers.
 */
import { hash } from 'node:crypto';
import { globSync, readFileSync, statSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runJournal } from '../commands/world.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { send } from '../support/request.ts';
import { sampleBody, signedQuery } from '../support/samples.ts';

const privacy = suite('private');
privacy.after.each(cleanUp);

const token = 'canary-token';
const sender = 'canary-sender';
const clientAddress = '198.51.100.77';
const malformedText = 'canary-malformed';

/** Every element type that Tencent documents, and one that it does not; each canary is named after its place. */
const message = [
  { MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-text' } },
  { MsgType: 'TIMLocationElem', MsgContent: { Desc: 'canary-location', Latitude: 1, Longitude: 2 } },
  { MsgType: 'TIMFaceElem', MsgContent: { Index: 1, Data: 'canary-face' } },
  {
    MsgType: 'TIMCustomElem',
    MsgContent: { Data: 'canary-custom', Desc: 'canary-desc', Ext: 'canary-ext', Sound: 'canary-sound' },
  },
  { MsgType: 'TIMSoundElem', MsgContent: { Url: 'https://canary-voice/', UUID: 'canary-voice-id', Size: 1 } },
  {
    MsgType: 'TIMImageElem',
    MsgContent: { UUID: 'canary-image-id', ImageInfoArray: [{ URL: 'https://canary-image/?sig=canary' }] },
  },
  { MsgType: 'TIMFileElem', MsgContent: { Url: 'https://canary-file/', FileName: 'canary-file.txt' } },
  {
    MsgType: 'TIMVideoFileElem',
    MsgContent: { VideoUrl: 'https://canary-video/', ThumbUrl: 'canary-thumb' },
  },
  { MsgType: 'TIMRelayElem', MsgContent: { Title: 'canary-relay', MsgList: [{ Text: 'canary-relayed' }] } },
  { MsgType: 'TIMStreamElem', MsgContent: { Chunks: ['canary-stream'] } },
  { MsgType: 'TIMOddElem', MsgContent: 'canary-odd' },
  { MsgType: 'canary-type', MsgContent: null },
];

const privateFields = {
  From_Account: sender,
  Operator_Account: 'canary-operator',
  MsgBody: message,
  CloudCustomData: 'canary-custom-data',
  MsgPriority: 'canary-unknown-field',
  GroupAtInfo: [{ GroupAtAllFlag: 0, GroupAt_Account: 'canary-at' }],
};

/** Fields of odd types and in odd places. */
const oddFields: Record<string, unknown>[] = [
  {
    From_Account: { deep: 'canary-deep' },
    Operator_Account: ['canary-list'],
    CloudCustomData: { a: 'canary-b' },
  },
  { MsgBody: 'canary-message', From_Account: 'canary-'.repeat(100) },
  { MsgBody: { MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-no-list' } } },
  { MsgBody: [['canary-nested'], 'canary-bare', { MsgType: ['canary-type-list'] }] },
  { MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: { toString: 'canary-text-object' } } }] },
  { Type: 'canary-group-type', ErrorCode: 'canary-code', EventTime: 'canary-time', Random: 'canary-random' },
  { CallbackCommand: 'canary-command', OnlineOnlyFlag: 'canary-flag', ErrorCode: ['canary-codes'] },
  { ...JSON.parse('{"__proto__":{"canary":1}}'), constructor: { prototype: 'canary-prototype' } },
];

const canaryParameters = {
  ClientIP: clientAddress,
  Customer: 'canary-parameter',
  RequestID: 'canary-request',
};

interface Everything {
  collector: OtlpReceiver;
  /** What came out, by the place where it did. */
  output(): Promise<Record<string, Buffer>>;
}

/** Sends canaries in every way there is, and has all of it delivered; before that, the journal holds it. */
async function sendCanaries(env: Record<string, string> = {}): Promise<Everything> {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  // Undelivered for now, so that the journal's files are looked at while they hold the records.
  collector.behave({ type: 'status', status: 503 });
  const exporter = await startExporter({
    env: {
      CALLBACK_TOKENS: token,
      LOG_LEVEL: 'debug',
      OTEL_LOG_LEVEL: 'debug',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_TIMEOUT: '1000',
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=canary-collector-token',
      ...env,
    },
  });
  let answers = '';
  const post = async (status: number, body: string, query: string, headers: Record<string, string> = {}) => {
    const answer = await exporter.post(body, query, { headers });
    assert.is(answer.status, status, query);
    answers += JSON.stringify(answer.headers) + answer.body;
  };
  const query = (overrides: Record<string, string | undefined> = {}) =>
    signedQuery(Date.now(), token, { ...canaryParameters, ...overrides });

  const callerHeaders = {
    Cookie: 'canary-cookie',
    Authorization: 'canary-login',
    'User-Agent': 'canary-agent',
  };
  await post(200, sampleBody(privateFields), query(), callerHeaders);
  await post(200, sampleBody(privateFields), query());
  for (const [index, fields] of oddFields.entries()) {
    await post(200, sampleBody({ ...privateFields, Random: index, ...fields }), query());
  }
  await post(200, sampleBody({ ...privateFields, Random: 50 }), query({ OptPlatform: 'canary-platform' }));
  await post(200, sampleBody({ ...privateFields, Random: 51 }), query({ ClientIP: 'canary-address' }));
  await post(200, sampleBody(privateFields), query({ CallbackCommand: 'canary.Command' }));
  await post(
    200,
    sampleBody({ ...privateFields, CallbackCommand: 'canary.Body' }),
    query({ CallbackCommand: undefined }),
  );
  const count = 1 + oddFields.length + 2;

  await post(400, `{"From_Account":"${malformedText}`, query());
  await post(400, `["${malformedText}"]`, query());
  await post(413, sampleBody({ ...privateFields, CloudCustomData: 'canary'.repeat(50_000) }), query());
  await post(415, sampleBody(privateFields), query(), { 'Content-Encoding': 'canary-encoding' });
  await post(403, sampleBody(privateFields), query({ SdkAppid: 'canary-app' }));
  await post(401, sampleBody(privateFields), query({ Sign: 'canary-sign' }));
  await post(401, sampleBody(privateFields), query({ RequestTime: 'canary-request-time' }));
  for (const [path, method] of [
    ['canary-path', 'POST'],
    ['', 'PUT'],
  ] as const) {
    const url = `${exporter.callbackUrl}${path}?${query()}`;
    const { status, headers, body } = await send(url, { method, body: sampleBody(privateFields) });
    assert.is(status, method === 'POST' ? 404 : 405);
    answers += JSON.stringify(headers) + body;
  }
  // While delivery fails: its failures are logged, too.
  await collector.until(() => collector.requests.traces > 0 && collector.requests.logs > 0);
  await until(async () => exporter.stdout.includes('delivery failed'), 'a failure in the log');
  const journalBefore = readJournal(exporter);
  // One is refused for good: what dead letters tell and keep counts as well.
  let poison: string | undefined;
  collector.behave(({ records }) => {
    poison ??= records[0]!.traceId;
    const isPoisoned = records.some(({ traceId }) => traceId === poison);
    return isPoisoned ? { type: 'status', status: 400 } : { type: 'accept' };
  });
  await until(async () => {
    const metrics = await exporter.metrics();
    const done = (name: string) => metrics.sum(`tencent_chat_telemetry_${name}_total`);
    return done('dead_letters') === 2 && done('delivered') === 2 * (count - 1);
  }, 'all to be delivered or refused');

  return {
    collector,
    async output() {
      const page = async (path: string, headers?: Record<string, string>) =>
        Buffer.from((await exporter.get(path, headers)).body);
      const places: Record<string, Buffer> = {
        answers: Buffer.from(answers),
        metrics: await page('/metrics'),
        openmetrics: await page('/metrics', { Accept: 'application/openmetrics-text; version=1.0.0' }),
        'status page': await page('/'),
        'api status': await page('/api/status'),
        otlp: Buffer.concat(collector.rawBodies),
      };
      const journalAfter = readJournal(exporter);
      const asked = async (...args: string[]) =>
        Buffer.from((await runJournal(exporter.journal, args)).out.padEnd(101));
      places['journal export'] = await asked('export');
      places['journal stats'] = await asked('stats', '--json');
      places['journal verify'] = await asked('verify');
      places['journal dead-letters'] = await asked('dead-letters', 'list', '--json');
      assert.equal(await exporter.kill('SIGTERM'), { code: 0, signal: null });
      return {
        ...places,
        journal: Buffer.concat([journalBefore, journalAfter, readJournal(exporter)]),
        stdout: Buffer.from(exporter.stdout),
        stderr: Buffer.from(exporter.stderr),
      };
    },
  };
}

/** All of the journal's files, the write-ahead log among them. */
function readJournal(exporter: Exporter): Buffer {
  const files = globSync(`${exporter.journal}*`).filter(file => statSync(file).isFile());
  return Buffer.concat(files.map(file => readFileSync(file)));
}

/** Where it stands: up to ten surroundings of it. */
function findAll(text: Buffer, word: string): string[] {
  const found: string[] = [];
  for (let at = text.indexOf(word); at >= 0 && found.length < 10; at = text.indexOf(word, at + 1)) {
    found.push(text.toString('latin1', Math.max(0, at - 20), at + 40));
  }
  return found;
}

privacy('by default nothing private comes out anywhere, and the journal holds none of it', async () => {
  const { output } = await sendCanaries();
  const plainHashes = ['sha256', 'sha1', 'md5'].flatMap(algorithm => [
    hash(algorithm, sender, 'hex').slice(0, 12),
    hash(algorithm, sender, 'buffer').subarray(0, 6).toString('latin1'),
  ]);
  for (const [place, text] of Object.entries(await output())) {
    for (const word of ['canary', clientAddress, ...plainHashes]) {
      assert.equal(findAll(text, word), [], `${word} in ${place}`);
      const asBase64 = Buffer.from(word).toString('base64').slice(0, 8);
      assert.equal(findAll(text, asBase64), [], `${word} as base64 in ${place}`);
    }
    if (place !== 'stderr') assert.ok(text.length > 100, `something was looked at: ${place}`);
  }
});

privacy('the settings let out what they name, there and only there', async () => {
  const { output, collector } = await sendCanaries({ USER_IDS: 'plain', MESSAGE_CONTENT: 'included' });
  const found = await output();
  const places = (word: string) =>
    Object.entries(found)
      .filter(([, text]) => text.includes(word))
      .map(([place]) => place)
      .sort();

  assert.equal(places('canary-text'), ['journal', 'journal export', 'otlp']);
  assert.equal(places(sender), ['journal', 'journal export', 'otlp']);
  assert.equal(places(clientAddress), ['journal', 'journal export', 'otlp']);
  assert.equal(places(malformedText), ['api status', 'status page']);

  for (const { attributes } of [...collector.spans, ...collector.logRecords]) {
    if (attributes['user.id'] !== undefined) assert.match(String(attributes['user.id']), /^canary-/);
    assert.is(attributes['user.hash'], undefined);
  }
  assert.ok(
    collector.logRecords.some(({ attributes }) => attributes['tencent_chat.message.text'] === 'canary-text'),
  );
  assert.ok(collector.spans.every(({ attributes }) => attributes['tencent_chat.message.text'] === undefined));
  assert.ok(collector.spans.some(({ attributes }) => attributes['client.address'] === clientAddress));

  // No setting lets these out.
  for (const word of [
    token,
    'canary-sign',
    'canary-collector-token',
    'canary-operator',
    'canary-custom',
    'canary-location',
    'canary-image',
    'canary-unknown-field',
    'canary-parameter',
    'canary-cookie',
    'canary-path',
  ]) {
    assert.equal(places(word), [], word);
  }
});

privacy('user IDs can be left out altogether', async () => {
  const { output, collector } = await sendCanaries({ USER_IDS: 'omitted' });
  for (const { attributes } of [...collector.spans, ...collector.logRecords]) {
    const names = Object.keys(attributes).filter(name => /^(user|client)\./.test(name));
    assert.equal(names, []);
  }
  for (const [place, text] of Object.entries(await output())) {
    assert.equal(findAll(text, 'canary'), [], place);
  }
});

privacy('the same user has one hash in one journal, and another in the next', async () => {
  const hashes = async (): Promise<Set<unknown>> => {
    const { collector } = await sendCanaries();
    const own = collector.spans.filter(({ attributes }) => attributes['error.type'] === '10023');
    return new Set(own.map(({ attributes }) => attributes['user.hash']).filter(found => found !== undefined));
  };
  const [first, second] = [await hashes(), await hashes()];
  assert.ok(first.size >= 1);
  assert.ok(first.isDisjointFrom(second));
});

privacy.run();
