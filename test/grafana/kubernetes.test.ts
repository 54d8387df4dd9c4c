/** What Kubernetes would be given: of its shape, within its limits, and the same as in the other files. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { dashboardUids } from '../../src/grafana/dashboards/uids.ts';
import { cleanUp } from '../support/clean-up.ts';
import { type KubernetesObject, schemaProblems } from '../support/kubernetes.ts';
import { type RuleFile, readShipped, readShippedAll, shippedPath } from './shipped.ts';

const kubernetes = suite('kubernetes');
kubernetes.after.each(cleanUp);

interface PrometheusRule extends KubernetesObject {
  spec: { groups: RuleFile['groups'] };
}

interface ConfigMap extends KubernetesObject {
  data: Record<string, string>;
}

const rule = readShipped<PrometheusRule>('kubernetes/prometheus-rule.yaml');
const configMaps = readShippedAll<ConfigMap>('kubernetes/dashboards.yaml');

/** Kubernetes refuses an object whose data are larger. */
const objectBytesMax = 1 << 20;

/** Why Kubernetes would refuse an object: names as DNS subdomains (DNS-1123), label values, size. */
function problemsOf({ metadata, ...rest }: KubernetesObject): string[] {
  const problems: string[] = [];
  if (metadata.name.length > 253 || !/^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$/.test(metadata.name)) {
    problems.push(`name ${metadata.name}`);
  }
  for (const [name, value] of Object.entries(metadata.labels)) {
    if (!/^([a-z0-9.-]+\/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/.test(name)) problems.push(`label ${name}`);
    if (typeof value !== 'string' || !/^([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?$/.test(value)) {
      problems.push(`label value ${value}`);
    }
  }
  if (Buffer.byteLength(JSON.stringify({ metadata, ...rest })) > objectBytesMax) problems.push('size');
  return problems;
}

kubernetes('has names, labels and sizes that Kubernetes takes', () => {
  for (const object of [rule, ...configMaps]) assert.equal(problemsOf(object), [], object.metadata.name);
  const object = { apiVersion: 'v1', kind: 'ConfigMap', data: { 'a.json': 'x'.repeat(objectBytesMax) } };
  assert.equal(problemsOf({ ...object, metadata: { name: 'Tencent_Chat', labels: { a: 'b c' } } }), [
    'name Tencent_Chat',
    'label value b c',
    'size',
  ]);
});

kubernetes('has one PrometheusRule, with all groups of the rule files, recorded ones first', () => {
  assert.is(rule.apiVersion, 'monitoring.coreos.com/v1');
  assert.is(rule.kind, 'PrometheusRule');
  const groups = ['rules/recording.yml', 'rules/alerts.yml'].flatMap(
    path => readShipped<RuleFile>(path).groups,
  );
  assert.ok(groups.length >= 4);
  assert.equal(rule.spec.groups, groups);
});

kubernetes('is what the schemas of Kubernetes and of the Prometheus operator allow', async () => {
  assert.equal(await schemaProblems([rule, ...configMaps]), []);
  const groups = [{ name: 'a', rules: [{ alert: 'A', expr: 'up', for: '5 minutes', label: {} }] }];
  const mistaken = { ...rule, spec: { groups } };
  const problems = (await schemaProblems([mistaken])).join('\n');
  assert.match(problems, /'"label"' does not exist/);
  assert.match(problems, /for must match pattern/);
});

kubernetes('has in the PrometheusRule each group once, and rules that alert or record', () => {
  const names = rule.spec.groups.map(({ name }) => name);
  assert.is(new Set(names).size, names.length);
  for (const each of rule.spec.groups.flatMap(({ rules }) => rules)) {
    assert.is('alert' in each, !('record' in each));
  }
});

kubernetes(
  'has a ConfigMap for every dashboard, which the sidecar finds, with the dashboard as it is',
  () => {
    assert.equal(configMaps.map(({ metadata }) => metadata.name).sort(), Object.values(dashboardUids).sort());
    for (const { apiVersion, kind, metadata, data } of configMaps) {
      assert.is(`${apiVersion} ${kind}`, 'v1 ConfigMap');
      assert.is(metadata.labels.grafana_dashboard, '1');
      const file = `${metadata.name}.json`;
      assert.equal(Object.keys(data), [file]);
      assert.is(data[file], readFileSync(shippedPath(`dashboards/${file}`), 'utf8'));
      assert.is((JSON.parse(data[file]!) as { uid: string }).uid, metadata.name);
    }
  },
);

kubernetes.run();
