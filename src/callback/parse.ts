/**
 * From a callback's body to an `Exception`.
 *
 * Nothing in a body can lose an event: a field that is missing, odd or of the wrong type becomes `null`, `'invalid'` or
 * a stand-in, and is named in `invalidFields`. Only a body that is no JSON object is refused. Missing counts as
 * invalid where a label or the identity is built from the field; wrong type and out of range count always. `null` and
 * the empty string are taken as missing.
 *
 * Bodies are at most 256 KiB, which bounds all work done here: 4 µs for a usual body, about 10 ms for one built to be
 * slow.
 */
import { hash } from 'node:crypto';
import { isIP } from 'node:net';
import { urlCommand } from './commands.ts';
import type { Exception, FieldName } from './exception.ts';
import { type CallbackParameters, type Parameter, repeated } from './parameters.ts';

/** A body that is a JSON object, and the text that it was. */
export interface Body {
  text: string;
  fields: Record<string, unknown>;
}

/**
 * `null`: not JSON, or not an object. A byte order mark is tolerated. Whatever `Content-Type` says does not matter:
 * Tencent's sample has none.
 */
export function parseBody(text: string): Body | null {
  let value: unknown;
  try {
    value = JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch {
    // The SyntaxError quotes the body, which is private: it goes no further.
    return null;
  }
  if (!isObject(value)) return null;
  return { text, fields: value };
}

/** The command that the body names, for the case that the URL names none. */
export function bodyCommand({ fields }: Pick<Body, 'fields'>): string | undefined {
  const command = read(fields, 'CallbackCommand');
  return typeof command === 'string' ? command : undefined;
}

/**
 * Reads an authentic exception. `receivedAt` is in milliseconds since the Unix epoch. Never throws. Message text is
 * private, and only looked at where `withMessageText` is set.
 */
export function readException(
  body: Body,
  parameters: CallbackParameters,
  receivedAt: number,
  options: { withMessageText: boolean },
): Exception {
  const { fields } = body;
  const invalidFields: FieldName[] = [];

  const readText = (name: keyof typeof textFields, value: unknown): string | null => {
    const { charactersMax, isRequired } = textFields[name];
    if (typeof value !== 'string' || value === '') {
      if (isRequired || !isMissing(value)) invalidFields.push(name);
      return null;
    }
    if (value.length <= charactersMax) return value.toWellFormed();
    invalidFields.push(name);
    // Copied, since a slice keeps all of the 256 KB that it is cut from: a thousand remembered ones would be 256 MB.
    return Buffer.from(value.slice(0, charactersMax)).toString();
  };

  const sdkAppId = typeof parameters.sdkAppId === 'string' ? parameters.sdkAppId : '';
  const rawErrorCode = read(fields, 'ErrorCode');
  const rawEventTime = read(fields, 'EventTime');
  const rawRandom = read(fields, 'Random');
  const errorCode = readInteger(rawErrorCode);
  const eventTime = readInteger(rawEventTime);
  const random = readInteger(rawRandom);

  if (errorCode === null) invalidFields.push('ErrorCode');
  const isTimely =
    eventTime !== null && eventTime >= eventTimeMin && eventTime <= receivedAt + eventTimeAheadMaxMs;
  if (!isTimely) invalidFields.push('EventTime');
  const isUint32 = random !== null && random >= 0 && random <= 0xffff_ffff;
  if (!isUint32) invalidFields.push('Random');

  const command = read(fields, 'CallbackCommand');
  const namedCommand = urlCommand(parameters);
  const isOtherCommand = namedCommand !== undefined && command !== undefined && command !== namedCommand;
  if (isOtherCommand || parameters.callbackCommand === repeated) invalidFields.push('CallbackCommand');

  const rawOnlineOnly = read(fields, 'OnlineOnlyFlag');
  const onlineOnly = readInteger(rawOnlineOnly);
  const isFlag = onlineOnly === 0 || onlineOnly === 1;
  if (!isFlag && rawOnlineOnly !== undefined) invalidFields.push('OnlineOnlyFlag');

  const clientIp = isAddress(parameters.clientIp) ? parameters.clientIp : null;
  if (clientIp === null && !isMissing(parameters.clientIp)) invalidFields.push('ClientIP');

  const rawMessage = read(fields, 'MsgBody');
  const elements = Array.isArray(rawMessage) ? rawMessage.filter(isElement) : [];
  const isSound = Array.isArray(rawMessage) && rawMessage.length === elements.length;
  if (!isSound && rawMessage !== undefined) invalidFields.push('MsgBody');

  const identityParts = [
    sdkAppId,
    digitsOrText(read(fields, 'GroupId')),
    digitsOrText(read(fields, 'TopicId')),
    digitsOrText(read(fields, 'From_Account')),
    digitsOrText(rawRandom),
    digitsOrText(rawErrorCode),
    digitsOrText(rawEventTime),
  ];
  // A number that is missing no longer tells this exception from the next, and from 2^53 on two numbers read as one.
  // The body does: a callback that is sent again carries the same bytes. The receipt time has no say here, or the same
  // callback received later could become another exception.
  if (random === null || errorCode === null || eventTime === null) {
    identityParts.push(hash('sha256', body.text, 'hex'));
  }

  return {
    sdkAppId,
    receivedAt,
    occurredAt: isTimely ? eventTime : receivedAt,
    eventTime,
    errorCode: errorCode ?? (rawErrorCode === undefined ? null : 'invalid'),
    errorInfo: readText('ErrorInfo', read(fields, 'ErrorInfo')) ?? '',
    groupId: readText('GroupId', read(fields, 'GroupId')),
    groupType: readText('Type', read(fields, 'Type')),
    topicId: readText('TopicId', read(fields, 'TopicId')),
    fromAccount: readText('From_Account', read(fields, 'From_Account')),
    operatorAccount: readText('Operator_Account', read(fields, 'Operator_Account')),
    random: isUint32 ? random : null,
    isOnlineOnly: isFlag ? onlineOnly === 1 : null,
    elementTypes: readElementTypes(elements),
    messageText: options.withMessageText ? readMessageText(elements) : null,
    platform: readText('OptPlatform', parameters.optPlatform),
    clientIp,
    identityParts,
    invalidFields,
  };
}

/**
 * Longest documented or seen: group ID 48 bytes, topic ID 96, account 36. What is longer than the limit is cut, in
 * UTF-16 code units, and counts as invalid; the identity is built from the uncut text.
 */
const textFields = {
  GroupId: { charactersMax: 256, isRequired: true },
  Type: { charactersMax: 64, isRequired: true },
  TopicId: { charactersMax: 256, isRequired: false },
  From_Account: { charactersMax: 256, isRequired: true },
  Operator_Account: { charactersMax: 256, isRequired: false },
  ErrorInfo: { charactersMax: 1024, isRequired: false },
  OptPlatform: { charactersMax: 64, isRequired: true },
} as const satisfies Partial<Record<FieldName, { charactersMax: number; isRequired: boolean }>>;

/** Tencent's documentation of these callbacks begins after this; seconds read as milliseconds are far before it. */
const eventTimeMin = Date.UTC(2016, 0, 1);

/** Two clocks may differ; by more than this one of them is wrong. */
const eventTimeAheadMaxMs = 60_000;

const messageTextCharactersMax = 4096;

/** Ten types are documented; one message seldom holds more than two. */
const elementTypesMax = 10;
const elementTypeShape = /^TIM\w{1,40}Elem$/;

/** A named own field; `undefined` where it is missing, `null` or empty. */
function read(fields: Record<string, unknown>, name: string): unknown {
  if (!Object.hasOwn(fields, name)) return undefined;
  const value = fields[name];
  return isMissing(value) ? undefined : value;
}

function isMissing(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * An integer from either spelling Tencent uses, else `null`.
 *
 * The field table calls `EventTime` an integer, the sample on the same page sends `"1670574414123"`. Both are taken,
 * for every number. 2^53 and beyond is `null`: 2^53 and 2^53 + 1 parse to one number, so what was sent is unknown.
 */
function readInteger(value: unknown): number | null {
  const number = typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : null;
}

/** For the identity: `"123"` and `123` are one, any other type is as good as missing. */
function digitsOrText(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : '';
}

/** Text of an IPv4 or IPv6 address: 45 characters hold the longest, and leave no room for a long zone. */
function isAddress(value: Parameter): value is string {
  return typeof value === 'string' && value.length <= 45 && isIP(value) !== 0;
}

interface Element {
  MsgType: string;
  MsgContent?: unknown;
}

function isElement(value: unknown): value is Element {
  return isObject(value) && typeof read(value, 'MsgType') === 'string';
}

/** Distinct types in order of appearance; what is no type name, or one too many, is `other`. */
function readElementTypes(elements: Element[]): string[] {
  const types: string[] = [];
  for (const { MsgType } of elements) {
    if (types.includes(MsgType)) continue;
    const type = types.length < elementTypesMax && elementTypeShape.test(MsgType) ? MsgType : 'other';
    if (!types.includes(type)) types.push(type);
  }
  return types;
}

/** The texts of all text elements, a line each; `null` where there is none. */
function readMessageText(elements: Element[]): string | null {
  const texts: string[] = [];
  for (const { MsgType, MsgContent } of elements) {
    const text = MsgType === 'TIMTextElem' && isObject(MsgContent) ? read(MsgContent, 'Text') : undefined;
    if (typeof text === 'string') texts.push(text);
  }
  return texts.length === 0 ? null : texts.join('\n').slice(0, messageTextCharactersMax).toWellFormed();
}
