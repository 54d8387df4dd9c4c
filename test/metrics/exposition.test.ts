import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { contentTypes, encode, type Family, negotiate, type Sample } from '../../src/metrics/exposition.ts';
import { promtoolCheckMetrics } from '../support/prometheus.ts';
import { readOpenMetrics } from './strict-openmetrics.ts';

const exposition = suite('exposition');

const sample = (name: string, labels: Sample['labels'], value: number): Sample => ({
  name,
  labels,
  value,
  exemplar: null,
});

const exemplar = {
  labels: { trace_id: 'a'.repeat(32), span_id: 'b'.repeat(16) },
  value: 0.75,
  timestamp: 1795392000.125,
};

const hostile = 'C:\\new "line"\nforged_total{a="1"} 1';

const families: Family[] = [
  {
    name: 'messages_total',
    help: 'Backslash \\, quote " and\nline feed.',
    type: 'counter',
    samples: [
      { ...sample('messages_total', { path: hostile, kind: 'a' }, 3), exemplar: { ...exemplar, value: 1 } },
      sample('messages_total', { path: '', kind: 'é😀' }, 0),
    ],
  },
  { name: 'empty_total', help: 'No series yet.', type: 'counter', samples: [] },
  {
    name: 'level_info',
    help: 'Every kind of number.',
    type: 'gauge',
    samples: [
      sample('level_info', {}, 1),
      sample('level_info', { kind: 'nan' }, Number.NaN),
      sample('level_info', { kind: 'up' }, Number.POSITIVE_INFINITY),
      sample('level_info', { kind: 'down' }, Number.NEGATIVE_INFINITY),
      sample('level_info', { kind: 'small' }, 5.11e-7),
      sample('level_info', { kind: 'large' }, 1e21),
      sample('level_info', { kind: 'negative' }, -0.5),
    ],
  },
  {
    name: 'wait_seconds',
    help: 'A histogram.',
    type: 'histogram',
    samples: [
      sample('wait_seconds_bucket', { le: 0.5, outcome: 'ok' }, 1),
      { ...sample('wait_seconds_bucket', { le: 1, outcome: 'ok' }, 2), exemplar },
      sample('wait_seconds_bucket', { le: '+Inf', outcome: 'ok' }, 2),
      sample('wait_seconds_sum', { outcome: 'ok' }, 1.25),
      sample('wait_seconds_count', { outcome: 'ok' }, 2),
    ],
  },
];

const escapedPath = 'C:\\\\new \\"line\\"\\nforged_total{a=\\"1\\"} 1';

const gaugeLines = `level_info 1
level_info{kind="nan"} NaN
level_info{kind="up"} +Inf
level_info{kind="down"} -Inf
level_info{kind="small"} 5.11e-7
level_info{kind="large"} 1e+21
level_info{kind="negative"} -0.5
`;

exposition('writes text 0.0.4', async () => {
  const text = (await encode(families, 'text')).toString();
  assert.is(
    text,
    `# HELP messages_total Backslash \\\\, quote " and\\nline feed.
# TYPE messages_total counter
messages_total{path="${escapedPath}",kind="a"} 3
messages_total{path="",kind="é😀"} 0
# HELP empty_total No series yet.
# TYPE empty_total counter
# HELP level_info Every kind of number.
# TYPE level_info gauge
${gaugeLines}# HELP wait_seconds A histogram.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5",outcome="ok"} 1
wait_seconds_bucket{le="1",outcome="ok"} 2
wait_seconds_bucket{le="+Inf",outcome="ok"} 2
wait_seconds_sum{outcome="ok"} 1.25
wait_seconds_count{outcome="ok"} 2
`,
  );
  assert.is(promtoolCheckMetrics(text), '');
});

exposition('writes OpenMetrics 1.0', async () => {
  const ids = `trace_id="${'a'.repeat(32)}",span_id="${'b'.repeat(16)}"`;
  assert.is(
    (await encode(families, 'openmetrics')).toString(),
    `# TYPE messages counter
# HELP messages Backslash \\\\, quote \\" and\\nline feed.
messages_total{path="${escapedPath}",kind="a"} 3 # {${ids}} 1 1795392000.125
messages_total{path="",kind="é😀"} 0
# TYPE empty counter
# HELP empty No series yet.
# TYPE level_info gauge
# HELP level_info Every kind of number.
${gaugeLines}# TYPE wait_seconds histogram
# HELP wait_seconds A histogram.
wait_seconds_bucket{le="0.5",outcome="ok"} 1
wait_seconds_bucket{le="1.0",outcome="ok"} 2 # {${ids}} 0.75 1795392000.125
wait_seconds_bucket{le="+Inf",outcome="ok"} 2
wait_seconds_sum{outcome="ok"} 1.25
wait_seconds_count{outcome="ok"} 2
# EOF
`,
  );
});

