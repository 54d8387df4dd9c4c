/** `simulate`, at work: an open loop. A callback is due when it is due, whether or not those before it are answered. */
import { randomInt } from 'node:crypto';
import { rejectionAnswers } from '../http/answers.ts';
import { escapeControls } from '../log.ts';
import { createTraffic, type SimulatedCallback } from '../traffic/callbacks.ts';
import { callbackQuery } from '../traffic/query.ts';
import { busyness } from '../traffic/shares.ts';
import { type CallbackSender, createCallbackSender, type SendOutcome } from './callback-sender.ts';
import { CommandFailed, exitCodes, type World } from './command.ts';
import { type Credentials, readCredentials, tokenFor } from './credentials.ts';
import { Quantiles } from './quantiles.ts';
import type { SimulateOptions } from './simulate.ts';
import { count, elapsed, json, table } from './text.ts';

/** Between two lines of progress, for a person and for a file. */
const progressEveryMs = { terminal: 500, file: 10_000 };
/** Sent at a time when it is behind: answers are read in between, or it would never catch up. */
const batchMax = 50;
const hourMs = 3_600_000;
/** A Monday's midnight, where the week of `busyness` begins. */
const weekStart = Date.UTC(2026, 0, 5);

type Kind = SimulatedCallback['kind'];
type Counts = Record<Kind, number>;

interface Failure {
  outcome: Exclude<SendOutcome, { type: 'ok' }>;
  count: number;
}

/** What was sent so far, and what became of it. */
class Tally {
  readonly sent: Counts = { exception: 0, repetition: 0, 'other command': 0 };
  readonly ok: Counts = { exception: 0, repetition: 0, 'other command': 0 };
  /** By what they look like to whoever has to mend it. */
  readonly failures = new Map<string, Failure>();
  readonly durations = new Quantiles();
  elapsedMs = 0;

  ended(kind: Kind, outcome: SendOutcome, durationMs: number): void {
    if (outcome.type === 'ok') this.ok[kind] += 1;
    else {
      const key = JSON.stringify(outcome);
      const failure = this.failures.get(key) ?? { outcome, count: 0 };
      failure.count += 1;
      this.failures.set(key, failure);
    }
    if (outcome.type !== 'failed') this.durations.add(Math.max(durationMs, 0.001));
  }

  get sentCount(): number {
    return sum(this.sent);
  }

  get okCount(): number {
    return sum(this.ok);
  }

  get failureCount(): number {
    return [...this.failures.values()].reduce((total, failure) => total + failure.count, 0);
  }

  /** The most frequent first. */
  failureList(): Failure[] {
    return [...this.failures.values()].sort((left, right) => right.count - left.count);
  }
}

export async function simulate(url: URL, options: SimulateOptions, world: World): Promise<void> {
  const credentials = await readCredentials(options, world);
  if (credentials.sdkAppIds.length === 0) {
    throw new CommandFailed('for which app? set SDK_APP_IDS, or give --sdk-app-id', exitCodes.usage.code);
  }
  // Told before anything is sent.
  for (const id of credentials.sdkAppIds) tokenFor(id, credentials.tokens);

  const seed = options.seed ?? randomInt(1, 2 ** 31);
  const shownUrl = url.origin + url.pathname;
  const during = options.for === undefined ? '' : ` for ${elapsed(options.for)}`;
  const unsigned = credentials.tokens.length === 0 ? ', unsigned since no token is set' : '';
  const end = options.for === undefined ? '; Ctrl-C ends it' : '';
  world.writeError(`${options.rate} a second${during} to ${shownUrl}, seed ${seed}${unsigned}${end}\n`);

  const stop = new AbortController();
  world.onInterrupt(() => stop.abort());
  const sender = createCallbackSender(url);
  const tally = new Tally();
  try {
    await run({ options, seed, credentials, sender, tally, world, signal: stop.signal });
  } finally {
    sender.close();
  }

  const summary = { url: shownUrl, seed, tally };
  world.writeOut(options.json ? json(toJson(summary)) : toText(summary, world.columns));
  if (tally.okCount < tally.sentCount) {
    throw new CommandFailed(`${count(tally.failureCount, 'callback was', 'callbacks were')} not answered OK`);
  }
}

