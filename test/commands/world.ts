/** The world around a command, made up: what it reads and writes, and a clock that only waiting moves. */
import { setImmediate as turn } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { run } from '../../src/cli.ts';
import type { JsonKeys, World } from '../../src/commands/command.ts';

export interface WorldOptions extends Partial<World> {
  /** Texts by path. */
  files?: Record<string, string>;
  input?: string;
  /** When it begins; milliseconds since the Unix epoch. */
  startsAt?: number;
}

export interface Ended {
  code: number;
  out: string;
  error: string;
}

/** Runs a command to its end. */
export async function runCommand(args: readonly string[], options: WorldOptions = {}): Promise<Ended> {
  const { files = {}, input = '', startsAt = Date.UTC(2026, 10, 26, 8, 30), ...overrides } = options;
  const ended: Ended = { code: -1, out: '', error: '' };
  let elapsedMs = 0;
  const world: World = {
    env: {},
    writeOut(output) {
      ended.out += output;
    },
    async streamOut(output) {
      for await (const chunk of output) ended.out += chunk;
    },
    writeError(output) {
      ended.error += output;
    },
    isTerminal: false,
    isErrorTerminal: false,
    isInputTerminal: false,
    columns: 80,
    readInput: async () => input,
    readFile(path) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
      return text;
    },
    now: () => startsAt + elapsedMs,
    monotonicNow: () => elapsedMs,
    async wait(milliseconds, signal) {
      // Answers that are on their way come in.
      await turn();
      if (!signal.aborted) elapsedMs += Math.max(0, milliseconds);
    },
    onInterrupt() {},
    ...overrides,
  };
  ended.code = await run(args, world);
  return ended;
}

/** `journal …` on the journal at `path`, with both signals delivered unless `env` says otherwise. */
export function runJournal(
  path: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Ended> {
  return runCommand(['journal', ...args], {
    env: { JOURNAL: `sqlite:${path}`, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', ...env },
    now: Date.now,
  });
}

/** Every key of a JSON value, as `JsonKeys` writes them. */
function keysOf(value: unknown, path = ''): string[] {
  if (Array.isArray(value)) {
    return value.length === 0 ? [`${path}[]`] : value.flatMap(item => keysOf(item, `${path}[]`));
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, each]) => keysOf(each, path === '' ? key : `${path}.${key}`));
  }
  return [path];
}

/** That these outputs have the documented keys and no other. An empty array, or `null`, may stand for what has keys. */
export function assertJsonKeys(documented: JsonKeys, outputs: readonly string[]): void {
  const names = Object.keys(documented);
  const printed = new Set(outputs.flatMap(output => keysOf(JSON.parse(output))));
  const undocumented = [...printed].filter(
    key => !names.includes(key) && !names.some(name => name.startsWith(`${key}.`)),
  );
  assert.equal(undocumented, [], 'printed, and not documented');
  assert.equal(
    names.filter(name => !printed.has(name)),
    [],
    'documented, and never printed',
  );
  for (const name of names) assert.match(name, /^[a-z0-9_.[\]]+$/);
}

/** That no line is longer, but for one word that cannot be broken in the last column. */
export function assertFits(text: string, columns: number): void {
  for (const line of text.split('\n')) {
    const lastColumn = line.split(/ {2,}/).at(-1)!;
    assert.ok(line.length <= columns || !lastColumn.includes(' '), `${line.length} characters: ${line}`);
  }
}
