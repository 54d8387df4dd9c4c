/** Who is told what: the shipped alertmanager.yml in Debian's amtool and in a real Alertmanager. */
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Alertmanager,
  amtool,
  type HeldAlert,
  type PostedAlert,
  startAlertmanager,
} from '../support/alertmanager.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Notification, type Notifications, startNotifications } from '../support/notifications.ts';
import { until } from '../support/prometheus.ts';
import {
  type AlertmanagerConfig,
  alertmanagerInSixtieths,
  readShipped,
  sampleWebhookToken,
  shippedAlerts,
  shippedPath,
} from './shipped.ts';

const alertmanager = suite('alertmanager');
alertmanager.after.each(cleanUp);

const configFile = shippedPath('alertmanager.yml');
const config = readShipped<AlertmanagerConfig>('alertmanager.yml');
const alerts = shippedAlerts();

async function start(
  change: (config: AlertmanagerConfig) => void = () => {},
): Promise<{ server: Alertmanager; notifications: Notifications }> {
  const notifications = await startNotifications();
  const local = alertmanagerInSixtieths(notifications);
  change(local);
  const server = await startAlertmanager(local);
  onCleanUp(() => server.close());
  return { server, notifications };
}

/** An alert of the shipped rules by its name without the prefix, with the labels that its expression would give it. */
function alert(
  name: string,
  labels: Record<string, string> = {},
  more: Partial<PostedAlert> = {},
): PostedAlert {
  const alertname = `TencentChat${name}`;
  const rule = alerts.find(
    ({ alert, labels: { severity } }) =>
      alert === alertname && (labels.severity === undefined || labels.severity === severity),
  );
  assert.ok(rule, `${alertname} is among the rules`);
  return { labels: { alertname, job: 'exporter', ...rule.labels, ...labels }, ...more };
}

// ——— The file ———

alertmanager('passes amtool, which finds the template', () => {
  const { isContent, text } = amtool('check-config', configFile);
  assert.ok(isContent, text);
  assert.match(text, /1 templates/);
});

function receiverOf(labels: Record<string, string>): string {
  const words = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  return amtool('config', 'routes', 'test', `--config.file=${configFile}`, ...words).text;
}

alertmanager('sends every alert of the rules where its severity belongs', () => {
  const bySeverity: Record<string, string> = { critical: 'page', warning: 'chat', info: 'nobody' };
  const byName: Record<string, string> = {
    TencentChatWatchdog: 'dead-mans-switch',
    TencentChatCallbacksUnauthenticated: 'mail',
  };
  assert.ok(alerts.length > 20);
  for (const { alert: alertname, labels } of alerts) {
    const expected = byName[alertname] ?? bySeverity[labels.severity!];
    assert.is(receiverOf({ alertname, job: 'exporter', ...labels }), expected, alertname);
  }
});

alertmanager('sends an alert of a severity that no route knows to the chat', () => {
  assert.is(receiverOf({ alertname: 'SomethingElse', severity: 'notice' }), 'chat');
});

/** Everything with a name, anywhere in the configuration. */
function entriesOf(value: unknown): [name: string, value: unknown][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [
    ...(Array.isArray(value) ? [] : [[name, inner] as [string, unknown]]),
    ...entriesOf(inner),
  ]);
}

const oldMatchers = [
  'match',
  'match_re',
  'source_match',
  'source_match_re',
  'target_match',
  'target_match_re',
];
const secretName = /(password|secret|token|credentials|_key|api_url)$/;

function oldMatchersIn(value: unknown): string[] {
  return entriesOf(value)
    .map(([name]) => name)
    .filter(name => oldMatchers.includes(name));
}

function secretsIn(value: unknown): string[] {
  return entriesOf(value)
    .map(([name]) => name)
    .filter(name => secretName.test(name));
}

