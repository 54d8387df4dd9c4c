/**
 * A callback's whole life: authenticate → parse → classify → identify → journal → count → answer.
 *
 * Knows nothing of Koa; time, the journal and the metrics are handed in.
 */
import type { Authenticate } from '../callback/authenticate.ts';
import type { Classification, Classifier } from '../callback/classify.ts';
import { commandLabel, exceptionCommand, urlCommand } from '../callback/commands.ts';
import type { Exception, FieldName, RejectionReason } from '../callback/exception.ts';
import type { ExceptionIds, Identifier } from '../callback/identify.ts';
import { parseParameters } from '../callback/parameters.ts';
import { bodyCommand, parseBody, readException } from '../callback/parse.ts';
import { encodeRecord, type Privacy, toRecord } from '../callback/record.ts';
import type { JournalEntry } from '../journal/journal.ts';
import { type JournalWriter, UnwrittenLimitReached } from '../journal/writer.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { type Answer, okAnswer, rejectionAnswers } from './answers.ts';
import type { CallbackTally } from './callback-tally.ts';
import type { InFlight } from './in-flight.ts';
import type { Rejections } from './rejections.ts';

/** What is stored of an exception, and what is counted of it once that is durable. */
export interface CountedEntry extends JournalEntry, ExceptionIds {
  occurredAt: number;
  elementTypes: readonly string[];
  invalidFields: readonly FieldName[];
  folded: Classification['folded'];
  /** For the status page; the journal has it in `record` alone. */
  groupId: string | null;
}

/** One request, as far as it matters. */
export interface Callback {
  /** On the clock of `performance.now()`. */
  arrivedAt: number;
  /** The raw query string, without its `?`. */
  querystring: string;
  contentEncoding: string | undefined;
  /** What the body may take in memory, known before it is read. */
  bodyBytesMax: number;
  /** The body as text; `null` when it is larger than `bodyBytesMax` allows. Rejects when the sender goes away. */
  readBody(): Promise<string | null>;
}

export interface Receiver {
  authenticate: Authenticate;
  classifier: Classifier;
  identifier: Identifier;
  writer: Pick<JournalWriter<CountedEntry>, 'append'>;
  metrics: Metrics;
  rejections: Rejections;
  tally: CallbackTally;
  inFlight: InFlight;
  privacy: Privacy;
  /** Message text is looked at only where it will be delivered. */
  withMessageText: boolean;
  /** Whether any signal is delivered; otherwise no record is journaled. */
  isDelivering: boolean;
  /** Milliseconds since the Unix epoch. */
  now: () => number;
}

/** Tencent waits for 2 s. What is not answered by now is refused, so that it shows in Tencent's list, not as a time-out. */
export const answerWithinMs = 1_500;

/** Answers one callback. Rejects only when the body cannot be read because the sender has gone. */
export async function receive(callback: Callback, receiver: Receiver): Promise<Answer> {
  const { authenticate, metrics, inFlight } = receiver;
  const receivedAt = receiver.now();
  const parameters = parseParameters(callback.querystring);
  let command = urlCommand(parameters);

  const secondsSoFar = (): number => (performance.now() - callback.arrivedAt) / 1000;
  const reject = (reason: RejectionReason, body: string | null = null): Answer => {
    const label = commandLabel(command);
    metrics.callbackRejected(label, reason, secondsSoFar());
    receiver.tally.note('rejected', label, receivedAt);
    receiver.rejections.add({ at: receivedAt, reason, command: label, body });
    return rejectionAnswers[reason];
  };
  const answerOk = (outcome: 'counted' | 'duplicate' | 'ignored', ids?: ExceptionIds): Answer => {
    const label = commandLabel(command);
    metrics.callbackAnswered(label, outcome, secondsSoFar(), ids);
    receiver.tally.note(outcome, label, receivedAt);
    return okAnswer;
  };

  const refusal = authenticate(parameters, receivedAt);
  if (refusal !== null) return reject(refusal);
  if (callback.contentEncoding !== undefined) return reject('encoding');
  // Every callback of the app comes to this URL; the ones "before" an event are held up until they are answered.
  if (command !== undefined && command !== exceptionCommand) return answerOk('ignored');

  if (!inFlight.enter(callback.bodyBytesMax)) return reject('overload');
  try {
    const text = await callback.readBody();
    if (text === null) return reject('too_large');
    const body = parseBody(text);
    if (body === null) return reject('malformed', text);
    command ??= bodyCommand(body);
    if (command !== exceptionCommand) return answerOk('ignored');

    const entry = toEntry(readException(body, parameters, receivedAt, receiver), receiver);
    const outcome = await receiver.writer.append(entry, callback.arrivedAt + answerWithinMs);
    if (outcome === 'late') return reject('overload');
    return answerOk(outcome === 'new' ? 'counted' : 'duplicate', entry);
  } catch (error) {
    if (error instanceof UnwrittenLimitReached) return reject('overload');
    throw error;
  } finally {
    inFlight.leave(callback.bodyBytesMax);
  }
}

/** Classify and identify: from what was reported to what is stored. */
function toEntry(
  exception: Exception,
  { classifier, identifier, privacy, isDelivering }: Receiver,
): CountedEntry {
  const classification = classifier.classify(exception);
  const ids = identifier.identify(exception.identityParts, exception.eventTime);
  return {
    identity: ids.traceId,
    ...ids,
    labels: classification.labels,
    occurredAt: exception.occurredAt,
    elementTypes: exception.elementTypes,
    receivedAt: exception.receivedAt,
    senderHash: identifier.hash48(exception.fromAccount),
    groupHash: identifier.hash48(exception.groupId),
    record: isDelivering ? encodeRecord(toRecord(exception, classification, ids, privacy, identifier)) : null,
    invalidFields: exception.invalidFields,
    folded: classification.folded,
    groupId: exception.groupId,
  };
}

/** What the metrics learn of a new exception. Also of one that was stored too late for its own answer. */
export function countException(entry: CountedEntry, metrics: Metrics): void {
  metrics.exceptionCounted(entry, entry);
  if (entry.invalidFields.length > 0) metrics.fieldsInvalid(entry.invalidFields);
  if (entry.folded !== null) metrics.labelFolded(entry.folded);
}
