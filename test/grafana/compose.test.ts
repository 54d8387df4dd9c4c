/**
 * What can be told of the stack without starting it: compose.yml and the files that it mounts fit one another, the
 * exporter, and the links of alerts and dashboards. That the scrape configuration, the rules, the runbooks' place and
 * Alertmanager work together is shown in end-to-end.test.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join, normalize } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { secretNames, settings } from '../../src/config.ts';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { jobName, links } from '../../src/grafana/settings.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { startExporter } from '../support/exporter.ts';
import { readShipped, shippedPath } from './shipped.ts';

const compose = suite('compose');
compose.after.each(cleanUp);

interface Service {
  image?: string;
  build?: string;
  command?: string[];
  ports?: string[];
  environment?: Record<string, string>;
  volumes?: string[];
  healthcheck?: { test: string[] };
}

interface ComposeFile {
  services: Record<string, Service>;
  volumes: Record<string, unknown>;
}

const file = readShipped<ComposeFile>('compose.yml');
const { services } = file;
const named = (name: string): Service => {
  assert.ok(services[name], name);
  return services[name];
};

/** A tag that names one release: two numbers and a patch, with or without v. */
const isPinned = (image: string): boolean => /^[a-z0-9./-]+:v?\d+\.\d+\.\d+$/.test(image);

compose('builds the exporter from this repository, and pins every other image to a release', () => {
  const { exporter, ...others } = services;
  assert.ok(existsSync(shippedPath(join(exporter!.build!, 'Dockerfile'))));
  assert.equal(
    Object.values(others)
      .map(({ image }) => image ?? 'none')
      .filter(image => !isPinned(image)),
    [],
  );
  for (const image of ['grafana/loki', 'grafana/loki:latest', 'grafana/loki:3', 'grafana/loki:main-1.2.3']) {
    assert.not.ok(isPinned(image), image);
  }
});

interface Mount {
  service: string;
  from: string;
  to: string;
  isReadOnly: boolean;
}

const mounts: Mount[] = Object.entries(services).flatMap(([service, { volumes = [] }]) =>
  volumes.map(volume => {
    const [from, to, mode] = volume.split(':');
    return { service, from: from!, to: to!, isReadOnly: mode === 'ro' };
  }),
);

compose('mounts only what is there, files read only, and uses every volume', () => {
  const [files, volumes] = [true, false].map(isFile =>
    mounts.filter(({ from }) => from.startsWith('.') === isFile),
  );
  assert.ok(files!.length >= 10);
  for (const { service, from, isReadOnly } of files!) {
    assert.ok(existsSync(shippedPath(from)), `${service}: ${from}`);
    assert.ok(isReadOnly, `${service}: ${from}`);
  }
  assert.equal(volumes!.map(({ from }) => from).sort(), Object.keys(file.volumes).sort());
});

/** The file of grafana/ that a path inside a service's container is. */
function behind(service: string, path: string): string | undefined {
  const mount = mounts.find(each => each.service === service && `${path}/`.startsWith(`${each.to}/`));
  return mount && normalize(join(mount.from, path.slice(mount.to.length)));
}

const flagOf = (service: string, flag: string): string | undefined =>
  named(service)
    .command?.map(word => word.split('='))
    .find(([name]) => name!.replace(/^-+/, '') === flag)?.[1];

compose('gives every program the configuration that is shipped for it', () => {
  assert.is(behind('prometheus', flagOf('prometheus', 'config.file')!), 'prometheus.yml');
  assert.is(behind('alertmanager', flagOf('alertmanager', 'config.file')!), 'alertmanager.yml');
  assert.is(behind('otel-collector', flagOf('otel-collector', 'config')!), 'compose/otel-collector.yml');
  assert.is(behind('tempo', flagOf('tempo', 'config.file')!), 'compose/tempo.yml');
  assert.is(behind('loki', flagOf('loki', 'config.file')!), 'compose/loki.yml');
  assert.is(behind('grafana', '/etc/grafana/provisioning/datasources'), 'provisioning/datasources');

  // What these files name in turn, relative to themselves or inside their container.
  const prometheus = readShipped<{ rule_files: string[] }>('prometheus.yml');
  for (const path of prometheus.rule_files) assert.is(behind('prometheus', `/etc/prometheus/${path}`), path);
  assert.equal(prometheus.rule_files.map(path => path.replace('rules/', '')).sort(), [
    'alerts.yml',
    'recording.yml',
  ]);
  const alertmanager = readShipped<{ templates: string[] }>('alertmanager.yml');
  for (const path of alertmanager.templates) {
    assert.is(behind('alertmanager', `/etc/alertmanager/${path}`), path);
    assert.ok(globSync(shippedPath(path)).length > 0, path);
  }
  const { providers } = readShipped<{ providers: { options: { path: string } }[] }>(
    'provisioning/dashboards/tencent-chat.yml',
  );
  assert.is(behind('grafana', providers[0]!.options.path), 'dashboards');
  const home = behind('grafana', named('grafana').environment!.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH!);
  assert.is(home, `dashboards/${dashboardUids.overview}.json`);
  assert.ok(existsSync(shippedPath(home!)));
});