alertmanager('matches by matchers alone, and reads every secret from a file', () => {
  assert.equal(oldMatchersIn(config), []);
  assert.equal(secretsIn(config), []);
  assert.ok(entriesOf(config).filter(([name]) => name.endsWith('_file')).length >= 4);
  assert.equal(oldMatchersIn({ routes: [{ match: { severity: 'critical' } }] }), ['match']);
  assert.equal(secretsIn([{ pagerduty_configs: [{ routing_key: 'x' }], slack_api_url: 'y' }]), [
    'routing_key',
    'slack_api_url',
  ]);
});

/** `alertname=~"A(B|C)"` is AB and AC. */
function alertnamesOf(matchers: readonly string[]): string[] {
  return matchers.flatMap(matcher => {
    const [, pattern] = /^alertname=~?"(.*)"$/.exec(matcher) ?? [];
    if (pattern === undefined) return [];
    const [, before, choices, after] = /^(\w*)\(([\w|]+)\)(\w*)$/.exec(pattern) ?? [];
    if (choices === undefined) return [pattern];
    return choices.split('|').map(choice => `${before}${choice}${after}`);
  });
}

alertmanager('names no alert that the rules do not have', () => {
  const named = alertnamesOf([
    ...config.route.routes.flatMap(({ matchers }) => matchers!),
    ...config.inhibit_rules.flatMap(rule => [...rule.source_matchers, ...rule.target_matchers]),
  ]);
  assert.ok(named.length >= 10);
  const known = alerts.map(({ alert }) => alert);
  assert.equal(
    named.filter(name => !known.includes(name)),
    [],
  );
  assert.equal(alertnamesOf(['severity="info"', 'alertname=~"A(B|C)"', 'alertname="D"']), ['AB', 'AC', 'D']);
});

// ——— Inhibition ———

interface Inhibition {
  name: string;
  /** Fires first. */
  source: PostedAlert;
  suppressed: PostedAlert[];
  /** Stands beside the source. */
  active: PostedAlert[];
}

/** Every case has a job of its own, so that one Alertmanager serves all of them at once. */
function inhibitions(): Inhibition[] {
  const of =
    (job: string) =>
    (name: string, labels: Record<string, string> = {}) =>
      alert(name, { job, ...labels });
  const internal = of('internal');
  const spike = of('spike');
  const burn = of('burn');
  const down = of('down');
  const absent = of('absent');
  const journal = of('journal');
  return [
    {
      name: 'internal errors hide what else is told of their category',
      source: internal('ServerInternalErrors', { error_category: 'internal_error' }),
      suppressed: [internal('NewErrorCode', { error_category: 'internal_error', error_code: '10099' })],
      active: [
        internal('RateLimitSurge', { error_category: 'rate_limited' }),
        internal('PlatformRegression', { platform: 'iOS' }),
        alert('NewErrorCode', { job: 'another', error_category: 'internal_error', error_code: '10099' }),
      ],
    },
    {
      name: 'a spike hides the new code in its category',
      source: spike('ExceptionSpike', { error_category: 'invalid_parameter' }),
      suppressed: [spike('NewErrorCode', { error_category: 'invalid_parameter', error_code: '10004' })],
      active: [spike('NewErrorCode', { error_category: 'muted', error_code: '10017' })],
    },
    {
      name: 'a budget that burns fast hides that it also burns slowly',
      source: burn('CallbackBudgetBurn', { severity: 'critical' }),
      suppressed: [burn('CallbackBudgetBurn', { severity: 'warning' })],
      active: [burn('DelayHigh')],
    },
    {
      name: 'an exporter that is down hides that nothing comes and nothing is delivered',
      source: down('ExporterDown', { instance: 'a:9464' }),
      suppressed: [
        down('CallbacksStopped'),
        down('TelemetryDropped', { signal: 'traces' }),
        down('TelemetryNotDelivered', { instance: 'a:9464' }),
        down('ExporterRestarting', { instance: 'a:9464' }),
      ],
      active: [
        down('TelemetryNotDelivered', { instance: 'b:9464' }),
        down('JournalDown', { instance: 'a:9464' }),
        down('ExceptionSpike', { error_category: 'muted' }),
      ],
    },
    {
      name: 'an exporter that is absent hides that nothing comes',
      source: absent('ExporterAbsent'),
      suppressed: [absent('CallbacksStopped')],
      active: [absent('SignatureFailures', { reason: 'signature' })],
    },
    {
      name: 'a journal that is down hides that it fails, and nothing else',
      source: journal('JournalDown', { instance: 'a:9464' }),
      suppressed: [journal('JournalFailing', { instance: 'a:9464' })],
      active: [
        journal('JournalFailing', { instance: 'b:9464' }),
        journal('TelemetryNotDelivered', { instance: 'a:9464' }),
        journal('CallbacksStopped'),
      ],
    },
  ];
}

