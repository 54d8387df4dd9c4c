/** The manifests: as their schemas have them, and the same as in the image, the settings and the rules. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseAllDocuments } from 'yaml';
import packageJson from '../../package.json' with { type: 'json' };
import { stopWithinMs } from '../../src/commands/serve.ts';
import { loadConfig, secretNames, settings } from '../../src/config.ts';
import { jobName } from '../../src/grafana/settings.ts';
import { type RuleFile, readShipped } from '../grafana/shipped.ts';
import { cleanUp } from '../support/clean-up.ts';
import { startExporter } from '../support/exporter.ts';
import { type KubernetesObject, schemaProblems } from '../support/kubernetes.ts';

const kubernetes = suite('kubernetes manifests');
kubernetes.after.each(cleanUp);

const root = join(import.meta.dirname, '../..');
const text = readFileSync(join(root, 'src/deploy/kubernetes.yaml'), 'utf8');
const objects = parseAllDocuments(text).map(document => document.toJS() as KubernetesObject);
const dockerfile = readFileSync(join(root, 'Dockerfile'), 'utf8');

type Labels = Record<string, string>;
interface Port {
  name: string;
  port: number;
  targetPort: string;
}
interface Service extends KubernetesObject {
  spec: { clusterIP?: string; selector: Labels; ports: Port[] };
}
interface Probe {
  httpGet: { path: string; port: string };
  periodSeconds: number;
  timeoutSeconds: number;
  failureThreshold: number;
}
interface StatefulSet extends KubernetesObject {
  spec: {
    replicas: number;
    serviceName: string;
    selector: { matchLabels: Labels };
    template: {
      metadata: { labels: Labels };
      spec: {
        terminationGracePeriodSeconds: number;
        securityContext: Record<string, unknown>;
        containers: [
          {
            image: string;
            env: { name: string; value: string }[];
            ports: { name: string; containerPort: number }[];
            startupProbe: Probe;
            readinessProbe: Probe;
            livenessProbe: Probe;
            resources: { requests: { memory: string }; limits: Record<string, string> };
            securityContext: Record<string, unknown>;
            volumeMounts: { name: string; mountPath: string }[];
          },
        ];
        volumes: { name: string; secret: { secretName: string; defaultMode: number } }[];
      };
    };
    volumeClaimTemplates: {
      metadata: { name: string };
      spec: { resources: { requests: { storage: string } } };
    }[];
  };
}
interface ServiceMonitor extends KubernetesObject {
  spec: {
    jobLabel: string;
    selector: { matchLabels: Labels };
    sampleLimit: number;
    endpoints: [{ port: string; interval: string; scrapeTimeout: string }];
  };
}
interface NetworkPolicy extends KubernetesObject {
  spec: {
    podSelector: { matchLabels: Labels };
    policyTypes: string[];
    ingress: { from: { namespaceSelector: { matchLabels: Labels } }[]; ports: { port: string }[] }[];
  };
}

function find<Kind extends KubernetesObject>(kind: string, name = packageJson.name): Kind {
  return objects.find(object => object.kind === kind && object.metadata.name === name) as Kind;
}

const callbacks = find<Service>('Service');
const operations = find<Service>('Service', 'tencent-chat-exporter-operations');
const statefulSet = find<StatefulSet>('StatefulSet');
const monitor = find<ServiceMonitor>('ServiceMonitor');
const policy = find<NetworkPolicy>('NetworkPolicy');
const pod = statefulSet.spec.template;
const [container] = pod.spec.containers;
const portOf = (setting: { default: string }): number => Number(setting.default.split(':')[1]);

kubernetes('is what the schemas of Kubernetes and of the Prometheus operator allow', async () => {
  assert.is(objects.length, 5);
  assert.equal(await schemaProblems(objects), []);
});

/** Mistakes that an API server refuses, or drops without a word. */
const mistakes: [from: string, to: string, complaint: RegExp][] = [
  ['readOnlyRootFilesystem', 'readOnlyRootFileSystem', /'"readOnlyRootFileSystem"' does not exist/],
  ['terminationGracePeriodSeconds: 30', 'terminationGracePeriodSeconds: 30s', /'string' is not assignable/],
  ['type: RuntimeDefault', 'type: Default', /'"Default"' is not assignable/],
  ['serviceName:', 'service:', /'"service"' does not exist/],
  ['interval: 15s', 'interval: 15', /'number' is not assignable/],
  ['scrapeTimeout: 10s', 'scrapeTimeout: ten', /scrapeTimeout must match pattern/],
  ['podSelector', 'selector', /'"selector"' does not exist/],
];

kubernetes('is checked so that mistakes are found', async () => {
  const problems = await schemaProblems(
    mistakes.flatMap(([from, to]) => {
      assert.ok(text.includes(from), from);
      return parseAllDocuments(text.replace(from, to)).map(document => document.toJS() as KubernetesObject);
    }),
  );
  for (const [, to, complaint] of mistakes) assert.match(problems.join('\n'), complaint, to);
});

kubernetes('has the ports of the listeners, each with a Service of its own', () => {
  assert.equal(container.ports, [
    { name: 'callbacks', containerPort: portOf(settings.callbackListen) },
    { name: 'operations', containerPort: portOf(settings.operationsListen) },
  ]);
  for (const [service, name] of [
    [callbacks, 'callbacks'],
    [operations, 'operations'],
  ] as const) {
    const { containerPort: port } = container.ports.find(each => each.name === name)!;
    assert.equal(service.spec.ports, [{ name, port, targetPort: name }]);
    assert.equal(service.spec.selector, pod.metadata.labels);
  }
  assert.is(operations.spec.clusterIP, 'None');
  assert.is(statefulSet.spec.serviceName, operations.metadata.name);
  assert.equal(statefulSet.spec.selector.matchLabels, pod.metadata.labels);
});

