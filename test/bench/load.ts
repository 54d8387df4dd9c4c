/**
 * A load of distinct exceptions over keep-alive connections, each sending the next callback when the last is answered.
 *
 *     node test/bench/load.ts PORT SECONDS [CONNECTIONS]     prints one line of JSON: see LoadResult
 *
 * Raw sockets, because a client library would take more of two cores than the server under test.
 */
import { connect } from 'node:net';

export interface LoadResult {
  answered: number;
  /** Answers other than 200 {"ActionStatus":"OK"…}. */
  failed: number;
  perSecond: number;
  /** Milliseconds from the request to its answer. */
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const [port, seconds, connections = 64] = process.argv.slice(2).map(Number) as [number, number, number?];

const groupTypes = ['Public', 'Private', 'ChatRoom', 'AVChatRoom', 'Community'];
const platforms = ['RESTAPI', 'Web', 'Android', 'iOS', 'Windows', 'iPad'];
const codes = [10023, 10017, 80001, 10004, 10010, 10016, 10007, 80002, 10002, 10015];

let sent = 0;
/** With the time an identity that no other process and no earlier run has used. */
const firstRandom = 1_000_000_000 + (process.pid % 1_000) * 3_000_000;

function nextRequest(): string {
  sent += 1;
  const body = JSON.stringify({
    CallbackCommand: 'Group.CallbackSendMsgException',
    GroupId: `@TGS#2J4SZ${100 + (sent % 200)}`,
    Type: groupTypes[sent % groupTypes.length],
    From_Account: `user${1000 + (sent % 997)}`,
    Operator_Account: `user${1000 + (sent % 997)}`,
    Random: firstRandom + sent,
    OnlineOnlyFlag: 0,
    MsgBody: [
      { MsgType: 'TIMTextElem', MsgContent: { Text: 'red packet, and some more words of a usual message' } },
    ],
    CloudCustomData: 'your cloud custom data',
    ErrorCode: codes[(sent >> 3) % codes.length],
    ErrorInfo: 'msg count exceeds limit,please retry later',
    // As late as Tencent's own: identities begin with this time, and what is near in time is near in the journal.
    EventTime: String(Date.now() - (sent % 200)),
  });
  const query = `CallbackCommand=Group.CallbackSendMsgException&ClientIP=203.0.113.7&OptPlatform=${platforms[sent % platforms.length]}&SdkAppid=1400000001&contenttype=json`;
  return `POST /?${query} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

const latencies: number[] = [];
let failed = 0;
const startedAt = performance.now();
const endAt = startedAt + seconds * 1000;

await Promise.all(Array.from({ length: connections }, runConnection));

const elapsed = (performance.now() - startedAt) / 1000;
latencies.sort((a, b) => a - b);
const quantile = (q: number): number =>
  latencies[Math.min(latencies.length - 1, Math.floor(q * latencies.length))] ?? 0;
const result: LoadResult = {
  answered: latencies.length,
  failed,
  perSecond: latencies.length / elapsed,
  p50Ms: quantile(0.5),
  p99Ms: quantile(0.99),
  maxMs: quantile(1),
};
console.log(JSON.stringify(result));

function runConnection(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let sentAt = 0;
    const send = (): void => {
      sentAt = performance.now();
      socket.write(nextRequest(), 'latin1');
    };
    let buffered = '';
    socket.on('connect', send);
    socket.on('data', data => {
      buffered += data.toString('latin1');
      // Every answer of every variant is one small JSON object.
      if (!buffered.endsWith('}')) return;
      const now = performance.now();
      latencies.push(now - sentAt);
      if (!buffered.startsWith('HTTP/1.1 200') || !buffered.includes('"ActionStatus":"OK"')) failed += 1;
      buffered = '';
      if (now < endAt) return send();
      socket.end();
      resolve();
    });
    socket.on('error', reject);
    socket.on('close', resolve);
  });
}
