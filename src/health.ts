/** What the reports of the journal and of delivery add up to since the start, for the status page. */
import type { Failure, JournalStatus, SignalStatus } from './http/status.ts';
import type { JournalReport, JournalStats, Signal } from './journal/journal.ts';
import type { WriterReport } from './journal/writer.ts';
import type { TelemetryReport } from './telemetry/report.ts';

export interface Health {
  journal(report: JournalReport): void;
  writer(report: WriterReport): void;
  telemetry(report: TelemetryReport): void;
  /** The same objects each time, kept up to date. */
  readonly journalStatus: Omit<JournalStatus, 'location' | 'isDurable' | 'bytesMax'>;
  readonly delivery: readonly SignalStatus[];
}

/** `now`: milliseconds since the Unix epoch. */
export function createHealth(signals: readonly Signal[], now: () => number): Health {
  const stats: JournalStats = { bytes: 0, events: 0, backlogEvents: 0, oldestUndeliveredAt: null };
  const journalStatus: Health['journalStatus'] = {
    downSince: null,
    unwritten: 0,
    stats,
    failures: 0,
    lastFailure: null,
  };
  const delivery = signals.map(newSignalStatus);

  function journalFailed(message: string): void {
    journalStatus.failures += 1;
    journalStatus.lastFailure = failure(message);
  }

  function failure(message: string): Failure {
    return { at: now(), message };
  }

  function update(signal: Signal, change: (status: SignalStatus) => void): void {
    for (const status of delivery) if (status.signal === signal) change(status);
  }

  function lost(signal: Signal, count: number, what: 'dropped' | 'deadLetters'): void {
    update(signal, status => {
      status[what] += count;
      status.lastLossAt = now();
    });
  }

  return {
    journalStatus,
    delivery,

    journal(report) {
      switch (report.type) {
        case 'stats':
          journalStatus.stats = report.stats;
          break;
        case 'damage':
          journalFailed(`row ${report.row} of ${report.table} is damaged`);
          for (const signal of report.deadLettered) lost(signal, 1, 'deadLetters');
          break;
        case 'lost':
          journalFailed(`it holds ${report.count} exceptions fewer than were acknowledged`);
          break;
        case 'reindexed':
          journalFailed('its index of identities was damaged, and made anew');
          break;
        case 'dropped':
          lost(report.signal, report.count, 'dropped');
          break;
      }
    },

    writer(report) {
      switch (report.type) {
        case 'failed':
          journalFailed(report.error.message);
          break;
        case 'down':
          journalStatus.downSince = now();
          break;
        case 'up':
          journalStatus.downSince = null;
          break;
        case 'unwritten':
          journalStatus.unwritten = report.count;
          break;
        case 'committed':
          break;
      }
    },

    telemetry(report) {
      switch (report.type) {
        case 'delivered':
          update(report.signal, status => {
            status.delivered += report.count;
            status.lastDeliveredAt = now();
            status.isFailing = false;
          });
          break;
        case 'failed':
          update(report.signal, status => {
            status.lastFailure = failure(report.message);
            status.isFailing = true;
          });
          break;
        case 'dropped':
          lost(report.signal, report.count, 'dropped');
          break;
        case 'dead_letter':
          lost(report.signal, 1, 'deadLetters');
          update(report.signal, status => {
            status.isFailing = false;
          });
          break;
        case 'worker_died':
          for (const status of delivery) {
            status.lastFailure = failure(`the telemetry thread died: ${report.message}`);
            status.isFailing = true;
          }
          break;
        case 'diagnostic':
          break;
      }
    },
  };
}

function newSignalStatus(signal: Signal): SignalStatus {
  return {
    signal,
    delivered: 0,
    lastDeliveredAt: null,
    isFailing: false,
    lastFailure: null,
    dropped: 0,
    deadLetters: 0,
    lastLossAt: null,
  };
}
