/** What the tests of this folder share: sample records, and a journal's delivery side in memory. */
import { type ExceptionRecord, encodeRecord } from '../../src/callback/record.ts';
import type { Outbox, OutboxRow, Signal } from '../../src/journal/journal.ts';

/** The seed's own sample, with what is private left out, as by default. */
export function sampleRecord(changes: Partial<ExceptionRecord> = {}): ExceptionRecord {
  return {
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    occurredAt: 1670574414123,
    receivedAt: 1670574414456,
    labels: {
      sdk_app_id: '1400000001',
      error_code: '10023',
      error_category: 'rate_limited',
      group_type: 'Public',
      platform: 'iOS',
      initiator: 'user',
    },
    errorName: 'ERR_SVR_GROUP_FREQ_LIMIT',
    errorInfo: 'msg count exceeds limit,please retry later',
    errorCode: 10023,
    groupId: '@TGS#1',
    topicId: null,
    isOnlineOnly: false,
    elementTypes: ['TIMTextElem', 'TIMFaceElem'],
    random: 2804799576,
    userHash: 'c2a1',
    userId: null,
    clientAddress: null,
    messageText: null,
    ...changes,
  };
}

/** Records number 1 to `count`, each with IDs of its own. */
export function sampleRecords(count: number): ExceptionRecord[] {
  return Array.from({ length: count }, (_, index) => {
    const digits = (index + 1).toString(16);
    return sampleRecord({ traceId: digits.padStart(32, '0'), spanId: digits.padStart(16, '0') });
  });
}

/** An outbox that remembers what was done with it. */
export class MemoryOutbox implements Outbox {
  readonly rows: OutboxRow[] = [];
  readonly acknowledged: Record<Signal, number[]> = { traces: [], logs: [] };
  readonly deadLetters: { signal: Signal; sequence: number; reason: string }[] = [];
  readonly reads: number[] = [];
  waits = 0;
  #wake = new Set<() => void>();

  append(...records: (ExceptionRecord | string)[]): void {
    for (const record of records) {
      const sequence = this.rows.length + 1;
      this.rows.push({ sequence, record: typeof record === 'string' ? record : encodeRecord(record) });
    }
    this.#tell();
  }

  /** As a dead letter that was put back stands in it. */
  appendFor(only: Signal, record: ExceptionRecord): void {
    this.rows.push({ sequence: this.rows.length + 1, record: encodeRecord(record), only });
    this.#tell();
  }

  /** Resolves when `condition` holds after an append, an acknowledgement or a dead letter. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>(resolve => this.#wake.add(resolve));
  }

  cursor(signal: Signal): number {
    return this.acknowledged[signal].at(-1) ?? 0;
  }

  async cursors(): Promise<Record<Signal, number>> {
    return { traces: this.cursor('traces'), logs: this.cursor('logs') };
  }

  async read(after: number, limit: number): Promise<OutboxRow[]> {
    this.reads.push(after);
    return this.rows.slice(after, after + limit);
  }

  async waitBeyond(after: number): Promise<void> {
    this.waits += 1;
    await this.until(() => this.rows.length > after);
  }

  async acknowledge(signal: Signal, upTo: number): Promise<void> {
    this.acknowledged[signal].push(upTo);
    this.#tell();
  }

  async deadLetter(signal: Signal, row: OutboxRow, reason: string): Promise<void> {
    this.deadLetters.push({ signal, sequence: row.sequence, reason });
    this.#tell();
  }

  #tell(): void {
    const waiting = [...this.#wake];
    this.#wake.clear();
    for (const wake of waiting) wake();
  }
}
