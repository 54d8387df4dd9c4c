/**
 * The SDK's OTLP exporters, each batch turned into a verdict that delivery can act on.
 *
 * What the SDK does on its own: it reads endpoint, headers, time-out (10 s), compression and certificates from the
 * environment, and repeats a request over HTTP up to five times within the time-out after 429, 502, 503, 504 or a
 * network error. What it does not tell its caller is learned from the side, while an export runs: the status and
 * `Retry-After` of each HTTP answer from Node's diagnostics channel, and `partial_success` from the SDK's
 * diagnostics, the only place where it is told.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { DiagLogLevel, diag } from '@opentelemetry/api';
import {
  diagLogLevelFromString,
  type ExportResult,
  ExportResultCode,
  getNumberFromEnv,
} from '@opentelemetry/core';
import { OTLPExporterBase } from '@opentelemetry/otlp-exporter-base';
import {
  convertLegacyHttpOptions,
  createOtlpHttpExportDelegate,
} from '@opentelemetry/otlp-exporter-base/node-http';
import { LogsExporterMetricsHelper, TraceExporterMetricsHelper } from '@opentelemetry/otlp-transformer';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { ExceptionRecord } from '../callback/record.ts';
import type { Signal } from '../journal/journal.ts';
import { type Origin, toLogRecord, toSpan } from './mapping.ts';
import { createLogsSerializer, createTraceSerializer } from './protobuf.ts';
import { type DiagnosticLevel, describe, type TelemetryReport } from './report.ts';
import { type Protocol, protocolOf } from './settings.ts';

/** What became of a batch. */
export type Verdict =
  /** The endpoint took it, except `rejected` records, which must not be sent again. */
  | { type: 'delivered'; rejected: number; message: string }
  /** The endpoint will never take it as it is: at least one of its records is at fault. */
  | { type: 'refused'; message: string }
  /** The records are not at fault: try again, no sooner than the endpoint asked (0 if it did not). */
  | { type: 'failed'; message: string; retryAfterMs: number };

/** One signal's way out. `Item` is what the signal makes of a record: a span, or a log record. */
export interface Exporter<Item = unknown> {
  signal: Signal;
  toItem(record: ExceptionRecord): Item;
  /** Never rejects, and always comes to an end. One batch at a time. */
  export(items: Item[]): Promise<Verdict>;
}

/** What the SDK's six exporters have in common. */
interface SdkExporter<Item> {
  export(items: Item[], done: (result: ExportResult) => void): void;
}

/**
 * HTTP statuses that speak of the endpoint or of who is calling. A wrong token must hold the backlog back, not turn it
 * into dead letters. Any other 4xx speaks of the records: 400, 413, 422.
 */
const statusesNotOfRecords = new Set([
  401, 402, 403, 404, 405, 406, 407, 408, 410, 411, 415, 421, 425, 426, 429, 431,
]);

/** gRPC's INVALID_ARGUMENT and ALREADY_EXISTS; every other code speaks of the endpoint or the caller. */
const grpcCodesOfRecords = new Set([3, 6]);

/** A `Retry-After` of a year, perhaps from a clock gone wrong, must not end delivery. */
const retryAfterMsMax = 10 * 60 * 1000;

/** What is learned of a running export besides the SDK's result. */
interface Exchange {
  /** The latest answer's; undefined before one has come, and always with gRPC. */
  answer?: IncomingMessage;
  /** The SDK's JSON of the answer's `partial_success`. */
  partialSuccess?: string;
}

const exchanges = new AsyncLocalStorage<Exchange>();

subscribe('http.client.request.created', message => {
  const exchange = exchanges.getStore();
  if (exchange === undefined) return;
  (message as { request: ClientRequest }).request.once('response', answer => {
    exchange.answer = answer;
  });
});

/** Builds the exporter that the environment asks for; only the chosen protocol's package is loaded. */
export function createExporter(signal: Signal, origin: Origin): Promise<Exporter> {
  const protocol = protocolOf(process.env, signal) ?? 'http/protobuf';
  return signal === 'traces'
    ? wrap(signal, protocol, record => toSpan(record, origin), traceExporters)
    : wrap(signal, protocol, record => toLogRecord(record, origin), logExporters);
}

// Over HTTP with protobuf, the SDK's exporter is put together as its own packages do it, but for the serializer.
const protobufHeaders = { 'Content-Type': 'application/x-protobuf' };

const traceExporters: Record<Protocol, () => Promise<SdkExporter<ReadableSpan>>> = {
  'http/protobuf': async () =>
    new OTLPExporterBase(
      createOtlpHttpExportDelegate(
        convertLegacyHttpOptions({}, 'TRACES', 'v1/traces', protobufHeaders),
        createTraceSerializer(),
        'otlp_http_span_exporter',
        TraceExporterMetricsHelper,
        undefined,
      ),
    ),
  'http/json': async () => new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter(),
  grpc: async () => new (await import('@opentelemetry/exporter-trace-otlp-grpc')).OTLPTraceExporter(),
};

const logExporters: Record<Protocol, () => Promise<SdkExporter<ReadableLogRecord>>> = {
  'http/protobuf': async () =>
    new OTLPExporterBase(
      createOtlpHttpExportDelegate(
        convertLegacyHttpOptions({}, 'LOGS', 'v1/logs', protobufHeaders),
        createLogsSerializer(),
        'otlp_http_log_exporter',
        LogsExporterMetricsHelper,
        undefined,
      ),
    ),
  'http/json': async () => new (await import('@opentelemetry/exporter-logs-otlp-http')).OTLPLogExporter(),
  grpc: async () => new (await import('@opentelemetry/exporter-logs-otlp-grpc')).OTLPLogExporter(),
};

