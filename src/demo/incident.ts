/** An incident beside the traffic: Tencent fails messages of many senders with internal errors. */
import { randomInt } from 'node:crypto';
import { exceptionCommand } from '../callback/commands.ts';
import { callbackQuery } from '../traffic/query.ts';

const everyMs = 250;
const errorCode = 10002;

export interface IncidentOptions {
  callbackUrl: string;
  sdkAppId: string;
  token: string;
}

/** Posts one every 250 ms until `stop`. What is not answered is not missed: it is there to raise an alert. */
export function startIncident({ callbackUrl, sdkAppId, token }: IncidentOptions): { stop(): void } {
  const timer = setInterval(() => {
    const now = Date.now();
    const query = callbackQuery({
      sdkAppId,
      command: exceptionCommand,
      token,
      at: now,
      others: { OptPlatform: 'Android' },
    });
    const body = JSON.stringify({
      CallbackCommand: exceptionCommand,
      GroupId: `@TGS#DEMO${randomInt(50)}`,
      Type: 'Public',
      From_Account: `user${randomInt(1_000)}`,
      Random: randomInt(2 ** 32),
      MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'hello' } }],
      ErrorCode: errorCode,
      ErrorInfo: 'group svr internal error',
      EventTime: String(now),
    });
    fetch(`${callbackUrl}?${query}`, { method: 'POST', body })
      .then(answer => answer.arrayBuffer())
      .catch(() => {});
  }, everyMs);
  return { stop: () => clearInterval(timer) };
}
