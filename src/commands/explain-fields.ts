/** What an exporter takes from each parameter and field of an exception, in words. */
import type { Exception, ExceptionLabels, FieldName } from '../callback/exception.ts';
import { type CallbackParameters, type Parameter, repeated } from '../callback/parameters.ts';
import type { Privacy } from '../callback/record.ts';

export interface Field {
  name: string;
  in: 'query' | 'body';
  state: 'taken' | 'missing' | 'odd';
  isInvalid: boolean;
  /** `null` where there is none, or it is not to be shown. */
  value: string | number | boolean | null;
  note: string | null;
}

export interface ExplainedException {
  exception: Exception;
  labels: ExceptionLabels;
  parameters: CallbackParameters;
  /** The body's own fields. */
  fields: Readonly<Record<string, unknown>>;
  privacy: Privacy;
}

/** What of `exception` is private, and which setting would let it be shown. */
const userIdNote = 'not shown: USER_IDS=plain shows it';

/** In the order of the URL and of Tencent's page. */
export function explainFields(explained: ExplainedException): Field[] {
  const { exception, labels, parameters, fields, privacy } = explained;
  const isPlain = privacy.userIds === 'plain';

  const field = (
    name: FieldName,
    place: Field['in'],
    raw: unknown,
    value: Field['value'],
    { expects, takes, counts }: { expects: string; takes?: string | null; counts?: string },
  ): Field => {
    const isInvalid = exception.invalidFields.includes(name);
    const isThere = raw !== undefined && raw !== null && raw !== '';
    const state = !isThere ? 'missing' : isInvalid ? 'odd' : 'taken';
    const expectation = raw === repeated ? `expected once` : `expected ${expects}, got ${typeName(raw)}`;
    const note = {
      taken: [takes ?? counts],
      missing: isInvalid ? [counts] : [],
      odd: [expectation, takes ?? counts],
    }[state].filter(part => part !== undefined);
    return { name, in: place, state, isInvalid, value, note: note.length === 0 ? null : note.join('; ') };
  };
  const user = (name: 'From_Account' | 'Operator_Account', value: string | null, counts?: string): Field => {
    const isHidden = value !== null && !isPlain;
    const own = field(name, 'body', read(fields, name), isHidden ? null : value, {
      expects: textOf(256),
      counts,
    });
    return isHidden ? { ...own, note: [own.note, userIdNote].filter(part => part !== null).join('; ') } : own;
  };
  const text = (name: FieldName, value: string | null, charactersMax: number, counts?: string): Field =>
    field(name, 'body', read(fields, name), value, { expects: textOf(charactersMax), counts });

  const { clientIp, elementTypes, messageText } = exception;
  return [
    field('OptPlatform', 'query', parameters.optPlatform, exception.platform, {
      expects: textOf(64),
      counts: `platform="${labels.platform}"`,
    }),
    field('ClientIP', 'query', parameters.clientIp, isPlain ? clientIp : null, {
      expects: 'an IP address',
      takes: clientIp !== null && !isPlain ? userIdNote : null,
    }),
    field('CallbackCommand', 'body', read(fields, 'CallbackCommand'), commandOf(exception, fields), {
      expects: "the URL's command",
    }),
    text('GroupId', exception.groupId, 256),
    text('Type', exception.groupType, 64, `group_type="${labels.group_type}"`),
    text('TopicId', exception.topicId, 256),
    user('From_Account', exception.fromAccount),
    user('Operator_Account', exception.operatorAccount, `initiator="${labels.initiator}"`),
    field('Random', 'body', read(fields, 'Random'), exception.random, {
      expects: 'an integer from 0 to 4294967295',
    }),
    field('OnlineOnlyFlag', 'body', read(fields, 'OnlineOnlyFlag'), exception.isOnlineOnly, {
      expects: '0 or 1',
    }),
    field('MsgBody', 'body', read(fields, 'MsgBody'), elementTypes.join(', ') || null, {
      expects: 'a list of elements that have a MsgType',
      takes: messageNote(elementTypes, messageText, privacy),
    }),
    field('ErrorCode', 'body', read(fields, 'ErrorCode'), codeOf(exception), {
      expects: 'an integer',
      counts: `error_code="${labels.error_code}", error_category="${labels.error_category}"`,
    }),
    text('ErrorInfo', exception.errorInfo || null, 1024),
    field('EventTime', 'body', read(fields, 'EventTime'), exception.eventTime, {
      expects: 'milliseconds since 1970, from 2016 to a minute from now',
      counts: eventTimeNote(exception),
    }),
  ];
}

/** Names of parameters and fields that mean nothing to the exporter; of odd ones, their number. */
export function unreadNames(querystring: string, fields: Readonly<Record<string, unknown>>): string[] {
  const names = [...new URLSearchParams(querystring).keys(), ...Object.keys(fields)].filter(
    name => !readNames.has(name.toLowerCase()),
  );
  const shown = names.filter(name => /^\w{1,40}$/.test(name));
  const hiddenCount = names.length - shown.length;
  return [...new Set(shown), ...(hiddenCount === 0 ? [] : [`${hiddenCount} more`])];
}

const readNames: ReadonlySet<string> = new Set(
  [
    ...['SdkAppid', 'Sign', 'RequestTime', 'OptPlatform', 'ClientIP', 'CallbackCommand', 'GroupId', 'Type'],
    ...['TopicId', 'From_Account', 'Operator_Account', 'Random', 'OnlineOnlyFlag', 'MsgBody', 'ErrorCode'],
    ...['ErrorInfo', 'EventTime'],
  ].map(name => name.toLowerCase()),
);

function read(fields: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}

function textOf(charactersMax: number): string {
  return `text of up to ${charactersMax} characters`;
}

/** What it is, and never what it says. */
function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  const names: Partial<Record<string, string>> = {
    string: 'other text',
    number: 'another number',
    boolean: 'true or false',
    object: 'an object',
  };
  return names[typeof value] ?? 'nothing';
}

function commandOf({ invalidFields }: Exception, fields: Readonly<Record<string, unknown>>): string | null {
  const command = read(fields, 'CallbackCommand');
  return typeof command === 'string' && !invalidFields.includes('CallbackCommand') ? command : null;
}

function codeOf({ errorCode }: Exception): number | null {
  return errorCode === 'invalid' ? null : errorCode;
}

function messageNote(types: readonly string[], text: string | null, privacy: Privacy): string | null {
  if (privacy.messageContent === 'included') return text === null ? null : `text ${JSON.stringify(text)}`;
  return types.includes('TIMTextElem') ? 'text not shown: MESSAGE_CONTENT=included shows it' : null;
}

function eventTimeNote({ eventTime, occurredAt, receivedAt, invalidFields }: Exception): string {
  if (!invalidFields.includes('EventTime')) return new Date(occurredAt).toISOString();
  const isSeconds = eventTime !== null && eventTime >= 1e9 && eventTime < 1e10;
  const taken = `the time of receipt is taken, ${new Date(receivedAt).toISOString()}`;
  return isSeconds ? `these are seconds; ${taken}` : taken;
}

/** Where the URL's parameters stand, without what the signature is about. */
export function parameterText(value: Parameter): string {
  if (value === undefined || value === '') return 'missing';
  return value === repeated ? 'there more than once' : value;
}
