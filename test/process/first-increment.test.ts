/** A real Prometheus scrapes the real process: what it stores is what an alert will see. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readOpenMetrics } from '../metrics/strict-openmetrics.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, exceptionsTotal, startExporter } from '../support/exporter.ts';
import { exceptionBody } from '../support/oracle.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { type Prometheus, promtoolCheckMetrics, startPrometheus, until } from '../support/prometheus.ts';
import { sampleBody, sampleQuery, triggers } from '../support/samples.ts';

const increment = suite('first increment');
increment.after.each(cleanUp);

async function scrapedBy(exporter: Exporter): Promise<Prometheus> {
  const targets = [new URL(exporter.operationsUrl).host];
  const prometheus = await startPrometheus({
    scrape_configs: [{ job_name: 'exporter', static_configs: [{ targets, labels: { instance: 'here' } }] }],
  });
  onCleanUp(() => prometheus.close());
  await until(async () => (await prometheus.query('up')).some(({ value }) => value === 1), 'a scrape');
  return prometheus;
}

/** The increase that Prometheus sees of exceptions with these labels; waits until it sees one. */
async function increaseOf(prometheus: Prometheus, selector: string): Promise<number> {
  const [series] = await until(async () => {
    const found = await prometheus.query(`increase(${exceptionsTotal}{${selector}}[1m]) > 0`);
    return found.length > 0 && found;
  }, `an increase of ${selector}`);
  return series!.value;
}

increment('the very first exception of a label set is an increase, and its trace is found', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const exporter = await startExporter({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint } });
  const prometheus = await scrapedBy(exporter);

  await exporter.post(sampleBody());
  assert.ok((await increaseOf(prometheus, 'error_code="10023"')) > 0);

  // Another label set, once the first is known.
  await exporter.post(sampleBody({ ErrorCode: 10017 }), sampleQuery({ OptPlatform: 'Web' }));
  assert.ok((await increaseOf(prometheus, 'error_code="10017",platform="Web"')) > 0);

  await collector.until(() => collector.spans.length === 2);
  const exemplars = await until(async () => {
    const found = await prometheus.queryExemplars(exceptionsTotal);
    return found.length === 2 && found;
  }, 'the exemplars of both');
  for (const { seriesLabels, exemplars: list } of exemplars) {
    const span = collector.spans.find(
      ({ attributes }) => attributes['error.type'] === seriesLabels.error_code,
    )!;
    assert.equal(list[0]!.labels, { trace_id: span.traceId, span_id: span.spanId });
  }
  assert.equal(
    (await prometheus.targets()).map(({ health, lastError }) => [health, lastError]),
    [['up', '']],
  );
});

increment('what it exposes with real content is clean, in both formats', async () => {
  const exporter = await startExporter();
  for (let number = 0; number < triggers.length; number += 1) await exporter.post(exceptionBody(number));
  await exporter.post('{');
  await exporter.post(sampleBody(), sampleQuery({ CallbackCommand: 'Odd."Command"\n' }));
  await exporter.post(sampleBody({ Type: 'a"b\\c\nd', ErrorCode: { odd: true } }));

  const text = await exporter.get('/metrics');
  assert.match(text.headers['content-type']!, 'text/plain; version=0.0.4');
  assert.is(promtoolCheckMetrics(text.body), '');
  const openMetrics = await exporter.get('/metrics', {
    Accept: 'application/openmetrics-text; version=1.0.0',
  });
  const families = readOpenMetrics(openMetrics.body);
  const family = families.find(({ name }) => `${name}_total` === exceptionsTotal)!;
  assert.is(
    family.samples.reduce((sum, { value }) => sum + value, 0),
    triggers.length + 1,
  );
  assert.ok(family.samples.every(({ exemplar }) => exemplar !== null));
});

increment.run();
