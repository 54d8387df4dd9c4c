/** The query string of a callback's URL, as Tencent makes it. */
import { sign } from '../callback/authenticate.ts';

export interface QueryOptions {
  sdkAppId: string;
  command: string;
  /** `null`: without `Sign` and `RequestTime`, as an app sends that has no token. */
  token: string | null;
  /** Milliseconds since the Unix epoch, from 2001 to 2286: `RequestTime` has ten digits. */
  at: number;
  /** Further parameters by their names on the wire. */
  others?: Readonly<Record<string, string>>;
}

/** Parameters in the order A to Z, which is that of captures. */
export function callbackParameters({
  sdkAppId,
  command,
  token,
  at,
  others = {},
}: QueryOptions): Record<string, string> {
  const requestTime = String(Math.floor(at / 1000));
  const signed: Record<string, string> =
    token === null ? {} : { RequestTime: requestTime, Sign: sign(token, requestTime) };
  const parameters: Record<string, string> = {
    ...others,
    ...signed,
    CallbackCommand: command,
    SdkAppid: sdkAppId,
    contenttype: 'json',
  };
  const names = Object.keys(parameters).sort((left, right) => (left < right ? -1 : 1));
  return Object.fromEntries(names.map(name => [name, parameters[name]!]));
}

/** Without its `?`. */
export function callbackQuery(options: QueryOptions): string {
  return new URLSearchParams(callbackParameters(options)).toString();
}