/** Sends until the time is over or `signal` is aborted, and waits for the answers. */
async function run({
  options,
  seed,
  credentials: { sdkAppIds, tokens },
  sender,
  tally,
  world,
  signal,
}: {
  options: SimulateOptions;
  seed: number;
  credentials: Credentials;
  sender: CallbackSender;
  tally: Tally;
  world: World;
  signal: AbortSignal;
}): Promise<void> {
  const traffic = createTraffic({ seed, sdkAppIds });
  const progress = createProgress(tally, world);
  const startedAt = world.monotonicNow();
  const inFlight = new Set<Promise<void>>();
  const firstHour = (world.now() - weekStart) / hourMs;

  const send = async (callback: SimulatedCallback, dueMs: number): Promise<void> => {
    const { kind, sdkAppId, command, parameters, body } = callback;
    const token = tokenFor(sdkAppId, tokens);
    const query = callbackQuery({ sdkAppId, command, token, at: world.now(), others: parameters });
    tally.sent[kind] += 1;
    const outcome = await sender.send(query, body);
    tally.ended(kind, outcome, world.monotonicNow() - startedAt - dueMs);
  };

  // A little less, since sums of thirds of a second end a little before.
  const forMs = (options.for ?? Number.POSITIVE_INFINITY) - 1e-6;
  let dueMs = 0;
  while (dueMs < forMs && !signal.aborted) {
    const nowMs = world.monotonicNow() - startedAt;
    tally.elapsedMs = nowMs;
    progress.show();
    if (nowMs < dueMs) {
      await world.wait(Math.min(dueMs - nowMs, progressEveryMs.terminal), signal);
      continue;
    }
    for (let batch = 0; batch < batchMax && dueMs <= nowMs && dueMs < forMs; batch += 1) {
      const sent = send(traffic.next(dueMs, world.now()), dueMs);
      inFlight.add(sent);
      sent.finally(() => inFlight.delete(sent));
      dueMs += 1000 / (options.rate * levelAt(dueMs));
    }
    await world.wait(0, signal);
  }
  if (!signal.aborted && options.for !== undefined) {
    await world.wait(options.for - (world.monotonicNow() - startedAt), signal);
  }
  tally.elapsedMs = world.monotonicNow() - startedAt;
  await Promise.all(inFlight);
  progress.end();

  /** So many times the rate. */
  function levelAt(sinceStartMs: number): number {
    const { speed } = options;
    return speed === undefined ? 1 : busyness(firstHour + (sinceStartMs * speed) / hourMs);
  }
}

/** One line that rewrites itself on a terminal; elsewhere a line now and then. */
function createProgress(tally: Tally, world: World): { show(): void; end(): void } {
  const isTerminal = world.isErrorTerminal;
  const everyMs = isTerminal ? progressEveryMs.terminal : progressEveryMs.file;
  let shownAt = world.monotonicNow();
  let shownCharacters = 0;

  const show = (): void => {
    if (world.monotonicNow() - shownAt < everyMs) return;
    shownAt = world.monotonicNow();
    const [worst] = tally.failureList();
    const failed =
      worst === undefined
        ? ''
        : `, ${tally.failureCount.toLocaleString('en-US')} not (${whatOf(worst.outcome)})`;
    const sent = tally.sentCount.toLocaleString('en-US');
    const line = `${elapsed(tally.elapsedMs)}  ${sent} sent, ${tally.okCount.toLocaleString('en-US')} answered OK${failed}`;
    world.writeError(isTerminal ? `\r${line.padEnd(shownCharacters)}` : `${line}\n`);
    shownCharacters = line.length;
  };
  return {
    show,
    end() {
      if (isTerminal && shownCharacters > 0) world.writeError(`\r${' '.repeat(shownCharacters)}\r`);
    },
  };
}

interface Summary {
  url: string;
  seed: number;
  tally: Tally;
}

function toJson({ url, seed, tally }: Summary): Record<string, unknown> {
  const counts = (given: Counts): Record<string, number> => ({
    exceptions: given.exception,
    repetitions: given.repetition,
    other_commands: given['other command'],
  });
  const seconds = (quantile: number): number | null => {
    const milliseconds = tally.durations.at(quantile);
    return milliseconds === null ? null : Number((milliseconds / 1000).toFixed(6));
  };
  return {
    ok: tally.okCount === tally.sentCount,
    url,
    seed,
    seconds: Number((tally.elapsedMs / 1000).toFixed(3)),
    sent: counts(tally.sent),
    answered_ok: counts(tally.ok),
    failures: tally.failureList().map(({ outcome, count }) => ({
      what: whatOf(outcome),
      error_info: outcome.type === 'answered' ? outcome.errorInfo : null,
      count,
      remedy: remedyOf(outcome),
    })),
    answer_seconds: { p50: seconds(0.5), p99: seconds(0.99), max: seconds(1) },
  };
}

