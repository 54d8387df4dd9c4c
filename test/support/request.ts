/** One HTTP request, with no header that the caller did not ask for, but those that HTTP needs. */
import { type Agent, type IncomingHttpHeaders, request } from 'node:http';
import { request as requestOverTls } from 'node:https';

export interface Response {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export interface RequestOptions {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Left out: a connection of its own, closed after the answer. */
  agent?: Agent;
}

/** Resolves with the answer, whatever its status; rejects when there is none. */
export function send(url: string, { method = 'GET', headers, body, agent }: RequestOptions = {}) {
  return new Promise<Response>((resolve, reject) => {
    const ask = url.startsWith('https:') ? requestOverTls : request;
    const outgoing = ask(url, { method, headers, agent: agent ?? false }, incoming => {
      let text = '';
      incoming.setEncoding('utf8');
      incoming.on('data', chunk => {
        text += chunk;
      });
      incoming.on('error', reject);
      incoming.on('end', () =>
        resolve({ status: incoming.statusCode!, headers: incoming.headers, body: text }),
      );
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
