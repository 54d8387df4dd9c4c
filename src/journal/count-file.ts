/**
 * How many exceptions a journal has made durable, in a small file beside it.
 *
 * A log that is damaged or gone looks to SQLite like one that ends earlier: totals would be less, and nobody told. The
 * count is written after each commit and never synced: it can be behind the journal, and never ahead of it.
 */
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';

/** A 64-bit number and its CRC-32. */
const fileBytes = 12;
const numberBytes = 8;

export function countPath(journalPath: string): string {
  return `${journalPath}-count`;
}

/** What the file says, without making one: `null` where there is none, `damaged` where it is not whole. */
export function readCount(path: string): number | 'damaged' | null {
  try {
    return decode(readFileSync(path)) ?? 'damaged';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : 'damaged';
  }
}

export class CountFile {
  /** `null` where it cannot be opened: no reason to refuse exceptions. */
  #descriptor: number | null = null;

  constructor(path: string) {
    try {
      this.#descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    } catch {
      // It is not there to compare with, then.
    }
  }

  /** 0 where there is none, or none that is whole. */
  read(): number {
    if (this.#descriptor === null) return 0;
    const bytes = Buffer.alloc(fileBytes);
    try {
      readSync(this.#descriptor, bytes, 0, fileBytes, 0);
    } catch {
      return 0;
    }
    return decode(bytes) ?? 0;
  }

  write(count: number): void {
    if (this.#descriptor === null) return;
    const bytes = Buffer.alloc(fileBytes);
    bytes.writeBigUInt64LE(BigInt(count));
    bytes.writeUInt32LE(crc32(bytes.subarray(0, numberBytes)), numberBytes);
    try {
      writeSync(this.#descriptor, bytes, 0, fileBytes, 0);
    } catch {
      // It stays behind the journal, as after a power cut.
    }
  }

  close(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }
}

/** `null`: it is not whole. */
function decode(bytes: Buffer): number | null {
  if (bytes.length !== fileBytes) return null;
  const isWhole = crc32(bytes.subarray(0, numberBytes)) === bytes.readUInt32LE(numberBytes);
  return isWhole ? Number(bytes.readBigUInt64LE()) : null;
}
