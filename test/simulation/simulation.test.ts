/**
 * Everything above the disk in one process, over simulated time: random histories of callbacks, crashes, restarts,
 * scrapes and outages, each held against a simple model. Then the same with parts that are broken on purpose, each
 * of which the model must notice.
 *
 * `SEED=1234` repeats one history and tells its steps. `npm run simulate -- --histories 5000` runs more of them.
 */
import './no-process-metrics.ts';

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { CountedEntry } from '../../src/http/receive.ts';
import type { AppendOutcome, JournalEntry, OutboxRow, Signal } from '../../src/journal/journal.ts';
import { JournalWriter } from '../../src/journal/writer.ts';
import type { Verdict } from '../../src/telemetry/exporters.ts';
import { newSeed } from '../support/random.ts';
import { SimulatedEngine } from './engine.ts';
import { describeFailure, simulate, simulateOne } from './simulate.ts';
import { type Parts, soundParts } from './world.ts';

const simulation = suite('simulation');

const seconds = 10;
/** Too few would be no test; a slow machine runs a hundred in this time. */
const historiesMin = 50;

simulation('whatever happens, what was acknowledged is counted once, delivered and shown', async () => {
  if (process.env.SEED !== undefined) {
    const failure = await simulateOne(newSeed(), soundParts, console.log);
    assert.is(failure && describeFailure(failure), null);
    return;
  }
  const seed = newSeed();
  const endAt = performance.now() + seconds * 1000;
  const { histories, failure } = await simulate(seed, () => performance.now() > endAt);
  console.log(`\nsimulation: ${histories} histories from SEED=${seed} on`);
  assert.is(failure && describeFailure(failure), null);
  assert.ok(histories >= historiesMin, `only ${histories} histories in ${seconds} s`);
});

/** Says OK first, and commits a little later. */
class AnswersBeforeCommit extends SimulatedEngine {
  override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    const outcomes = entries.map(
      ({ identity }): AppendOutcome => (this.disk.exceptions.has(identity) ? 'duplicate' : 'new'),
    );
    this.options.clock.delay(20).then(() => super.append(entries).catch(() => {}));
    return outcomes;
  }
}

/** Does not recognise what a failed sync left on the disk. */
class CountsAgainOnRetry extends SimulatedEngine {
  readonly #tried = new Set<string>();

  override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
    try {
      return await super.append(entries);
    } catch (error) {
      for (const { identity } of entries) this.#tried.add(identity);
      throw error;
    }
  }

  protected override commit(entries: readonly JournalEntry[]): AppendOutcome[] {
    for (const { identity, labels } of entries) {
      if (!this.#tried.delete(identity) || !this.disk.exceptions.has(identity)) continue;
      const key = JSON.stringify(labels);
      const total = this.disk.totals.get(key)!;
      this.disk.totals.set(key, { ...total, count: total.count + 1 });
    }
    return super.commit(entries);
  }
}

/** Takes for a duplicate what its own failed sync has left on the disk, once the file was opened anew. */
class KnowsWhatItFailedToStore extends SimulatedEngine {
  override async known(identities: readonly string[]): Promise<boolean[]> {
    this.unconfirmed.clear();
    return super.known(identities);
  }
}

/** Keeps dead letters in memory only: nowhere. */
class ForgetsDeadLetters extends SimulatedEngine {
  override async deadLetter(): Promise<void> {}
}

/** Takes what was read for delivered. */
class MovesCursorOnRead extends SimulatedEngine {
  override async read(after: number, limit: number): Promise<OutboxRow[]> {
    const rows = await super.read(after, limit);
    const last = rows.at(-1);
    if (last !== undefined) {
      this.moveCursor('traces', last.sequence);
      this.moveCursor('logs', last.sequence);
      this.writeCursors();
    }
    return rows;
  }
}

/** Adds to the totals in a transaction of its own, which a crash can separate from the first. */
class AddsToTotalsLater extends SimulatedEngine {
  protected override store(entry: JournalEntry): void {
    const key = JSON.stringify(entry.labels);
    const before = this.disk.totals.get(key);
    super.store(entry);
    const after = this.disk.totals.get(key)!;
    if (before !== undefined) this.disk.totals.set(key, before);
    this.options.clock.delay(5).then(() => {
      const now = this.disk.totals.get(key)!;
      if (before !== undefined) this.disk.totals.set(key, { ...after, count: now.count + 1 });
    });
  }
}

