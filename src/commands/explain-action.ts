/** `explain`, at work: the callback goes through the exporter's own receive path, with nothing behind it. */
import { type Authenticate, createAuthenticator } from '../callback/authenticate.ts';
import { type CatalogueEntry, describeCode } from '../callback/catalogue.ts';
import { createClassifier } from '../callback/classify.ts';
import { commandLabel, exceptionCommand, urlCommand } from '../callback/commands.ts';
import type { Exception, ExceptionLabels, RejectionReason } from '../callback/exception.ts';
import { createIdentifier } from '../callback/identify.ts';
import { type CallbackParameters, parseParameters, repeated } from '../callback/parameters.ts';
import { bodyCommand, parseBody } from '../callback/parse.ts';
import type { Privacy } from '../callback/record.ts';
import { type Config, loadConfig, settings } from '../config.ts';
import { type Answer, methodAnswer, notFoundAnswer } from '../http/answers.ts';
import { bodyBytesMax } from '../http/callback-request.ts';
import { CallbackTally } from '../http/callback-tally.ts';
import { InFlight } from '../http/in-flight.ts';
import { countException, receive } from '../http/receive.ts';
import { Rejections } from '../http/rejections.ts';
import { escapeControls } from '../log.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { metricTable, type Outcome } from '../metrics/table.ts';
import { CommandFailed, exitCodes, type World } from './command.ts';
import { type Credentials, readCredentials } from './credentials.ts';
import type { ExplainOptions } from './explain.ts';
import { explainFields, type Field, parameterText, unreadNames } from './explain-fields.ts';
import { describeMalformed, parseRequest, type SavedRequest } from './explain-request.ts';
import { json, table } from './text.ts';

/** Stands in a series for the app where nothing tells which it is. */
const unknownApp = 'SDKAPPID';

/** Of the settings, what an explanation rests on beside apps and tokens. */
type Rules = Pick<Config, 'callbackPath' | 'adminAccounts'> & { privacy: Privacy };

/** When the callback is taken to arrive: milliseconds since the Unix epoch, and in words. */
interface JudgedAt {
  at: number;
  text: string;
}

interface Judgement {
  /** `null`: it cannot be judged. */
  isAuthentic: boolean | null;
  refusal: ReturnType<Authenticate>;
  explanation: string;
}

/** What the receive path made of it. */
interface Outcomes {
  answer: Answer;
  outcome: Outcome;
  reason: RejectionReason | null;
  series: string[];
  /** `null` where it did not come to be read. */
  counted: { exception: Exception; labels: ExceptionLabels; entry: CatalogueEntry | undefined } | null;
}

interface Explanation {
  outcome: Outcome | null;
  reason: RejectionReason | null;
  answer: Answer;
  judgement: Judgement;
  command: string;
  fields: Field[];
  unread: string[];
  series: string[];
  seriesIfAccepted: string[];
  counted: Outcomes['counted'];
  notes: string[];
}

export async function explain(text: string, options: ExplainOptions, world: World): Promise<void> {
  const request = requestOf(text, options);
  const credentials = await readCredentials(options, world);
  const judgedAt =
    options.at === undefined
      ? { at: world.now(), text: 'now' }
      : { at: options.at, text: new Date(options.at).toISOString() };
  const explanation = await explainRequest(request, credentials, readRules(world), judgedAt);
  world.writeOut(options.json ? json(toJson(explanation)) : toText(explanation, world.columns));
  if (explanation.outcome === 'rejected' || explanation.outcome === null) {
    throw new CommandFailed(`it would be answered ${explanation.answer.status}`);
  }
}

function requestOf(text: string, { url, query }: ExplainOptions): SavedRequest {
  const request = parseRequest(text);
  if (request !== null) {
    if (url === undefined && query === undefined) return request;
    throw new CommandFailed(
      'the callback is a whole request, with its URL: leave out --url and --query',
      exitCodes.usage.code,
    );
  }
  const querystring = url === undefined ? (query?.replace(/^.*\?/, '') ?? null) : url.search.slice(1);
  const path = url?.pathname ?? null;
  return {
    method: null,
    path,
    querystring,
    contentEncoding: undefined,
    contentLength: undefined,
    body: text,
  };
}

