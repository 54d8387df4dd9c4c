/** The library inside an app: real Koa, real HTTP, a SQLite journal on disk. */
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { bodyParser as koaOwnBodyParser } from '@koa/bodyparser';
import Router from '@koa/router';
import Koa from 'koa';
import { koaBody } from 'koa-body';
import bodyParser from 'koa-bodyparser';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RejectionReason } from '../../src/callback/exception.ts';
import { failureAnswer, okAnswer, rejectionAnswers } from '../../src/http/answers.ts';
import { createCallbackMiddleware } from '../../src/http/middleware.ts';
import type { Receiver } from '../../src/http/receive.ts';
import {
  type ExceptionCallbacks,
  type ExceptionCallbacksOptions,
  exceptionCallbacks,
} from '../../src/index.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { exceptionsTotal, Samples } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { promtoolCheckMetrics, until } from '../support/prometheus.ts';
import { openSocket } from '../support/raw-socket.ts';
import { type RequestOptions, type Response, send } from '../support/request.ts';
import { sampleBody, sampleBodyWith, sampleQuery, sampleSdkAppId, signedQuery } from '../support/samples.ts';
import { exceptionCount, newLog, newReceiver, outcomes, type ReceiverSettings } from './fixtures.ts';

const mount: (path: string, middleware: Koa.Middleware | Koa.Middleware[]) => Koa.Middleware = createRequire(
  import.meta.url,
)('koa-mount');

const token = 'a-token-of-the-console';
const json = { 'Content-Type': 'application/json' };
const beforeSend = 'Group.CallbackBeforeSendMsg';

/** What the app's own handler got, and what came to its error handler. */
interface App {
  url: string;
  koa: Koa;
  handed: { path: string; body: unknown; rawBody: unknown; read: string }[];
  errors: Error[];
  post(path: string, body: string | Buffer, query: string, options?: RequestOptions): Promise<Response>;
}

/** An app whose own handler, after all that `build` uses, reads what is left of each body and says so. */
async function startApp(build: (koa: Koa) => void): Promise<App> {
  const koa = new Koa();
  const app: Pick<App, 'handed' | 'errors'> = { handed: [], errors: [] };
  koa.on('error', error => app.errors.push(error));
  build(koa);
  koa.use(async ctx => {
    const { body, rawBody } = ctx.request;
    const read = await text(ctx.req);
    app.handed.push({ path: ctx.path, body, rawBody, read });
    ctx.body = { ActionStatus: 'OK', ErrorInfo: 'by the app', ErrorCode: 0 };
  });
  const server = createServer(koa.callback()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanUp(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...app,
    koa,
    url,
    post: (path, body, query, options) =>
      send(`${url}${path}?${query}`, { method: 'POST', body, ...options }),
  };
}

interface Library extends ExceptionCallbacks {
  journal: string;
  logLines: string[];
  samples(): Promise<Samples>;
}

async function open({
  journal = join(temporaryDirectory(), 'journal.db'),
  ...options
}: Partial<ExceptionCallbacksOptions> = {}): Promise<Library> {
  const logLines: string[] = [];
  const exceptions = await exceptionCallbacks({
    sdkAppIds: sampleSdkAppId,
    callbackTokens: token,
    journal: journal.includes(':') ? journal : `sqlite:${journal}`,
    env: {},
    log: (level, message, fields) => logLines.push(`${level} ${message} ${JSON.stringify(fields)}`),
    ...options,
  });
  onCleanUp(() => exceptions.close());
  let url: string | undefined;
  return {
    ...exceptions,
    journal,
    logLines,
    async samples() {
      url ??= (await startApp(koa => koa.use(exceptions.metrics))).url;
      return new Samples((await send(url)).body);
    },
  };
}

const signed = (overrides?: Record<string, string | undefined>) => signedQuery(Date.now(), token, overrides);

function isOurs({ body }: Response): boolean {
  return !body.includes('by the app');
}

/** Every callback has one outcome; by outcome. */
async function outcomesOf(library: Library): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { labels, value } of (await library.samples()).list('tencent_chat_callbacks_total')) {
    if (value > 0) found[labels.outcome!] = (found[labels.outcome!] ?? 0) + value;
  }
  return found;
}

