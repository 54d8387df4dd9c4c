import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalogue } from '../../src/callback/catalogue.ts';
import { elementTypeLabels } from '../../src/callback/classify.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { defaultMetricsLeftOut, type MetricRow, metricTable } from '../../src/metrics/table.ts';
import { promtoolCheckMetrics } from '../support/prometheus.ts';
import { count, lines, newLabels, newMetrics, openMetrics, startedAt, text } from './fixtures.ts';
import { readOpenMetrics } from './strict-openmetrics.ts';

const exceptions = 'tencent_chat_group_message_exceptions_total';
const command = 'Group.CallbackSendMsgException';
const minute = 60_000;

const rows: MetricRow[] = Object.values(metricTable);

const series = (labels: Record<string, string>) =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}}`;

const metric = suite('metrics');

metric('shows every metric of the table, and no other of this exporter, from the start', async () => {
  const described = (await text(newMetrics())).matchAll(/^# TYPE (tencent_chat_\S+) (\S+)$/gm);
  assert.equal(
    [...described].map(([, name, type]) => ({ name, type })),
    rows.map(({ name, type }) => ({ name, type })),
  );
});

metric('shows the same metrics with the same values in both formats', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels());
  metrics.callbackAnswered(command, 'counted', 0.003);
  const own = (scrape: string) =>
    scrape
      .split('\n')
      .filter(line => line.startsWith('tencent_chat_'))
      .map(line => line.replace(/ # .*/, '').replace(/le="(\d+)\.0"/, 'le="$1"'));
  assert.equal(own(await openMetrics(metrics)), own(await text(metrics)));
});

metric('is found clean by promtool, at the start and with a value everywhere', async () => {
  const metrics = newMetrics();
  assert.is(promtoolCheckMetrics(await text(metrics)), '');
  count(metrics, newLabels());
  metrics.callbackRejected('other', 'signature', 0.001);
  assert.is(promtoolCheckMetrics(await text(metrics)), '');
});

metric('is strict OpenMetrics, exemplars included', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels());
  metrics.callbackAnswered(command, 'counted', 0.003, { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16) });
  metrics.callbackAnswered(command, 'counted', 60, { traceId: 'e'.repeat(32), spanId: 'f'.repeat(16) });
  const families = readOpenMetrics(await openMetrics(metrics));
  const exemplars = families.flatMap(({ samples }) => samples.filter(({ exemplar }) => exemplar !== null));
  assert.equal(
    exemplars.map(({ name, labels, exemplar }) => [name, labels.le, exemplar!.labels]),
    [
      [exceptions, undefined, { trace_id: 'a'.repeat(32), span_id: 'b'.repeat(16) }],
      [
        'tencent_chat_callback_duration_seconds_bucket',
        '0.005',
        { trace_id: 'c'.repeat(32), span_id: 'd'.repeat(16) },
      ],
      [
        'tencent_chat_callback_duration_seconds_bucket',
        '+Inf',
        { trace_id: 'e'.repeat(32), span_id: 'f'.repeat(16) },
      ],
    ],
  );
});

metric('starts every closed series at 0', async () => {
  const scrape = await text(newMetrics());
  for (const { name, type, initial } of rows) {
    const sampleName = type === 'histogram' ? `${name}_count` : name;
    for (const labels of initial ?? [])
      assert.ok(scrape.includes(`\n${sampleName}${series(labels)} 0\n`), name);
  }
  assert.is(lines(scrape, 'tencent_chat_telemetry_dropped_total').length, 4);
  assert.is(lines(scrape, 'tencent_chat_callbacks_rejected_total').length, 7);
  assert.is(lines(scrape, 'tencent_chat_exception_senders').length, errorCategories.length);
});

metric('has the buckets of the objective, of the deadline and of the time-out', async () => {
  const scrape = await text(newMetrics());
  for (const bound of ['1', '1.5', '2']) {
    assert.match(
      scrape,
      `tencent_chat_callback_duration_seconds_bucket{le="${bound}",outcome="counted"} 0\n`,
    );
  }
});

metric('gives each callback exactly one outcome', async () => {
  const metrics = newMetrics();
  metrics.callbackAnswered(command, 'counted', 0.001);
  metrics.callbackAnswered(command, 'duplicate', 0.001);
  metrics.callbackAnswered('Group.CallbackAfterSendMsg', 'ignored', 0.001);
  metrics.callbackRejected('other', 'stale', 0.001);
  const scrape = await text(metrics);
  const ones = lines(scrape, 'tencent_chat_callbacks_total').filter(line => !line.endsWith(' 0'));
  assert.equal(ones, [
    `tencent_chat_callbacks_total{command="${command}",outcome="counted"} 1`,
    `tencent_chat_callbacks_total{command="${command}",outcome="duplicate"} 1`,
    'tencent_chat_callbacks_total{command="Group.CallbackAfterSendMsg",outcome="ignored"} 1',
    'tencent_chat_callbacks_total{command="other",outcome="rejected"} 1',
  ]);
  assert.match(scrape, 'tencent_chat_callbacks_rejected_total{reason="stale"} 1\n');
  for (const outcome of ['counted', 'duplicate', 'ignored', 'rejected']) {
    assert.match(scrape, `tencent_chat_callback_duration_seconds_count{outcome="${outcome}"} 1\n`);
  }
});

metric('says what the journal and the delivery tell', async () => {
  const metrics = newMetrics();
  metrics.journalUp(true);
  metrics.journalCommitted(0.0007);
  metrics.journalFailed();
  metrics.unwritten(3);
  metrics.journalStats({ bytes: 4096, events: 12, backlogEvents: 5, oldestUndeliveredAt: startedAt - 1500 });
  metrics.delivered('traces', 512);
  metrics.deliveryFailed('logs');
  metrics.dropped('logs', 'partial_success', 2);
  metrics.deadLettered('traces');
  metrics.fieldsInvalid(['Random', 'EventTime']);
  metrics.labelFolded('error_code');
  const scrape = await text(metrics);
  for (const line of [
    'journal_up 1',
    'journal_commit_seconds_bucket{le="0.001"} 1',
    'journal_failures_total 1',
    'journal_unwritten_events 3',
    'journal_bytes 4096',
    'journal_bytes_max 1000',
    'journal_events 12',
    'telemetry_backlog_events 5',
    `telemetry_oldest_undelivered_timestamp_seconds ${(startedAt - 1500) / 1000}`,
    'telemetry_delivered_total{signal="traces"} 512',
    'telemetry_failures_total{signal="logs"} 1',
    'telemetry_dropped_total{signal="logs",reason="partial_success"} 2',
    'telemetry_dead_letters_total{signal="traces"} 1',
    'invalid_fields_total{field="Random"} 1',
    'invalid_fields_total{field="EventTime"} 1',
    'label_values_folded_total{label="error_code"} 1',
    'callback_authentication 1',
    `exporter_build_info{version="1.2.3",revision="abcdef0",node_version="${process.version}"} 1`,
  ]) {
    assert.match(scrape, `\ntencent_chat_${line}\n`);
  }
});

metric('counts the element types of moderated messages, and of no others', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels(), { elementTypes: ['TIMSoundElem'] });
  const moderated = newLabels({ error_code: '80001', error_category: 'moderated' });
  count(metrics, moderated, { elementTypes: ['TIMTextElem', 'TIMImageElem'] });
  count(metrics, moderated, { elementTypes: ['TIMImageElem', 'TIMHologramElem'] });
  count(metrics, moderated, { elementTypes: [] });
  const sampled = lines(await text(metrics), 'tencent_chat_moderated_elements_total');
  assert.is(sampled.length, elementTypeLabels.length);
  assert.equal(
    sampled.filter(line => !line.endsWith(' 0')),
    [
      'tencent_chat_moderated_elements_total{msg_type="TIMTextElem"} 1',
      'tencent_chat_moderated_elements_total{msg_type="TIMImageElem"} 2',
      'tencent_chat_moderated_elements_total{msg_type="other"} 1',
    ],
  );
});

metric('says that the oldest undelivered exception is of now when none waits', async () => {
  let now = startedAt;
  const metrics = newMetrics({ now: () => now });
  now += 5000;
  assert.match(
    await text(metrics),
    `\ntencent_chat_telemetry_oldest_undelivered_timestamp_seconds ${startedAt / 1000 + 5}\n`,
  );
});

metric('keeps the receipt time of the last exception, also when an older one comes after it', async () => {
  const metrics = newMetrics();
  assert.match(await text(metrics), '\ntencent_chat_last_exception_timestamp_seconds 0\n');
  count(metrics, newLabels(), { receivedAt: startedAt + 2000 });
  count(metrics, newLabels(), { receivedAt: startedAt + 1000 });
  assert.match(
    await text(metrics),
    `\ntencent_chat_last_exception_timestamp_seconds ${startedAt / 1000 + 2}\n`,
  );
});

metric('names every code of the catalogue, and every other one from its first exception on', async () => {
  const metrics = newMetrics();
  const infos = async () => lines(await text(metrics), 'tencent_chat_error_code_info');
  const single = catalogue.filter(({ code }) => typeof code === 'number');
  assert.is((await infos()).length, single.length);
  assert.ok(
    (await infos()).includes(
      'tencent_chat_error_code_info{error_code="10017",error_category="muted",name="group_sender_muted"} 1',
    ),
  );
  count(metrics, newLabels({ error_code: '10150', error_category: 'rejected_by_app' }));
  count(metrics, newLabels({ error_code: '99999', error_category: 'unknown' }));
  count(metrics, newLabels({ error_code: '99999', error_category: 'unknown', platform: 'iOS' }));
  count(metrics, newLabels({ error_code: 'other', error_category: 'unknown' }));
  count(metrics, newLabels({ error_code: 'other', error_category: 'rejected_by_app' }));
  assert.equal((await infos()).slice(single.length), [
    'tencent_chat_error_code_info{error_code="10150",error_category="rejected_by_app",name="group_custom_app_code"} 1',
    'tencent_chat_error_code_info{error_code="99999",error_category="unknown",name="unknown"} 1',
    'tencent_chat_error_code_info{error_code="other",error_category="unknown",name="unknown"} 1',
    'tencent_chat_error_code_info{error_code="other",error_category="rejected_by_app",name="unknown"} 1',
  ]);
});

metric('goes on from the totals after a restart, with labels that are other objects', async () => {
  const metrics = newMetrics();
  metrics.restore([{ labels: newLabels(), count: 41, bornAt: startedAt - 60 * minute }], []);
  count(metrics, newLabels());
  count(metrics, newLabels({ platform: 'iOS' }));
  const own = lines(await text(metrics), exceptions);
  assert.equal(
    own.map(line => line.split(' ').at(-1)),
    ['42', '1'],
  );
});

metric('counts distinct senders and groups at once after a restart, each with its age', async () => {
  let monotonic = 0;
  const metrics = newMetrics({ monotonicNow: () => monotonic });
  const recent = (ageMs: number, senderHash: number) => ({
    receivedAt: startedAt - ageMs,
    errorCategory: 'muted' as const,
    senderHash,
    groupHash: 9,
  });
  metrics.restore([], [recent(6 * minute, 1), recent(4 * minute, 2), recent(0, 3), recent(-minute, 4)]);
  count(metrics, newLabels({ error_category: 'muted' }), { senderHash: 3 });
  const senders = async () =>
    /exception_senders\{error_category="muted"\} (\d+)/.exec(await text(metrics))![1];
  assert.is(await senders(), '3');
  assert.match(await text(metrics), 'tencent_chat_exception_groups{error_category="muted"} 2\n');
  assert.match(
    await text(metrics),
    `\ntencent_chat_last_exception_timestamp_seconds ${(startedAt + minute) / 1000}\n`,
  );
  monotonic = 2 * minute;
  assert.is(await senders(), '2');
});

metric('shows each newborn series to a scraper at 0 first, without its exemplar', async () => {
  let now = startedAt;
  const metrics = newMetrics({ now: () => now });
  const prometheus = { address: '10.0.0.1', userAgent: 'Prometheus' };
  const scrape = async (isSent = true) => {
    const { body, sent } = await metrics.render('application/openmetrics-text', prometheus);
    if (isSent) sent();
    return lines(body.toString(), exceptions).map(line => /\} (\d+)( # )?/.exec(line)!.slice(1));
  };
  const zero = ['0', undefined];
  const one = ['1', ' # '];
  metrics.restore(
    [
      { labels: newLabels({ platform: 'Mac' }), count: 7, bornAt: startedAt - minute },
      { labels: newLabels({ platform: 'iPad' }), count: 9, bornAt: startedAt - 10 * minute },
    ],
    [],
  );
  count(metrics, newLabels());
  const old = ['9', undefined];
  const young = ['7', undefined];
  assert.equal(await scrape(false), [old, zero, zero], 'in order of birth');
  assert.equal(await scrape(), [old, zero, zero]);
  now += 10 * minute;
  count(metrics, newLabels({ platform: 'iOS' }));
  assert.equal(await scrape(), [old, young, one, zero]);
  assert.equal(await scrape(), [old, young, one, one]);
});

metric('does not take a label set for newborn because it comes as another object', async () => {
  const metrics = newMetrics();
  const prometheus = { address: '10.0.0.1', userAgent: 'Prometheus' };
  const scrape = async () => {
    const { body, sent } = await metrics.render(undefined, prometheus);
    sent();
    return lines(body.toString(), exceptions).map(line => line.at(-1));
  };
  count(metrics, newLabels());
  assert.equal(await scrape(), ['0']);
  count(metrics, newLabels());
  assert.equal(await scrape(), ['2']);
  count(metrics, newLabels({ platform: 'iOS' }));
  assert.equal(await scrape(), ['2', '0']);
});

metric('shows a scrape as it was when it began', async () => {
  const metrics = newMetrics();
  const prometheus = { address: '10.0.0.1', userAgent: 'Prometheus' };
  (await metrics.render(undefined, prometheus)).sent();
  for (let code = 0; code < 3000; code++) count(metrics, newLabels({ error_code: `${20000 + code}` }));
  const rendering = metrics.render(undefined, null);
  const scraping = metrics.render(undefined, prometheus);
  count(metrics, newLabels({ error_code: '30000' }));
  await new Promise(setImmediate);
  for (let code = 0; code < 3000; code++) count(metrics, newLabels({ error_code: `${20000 + code}` }));
  const values = lines((await rendering).body.toString(), exceptions);
  assert.is(values.length, 3000);
  assert.ok(values.every(line => line.endsWith(' 1')));
  (await scraping).sent();
  const next = lines((await metrics.render(undefined, prometheus)).body.toString(), exceptions);
  assert.equal(
    [next[0]!.at(-1), next.at(-1)!.at(-1)],
    ['2', '0'],
    'what was born meanwhile has its 0 to come',
  );
});

metric.run();

const promClient = suite("prom-client's bugs");

promClient('a label value that is an array forges no series', async () => {
  const metrics = newMetrics();
  const forged = ['x"} 1\nforged_total{a="b'] as unknown as string;
  count(metrics, newLabels({ platform: forged }));
  metrics.callbackAnswered(forged, 'ignored', 0.001);
  for (const scrape of [await text(metrics), await openMetrics(metrics)]) {
    assert.not.match(scrape, 'forged');
    assert.is(lines(scrape, exceptions).length, 1);
    assert.match(scrape, /exceptions_total\{.*platform="other".*\} 1/);
  }
});

promClient('a text scrape keeps _total after an OpenMetrics one', async () => {
  const metrics = newMetrics();
  const before = lines(await text(metrics), 'tencent_chat_journal_failures_total');
  await openMetrics(metrics);
  assert.equal(lines(await text(metrics), 'tencent_chat_journal_failures_total'), before);
  assert.is(before.length, 1);
});

promClient('an exemplar that is too long is counted without it, and leaves the scrape readable', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels(), { traceId: 'a'.repeat(300) });
  metrics.callbackAnswered(command, 'counted', 0.001, { traceId: 'a'.repeat(300), spanId: '' });
  const scrape = await openMetrics(metrics);
  readOpenMetrics(scrape);
  assert.is(lines(scrape, exceptions).length, 1);
  assert.match(lines(scrape, exceptions)[0]!, /\} 1$/);
});

promClient('an exemplar goes with the series that was counted', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels({ platform: 'iOS' }), { traceId: '1'.repeat(32) });
  count(metrics, newLabels({ platform: 'Web' }), { traceId: '2'.repeat(32) });
  count(metrics, newLabels({ platform: 'iOS' }), { traceId: '3'.repeat(32) });
  const found = lines(await openMetrics(metrics), exceptions).map(line =>
    /platform="(\w+)".* (\d) # \{trace_id="(\d)/.exec(line)!.slice(1),
  );
  assert.equal(found, [
    ['iOS', '2', '3'],
    ['Web', '1', '2'],
  ]);
});

for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1]) {
  promClient(`${odd} is taken for 0, and nothing stays odd after it`, async () => {
    const metrics = newMetrics();
    metrics.restore([{ labels: newLabels(), count: odd, bornAt: startedAt }], []);
    count(metrics, newLabels(), { occurredAt: startedAt - odd * 1000 });
    metrics.callbackAnswered(command, 'counted', odd);
    metrics.callbackRejected(command, 'stale', odd);
    metrics.journalCommitted(odd);
    metrics.delivered('traces', odd);
    metrics.dropped('logs', 'journal_full', odd);
    const scrape = await text(metrics);
    assert.not.match(scrape, /^tencent_chat_\S+ (NaN|[+-]Inf|-\d.*)$/m);
    assert.match(scrape, /exceptions_total\{.*\} 1\n/);
    assert.match(scrape, '\ntencent_chat_callback_delay_seconds_count 1\n');
    assert.match(scrape, '\ntencent_chat_journal_commit_seconds_sum 0\n');
  });
}

promClient('two label sets whose values hold commas and colons do not merge', async () => {
  const metrics = newMetrics();
  count(metrics, newLabels({ platform: 'Web,sdk_app_id:1', sdk_app_id: '2' }));
  count(metrics, newLabels({ platform: 'Web', sdk_app_id: '1,sdk_app_id:2' }));
  const own = lines(await text(metrics), exceptions);
  assert.is(own.length, 2);
  assert.ok(own.every(line => line.endsWith(' 1')));
});

promClient.run();

const defaults = suite('default metrics');

/** What dashboards and alerts are built on. */
const relied = [
  'process_cpu_seconds_total',
  'process_start_time_seconds',
  'process_resident_memory_bytes',
  'process_open_fds',
  'process_max_fds',
  'nodejs_eventloop_lag_p99_seconds',
  'nodejs_heap_size_used_bytes',
];

defaults('has those that dashboards and alerts are built on, and GC durations', async () => {
  const scrape = await text(newMetrics());
  for (const name of relied) assert.is(lines(scrape, name).length, 1, name);
  assert.match(scrape, '# TYPE nodejs_gc_duration_seconds histogram\n');
});

defaults('has none that was left out on purpose', async () => {
  const names = new Set([...(await text(newMetrics())).matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
  for (const name of defaultMetricsLeftOut) assert.not.ok(names.has(name), name);
});

defaults('is never NaN and never absurd, also when scrapes follow at once', async () => {
  const metrics = newMetrics();
  for (let scrape = 0; scrape < 3; scrape++) {
    for (const { name, samples } of readOpenMetrics(await openMetrics(metrics))) {
      if (!name.startsWith('nodejs_eventloop')) continue;
      for (const { value } of samples) assert.ok(value >= 0 && value < 60, `${name} ${value}`);
    }
  }
});

defaults.run();
