/** The files of grafana/ as they are shipped, and made fit for a run that takes seconds. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { grafanaFolder } from '../../src/grafana/generate.ts';
import { temporaryDirectory } from '../support/clean-up.ts';
import type { Notifications } from '../support/notifications.ts';

export interface ShippedAlert {
  alert: string;
  expr: string;
  for?: string;
  keep_firing_for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

export interface RuleFile {
  groups: { name: string; interval?: string; rules: (ShippedAlert | { record: string; expr: string })[] }[];
}

interface Route {
  receiver?: string;
  matchers?: string[];
  group_by?: string[];
  group_wait?: string;
  group_interval?: string;
  repeat_interval?: string;
  active_time_intervals?: string[];
  routes?: Route[];
}

export interface AlertmanagerConfig {
  global: Record<string, unknown>;
  templates: string[];
  time_intervals: { name: string; time_intervals: object[] }[];
  route: Route & { routes: Route[] };
  inhibit_rules: { source_matchers: string[]; target_matchers: string[]; equal: string[] }[];
  receivers: ({ name: string } & Record<string, Record<string, unknown>[]>)[];
}

/** The bearer token that the webhook of `alertmanagerInSixtieths` carries. */
export const sampleWebhookToken = 'token-of-the-webhook';

export const shippedPath = (path: string): string => join(grafanaFolder, path);

/** A YAML file of grafana/, by its path below that folder. */
export function readShipped<T>(path: string): T {
  return parse(readFileSync(shippedPath(path), 'utf8'), { merge: true }) as T;
}

/** A file of several YAML documents. */
export function readShippedAll<T>(path: string): T[] {
  return parseAllDocuments(readFileSync(shippedPath(path), 'utf8')).map(document => document.toJS() as T);
}

export function shippedAlerts(): ShippedAlert[] {
  return readShipped<RuleFile>('rules/alerts.yml').groups.flatMap(({ rules }) =>
    rules.filter(rule => 'alert' in rule),
  );
}

const durationText = String.raw`(?:\d+(?:ms|[smhdwy]))+`;

/** Milliseconds of `1h30m`. */
function durationMs(text: string): number {
  const unitMs: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 36e5, d: 864e5, w: 6048e5, y: 31536e6 };
  return [...text.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * unitMs[unit!]!,
    0,
  );
}

/** As many milliseconds as there were sixtieths of a second. */
function sixtieth(duration: string): string {
  return `${Math.round(durationMs(duration) / 60)}ms`;
}

/**
 * The shipped alertmanager.yml, with `notifications` in the place of every service that it names, in a world in which a
 * minute takes a second: waits, intervals and repetitions are divided by 60. Routes, matchers, inhibitions, templates and
 * times of day are the shipped ones. Every receiver that tells anybody gets a webhook besides, at `/webhook/<receiver>`,
 * which has labels and annotations as data.
 */
export function alertmanagerInSixtieths(notifications: Notifications): AlertmanagerConfig {
  const directory = temporaryDirectory();
  const secret = (name: string, value: string): string => {
    writeFileSync(join(directory, name), value);
    return join(directory, name);
  };
  const { httpUrl, smtpAddress } = notifications;
  const config = readShipped<AlertmanagerConfig>('alertmanager.yml');

  const { smtp_auth_username: _, smtp_auth_password_file: __, ...global } = config.global;
  config.global = {
    ...global,
    smtp_smarthost: smtpAddress,
    smtp_require_tls: false,
    slack_api_url_file: secret('slack', `${httpUrl}/slack`),
    pagerduty_url: `${httpUrl}/pagerduty`,
  };
  config.templates = config.templates.map(shippedPath);

  for (const receiver of config.receivers) {
    const webhooks = receiver.webhook_configs ?? [];
    for (const webhook of webhooks) {
      webhook.url = `${httpUrl}/${receiver.name}`;
      webhook.http_config = { authorization: { credentials_file: secret('webhook', sampleWebhookToken) } };
    }
    for (const pagerduty of receiver.pagerduty_configs ?? []) {
      pagerduty.routing_key_file = secret('pagerduty', 'key');
    }
    if (Object.keys(receiver).length === 1) continue;
    receiver.webhook_configs = [
      ...webhooks,
      { url: `${httpUrl}/webhook/${receiver.name}`, send_resolved: true },
    ];
  }

  for (const route of [config.route, ...config.route.routes]) {
    for (const wait of ['group_wait', 'group_interval', 'repeat_interval'] as const) {
      const duration = route[wait];
      if (duration !== undefined) route[wait] = sixtieth(duration);
    }
  }
  return config;
}

/**
 * The shipped rules in a world in which a minute takes a second: `for`, `keep_firing_for`, the groups' intervals, and in
 * the expressions the windows (`[5m]`, `[30m:5m]`) and offsets, all of them by one factor, and nothing else. Numbers
 * such as "ten exceptions" stay, and are then reached in a sixtieth of the time. Scrapes must come as much faster: every
 * 250 ms for 15 s.
 */
export function inSixtieths(file: RuleFile): RuleFile {
  const shortenAll = (text: string): string => text.replaceAll(new RegExp(durationText, 'g'), sixtieth);
  const pattern = new RegExp(
    String.raw`\[${durationText}(?::(?:${durationText})?)?\]|\boffset\s+-?${durationText}`,
    'g',
  );
  return {
    groups: file.groups.map(group => ({
      ...group,
      ...(group.interval === undefined ? {} : { interval: sixtieth(group.interval) }),
      rules: group.rules.map(rule => {
        const short = { ...rule, expr: rule.expr.replaceAll(pattern, shortenAll) };
        if ('alert' in short && short.for !== undefined) short.for = sixtieth(short.for);
        if ('alert' in short && short.keep_firing_for !== undefined) {
          short.keep_firing_for = sixtieth(short.keep_firing_for);
        }
        return short;
      }),
    })),
  };
}
