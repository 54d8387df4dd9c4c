/**
 * An OTLP receiver of the tests' own, for HTTP (protobuf and JSON, plain or gzip) and gRPC. It decodes with protobufjs
 * from the published definitions in proto/ (opentelemetry-proto 1.10.0), never with the code under test, and it can
 * be told to misbehave as collectors do.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';

export type Signal = 'traces' | 'logs';

/** How a request is answered. `status`, `hang` and `reset` take none of its records, `partial` not the last ones. */
export type Behaviour =
  | { type: 'accept' }
  /** An HTTP status or a gRPC code. */
  | { type: 'status'; status: number; retryAfter?: string }
  | { type: 'partial'; rejected: number; message: string }
  | { type: 'hang' }
  | { type: 'reset' }
  | { type: 'lose_answer' }
  /** Success by its status, with a body that is not OTLP. */
  | { type: 'rubbish' };

export interface Request {
  signal: Signal;
  records: ReceivedRecord[];
  /** The HTTP headers; empty for gRPC. */
  headers: IncomingMessage['headers'];
}

/** A span or a log record. */
export interface ReceivedRecord {
  traceId: string;
  spanId: string;
  attributes: Record<string, unknown>;
  resource: Record<string, unknown>;
  scope: { name: string; version?: string };
  /** All other fields by their names in OTLP/JSON; 64-bit integers as strings. */
  fields: Record<string, unknown>;
}

export interface ReceiverOptions {
  protocol?: 'http' | 'grpc';
  port?: number;
  /** `ids`: only count trace IDs, without decoding the rest; behaviours then see no records. */
  keep?: 'all' | 'ids';
  /** Takes the HTTP requests that are not OTLP. */
  onOther?: (request: IncomingMessage, response: ServerResponse) => void;
}

const services = {
  traces: {
    httpPath: '/v1/traces',
    grpcPath: '/opentelemetry.proto.collector.trace.v1.TraceService/Export',
    requestType: 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest',
    responseType: 'opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse',
    rejectedField: 'rejectedSpans',
    groups: ['resourceSpans', 'scopeSpans', 'spans'],
    traceIdField: 1,
  },
  logs: {
    httpPath: '/v1/logs',
    grpcPath: '/opentelemetry.proto.collector.logs.v1.LogsService/Export',
    requestType: 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest',
    responseType: 'opentelemetry.proto.collector.logs.v1.ExportLogsServiceResponse',
    rejectedField: 'rejectedLogRecords',
    groups: ['resourceLogs', 'scopeLogs', 'logRecords'],
    traceIdField: 9,
  },
} as const;

/** The published definitions, by which everything here is decoded. */
export const definitions = new protobuf.Root();
definitions.resolvePath = (_origin, target) => fileURLToPath(new URL(`./proto/${target}`, import.meta.url));
definitions.loadSync([
  'opentelemetry/proto/collector/trace/v1/trace_service.proto',
  'opentelemetry/proto/collector/logs/v1/logs_service.proto',
]);

export class OtlpReceiver {
  port = 0;
  spans: ReceivedRecord[] = [];
  logRecords: ReceivedRecord[] = [];
  /** Trace IDs taken, and how often. */
  readonly traceIds: Record<Signal, Map<string, number>> = { traces: new Map(), logs: new Map() };
  /** Requests that arrived, whatever became of them. */
  readonly requests: Record<Signal, number> = { traces: 0, logs: 0 };
  /** The decompressed bodies of all requests, for canaries; only with `keep: 'all'`. */
  rawBodies: Buffer[] = [];
  #behaviour: (request: Request) => Behaviour = () => ({ type: 'accept' });
  #watchers = new Set<() => void>();
  readonly #options: ReceiverOptions;
  #close: () => Promise<void> = async () => {};

  constructor(options: ReceiverOptions = {}) {
    this.#options = options;
  }