const middleware = suite('middleware');
middleware.after.each(cleanUp);

middleware('counts an exception once, answers it as the exporter does, and knows it again', async () => {
  const library = await open();
  const { post, handed } = await startApp(koa => koa.use(library.middleware));
  for (const _ of ['first', 'again']) {
    const { status, body, headers } = await post('/', sampleBody(), signed());
    assert.equal([status, body], [200, okAnswer.body]);
    assert.is(headers['content-type'], 'application/json');
    assert.is(headers['content-length'], String(okAnswer.body.length));
  }
  const samples = await library.samples();
  assert.equal(
    samples.list(exceptionsTotal).map(({ labels, value }) => [labels.error_code, labels.platform, value]),
    [['10023', 'Android', 1]],
  );
  assert.equal(await outcomesOf(library), { counted: 1, duplicate: 1 });
  assert.equal(handed, []);
});

middleware('hands on all that is no exception, unread and uncounted', async () => {
  const library = await open();
  library.logLines.length = 0;
  const { post, handed, url } = await startApp(koa => koa.use(library.middleware));
  const body = sampleBody({ CallbackCommand: beforeSend });
  const queries = [
    signed({ CallbackCommand: beforeSend }),
    // Not even its signature is looked at: that is the app's affair.
    sampleQuery({ CallbackCommand: beforeSend, SdkAppid: '999', Sign: 'wrong' }),
    sampleQuery({ CallbackCommand: 'Group.callbackSendMsgException' }),
    'a=b',
    '',
  ];
  for (const query of queries) assert.not(isOurs(await post('/', body, query)));
  const chunked = { headers: { 'Transfer-Encoding': 'chunked', 'Content-Encoding': 'gzip' } };
  assert.not(isOurs(await post('/', gzipSync(body), queries[0]!, chunked)));
  const long = 'x'.repeat(300_000);
  assert.not(isOurs(await post('/', long, queries[0]!)));
  for (const method of ['GET', 'PUT']) assert.not(isOurs(await send(`${url}/?${signed()}`, { method })));

  assert.equal(
    handed.map(({ read }) => read),
    [...queries.map(() => body), gzipSync(body).toString(), long, '', ''],
  );
  assert.equal(await outcomesOf(library), {});
  assert.equal(library.logLines, []);
});

/** What may stand before the middleware, with what is left of a body for it. */
const parsers: Record<string, () => Koa.Middleware> = {
  'koa-bodyparser': () => bodyParser(),
  '@koa/bodyparser': () => koaOwnBodyParser() as Koa.Middleware,
  'koa-body, which keeps fields only': () => koaBody() as unknown as Koa.Middleware,
  'koa-body with includeUnparsed': () => koaBody({ includeUnparsed: true }) as unknown as Koa.Middleware,
  'a reader of bytes': () => async (ctx, next) => {
    ctx.request.body = Buffer.from(await text(ctx.req));
    await next();
  },
  'a reader of text': () => async (ctx, next) => {
    ctx.request.body = await text(ctx.req);
    await next();
  },
};

for (const [name, parser] of Object.entries(parsers)) {
  middleware(`takes an exception after ${name} for the same as before it`, async () => {
    const library = await open();
    const { post, handed } = await startApp(koa =>
      koa.use(mount('/before', library.middleware)).use(parser()).use(library.middleware),
    );
    const tencents = { headers: json };
    assert.is((await post('/before', sampleBody(), signed(), tencents)).status, 200);
    assert.is((await post('/after', sampleBody(), signed(), tencents)).status, 200);
    assert.equal(await outcomesOf(library), { counted: 1, duplicate: 1 });
    // Without a Content-Type, as in Tencent's sample: parsers then leave the body unread.
    assert.is((await post('/after', sampleBody({ Random: 2 }), signed())).status, 200);
    const chunked = { headers: { ...json, 'Transfer-Encoding': 'chunked' } };
    assert.is((await post('/after', sampleBody({ Random: 3 }), signed(), chunked)).status, 200);
    assert.equal(await outcomesOf(library), { counted: 3, duplicate: 1 });
    assert.is(
      (await library.samples()).sum(exceptionsTotal, { error_code: '10023', group_type: 'Public' }),
      3,
    );
    assert.equal(handed, []);
  });

  middleware(`finds the command in the body after ${name}, where the URL names none`, async () => {
    const library = await open();
    const { post, handed } = await startApp(koa => koa.use(parser()).use(library.middleware));
    const query = signed({ CallbackCommand: undefined });
    const ours = await post('/', sampleBody(), query, { headers: json });
    assert.equal([ours.status, isOurs(ours)], [200, true]);
    const other = await post('/', sampleBody({ CallbackCommand: beforeSend }), query, { headers: json });
    assert.not(isOurs(other));
    assert.not(isOurs(await post('/', '[]', query, { headers: json })));
    assert.is(handed.length, 2);
    assert.equal(await outcomesOf(library), { counted: 1 });
  });
}

