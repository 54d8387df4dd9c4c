/** What metric and what log line come of each report. Decided here and nowhere else. */
import type { JournalReport } from './journal/journal.ts';
import type { WriterReport } from './journal/writer.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics/metrics.ts';
import type { TelemetryReport } from './telemetry/report.ts';

export interface Reports {
  journal(report: JournalReport): void;
  writer(report: WriterReport): void;
  telemetry(report: TelemetryReport): void;
}

export function createReports(metrics: Metrics, log: Log): Reports {
  return {
    journal(report) {
      switch (report.type) {
        case 'stats':
          metrics.journalStats(report.stats);
          break;
        case 'damage':
          metrics.journalFailed();
          for (const signal of report.deadLettered) metrics.deadLettered(signal);
          log.error(`the journal's row ${report.row} of ${report.table} is damaged`, {
            remedy: remedyOf(report),
          });
          break;
        case 'lost':
          metrics.journalFailed();
          log.error(
            'the journal holds fewer exceptions than were acknowledged: its file or its log was damaged, lost, or replaced',
            { missing: report.count },
          );
          break;
        case 'reindexed':
          metrics.journalFailed();
          log.error(
            "the journal's index of identities was damaged and made anew; duplicates of some exceptions may count again",
            { problem: report.problem },
          );
          break;
        case 'dropped':
          metrics.dropped(report.signal, 'journal_full', report.count);
          log.error('undelivered telemetry was dropped: the journal is at JOURNAL_MAX_BYTES', {
            signal: report.signal,
            count: report.count,
          });
          break;
        case 'dead_letters_retried':
          log.info('dead letters were put back, to be delivered again', {
            signal: report.signal,
            count: report.count,
          });
          break;
        case 'dead_letters_removed':
          log.info('dead letters were removed for ever', {
            signal: report.signal,
            count: report.count,
          });
          break;
        case 'unreachable':
          log.warn('the command "journal" cannot reach this exporter; nothing else depends on it', {
            problem: report.problem,
          });
          break;
      }
    },

    writer(report) {
      switch (report.type) {
        case 'committed':
          metrics.journalCommitted(report.seconds);
          break;
        case 'failed':
          metrics.journalFailed();
          log.debug('an append to the journal failed', { error: report.error.message });
          break;
        case 'down':
          metrics.journalUp(false);
          log.error('the journal cannot be written: exceptions are held in memory until it can', {
            error: report.error.message,
          });
          break;
        case 'up':
          metrics.journalUp(true);
          log.warn('the journal is written again, and all that was held in memory with it');
          break;
        case 'unwritten':
          metrics.unwritten(report.count);
          break;
      }
    },

    telemetry(report) {
      switch (report.type) {
        case 'delivered':
          metrics.delivered(report.signal, report.count);
          break;
        case 'failed':
          metrics.deliveryFailed(report.signal);
          log.warn('delivery failed and is tried again', {
            signal: report.signal,
            error: report.message,
            retry_in_ms: Math.round(report.retryInMs),
          });
          break;
        case 'dropped':
          metrics.dropped(report.signal, report.reason, report.count);
          log.error('the endpoint took a batch without some of its records; they are lost', {
            signal: report.signal,
            count: report.count,
            error: report.message,
          });
          break;
        case 'dead_letter':
          metrics.deadLettered(report.signal);
          log.error('a record was refused for good and set aside as a dead letter', {
            signal: report.signal,
            sequence: report.sequence,
            reason: report.reason,
          });
          break;
        case 'diagnostic':
          log[report.level](`OpenTelemetry: ${report.message}`);
          break;
        case 'worker_died':
          log.error('the telemetry thread died and is started again; nothing is lost', {
            error: report.message,
            restart_in_ms: Math.round(report.restartInMs),
          });
          break;
      }
    },
  };
}

/** What became of it, for whoever reads the log. */
function remedyOf({ table, deadLettered }: Extract<JournalReport, { type: 'damage' }>): string {
  switch (table) {
    case 'totals':
      return 'its count is shown as it was read';
    case 'outbox':
      return deadLettered.length > 0
        ? 'it was set aside as a dead letter'
        : 'it is gone and is not delivered';
    case 'cursors':
      return 'delivery begins again with the oldest record';
    case 'meta':
      return 'the key of all hashes is another one: restore it from a backup, or go on with new hashes';
  }
}
