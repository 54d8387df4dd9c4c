/** What telemetry tells unasked, so that metrics and logs can be made of it in one place. */
import type { Signal } from '../journal/journal.ts';

/** Every message is fit for a log: cut, and without credentials. */
export type TelemetryReport =
  /** The endpoint took `count` spans or log records. */
  | { type: 'delivered'; signal: Signal; count: number }
  /** An attempt failed and will be repeated: nothing is lost. */
  | { type: 'failed'; signal: Signal; message: string; retryInMs: number }
  /** The endpoint took the batch without `count` of its rows. OTLP forbids sending those again: they are lost. */
  | { type: 'dropped'; signal: Signal; reason: 'partial_success'; count: number; message: string }
  /** The row was refused for good, and set aside in the journal. */
  | { type: 'dead_letter'; signal: Signal; sequence: number; reason: string }
  /** The SDK's own words, at the level of `OTEL_LOG_LEVEL`. */
  | { type: 'diagnostic'; level: DiagnosticLevel; message: string }
  /** The telemetry thread died; undelivered exceptions wait in the journal. */
  | { type: 'worker_died'; message: string; restartInMs: number };

export type DiagnosticLevel = 'error' | 'warn' | 'info' | 'debug';

/** Long enough for a system error with its address; an endpoint cannot flood the log with its answers. */
const messageCharsMax = 200;

/** A message fit for a log. `http://user:secret@collector:4318` becomes `http://collector:4318`. */
export function describe(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  return message.replace(/\/\/[^/\s]*@/g, '//').slice(0, messageCharsMax);
}