async function wrap<Item>(
  signal: Signal,
  protocol: Protocol,
  toItem: (record: ExceptionRecord) => Item,
  sdkExporters: Record<Protocol, () => Promise<SdkExporter<Item>>>,
): Promise<Exporter<Item>> {
  const sdkExporter = await sdkExporters[protocol]();
  const deadlineMs = exportDeadlineMs(signal);
  return {
    signal,
    toItem,
    export: items =>
      new Promise(resolve => {
        const exchange: Exchange = {};
        const deadline = setTimeout(() => {
          resolve({ type: 'failed', message: `no answer within ${deadlineMs} ms`, retryAfterMs: 0 });
        }, deadlineMs);
        const done = (result: ExportResult) => {
          clearTimeout(deadline);
          resolve(judge(protocol, result, exchange));
        };
        try {
          exchanges.run(exchange, () => sdkExporter.export(items, done));
        } catch (error) {
          // Only encoding happens before the SDK goes asynchronous: there is a record that cannot be encoded.
          clearTimeout(deadline);
          resolve({ type: 'refused', message: `cannot be encoded: ${describe(error)}` });
        }
      }),
  };
}

/**
 * The SDK's time-out counts silence only: an endpoint that answers one byte every few seconds holds an export for ever.
 * Twice the time-out is the longest that the SDK's own repetitions take.
 */
function exportDeadlineMs(signal: Signal): number {
  const timeoutMs =
    getNumberFromEnv(`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_TIMEOUT`) ??
    getNumberFromEnv('OTEL_EXPORTER_OTLP_TIMEOUT') ??
    10_000;
  return 2 * timeoutMs + 1_000;
}

function judge(
  protocol: Protocol,
  { code, error }: ExportResult,
  { answer, partialSuccess }: Exchange,
): Verdict {
  if (code === ExportResultCode.SUCCESS) return { type: 'delivered', ...readPartialSuccess(partialSuccess) };

  const status = (error as { code?: unknown } | undefined)?.code;
  if (protocol === 'grpc') {
    if (grpcCodesOfRecords.has(status as number)) return { type: 'refused', message: describe(error) };
    return { type: 'failed', message: describe(error), retryAfterMs: 0 };
  }
  // The SDK hides the status of an answer that it would repeat: "Export failed with retryable status".
  const message = answer?.complete
    ? describe(`HTTP ${answer.statusCode} ${answer.statusMessage}`)
    : describe(error);
  if (typeof status === 'number' && status >= 400 && status < 500 && !statusesNotOfRecords.has(status)) {
    return { type: 'refused', message };
  }
  return { type: 'failed', message, retryAfterMs: readRetryAfterMs(answer?.headers['retry-after']) };
}

/**
 * `{"rejectedSpans":3,"errorMessage":"…"}`, or `rejectedLogRecords`; over JSON the number is a string, as protobuf's
 * JSON mapping wants it. No rejected record and a message is a warning about a batch that was taken whole.
 */
function readPartialSuccess(json = '{}'): { rejected: number; message: string } {
  const {
    rejectedSpans,
    rejectedLogRecords,
    errorMessage = '',
  } = JSON.parse(json) as Record<string, unknown>;
  const rejected = Number(rejectedSpans ?? rejectedLogRecords ?? 0);
  return {
    rejected: Number.isSafeInteger(rejected) ? Math.max(0, rejected) : 0,
    message: describe(errorMessage),
  };
}

/** Seconds, or a date; 0 where there is neither. */
function readRetryAfterMs(header: string | undefined): number {
  if (header === undefined) return 0;
  const delayMs = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return delayMs > 0 ? Math.min(delayMs, retryAfterMsMax) : 0;
}

/**
 * Takes the SDK's diagnostics: `partial_success` for the export that runs, the rest as reports from `OTEL_LOG_LEVEL`
 * (default `warn`) up. Only text is told on: at debug level the SDK would also show the records themselves.
 */
export function listenToSdk(report: (report: TelemetryReport) => void): void {
  const wanted = diagLogLevelFromString(process.env.OTEL_LOG_LEVEL) ?? DiagLogLevel.WARN;
  const tell =
    (threshold: DiagLogLevel, level: DiagnosticLevel) =>
    (...words: unknown[]) => {
      if (wanted < threshold) return;
      report({
        type: 'diagnostic',
        level,
        message: describe(words.filter(word => typeof word === 'string').join(' ')),
      });
    };
  const warn = tell(DiagLogLevel.WARN, 'warn');
  diag.setLogger(
    {
      error: tell(DiagLogLevel.ERROR, 'error'),
      warn(message, ...words) {
        const exchange = exchanges.getStore();
        if (exchange === undefined || message !== 'Received Partial Success response:')
          return warn(message, ...words);
        exchange.partialSuccess = String(words[0]);
      },
      info: tell(DiagLogLevel.INFO, 'info'),
      debug: tell(DiagLogLevel.DEBUG, 'debug'),
      verbose: tell(DiagLogLevel.VERBOSE, 'debug'),
    },
    { logLevel: Math.max(wanted, DiagLogLevel.WARN), suppressOverrideMessage: true },
  );
}
