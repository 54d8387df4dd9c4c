/** The page's text, as it is rendered. What a browser makes of it is told in test/process/status-page.test.ts. */
import { hash } from 'node:crypto';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { peakOf, sparkline } from '../../src/http/sparkline.ts';
import type { Status } from '../../src/http/status.ts';
import { contentSecurityPolicy, renderStatusPage } from '../../src/http/status-page.ts';
import { ago, duration, iso, isoSeconds, size } from '../../src/http/words.ts';
import {
  minuteMs,
  newActivity,
  newCallbacks,
  newJournal,
  newRejections,
  newSignal,
  newStatus,
  newTally,
  now,
  traceIdOf,
} from './status-fixtures.ts';
import { scenes } from './status-scenes.ts';

const page = suite('status page');

const render = (changes: Partial<Status> = {}): string => renderStatusPage(newStatus(changes));

/** What a reader sees of it: without elements, spaces as one. */
function textOf(html: string): string {
  const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
  return html
    .replace(/<(style|title)>[\s\S]*?<\/\1>/g, '')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => entities[name]!)
    .replace(/\s+/g, ' ')
    .replaceAll(/ ([.,;:])(?= |$)/g, '$1');
}

/** The text of a section, by the ID of its heading. */
function section(html: string, id: string): string {
  const found = new RegExp(`<(section|nav)[^>]*aria-labelledby="${id}"[\\s\\S]*?</\\1>`).exec(html);
  assert.ok(found, id);
  return textOf(found[0]);
}

const hostile = `</td><script>alert("1")</script>&amp;'`;
const escaped = '&lt;/td&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;&#39;';

page('shows hostile values as the text that they are, wherever one can stand', () => {
  const html = render({
    version: hostile,
    replica: hostile,
    sdkAppIds: [hostile, '1400000002'],
    callbacks: newCallbacks({ path: hostile, publicUrl: null, tally: newTally({}) }),
    journal: newJournal({ location: hostile, lastFailure: { at: now, message: hostile } }),
    delivery: [newSignal('traces', { lastFailure: { at: now, message: hostile } })],
    activity: newActivity([{ groupId: hostile }]).view(now),
    rejections: [{ at: 0, reason: 'malformed', command: hostile, body: hostile }],
    links: {
      runbooks: `http://runbooks/${hostile}`,
      dashboards: `http://dashboards/${hostile}`,
      traceTemplate: `http://traces/${hostile}{trace_id}`,
    },
  });
  assert.not.match(html, /<script/);
  assert.is(html.split('alert(').length, html.split(escaped).length, 'each is escaped in full');
  assert.ok(html.split(escaped).length > 12);
});

page('shows every hostile label, should a journal hold one', () => {
  const view = newActivity([{}]).view(now);
  const labels = {
    sdk_app_id: hostile,
    error_code: hostile,
    error_category: hostile as 'other',
    group_type: hostile,
    platform: hostile,
    initiator: hostile as 'user',
  };
  const [code] = view.codes;
  const html = render({
    activity: {
      ...view,
      latest: [{ identity: hostile, receivedAt: 2 ** 62, labels }],
      codes: [
        {
          ...code!,
          errorCode: hostile,
          errorCategory: hostile as 'other',
          groupTypes: [[hostile, 1]],
          platforms: [[hostile, 1]],
        },
      ],
    },
  });
  assert.not.match(html, /<script/);
});

page('has its styles as the policy knows them, and no style or script elsewhere', () => {
  for (const [name, scene] of Object.entries(scenes)) {
    const html = renderStatusPage(scene);
    const [, ...styles] = html.split('<style>').map(part => part.split('</style>')[0]!);
    assert.is(styles.length, 1, name);
    assert.ok(contentSecurityPolicy.includes(`'sha256-${hash('sha256', styles[0]!, 'base64')}'`), name);
    assert.not.match(html, / style=| on\w+=|<script|javascript:|http-equiv/, name);
  }
});

page('says first whether it is well', () => {
  assert.match(render(), /<title>Well · exporter-1 · tencent-chat-exporter<\/title>/);
  assert.match(section(render(), 'verdict'), /^ The exporter is well\. /);
  const down = render({ tokens: 0, journal: newJournal({ downSince: now - 4 * minuteMs }) });
  assert.match(down, /<title>Failing · /);
  assert.match(
    section(down, 'verdict'),
    /^ The journal cannot be written\. Also: Callbacks are not authenticated: anyone who finds the URL is believed\. /,
  );
});

