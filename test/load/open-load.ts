/**
 * An open-loop load of distinct exceptions: each is due at a time of its own, whether or not the ones before it are
 * answered, as users do not wait for one another. Latency counts from that time, so that an exporter that stalls is
 * not spared what it held up.
 *
 *     node test/load/open-load.ts '{"port":8080,"perSecond":1000,"seconds":5}'     prints a LoadResult as JSON
 *
 * Raw sockets, because a client library would take more of two cores than the server under test.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { exceptionBody } from '../support/oracle.ts';
import { sampleQuery } from '../support/samples.ts';

export interface LoadOptions {
  port: number;
  perSecond: number;
  seconds: number;
  /** An exception that is due when all are busy waits, and its time runs. The exporter takes 2,000 connections. */
  connectionsMax?: number;
  /** Sends more on a connection without waiting for the answers before: nothing waits here, all of it there. */
  isPipelined?: boolean;
  /** The number of the first exception. */
  firstNumber?: number;
  /** Text of the message, to make bodies large. */
  textCharacters?: number;
}

export interface LoadResult {
  /** Exceptions sent, numbered from the first on. */
  sentCount: number;
  okCount: number;
  /** Numbers of those that were answered 503. */
  refused: number[];
  /** Answers of any other status. */
  oddStatuses: number[];
  /** Numbers of those whose connection broke before an answer came. */
  broken: number[];
  /** Milliseconds from when it was due to its answer, whatever that was; without the first half second. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
  /** From when it was sent to its answer, the longest. */
  slowestMs: number;
  /** From the last that was due until the last answer. */
  tailMs: number;
}

/** In the beginning what is slow is this process itself, which is being compiled: not part of the quantiles. */
const warmUpMs = 500;
/** Without an answer for so long, a connection is given up: the exporter has stalled. */
const stalledMs = 10_000;

interface Due {
  number: number;
  at: number;
}

export async function runOpenLoad({
  port,
  perSecond,
  seconds,
  connectionsMax = 1_900,
  isPipelined = false,
  firstNumber = 0,
  textCharacters = 0,
}: LoadOptions): Promise<LoadResult> {
  const overrides =
    textCharacters === 0
      ? {}
      : { MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'x'.repeat(textCharacters) } }] };
  const head = `POST /?${sampleQuery()} HTTP/1.1\r\nHost: exporter\r\nContent-Length: `;
  const startedAt = performance.now();
  const latencies: number[] = [];
  const refused: number[] = [];
  const oddStatuses: number[] = [];
  const broken: number[] = [];
  const waiting: Due[] = [];
  const idle: Connection[] = [];
  const open = new Set<Connection>();
  let okCount = 0;
  let answeredCount = 0;

  let slowestMs = 0;
  let turned: Connection[] = [];

  class Connection {
    readonly #socket: Socket;
    /** Sent and not answered; answers come in this order. */
    readonly #pending: (Due & { sentAt: number })[] = [];
    #received = '';

    constructor() {
      open.add(this);
      this.#socket = connect({ port, host: '127.0.0.1', noDelay: true });
      this.#socket.on('data', data => this.#take(data.toString('latin1')));
      this.#socket.on('error', () => {});
      this.#socket.on('close', () => this.#end());
      this.#socket.setTimeout(stalledMs, () => this.#socket.destroy());
    }

    send(due: Due): void {
      this.#pending.push({ ...due, sentAt: performance.now() });
      const body = exceptionBody(due.number, overrides);
      this.#socket.write(`${head}${body.length}\r\n\r\n${body}`, 'latin1');
    }

    close(): void {
      this.#socket.destroy();
    }

    #take(text: string): void {
      this.#received += text;
      // Every answer is one small JSON object without another in it.
      for (;;) {
        const end = this.#received.indexOf('}') + 1;
        if (end === 0) return;
        this.#answer(Number(this.#received.slice(9, 12)));
        this.#received = this.#received.slice(end);
      }
    }

    #answer(status: number): void {
      const { number, at, sentAt } = this.#pending.shift()!;
      const now = performance.now();
      answeredCount += 1;
      if (at - startedAt >= warmUpMs) latencies.push(now - at);
      slowestMs = Math.max(slowestMs, now - sentAt);
      if (status === 200) okCount += 1;
      else if (status === 503) refused.push(number);
      else oddStatuses.push(status);
      if (isPipelined) return;
      const next = waiting.shift();
      if (next !== undefined) this.send(next);
      else idle.push(this);
    }

    #end(): void {
      for (const { number } of this.#pending.splice(0)) broken.push(number);
      open.delete(this);
      const index = idle.indexOf(this);
      if (index >= 0) idle.splice(index, 1);
    }
  }

  let turns = 0;
  function send(due: Due): void {
    if (isPipelined && open.size > 0 && open.size >= connectionsMax) {
      if (turned.length !== open.size) turned = [...open];
      turns += 1;
      turned[turns % turned.length]!.send(due);
      return;
    }
    const connection = idle.pop() ?? (open.size < connectionsMax ? new Connection() : undefined);
    if (connection === undefined) waiting.push(due);
    else connection.send(due);
  }

  const count = Math.round(perSecond * seconds);
  for (let sent = 0; sent < count; ) {
    const dueCount = Math.min(count, Math.floor(((performance.now() - startedAt) / 1000) * perSecond));
    for (; sent < dueCount; sent += 1)
      send({ number: firstNumber + sent, at: startedAt + (sent / perSecond) * 1000 });
    // Sockets are served between two looks at the time.
    await turn();
  }
  const lastDueAt = performance.now();
  while (answeredCount + broken.length < count && performance.now() - lastDueAt < 2 * stalledMs) {
    if (open.size === 0) for (const due of waiting.splice(0)) broken.push(due.number);
    await delay(5);
  }
  const tailMs = performance.now() - lastDueAt;
  for (const connection of open) connection.close();
  latencies.sort((a, b) => a - b);
  const quantile = (q: number) =>
    latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? Number.NaN;
  return {
    sentCount: count,
    okCount,
    refused,
    oddStatuses,
    broken,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs: quantile(1),
    slowestMs,
    tailMs,
  };
}

if (import.meta.main) {
  const result = await runOpenLoad(JSON.parse(process.argv[2]!));
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
