/** Calls over a message port: one question, one answer, errors by their message. */
import type { MessagePort, Transferable, Worker } from 'node:worker_threads';

type Port = Pick<MessagePort | Worker, 'postMessage' | 'on'>;
type Handler = (...args: never[]) => unknown;
interface Question {
  id: number;
  method: string;
  args: unknown[];
}
interface Answer {
  id: number;
  result?: unknown;
  error?: { name: string; message: string };
}

/** Answers calls with `handlers`; a handler may return a promise. Other messages are left alone. */
export function serve(port: Port, handlers: Record<string, Handler>): void {
  port.on('message', async ({ id, method, args }: Question) => {
    let answer: Answer;
    try {
      answer = { id, result: await (handlers[method] as (...args: unknown[]) => unknown)(...args) };
    } catch (error) {
      const { name, message } = error as Error;
      answer = { id, error: { name, message } };
    }
    port.postMessage(answer);
  });
}

/** A function that calls `method` at the other end. Messages that answer nothing go to `onOther`. */
export function connect(
  port: Port,
  onOther: (message: never) => void = () => {},
): (method: string, args: unknown[], transfer?: Transferable[]) => Promise<never> {
  const pending = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  port.on('message', (message: Answer) => {
    const call = pending.get(message.id);
    if (call === undefined) return onOther(message as never);
    pending.delete(message.id);
    if (message.error === undefined) call.resolve(message.result as never);
    else call.reject(Object.assign(new Error(message.error.message), { name: message.error.name }));
  });
  return (method, args, transfer) =>
    new Promise((resolve, reject) => {
      lastId += 1;
      pending.set(lastId, { resolve, reject });
      port.postMessage({ id: lastId, method, args } satisfies Question, transfer ?? []);
    });
}
