/**
 * The exporter's control socket: how `tencent-chat-exporter journal` asks a running exporter, which alone can open its
 * journal. A Unix socket beside the journal's file, for the exporter's own user; a line of JSON for a question, a line
 * for its answer (rpc.ts). Never over TCP.
 *
 * The journal's thread serves it, between two commits. So everything of it is bounded: connections, the length of a
 * line, time, and answers, of which the next is made when the last one has left.
 *
 * Whoever holds the journal's lock makes the socket, and removes it before letting go of the lock. One that is left
 * behind by a kill is nobody's, and is replaced.
 */
import { once } from 'node:events';
import { chmodSync, lstatSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { type Answer, answerTo, type Handlers, type Question, resultOf } from './rpc.ts';

/** An operator and a script beside. Each may have one page made before a commit gets its turn. */
const connectionsMax = 4;
/** The longest question names `pageRowsMax` dead letters, 45 characters each. */
const lineCharsMax = 64 * 1024;
/** A connection is for one question. One that asks nothing, or does not take its answer, is ended. */
const connectionMs = 5_000;
/** Bytes of a Unix socket's path in Linux, without the zero at its end. A longer one would be cut in silence. */
const pathBytesMax = 107;

/** Where the exporter with this journal listens. */
export function controlPath(journalPath: string): string {
  return `${journalPath}-control`;
}

export interface ControlConnection {
  /** Ends it so much later. */
  prolong(ms: number): void;
  /** To be called when it has ended, however. */
  onEnd(act: () => void): void;
}

export interface ControlServer {
  /** Ends every connection and removes the socket. */
  close(): Promise<void>;
}

/**
 * Listens at `path`. Rejects, with a message that says why, where that cannot be. `handlersFor` gives each connection
 * its handlers. Only to be called by who holds the journal.
 */
export async function serveControl(
  path: string,
  handlersFor: (connection: ControlConnection) => Handlers,
): Promise<ControlServer> {
  if (Buffer.byteLength(path) > pathBytesMax) {
    throw new Error(`${path} is longer than ${pathBytesMax} bytes, the most that a socket's path can have`);
  }
  removeStale(path);
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    attend(socket, handlersFor);
  });
  server.maxConnections = connectionsMax;
  await listen(server, path);
  return {
    async close() {
      for (const socket of sockets) socket.destroy();
      const closed = once(server, 'close');
      server.close();
      await closed;
    },
  };
}

function removeStale(path: string): void {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw new Error(`${path} is there, and is no socket`);
  rmSync(path);
}

async function listen(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening');
  server.listen(path);
  try {
    // It is bound already. Until here the directory and the process's umask guard it.
    if (server.listening) chmodSync(path, 0o600);
    await listening;
  } catch (error) {
    server.close();
    throw error;
  }
  server.on('error', () => {});
  server.unref();
}

async function attend(
  socket: Socket,
  handlersFor: (connection: ControlConnection) => Handlers,
): Promise<void> {
  const endIn = (ms: number): NodeJS.Timeout => setTimeout(() => socket.destroy(), ms).unref();
  let end = endIn(connectionMs);
  const ended = new Promise<void>(resolve => socket.once('close', () => resolve()));
  ended.then(() => clearTimeout(end));
  const handlers = handlersFor({
    prolong(ms) {
      clearTimeout(end);
      end = endIn(ms);
    },
    onEnd: act => ended.then(act),
  });
  socket.on('error', () => {});
  try {
    for await (const line of linesOf(socket)) {
      const question = parseQuestion(line);
      if (question === null) break;
      const answer = await answerTo(question, handlers);
      // Not the next question before this answer has left: who does not take it waits alone.
      if (!socket.write(`${JSON.stringify(answer)}\n`)) await Promise.race([once(socket, 'drain'), ended]);
    }
  } catch {
    // It went away.
  }
  socket.destroy();
}

/** Ends, as if the other end had, at a line that is too long. */
async function* linesOf(socket: Socket): AsyncGenerator<string> {
  let text = '';
  for await (const chunk of socket.setEncoding('utf8')) {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
    if (text.length > lineCharsMax) return;
  }
}

/** `null`: nothing of ours. */
function parseQuestion(line: string): Question | null {
  try {
    const { id, method, args } = JSON.parse(line);
    const isQuestion = typeof id === 'number' && typeof method === 'string' && Array.isArray(args);
    return isQuestion ? { id, method, args } : null;
  } catch {
    return null;
  }
}

/** A connection to a running exporter. */
export interface Control {
  call(method: string, args: unknown[]): Promise<unknown>;
  close(): void;
}

/** The exporter ended, or closed the connection: whether it did what it was asked for is unknown. */
export class ControlLost extends Error {
  override name = 'ControlLost';
}

/** Connects to the exporter at `path`; `null` where none listens there. Rejects with what the system says otherwise. */
export async function connectControl(path: string): Promise<Control | null> {
  if (Buffer.byteLength(path) > pathBytesMax) return null;
  const socket = createConnection(path);
  try {
    await once(socket, 'connect');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') return null;
    throw error;
  }
  socket.on('error', () => {});
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  let lastId = 0;
  return {
    async call(method, args) {
      lastId += 1;
      socket.write(`${JSON.stringify({ id: lastId, method, args } satisfies Question)}\n`);
      const { value } = await lines.next().catch(() => ({ value: undefined }));
      if (value === undefined) throw new ControlLost('the exporter closed the connection without an answer');
      return resultOf(JSON.parse(value) as Answer);
    },
    close: () => socket.destroy(),
  };
}