middleware('hands on an unread body where the URL names no command, whatever is in it', async () => {
  const library = await open();
  const { post, handed } = await startApp(koa => koa.use(library.middleware));
  for (const CallbackCommand of [undefined, '']) {
    assert.not(isOurs(await post('/', sampleBody(), signed({ CallbackCommand }))));
  }
  assert.equal(
    handed.map(({ read }) => read),
    [sampleBody(), sampleBody()],
  );
  assert.equal(await outcomesOf(library), {});
});

middleware(
  'from fields alone it cannot tell numbers apart that differ from 2^53 on; from text it can',
  async () => {
    const library = await open();
    const { post } = await startApp(koa =>
      koa
        .use(mount('/fields', [koaBody() as never, library.middleware]))
        .use(mount('/text', [bodyParser(), library.middleware])),
    );
    const postBoth = async (path: string) => {
      for (const digits of ['9007199254740993', '9007199254740992']) {
        const body = sampleBodyWith('Random', digits);
        assert.is((await post(path, body, signed(), { headers: json })).status, 200);
      }
    };
    await postBoth('/fields');
    assert.equal(await outcomesOf(library), { counted: 1, duplicate: 1 });
    // One of them looks as the fields did when they were written out again.
    await postBoth('/text');
    assert.equal(await outcomesOf(library), { counted: 2, duplicate: 2 });
  },
);

/** Refusals: what is sent, and why it is refused. */
const refused: {
  reason: RejectionReason;
  name: string;
  query: () => string;
  body: string | Buffer;
  headers?: Record<string, string>;
}[] = [
  {
    reason: 'signature',
    name: 'a wrong signature',
    query: () => signed({ Sign: '0'.repeat(64) }),
    body: sampleBody(),
  },
  { reason: 'signature', name: 'no signature', query: () => sampleQuery(), body: sampleBody() },
  {
    reason: 'stale',
    name: 'an old time',
    query: () => signedQuery(Date.now() - 120_000, token),
    body: sampleBody(),
  },
  {
    reason: 'sdk_app_id',
    name: 'a foreign app',
    query: () => signed({ SdkAppid: '999' }),
    body: sampleBody(),
  },
  {
    reason: 'encoding',
    name: 'a compressed body',
    query: signed,
    body: gzipSync(sampleBody()),
    headers: { 'Content-Encoding': 'gzip' },
  },
  {
    reason: 'too_large',
    name: 'a large body',
    query: signed,
    body: sampleBody({ CloudCustomData: 'x'.repeat(2 ** 18) }),
  },
  {
    reason: 'too_large',
    name: 'a large body in chunks',
    query: signed,
    body: sampleBody({ CloudCustomData: 'x'.repeat(2 ** 18) }),
    headers: { 'Transfer-Encoding': 'chunked' },
  },
  { reason: 'malformed', name: 'a list', query: signed, body: '[]' },
];

