/** What the receiver is for: the four kinds of trigger that Tencent names, from the callback to all three ends. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readOpenMetrics } from '../metrics/strict-openmetrics.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { exceptionsTotal, startExporter } from '../support/exporter.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { sampleBody, sampleSdkAppId, signedQuery, triggers } from '../support/samples.ts';

const seed = suite('seed triggers');
seed.after.each(cleanUp);

const tokens = ['token-of-yesterday', 'token-of-today'] as const;

/** Starts an exporter with both tokens, and posts one exception of each trigger, the tokens in turn. */
async function postTriggers() {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const exporter = await startExporter({
    env: {
      CALLBACK_TOKENS: `${tokens[0]},${sampleSdkAppId}:${tokens[1]}`,
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    },
  });
  const sentAt = Date.now();
  for (const [index, { errorCode, trigger }] of triggers.entries()) {
    const body = sampleBody({
      ErrorCode: errorCode,
      ErrorInfo: trigger,
      Random: index,
      EventTime: sentAt - 1_000 + index,
    });
    const { status } = await exporter.post(body, signedQuery(Date.now(), tokens[index % 2]));
    assert.is(status, 200, trigger);
  }
  await collector.until(
    () => collector.spans.length >= triggers.length && collector.logRecords.length >= triggers.length,
  );
  return { exporter, collector, sentAt };
}

seed('counts each under its code and category, whichever token signed it', async () => {
  const { exporter } = await postTriggers();
  const metrics = await exporter.metrics();
  for (const { errorCode, category } of triggers) {
    const labels = { error_code: String(errorCode), error_category: category };
    assert.is(metrics.sum(exceptionsTotal, labels), 1, category);
    assert.is(metrics.list('tencent_chat_error_code_info', labels).length, 1);
  }
  assert.is(metrics.sum(exceptionsTotal), triggers.length);
  assert.is(metrics.sum('tencent_chat_callback_authentication'), 1);
  assert.is(metrics.sum('tencent_chat_callbacks_rejected_total'), 0);
});

seed('refuses what neither token signed, and counts none of it', async () => {
  const exporter = await startExporter({ env: { CALLBACK_TOKENS: tokens.join(',') } });
  for (const query of [
    signedQuery(Date.now(), 'token-of-another'),
    signedQuery(Date.now(), tokens[0], { Sign: undefined }),
    signedQuery(Date.now() - 61_500, tokens[0]),
  ]) {
    const { status, body } = await exporter.post(sampleBody(), query);
    assert.is(status, 401);
    assert.is(JSON.parse(body).ActionStatus, 'FAIL');
  }
  const metrics = await exporter.metrics();
  assert.is(metrics.sum(exceptionsTotal), 0);
  assert.is(metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'signature' }), 2);
  assert.is(metrics.sum('tencent_chat_callbacks_rejected_total', { reason: 'stale' }), 1);
});

seed(
  'delivers a span and a log record of each, under one trace, with the names of the contract',
  async () => {
    const { exporter, collector, sentAt } = await postTriggers();
    assert.is(collector.spans.length, triggers.length);
    assert.is(collector.logRecords.length, triggers.length);
    for (const [index, { errorCode, trigger, category }] of triggers.entries()) {
      const span = collector.spans.find(({ attributes }) => attributes['error.type'] === String(errorCode))!;
      const log = collector.logRecords.find(({ traceId }) => traceId === span.traceId)!;
      assert.is(log.spanId, span.spanId);
      const occurredAt = `${sentAt - 1_000 + index}000000`;
      assert.is(span.fields.startTimeUnixNano, occurredAt);
      assert.is(log.fields.timeUnixNano, occurredAt);
      assert.is(log.fields.observedTimeUnixNano, span.fields.endTimeUnixNano);

      assert.is(span.fields.name, 'send');
      // PRODUCER and ERROR, by their numbers in OTLP.
      assert.is(span.fields.kind, 4);
      assert.is((span.fields.status as { code: number }).code, 2);
      assert.is(log.fields.eventName, 'tencent_chat.group_message.send_exception');
      assert.is(log.fields.body, trigger);

      const { 'user.hash': hash, 'tencent_chat.error.name': name, ...attributes } = span.attributes;
      assert.match(String(hash), /^[0-9a-f]{32}$/);
      assert.match(String(name), /^\w+$/);
      assert.equal(attributes, {
        'error.type': String(errorCode),
        'messaging.system': 'tencent_chat',
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'messaging.destination.name': '@TGS#2J4SZEAEL',
        'tencent_chat.sdk_app_id': sampleSdkAppId,
        'tencent_chat.error.code': errorCode,
        'tencent_chat.error.category': category,
        'tencent_chat.group.type': 'Public',
        'tencent_chat.platform': 'Android',
        'tencent_chat.initiator': 'user',
        'tencent_chat.online_only': true,
        'tencent_chat.message.element_types': ['TIMTextElem'],
        'tencent_chat.message.random': index,
      });
      assert.equal(log.attributes, { ...span.attributes, 'log.record.uid': span.traceId });
      assert.is(span.resource['service.name'], 'tencent-chat-exporter');
    }
    // Told by the exporter only once the collector's answer has come back.
    await until(async () => {
      const delivered = (await exporter.metrics()).list('tencent_chat_telemetry_delivered_total');
      return delivered.every(({ value }) => value === triggers.length);
    }, 'all to be told as delivered');
  },
);

seed('names the trace of each in an exemplar of its counter', async () => {
  const { exporter, collector } = await postTriggers();
  const scrape = await exporter.get('/metrics', { Accept: 'application/openmetrics-text; version=1.0.0' });
  assert.match(scrape.headers['content-type']!, 'application/openmetrics-text');
  const family = readOpenMetrics(scrape.body).find(({ name }) => `${name}_total` === exceptionsTotal)!;
  for (const span of collector.spans) {
    const code = String(span.attributes['error.type']);
    const sample = family.samples.find(({ labels }) => labels.error_code === code)!;
    assert.equal(sample.exemplar!.labels, { trace_id: span.traceId, span_id: span.spanId });
  }
});

seed.run();