function readRules({ env, readFile }: World): Rules {
  const names = [settings.callbackPath, settings.adminAccounts, settings.userIds, settings.messageContent];
  const own = Object.fromEntries(names.map(({ name }) => [name, env[name]]));
  // The apps are not judged here, and one is required.
  const { config } = loadConfig({ ...own, [settings.sdkAppIds.name]: '1' }, readFile);
  const { callbackPath, adminAccounts, userIds, messageContent } = config;
  return { callbackPath, adminAccounts, privacy: { userIds, messageContent } };
}

async function explainRequest(
  request: SavedRequest,
  credentials: Credentials,
  rules: Rules,
  judgedAt: JudgedAt,
): Promise<Explanation> {
  const { method, path, querystring, contentEncoding, body: bodyText } = request;
  const parameters = parseParameters(querystring ?? '');
  const judgement = judge(querystring === null ? null : parameters, credentials, judgedAt);
  const body = parseBody(bodyText);
  const command = urlCommand(parameters) ?? (body === null ? undefined : bodyCommand(body));
  const isException = command === undefined || command === exceptionCommand;

  const pass = { request, rules, at: judgedAt.at };
  const misplaced =
    path !== null && path !== rules.callbackPath
      ? notFoundAnswer
      : method !== null && method !== 'POST'
        ? methodAnswer
        : null;
  const actual = await receiveOnly({ ...pass, querystring: querystring ?? '', refusal: judgement.refusal });
  // What it says is of interest also where it is refused for what is around it, or nothing tells the app.
  const isRefused = judgement.refusal !== null || contentEncoding !== undefined || misplaced !== null;
  const read =
    isRefused || querystring === null
      ? await receiveOnly({
          ...pass,
          request: { ...request, contentEncoding: undefined },
          querystring: withApp(querystring ?? '', parameters, credentials),
          refusal: null,
        })
      : actual;
  const verdict = querystring === null ? read : actual;

  const notes: string[] = [];
  if (misplaced === notFoundAnswer) {
    notes.push(`the path is not ${rules.callbackPath}, CALLBACK_PATH; a proxy in front may change it`);
  }
  if (misplaced === methodAnswer) notes.push('a callback is posted');
  if (querystring === null) {
    notes.push('the query is not known, so its parameters count as missing here: give --query or --url');
  }
  if (read.reason === 'malformed') notes.push(describeMalformed(request));
  if (contentEncoding !== undefined) notes.push('Content-Encoding is set: Tencent sends bodies as they are');
  if (!isException) notes.push('another command: it is answered OK at once, and nothing of it is read');
  else if (body !== null && command === undefined) {
    notes.push('neither URL nor body names a command, so it is taken for another one');
  }
  const { counted } = read;
  if (counted !== null) notes.push(...codeNotes(counted));

  return {
    outcome: misplaced === null ? verdict.outcome : null,
    reason: misplaced === null ? verdict.reason : null,
    answer: misplaced ?? verdict.answer,
    judgement,
    command: commandLabel(command),
    fields:
      counted === null
        ? []
        : explainFields({ ...counted, parameters, fields: body!.fields, privacy: rules.privacy }),
    unread: counted === null ? [] : unreadNames(querystring ?? '', body!.fields),
    series: misplaced === null ? verdict.series : [],
    seriesIfAccepted: isRefused && read.outcome !== 'rejected' ? read.series : [],
    counted,
    notes,
  };
}

