/**
 * What is attacked, and how it is known that an attack has cost nothing: a real exporter with a journal and an OTLP
 * receiver, and the "nothing lost" probe. After each attack, 100 valid callbacks with known identities must give
 * 100 times 200, 100 more in the counter and 100 at the OTLP end; every counter must have moved by exactly what the
 * attack was to leave; and it must still be the same process, without a word of error in its log.
 */
import { Agent } from 'node:http';
import * as assert from 'uvu/assert';
import { sign } from '../../src/callback/authenticate.ts';
import { type RejectionReason, rejectionReasons } from '../../src/callback/exception.ts';
import { type ReadFamily, readOpenMetrics } from '../metrics/strict-openmetrics.ts';
import { onCleanUp } from '../support/clean-up.ts';
import { type Exporter, exceptionsTotal, type Samples, startExporter } from '../support/exporter.ts';
import { exceptionBody, exceptionNumber } from '../support/oracle.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { send } from '../support/request.ts';
import { sampleQuery, signedQuery } from '../support/samples.ts';

export const signals = ['traces', 'logs'] as const;

/** The one in use and its successor, both valid during a rotation; and the one before them, which no longer is. */
export const tokens = { current: 'canary-token-current', next: 'canary-token-next', retired: 'canary-token' };

/** The end user's address, which is private. */
export const clientAddress = '198.51.100.77';

export const openMetricsType = 'application/openmetrics-text; version=1.0.0';

const probeCount = 100;

/** What an attack leaves in the counters. What is left out must not have moved. */
export interface Trace {
  counted?: number;
  duplicate?: number;
  ignored?: number;
  rejected?: Partial<Record<RejectionReason, number>>;
  /** Fields that were odd, by name. */
  invalid?: Record<string, number>;
  /** Of the counted, how many stand under these values of these labels. */
  labels?: Record<string, Record<string, number>>;
}

