/**
 * Callbacks over a bare socket, byte by byte as an attacker writes them: a client library corrects lengths, refuses
 * odd headers, and cannot be slow or leave in the middle.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onCleanUp } from './clean-up.ts';

export interface RawSocket {
  socket: Socket;
  /** All that came so far. */
  received(): string;
  /** Resolves when the other end has closed, or reset; after how many seconds. */
  closed: Promise<{ text: string; seconds: number }>;
}

/** Longer than any limit of the listener; so that a test fails, and does not hang, where the other end never closes. */
const giveUpMs = 20_000;

/** Resolves when it is connected. `closed` is counted from the call. */
export async function openSocket(url: string): Promise<RawSocket> {
  const { hostname, port } = new URL(url);
  const startedAt = performance.now();
  const socket = connect(Number(port), hostname);
  onCleanUp(() => socket.destroy());
  let text = '';
  socket.setEncoding('latin1');
  socket.on('data', chunk => {
    text += chunk;
  });
  socket.setTimeout(giveUpMs, () => socket.destroy());
  // A reset is an end like any other, and a refused connection one without an answer.
  socket.on('error', () => {});
  const closed = new Promise<{ text: string; seconds: number }>(resolve => {
    socket.once('close', () => resolve({ text, seconds: (performance.now() - startedAt) / 1000 }));
  });
  await Promise.race([once(socket, 'connect'), closed]);
  return { socket, received: () => text, closed };
}

/** Sends these bytes over a connection of their own; resolves with all that came when the other end has closed it. */
export async function exchange(url: string, bytes: string | Buffer): Promise<string> {
  const { socket, closed } = await openSocket(url);
  socket.write(bytes);
  return (await closed).text;
}

/** The statuses of all answers in what came; `100 Continue` is none. */
export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 ([2-5]\d{2}) /g)].map(([, status]) => Number(status));
}

/** A header may come twice, and a value may be any text: pairs, not an object. */
export type Headers = readonly (readonly [name: string, value: string | number])[];

export interface RawRequest {
  method?: string;
  /** Path and query; the query has its `?`. */
  target: string;
  /** Over `Host`, and `Connection: close` unless `isLast` is false. */
  headers?: Headers;
  /** Left out: no body. */
  body?: string | Buffer;
  /** `Content-Length` is right, unless `headers` has a framing of its own. */
  framing?: 'length' | 'chunked' | 'own';
  /** The connection is to be closed with the answer. */
  isLast?: boolean;
}

/** The bytes of a request. Text is written as UTF-8. */
export function requestBytes({
  method = 'POST',
  target,
  headers = [],
  body = '',
  framing = 'length',
  isLast = true,
}: RawRequest): Buffer {
  const content = Buffer.from(body);
  const framed: Headers = {
    length: [['Content-Length', content.length]] as const,
    chunked: [['Transfer-Encoding', 'chunked']] as const,
    own: [] as const,
  }[framing];
  const lines = [['Host', 'exporter'], ...(isLast ? [['Connection', 'close']] : []), ...headers, ...framed];
  const head = `${method} ${target} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
  const end = framing === 'chunked' ? chunks(content) : content;
  return Buffer.concat([Buffer.from(head), end]);
}

function chunks(content: Buffer): Buffer {
  const some = content.length === 0 ? [] : [`${content.length.toString(16)}\r\n`, content, '\r\n'];
  return Buffer.concat([...some, '0\r\n\r\n'].map(part => Buffer.from(part)));
}
