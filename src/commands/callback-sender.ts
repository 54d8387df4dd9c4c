/** Posts callbacks as Tencent does: over connections that are kept, and for no longer than 2 s each. */
import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';

/** Tencent's time-out. Waiting for a connection is part of it. */
const answerWithinMs = 2_000;
const connectionsMax = 64;
/** An answer has a hundred bytes; what is larger is none. */
const answerBytesMax = 64 * 1024;

/** What became of one callback. */
export type SendOutcome =
  | { type: 'ok' }
  /** An answer that is not OK: `errorInfo` is `null` where it is not in Tencent's three fields. */
  | { type: 'answered'; status: number; errorInfo: string | null }
  /** No answer: Node's error code, or `timeout`. */
  | { type: 'failed'; code: string };

export interface CallbackSender {
  /** Never rejects. */
  send(query: string, body: string): Promise<SendOutcome>;
  close(): void;
}

export function createCallbackSender(url: URL): CallbackSender {
  const isSecure = url.protocol === 'https:';
  const options = { keepAlive: true, maxSockets: connectionsMax };
  const agent = isSecure ? new HttpsAgent(options) : new HttpAgent(options);
  const start = isSecure ? httpsRequest : httpRequest;

  return {
    send(query, body) {
      const target = new URL(url);
      target.search = url.search === '' ? query : `${url.search}&${query}`;
      return new Promise(resolve => {
        const headers = { 'Content-Length': Buffer.byteLength(body), 'User-Agent': 'tencent-chat-exporter' };
        const outgoing: ClientRequest = start(target, { method: 'POST', agent, headers });
        const end = (outcome: SendOutcome): void => {
          clearTimeout(timer);
          resolve(outcome);
        };
        const timer = setTimeout(() => {
          end({ type: 'failed', code: 'timeout' });
          outgoing.destroy();
        }, answerWithinMs);
        const fail = (error: NodeJS.ErrnoException): void =>
          end({ type: 'failed', code: error.code ?? error.message });
        outgoing.on('error', fail);
        outgoing.on('response', incoming => {
          let text = '';
          incoming.setEncoding('utf8');
          incoming.on('data', chunk => {
            text += chunk;
            if (text.length > answerBytesMax) outgoing.destroy();
          });
          incoming.on('error', fail);
          incoming.on('close', () => end(outcomeOf(incoming.statusCode!, text)));
        });
        outgoing.end(body);
      });
    },
    close: () => agent.destroy(),
  };
}

function outcomeOf(status: number, text: string): SendOutcome {
  const answer = parseAnswer(text);
  if (status === 200 && answer?.ActionStatus === 'OK' && answer.ErrorCode === 0) return { type: 'ok' };
  const errorInfo = answer?.ErrorInfo;
  return { type: 'answered', status, errorInfo: typeof errorInfo === 'string' ? errorInfo : null };
}

function parseAnswer(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' ? (value as Record<string, unknown> | null) : null;
  } catch {
    return null;
  }
}