for (const { reason, name, query, body, headers = {} } of refused) {
  middleware(
    `refuses ${name} as the exporter does, before and after a body parser, and never hands it on`,
    async () => {
      const library = await open();
      const { post, handed, errors } = await startApp(koa =>
        koa.use(mount('/before', library.middleware)).use(bodyParser()).use(library.middleware),
      );
      for (const path of ['/before', '/after']) {
        const answer = await post(path, body, query(), { headers: { ...json, ...headers } });
        const wanted = rejectionAnswers[reason];
        assert.equal([answer.status, answer.body], [wanted.status, wanted.body]);
        for (let index = 0; index < wanted.headers.length; index += 2) {
          assert.is(answer.headers[wanted.headers[index]!.toLowerCase()], wanted.headers[index + 1]);
        }
      }
      assert.equal(await outcomesOf(library), { rejected: 2 });
      assert.is((await library.samples()).sum('tencent_chat_callbacks_rejected_total', { reason }), 2);
      assert.equal(
        library.status().rejections.map(rejection => rejection.reason),
        [reason, reason],
      );
      assert.equal(handed, []);
      assert.equal(errors, []);
    },
  );
}

middleware('refuses a body that is no JSON', async () => {
  const library = await open();
  const { post } = await startApp(koa => koa.use(library.middleware));
  const { status, body } = await post('/', 'canary {', signed());
  assert.equal([status, body], [400, rejectionAnswers.malformed.body]);
});

middleware('takes callbacks at its path only, as Koa has it under a mount and in a router', async () => {
  const library = await open({ path: '/tencent' });
  const anywhere = await open();
  const router = new Router({ prefix: '/router' });
  router.post('/callback', anywhere.middleware);
  const { post, handed } = await startApp(koa =>
    koa
      .use(library.middleware)
      .use(mount('/mounted', library.middleware))
      .use(mount('/anywhere', anywhere.middleware))
      .use(router.routes()),
  );
  let number = 0;
  const taken = async (path: string) => {
    number += 1;
    return isOurs(await post(path, sampleBody({ Random: number }), signed()));
  };
  for (const path of ['/tencent', '/mounted/tencent', '/anywhere', '/anywhere/else', '/router/callback']) {
    assert.is(await taken(path), true, path);
  }
  for (const path of ['/', '/tencent/', '/tencent/more', '/mounted', '/router/callback/more']) {
    assert.is(await taken(path), false, path);
  }
  assert.is(handed.length, 5);
  assert.equal([await outcomesOf(library), await outcomesOf(anywhere)], [{ counted: 2 }, { counted: 3 }]);
});

