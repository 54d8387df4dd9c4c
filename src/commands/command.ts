/** What every command is given, and what it may end with. */

/** The world around a command, so that tests can be it. */
export interface World {
  env: NodeJS.ProcessEnv;
  writeOut(output: string): void;
  /** Writes all of it, as fast as it is read and no faster. */
  streamOut(output: AsyncIterable<string>): Promise<void>;
  writeError(output: string): void;
  /** Whether a person reads what `writeOut` writes, or `writeError`, and types what `readInput` reads. */
  isTerminal: boolean;
  isErrorTerminal: boolean;
  isInputTerminal: boolean;
  /** Characters in a line of the terminal; 80 where there is none. */
  columns: number;
  /** All of standard input. */
  readInput(): Promise<string>;
  /** The text of a file; throws as Node does, with a `code`. */
  readFile(path: string): string;
  /** Milliseconds since the Unix epoch. */
  now(): number;
  /** Milliseconds on a clock that never goes back. */
  monotonicNow(): number;
  /** Resolves after so many milliseconds, or once `signal` is aborted. */
  wait(milliseconds: number, signal: AbortSignal): Promise<void>;
  /** Has `stop` called when the user asks for the end. Asked a second time, the process dies. */
  onInterrupt(stop: () => void): void;
}

/**
 * What a command prints with `--json`, key by key: `journal.format` is a key of an object in the object, `codes[]` an
 * array. The README's table is made of it, and no other key is printed. Keys are there always, `null` where unknown.
 */
export type JsonKeys = Readonly<Record<string, string>>;

/** The exit codes; the README's table and `--help` are made of them. */
export const exitCodes = {
  success: { code: 0, meaning: 'done, and all is well; a served exporter was asked to stop' },
  failure: { code: 1, meaning: 'it failed, or what was looked at is not well' },
  usage: { code: 2, meaning: 'wrong arguments or settings' },
  killed: { code: 137, meaning: 'a second signal ended it before its time' },
} as const;

/** Ends a command with a code and one line on standard error; what it throws otherwise is a bug. */
export class CommandFailed extends Error {
  override name = 'CommandFailed';
  readonly exitCode: number;

  constructor(message: string, exitCode: number = exitCodes.failure.code) {
    super(message);
    this.exitCode = exitCode;
  }
}
