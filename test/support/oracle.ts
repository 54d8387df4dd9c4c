/**
 * Knows what the exporter has promised: sends exceptions over keep-alive connections and remembers every one that was
 * answered 200, and every one that was not.
 *
 * Exceptions are numbered, and all of exception `n` follows from `n`, so that it can be sent again. Its EventTime
 * is `firstEventTime + n`, and a trace ID begins with the event's time: at the collector's end each is known by its
 * number again, without the journal's key.
 */
import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { between, createRandom, type Random } from './random.ts';
import { send } from './request.ts';
import { sampleBody, sampleQuery, triggers } from './samples.ts';

const firstEventTime = Date.UTC(2026, 0, 1);

const groupTypes = ['Public', 'Private', 'ChatRoom', 'AVChatRoom', 'Community'];

export function exceptionBody(number: number, overrides: Record<string, unknown> = {}): string {
  return sampleBody({
    GroupId: `@TGS#2J4SZ${number % 200}`,
    Type: groupTypes[number % groupTypes.length],
    From_Account: `user${number % 997}`,
    Random: number,
    ErrorCode: triggers[number % triggers.length]!.errorCode,
    EventTime: String(firstEventTime + number),
    ...overrides,
  });
}

/** The number of the exception that a trace ID stands for. */
export function exceptionNumber(traceId: string): number {
  return Number.parseInt(traceId.slice(0, 12), 16) - firstEventTime;
}

export interface OracleOptions {
  seed: number;
  connections?: number;
  /** The share of callbacks that repeat an exception sent before, answered or not. */
  repeatedShare?: number;
  /** Between an answer and the connection's next callback; 0 for as fast as it goes. */
  pauseMs?: number;
  /** Fields of every exception, over those that follow from its number. */
  overrides?: Record<string, unknown>;
  /** The query string of each callback, for one that must be signed anew. */
  query?: () => string;
  /** What keeps the one connection of each sender; for TLS, with its certificates. */
  createAgent?: () => Agent;
}

export class Oracle {
  readonly acknowledged = new Set<number>();
  /** Sent, and never answered 200: counted or not, either is right. */
  readonly unanswered = new Set<number>();
  /** Answers other than 200, by status. */
  readonly refusals = new Map<number, number>();
  /** Milliseconds from a callback to its answer, the longest. */
  slowestMs = 0;
  /** Callbacks that were answered 200. */
  answeredCount = 0;
  #sentCount = 0;
  readonly #random: Random;
  readonly #options: Required<OracleOptions>;
  #isRunning = false;
  #connections: Promise<void>[] = [];

  constructor(options: OracleOptions) {
    this.#options = {
      connections: 16,
      repeatedShare: 0.1,
      pauseMs: 0,
      overrides: {},
      query: sampleQuery,
      createAgent: () => new Agent({ keepAlive: true, maxSockets: 1 }),
      ...options,
    };
    this.#random = createRandom(options.seed);
  }

  /** How many distinct exceptions were sent. */
  get sentCount(): number {
    return this.#sentCount;
  }

  /** Sends until `stop`; a connection that breaks is not opened again. */
  start(callbackUrl: string): void {
    this.#isRunning = true;
    const { connections } = this.#options;
    this.#connections = Array.from({ length: connections }, () => this.#run(callbackUrl, () => this.#pick()));
  }

  /** Resolves when every callback was answered, or its connection broke. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#connections);
  }

  /** Sends `count` exceptions that are new. */
  async sendNew(callbackUrl: string, count: number): Promise<void> {
    const last = this.#sentCount + count;
    await this.#sendAll(callbackUrl, () => (this.#sentCount < last ? this.#sentCount++ : undefined));
  }

  /** Sends these exceptions again. */
  async sendAgain(callbackUrl: string, numbers: Iterable<number>): Promise<void> {
    const left = [...numbers];
    await this.#sendAll(callbackUrl, () => left.pop());
  }

  async #sendAll(callbackUrl: string, next: () => number | undefined): Promise<void> {
    this.#isRunning = true;
    const { connections } = this.#options;
    await Promise.all(Array.from({ length: connections }, () => this.#run(callbackUrl, next)));
  }

  #pick(): number {
    const isRepeated = this.#sentCount > 0 && this.#random() < this.#options.repeatedShare;
    return isRepeated ? between(this.#random, 0, this.#sentCount - 1) : this.#sentCount++;
  }

  async #run(callbackUrl: string, next: () => number | undefined): Promise<void> {
    const { pauseMs, overrides, query, createAgent } = this.#options;
    const agent = createAgent();
    while (this.#isRunning) {
      const number = next();
      if (number === undefined) break;
      const isKnown = this.acknowledged.has(number);
      if (!isKnown) this.unanswered.add(number);
      const url = `${callbackUrl}?${query()}`;
      const sentAt = performance.now();
      try {
        const { status } = await send(url, { method: 'POST', body: exceptionBody(number, overrides), agent });
        this.slowestMs = Math.max(this.slowestMs, performance.now() - sentAt);
        if (status === 200) {
          this.answeredCount += 1;
          this.acknowledged.add(number);
          this.unanswered.delete(number);
        } else {
          this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
        }
      } catch {
        break;
      }
      if (pauseMs > 0) await delay(pauseMs);
    }
    agent.destroy();
  }
}