exposition('is read back as it was meant', async () => {
  const read = readOpenMetrics((await encode(families, 'openmetrics')).toString());
  assert.equal(
    read.map(({ name, type, help }) => ({ name, type, help })),
    families.map(({ name, type, help }) => ({ name: name.replace(/_total$/, ''), type, help })),
  );
  assert.equal(read[0]!.samples[0], families[0]!.samples[0]);
  assert.equal(
    read[2]!.samples.map(({ value }) => value),
    families[2]!.samples.map(({ value }) => value),
  );
});

exposition('leaves out an exemplar of more than 128 characters, and keeps its sample', async () => {
  const long = { ...exemplar, labels: { trace_id: 'é'.repeat(121) } };
  const longest = { ...exemplar, labels: { trace_id: 'é'.repeat(120) } };
  const family = (given: typeof exemplar | typeof long): Family => ({
    ...families[0]!,
    samples: [{ ...families[0]!.samples[1]!, exemplar: given as Sample['exemplar'] }],
  });
  assert.match((await encode([family(longest)], 'openmetrics')).toString(), / 0 # \{trace_id="é{120}"\} /);
  assert.match((await encode([family(long)], 'openmetrics')).toString(), /😀"\} 0\n# EOF/);
});

exposition('lets callbacks be answered while it encodes 5,000 series', async () => {
  const many = Array.from({ length: 5000 }, (_, index) => sample('busy', { index: `${index}` }, index));
  let turns = 0;
  let isEncoding = true;
  const turn = () => {
    turns += 1;
    if (isEncoding) setImmediate(turn);
  };
  setImmediate(turn);
  const text = (
    await encode([{ name: 'busy', help: 'Busy.', type: 'gauge', samples: many }], 'text')
  ).toString();
  isEncoding = false;
  assert.ok(turns >= 10, `${turns} turns`);
  assert.is(text.trimEnd().split('\n').length, 5002);
});

exposition.run();

const negotiation = suite('negotiate');

const accepts: [sender: string, accept: string | undefined, format: 'text' | 'openmetrics'][] = [
  ['nobody', undefined, 'text'],
  ['an empty header', '', 'text'],
  ['curl', '*/*', 'text'],
  [
    'a browser',
    'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'text',
  ],
  [
    'Prometheus 2.42',
    'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    'openmetrics',
  ],
  [
    'Prometheus 3',
    'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1',
    'openmetrics',
  ],
  [
    'Prometheus with native histograms',
    'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
    'openmetrics',
  ],
  ['Prometheus before OpenMetrics', 'text/plain;version=0.0.4;q=1,*/*;q=0.1', 'text'],
  ['who names no version', 'application/openmetrics-text', 'openmetrics'],
  ['who quotes and spaces', 'Application/OpenMetrics-Text ; version="1.0.0" ; charset=utf-8', 'openmetrics'],
  ['who wants the draft only', 'application/openmetrics-text;version=0.0.1', 'text'],
  ['who refuses OpenMetrics', 'application/openmetrics-text;q=0, */*', 'text'],
  ['who wants text more', 'application/openmetrics-text;q=0.5, text/plain', 'text'],
  ['who wants any text more', 'application/openmetrics-text;q=0.5, text/*;q=0.7', 'text'],
  [
    'who wants text less than the rest',
    'application/openmetrics-text;q=0.5, text/plain;q=0.2, */*',
    'openmetrics',
  ],
  ['who wants both alike', 'text/plain, application/openmetrics-text', 'openmetrics'],
  ['who writes a bad weight', 'application/openmetrics-text;q=high, text/plain;q=0.1', 'text'],
  ['who accepts neither', 'application/json', 'text'],
];

for (const [sender, accept, format] of accepts) {
  negotiation(`gives ${format} to ${sender}`, () => assert.is(negotiate(accept), format));
}

negotiation('names version and charset in both content types', () => {
  assert.equal(contentTypes, {
    text: 'text/plain; version=0.0.4; charset=utf-8',
    openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
  });
});

negotiation.run();