export class Target {
  readonly exporter: Exporter;
  readonly collector: OtlpReceiver;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });
  /** The exceptions of each probe, by their numbers; see oracle.ts. */
  readonly #probes: { attack: string; from: number }[] = [];
  #startedAtSeconds = 0;
  #linesSeen = 0;

  constructor(exporter: Exporter, collector: OtlpReceiver) {
    this.exporter = exporter;
    this.collector = collector;
    onCleanUp(() => this.#agent.destroy());
  }

  /** Carries out the attack, and holds the exporter to what it says it leaves. Then the probe. */
  async survives(attack: string, act: () => Promise<Trace>): Promise<void> {
    const before = await this.exporter.metrics();
    const left = await act();
    const after = await this.exporter.metrics();
    assert.equal(difference(before, after, left), completed(left), `what the attack left: ${attack}`);

    const from = this.#probes.length * probeCount;
    this.#probes.push({ attack, from });
    const url = `${this.exporter.callbackUrl}?${this.query()}`;
    const answers = await Promise.all(
      Array.from({ length: probeCount }, (_, index) =>
        send(url, { method: 'POST', body: exceptionBody(from + index), agent: this.#agent }),
      ),
    );
    assert.equal(
      answers.filter(({ status }) => status !== 200),
      [],
      `100 valid callbacks, 100 times 200, after: ${attack}`,
    );
    const probed = await this.exporter.metrics();
    assert.equal(
      difference(after, probed),
      completed({ counted: probeCount }),
      `100 more, and no rejection: ${attack}`,
    );
    await this.isSound(probed);
  }

  /** The same process, an error nowhere, and both expositions such as may be scraped. */
  async isSound(metrics: Samples): Promise<ReadFamily[]> {
    const [startedAt] = metrics.list('process_start_time_seconds');
    if (this.#startedAtSeconds === 0) this.#startedAtSeconds = startedAt!.value;
    assert.is(startedAt!.value, this.#startedAtSeconds, 'the same process');
    // Reading them is a check of its own: each line is one JSON object.
    const lines = this.exporter.logLines.slice(this.#linesSeen);
    // Each attack answers for its own.
    this.#linesSeen += lines.length;
    assert.equal(
      lines.filter(({ level }) => level === 'error' || level === 'warn'),
      [],
    );
    return readSoundMetrics((await this.exporter.get('/metrics', { Accept: openMetricsType })).body);
  }

  /** Resolves when every exception of every probe so far is at the OTLP end, once; rejects with what is missing. */
  async hasDeliveredAllProbes(): Promise<void> {
    const wanted = this.#probes.length * probeCount;
    const numbers = (signal: (typeof signals)[number]): Set<number> =>
      new Set([...this.collector.traceIds[signal].keys()].map(exceptionNumber));
    const missing = (): string[] =>
      signals.flatMap(signal => {
        const found = numbers(signal);
        return this.#probes
          .map(({ attack, from }) => {
            const count = Array.from({ length: probeCount }, (_, index) => found.has(from + index));
            return { attack, lost: count.filter(isThere => !isThere).length };
          })
          .filter(({ lost }) => lost > 0)
          .map(({ attack, lost }) => `${lost} ${signal} of the probe after: ${attack}`);
      });
    await this.collector.until(() => missing().length === 0).catch(() => {});
    assert.equal(missing(), []);
    // Distinct ones: as many identities as there are numbers.
    for (const signal of signals) {
      const ids = [...this.collector.traceIds[signal].keys()].map(exceptionNumber);
      assert.is(ids.filter(number => number >= 0 && number < wanted).length, wanted, signal);
    }
  }

  /** Signed now, by the current token. `undefined` removes a parameter. */
  query(overrides: Record<string, string | undefined> = {}, token = tokens.current): string {
    return signedQuery(Date.now(), token, { ClientIP: clientAddress, ...overrides });
  }

  /** A RequestTime that may be any text, and its Sign. */
  timedQuery(requestTime: string, overrides: Record<string, string | undefined> = {}): string {
    const Sign = sign(tokens.current, requestTime);
    return sampleQuery({ RequestTime: requestTime, Sign, ClientIP: clientAddress, ...overrides });
  }

  async residentBytes(): Promise<number> {
    return (await this.exporter.metrics()).sum('process_resident_memory_bytes');
  }
}

export async function startTarget(): Promise<Target> {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const exporter = await startExporter({
    env: {
      CALLBACK_TOKENS: `${tokens.current},${tokens.next}`,
      LOG_LEVEL: 'debug',
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    },
  });
  return new Target(exporter, collector);
}

/** A scrape in OpenMetrics, held to its specification; and no sample is NaN or infinite. */
export function readSoundMetrics(scrape: string): ReadFamily[] {
  const families = readOpenMetrics(scrape);
  for (const { samples } of families) {
    for (const { name, value } of samples) assert.ok(Number.isFinite(value), `${name} is ${value}`);
  }
  return families;
}

/** How far the counters moved, in the form of `completed`. Asks for no labels but those that are named. */
export function difference(before: Samples, after: Samples, { labels = {} }: Trace = {}) {
  const moved = (name: string, by: Record<string, string> = {}): number =>
    after.sum(name, by) - before.sum(name, by);
  const byLabel = (name: string, label: string, values: readonly string[]): Record<string, number> =>
    Object.fromEntries(
      values
        .map(value => [value, moved(name, { [label]: value })] as const)
        .filter(([, count]) => count !== 0),
    );
  const outcome = (value: string): number => moved('tencent_chat_callbacks_total', { outcome: value });
  const fields = after.list('tencent_chat_invalid_fields_total').map(sample => sample.labels.field!);
  return {
    counted: outcome('counted'),
    duplicate: outcome('duplicate'),
    ignored: outcome('ignored'),
    rejected: byLabel('tencent_chat_callbacks_rejected_total', 'reason', rejectionReasons),
    rejectedCount: outcome('rejected'),
    exceptions: moved(exceptionsTotal),
    invalid: byLabel('tencent_chat_invalid_fields_total', 'field', fields),
    labels: Object.fromEntries(
      Object.entries(labels).map(([label, values]) => [
        label,
        byLabel(exceptionsTotal, label, Object.keys(values)),
      ]),
    ),
  };
}

/** With a 0 for all that is left out: every callback has one outcome, every exception is in the counter once. */
function completed({
  counted = 0,
  duplicate = 0,
  ignored = 0,
  rejected = {},
  invalid = {},
  labels = {},
}: Trace) {
  const rejectedCount = Object.values(rejected).reduce((sum, count) => sum + count, 0);
  return { counted, duplicate, ignored, rejected, rejectedCount, exceptions: counted, invalid, labels };
}