const describe = ({ labels }: { labels: Record<string, string> }): string =>
  JSON.stringify(Object.entries(labels).sort());

/** Labels of the alerts that webhooks were told of. */
function toldOf(notifications: Notifications): string[] {
  return notifications.all
    .filter(({ to }) => to.startsWith('/webhook/'))
    .flatMap(({ body }) => (JSON.parse(body) as { alerts: PostedAlert[] }).alerts.map(describe));
}

alertmanager('suppresses what another alert explains, and nothing else', async () => {
  const { server, notifications } = await start();
  const cases = inhibitions();
  await server.post(cases.map(({ source }) => source));
  await until(async () => (await server.alerts()).length === cases.length, 'the sources');
  await server.post(cases.flatMap(({ suppressed, active }) => [...suppressed, ...active]));

  const expected = new Map(
    cases.flatMap(
      ({ source, suppressed, active }) =>
        [
          [describe(source), 'active'],
          ...suppressed.map(each => [describe(each), 'suppressed']),
          ...active.map(each => [describe(each), 'active']),
        ] as [string, string][],
    ),
  );
  const held = await until(async () => {
    const now = await server.alerts();
    return now.length === expected.size && now.every(({ status }) => status.state !== 'unprocessed') && now;
  }, 'all alerts to be looked at');
  for (const one of held) assert.is(one.status.state, expected.get(describe(one)), describe(one));
  assert.is(held.filter(({ status }) => status.state === 'suppressed').length, 9);

  // What is active is told, but for what nobody is told; what is suppressed is not.
  const tellable = held.filter(({ receivers }) => receivers.every(({ name }) => name !== 'nobody'));
  const due = tellable.filter(({ status }) => status.state === 'active').map(describe);
  await until(
    async () => due.every(one => toldOf(notifications).includes(one)),
    'every active alert to be told',
  );
  assert.equal(
    tellable
      .filter(({ status }) => status.state === 'suppressed')
      .filter(one => toldOf(notifications).includes(describe(one))),
    [],
  );

  // It is told once its source is over.
  const [, , , exporterDown] = cases;
  await server.post([{ ...exporterDown!.source, endsAt: new Date().toISOString() }]);
  const stopped = describe(exporterDown!.suppressed[0]!);
  await until(
    async () => toldOf(notifications).includes(stopped),
    'what stood behind the exporter being down',
  );
});

alertmanager('suppresses by each of its inhibitions: one that is taken away is missed', async () => {
  const cases = inhibitions();
  for (const [index, rule] of config.inhibit_rules.entries()) {
    const { server } = await start(local => local.inhibit_rules.splice(index, 1));
    await server.post(cases.map(({ source }) => source));
    await until(async () => (await server.alerts()).length === cases.length, 'the sources');
    const targets = cases.flatMap(({ suppressed }) => suppressed);
    await server.post(targets);
    const held: HeldAlert[] = await until(async () => {
      const now = await server.alerts();
      return (
        now.length === cases.length + targets.length &&
        now.every(({ status }) => status.state !== 'unprocessed') &&
        now
      );
    }, 'all alerts to be looked at');
    const missed = held.filter(({ status }) => status.state === 'active').length - cases.length;
    assert.ok(missed > 0, `nothing is missed without ${JSON.stringify(rule)}`);
    await server.close();
  }
});

