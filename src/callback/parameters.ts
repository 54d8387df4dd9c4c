/**
 * The query parameters of a callback's URL.
 *
 * Tencent spells `SdkAppid` in most pages and `SdkAppId` in some, sorts the parameters at will and adds new ones
 * (`RequestID`, a customer's own) without notice. So names are matched without regard to case, the order means
 * nothing, and what is not named here is ignored.
 */

/** Stands for a parameter that was given more than once. A symbol, so that no value can be taken for it. */
export const repeated = Symbol('repeated');

/** The value after percent-decoding (it may be empty), `repeated`, or `undefined` where there is none. */
export type Parameter = string | typeof repeated | undefined;

export interface CallbackParameters {
  sdkAppId: Parameter;
  callbackCommand: Parameter;
  clientIp: Parameter;
  optPlatform: Parameter;
  sign: Parameter;
  requestTime: Parameter;
}

const namesByLowerCase = new Map<string, keyof CallbackParameters>([
  ['sdkappid', 'sdkAppId'],
  ['callbackcommand', 'callbackCommand'],
  ['clientip', 'clientIp'],
  ['optplatform', 'optPlatform'],
  ['sign', 'sign'],
  ['requesttime', 'requestTime'],
]);

/** Reads the raw query string, without its `?`. Never throws: what cannot be decoded becomes U+FFFD. */
export function parseParameters(querystring: string): CallbackParameters {
  const parameters: CallbackParameters = {
    sdkAppId: undefined,
    callbackCommand: undefined,
    clientIp: undefined,
    optPlatform: undefined,
    sign: undefined,
    requestTime: undefined,
  };
  new URLSearchParams(querystring).forEach((value, spelling) => {
    const name = namesByLowerCase.get(spelling.toLowerCase());
    if (name !== undefined) parameters[name] = parameters[name] === undefined ? value : repeated;
  });
  return parameters;
}
