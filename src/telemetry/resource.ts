/**
 * Who is speaking: resource and scope, made by the SDK itself, so that `OTEL_SERVICE_NAME`,
 * `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_NODE_RESOURCE_DETECTORS` do what the SDK's documentation says.
 *
 * A NodeSDK is started, makes one span, and is shut down; every exception's span and log record then carry that
 * span's resource and scope. The span itself is never exported. The SDK's own way from span to endpoint is not taken:
 * its processors hold 2,048 records and drop the rest.
 */
import { trace } from '@opentelemetry/api';
import { defaultResource, envDetector, hostDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { AlwaysOnSampler, type ReadableSpan } from '@opentelemetry/sdk-trace';
import type { Origin } from './mapping.ts';

/** Of the service and of the scope. */
const name = 'tencent-chat-exporter';

/**
 * Unless `OTEL_NODE_RESOURCE_DETECTORS` asks for others. Process attributes would name this thread's command line and
 * a PID that is 1 in every container; a random instance ID would be a new one after each restart.
 */
const defaultDetectors = [hostDetector, envDetector];

/** `instanceId` becomes `service.instance.id`. The environment's attributes win over all that is said here. */
export async function readOrigin(version: string, instanceId: string): Promise<Origin> {
  let template: ReadableSpan | undefined;
  const sdk = new NodeSDK({
    resource: defaultResource().merge(
      resourceFromAttributes({
        'service.name': name,
        'service.version': version,
        'service.instance.id': instanceId,
      }),
    ),
    ...(process.env.OTEL_NODE_RESOURCE_DETECTORS ? {} : { resourceDetectors: defaultDetectors }),
    // OTEL_TRACES_SAMPLER is for those who make traces; here each one stands for a counted exception.
    sampler: new AlwaysOnSampler(),
    spanProcessors: [
      {
        onStart() {},
        onEnd(span) {
          template = span;
        },
        forceFlush: async () => {},
        shutdown: async () => {},
      },
    ],
    // Explicit lists: for one left out the SDK starts an exporter of its own, towards localhost.
    logRecordProcessors: [],
    metricReaders: [],
    instrumentations: [],
  });
  sdk.start();
  try {
    trace.getTracer(name, version).startSpan('template').end();
  } finally {
    await sdk.shutdown();
    trace.disable();
  }
  if (template === undefined)
    throw new Error('the OpenTelemetry SDK made no span; is OTEL_SDK_DISABLED set?');
  await template.resource.waitForAsyncAttributes?.();
  return { resource: template.resource, scope: template.instrumentationScope };
}
