/** The processes that the demo has started. Whatever happens, none outlives it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

/** Then it is killed: more than any of them takes. */
const stopWithinMs = 5_000;
/** Of what a process says, for whoever asks why it ended. */
const linesMax = 20;

export interface StartOptions {
  env?: Record<string, string>;
  /** Called with each line of either output. */
  onLine?: (line: string) => void;
  /** Called with all of its standard output, once it has ended. */
  onEnd?: (output: string) => void;
}

export class Children {
  readonly #running: { process: ChildProcess; ended: Promise<void> }[] = [];
  #isStopping = false;
  #fail: (error: Error) => void = () => {};
  /** Rejects when one of them ends by itself, with the last that it said. */
  readonly failed = new Promise<never>((_, reject) => {
    this.#fail = reject;
  });

  start(name: string, command: string, args: readonly string[], options: StartOptions = {}): void {
    const { env = {}, onLine, onEnd } = options;
    if (this.#isStopping) throw new Error('the demo ends');
    const child = spawn(command, args, {
      // A group of its own: a terminal's Ctrl-C is for all of a group, and they are to end in order.
      detached: true,
      // What else is set here is meant for another exporter.
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines: string[] = [];
    let output = '';
    child.stdout.setEncoding('utf8').on('data', text => {
      output += text;
    });
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', line => {
        lines.push(line);
        if (lines.length > linesMax) lines.shift();
        onLine?.(line);
      });
    }
    const ended = new Promise<void>(resolve => {
      child.once('error', error => {
        this.#fail(new Error(`${name} did not start: ${error.message}`));
        resolve();
      });
      // Not at its exit: what it said last may not have been read by then.
      child.once('close', (code, signal) => {
        const how = `${name} has ended by itself (${signal ?? `exit code ${code}`}). It said last:`;
        if (!this.#isStopping) this.#fail(new Error([how, ...lines].join('\n  ')));
        onEnd?.(output);
        resolve();
      });
    });
    this.#running.push({ process: child, ended });
  }

  /** Ends all, the last one first. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (let last = this.#running.at(-1); last !== undefined; last = this.#running.at(-1)) {
      const { process: child, ended } = last;
      const kill = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
      child.kill('SIGTERM');
      await ended;
      clearTimeout(kill);
      this.#running.pop();
    }
  }

  /** For when there is no time to wait. */
  kill(): void {
    for (const { process: child } of this.#running) child.kill('SIGKILL');
  }
}