page('shows what is not well before the rest, with what to do and the runbook', () => {
  const html = render({ tokens: 0, delivery: [] });
  const order = [...html.matchAll(/<h2 id="([A-Z]\w+)">/g)].map(([, name]) => name);
  assert.equal(order, ['Authentication', 'Delivery', 'Journal', 'Callbacks']);
  assert.match(
    section(html, 'Authentication'),
    /Attention Callbacks are not authenticated.*Set a long random token.*Runbook/,
  );
  assert.match(
    html,
    /href="http:\/\/localhost:9090\/user\/runbooks\/TencentChatCallbacksUnauthenticated\.md"/,
  );
});

/** What is told of each state, by section. */
const told: { name: string; changes: Partial<Status>; in: string; text: RegExp }[] = [
  {
    name: 'the journal, where it is and how full',
    changes: {},
    in: 'Journal',
    text: /Kept 1,204 exceptions, each for 25 h Size 4\.2 MB of 1\.1 GB File \.\/data\/journal\.db/,
  },
  {
    name: 'since when the journal is down, why, and what is held in memory',
    changes: scenes['journal down'],
    in: 'Journal',
    text: /Since 4 min ago 2026-11-25T21:00:31Z In memory only 1,377 exceptions Failures since the start 61 Last failure 2 s ago 2026-11-25T21:04:29Z: database or disk is full/,
  },
  {
    name: 'delivery that is off',
    changes: { delivery: [] },
    in: 'Delivery',
    text: /Off Delivery is off.*OTEL_EXPORTER_OTLP_ENDPOINT/,
  },
  {
    name: 'delivery that is up to date',
    changes: {},
    in: 'Delivery',
    text: /Delivered up to 12 s ago 2026-11-25T21:04:19Z Backlog 0 exceptions Traces 1,204 delivered, 0 dropped, 0 dead letters; the last 11 s ago/,
  },
  {
    name: 'the backlog, how old it is, and why each signal fails',
    changes: scenes['backlog growing'],
    in: 'Delivery',
    text: /Delivered up to 47 min ago \S+ Backlog 9,120 exceptions, the oldest 47 min ago \S+ Traces 1,204 delivered.*Fails now: 9 s ago \S+: connect ECONNREFUSED 10\.0\.4\.17:4318 Logs 1,204 delivered, 12 dropped, 1 dead letter; the last 11 s ago \S+ Last failure: 47 min ago \S+: HTTP 503/,
  },
  {
    name: 'that what is in memory is not delivered',
    changes: { journal: newJournal({ downSince: now - 3 * minuteMs, unwritten: 2 }) },
    in: 'Delivery',
    text: /Delivered up to 3 min ago/,
  },
  {
    name: 'how many tokens are valid',
    changes: { tokens: 2 },
    in: 'Authentication',
    text: /Tokens 2 valid SDKAppID 1400000001/,
  },
  {
    name: 'the last callback of any kind, the last exception, and what became of all',
    changes: {},
    in: 'Callbacks',
    text: /Last callback 12 s ago \S+, counted: Group\.CallbackSendMsgException Last exception 12 s ago \S+ Since the start 17 counted, 1 duplicate, 0 ignored, 0 rejected/,
  },
  {
    name: 'that nothing has come',
    changes: scenes['nothing received'],
    in: 'Callbacks',
    text: /Waiting No callback has come.*Last callback none since the start Last exception none is known/,
  },
  {
    name: 'the callback URL to paste',
    changes: {},
    in: 'callback-url',
    text: /Callback URL https:\/\/chat\.example\.org\/ How/,
  },
  {
    name: 'how to put the callback URL together',
    changes: { callbacks: newCallbacks({ publicUrl: null, path: '/tencent' }) },
    in: 'callback-url',
    text: /https:\/\/ your-proxy \/tencent.*scheme and host of your reverse proxy before the path \/tencent; set CALLBACK_PUBLIC_URL/,
  },
  {
    name: 'what differs between the callback URL and the path, and that it is not https',
    changes: { callbacks: newCallbacks({ publicUrl: 'http://chat.example.org/a', path: '/b' }) },
    in: 'callback-url',
    text: /Its path is not CALLBACK_PATH: the proxy must pass it on as \/b\. It is not https/,
  },
  {
    name: 'which callback to switch on',
    changes: {},
    in: 'callback-url',
    text: /Switch on the callback .*Group\.CallbackSendMsgException/,
  },
  {
    name: 'where the token of the console is',
    changes: { tokens: 2 },
    in: 'callback-url',
    text: /must be one of the 2 of CALLBACK_TOKENS, which this page does not show/,
  },
  {
    name: 'that a token is wanted',
    changes: { tokens: 0 },
    in: 'callback-url',
    text: /set a long random token of letters and digits/,
  },
  { name: 'that nothing fails', changes: {}, in: 'failing', text: /Nothing failed in the last hour\.\s*$/ },
  {
    name: 'what fails, how often, where, and what to do',
    changes: scenes.evening,
    in: 'failing',
    text: /821 exceptions of 5 codes in the last hour, 23 in the last five minutes\..* 10023 group_send_msg_freq_limit rate_limited 650 in the hour, 4 in 5 min an hour ago most 85, at 20:50Z now/,
  },
  {
    name: 'meaning and remedy of a code, its group types and platforms',
    changes: scenes.evening,
    in: 'failing',
    text: /More messages than the per-group limit.*Merge or throttle messages.* Group types: AVChatRoom 619, Public 31 Platforms: Android 412, iOS 207, Web 31/,
  },
  { name: 'that there are more codes', changes: scenes['30 codes'], in: 'failing', text: /22 codes more/ },
  {
    name: 'that some label sets are counted together',
    changes: { activity: { ...newActivity([{}]).view(now), unlisted: 7 } },
    in: 'failing',
    text: /7 exceptions more, of label sets beyond those/,
  },
  {
    name: 'from when on it counts, where that is not the whole hour',
    changes: { activity: newActivity([], now - 9 * minuteMs).view(now) },
    in: 'failing',
    text: /Only what came from 9 min ago \S+ on is counted here/,
  },
  { name: 'that no exception is known', changes: {}, in: 'exceptions', text: /None is known/ },
  {
    name: 'an exception with its group and its trace',
    changes: { activity: newActivity([{ groupId: '@TGS#2', platform: 'iOS', age: minuteMs }]).view(now) },
    in: 'exceptions',
    text: new RegExp(
      `60 s ago 2026-11-25T21:03:31Z 10023 group_send_msg_freq_limit @TGS#2 Public iOS user ${traceIdOf(0)} `,
    ),
  },
  {
    name: 'that the group of an exception is not kept, or that it had none',
    changes: { activity: newActivity([{ groupId: undefined }, { groupId: null, age: 1 }]).view(now) },
    in: 'exceptions',
    text: /freq_limit not kept Public.*freq_limit none Public.*Group IDs are not kept/,
  },
  {
    name: 'which app an exception is of, where there are several',
    changes: { sdkAppIds: ['1400000001', '1400000002'], activity: newActivity([{}]).view(now) },
    in: 'exceptions',
    text: /Code SDKAppID Group.*freq_limit 1400000001 @TGS/,
  },
  { name: 'that nothing was refused', changes: {}, in: 'rejections', text: /None since the start/ },
  {
    name: 'each reason of the rejections, how often, why usually, and what to do',
    changes: scenes['100 rejections'],
    in: 'rejections',
    text: /431 callbacks were refused since the start; these are the last 100\..* signature 34 4 s ago \S+ The token in Tencent's console.*Set CALLBACK_TOKENS.* overload 16 /,
  },
  {
    name: 'the latest rejections',
    changes: { rejections: newRejections(1, ['stale']) },
    in: 'rejections',
    text: /Command 4 s ago 2026-11-25T21:04:27Z stale Group\.CallbackSendMsgException\s*$/,
  },
  {
    name: 'the bodies of rejections, where they are kept',
    changes: {
      rejections: [
        { at: now, reason: 'malformed', command: 'other', body: '{"a":' },
        { at: now, reason: 'stale', command: 'other', body: null },
      ],
    },
    in: 'rejections',
    text: /Body just now \S+ malformed other 5 characters \{"a": just now \S+ stale other not read/,
  },
  { name: 'where dashboards would be', changes: {}, in: 'links', text: /Dashboards: set DASHBOARDS_URL/ },
];

for (const { name, changes, in: id, text } of told) {
  page(`tells ${name}`, () => {
    assert.match(section(render(changes), id), text);
  });
}

page('sums up in a sentence what fails, also when the exporter is well', () => {
  const summary = (changes: Partial<Status>) => section(render(changes), 'verdict');
  assert.match(
    summary(scenes.evening),
    /821 exceptions in the last hour, 23 in the last five minutes; most often 10023 group_send_msg_freq_limit\. $/,
  );
  assert.match(
    summary({ activity: newActivity([{}]).view(now) }),
    /1 exception in the last hour, 1 in the last five minutes; all of them 10023/,
  );
  assert.match(
    summary({}),
    /No exception in the last hour; the last one came 12 s ago 2026-11-25T21:04:19Z\./,
  );
  assert.match(summary(scenes['nothing received']), /No exception is known\./);
});

page('links traces by the template, and only where there is one', () => {
  const activity = newActivity([{}]).view(now);
  const links = { ...newStatus().links, traceTemplate: 'https://g/x?id={trace_id}&again={trace_id}' };
  const id = traceIdOf(0);
  assert.ok(
    render({ activity, links }).includes(
      `<a href="https://g/x?id=${id}&amp;again=${id}"><code>${id}</code></a>`,
    ),
  );
  assert.match(section(render({ activity }), 'exceptions'), /Set TRACE_URL_TEMPLATE/);
});

page('links metrics, JSON, health, runbooks and dashboards', () => {
  const links = { ...newStatus().links, dashboards: 'https://grafana.example.org/' };
  const targets = [...render({ links }).matchAll(/<a href="([^"#]+)"/g)].map(([, target]) => target);
  assert.equal(targets, [
    './',
    'https://grafana.example.org/',
    'http://localhost:9090/user/runbooks/README.md',
    'http://localhost:9090/user/runbooks/error-codes.md',
    'metrics',
    'api/status',
    '-/healthy',
    '-/ready',
  ]);
});

page('opens the set-up of the console as long as no callback was accepted', () => {
  assert.match(render(scenes['nothing received']), /<details open>/);
  assert.match(render(scenes['only refused']), /<details open>/);
  assert.not.match(render(), /<details open>/);
});

page('tells each time for people and for programs', () => {
  assert.ok(
    render({ activity: newActivity([{ age: 2 * minuteMs }]).view(now) }).includes(
      '<time datetime="2026-11-25T21:02:31.250Z">2 min ago <span class="iso">2026-11-25T21:02:31Z</span></time>',
    ),
  );
});

const drawing = suite('sparkline');

drawing('draws a bar for each minute that has any, and says the same in words', () => {
  const perMinute = [...new Array(55).fill(0), 4, 0, 0, 40, 1];
  const { text } = sparkline(perMinute, now);
  assert.match(
    text,
    /role="img" aria-label="Per minute over the last 60 minutes: 40 exceptions at most, at 21:03 UTC; 45 in the last 5 minutes\."/,
  );
  const bars = [...text.matchAll(/M(\d+) 24v-([\d.]+)h/g)].map(([, minute, height]) => [
    Number(minute),
    Number(height),
  ]);
  assert.equal(bars, [
    [55, 2.4],
    [58, 24],
    [59, 1.5],
  ]);
});

drawing('says that there is none', () => {
  const { text } = sparkline(new Array(60).fill(0), now);
  assert.match(text, /aria-label="Per minute over the last 60 minutes: none\."/);
  assert.not.match(text, /NaN|Infinity/);
});

drawing('of several minutes with the most, names the latest', () => {
  assert.equal(peakOf([7, 0, 7, 1], now), { count: 7, at: Date.UTC(2026, 10, 25, 21, 3) });
});

const words = suite('words');

words('a time as its distance', () => {
  const second = 1_000;
  const pairs = (
    [
      [0, 'just now'],
      [second, '1 s ago'],
      [119 * second, '119 s ago'],
      [120 * second, '2 min ago'],
      [7_199 * second, '119 min ago'],
      [7_200 * second, '2 h ago'],
      [172_800 * second, '2 d ago'],
      [-90 * second, 'in 90 s'],
    ] as const
  ).map(([age, text]) => [ago(now - age, now), text]);
  for (const [got, text] of pairs) assert.is(got, text);
  assert.is(duration(0), '0 s');
});

words('a size in the unit that fits', () => {
  assert.equal([0, 999, 1_000, 9_940, 99_500, 1_073_741_824, 2e15].map(size), [
    '0 B',
    '999 B',
    '1.0 kB',
    '9.9 kB',
    '100 kB',
    '1.1 GB',
    '2000 TB',
  ]);
});

words('a time that cannot be is told as the nearest that can', () => {
  assert.is(isoSeconds(now), '2026-11-25T21:04:31Z');
  assert.equal([iso(-1), iso(2 ** 62)], ['1970-01-01T00:00:00.000Z', '+275760-09-13T00:00:00.000Z']);
});

page.run();
drawing.run();
words.run();
