import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { enabledSignals, protocolOf, telemetryProblems } from '../../src/telemetry/settings.ts';

const settings = suite('telemetry settings');
const endpoint = 'http://collector:4318';

const enabled: [string, Record<string, string>, string[]][] = [
  ['nothing is delivered without an endpoint', {}, []],
  ['an empty endpoint is none', { OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, []],
  ['a shared endpoint enables both signals', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, ['traces', 'logs']],
  ["a signal's own endpoint enables that one", { OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: endpoint }, ['logs']],
  [
    'OTEL_TRACES_EXPORTER=none switches traces off',
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'none' },
    ['logs'],
  ],
  [
    'OTEL_LOGS_EXPORTER=none switches logs off',
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_LOGS_EXPORTER: 'none' },
    ['traces'],
  ],
  [
    'OTEL_SDK_DISABLED switches both off',
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SDK_DISABLED: 'True' },
    [],
  ],
];
for (const [name, env, expected] of enabled) {
  settings(name, () => assert.equal(enabledSignals(env), expected));
}

settings("a signal's own protocol wins over the shared one, and http/protobuf is the default", () => {
  const env = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_LOGS_PROTOCOL: 'http/json' };
  assert.is(protocolOf(env, 'traces'), 'grpc');
  assert.is(protocolOf(env, 'logs'), 'http/json');
  assert.is(protocolOf({}, 'logs'), 'http/protobuf');
  assert.is(protocolOf({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http' }, 'logs'), null);
});

const mistakes: [string, Record<string, string>, string[]][] = [
  ['a good setting is no problem', { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint }, []],
  ['nothing is checked while telemetry is off', { OTEL_EXPORTER_OTLP_PROTOCOL: 'carrier pigeon' }, []],
  [
    'an unknown protocol is named',
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'http' },
    ['OTEL_EXPORTER_OTLP_PROTOCOL expects one of http/protobuf, http/json, grpc, got "http"'],
  ],
  [
    'an exporter other than otlp is named',
    { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_TRACES_EXPORTER: 'zipkin' },
    ['OTEL_TRACES_EXPORTER expects "otlp" or "none", got "zipkin"'],
  ],
  [
    'an endpoint without a scheme is named, once, and not shown',
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'me:secret@collector:4318' },
    ['OTEL_EXPORTER_OTLP_ENDPOINT expects a URL such as http://collector:4318, got something else'],
  ],
  [
    'gRPC may leave the scheme out, or name a socket',
    {
      OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'collector:4317',
      OTEL_EXPORTER_OTLP_LOGS_ENDPOINT: 'unix:///run/otlp.sock',
    },
    [],
  ],
];
for (const [name, env, expected] of mistakes) {
  settings(name, () => assert.equal(telemetryProblems(env), expected));
}

settings.run();