/** Whether it is authentic, and why. `parameters` is `null` where the query is not known. */
function judge(
  parameters: CallbackParameters | null,
  { sdkAppIds, tokens }: Credentials,
  { at, text: atText }: JudgedAt,
): Judgement {
  if (parameters === null) {
    return { isAuthentic: null, refusal: null, explanation: 'it cannot be judged without the query' };
  }
  const app = parameters.sdkAppId;
  // Where no setting names the apps, the callback's own is taken for one of them.
  const apps = sdkAppIds.length > 0 ? sdkAppIds : typeof app === 'string' ? [app] : [];
  const refusal = createAuthenticator({ sdkAppIds: apps, tokens })(parameters, at);
  const isAppJudged = sdkAppIds.length > 0 ? '' : '; SDK_APP_IDS is not set, so the app is not judged';
  const time = signedAt(parameters);
  const distance = time === null ? '' : `${distanceText(time - at)} ${atText}`;
  switch (refusal) {
    case 'sdk_app_id': {
      const known = sdkAppIds.length === 0 ? '' : `, expected one of SDK_APP_IDS, ${sdkAppIds.join(', ')}`;
      return { isAuthentic: false, refusal, explanation: `SdkAppid is ${parameterText(app)}${known}` };
    }
    case 'signature':
      return { isAuthentic: false, refusal, explanation: signatureProblem(parameters) + isAppJudged };
    case 'stale': {
      const own = new Date(time!).toISOString().replace('.000', '');
      const explanation = `Sign is right, but RequestTime is ${distance}, more than 60 s; --at ${own} judges it at its own time`;
      return { isAuthentic: false, refusal, explanation: explanation + isAppJudged };
    }
    case null: {
      if (tokens.length > 0) {
        const explanation = `Sign fits a token, and RequestTime is ${distance}`;
        return { isAuthentic: true, refusal, explanation: explanation + isAppJudged };
      }
      const explanation =
        'no token is set, so the signature cannot be judged; an exporter without CALLBACK_TOKENS believes it';
      return { isAuthentic: null, refusal, explanation: explanation + isAppJudged };
    }
  }
}

function signedAt({ requestTime }: CallbackParameters): number | null {
  return typeof requestTime === 'string' && /^\d{10}$/.test(requestTime) ? Number(requestTime) * 1000 : null;
}

function signatureProblem({ sign, requestTime }: CallbackParameters): string {
  for (const [name, value] of Object.entries({ Sign: sign, RequestTime: requestTime })) {
    if (value === undefined || value === '')
      return `${name} is missing: is authentication on in the console?`;
    if (value === repeated) return `${name} is there more than once`;
  }
  if (!/^\d{10}$/.test(String(requestTime))) return 'RequestTime is not ten digits';
  if (!/^[0-9a-f]{64}$/.test(String(sign))) return 'Sign is not 64 lower-case hex digits';
  return 'Sign fits none of the tokens: the token here is not that of the console, or RequestTime was changed';
}

/** `12 s before`, `3 days after`. */
function distanceText(milliseconds: number): string {
  const seconds = Math.round(Math.abs(milliseconds) / 1000);
  if (seconds === 0) return 'within a second of';
  const units: [number, string][] = [
    [172_800, 'days'],
    [7200, 'hours'],
    [120, 'minutes'],
  ];
  const [size, unit] = units.find(([size]) => seconds >= size) ?? [1, 's'];
  const perUnit = { days: 86_400, hours: 3600, minutes: 60, s: 1 }[unit]!;
  return `${size === 1 ? seconds : Math.round(seconds / perUnit)} ${unit} ${milliseconds < 0 ? 'before' : 'after'}`;
}

/** The query with an app in it, where it names none. */
function withApp(querystring: string, { sdkAppId }: CallbackParameters, { sdkAppIds }: Credentials): string {
  if (typeof sdkAppId === 'string' && sdkAppId !== '') return querystring;
  const others = [...new URLSearchParams(querystring)].filter(([name]) => name.toLowerCase() !== 'sdkappid');
  return new URLSearchParams([...others, ['SdkAppid', sdkAppIds[0] ?? unknownApp]]).toString();
}

