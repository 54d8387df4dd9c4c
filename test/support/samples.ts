/**
 * The callback that Tencent's page prints, mended: the sample there has `//` comments and lacks a comma before
 * `EventTime`, so that it is no JSON. Builders take overrides; `undefined` removes a field or parameter.
 */
import { sign } from '../../src/callback/authenticate.ts';

export const sampleSdkAppId = '1400000001';

/** A token and time whose `Sign` Tencent's pages print; see test/callback/authenticate.test.ts. */
export const sampleToken = 'xxxxyyyy';

/** 86 ms after the sample's EventTime, in milliseconds since the Unix epoch. */
export const sampleReceivedAt = 1670574414209;

const sampleFields = {
  CallbackCommand: 'Group.CallbackSendMsgException',
  GroupId: '@TGS#2J4SZEAEL',
  Type: 'Public',
  From_Account: 'jared',
  Operator_Account: 'admin',
  Random: 123456,
  OnlineOnlyFlag: 1,
  MsgBody: [{ MsgType: 'TIMTextElem', MsgContent: { Text: 'red packet' } }],
  CloudCustomData: 'your cloud custom data',
  ErrorCode: 10023,
  ErrorInfo: 'msg count exceeds limit,please retry later',
  EventTime: '1670574414123',
};

const sampleParameters = {
  CallbackCommand: 'Group.CallbackSendMsgException',
  ClientIP: '203.0.113.7',
  OptPlatform: 'Android',
  SdkAppid: sampleSdkAppId,
  contenttype: 'json',
};

/** The text of a body. */
export function sampleBody(overrides: Record<string, unknown> = {}): string {
  return JSON.stringify({ ...sampleFields, ...overrides });
}

/** The text of a body in which one field stands exactly as written, such as a number of more than 16 digits. */
export function sampleBodyWith(name: string, source: string): string {
  return sampleBody({ [name]: '@source@' }).replace('"@source@"', () => source);
}

/** A query string, in the order A to Z in which Tencent sends it. */
export function sampleQuery(overrides: Record<string, string | undefined> = {}): string {
  const parameters = Object.entries({ ...sampleParameters, ...overrides }).filter(
    (parameter): parameter is [string, string] => parameter[1] !== undefined,
  );
  return new URLSearchParams(parameters.sort(([left], [right]) => (left < right ? -1 : 1))).toString();
}

/** A query string with the `Sign` and `RequestTime` of a moment, in milliseconds since the Unix epoch. */
export function signedQuery(
  nowMs: number,
  token = sampleToken,
  overrides: Record<string, string | undefined> = {},
): string {
  const requestTime = String(Math.floor(nowMs / 1000));
  return sampleQuery({ RequestTime: requestTime, Sign: sign(token, requestTime), ...overrides });
}

/** What triggers an exception, by Tencent's page: one or more codes for each of its four cases. */
export const triggers = [
  { trigger: 'a bad parameter', errorCode: 10004, category: 'invalid_parameter' },
  { trigger: 'a group that does not exist', errorCode: 10010, category: 'group_unavailable' },
  { trigger: 'a malformed group ID', errorCode: 10015, category: 'group_unavailable' },
  { trigger: 'the message frequency', errorCode: 10023, category: 'rate_limited' },
  { trigger: 'the content filter, for text', errorCode: 80001, category: 'moderated' },
  { trigger: 'the content filter, for an image', errorCode: 80004, category: 'moderated' },
  { trigger: 'a muted sender', errorCode: 10017, category: 'muted' },
] as const;
