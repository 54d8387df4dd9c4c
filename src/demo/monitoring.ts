/** Prometheus with the rules and the configuration that are shipped, and an Alertmanager that tells nobody. */
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { runbooksUrlDefault } from '../guidance.ts';
import type { Children } from './children.ts';
import { answers, isOk } from './web.ts';

const shipped = join(import.meta.dirname, '../../grafana');

/** What the shipped files say; each is replaced by what it is here. */
const shippedUrls = {
  exporter: 'exporter:9464',
  alertmanager: 'alertmanager:9093',
  runbooks: runbooksUrlDefault,
};

/** A demo is short: seen after 5 s, not after 15. The groups of rules that say how often keep to it. */
const everySeconds = 5;

export interface Tools {
  prometheus: string | null;
  alertmanager: string | null;
}

/** The programs that are installed, wherever PATH leads; Debian has Alertmanager under a longer name. */
export function findTools(): Tools {
  return { prometheus: find('prometheus'), alertmanager: find('prometheus-alertmanager', 'alertmanager') };
}

function find(...names: string[]): string | null {
  const paths = (process.env.PATH ?? '').split(delimiter).filter(directory => directory !== '');
  const candidates = names.flatMap(name => paths.map(directory => join(directory, name)));
  return candidates.find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface MonitoringOptions {
  children: Children;
  tools: Tools;
  /** A directory of the demo's own. */
  directory: string;
  ports: { operations: number; prometheus: number; alertmanager: number };
}

export interface Monitoring {
  /** Where to look, by what is to be seen there. */
  places: Record<string, string>;
}

/** Resolves when all that is installed answers; with `null` where Prometheus is not. */
export async function startMonitoring(options: MonitoringOptions): Promise<Monitoring | null> {
  const { children, tools, directory, ports } = options;
  if (tools.prometheus === null) return null;
  const prometheusUrl = `http://127.0.0.1:${ports.prometheus}`;
  const alertmanager = `127.0.0.1:${ports.alertmanager}`;

  if (tools.alertmanager !== null) {
    const config = {
      route: { receiver: 'nobody', group_by: ['alertname'] },
      receivers: [{ name: 'nobody' }],
    };
    children.start('Alertmanager', tools.alertmanager, [
      `--config.file=${write(directory, 'alertmanager.yml', JSON.stringify(config))}`,
      `--storage.path=${join(directory, 'alertmanager')}`,
      `--web.listen-address=${alertmanager}`,
      '--cluster.listen-address=',
    ]);
    await answers(`http://${alertmanager}/-/ready`);
  }

  mkdirSync(join(directory, 'rules'), { recursive: true });
  for (const name of ['recording.yml', 'alerts.yml']) {
    const rules = readFileSync(join(shipped, 'rules', name), 'utf8');
    write(
      directory,
      `rules/${name}`,
      rules.replaceAll(shippedUrls.runbooks, `${prometheusUrl}/user/runbooks`),
    );
  }
  let config = readFileSync(join(shipped, 'prometheus.yml'), 'utf8');
  config = replaced(config, shippedUrls.exporter, `127.0.0.1:${ports.operations}`);
  config = replaced(
    config,
    /(scrape_interval|scrape_timeout|evaluation_interval): \d+s/g,
    `$1: ${everySeconds}s`,
  );
  config =
    tools.alertmanager === null
      ? replaced(config, /^alerting:\n(?: .*\n)+/m, '')
      : replaced(config, shippedUrls.alertmanager, alertmanager);
  children.start('Prometheus', tools.prometheus, [
    `--config.file=${write(directory, 'prometheus.yml', config)}`,
    `--storage.tsdb.path=${join(directory, 'prometheus')}`,
    `--web.listen-address=127.0.0.1:${ports.prometheus}`,
    `--web.user-assets=${shipped}`,
    '--enable-feature=exemplar-storage',
  ]);
  await answers(`${prometheusUrl}/-/ready`);
  // Debian's have the old pages only, or none.
  const hasNewPages = await isOk(`${prometheusUrl}/alerts`);
  const hasPage = await isOk(`http://${alertmanager}/script.js`);
  return {
    places: {
      Alerts: `${prometheusUrl}${hasNewPages ? '' : '/classic'}/alerts`,
      ...(tools.alertmanager === null
        ? {}
        : { Alertmanager: `http://${alertmanager}/${hasPage ? '' : 'api/v2/alerts'}` }),
    },
  };
}

/** A shipped file that no longer says what is to be replaced would be served as if it did. */
function replaced(text: string, what: string | RegExp, by: string): string {
  const result = text.replace(what, by);
  if (result === text) throw new Error(`grafana/prometheus.yml does not say ${what} any more`);
  return result;
}

function write(directory: string, name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}