/** Runs `receive()` with a journal that stores everything and keeps nothing. */
async function receiveOnly({
  request: { body, contentEncoding },
  querystring,
  refusal,
  rules: { adminAccounts, privacy },
  at,
}: {
  request: SavedRequest;
  querystring: string;
  refusal: ReturnType<Authenticate>;
  rules: Rules;
  at: number;
}): Promise<Outcomes> {
  const now = (): number => at;
  const metrics = createMetrics({
    version: '',
    revision: '',
    isAuthenticating: true,
    journalBytesMax: 0,
    now,
  });
  const classifier = createClassifier({ adminAccounts: new Set(adminAccounts), admittedCodes: [] });
  const result: Pick<Outcomes, 'outcome' | 'reason' | 'counted'> = {
    outcome: 'ignored',
    reason: null,
    counted: null,
  };
  const before = await counterSeries(metrics);
  const answer = await receive(
    {
      arrivedAt: performance.now(),
      querystring,
      contentEncoding,
      bodyBytesMax,
      readBody: async () => (Buffer.byteLength(body) > bodyBytesMax ? null : body),
    },
    {
      authenticate: () => refusal,
      classifier: {
        classify(exception) {
          const { labels, entry, folded } = classifier.classify(exception);
          result.counted = { exception, labels, entry };
          return { labels, entry, folded };
        },
      },
      // Its IDs are not shown: the journal's key is another.
      identifier: createIdentifier('0'.repeat(64)),
      writer: {
        async append(entry) {
          countException(entry, metrics);
          return 'new';
        },
      },
      metrics: {
        ...metrics,
        callbackAnswered(command, outcome, ...rest) {
          result.outcome = outcome;
          metrics.callbackAnswered(command, outcome, ...rest);
        },
        callbackRejected(command, reason, ...rest) {
          result.outcome = 'rejected';
          result.reason = reason;
          metrics.callbackRejected(command, reason, ...rest);
        },
      },
      rejections: new Rejections({ keepsBodies: false }),
      tally: new CallbackTally(),
      inFlight: new InFlight({ callbacksMax: 1, bytesMax: bodyBytesMax }),
      privacy,
      withMessageText: privacy.messageContent === 'included',
      isDelivering: false,
      now,
    },
  );
  const series = (await counterSeries(metrics)).difference(before);
  return { ...result, answer, series: [...series].map(line => line.slice(0, line.lastIndexOf(' '))) };
}

const counterNames: ReadonlySet<string> = new Set(
  Object.values(metricTable)
    .filter(({ type }) => type === 'counter')
    .map(({ name }) => name),
);

/** The lines of a scrape that show a counter of ours. */
async function counterSeries(metrics: Metrics): Promise<Set<string>> {
  const { body } = await metrics.render(undefined, null);
  const lines = body.toString().split('\n');
  return new Set(lines.filter(line => counterNames.has(/^\w+/.exec(line)?.[0] ?? '')));
}

function codeNotes({ exception: { errorCode }, entry }: NonNullable<Outcomes['counted']>): string[] {
  if (typeof errorCode !== 'number') return [];
  if (entry !== undefined && typeof entry.code === 'number') return [];
  return entry === undefined
    ? [
        `${errorCode} is not in the catalogue; it is counted under its number unless the journal already has 100 such codes, then as error_code="other"`,
      ]
    : [`${errorCode} is one of a range of codes that an app gives out itself`];
}

/** What each exception is known by; see identify.ts. */
const identityFields = ['SdkAppid', 'GroupId', 'TopicId', 'From_Account', 'Random', 'ErrorCode', 'EventTime'];

function hasBodyInIdentity({ identityParts }: Exception): boolean {
  return identityParts.length > identityFields.length;
}

function entryOf(counted: Explanation['counted']): CatalogueEntry | undefined {
  const code = counted?.exception.errorCode;
  return typeof code === 'number' ? describeCode(code) : undefined;
}

function errorInfoOf({ body }: Answer): string {
  return (JSON.parse(body) as { ErrorInfo: string }).ErrorInfo;
}

