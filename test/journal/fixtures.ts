import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExceptionLabels } from '../../src/callback/exception.ts';
import { encodeRecord } from '../../src/callback/record.ts';
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

/** The exception of this number, with a record that can be decoded. */
export function recordedEntry(number: number, changes: Partial<JournalEntry> = {}): JournalEntry {
  const entry = newEntry(number, changes);
  const record = encodeRecord({
    traceId: entry.identity,
    spanId: number.toString(16).padStart(16, '0'),
    occurredAt: entry.receivedAt - 5,
    receivedAt: entry.receivedAt,
    labels: entry.labels,
    errorName: null,
    errorInfo: `info ${number}`,
    errorCode: Number(entry.labels.error_code),
    groupId: '@TGS#1',
    topicId: null,
    isOnlineOnly: null,
    elementTypes: ['TIMTextElem'],
    random: number,
    userHash: 'c2a1',
    userId: null,
    clientAddress: null,
    messageText: null,
  });
  return { ...entry, record };
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