// ——— What is said, and to whom ———

const annotations = {
  summary: 'Tencent Cloud Chat is failing group messages with internal errors.',
  description: 'exporter counts 42 in five minutes, "far" above <usual> & more — 内部错误.',
  runbook_url: 'http://localhost:9090/user/runbooks/TencentChatServerInternalErrors.md',
  dashboard_url:
    'http://localhost:3000/d/tencent-chat-error-code?var-job=exporter&var-error_category=internal_error',
};

const internalErrors = (more: Partial<PostedAlert> = {}): PostedAlert =>
  alert(
    'ServerInternalErrors',
    { error_category: 'internal_error' },
    {
      annotations,
      startsAt: '2026-03-04T21:04:05Z',
      generatorURL: 'http://prometheus/graph?g0.expr=1',
      ...more,
    },
  );

const silence =
  'http://alertmanager.test/#/silences/new?filter=%7Balertname%3D%22TencentChatServerInternalErrors%22%2C%20error_category%3D%22internal_error%22%2C%20job%3D%22exporter%22%7D';
const alertLine =
  'Alert: alertname=TencentChatServerInternalErrors, error_category=internal_error, job=exporter, severity=critical';
const links = `Runbook: ${annotations.runbook_url}
Dashboard: ${annotations.dashboard_url}
Query: http://prometheus/graph?g0.expr=1`;

interface SlackMessage {
  attachments: [{ title: string; title_link: string; text: string; fallback: string; color: string }];
}

interface Page {
  routing_key: string;
  event_action: string;
  payload: { summary: string; severity: string; custom_details: Record<string, string> };
  links: { text: string; href: string }[];
}

const bodyOf = <Body>({ body }: Notification): Body => JSON.parse(body) as Body;

alertmanager('pages for a critical alert, and says in chat the same in plain words', async () => {
  const { server, notifications } = await start();
  await server.post([internalErrors()]);

  const { attachments } = bodyOf<SlackMessage>(
    await notifications.waitFor(({ to }) => to === '/slack', 'the chat message'),
  );
  const title =
    '[CRITICAL] Tencent Cloud Chat is failing group messages with internal errors. (internal_error, exporter)';
  assert.is(attachments[0].title, title);
  assert.is(attachments[0].fallback, title);
  assert.is(attachments[0].title_link, annotations.dashboard_url);
  assert.is(attachments[0].color, 'danger');
  assert.is(
    attachments[0].text,
    `Firing since 2026-03-04 21:04 UTC.\n${annotations.description}\n${alertLine}\n${links}\nSilence: ${silence}`,
  );

  const page = bodyOf<Page>(await notifications.waitFor(({ to }) => to === '/pagerduty', 'the page'));
  assert.is(page.event_action, 'trigger');
  assert.is(page.payload.summary, title);
  assert.is(page.payload.severity, 'critical');
  assert.match(
    page.payload.custom_details.firing!,
    /^Firing since 2026-03-04 21:04 UTC\.\nexporter counts 42/,
  );
  assert.equal(page.links, [
    { text: 'Runbook', href: annotations.runbook_url },
    { text: 'Dashboard', href: annotations.dashboard_url },
  ]);

  await server.post([internalErrors({ endsAt: '2026-03-04T21:20:00Z' })]);
  const { attachments: resolved } = bodyOf<SlackMessage>(
    await notifications.waitFor(
      ({ to, body }) => to === '/slack' && body.includes('RESOLVED'),
      'the resolution',
    ),
  );
  assert.is(resolved[0].title, title.replace('CRITICAL', 'RESOLVED'));
  assert.is(resolved[0].color, 'good');
  assert.is(
    resolved[0].text,
    `Resolved at 2026-03-04 21:20 UTC, was firing since 2026-03-04 21:04 UTC.\n${annotations.description}\n${alertLine}\n${links}`,
  );
  await notifications.waitFor(
    ({ to, body }) => to === '/pagerduty' && body.includes('"event_action":"resolve"'),
    'the end of the page',
  );
});

