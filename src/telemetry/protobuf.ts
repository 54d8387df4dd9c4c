/**
 * OTLP's protobuf of spans and log records, as a serializer for the SDK's exporters.
 *
 * The SDK's own goes over each batch twice, once to estimate its size, and encodes every attribute name anew: 23 µs an
 * exception for span and log record, more than all else that delivery does. This one writes once, into memory that
 * it keeps, names already encoded: 6 µs. It writes what delivery makes (mapping.ts) and no more: attributes are text,
 * booleans, integers and lists of text; there are no events, links or parents; a batch has one resource and one scope.
 *
 * Field numbers: opentelemetry-proto 1.10, trace.proto, logs.proto, common.proto. A tag is `number << 3 | wire type`.
 */
import type { Attributes, AttributeValue, HrTime } from '@opentelemetry/api';
import {
  type IExportLogsServiceResponse,
  type IExportTraceServiceResponse,
  type ISerializer,
  ProtobufLogsSerializer,
  ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer';
import type { ReadableLogRecord } from '@opentelemetry/sdk-logs';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';

/** For one exporter: a batch is encoded before the next is begun. */
export function createTraceSerializer(): ISerializer<ReadableSpan[], IExportTraceServiceResponse> {
  const writer = new ProtobufWriter();
  return {
    serializeRequest: spans => encodeRequest(writer, spans, writeSpan),
    deserializeResponse: data => ProtobufTraceSerializer.deserializeResponse(data),
  };
}

export function createLogsSerializer(): ISerializer<ReadableLogRecord[], IExportLogsServiceResponse> {
  const writer = new ProtobufWriter();
  return {
    serializeRequest: logRecords => encodeRequest(writer, logRecords, writeLogRecord),
    deserializeResponse: data => ProtobufLogsSerializer.deserializeResponse(data),
  };
}

/**
 * `ExportTraceServiceRequest` and `ExportLogsServiceRequest` differ in the innermost message only:
 * request { 1: resource part { 1: resource, 2: scope part { 1: scope, 2: item, 2: item, … } } }
 */
function encodeRequest<Item extends ReadableSpan | ReadableLogRecord>(
  writer: ProtobufWriter,
  items: readonly Item[],
  writeItem: (writer: ProtobufWriter, item: Item) => void,
): Uint8Array | undefined {
  const [first] = items;
  if (first === undefined) return undefined;
  const { resource, instrumentationScope: scope } = first;
  writer.clear();
  const resourcePart = writer.begin(0x0a);
  const resourceAt = writer.begin(0x0a);
  writer.attributes(0x0a, resource.attributes as Attributes);
  writer.end(resourceAt);
  const scopePart = writer.begin(0x12);
  const scopeAt = writer.begin(0x0a);
  writer.text(0x0a, scope.name);
  if (scope.version !== undefined) writer.text(0x12, scope.version);
  writer.end(scopeAt);
  for (const item of items) {
    const itemAt = writer.begin(0x12);
    writeItem(writer, item);
    writer.end(itemAt);
  }
  writer.end(scopePart);
  writer.end(resourcePart);
  return writer.copy();
}

/** The upper bits say that it is known whether the parent is remote; there is none. */
const spanFlagsMask = 0x100;

function writeSpan(writer: ProtobufWriter, span: ReadableSpan): void {
  const { traceId, spanId, traceFlags } = span.spanContext();
  writer.hex(0x0a, traceId);
  writer.hex(0x12, spanId);
  writer.text(0x2a, span.name);
  // The API counts from 0, the protocol has "unspecified" there.
  writer.varint(0x30, span.kind + 1);
  writer.time(0x39, span.startTime);
  writer.time(0x41, span.endTime);
  writer.attributes(0x4a, span.attributes);
  const statusAt = writer.begin(0x7a);
  if (span.status.message !== undefined) writer.text(0x12, span.status.message);
  writer.varint(0x18, span.status.code);
  writer.end(statusAt);
  writer.fixed32(0x85, traceFlags | spanFlagsMask);
}

function writeLogRecord(writer: ProtobufWriter, logRecord: ReadableLogRecord): void {
  writer.time(0x09, logRecord.hrTime);
  if (logRecord.severityNumber !== undefined) writer.varint(0x10, logRecord.severityNumber);
  if (logRecord.severityText !== undefined) writer.text(0x1a, logRecord.severityText);
  if (typeof logRecord.body === 'string') writer.anyValue(0x2a, logRecord.body);
  writer.attributes(0x32, logRecord.attributes);
  if (logRecord.spanContext !== undefined) {
    writer.fixed32(0x45, logRecord.spanContext.traceFlags);
    writer.hex(0x4a, logRecord.spanContext.traceId);
    writer.hex(0x52, logRecord.spanContext.spanId);
  }
  writer.time(0x59, logRecord.hrTimeObserved);
  if (logRecord.eventName !== undefined) writer.text(0x62, logRecord.eventName);
}

/** Lengths of up to 127 take one byte; a longer message is moved up when its length is known. */
const lengthBytesReserved = 1;

/** Longer text is converted by Node; for a word or two the call costs more than the bytes. */
const shortText = 64;

/** Writes fields one after the other. Every field is given by its tag, one byte unless said otherwise. */
class ProtobufWriter {
  #bytes = Buffer.allocUnsafeSlow(256 * 1024);
  #length = 0;
  /** Attribute names as encoded fields. There are about twenty. */
  readonly #names = new Map<string, Buffer>();

  clear(): void {
    this.#length = 0;
  }

  /** What was written, in memory of its own. */
  copy(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#length));
  }

  /** Begins a message; `end` wants what this returns. */
  begin(tag: number): number {
    this.#reserve(1 + lengthBytesReserved);
    this.#bytes[this.#length] = tag;
    this.#length += 1 + lengthBytesReserved;
    return this.#length;
  }

  end(begunAt: number): void {
    const length = this.#length - begunAt;
    const more = varintSize(length) - lengthBytesReserved;
    if (more > 0) {
      this.#reserve(more);
      this.#bytes.copyWithin(begunAt + more, begunAt, this.#length);
    }
    const end = this.#length + more;
    this.#length = begunAt - lengthBytesReserved;
    this.#rawVarint(length);
    this.#length = end;
  }

  /** A non-negative integer below 2^53. */
  varint(tag: number, value: number): void {
    this.#reserve(11);
    this.#bytes[this.#length++] = tag;
    this.#rawVarint(value);
  }

  text(tag: number, text: string): void {
    this.#reserve(1 + 5 + text.length * 3);
    this.#bytes[this.#length++] = tag;
    this.#rawText(text);
  }

  hex(tag: number, digits: string): void {
    const length = digits.length / 2;
    this.#reserve(2 + length);
    this.#bytes[this.#length++] = tag;
    this.#bytes[this.#length++] = length;
    this.#bytes.write(digits, this.#length, 'hex');
    this.#length += length;
  }

  /** Nanoseconds since the Unix epoch, as fixed64. */
  time(tag: number, [seconds, nanoseconds]: HrTime): void {
    this.#reserve(9);
    this.#bytes[this.#length++] = tag;
    // 1e9 × seconds has 61 bits. In two parts of 16 bits of the seconds, both products are exact.
    const high = Math.floor(seconds / 0x10000) * 1e9;
    const low = (seconds % 0x10000) * 1e9 + nanoseconds;
    const lowWord = (high % 0x10000) * 0x10000 + (low % 0x100000000);
    const carry = Math.floor(lowWord / 0x100000000);
    const highWord = Math.floor(high / 0x10000) + Math.floor(low / 0x100000000) + carry;
    this.#bytes.writeUInt32LE(lowWord % 0x100000000, this.#length);
    // Beyond the year 2554 the protocol has no time.
    this.#bytes.writeUInt32LE(highWord % 0x100000000, this.#length + 4);
    this.#length += 8;
  }

  /** The tag may take two bytes: a span's flags are the one field here with a number above 15. */
  fixed32(tag: number, value: number): void {
    this.#reserve(6);
    this.#rawVarint(tag);
    this.#bytes.writeUInt32LE(value, this.#length);
    this.#length += 4;
  }

  attributes(tag: number, attributes: Attributes): void {
    for (const name in attributes) {
      const value = attributes[name];
      if (value === undefined || value === null) continue;
      const at = this.begin(tag);
      this.#name(name);
      this.anyValue(0x12, value);
      this.end(at);
    }
  }

  anyValue(tag: number, value: AttributeValue): void {
    const at = this.begin(tag);
    switch (typeof value) {
      case 'string':
        this.text(0x0a, value);
        break;
      case 'boolean':
        this.varint(0x10, value ? 1 : 0);
        break;
      case 'number':
        this.#number(value);
        break;
      default: {
        const listAt = this.begin(0x2a);
        for (const item of value as string[]) this.anyValue(0x0a, item);
        this.end(listAt);
      }
    }
    this.end(at);
  }

  #number(value: number): void {
    this.#reserve(11);
    if (!Number.isSafeInteger(value)) {
      this.#bytes[this.#length++] = 0x21;
      this.#length = this.#bytes.writeDoubleLE(value, this.#length);
    } else if (value >= 0) {
      this.varint(0x18, value);
    } else {
      // A negative int64 is its two's complement: ten bytes.
      this.#bytes[this.#length++] = 0x18;
      let rest = BigInt.asUintN(64, BigInt(value));
      for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80;
      this.#bytes[this.#length++] = Number(rest);
    }
  }

  #name(name: string): void {
    let encoded = this.#names.get(name);
    if (encoded === undefined) {
      const bytes = Buffer.from(name);
      encoded = Buffer.from([0x0a, ...varintBytes(bytes.length), ...bytes]);
      this.#names.set(name, encoded);
    }
    this.#reserve(encoded.length);
    this.#bytes.set(encoded, this.#length);
    this.#length += encoded.length;
  }

  #rawText(text: string): void {
    const begunAt = this.#length;
    if (text.length <= shortText && this.#shortAscii(text)) return;
    this.#length = begunAt;
    this.#rawVarint(Buffer.byteLength(text));
    this.#length += this.#bytes.write(text, this.#length);
  }

  /** `false`, with rubbish written, for what is not ASCII. */
  #shortAscii(text: string): boolean {
    const bytes = this.#bytes;
    let length = this.#length;
    bytes[length++] = text.length;
    for (let index = 0; index < text.length; index += 1) {
      const code = text.charCodeAt(index);
      if (code > 0x7f) return false;
      bytes[length++] = code;
    }
    this.#length = length;
    return true;
  }

  #rawVarint(value: number): void {
    let rest = value;
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.#length + count));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 0x80)) size += 1;
  return size;
}

function varintBytes(value: number): number[] {
  return value > 0x7f ? [(value % 0x80) | 0x80, ...varintBytes(Math.floor(value / 0x80))] : [value];
}