/** Loses what is in the outbox for a signal that is behind the other. */
class LetsGoAtTheFirstCursor extends SimulatedEngine {
  override async acknowledge(signal: Signal, upTo: number): Promise<void> {
    await super.acknowledge(signal, upTo);
    this.disk.outbox = this.disk.outbox.filter(({ sequence }) => sequence > upTo);
  }
}

/** A delivery that hears something else of each export than what the collector said. */
const withVerdicts = (change: (verdict: Verdict) => Verdict): Partial<Parts> => ({
  startDelivery: options =>
    soundParts.startDelivery({
      ...options,
      exporters: options.exporters.map(exporter => ({
        ...exporter,
        export: async items => change(await exporter.export(items)),
      })),
    }),
});

const brokenParts: Record<string, Partial<Parts>> = {
  'answers before the commit': { createEngine: options => new AnswersBeforeCommit(options) },
  'counts twice on a retry after unknown storage': {
    createEngine: options => new CountsAgainOnRetry(options),
  },
  'does not count what a failed sync has stored': {
    createEngine: options => new KnowsWhatItFailedToStore(options),
  },
  'forgets dead letters': { createEngine: options => new ForgetsDeadLetters(options) },
  'moves the cursor before success': { createEngine: options => new MovesCursorOnRead(options) },
  'adds to the totals outside the transaction': { createEngine: options => new AddsToTotalsLater(options) },
  'lets go of rows that only one signal has delivered': {
    createEngine: options => new LetsGoAtTheFirstCursor(options),
  },
  'takes a refused batch for delivered': withVerdicts(verdict =>
    verdict.type === 'refused' ? { type: 'delivered', rejected: 0, message: '' } : verdict,
  ),
  'takes a failed batch for refused': withVerdicts(verdict =>
    verdict.type === 'failed' ? { type: 'refused', message: verdict.message } : verdict,
  ),
  'shows the first value to scrapers without a zero before it': {
    createMetrics: options => {
      const metrics = soundParts.createMetrics(options);
      return { ...metrics, render: accept => metrics.render(accept, null) };
    },
  },
  'takes a scrape that was lost for one that was seen': {
    createMetrics: options => {
      const metrics = soundParts.createMetrics(options);
      return {
        ...metrics,
        async render(accept, scraper) {
          const scrape = await metrics.render(accept, scraper);
          scrape.sent();
          return scrape;
        },
      };
    },
  },
  'forgets recent senders at a restart': {
    createMetrics: options => {
      const metrics = soundParts.createMetrics(options);
      return { ...metrics, restore: totals => metrics.restore(totals, []) };
    },
  },
  'does not count what was stored too late for its answer': {
    createWriter: options => {
      const answered = new Set<string>();
      const writer = new JournalWriter<CountedEntry>({
        ...options,
        onNew: entry => {
          if (!answered.has(entry.identity)) options.onNew(entry);
        },
      });
      const append = writer.append.bind(writer);
      writer.append = async (entry, answerBy) => {
        const outcome = await append(entry, answerBy);
        if (outcome === 'late') answered.add(entry.identity);
        return outcome;
      };
      return writer;
    },
  },
  'answers OK when it is late': {
    createWriter: options => {
      const writer = new JournalWriter<CountedEntry>(options);
      const append = writer.append.bind(writer);
      writer.append = async (entry, answerBy) => {
        const outcome = await append(entry, answerBy);
        return outcome === 'late' ? 'new' : outcome;
      };
      return writer;
    },
  },
};

const brokenHistoriesMax = 300;

for (const [name, parts] of Object.entries(brokenParts)) {
  simulation(`notices an exporter that ${name}`, async () => {
    const { histories, failure } = await simulate(1, done => done === brokenHistoriesMax, {
      ...soundParts,
      ...parts,
    });
    assert.ok(failure !== null, `${histories} histories, and nothing was noticed`);
    assert.is(await simulateOne(failure.seed), null, 'with sound parts the same history is right');
    if (process.env.TRACE) console.log(`${name}: ${histories} histories, ${failure.error.message}`);
  });
}

simulation('one seed is one history', async () => {
  const run = async () => {
    const lines: string[] = [];
    await simulateOne(42, soundParts, line => lines.push(line));
    return lines;
  };
  const lines = await run();
  assert.ok(lines.length > 10);
  assert.equal(await run(), lines);
});

simulation.run();
