import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExceptionLabels } from '../../src/callback/exception.ts';
import type { JournalEntry } from '../../src/journal/journal.ts';

export const hourMs = 60 * 60 * 1000;

/** 32 hex digits, in the order of the numbers. */
export function identityOf(number: number): string {
  return number.toString(16).padStart(32, '0');
}

export function newLabels(labels: Partial<ExceptionLabels> = {}): ExceptionLabels {
  return {
    sdk_app_id: '1400000001',
    error_code: '10023',
    error_category: 'rate_limited',
    group_type: 'Public',
    platform: 'Android',
    initiator: 'user',
    ...labels,
  };
}

/** The exception of this number; the journal takes any text for a record. */
export function newEntry(number: number, changes: Partial<JournalEntry> = {}): JournalEntry {
  return {
    identity: identityOf(number),
    labels: newLabels(),
    receivedAt: Date.now(),
    senderHash: 2 ** 47 + number,
    groupHash: 7,
    record: `["record ${number}"]`,
    ...changes,
  };
}

/** The exceptions of the numbers `first` to `last`. */
export function newEntries(first: number, last: number, changes: Partial<JournalEntry> = {}): JournalEntry[] {
  return Array.from({ length: last - first + 1 }, (_, index) => newEntry(first + index, changes));
}

/** An empty directory, and what removes it. */
export function newDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'journal-'));
  return { path, remove: () => rmSync(path, { recursive: true }) };
}
