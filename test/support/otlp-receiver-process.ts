/**
 * The OTLP receiver as a process of its own, for benchmarks and for checks that must outlive the exporter. It takes
 * OTLP over HTTP and keeps trace IDs only.
 *
 *     node test/support/otlp-receiver-process.ts [port]      prints {"port":4318}
 *     GET  /summary    {"traces":{"requests":1,"records":512,"distinct":512},"logs":{…}}
 *     GET  /traces     the trace IDs taken, and how often: {"0af7…":1}; /logs the same
 *     POST /behave     a Behaviour as JSON
 */
import { text } from 'node:stream/consumers';
import { type Signal, startOtlpReceiver } from './otlp-receiver.ts';

const receiver = await startOtlpReceiver({
  port: Number(process.argv[2] ?? 0),
  keep: 'ids',
  async onOther(request, response) {
    switch (request.url) {
      case '/summary':
        response.end(JSON.stringify({ traces: summary('traces'), logs: summary('logs') }));
        break;
      case '/traces':
      case '/logs':
        response.end(JSON.stringify(Object.fromEntries(receiver.traceIds[request.url.slice(1) as Signal])));
        break;
      case '/behave':
        receiver.behave(JSON.parse(await text(request)));
        response.end();
        break;
      default:
        response.writeHead(404).end();
    }
  },
});
process.stdout.write(`${JSON.stringify({ port: receiver.port })}\n`);

function summary(signal: Signal) {
  const counts = receiver.traceIds[signal];
  let records = 0;
  for (const count of counts.values()) records += count;
  return { requests: receiver.requests[signal], records, distinct: counts.size };
}
