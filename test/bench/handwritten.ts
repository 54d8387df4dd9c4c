/**
 * B: the exporter that most people would write in an afternoon. It counts with prom-client, makes a span and a log
 * record through the NodeSDK with its default batch processors, and answers. Nothing is durable, nothing is
 * deduplicated, and what the batch processors cannot hold is gone.
 */

import Router from '@koa/router';
import { logs, ROOT_CONTEXT, SeverityNumber, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { BatchLogRecordProcessor } from '@opentelemetry/sdk-logs';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import Koa from 'koa';
import bodyParser from 'koa-bodyparser';
import { Counter, Histogram, register } from 'prom-client';

const sdk = new NodeSDK({
  serviceName: 'handwritten',
  metricReaders: [],
  spanProcessors: [new BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  logRecordProcessors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
});
sdk.start();
const tracer = trace.getTracer('handwritten');
const logger = logs.getLogger('handwritten');

const exceptions = new Counter({
  name: 'exceptions_total',
  help: 'Exceptions.',
  labelNames: ['sdk_app_id', 'error_code', 'group_type', 'platform'],
});
const duration = new Histogram({ name: 'duration_seconds', help: 'Seconds to the answer.' });

const router = new Router();
router.post('/', ctx => {
  const startedAt = performance.now();
  const { SdkAppid, OptPlatform } = ctx.query as Record<string, string>;
  const body = ctx.request.body as Record<string, never>;
  exceptions.inc({
    sdk_app_id: SdkAppid ?? '',
    error_code: String(body.ErrorCode),
    group_type: body.Type ?? '',
    platform: OptPlatform ?? '',
  });
  const occurredAt = Number(body.EventTime);
  const attributes = {
    'error.type': String(body.ErrorCode),
    'messaging.system': 'tencent_chat',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': body.GroupId,
    'user.id': body.From_Account,
    'tencent_chat.sdk_app_id': SdkAppid,
    'tencent_chat.error.code': body.ErrorCode,
    'tencent_chat.group.type': body.Type,
    'tencent_chat.platform': OptPlatform,
    'tencent_chat.operator': body.Operator_Account,
    'tencent_chat.online_only': body.OnlineOnlyFlag === 1,
    'tencent_chat.message.random': body.Random,
    'tencent_chat.message.elements': (body.MsgBody as unknown as { MsgType: string }[]).map(
      ({ MsgType }) => MsgType,
    ),
  };
  const span = tracer.startSpan('send', { kind: SpanKind.PRODUCER, startTime: occurredAt, attributes });
  span.setStatus({ code: SpanStatusCode.ERROR });
  logger.emit({
    eventName: 'exception',
    timestamp: occurredAt,
    severityNumber: SeverityNumber.WARN,
    severityText: 'WARN',
    body: body.ErrorInfo,
    attributes,
    context: trace.setSpan(ROOT_CONTEXT, span),
  });
  span.end();
  ctx.body = { ActionStatus: 'OK', ErrorInfo: '', ErrorCode: 0 };
  duration.observe((performance.now() - startedAt) / 1000);
});
router.get('/metrics', async ctx => {
  ctx.type = register.contentType;
  ctx.body = await register.metrics();
});

const server = new Koa()
  .use(bodyParser())
  .use(router.routes())
  .use(router.allowedMethods())
  .listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address !== null && typeof address === 'object') console.log(JSON.stringify({ port: address.port }));
  });

// What the batch processors still hold is sent before the end: they are given every chance.
process.on('SIGTERM', async () => {
  await sdk.shutdown().catch(() => {});
  process.exit(0);
});
