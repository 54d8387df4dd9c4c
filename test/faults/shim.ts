/**
 * The failing disk, as the tests see it: compiles shim.c, gives the environment that puts it under a process, and reads
 * and writes the numbers that control it while that process runs.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onCleanUp, temporaryDirectory } from '../support/clean-up.ts';

/** In the order of `struct control`. Failures count down to 0; a negative number fails until it is set to 0. */
const controls = [
  'syncDelayUs',
  'syncFailures',
  'writeFailures',
  'writeErrno',
  'openFailures',
  /** The process kills itself in the operation of this number, or at the sync of this number; 0 for never. */
  'killAt',
  'killAtSync',
  // What the shim counts, over all processes that it was under.
  'operations',
  'syncs',
  'syncsFailed',
  'writesFailed',
  'opensFailed',
  'recordedBytes',
] as const;
type Control = (typeof controls)[number];

export interface Shim {
  /** Where the journal is to be: operations on files in it are the shim's. */
  directory: string;
  /** The file of recorded operations. */
  recording: string;
  /** For the process under it. */
  env: Record<string, string>;
  set(control: Control, value: number): void;
  get(control: Control): number;
}

export function newShim({ isRecording = false } = {}): Shim {
  const library = join(temporaryDirectory(), 'shim.so');
  const source = fileURLToPath(new URL('./shim.c', import.meta.url));
  const options = ['-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-o', library, source];
  const compiled = spawnSync('gcc', [...options, '-ldl', '-lpthread'], { encoding: 'utf8' });
  if (compiled.status !== 0) throw new Error(`gcc: ${compiled.error?.message ?? compiled.stderr}`);

  const directory = temporaryDirectory();
  const own = temporaryDirectory();
  const [control, recording] = [join(own, 'control'), join(own, 'recording')];
  writeFileSync(control, Buffer.alloc(controls.length * 8));
  const descriptor = openSync(control, 'r+');
  onCleanUp(() => closeSync(descriptor));
  const at = (name: Control): number => controls.indexOf(name) * 8;
  return {
    directory,
    recording,
    env: {
      LD_PRELOAD: library,
      SHIM_DIRECTORY: directory,
      SHIM_CONTROL: control,
      ...(isRecording ? { SHIM_RECORD: recording } : {}),
    },
    set(name, value) {
      const number = Buffer.alloc(8);
      number.writeBigInt64LE(BigInt(value));
      writeSync(descriptor, number, 0, 8, at(name));
    },
    get(name) {
      const number = Buffer.alloc(8);
      readSync(descriptor, number, 0, 8, at(name));
      return Number(number.readBigInt64LE());
    },
  };
}