compose('lists every secret that its files read, and keeps them out of git', () => {
  const text = readFileSync(shippedPath('alertmanager.yml'), 'utf8');
  const files = [...text.matchAll(/_file: (\S+)/g)].map(([, path]) => behind('alertmanager', path!)!);
  assert.ok(files.length >= 4);
  const page = readFileSync(shippedPath('secrets/README.md'), 'utf8');
  for (const path of files) {
    assert.match(path, /^secrets\//);
    assert.ok(page.includes(`\`${path.replace('secrets/', '')}\``), path);
  }
  const [, tokens] = /CALLBACK_TOKENS_FILE=(\S+?)`/.exec(page)!;
  assert.is(behind('exporter', tokens!), 'secrets/callback-tokens');
  assert.equal(readFileSync(shippedPath('secrets/.gitignore'), 'utf8').split('\n').slice(0, 1), ['*']);
});

/** Ports that each program listens on inside its container. */
const listening: Record<string, number[]> = {
  exporter: [settings.callbackListen, settings.operationsListen].map(({ default: address }) =>
    Number(address.split(':')[1]),
  ),
  prometheus: [9090],
  alertmanager: [9093],
  grafana: [3000],
  'otel-collector': [4318],
  tempo: [
    readShipped<{ server: { http_listen_port: number } }>('compose/tempo.yml').server.http_listen_port,
    4318,
  ],
  loki: [readShipped<{ server: { http_listen_port: number } }>('compose/loki.yml').server.http_listen_port],
};

/** Addresses in a text of the form `http://service:port` or, as a target, `[service:port]`. */
function addressesIn(text: string): [service: string, port: number][] {
  return [...text.matchAll(/(?:http:\/\/|\[)([a-z][a-z-]+):(\d+)/g)]
    .map(([, service, port]) => [service!, Number(port)] as [string, number])
    .filter(([service]) => service !== 'localhost');
}

compose('reaches each service by its name, on a port that it listens on', () => {
  const files = [
    ...['compose.yml', 'prometheus.yml', 'provisioning/datasources/tencent-chat.yml'],
    'compose/otel-collector.yml',
  ];
  const addresses = files.flatMap(path =>
    addressesIn(readFileSync(shippedPath(path), 'utf8').replaceAll(/^\s*#.*$/gm, '')),
  );
  assert.ok(addresses.length >= 9);
  for (const [service, port] of addresses) {
    assert.ok(listening[service]?.includes(port), `${service}:${port}`);
  }
  assert.equal(Object.keys(listening).sort(), Object.keys(services).sort());
  for (const each of ['otel-collector', 'tempo']) {
    const text = readFileSync(shippedPath(`compose/${each}.yml`), 'utf8');
    assert.match(text, /^\s+endpoint: 0\.0\.0\.0:4318$/m, `${each} listens to others than itself`);
  }
});

compose('opens the callback port to others, and every other port to this machine alone', () => {
  const ports = Object.entries(services).flatMap(([service, { ports: each = [] }]) =>
    each.map(port => ({ service, port })),
  );
  const open = ports.filter(({ port }) => !port.startsWith('127.0.0.1:'));
  const callbackPort = settings.callbackListen.default.split(':')[1];
  assert.equal(open, [{ service: 'exporter', port: `${callbackPort}:${callbackPort}` }]);
  for (const { service, port } of ports) {
    assert.ok(listening[service]!.includes(Number(port.split(':').at(-1))), `${service} ${port}`);
  }
});

compose('serves Grafana and the runbooks where the links of alerts and dashboards point', () => {
  const grafana = new URL(links.grafanaUrl);
  assert.ok(named('grafana').ports!.includes(`127.0.0.1:${grafana.port}:3000`));
  assert.is(named('grafana').environment!.GF_SERVER_ROOT_URL, links.grafanaUrl);
  const runbooks = new URL(links.runbooksUrl);
  assert.ok(named('prometheus').ports!.includes(`127.0.0.1:${runbooks.port}:9090`));
  assert.is(flagOf('prometheus', 'web.external-url'), runbooks.origin);
  // Prometheus serves its user assets under /user.
  const [, below] = /^\/user\/(.+)$/.exec(runbooks.pathname)!;
  assert.is(behind('prometheus', `${flagOf('prometheus', 'web.user-assets')}/${below}`), 'runbooks');
});

compose('has the status page link to Grafana, and a trace to what Grafana shows of it', () => {
  const { DASHBOARDS_URL, TRACE_URL_TEMPLATE } = named('exporter').environment!;
  assert.is(DASHBOARDS_URL, links.grafanaUrl);
  assert.is(new URL(TRACE_URL_TEMPLATE!).origin, links.grafanaUrl);
  const { trace } = JSON.parse(new URL(TRACE_URL_TEMPLATE!).searchParams.get('panes')!);
  assert.is(trace.queries[0].query, '{trace_id}');
  const { datasources } = readShipped<{ datasources: { uid: string; type: string }[] }>(
    'provisioning/datasources/tencent-chat.yml',
  );
  assert.is(datasources.find(({ uid }) => uid === trace.datasource)?.type, 'tempo');
});

compose('sets only what the exporter has settings for, and starts it', async () => {
  const { environment } = named('exporter');
  const known = [
    ...Object.values(settings).map(({ name }) => name as string),
    ...secretNames.map(name => `${name}_FILE`),
    'OTEL_EXPORTER_OTLP_ENDPOINT',
  ];
  assert.equal(
    Object.keys(environment!).filter(name => !known.includes(name)),
    [],
  );
  // As compose fills them in where only what is required is set; the listeners' ports and the journal are the test's.
  const env = Object.fromEntries(
    Object.entries(environment!).map(([name, value]) => [
      name,
      value.replace(/^\$\{SDK_APP_IDS:\?.*\}$/, '1400000001').replace(/^\$\{\w+:-\}$/, ''),
    ]),
  );
  assert.is(env.CALLBACK_TOKENS_FILE, '');
  const exporter = await startExporter({ env });
  assert.is((await exporter.get('/-/ready')).status, 200);
});

compose('asks each program whether it is well, where its image has what it takes', () => {
  const without = Object.entries(services)
    .filter(([name, { healthcheck }]) => healthcheck === undefined && name !== 'exporter')
    .map(([name]) => name);
  assert.equal(without, ['otel-collector', 'tempo']);
  for (const [name, { healthcheck }] of Object.entries(services)) {
    if (healthcheck === undefined) continue;
    assert.is(healthcheck.test[0], 'CMD', name);
    const [, port] = /^http:\/\/127\.0\.0\.1:(\d+)\//.exec(healthcheck.test.at(-1)!) ?? [];
    if (port !== undefined) assert.ok(listening[name]!.includes(Number(port)), name);
  }
  assert.match(readFileSync(shippedPath('../Dockerfile'), 'utf8'), /^HEALTHCHECK/m);
});

// ——— Prometheus ———

interface PrometheusConfig {
  global: { scrape_interval: string };
  scrape_configs: { job_name: string; sample_limit: number }[];
}

compose('scrapes under the job that the rules look for, at the interval that Grafana is told', () => {
  const { global, scrape_configs } = readShipped<PrometheusConfig>('prometheus.yml');
  assert.equal(
    scrape_configs.map(({ job_name }) => job_name),
    [jobName],
  );
  const { timeInterval } = dataSources().find(({ uid }) => uid === 'prometheus')!.jsonData;
  assert.is(timeInterval, global.scrape_interval);
  assert.ok(named('prometheus').command!.includes('--enable-feature=exemplar-storage'));
  // The rules look back a week and an hour.
  const [, days] = /^(\d+)d$/.exec(flagOf('prometheus', 'storage.tsdb.retention.time')!)!;
  assert.ok(Number(days) >= 9);
});

compose('leaves the exporter ten times the samples that it has after a start', async () => {
  const exporter = await startExporter();
  const samples = (await exporter.get('/metrics')).body.split('\n').filter(line => /^\w/.test(line)).length;
  assert.ok(samples > 300);
  const { sample_limit } = readShipped<PrometheusConfig>('prometheus.yml').scrape_configs[0]!;
  assert.ok(sample_limit > 10 * samples, `${samples} samples`);
});

compose('passes promtool, rules included', () => {
  const check = (path: string) => spawnSync('promtool', ['check', 'config', path], { encoding: 'utf8' });
  const { status, stdout, stderr } = check(shippedPath('prometheus.yml'));
  assert.is(status, 0, `${stdout}${stderr}`);
  assert.match(stdout, /2 rule files/);
  const broken = join(temporaryDirectory(), 'prometheus.yml');
  writeFileSync(broken, 'scrape_configs: [{job_nam: x}]');
  assert.is(check(broken).status, 1);
});

// ——— Grafana's data sources ———

interface DataSource {
  uid: string;
  type: string;
  isDefault?: boolean;
  jsonData: {
    timeInterval?: string;
    exemplarTraceIdDestinations?: { name: string; datasourceUid: string }[];
    derivedFields?: { matcherType: string; matcherRegex: string; datasourceUid: string; url: string }[];
    tracesToLogsV2?: { datasourceUid: string; query: string; tags: { key: string; value: string }[] };
  };
}

function dataSources(): DataSource[] {
  return readShipped<{ datasources: DataSource[] }>('provisioning/datasources/tencent-chat.yml').datasources;
}

compose('leads from exemplars and log records to traces, and back', () => {
  const byType = (type: string): DataSource => dataSources().find(each => each.type === type)!;
  const [prometheus, loki, tempo] = ['prometheus', 'loki', 'tempo'].map(byType);
  assert.equal(
    dataSources().filter(({ isDefault }) => isDefault === true),
    [prometheus],
  );
  assert.equal(
    prometheus!.jsonData.exemplarTraceIdDestinations!.map(({ name, datasourceUid }) => [name, datasourceUid]),
    [['trace_id', tempo!.uid]],
  );
  const [derived] = loki!.jsonData.derivedFields!;
  assert.equal(
    [derived!.matcherType, derived!.matcherRegex, derived!.datasourceUid],
    ['label', 'trace_id', tempo!.uid],
  );
  // A single `$` would be a variable of the environment to Grafana.
  assert.is(derived!.url, '$${__value.raw}');
  const { datasourceUid, query, tags } = tempo!.jsonData.tracesToLogsV2!;
  assert.is(datasourceUid, loki!.uid);
  assert.is(query, '{$${__tags}} | trace_id = "$${__trace.traceId}"');
  assert.equal(tags, [{ key: 'service.name', value: 'service_name' }]);
});

compose('is YAML throughout, without a name twice', () => {
  const files = globSync(['*.yml', 'compose/*.yml', 'provisioning/**/*.yml'], { cwd: shippedPath('.') });
  assert.ok(files.length >= 8);
  for (const path of files) assert.type(readShipped(path), 'object', path);
  assert.throws(() => parse('a: 1\na: 2'));
});

compose('loses nothing between the exporter and its backends: the collector answers when they have', () => {
  const collector = readShipped<{
    exporters: Record<
      string,
      { sending_queue: { enabled: boolean }; retry_on_failure: { enabled: boolean } }
    >;
    service: {
      pipelines: Record<string, { receivers: string[]; exporters: string[]; processors?: string[] }>;
    };
  }>('compose/otel-collector.yml');
  assert.equal(Object.keys(collector.service.pipelines).sort(), ['logs', 'traces']);
  for (const { exporters, processors } of Object.values(collector.service.pipelines)) {
    assert.is(processors, undefined, 'a batch processor answers before it has sent');
    for (const name of exporters) {
      assert.is(collector.exporters[name]?.sending_queue.enabled, false, name);
      assert.is(collector.exporters[name]?.retry_on_failure.enabled, false, name);
    }
  }
});

compose.run();