function toText({ url, seed, tally }: Summary, width: number): string {
  const { ok, durations, elapsedMs } = tally;
  const rate = tally.sentCount / Math.max(elapsedMs / 1000, 0.001);
  const rows = [
    ['Sent', `${count(tally.sentCount, 'callback')} in ${elapsed(elapsedMs)}, ${rate.toFixed(1)} a second`],
    ['To', `${url}, seed ${seed}`],
    ['Answered OK', [tally.okCount.toLocaleString('en-US'), ...okParts(ok)].join(', ')],
    ...tally.failureList().map(({ outcome, count }) => {
      const info =
        outcome.type === 'answered' && outcome.errorInfo ? `: ${escapeControls(outcome.errorInfo)}` : '';
      return [
        'Not OK',
        `${count.toLocaleString('en-US')} × ${whatOf(outcome)}${info}\n${sentence(remedyOf(outcome))}`,
      ];
    }),
  ];
  const [p50, p99, max] = [0.5, 0.99, 1].map(quantile => durations.at(quantile));
  if (p50 != null && p99 != null && max != null) {
    const text = (milliseconds: number): string => `${Number(milliseconds.toPrecision(2))} ms`;
    rows.push(['Answer time', `p50 ${text(p50)}, p99 ${text(p99)}, slowest ${text(max)}`]);
  }
  return table(rows, width);
}

/** What an exporter makes of them. */
function okParts(ok: Counts): string[] {
  const parts: [number, string][] = [
    [ok.exception, `${count(ok.exception, 'exception')} (counted)`],
    [ok.repetition, `${count(ok.repetition, 'repetition')} (duplicate)`],
    [ok['other command'], `${count(ok['other command'], 'other command')} (ignored)`],
  ];
  return parts.flatMap(([number, text]) => (number === 0 ? [] : [text]));
}

function whatOf(outcome: Failure['outcome']): string {
  return outcome.type === 'answered' ? String(outcome.status) : outcome.code;
}

/** The likely cause and what to do, in a sentence without its full stop. */
function remedyOf(outcome: Failure['outcome']): string {
  if (outcome.type === 'failed')
    return connectionRemedies[outcome.code] ?? otherConnectionRemedy(outcome.code);
  const { status, errorInfo } = outcome;
  if (status === 401) {
    return errorInfo !== null && rejectionAnswers.stale.body.includes(errorInfo)
      ? 'the clock here or there is off by more than 60 s'
      : "the token differs: give the one of the exporter's CALLBACK_TOKENS";
  }
  if (status >= 300 && status < 400) return 'it redirects, which Tencent does not follow: give the final URL';
  return (
    statusRemedies[status] ??
    'something else than an exporter answers there: look at the address, and at the proxy in front'
  );
}

const statusRemedies: Partial<Record<number, string>> = {
  400: 'the body did not arrive as it was sent: look at the proxy in front',
  403: "the app is none of the exporter's SDK_APP_IDS: give --sdk-app-id; or a proxy refuses",
  404: "the path is not the exporter's CALLBACK_PATH, or the port is that of its operator listener",
  405: 'what answers there takes no POST: is it the port of OPERATIONS_LISTEN, not of CALLBACK_LISTEN?',
  500: 'the exporter failed: look at its log',
  502: 'the proxy in front does not reach the exporter',
  503: 'too much for the exporter, or its disk is slow: lower --rate, look at its log',
  504: 'the proxy in front waits in vain for the exporter',
};

const notReachable = 'nothing listens there: is the exporter started, and is it the port of CALLBACK_LISTEN?';
const closedEarly = 'the connection was closed before the answer: was the exporter stopped?';
const noHost = 'the host name is not known here';
const connectionRemedies: Partial<Record<string, string>> = {
  timeout:
    'no answer within 2 s, after which Tencent gives up, too: lower --rate, look at the exporter and its disk',
  ECONNREFUSED: notReachable,
  ECONNRESET: closedEarly,
  EPIPE: closedEarly,
  ENOTFOUND: noHost,
  EAI_AGAIN: noHost,
  EHOSTUNREACH: 'there is no way to that address from here',
  ENETUNREACH: 'there is no way to that address from here',
  EPROTO: 'it does not speak TLS: is it http:// instead?',
};

function otherConnectionRemedy(code: string): string {
  if (code.startsWith('HPE_')) return 'it does not speak HTTP: is it https:// instead?';
  if (/CERT|SIGNATURE|ALTNAME/.test(code)) {
    return 'its certificate is not trusted here: NODE_EXTRA_CA_CERTS names the file of another authority';
  }
  return 'the connection failed: look at the address, and at the network';
}

function sum(counts: Counts): number {
  return Object.values(counts).reduce((total, each) => total + each, 0);
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('?') ? '' : '.'}`;
}