kubernetes('runs the image as the Dockerfile has it: user, volume, version', () => {
  const [uid, gid] = /^USER (\d+):(\d+)$/m.exec(dockerfile)!.slice(1).map(Number);
  const { securityContext } = pod.spec;
  assert.equal([securityContext.runAsUser, securityContext.runAsGroup], [uid, gid]);
  assert.is(securityContext.fsGroup, gid, 'the volume can be written');
  const [volume] = /^VOLUME (.*)$/m.exec(dockerfile)!.slice(1);
  assert.is(container.volumeMounts.find(({ name }) => name === 'data')!.mountPath, volume);
  assert.is(statefulSet.spec.volumeClaimTemplates[0]!.metadata.name, 'data');
  assert.is(container.image.split(':').at(-1), packageJson.version);
});

kubernetes('passes the restricted standard of pod security', () => {
  const { runAsNonRoot, seccompProfile } = pod.spec.securityContext;
  assert.equal([runAsNonRoot, seccompProfile], [true, { type: 'RuntimeDefault' }]);
  assert.equal(container.securityContext, {
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  });
});

kubernetes('has settings that exist and are taken, with the token from the mounted secret', () => {
  const names: string[] = Object.values(settings).map(({ name }) => name);
  const env = Object.fromEntries(container.env.map(({ name, value }) => [name, value]));
  for (const name of Object.keys(env)) {
    assert.ok(names.includes(name) || secretNames.includes(name.replace(/_FILE$/, '')), name);
  }
  const read: string[] = [];
  loadConfig(env, path => {
    read.push(path);
    return 'a-token';
  });
  const [token] = pod.spec.volumes;
  const { mountPath } = container.volumeMounts.find(({ name }) => name === token!.name)!;
  assert.equal(read, [`${mountPath}/token`]);
  assert.is(token!.secret.defaultMode, 0o440);
  // The command that makes it, in the file's first lines.
  assert.ok(text.includes(`create secret generic ${token!.secret.secretName} --from-literal=token=`));
});

kubernetes('asks for pages that answer, and leaves time to stop', async () => {
  const exporter = await startExporter();
  const { startupProbe, readinessProbe, livenessProbe } = container;
  for (const { httpGet, periodSeconds, timeoutSeconds } of [startupProbe, readinessProbe, livenessProbe]) {
    assert.is(httpGet.port, 'operations');
    assert.is((await exporter.get(httpGet.path)).status, 200, httpGet.path);
    assert.ok(periodSeconds >= 1 && timeoutSeconds >= 1);
  }
  assert.is(livenessProbe.httpGet.path, '/-/healthy', 'a journal that is down is no reason to restart');
  assert.ok(livenessProbe.periodSeconds * livenessProbe.failureThreshold >= 60);
  assert.ok(pod.spec.terminationGracePeriodSeconds * 1000 > 2 * stopWithinMs);
});

kubernetes('has room for what was measured, and for the journal', () => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const [, peak] = /^\| RSS while they are delivered, peak \| (\d+) MB \|$/m.exec(readme)!;
  assert.ok(mebibytes(container.resources.limits.memory!) * 1.048576 > 1.5 * Number(peak));
  assert.not('cpu' in container.resources.limits, 'being held back would make answers late');
  const { storage } = statefulSet.spec.volumeClaimTemplates[0]!.spec.resources.requests;
  assert.ok(mebibytes(storage) * 2 ** 20 > 2 * Number(settings.journalMaxBytes.default));
});

function mebibytes(quantity: string): number {
  const [, amount, unit] = /^(\d+)(Mi|Gi)$/.exec(quantity)!;
  return Number(amount) * (unit === 'Gi' ? 1024 : 1);
}

kubernetes('is scraped as grafana/prometheus.yml does, under the job that the rules know', () => {
  const { global, scrape_configs } = readShipped<{
    global: { scrape_interval: string; scrape_timeout: string };
    scrape_configs: [{ sample_limit: number }];
  }>('prometheus.yml');
  const { jobLabel, selector, sampleLimit, endpoints } = monitor.spec;
  assert.is(operations.metadata.labels[jobLabel], jobName);
  assert.ok(
    Object.entries(selector.matchLabels).every(([name, value]) => operations.metadata.labels[name] === value),
  );
  assert.ok(
    Object.entries(selector.matchLabels).some(([name, value]) => callbacks.metadata.labels[name] !== value),
  );
  assert.is(sampleLimit, scrape_configs[0].sample_limit);
  assert.equal(endpoints, [
    { port: 'operations', interval: global.scrape_interval, scrapeTimeout: global.scrape_timeout },
  ]);
  const alerts = readShipped<RuleFile>('rules/alerts.yml').groups.flatMap(({ rules }) => rules);
  assert.ok(alerts.some(({ expr }) => expr.includes(`job="${jobName}"`)));
});

kubernetes('lets callbacks in from the ingress, scrapes from monitoring, and nothing else', () => {
  assert.equal(policy.spec.podSelector.matchLabels, pod.metadata.labels);
  assert.equal(policy.spec.policyTypes, ['Ingress']);
  assert.equal(
    policy.spec.ingress.map(({ from, ports }) => [
      from.map(({ namespaceSelector }) => namespaceSelector.matchLabels['kubernetes.io/metadata.name']),
      ports.map(({ port }) => port),
    ]),
    [
      [['ingress-nginx'], ['callbacks']],
      [['monitoring'], ['operations']],
    ],
  );
});

kubernetes.run();
