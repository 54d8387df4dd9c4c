/**
 * From a signed callback to the message on somebody's screen: the real exporter, Debian's Prometheus with the shipped
 * scrape configuration and rules, Debian's Alertmanager with the shipped routes and templates. Only addresses differ,
 * and a minute takes a second: see shipped.ts.
 */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { jobName, links } from '../../src/grafana/settings.ts';
import { type Alertmanager, type PostedAlert, startAlertmanager } from '../support/alertmanager.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { type Exporter, exceptionsTotal, startExporter } from '../support/exporter.ts';
import { type Notifications, startNotifications } from '../support/notifications.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { type Prometheus, startPrometheus, until } from '../support/prometheus.ts';
import { sampleBody, sampleToken, signedQuery } from '../support/samples.ts';
import {
  alertmanagerInSixtieths,
  inSixtieths,
  type RuleFile,
  readShipped,
  shippedAlerts,
  shippedPath,
} from './shipped.ts';

const endToEnd = suite('end to end');
endToEnd.after.each(cleanUp);

interface PrometheusConfig {
  global: { scrape_interval: string; scrape_timeout: string; evaluation_interval: string };
  rule_files: string[];
  alerting: { alertmanagers: { static_configs: { targets: string[] }[] }[] };
  scrape_configs: { job_name: string; static_configs: { targets: string[] }[] }[];
}

interface Stack {
  exporter: Exporter;
  prometheus: Prometheus;
  alertmanager: Alertmanager;
  notifications: Notifications;
}

/** Resolves when Prometheus has scraped the exporter and has evaluated the rules once. */
async function startStack(env: Record<string, string>): Promise<Stack> {
  const exporter = await startExporter({ env: { CALLBACK_TOKENS: sampleToken, ...env } });
  const notifications = await startNotifications();
  const alertmanager = await startAlertmanager(alertmanagerInSixtieths(notifications));
  onCleanUp(() => alertmanager.close());

  const config = readShipped<PrometheusConfig>('prometheus.yml');
  config.global = { scrape_interval: '250ms', scrape_timeout: '250ms', evaluation_interval: '250ms' };
  const directory = temporaryDirectory();
  const ruleFiles = config.rule_files;
  // Prometheus takes 5 s to find its targets, whatever a minute takes: without them, with the rules, the exporter would be absent.
  config.rule_files = [join(directory, '*.json')];
  const [scrape] = config.scrape_configs;
  scrape!.static_configs = [{ targets: [new URL(exporter.operationsUrl).host] }];
  config.alerting.alertmanagers[0]!.static_configs = [{ targets: [new URL(alertmanager.url).host] }];
  mkdirSync(join(directory, 'assets'));
  symlinkSync(shippedPath('runbooks'), join(directory, 'assets/runbooks'));
  const prometheus = await startPrometheus({ ...config }, [
    `--web.user-assets=${join(directory, 'assets')}`,
    '--web.enable-lifecycle',
    // A sixtieth of the default: an alert that comes while Prometheus has not yet found Alertmanager is told the next time.
    '--rules.alert.resend-delay=1s',
  ]);
  onCleanUp(() => prometheus.close());
  await until(
    async () => (await prometheus.targets()).some(({ health }) => health === 'up'),
    'the first scrape',
  );
  for (const [index, path] of ruleFiles.entries()) {
    writeFileSync(join(directory, `${index}.json`), JSON.stringify(inSixtieths(readShipped<RuleFile>(path))));
  }
  await fetch(`${prometheus.url}/-/reload`, { method: 'POST' });
  await until(
    async () => (await prometheus.query('job:tencent_chat_exceptions:increase5m')).length > 0,
    'the first recorded series',
  );
  return { exporter, prometheus, alertmanager, notifications };
}

/** Posts so many different exceptions of one code, as Tencent signs them. */
async function sendExceptions(exporter: Exporter, count: number, errorCode: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    const now = Date.now();
    const body = sampleBody({
      ErrorCode: errorCode,
      EventTime: now,
      Random: number,
      From_Account: `user-${number}`,
    });
    const { status, body: answer } = await exporter.post(body, signedQuery(now));
    assert.is(status, 200, answer);
  }
}

interface Webhook {
  receiver: string;
  status: 'firing' | 'resolved';
  alerts: (Required<PostedAlert> & { status: 'firing' | 'resolved' })[];
}

/** What webhooks were told, in order. */
function webhooksOf({ all }: Notifications): Webhook[] {
  return all.filter(({ to }) => to.startsWith('/webhook/')).map(({ body }) => JSON.parse(body) as Webhook);
}

/** Waits until a webhook is told that an alert fires or is resolved. */
function toldOf(
  { notifications }: Stack,
  alertname: string,
  status: 'firing' | 'resolved',
): Promise<{ receiver: string; alert: Webhook['alerts'][number] }> {
  return until(
    async () => {
      for (const { receiver, alerts } of webhooksOf(notifications)) {
        const alert = alerts.find(each => each.labels.alertname === alertname && each.status === status);
        if (alert !== undefined) return { receiver, alert };
      }
      return undefined;
    },
    `${alertname} ${status}`,
    60_000,
  );
}