middleware('answers a scrape: text, OpenMetrics, and each new series at 0 first to a scraper', async () => {
  const library = await open();
  const router = new Router();
  router.get('/metrics', library.metrics);
  const { post, url } = await startApp(koa => koa.use(library.middleware).use(router.routes()));
  const scrape = (headers: Record<string, string> = {}) => send(`${url}/metrics`, { headers });
  const scraper = { 'X-Prometheus-Scrape-Timeout-Seconds': '10', 'User-Agent': 'Prometheus/3.5.0' };
  const seen = async (headers?: Record<string, string>) =>
    new Samples((await scrape(headers)).body).sum(exceptionsTotal);
  await scrape(scraper);
  await post('/', sampleBody(), signed());
  assert.equal([await seen(), await seen(scraper), await seen(scraper)], [1, 0, 1]);

  const asText = await scrape();
  assert.match(asText.headers['content-type']!, /^text\/plain; version=0\.0\.4/);
  assert.is(promtoolCheckMetrics(asText.body), '');
  const openMetrics = await scrape({ Accept: 'application/openmetrics-text; version=1.0.0' });
  assert.match(openMetrics.headers['content-type']!, /^application\/openmetrics-text/);
  assert.match(openMetrics.body, /# EOF\n$/);
  assert.match(openMetrics.body, /trace_id=/);
});

middleware('a restart keeps totals, and knows an exception again', async () => {
  const before = await open();
  const first = await startApp(koa => koa.use(before.middleware));
  await first.post('/', sampleBody(), signed());
  await before.close();

  const after = await open({ journal: before.journal });
  const second = await startApp(koa => koa.use(after.middleware));
  assert.is((await after.samples()).sum(exceptionsTotal), 1);
  await second.post('/', sampleBody(), signed());
  await second.post('/', sampleBody({ Random: 2 }), signed());
  assert.is((await after.samples()).sum(exceptionsTotal), 2);
  assert.equal(await outcomesOf(after), { counted: 1, duplicate: 1 });
});

middleware('two in one process know nothing of each other, and one journal is not for both', async () => {
  const one = await open({ sdkAppIds: [1400000001] });
  const two = await open({ sdkAppIds: [1400000002], callbackTokens: ['1400000002:another'] });
  const { post } = await startApp(koa =>
    koa.use(mount('/one', one.middleware)).use(mount('/two', two.middleware)),
  );
  assert.is((await post('/one', sampleBody(), signed())).status, 200);
  const other = signedQuery(Date.now(), 'another', { SdkAppid: '1400000002' });
  assert.is((await post('/two', sampleBody({ ErrorCode: 80001 }), other)).status, 200);
  assert.is((await post('/two', sampleBody(), signed())).status, 403);
  const codes = async (library: Library) =>
    (await library.samples()).list(exceptionsTotal).map(({ labels }) => labels.error_code);
  assert.equal([await codes(one), await codes(two)], [['10023'], ['80001']]);
  assert.equal(await outcomesOf(one), { counted: 1 });
  assert.equal(await outcomesOf(two), { counted: 1, rejected: 1 });
  for (const library of [one, two]) {
    assert.is((await library.samples()).list('process_start_time_seconds').length, 1);
  }
  await one.close();
  assert.is((await post('/two', sampleBody({ Random: 9 }), other)).status, 200);

  const problem = await open({ journal: two.journal }).then(
    () => 'none',
    ({ message }: Error) => message,
  );
  assert.match(problem, `${two.journal} is in use by another process`);
});

middleware(
  'close under load loses nothing that was answered, and what comes later is refused, not handed on',
  async () => {
    const library = await open();
    const { url, handed, post } = await startApp(koa => koa.use(library.middleware));
    const oracle = new Oracle({ seed: 1, query: signed });
    oracle.start(url);
    await until(async () => oracle.answeredCount > 300, '300 answers');
    const closed = library.close();
    await closed;
    assert.is(library.close(), closed, 'closing again is the same');
    const late = await post('/', sampleBody(), signed());
    assert.equal([late.status, late.body], [503, rejectionAnswers.overload.body]);
    assert.is(late.headers['retry-after'], '1');
    assert.is(
      (await post('/', sampleBody(), sampleQuery())).status,
      401,
      'whoever may not know learns nothing',
    );
    assert.not(isOurs(await post('/', '{}', signed({ CallbackCommand: beforeSend }))));
    await oracle.stop();
    assert.equal(
      [...oracle.refusals.keys()].filter(status => status !== 503),
      [],
    );
    assert.is(handed.length, 1);
    assert.is(library.status().callbacks.isReady, false);

    const { counted, duplicate, rejected } = await outcomesOf(library);
    assert.is(counted, oracle.acknowledged.size);
    assert.is(counted! + duplicate!, oracle.answeredCount);
    assert.is(rejected, (oracle.refusals.get(503) ?? 0) + 2);
    const reopened = await open({ journal: library.journal });
    assert.is((await reopened.samples()).sum(exceptionsTotal), oracle.acknowledged.size);
  },
);

middleware('close waits for a callback that is half sent, answers it, and not longer', async () => {
  const library = await open();
  const { url } = await startApp(koa => koa.use(library.middleware));
  const { socket, closed } = await openSocket(url);
  const body = sampleBody();
  const head = `POST /?${signed()} HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: ${body.length}`;
  socket.write(`${head}\r\n\r\n${body.slice(0, 50)}`);
  // Answered after the head before it was read, on a connection of its own.
  await send(`${url}/?${signed()}`, { method: 'POST', body: sampleBody({ Random: 2 }) });
  const startedAt = performance.now();
  const closing = library.close();
  assert.is((await send(`${url}/?${signed()}`, { method: 'POST', body })).status, 503);
  // More than the journal needs to close when nothing is waited for.
  await Promise.race([closing, delay(100)]);
  socket.write(body.slice(50));
  assert.match((await closed).text, /^HTTP\/1\.1 200 OK\r\n/);
  await closing;
  assert.ok(performance.now() - startedAt < 3_000);
  const reopened = await open({ journal: library.journal });
  assert.is((await reopened.samples()).sum(exceptionsTotal), 2);
});

middleware('close does not wait for ever, and what comes after it is refused', async () => {
  const library = await open();
  const { url } = await startApp(koa => koa.use(library.middleware));
  const { socket, closed } = await openSocket(url);
  const body = sampleBody();
  const head = `POST /?${signed()} HTTP/1.1\r\nHost: app\r\nConnection: close\r\nContent-Length: ${body.length}`;
  socket.write(`${head}\r\n\r\n${body.slice(0, 50)}`);
  await send(`${url}/?${signed()}`, { method: 'POST', body: sampleBody({ Random: 2 }) });
  await library.close(400);
  socket.write(body.slice(50));
  assert.match((await closed).text, /^HTTP\/1\.1 503 /);
  const reopened = await open({ journal: library.journal });
  assert.is((await reopened.samples()).sum(exceptionsTotal), 1);
});

middleware('delivers to the endpoint that env names, and reads no other variable', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_SERVICE_NAME: 'chat-app',
    SDK_APP_IDS: '7',
    CALLBACK_TOKENS_FILE: '/nowhere',
    REVISION: 'of-the-app',
  };
  const library = await open({ env, replica: 'app-1' });
  const { post } = await startApp(koa => koa.use(library.middleware));
  assert.is((await post('/', sampleBody(), signed())).status, 200);
  await until(async () => collector.spans.length > 0 && collector.logRecords.length > 0, 'delivery');
  const { resource } = collector.spans[0]!;
  assert.is(resource['service.name'], 'chat-app');
  assert.is(resource['service.instance.id'], 'app-1');
  assert.equal(
    library.status().delivery.map(({ signal }) => signal),
    ['traces', 'logs'],
  );
  const [build] = (await library.samples()).list('tencent_chat_exporter_build_info');
  assert.is(build!.labels.revision, '');
});

