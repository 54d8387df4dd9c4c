/**
 * What a disk may hold after a power cut, made from the recorded operations of a process (see shim.c).
 *
 * Durable is what was written before a sync that succeeded, and nothing else. Of everything later each sector of 512
 * bytes is there or is not, or is there in part; a file that was made, removed or cut since its directory or itself was
 * synced is so or is not. What was written before a sync that failed is there or is not, and no later sync changes
 * that: Linux takes such pages for clean.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { between, type Random } from '../support/random.ts';

const sectorBytes = 512;
/** Of the sectors that get to the disk unsynced, those that get there in part. */
const tornShare = 0.1;

const types = [
  'start',
  'open',
  'close',
  'write',
  'truncate',
  'unlink',
  'rename',
  'sync',
  'syncFailed',
] as const;

export interface Operation {
  type: (typeof types)[number];
  descriptor: number;
  /** Of a write; the new size of a file that is cut; 1 where opening a file made it. */
  offset: number;
  data: Buffer;
  /** Where the recording ends with it. */
  end: number;
}

export function readRecording(path: string): Operation[] {
  const recording = readFileSync(path);
  const operations: Operation[] = [];
  for (let at = 0; at < recording.length; ) {
    const length = recording.readUInt32LE(at + 16);
    const end = at + 24 + length;
    operations.push({
      type: types[recording.readInt32LE(at) - 1]!,
      descriptor: recording.readInt32LE(at + 4),
      offset: Number(recording.readBigInt64LE(at + 8)),
      data: recording.subarray(at + 24, end),
      end,
    });
    at = end;
  }
  return operations;
}

type Change = { type: 'write'; offset: number; data: Buffer } | { type: 'truncate'; size: number };

/** One file's bytes on the disk, and what is on its way there. */
class DiskFile {
  #bytes = Buffer.alloc(0);
  #size = 0;
  readonly pending: Change[] = [];

  get content(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  /** A sync that succeeded. */
  settle(): void {
    for (const change of this.pending) this.#apply(change);
    this.pending.length = 0;
  }

  /** No sync, or one that failed: of each sector `share` decides. */
  settleByChance(random: Random, share: number): void {
    for (const change of this.pending) {
      if (change.type === 'truncate') {
        if (random() < share) this.#apply(change);
        continue;
      }
      const { offset, data } = change;
      for (let at = 0; at < data.length; ) {
        const length = Math.min(data.length - at, sectorBytes - ((offset + at) % sectorBytes));
        if (random() < share) {
          const isTorn = share < 1 && random() < tornShare;
          const kept = isTorn ? between(random, 0, length - 1) : length;
          this.#apply({ type: 'write', offset: offset + at, data: data.subarray(at, at + kept) });
        }
        at += length;
      }
    }
    this.pending.length = 0;
  }

  #apply(change: Change): void {
    if (change.type === 'truncate') {
      if (change.size < this.#size) this.#bytes.fill(0, change.size);
      else this.#reserve(change.size);
      this.#size = change.size;
    } else if (change.data.length > 0) {
      const end = change.offset + change.data.length;
      this.#reserve(end);
      change.data.copy(this.#bytes, change.offset);
      this.#size = Math.max(this.#size, end);
    }
  }

  #reserve(size: number): void {
    if (size <= this.#bytes.length) return;
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(Math.max(size * 2, 65_536) - this.#bytes.length)]);
  }
}

/**
 * The files of `directory` after a power cut behind operation `count`. `share` is the chance of each unsynced sector:
 * with 1 all is there, as after kill -9.
 */
export function imageAt(
  operations: readonly Operation[],
  count: number,
  { directory, random, share }: { directory: string; random: Random; share: number },
): Map<string, Buffer> {
  let names = new Map<string, DiskFile>();
  let durableNames = new Map<string, DiskFile>();
  /** What the directory was like after each change since it was synced; the first is what is durable. */
  let unsyncedNames: Map<string, DiskFile>[] = [];
  const open = new Map<number, DiskFile | 'directory'>();
  const renamed = (change: (names: Map<string, DiskFile>) => void): void => {
    names = new Map(names);
    change(names);
    unsyncedNames.push(names);
  };

  for (const { type, descriptor, offset, data } of operations.slice(0, count)) {
    const file = open.get(descriptor);
    switch (type) {
      case 'start':
        open.clear();
        break;
      case 'open': {
        const path = data.toString();
        if (path === directory) {
          open.set(descriptor, 'directory');
          break;
        }
        const name = basename(path);
        if (offset === 1 || !names.has(name)) renamed(changed => changed.set(name, new DiskFile()));
        open.set(descriptor, names.get(name)!);
        break;
      }
      case 'close':
        open.delete(descriptor);
        break;
      case 'write':
        if (file instanceof DiskFile) file.pending.push({ type, offset, data });
        break;
      case 'truncate':
        if (file instanceof DiskFile) file.pending.push({ type, size: offset });
        break;
      case 'unlink':
        renamed(changed => changed.delete(basename(data.toString())));
        break;
      case 'rename': {
        const [from, to] = data
          .toString()
          .split('\0')
          .map(path => basename(path)) as [string, string];
        renamed(changed => {
          changed.set(to, changed.get(from)!);
          changed.delete(from);
        });
        break;
      }
      case 'sync':
        if (file === 'directory') {
          durableNames = names;
          unsyncedNames = [];
        } else file?.settle();
        break;
      case 'syncFailed':
        // A kill leaves the page cache, in which all is still as it was written.
        if (file instanceof DiskFile && share < 1) file.settleByChance(random, random());
        break;
    }
  }

  const possible = [durableNames, ...unsyncedNames];
  const kept = share === 1 ? possible.at(-1)! : possible[between(random, 0, possible.length - 1)]!;
  const files = new Map<string, Buffer>();
  for (const [name, file] of kept) {
    file.settleByChance(random, share);
    files.set(name, file.content);
  }
  return files;
}

export function writeImage(files: Map<string, Buffer>, directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, content] of files) writeFileSync(join(directory, name), content);
}
