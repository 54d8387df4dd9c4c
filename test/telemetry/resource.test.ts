import { hostname } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readOrigin } from '../../src/telemetry/resource.ts';

const resource = suite('resource');
const variables = [
  'OTEL_SERVICE_NAME',
  'OTEL_RESOURCE_ATTRIBUTES',
  'OTEL_NODE_RESOURCE_DETECTORS',
  'OTEL_TRACES_SAMPLER',
];
resource.before.each(() => {
  for (const name of variables) delete process.env[name];
});

resource('names this exporter, its version and its instance', async () => {
  const { resource, scope } = await readOrigin('1.2.3', 'replica-1');
  assert.is(resource.attributes['service.name'], 'tencent-chat-exporter');
  assert.is(resource.attributes['service.version'], '1.2.3');
  assert.is(resource.attributes['service.instance.id'], 'replica-1');
  assert.is(resource.attributes['telemetry.sdk.language'], 'nodejs');
  assert.is(resource.attributes['host.name'], hostname());
  assert.is(scope.name, 'tencent-chat-exporter');
  assert.is(scope.version, '1.2.3');
});

resource('leaves the thread’s process attributes out', async () => {
  const { resource } = await readOrigin('1.2.3', 'replica-1');
  assert.equal(
    Object.keys(resource.attributes).filter(name => name.startsWith('process.')),
    [],
  );
});

resource('OTEL_RESOURCE_ATTRIBUTES wins, and OTEL_SERVICE_NAME wins over that', async () => {
  process.env.OTEL_RESOURCE_ATTRIBUTES =
    'service.name=a,service.instance.id=pod-7,deployment.environment.name=live';
  const first = await readOrigin('1.2.3', 'replica-1');
  assert.is(first.resource.attributes['service.name'], 'a');
  assert.is(first.resource.attributes['service.instance.id'], 'pod-7');
  assert.is(first.resource.attributes['deployment.environment.name'], 'live');
  process.env.OTEL_SERVICE_NAME = 'b';
  const second = await readOrigin('1.2.3', 'replica-1');
  assert.is(second.resource.attributes['service.name'], 'b');
});

resource('OTEL_NODE_RESOURCE_DETECTORS chooses the detectors', async () => {
  process.env.OTEL_NODE_RESOURCE_DETECTORS = 'process';
  const { resource } = await readOrigin('1.2.3', 'replica-1');
  assert.is(resource.attributes['process.pid'], process.pid);
  assert.is(resource.attributes['host.name'], undefined);
});

resource('is there whatever the sampler', async () => {
  process.env.OTEL_TRACES_SAMPLER = 'always_off';
  const { resource } = await readOrigin('1.2.3', 'replica-1');
  assert.is(resource.attributes['service.version'], '1.2.3');
});

resource.run();
