/** Senders that go on for ever on connections of their own; then others that connect, each for one callback. */
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { exceptionBody } from '../support/oracle.ts';
import { sampleReceivedAt, signedQuery } from '../support/samples.ts';

export interface SendersInput {
  port: number;
  oldCount: number;
  newCount: number;
}

export interface SendersResult {
  /** Callbacks of the old senders that were answered before the last of the new ones was. */
  answeredMeanwhile: number;
}

const { port, oldCount, newCount } = workerData as SendersInput;
const head = `POST /?${signedQuery(sampleReceivedAt)} HTTP/1.1\r\nHost: exporter\r\nContent-Length: `;
let sentCount = 0;
let answeredCount = 0;
let startedCount = 0;
let newAnsweredCount = 0;
let answeredBefore = 0;

function send(onAnswer: (sendAgain: () => void) => void): void {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true });
  const sendAgain = () => {
    sentCount += 1;
    const body = exceptionBody(sentCount);
    socket.write(`${head}${body.length}\r\n\r\n${body}`);
  };
  socket.on('data', () => onAnswer(sendAgain));
  sendAgain();
}

function sendForEver(): void {
  let isFirst = true;
  send(sendAgain => {
    answeredCount += 1;
    sendAgain();
    if (!isFirst) return;
    isFirst = false;
    startedCount += 1;
    if (startedCount === oldCount) sendNew();
  });
}

function sendNew(): void {
  answeredBefore = answeredCount;
  for (let count = 0; count < newCount; count += 1) {
    send(() => {
      newAnsweredCount += 1;
      if (newAnsweredCount < newCount) return;
      parentPort!.postMessage({ answeredMeanwhile: answeredCount - answeredBefore } satisfies SendersResult);
    });
  }
}

for (let count = 0; count < oldCount; count += 1) sendForEver();