middleware('says what it knows of itself', async () => {
  const library = await open({ callbackTokens: [] });
  const status = library.status();
  assert.equal(
    [status.callbacks.isReady, status.tokens, status.sdkAppIds, status.callbacks.lastExceptionAt],
    [true, 0, [sampleSdkAppId], null],
  );
  assert.is(status.journal.location, library.journal);
  assert.match(library.logLines.join('\n'), /warn callbacks are NOT authenticated/);
});

middleware(
  'says after a restart what failed in the hour before, and what it said stays as it was',
  async () => {
    const first = await open();
    const { post } = await startApp(koa => koa.use(first.middleware));
    const before = first.status();
    assert.is((await post('/', sampleBody(), signed())).status, 200);
    assert.equal([before.callbacks.tally.counted, before.callbacks.tally.last], [0, null]);
    assert.is(first.status().callbacks.tally.counted, 1);
    assert.is(first.status().activity.exceptions, 1);
    await first.close();

    const second = await open({ journal: first.journal });
    await until(async () => second.status().activity.exceptions === 1, 'the hour before to be read back');
    const [latest] = second.status().activity.latest;
    assert.equal(latest?.labels, first.status().activity.latest[0]?.labels);
  },
);

/** What holds of it above a receiver whose journal and limits are in the test's hand. */
async function startMiddleware(
  settings: ReceiverSettings & { bodyWithinMs?: number; change?: (receiver: Receiver) => Receiver } = {},
  before: Koa.Middleware[] = [],
) {
  const { change = receiver => receiver, bodyWithinMs, ...receiverSettings } = settings;
  const setup = await newReceiver({ now: Date.now, tokens: [token], ...receiverSettings });
  const logLines: string[] = [];
  const own = createCallbackMiddleware({
    path: undefined,
    receiver: change(setup.receiver),
    log: newLog(logLines),
    bodyWithinMs,
  });
  const app = await startApp(koa => {
    for (const each of before) koa.use(each);
    koa.use(own);
  });
  return { ...setup, ...app, logLines };
}

const inside = suite('middleware, inside');
inside.after.each(cleanUp);