  /** What `OTEL_EXPORTER_OTLP_ENDPOINT` is set to. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  behave(behaviour: Behaviour | ((request: Request) => Behaviour)): void {
    this.#behaviour = typeof behaviour === 'function' ? behaviour : () => behaviour;
  }

  /** Resolves when `condition` holds after some request; looked at after each. */
  async until(condition: () => boolean, timeoutMs = 10_000): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timeout = setTimeout(() => {
        this.#watchers.delete(watch);
        reject(new Error(`not within ${timeoutMs} ms: ${condition}`));
      }, timeoutMs);
      const watch = () => {
        if (!condition()) return;
        this.#watchers.delete(watch);
        clearTimeout(timeout);
        resolve();
      };
      this.#watchers.add(watch);
    });
  }

  close(): Promise<void> {
    return this.#close();
  }

  async listen(): Promise<this> {
    await (this.#options.protocol === 'grpc' ? this.#listenGrpc() : this.#listenHttp());
    return this;
  }

  async #listenHttp(): Promise<void> {
    const server = createServer(async (request, response) => {
      const signal = (['traces', 'logs'] as const).find(name => services[name].httpPath === request.url);
      if (signal === undefined) {
        if (this.#options.onOther) return this.#options.onOther(request, response);
        response.writeHead(404).end();
        return;
      }
      const sent = await buffer(request).catch(() => null);
      // Whoever sent it was killed in the middle of it.
      if (sent === null) return;
      const body = request.headers['content-encoding'] === 'gzip' ? gunzipSync(sent) : sent;
      const isJson = request.headers['content-type'] === 'application/json';
      const behaviour = this.#take(signal, body, isJson, request.headers);
      switch (behaviour.type) {
        case 'accept':
          response.setHeader('content-type', isJson ? 'application/json' : 'application/x-protobuf');
          response.end(isJson ? '{}' : '');
          break;
        case 'status':
          if (behaviour.retryAfter !== undefined) response.setHeader('retry-after', behaviour.retryAfter);
          response.writeHead(behaviour.status).end();
          break;
        case 'partial': {
          const answer = partialSuccess(signal, behaviour);
          // 64-bit integers are strings in protobuf's JSON mapping.
          response.end(isJson ? JSON.stringify(answer) : encode(signal, answer));
          break;
        }
        case 'rubbish':
          response.end(Buffer.from('\xff\xfe<html>not OTLP</html>', 'latin1'));
          break;
        case 'hang':
          break;
        case 'reset':
        case 'lose_answer':
          request.socket.resetAndDestroy();
          break;
      }
      this.#tellWatchers();
    });
    server.listen(this.#options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    this.#close = () =>
      new Promise(resolve => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
  }

  async #listenGrpc(): Promise<void> {
    const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
    for (const signal of ['traces', 'logs'] as const) {
      const raw = (bytes: Buffer) => bytes;
      const method = {
        path: services[signal].grpcPath,
        requestStream: false,
        responseStream: false,
        requestSerialize: raw,
        requestDeserialize: raw,
        responseSerialize: raw,
        responseDeserialize: raw,
      };
      server.addService(
        { export: method },
        {
          export: (call: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) => {
            const behaviour = this.#take(signal, call.request, false, {});
            switch (behaviour.type) {
              case 'accept':
                answer(null, Buffer.alloc(0));
                break;
              case 'status':
                answer({ code: behaviour.status, details: `told to answer ${behaviour.status}` });
                break;
              case 'partial':
                answer(null, encode(signal, partialSuccess(signal, behaviour)));
                break;
              case 'rubbish':
                answer(null, Buffer.from('\xff\xfenot OTLP', 'latin1'));
                break;
              case 'reset':
              case 'lose_answer':
                answer({ code: grpc.status.UNAVAILABLE, details: 'connection dropped' });
                break;
              case 'hang':
                break;
            }
            this.#tellWatchers();
          },
        },
      );
    }
    const bind = `127.0.0.1:${this.#options.port ?? 0}`;
    this.port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(bind, grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    this.#close = async () => server.forceShutdown();
  }

  #take(signal: Signal, body: Buffer, isJson: boolean, headers: IncomingMessage['headers']): Behaviour {
    this.requests[signal] += 1;
    const keepsAll = this.#options.keep !== 'ids';
    const records = keepsAll ? decode(signal, body, isJson) : [];
    if (keepsAll) this.rawBodies.push(body);
    const behaviour = this.#behaviour({ signal, records, headers });
    if (behaviour.type !== 'status' && behaviour.type !== 'hang' && behaviour.type !== 'reset') {
      const ids = keepsAll ? records.map(record => record.traceId) : scanTraceIds(signal, body, isJson);
      const takenCount = Math.max(0, ids.length - (behaviour.type === 'partial' ? behaviour.rejected : 0));
      const counts = this.traceIds[signal];
      for (const id of ids.slice(0, takenCount)) counts.set(id, (counts.get(id) ?? 0) + 1);
      (signal === 'traces' ? this.spans : this.logRecords).push(...records.slice(0, takenCount));
    }
    return behaviour;
  }

  #tellWatchers(): void {
    for (const watch of this.#watchers) watch();
  }
}

export function startOtlpReceiver(options?: ReceiverOptions): Promise<OtlpReceiver> {
  return new OtlpReceiver(options).listen();
}

function partialSuccess(signal: Signal, { rejected, message }: { rejected: number; message: string }) {
  return { partialSuccess: { [services[signal].rejectedField]: String(rejected), errorMessage: message } };
}

function encode(signal: Signal, answer: Record<string, unknown>): Buffer {
  const type = definitions.lookupType(services[signal].responseType);
  return Buffer.from(type.encode(type.fromObject(answer)).finish());
}

type Json = Record<string, unknown>;

function decode(signal: Signal, body: Buffer, isJson: boolean): ReceivedRecord[] {
  const { requestType, groups } = services[signal];
  const type = definitions.lookupType(requestType);
  const request = isJson ? JSON.parse(body.toString()) : type.toObject(type.decode(body), { longs: String });
  const [resources, scopes, records] = groups;
  const list = (from: Json, name: string) => (from[name] ?? []) as Json[];
  return list(request, resources).flatMap(group =>
    list(group, scopes).flatMap(scoped =>
      list(scoped, records).map(({ traceId, spanId, attributes, ...fields }) => ({
        traceId: hex(traceId),
        spanId: hex(spanId),
        attributes: plainAttributes(attributes),
        resource: plainAttributes((group.resource as Json).attributes),
        scope: scoped.scope as ReceivedRecord['scope'],
        fields: 'body' in fields ? { ...fields, body: plainValue(fields.body as Json) } : fields,
      })),
    ),
  );
}

/** OTLP/JSON writes IDs in hexadecimal, unlike other bytes. */
function hex(id: unknown): string {
  return typeof id === 'string' ? id : Buffer.from(id as Uint8Array).toString('hex');
}

function plainAttributes(attributes: unknown = []): Record<string, unknown> {
  const entries = (attributes as { key: string; value: Json }[]).map(({ key, value }) => [
    key,
    plainValue(value),
  ]);
  const plain = Object.fromEntries(entries);
  if (Object.keys(plain).length !== entries.length) throw new Error('attribute keys must be unique');
  return plain;
}

function plainValue(value: Json): unknown {
  const [kind, content] = Object.entries(value)[0] ?? [];
  switch (kind) {
    case 'intValue':
      return Number(content);
    case 'arrayValue':
      return ((content as Json).values as Json[]).map(plainValue);
    default:
      return content;
  }
}

/** Walks request → resource → scope → record, skipping all but the trace IDs. */
function scanTraceIds(signal: Signal, body: Buffer, isJson: boolean): string[] {
  if (isJson) return Array.from(body.toString().matchAll(/"traceId":"([0-9a-f]{32})"/g), match => match[1]!);
  const path = [1, 2, 2, services[signal].traceIdField];
  const ids: string[] = [];
  const walk = (reader: protobuf.Reader, end: number, depth: number) => {
    while (reader.pos < end) {
      const tag = reader.uint32();
      if (tag >>> 3 !== path[depth]) reader.skipType(tag & 7);
      else if (depth === path.length - 1) ids.push(Buffer.from(reader.bytes()).toString('hex'));
      else walk(reader, reader.uint32() + reader.pos, depth + 1);
    }
  };
  walk(protobuf.Reader.create(body), body.length, 0);
  return ids;
}
