/**
 * The exporter at work, on this machine alone: with the traffic of an app that does not exist and, where they are
 * installed, Prometheus and Alertmanager with the rules that are shipped.
 *
 *     npm run demo                  until Ctrl-C, which ends all that it started
 *     npm run demo -- --incident    with an incident, so that an alert fires within three minutes
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import { watchAlerts } from './alerts.ts';
import { Children } from './children.ts';
import { type IncidentOptions, startIncident } from './incident.ts';
import { findTools, startMonitoring, type Tools } from './monitoring.ts';
import { answers, choosePort } from './web.ts';

const sdkAppId = '1400000001';
const callbacksPerSecond = 2;
/** After the start of the traffic; how long. */
const incident = { afterMs: 5_000, forMs: 5 * 60_000 };

const usage = `npm run demo [-- --incident]

Starts the exporter with believable traffic and, where they are installed, Prometheus and Alertmanager, all on
127.0.0.1 and with their data in a temporary directory. Ctrl-C ends and removes all of it.

  --incident  has Tencent fail with internal errors for five minutes: an alert fires within three
  --help      shows this
`;

const startJs = join(import.meta.dirname, '../start.js');
const startedAt = performance.now();

process.exit(await main(process.argv.slice(2)));

async function main(args: string[]): Promise<number> {
  let options: { incident?: boolean; help?: boolean };
  try {
    options = parseArgs({
      args,
      options: { incident: { type: 'boolean' }, help: { type: 'boolean' } },
    }).values;
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    return 2;
  }
  if (options.help) {
    say(usage);
    return 0;
  }

  const children = new Children();
  const directory = mkdtempSync(join(tmpdir(), 'tencent-chat-exporter-demo-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  // If all else fails.
  process.once('exit', () => {
    children.kill();
    remove();
  });
  const interrupted = new Promise<void>(resolve => {
    // Asked twice is asked once: npm hands on the Ctrl-C that the terminal has sent already.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => resolve());
  });

  let code = 0;
  await Promise.race([
    run(children, directory, options.incident === true),
    children.failed,
    interrupted,
  ]).catch(error => {
    process.stderr.write(`\n${(error as Error).message}\n`);
    code = 1;
  });
  say('\nStopping.\n');
  await children.stop();
  return code;
}

/** Starts all of it, and tells of alerts for ever. */
async function run(children: Children, directory: string, hasIncident: boolean): Promise<void> {
  const ports = {
    callbacks: await choosePort(8080),
    operations: await choosePort(9464),
    prometheus: await choosePort(9090),
    alertmanager: await choosePort(9093),
  };
  const callbackUrl = `http://127.0.0.1:${ports.callbacks}/`;
  const operationsUrl = `http://127.0.0.1:${ports.operations}`;
  const prometheusUrl = `http://127.0.0.1:${ports.prometheus}`;
  const token = randomBytes(16).toString('hex');
  const app = { SDK_APP_IDS: sdkAppId, CALLBACK_TOKENS: token };
  say(styleText('bold', '\nThe exporter, with the traffic of an app that does not exist\n\n'));

  children.start('the exporter', process.execPath, [startJs], {
    env: {
      ...app,
      CALLBACK_LISTEN: new URL(callbackUrl).host,
      OPERATIONS_LISTEN: new URL(operationsUrl).host,
      JOURNAL: `sqlite:${join(directory, 'journal.db')}`,
      RUNBOOKS_URL: `${prometheusUrl}/user/runbooks`,
      LOG_LEVEL: 'warn',
    },
    onLine: line => process.stderr.write(`${line}\n`),
  });
  await answers(`${operationsUrl}/-/ready`);
  const tools = findTools();
  const monitoring = await startMonitoring({ children, tools, directory, ports });
  children.start(
    'the traffic',
    process.execPath,
    [startJs, 'simulate', callbackUrl, '--rate', String(callbacksPerSecond)],
    { env: app, onEnd: summary => say(`${summary}\n`) },
  );

  showPlaces({
    'Status page': `${operationsUrl}/`,
    Metrics: `${operationsUrl}/metrics`,
    ...monitoring?.places,
  });
  say(`What is counted, in a terminal:\n
  curl -s ${operationsUrl}/metrics | grep ^tencent_chat_group_message_exceptions_total\n\n`);
  for (const hint of hintsFor(tools)) say(`${hint}\n\n`);
  say(`${callbacksPerSecond} callbacks a second go to ${callbackUrl}. Ctrl-C ends it all.\n\n`);

  if (hasIncident) scheduleIncident({ callbackUrl, sdkAppId, token });
  if (monitoring !== null) await watchAlerts(prometheusUrl, news);
  await new Promise(() => {});
}

function scheduleIncident(options: IncidentOptions): void {
  setTimeout(() => {
    news('an incident begins: Tencent fails messages of many senders with internal errors');
    const { stop } = startIncident(options);
    setTimeout(() => {
      stop();
      news('the incident is over');
    }, incident.forMs);
  }, incident.afterMs);
}

function showPlaces(places: Record<string, string>): void {
  const width = Math.max(...Object.keys(places).map(name => name.length));
  for (const [name, url] of Object.entries(places)) {
    say(`  ${name.padEnd(width)}  ${styleText('cyan', url)}\n`);
  }
  say('\n');
}

function hintsFor({ prometheus, alertmanager }: Tools): string[] {
  const missing = [
    ...(prometheus === null ? ['Prometheus'] : []),
    ...(alertmanager === null ? ['Alertmanager'] : []),
  ];
  if (missing.length === 0) return [];
  const consequence =
    prometheus === null ? 'so there are no alerts to see' : 'so alerts are seen in Prometheus only';
  return [
    `${missing.join(' and ')} not found, ${consequence}. To have them, on Debian and Ubuntu:
  apt-get install prometheus prometheus-alertmanager
Elsewhere: https://prometheus.io/download/, unpacked into a directory of PATH.`,
  ];
}

/** With the time since the start: `1:05  …`. */
function news(text: string): void {
  const seconds = Math.floor((performance.now() - startedAt) / 1000);
  const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
  say(`${styleText('dim', clock)}  ${text}\n`);
}

function say(text: string): void {
  process.stdout.write(text);
}
