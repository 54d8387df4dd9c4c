/** A chunk of the outbox: the records of one append, one after the other in one value. */
import { crc32 } from 'node:zlib';
import type { Row } from './postgres-session.ts';

export interface ChunkRecord {
  bytes: Buffer;
  isDamaged: boolean;
}

/** The records of a row with `lengths`, `crcs` and `records`; `null`: they are not `count`, and cannot be told apart. */
export function chunkRecords({ lengths, crcs, records }: Row, count: number): ChunkRecord[] | null {
  const total = lengths.reduce((sum: number, length: number) => sum + length, 0);
  if (lengths.length !== count || total !== records.length) return null;
  let end = 0;
  return lengths.map((length: number, position: number) => {
    end += length;
    const bytes = records.subarray(end - length, end);
    return { bytes, isDamaged: crc32(bytes) !== crcs[position] };
  });
}