function alertnamesTold({ notifications }: Stack): string[] {
  const names = webhooksOf(notifications).flatMap(({ alerts }) =>
    alerts.map(({ labels }) => labels.alertname!),
  );
  return [...new Set(names)].sort();
}

endToEnd('a spike of internal errors pages, with where to look and what to do; its end is told', async () => {
  const stack = await startStack({});
  const { exporter, prometheus, notifications } = stack;
  await sendExceptions(exporter, 30, 10002);

  const { receiver, alert } = await toldOf(stack, 'TencentChatServerInternalErrors', 'firing');
  assert.is(receiver, 'page');
  assert.equal(alert.labels, {
    alertname: 'TencentChatServerInternalErrors',
    error_category: 'internal_error',
    job: jobName,
    severity: 'critical',
  });
  const { summary, description, runbook_url, dashboard_url } = alert.annotations;
  const rule = shippedAlerts().find(each => each.alert === 'TencentChatServerInternalErrors')!;
  assert.is(summary, rule.annotations.summary);
  assert.match(description!, new RegExp(`^${jobName} counts \\d`));
  assert.not.match(description!, /\{\{|<no value>/);
  assert.is(runbook_url, `${links.runbooksUrl}/TencentChatServerInternalErrors.md`);
  assert.is(
    dashboard_url,
    `${links.grafanaUrl}/d/${dashboardUids.errorCode}?var-job=${jobName}&var-error_category=internal_error`,
  );

  // What a person sees, by each way.
  const chat = await notifications.waitFor(({ to }) => to === '/slack', 'the chat message');
  const page = await notifications.waitFor(({ to }) => to === '/pagerduty', 'the page');
  for (const { body } of [chat, page]) {
    assert.ok(body.includes(`[CRITICAL] ${summary} (internal_error, ${jobName})`), body);
    // Go writes < > & in JSON as \u0026.
    assert.ok(JSON.stringify(JSON.parse(body)).includes(runbook_url!), body);
    assert.ok(JSON.stringify(JSON.parse(body)).includes(dashboard_url!), body);
  }

  // The runbook is where the link says: Prometheus serves it.
  for (const { annotations } of shippedAlerts()) {
    const { pathname } = new URL(annotations.runbook_url!);
    const response = await fetch(`${prometheus.url}${pathname}`);
    assert.is(response.status, 200, pathname);
    assert.match(await response.text(), /^# TencentChat/);
  }

  // The scrape configuration has agreed upon OpenMetrics: the text format has no exemplars.
  const exemplars = await until(async () => {
    const found = await prometheus.queryExemplars(`${exceptionsTotal}{error_code="10002"}`);
    return found.length > 0 && found;
  }, 'exemplars');
  for (const { exemplars: each } of exemplars) assert.match(each[0]!.labels.trace_id!, /^[0-9a-f]{32}$/);

  const { alert: end } = await toldOf(stack, 'TencentChatServerInternalErrors', 'resolved');
  assert.ok(Date.parse(end.endsAt) > Date.parse(end.startsAt));
  await notifications.waitFor(
    ({ to, body }) => to === '/slack' && body.includes('[RESOLVED]'),
    'the end in chat',
  );
  await notifications.waitFor(
    ({ to, body }) => to === '/pagerduty' && body.includes('"event_action":"resolve"'),
    'the end of the page',
  );
  assert.ok(notifications.all.some(({ to }) => to === '/dead-mans-switch'));
  assert.equal(alertnamesTold(stack), ['TencentChatServerInternalErrors', 'TencentChatWatchdog']);
});

endToEnd('an exporter that dies pages, and what follows from it is not told', async () => {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  collector.behave({ type: 'status', status: 400 });
  const stack = await startStack({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
  const { exporter, alertmanager } = stack;

  // A moment before the end, the endpoint refuses everything for good.
  await sendExceptions(exporter, 3, 10023);
  const { receiver } = await toldOf(stack, 'TencentChatTelemetryDropped', 'firing');
  assert.is(receiver, 'chat');
  const instance = new URL(exporter.operationsUrl).host;
  await exporter.kill('SIGKILL');

  const { receiver: paged, alert } = await toldOf(stack, 'TencentChatExporterDown', 'firing');
  assert.is(paged, 'page');
  assert.equal(alert.labels, {
    alertname: 'TencentChatExporterDown',
    instance,
    job: jobName,
    severity: 'critical',
  });
  assert.match(alert.annotations.description!, instance);

  // Takes a day of traffic to fire by itself.
  const stopped = shippedAlerts().find(each => each.alert === 'TencentChatCallbacksStopped')!;
  await alertmanager.post([
    {
      labels: { alertname: stopped.alert, job: jobName, ...stopped.labels },
      annotations: stopped.annotations,
    },
  ]);
  const follows = ['TencentChatCallbacksStopped', 'TencentChatTelemetryDropped'];
  await until(
    async () => {
      const held = await alertmanager.alerts();
      const suppressed = held.filter(({ status }) => status.state === 'suppressed');
      return follows.every(name => suppressed.some(({ labels }) => labels.alertname === name));
    },
    `${follows.join(' and ')} to be suppressed`,
  );
  assert.not.ok(alertnamesTold(stack).includes('TencentChatCallbacksStopped'));
});

endToEnd.run();
