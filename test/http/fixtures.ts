/** A callback listener as service.ts builds it, over a journal in memory, with the clock and the disk in the test's hand. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createAuthenticator } from '../../src/callback/authenticate.ts';
import { createClassifier } from '../../src/callback/classify.ts';
import { createIdentifier } from '../../src/callback/identify.ts';
import { type CallbackListener, createCallbackListener } from '../../src/http/callback-listener.ts';
import { CallbackTally } from '../../src/http/callback-tally.ts';
import { InFlight } from '../../src/http/in-flight.ts';
import { type CountedEntry, countException, type Receiver } from '../../src/http/receive.ts';
import { Rejections } from '../../src/http/rejections.ts';
import type { AppendOutcome, JournalEntry } from '../../src/journal/journal.ts';
import { MemoryJournal } from '../../src/journal/memory.ts';
import { JournalWriter } from '../../src/journal/writer.ts';
import type { Log } from '../../src/log.ts';
import { createMetrics, type Metrics } from '../../src/metrics/metrics.ts';
import { onCleanUp } from '../support/clean-up.ts';
import { sampleReceivedAt, sampleSdkAppId, sampleToken } from '../support/samples.ts';

export const exceptionsName = 'tencent_chat_group_message_exceptions_total';

/** A journal in memory that can be slow, or refuse. */
export class TestJournal extends MemoryJournal {
  isBroken = false;
  #released: Promise<void> | undefined;
  #release = () => {};

  /** Appends wait until `release`. */
  hold(): void {
    this.#released = new Promise(resolve => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#release();
    this.#released = undefined;
  }

  override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    await this.#released;
    if (this.isBroken) throw new Error('database or disk is full');
    return super.append(entries);
  }
}

export interface ReceiverSetup {
  receiver: Receiver;
  journal: TestJournal;
  metrics: Metrics;
  /** What was journaled, in order. */
  counted: CountedEntry[];
}

export interface ReceiverSettings {
  /** Milliseconds since the Unix epoch. */
  now?: () => number;
  tokens?: string[];
  inFlight?: { callbacksMax: number; bytesMax: number };
  unwrittenMax?: number;
  messageContent?: 'omitted' | 'included';
}

export async function newReceiver({
  now = () => sampleReceivedAt,
  tokens = [sampleToken],
  inFlight = { callbacksMax: 100, bytesMax: 64 * 2 ** 20 },
  unwrittenMax,
  messageContent = 'omitted',
}: ReceiverSettings = {}): Promise<ReceiverSetup> {
  const metrics = createMetrics({
    version: '1.2.3',
    revision: '',
    isAuthenticating: tokens.length > 0,
    journalBytesMax: 2 ** 30,
    now,
  });
  const journal = new TestJournal({ signals: ['traces', 'logs'], bytesMax: 2 ** 30, now, report: () => {} });
  await journal.open();
  onCleanUp(() => {
    journal.release();
    return journal.close();
  });
  const counted: CountedEntry[] = [];
  const writer = new JournalWriter<CountedEntry>({
    journal,
    onNew(entry) {
      counted.push(entry);
      countException(entry, metrics);
    },
    report: () => {},
    unwrittenMax,
  });
  onCleanUp(() => writer.drain(0));
  const receiver: Receiver = {
    authenticate: createAuthenticator({
      sdkAppIds: [sampleSdkAppId],
      tokens: tokens.map(token => ({ sdkAppId: null, token })),
    }),
    classifier: createClassifier({ adminAccounts: new Set(['administrator']), admittedCodes: [] }),
    identifier: createIdentifier('0f'.repeat(32)),
    writer,
    metrics,
    rejections: new Rejections({ keepsBodies: messageContent === 'included' }),
    tally: new CallbackTally(),
    inFlight: new InFlight(inFlight),
    privacy: { userIds: 'hashed', messageContent },
    withMessageText: messageContent === 'included',
    isDelivering: true,
    now,
  };
  return { receiver, journal, metrics, counted };
}

export interface ListenerSetup extends ReceiverSetup {
  listener: CallbackListener;
  port: number;
  url: string;
  logLines: string[];
}

export async function startListener({
  path = '/',
  ...settings
}: ReceiverSettings & { path?: string } = {}): Promise<ListenerSetup> {
  const setup = await newReceiver(settings);
  const logLines: string[] = [];
  const listener = createCallbackListener({ path, receiver: setup.receiver, log: newLog(logLines) });
  listener.server.listen(0, '127.0.0.1');
  await once(listener.server, 'listening');
  onCleanUp(() => {
    listener.server.close();
    listener.server.closeAllConnections();
  });
  const { port } = listener.server.address() as AddressInfo;
  return { ...setup, listener, port, url: `http://127.0.0.1:${port}${path}`, logLines };
}

export function newLog(lines: string[]): Log {
  const write = (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields)}`);
  return { debug: write, info: write, warn: write, error: write };
}

/** The samples of one metric that are not 0, by their labels as they are shown. */
export async function samples(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const { body } = await metrics.render(undefined, null);
  const found: Record<string, number> = {};
  for (const line of body.toString().split('\n')) {
    const match = /^([^{ ]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match?.[1] === name && Number(match[3]) !== 0) found[match[2] ?? ''] = Number(match[3]);
  }
  return found;
}

/** How many callbacks had each outcome. */
export async function outcomes(metrics: Metrics): Promise<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const [labels, value] of Object.entries(await samples(metrics, 'tencent_chat_callbacks_total'))) {
    const outcome = /outcome="(\w+)"/.exec(labels)![1]!;
    sums[outcome] = (sums[outcome] ?? 0) + value;
  }
  return sums;
}

/** How many exceptions are counted. */
export async function exceptionCount(metrics: Metrics): Promise<number> {
  return Object.values(await samples(metrics, exceptionsName)).reduce((sum, value) => sum + value, 0);
}
