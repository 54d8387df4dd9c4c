/** Calls over a message port, or any other way that keeps the order: one question, one answer, errors by their message. */
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';

type Port = Pick<MessagePort | Worker, 'postMessage' | 'on'>;
export type Handlers = Record<string, (...args: never[]) => unknown>;
export interface Question {
  id: number;
  method: string;
  args: unknown[];
}
export interface Answer {
  id: number;
  result?: unknown;
  error?: { name: string; message: string };
}

/** Answers calls with `handlers`; a handler may return a promise. Other messages are left alone. */
export function serve(port: Port, handlers: Handlers): void {
  port.on('message', async (question: Question) => port.postMessage(await answerTo(question, handlers)));
}

/** Never rejects. */
export async function answerTo({ id, method, args }: Question, handlers: Handlers): Promise<Answer> {
  try {
    if (!Object.hasOwn(handlers, method)) throw new Error(`there is no "${method}" here`);
    return { id, result: await (handlers[method] as (...args: unknown[]) => unknown)(...args) };
  } catch (error) {
    const { name, message } = error as Error;
    return { id, error: { name, message } };
  }
}

/** What an answer brings; throws the error that it tells of. */
export function resultOf({ result, error }: Answer): unknown {
  if (error === undefined) return result;
  throw Object.assign(new Error(error.message), { name: error.name });
}

/** A function that calls `method` at the other end. Messages that answer nothing go to `onOther`. */
export function connect(
  port: Port,
  onOther: (message: never) => void = () => {},
): (method: string, args: unknown[], transfer?: Transferable[]) => Promise<never> {
  const pending = new Map<number, (answer: Answer) => void>();
  let lastId = 0;
  port.on('message', (message: Answer) => {
    const settle = pending.get(message.id);
    if (settle === undefined) return onOther(message as never);
    pending.delete(message.id);
    settle(message);
  });
  return async (method, args, transfer) => {
    const answer = await new Promise<Answer>(resolve => {
      lastId += 1;
      pending.set(lastId, resolve);
      port.postMessage({ id: lastId, method, args } satisfies Question, transfer ?? []);
    });
    return resultOf(answer) as never;
  };
}