function toJson(explanation: Explanation): Record<string, unknown> {
  const { outcome, reason, answer, judgement, command, fields, unread, counted, notes } = explanation;
  const entry = entryOf(counted);
  return {
    verdict: { outcome, reason, status: answer.status, error_info: errorInfoOf(answer) },
    authentication: { is_authentic: judgement.isAuthentic, explanation: judgement.explanation },
    command,
    fields: fields.map(({ name, in: place, state, isInvalid, value, note }) => ({
      name,
      in: place,
      state,
      is_invalid: isInvalid,
      value,
      note,
    })),
    unread,
    series: explanation.series,
    series_if_accepted: explanation.seriesIfAccepted,
    error_code:
      counted === null
        ? null
        : {
            number: typeof counted.exception.errorCode === 'number' ? counted.exception.errorCode : null,
            name: entry?.name ?? null,
            category: counted.labels.error_category,
            meaning: entry?.meaning ?? null,
            remedy: entry?.remedy ?? null,
          },
    identity:
      counted === null ? null : { fields: identityFields, has_body: hasBodyInIdentity(counted.exception) },
    notes,
  };
}

function toText(explanation: Explanation, width: number): string {
  const { outcome, reason, answer, judgement, command, fields, unread, counted, notes } = explanation;
  const { series, seriesIfAccepted } = explanation;
  const verdicts: Record<Outcome, string> = {
    counted: 'counted, or a duplicate where it is known already',
    duplicate: 'a duplicate',
    ignored: 'ignored: only exceptions are counted',
    rejected: `rejected, reason ${reason}: ${errorInfoOf(answer)}`,
  };
  const verdict = outcome === null ? `not a callback: ${errorInfoOf(answer)}` : verdicts[outcome];
  const authentic = { true: 'yes', false: 'no', null: 'unknown' }[String(judgement.isAuthentic)];
  const parts = [
    table(
      [
        ['Answer', `${answer.status} ${answer.status === 200 ? 'OK' : 'FAIL'}, ${verdict}`],
        ['Command', command],
        ['Authentic', `${authentic}: ${escapeControls(judgement.explanation)}`],
        ...notes.map(note => ['Note', escapeControls(note)]),
      ],
      width,
    ),
  ];
  if (fields.length > 0) {
    const rows = fields.map(field => [field.name, escapeControls(fieldText(field))]);
    if (unread.length > 0) rows.push(['not read', unread.join(', ')]);
    parts.push(`Fields\n${table(rows, width, 2)}`);
  }
  if (series.length > 0) parts.push(`Series that go up by 1\n${seriesLines(series)}`);
  if (seriesIfAccepted.length > 0) {
    parts.push(`Series that would go up by 1 if it were accepted\n${seriesLines(seriesIfAccepted)}`);
  }
  if (counted !== null) {
    const { exception, labels } = counted;
    const entry = entryOf(counted);
    const title = `Error code ${labels.error_code}: ${entry?.name ?? 'not in the catalogue'}, ${labels.error_category}\n`;
    const rows =
      entry === undefined
        ? [['ErrorInfo says more; Tencent adds codes without notice.']]
        : [[`${entry.meaning}.`], [`Do: ${entry.remedy}.`]];
    const known = hasBodyInIdentity(exception)
      ? 'the whole body, since Random, ErrorCode or EventTime is missing or no integer'
      : 'digit by digit';
    const identity = `The same exception when ${identityFields.join(', ')} are the same, ${known}. Its trace ID is made of them with the journal's key, which is not read here.`;
    parts.push(title + table(rows, width, 2), `Identity\n${table([[identity]], width, 2)}`);
  }
  return parts.join('\n');
}

function fieldText({ state, isInvalid, value, note }: Field): string {
  const text = value === null ? null : String(value);
  const invalid = isInvalid ? 'counts as an invalid field' : null;
  const words = [state === 'taken' ? text : state, state === 'odd' ? text : null, note, invalid];
  return words.filter(word => word !== null && word !== '').join('; ');
}

/** Not wrapped: they are to be copied. */
function seriesLines(series: readonly string[]): string {
  return series.map(line => `  ${line}\n`).join('');
}
