/** Checksums as both databases store them. */
import { crc32 } from 'node:zlib';

/** Little-endian, as `meta` has them. */
export function crcBytes(bytes: Uint8Array | string): Buffer {
  const crc = Buffer.alloc(4);
  crc.writeUInt32LE(crc32(bytes));
  return crc;
}
