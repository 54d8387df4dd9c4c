/**
 * What the standard `OTEL_*` variables say about delivery, readable without loading the SDK. Endpoints, headers,
 * time-outs, compression and certificates are read by the SDK's own exporters.
 *
 * Specification: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { type Signal, signals } from '../journal/journal.ts';

type Env = Readonly<Record<string, string | undefined>>;

export const protocols = ['http/protobuf', 'http/json', 'grpc'] as const;
export type Protocol = (typeof protocols)[number];

/**
 * The signals to deliver, in the order of `signals`. A signal is off until it has an endpoint, its own or the shared
 * one; `OTEL_TRACES_EXPORTER=none`, `OTEL_LOGS_EXPORTER=none` and `OTEL_SDK_DISABLED=true` switch off.
 */
export function enabledSignals(env: Env): Signal[] {
  if (read(env, 'OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return [];
  return signals.filter(
    signal =>
      read(env, `OTEL_${signal.toUpperCase()}_EXPORTER`) !== 'none' &&
      readFor(env, signal, 'ENDPOINT') !== undefined,
  );
}

/** `http/protobuf` unless set, as the specification recommends; `null` for one that does not exist. */
export function protocolOf(env: Env, signal: Signal): Protocol | null {
  const name = readFor(env, signal, 'PROTOCOL')?.value ?? 'http/protobuf';
  return protocols.find(protocol => protocol === name) ?? null;
}

/**
 * One sentence for each setting of an enabled signal that cannot be followed. The SDK would go on without a word:
 * with an endpoint it cannot parse it delivers to `localhost:4318`. An endpoint may hold a password, so none is shown.
 */
export function telemetryProblems(env: Env): string[] {
  const problems = new Set<string>();
  for (const signal of enabledSignals(env)) {
    const exporterName = `OTEL_${signal.toUpperCase()}_EXPORTER`;
    const exporter = read(env, exporterName) ?? 'otlp';
    if (exporter !== 'otlp') problems.add(`${exporterName} expects "otlp" or "none", got "${exporter}"`);

    const protocol = protocolOf(env, signal);
    if (protocol === null) {
      const { name, value } = readFor(env, signal, 'PROTOCOL')!;
      problems.add(`${name} expects one of ${protocols.join(', ')}, got "${value}"`);
    }
    const { name, value } = readFor(env, signal, 'ENDPOINT')!;
    if (parseEndpoint(value, protocol) === null) {
      problems.add(
        `${name} expects a URL such as http://collector:${protocol === 'grpc' ? 4317 : 4318}, got something else`,
      );
    }
  }
  return [...problems];
}

/** Where an enabled signal is delivered to; `null` where its setting is none. It may hold a password. */
export function endpointOf(env: Env, signal: Signal): URL | null {
  return parseEndpoint(readFor(env, signal, 'ENDPOINT')?.value ?? '', protocolOf(env, signal));
}

function parseEndpoint(value: string, protocol: Protocol | null): URL | null {
  // gRPC alone may leave the scheme out, and may name a socket: "collector:4317", "unix:///run/otlp.sock".
  const hasScheme = /^\w{1,8}:\/\//.test(value);
  const url = URL.parse(protocol === 'grpc' && !hasScheme ? `https://${value}` : value);
  if (url === null) return null;
  const isUsable = /^https?:$/.test(url.protocol)
    ? url.hostname !== ''
    : protocol === 'grpc' && url.protocol === 'unix:';
  return isUsable ? url : null;
}

/** The signal's own variable, or else the shared one. */
export function readFor(env: Env, signal: Signal, what: string): { name: string; value: string } | undefined {
  for (const name of [`OTEL_EXPORTER_OTLP_${signal.toUpperCase()}_${what}`, `OTEL_EXPORTER_OTLP_${what}`]) {
    const value = read(env, name);
    if (value !== undefined) return { name, value };
  }
  return undefined;
}

/** An empty variable counts as unset: the specification's rule. */
function read(env: Env, name: string): string | undefined {
  return env[name]?.trim() || undefined;
}
