/**
 * Time in the simulation's hand: every timer of the exporter waits in one queue, and nothing passes but what
 * `runUntil` lets pass. Years take seconds, and the same seed gives the same order of events.
 *
 * Timers of Node are replaced, those of `node:timers/promises` and `performance.now` with them, because the journal's
 * writer takes them from there.
 */
import { syncBuiltinESMExports } from 'node:module';
import timersPromises from 'node:timers/promises';

/** The real one: after it all that follows from one event has happened, since promises go first. */
const turn = timersPromises.setImmediate;

interface Task {
  at: number;
  run: () => void;
  /** The world's own survive the end of a process. */
  isOfWorld: boolean;
  everyMs: number | null;
}

export class VirtualClock {
  #now = 0;
  #wallOffset: number;
  /** In order of time, and of arrival where that is equal. */
  #tasks: Task[] = [];

  /** `wall`: milliseconds since the Unix epoch at which it starts. */
  constructor(wall: number) {
    this.#wallOffset = wall;
  }

  /** Milliseconds, never goes back. */
  readonly now = (): number => this.#now;

  /** Milliseconds since the Unix epoch, as the machine believes. */
  readonly wall = (): number => this.#now + this.#wallOffset;

  /** Sets the machine's clock. */
  jump(milliseconds: number): void {
    this.#wallOffset += milliseconds;
  }

  /** Resolves after `milliseconds`, or rejects when the signal is aborted. Ends with the process. */
  readonly delay = (milliseconds: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const stop = () => {
        this.#remove(task);
        reject(signal!.reason);
      };
      const task = this.#add(milliseconds, () => {
        signal?.removeEventListener('abort', stop);
        resolve();
      });
      signal?.addEventListener('abort', stop, { once: true });
    });

  /** Has `run` called by the world, whatever becomes of the process. */
  later(milliseconds: number, run: () => void): void {
    this.#add(milliseconds, run).isOfWorld = true;
  }

  /** The process has ended: nothing that it waits for happens. */
  dropTimers(): void {
    this.#tasks = this.#tasks.filter(({ isOfWorld }) => isOfWorld);
  }

  /** Lets pass all that happens within `milliseconds`. */
  async run(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await turn();
      const [task] = this.#tasks;
      if (task === undefined || task.at > end) break;
      this.#tasks.shift();
      this.#now = task.at;
      if (task.everyMs !== null) this.#insert(task, task.everyMs);
      task.run();
    }
    this.#now = end;
  }

  /** Takes the place of Node's timers until what it returns is called. */
  install(): () => void {
    const start = (run: (...args: unknown[]) => void, milliseconds = 0, ...args: unknown[]) =>
      this.#add(milliseconds, () => run(...args));
    const stop = (task: unknown) => this.#remove(task as Task);
    const globals = {
      setTimeout: start,
      clearTimeout: stop,
      setImmediate: (run: (...args: unknown[]) => void, ...args: unknown[]) => start(run, 0, ...args),
      clearImmediate: stop,
      setInterval: (run: () => void, milliseconds: number) =>
        Object.assign(start(run, milliseconds), { everyMs: milliseconds }),
      clearInterval: stop,
    };
    const promises = {
      setTimeout: async (milliseconds: number, value: unknown, options: { signal?: AbortSignal } = {}) => {
        await this.delay(milliseconds, options.signal);
        return value;
      },
      setImmediate: () => this.delay(0),
    };
    const undos = [
      replace(globalThis, globals),
      replace(timersPromises, promises),
      replace(performance, { now: this.now }),
    ];
    syncBuiltinESMExports();
    return () => {
      for (const undo of undos) undo();
      syncBuiltinESMExports();
    };
  }

  #add(milliseconds: number, run: () => void): Task {
    const task: Task = { at: 0, run, isOfWorld: false, everyMs: null };
    this.#insert(task, milliseconds);
    return task;
  }

  #insert(task: Task, milliseconds: number): void {
    task.at = this.#now + Math.max(0, milliseconds);
    let index = this.#tasks.length;
    while (index > 0 && this.#tasks[index - 1]!.at > task.at) index -= 1;
    this.#tasks.splice(index, 0, task);
  }

  #remove(task: Task): void {
    const index = this.#tasks.indexOf(task);
    if (index >= 0) this.#tasks.splice(index, 1);
  }
}

function replace(target: object, values: Record<string, unknown>): () => void {
  const before = Object.keys(values).map(
    name => [name, Object.getOwnPropertyDescriptor(target, name)] as const,
  );
  for (const [name, value] of Object.entries(values))
    Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: true });
  return () => {
    for (const [name, descriptor] of before) {
      if (descriptor === undefined) delete (target as Record<string, unknown>)[name];
      else Object.defineProperty(target, name, descriptor);
    }
  };
}