inside('refuses what is too much in flight, and takes the next again', async () => {
  const setup = await startMiddleware({ inFlight: { callbacksMax: 1, bytesMax: 2 ** 20 } });
  setup.journal.hold();
  const first = setup.post('/', sampleBody(), signed());
  await until(async () => setup.receiver.inFlight.callbacks === 1, 'the first in flight');
  const second = await setup.post('/', sampleBody({ Random: 2 }), signed());
  assert.equal([second.status, second.body], [503, rejectionAnswers.overload.body]);
  setup.journal.release();
  assert.is((await first).status, 200);
  assert.is((await setup.post('/', sampleBody({ Random: 2 }), signed())).status, 200);
  assert.equal(await outcomes(setup.metrics), { counted: 2, rejected: 1 });
});

inside('refuses after 1.5 s what is not stored by then, and counts it all the same', async () => {
  const setup = await startMiddleware();
  setup.journal.hold();
  const startedAt = performance.now();
  assert.is((await setup.post('/', sampleBody(), signed())).status, 503);
  const seconds = (performance.now() - startedAt) / 1000;
  assert.ok(seconds > 1.4 && seconds < 2, `${seconds} s`);
  setup.journal.release();
  await until(async () => (await exceptionCount(setup.metrics)) === 1, 'the exception to be counted');
  assert.is((await setup.post('/', sampleBody(), signed())).status, 200);
  assert.equal(await outcomes(setup.metrics), { rejected: 1, duplicate: 1 });
});

inside('goes on counting while the journal cannot be written', async () => {
  const setup = await startMiddleware();
  setup.journal.isBroken = true;
  assert.is((await setup.post('/', sampleBody(), signed())).status, 200);
  assert.is(await exceptionCount(setup.metrics), 1);
});

inside('a failure inside is answered 500, logged, and never thrown into the app', async () => {
  const change = (receiver: Receiver): Receiver => ({
    ...receiver,
    identifier: {
      ...receiver.identifier,
      identify() {
        throw new Error('a bug');
      },
    },
  });
  const setup = await startMiddleware({ change });
  const { status, body } = await setup.post('/', sampleBody({ From_Account: 'canary' }), signed());
  assert.equal([status, body], [500, failureAnswer.body]);
  assert.equal(setup.errors, []);
  assert.is(setup.logLines.length, 1);
  assert.match(setup.logLines[0]!, /this is a bug .*a bug/);
  assert.not.match(setup.logLines[0]!, 'canary');
});

inside('what the app throws is the app’s', async () => {
  const setup = await newReceiver();
  const own = createCallbackMiddleware({ path: undefined, receiver: setup.receiver, log: newLog([]) });
  const app = await startApp(koa =>
    koa.use(own).use(() => {
      throw new Error('of the app');
    }),
  );
  assert.is((await app.post('/', '{}', '')).status, 500);
  assert.equal(
    app.errors.map(({ message }) => message),
    ['of the app'],
  );
});

/** What an app's reader may leave that is no body. */
const spoilt: Record<string, Koa.Middleware> = {
  nothing: async (ctx, next) => {
    await text(ctx.req);
    await next();
  },
  'what is no JSON': async (ctx, next) => {
    await text(ctx.req);
    ctx.request.body = { canary: 1n };
    await next();
  },
};

for (const [left, reader] of Object.entries(spoilt)) {
  inside(
    `a body of which the app has left ${left} is answered 500, and the log says what to do`,
    async () => {
      const setup = await startMiddleware({}, [reader]);
      const { status, body } = await setup.post('/', sampleBody({ From_Account: 'canary' }), signed());
      assert.equal([status, body], [500, failureAnswer.body]);
      assert.equal(await outcomes(setup.metrics), {});
      assert.is(setup.logLines.length, 1);
      assert.match(
        setup.logLines[0]!,
        /^an exception was not counted: .* use the middleware before what reads bodies/,
      );
      assert.not.match(setup.logLines[0]!, 'canary');
      assert.is((await setup.post('/', sampleBody(), sampleQuery())).status, 401, 'a stranger writes no log');
      assert.is(setup.logLines.length, 1);
      assert.equal(setup.errors, []);
    },
  );
}

const head = (headers: string) => `POST /?${signed()} HTTP/1.1\r\nHost: app\r\n${headers}\r\n\r\n`;