alertmanager('tells of several alerts of one thing in one message', async () => {
  const { server, notifications } = await start();
  const down = (instance: string) =>
    alert(
      'ExporterDown',
      { instance },
      { annotations: { summary: 'Down.', description: `${instance} is down.` } },
    );
  await server.post([down('a:9464'), down('b:9464')]);
  const { attachments } = bodyOf<SlackMessage>(
    await notifications.waitFor(({ to }) => to === '/slack', 'the chat message'),
  );
  assert.is(attachments[0].title, '[CRITICAL x2] Down. (exporter)');
  assert.match(attachments[0].text, /a:9464 is down\.\n.*\n\nFiring since .*b:9464 is down\.\n/s);
});

const always = [{ weekdays: ['sunday:saturday'] }];
/** Half a week away, whatever the zone. */
const notNow = (): object[] => [
  {
    weekdays: [
      new Date(Date.now() + 3 * 86_400_000)
        .toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' })
        .toLowerCase(),
    ],
  },
];

const unauthenticated = (): PostedAlert =>
  alert(
    'CallbacksUnauthenticated',
    { instance: 'a:9464' },
    { annotations: { summary: 'Anyone can send.', description: 'No tokens.' } },
  );

alertmanager('mails in office hours what waits for a setting', async () => {
  const { server, notifications } = await start(local => {
    local.time_intervals[0]!.time_intervals = always;
  });
  await server.post([unauthenticated()]);
  const { body } = await notifications.waitFor(({ to }) => to === 'mail', 'the mail');
  assert.match(body, /^Subject: \[WARNING\] Anyone can send\. \(exporter\)$/m);
  assert.match(body, /^No tokens\.$/m);
  assert.match(body, /^Content-Type: text\/plain/m);
  assert.not.match(body, /text\/html/);
});

alertmanager('keeps it back outside them, and other warnings not', async () => {
  const { server, notifications } = await start(local => {
    local.time_intervals[0]!.time_intervals = notNow();
    for (const route of local.route.routes) route.group_wait = '0s';
  });
  await server.post([unauthenticated(), alert('DelayHigh')]);
  const { attachments } = bodyOf<SlackMessage>(
    await notifications.waitFor(({ to }) => to === '/slack', 'the other warning'),
  );
  assert.match(attachments[0].title, /^\[WARNING\] /);
  assert.is(attachments[0].color, 'warning');
  await delay(500);
  assert.equal(
    notifications.all.filter(({ to }) => to === 'mail' || to === '/webhook/mail'),
    [],
  );
});

alertmanager('tells the dead man’s switch again and again that alerting works', async () => {
  const { server, notifications } = await start();
  await server.post([
    { ...alert('Watchdog'), labels: { alertname: 'TencentChatWatchdog', severity: 'none' } },
  ]);
  const beats = () => notifications.all.filter(({ to }) => to === '/dead-mans-switch');
  await until(async () => beats().length >= 3, 'three beats', 10_000);
  assert.is(beats()[0]!.headers.authorization, `Bearer ${sampleWebhookToken}`);
});

alertmanager('tells nobody of what is only good to know', async () => {
  const { server, notifications } = await start();
  await server.post([
    alert('LabelValuesFolded'),
    alert('ServerInternalErrors', { error_category: 'internal_error' }),
  ]);
  await notifications.waitFor(({ to }) => to === '/webhook/page', 'the other alert');
  await delay(500);
  assert.not.ok(notifications.all.some(({ body }) => body.includes('LabelValuesFolded')));
});

alertmanager.run();
