/** A file system of a few megabytes, to be filled to its last byte. `cleanUp` takes it away. */
import { spawnSync } from 'node:child_process';
import { open } from 'node:fs/promises';
import { onCleanUp, temporaryDirectory } from './clean-up.ts';

/** A file system of its own, or why there is none. Needs root. */
export function mountDisk(megabytes: number): { directory: string } | { problem: string } {
  const directory = temporaryDirectory();
  const args = ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', directory];
  const { status, stderr, error } = spawnSync('mount', args, { encoding: 'utf8' });
  if (status !== 0) return { problem: error?.message ?? stderr.trim() };
  // Lazily: the exporter that holds the journal is ended before, but a failed test must not leave the mount.
  onCleanUp(() => spawnSync('umount', ['--lazy', directory]));
  return { directory };
}

/** Fills what is left, to the last byte. Half a gigabyte takes a while, in which the caller's own clocks go on. */
export async function fillDisk(file: string): Promise<void> {
  const handle = await open(file, 'w');
  const block = Buffer.alloc(1024 * 1024);
  let bytes = block.length;
  while (bytes > 0) {
    try {
      await handle.write(block, 0, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      bytes >>= 1;
    }
  }
  await handle.close();
}