inside('an aborted body leaves nothing in flight, nothing counted and no line in the log', async () => {
  const setup = await startMiddleware();
  for (const header of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
    const { socket } = await openSocket(setup.url);
    socket.write(`${head(header)}3\r\n{"a`);
    await until(async () => setup.receiver.inFlight.callbacks === 1, 'it in flight');
    socket.destroy();
    await until(async () => setup.receiver.inFlight.callbacks === 0, 'nothing in flight');
  }
  assert.equal(await outcomes(setup.metrics), {});
  assert.equal(setup.logLines, []);
});

inside('a sender that went away while the app was busy is not waited for', async () => {
  const busy: Koa.Middleware = async (ctx, next) => {
    await until(async () => ctx.req.destroyed, 'the sender to go');
    await next();
    left = true;
  };
  let left = false;
  const setup = await startMiddleware({}, [busy]);
  const { socket } = await openSocket(setup.url);
  socket.write(`${head('Content-Length: 1000')}{"a`);
  await delay(50);
  socket.destroy();
  await until(async () => left, 'the middleware to end');
  assert.is(setup.receiver.inFlight.callbacks, 0);
  assert.equal(setup.logLines, []);
});

inside('cuts a body that takes too long, also one in chunks', async () => {
  const setup = await startMiddleware({ bodyWithinMs: 200 });
  for (const header of ['Content-Length: 1000', 'Transfer-Encoding: chunked']) {
    const { socket, closed } = await openSocket(setup.url);
    socket.write(`${head(header)}3\r\n{"a`);
    const { text: received, seconds } = await closed;
    assert.is(received, '');
    assert.ok(seconds < 2, `${seconds} s`);
    assert.is(setup.receiver.inFlight.callbacks, 0);
  }
  assert.equal(await outcomes(setup.metrics), {});
  assert.equal(setup.logLines, []);
  // Koa tells an app of every connection that breaks.
  assert.equal(
    [...new Set(setup.errors.map(({ message }) => message))],
    ['the body of a callback took too long'],
  );
});

const privacy = suite('middleware, private');
privacy.after.each(cleanUp);

privacy('nothing private comes out in answers, metrics, status, log, errors and the journal', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const library = await open({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } });
  const { post, errors } = await startApp(koa =>
    koa
      .use(mount('/before', library.middleware))
      .use(koaBody() as never)
      .use(library.middleware),
  );
  const fields = {
    From_Account: 'canary-sender',
    Operator_Account: 'canary-operator',
    CloudCustomData: 'canary-data',
    MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'canary-text' } }],
  };
  const query = (overrides: Record<string, string> = {}) =>
    signed({ ClientIP: '198.51.100.77', Customer: 'canary-parameter', ...overrides });
  let answers = '';
  for (const path of ['/before', '/after']) {
    const requests: [body: string, query: string][] = [
      [sampleBody(fields), query()],
      [sampleBody({ ...fields, ErrorCode: 'canary-code', Type: { canary: 1 } }), query()],
      [sampleBody({ ...fields, CloudCustomData: 'canary'.repeat(50_000) }), query()],
      [JSON.stringify(['canary-list']), query()],
      [sampleBody(fields), query({ Sign: 'canary-sign' })],
      [sampleBody(fields), query({ SdkAppid: 'canary-app' })],
    ];
    for (const [body, queryString] of requests) {
      const answer = await post(path, body, queryString, { headers: json });
      answers += JSON.stringify(answer);
    }
  }
  await until(async () => collector.logRecords.length === 2, 'delivery');
  const { url } = await startApp(koa => koa.use(library.metrics));
  const metrics = JSON.stringify(await send(url));
  const status = JSON.stringify(library.status());
  await library.close();
  const places = {
    answers,
    metrics,
    status,
    log: `${library.logLines.join('\n')}${errors.join('\n')}`,
    journal: globSync(`${library.journal}*`)
      .map(file => readFileSync(file, 'latin1'))
      .join(''),
    otlp: Buffer.concat(collector.rawBodies).toString('latin1'),
  };
  for (const [place, found] of Object.entries(places)) {
    for (const word of ['canary', '198.51.100.77', token])
      assert.not.ok(found.includes(word), `${word} in ${place}`);
  }
  assert.ok(places.journal.length > 1_000 && places.otlp.length > 100);
});

middleware.run();
inside.run();
privacy.run();
