/** Engines that are broken on purpose: the conformance suite must refuse each, by the check that is meant for it. */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type {
  AppendOutcome,
  DeadLetterKey,
  JournalContents,
  JournalEntry,
  JournalOptions,
  OutboxRow,
  Settlement,
  Signal,
} from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { checks } from './conformance.ts';
import { type Engine, pathIn, runCheck } from './engines.ts';

/** Made anew whenever the journal is opened. */
type BrokenJournal = new (path: string, options: JournalOptions) => SqliteJournal;

const broken: { mistake: string; caughtBy: string; journal: BrokenJournal }[] = [
  {
    mistake: 'forgets identities when it is opened again',
    caughtBy: '(4) the same exception twice, across a restart, is one row and is counted once',
    journal: class extends SqliteJournal {
      readonly #salt = randomBytes(2).toString('hex');
      override append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        return super.append(
          entries.map(entry => ({ ...entry, identity: this.#salt + entry.identity.slice(4) })),
        );
      }
    },
  },
  {
    mistake: 'counts duplicates',
    caughtBy: '(2) a total is the number of distinct identities of its label set, across restarts',
    journal: class extends SqliteJournal {
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        const outcomes = await super.append(entries);
        const duplicates = entries.filter((_, index) => outcomes[index] === 'duplicate');
        await super.append(
          duplicates.map(entry => ({ ...entry, identity: randomBytes(16).toString('hex'), record: null })),
        );
        return outcomes;
      }
    },
  },
  {
    mistake: 'takes an exception for new twice in one batch',
    caughtBy: '(4) the same exception twice in one batch is one row',
    journal: class extends SqliteJournal {
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        await super.append(entries);
        return entries.map(() => 'new');
      }
    },
  },
  {
    mistake: 'resolves before it has stored',
    caughtBy: '(1) append resolves when every entry of the batch is stored',
    journal: class extends SqliteJournal {
      #stored: Promise<unknown> = Promise.resolve();
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        this.#stored = delay(20).then(() => super.append(entries));
        return entries.map(() => 'new');
      }
      override async close(): Promise<void> {
        await this.#stored;
        await super.close();
      }
    },
  },
  {
    mistake: 'loses the last entry of a batch',
    caughtBy: '(1) append resolves when every entry of the batch is stored',
    journal: class extends SqliteJournal {
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        if (entries.length < 2) return super.append(entries);
        return [...(await super.append(entries.slice(0, -1))), 'new'];
      }
    },
  },
  {
    mistake: 'stores a batch in another order',
    caughtBy: 'rows are read in order of appending, from a cursor on, up to a limit',
    journal: class extends SqliteJournal {
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        return (await super.append(entries.toReversed())).toReversed();
      }
    },
  },
  {
    mistake: 'has one total too many after a restart',
    caughtBy: '(2) a total is the number of distinct identities of its label set, across restarts',
    journal: class extends SqliteJournal {
      override async open(recentSince: number): Promise<JournalContents> {
        const contents = await super.open(recentSince);
        return { ...contents, totals: contents.totals.map(total => ({ ...total, count: total.count + 1 })) };
      }
    },
  },
  {
    mistake: 'makes a new key at every start',
    caughtBy: 'the key stays the same across restarts',
    journal: class extends SqliteJournal {
      override async open(recentSince: number): Promise<JournalContents> {
        return { ...(await super.open(recentSince)), key: randomBytes(32) };
      }
    },
  },
  {
    mistake: 'uses sequences again once the outbox was empty',
    caughtBy: 'a sequence is never used again, also after the outbox was empty and a restart',
    journal: class extends SqliteJournal {
      #offset = 0;
      override async open(recentSince: number): Promise<JournalContents> {
        const contents = await super.open(recentSince);
        const { traces, logs } = await super.cursors();
        this.#offset = Math.min(traces, logs);
        return contents;
      }
      override async read(after: number, limit: number): Promise<OutboxRow[]> {
        const rows = await super.read(after + this.#offset, limit);
        return rows.map(row => ({ ...row, sequence: row.sequence - this.#offset }));
      }
    },
  },
  {
    mistake: 'lets a row go when one signal is past it',
    caughtBy: '(3) a row leaves only when every enabled signal is past it',
    journal: class extends SqliteJournal {
      #last = 0;
      override async acknowledge(signal: Signal, upTo: number): Promise<void> {
        await super.acknowledge(signal, upTo);
        this.#last = Math.max(this.#last, upTo);
      }
      override async close(): Promise<void> {
        await super.acknowledge('traces', this.#last);
        await super.acknowledge('logs', this.#last);
        await super.close();
      }
    },
  },
  {
    mistake: 'forgets cursors when it is closed',
    caughtBy: '(3) a row leaves only when every enabled signal is past it',
    journal: class extends SqliteJournal {
      override async acknowledge(): Promise<void> {}
    },
  },
  {
    mistake: 'moves a cursor back',
    caughtBy: 'a cursor never goes back',
    journal: class extends SqliteJournal {
      readonly #cursors: Record<Signal, number> = { traces: 0, logs: 0 };
      override async acknowledge(signal: Signal, upTo: number): Promise<void> {
        this.#cursors[signal] = upTo;
      }
      override async cursors(): Promise<Record<Signal, number>> {
        return this.#cursors;
      }
    },
  },
  {
    mistake: 'passes damaged rows on',
    caughtBy: '(5) a damaged row is reported by its number and set aside, and the others are passed on',
    journal: class extends SqliteJournal {
      override async read(after: number, limit: number): Promise<OutboxRow[]> {
        const rows = await super.read(after, limit);
        const last = rows.at(-1)?.sequence ?? after;
        return Array.from({ length: last - after }, (_, index) => {
          const sequence = after + index + 1;
          return rows.find(row => row.sequence === sequence) ?? { sequence, record: '["reco!' };
        });
      }
    },
  },
  {
    mistake: 'says nothing of damage',
    caughtBy: '(5) a damaged row is reported by its number and set aside, and the others are passed on',
    journal: class extends SqliteJournal {
      constructor(path: string, options: JournalOptions) {
        super(path, { ...options, report: report => report.type !== 'damage' && options.report(report) });
      }
    },
  },
  {
    mistake: 'moves the cursor with a dead letter',
    caughtBy: 'a dead letter moves no cursor and removes no row',
    journal: class extends SqliteJournal {
      override async deadLetter(signal: Signal, row: OutboxRow, reason: string): Promise<void> {
        await super.deadLetter(signal, row, reason);
        await super.acknowledge(signal, row.sequence);
      }
    },
  },
  {
    mistake: 'wakes delivery for nothing',
    caughtBy: 'waitBeyond resolves for a row that is there, and else as soon as there is one',
    journal: class extends SqliteJournal {
      override async waitBeyond(): Promise<void> {}
    },
  },
  {
    mistake: 'counts a drop for one signal only',
    caughtBy:
      '(3) over its size the oldest undelivered rows are dropped, and counted for each signal that lacked them',
    journal: class extends SqliteJournal {
      constructor(path: string, options: JournalOptions) {
        const isTold = (signal: Signal) => signal === 'logs';
        super(path, {
          ...options,
          report: report => (report.type !== 'dropped' || isTold(report.signal)) && options.report(report),
        });
      }
    },
  },
  {
    mistake: 'knows no identity',
    caughtBy: 'known tells of each identity whether it is stored',
    journal: class extends SqliteJournal {
      override async known(identities: readonly string[]): Promise<boolean[]> {
        return identities.map(() => false);
      }
    },
  },
  {
    mistake: 'forgets a dead letter that is retried',
    caughtBy:
      '(3) a dead letter that is retried is the last row of the outbox, for its signal alone, and wakes delivery',
    journal: class extends SqliteJournal {
      override async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
        return super.dropDeadLetters(keys);
      }
    },
  },
  {
    mistake: 'puts a dead letter back for every signal',
    caughtBy:
      '(3) a dead letter that is retried is the last row of the outbox, for its signal alone, and wakes delivery',
    journal: class extends SqliteJournal {
      override async read(after: number, limit: number): Promise<OutboxRow[]> {
        return (await super.read(after, limit)).map(({ sequence, record }) => ({ sequence, record }));
      }
    },
  },
  {
    mistake: 'keeps a dead letter that is retried',
    caughtBy:
      '(3) a dead letter that is retried is the last row of the outbox, for its signal alone, and wakes delivery',
    journal: class extends SqliteJournal {
      override async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
        const settlement = await super.retryDeadLetters(keys);
        for (const { sequence, signal } of settlement.done) {
          await super.deadLetter(signal, { sequence, record: '["kept"]' }, 'kept');
        }
        return settlement;
      }
    },
  },
  {
    mistake: 'forgets after a restart for whom a row was put back',
    caughtBy:
      '(3) what is retried survives a restart, for its signal alone, and its dead letter does not come back',
    journal: class extends SqliteJournal {
      #retried = new Set<number>();
      override async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
        const settlement = await super.retryDeadLetters(keys);
        for (const { sequence } of await super.retried(0, 256)) this.#retried.add(sequence);
        return settlement;
      }
      override async read(after: number, limit: number): Promise<OutboxRow[]> {
        const rows = await super.read(after, limit);
        return rows.map(row =>
          this.#retried.has(row.sequence) ? row : { sequence: row.sequence, record: row.record },
        );
      }
    },
  },
  {
    mistake: 'drops every dead letter of a sequence',
    caughtBy: 'a dead letter that is dropped is gone, and no other',
    journal: class extends SqliteJournal {
      override async dropDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
        const settlement = await super.dropDeadLetters(keys);
        await super.dropDeadLetters(
          (await super.deadLetters(0, 256)).map(({ sequence, signal }) => ({ sequence, signal })),
        );
        return settlement;
      }
    },
  },
  {
    mistake: 'delivers a damaged record that is retried',
    caughtBy:
      '(5) the dead letter of a damaged row cannot be retried; dropped, its sequence is neither missed nor used again',
    journal: class extends SqliteJournal {
      override async retryDeadLetters(keys: readonly DeadLetterKey[]): Promise<Settlement> {
        return { done: (await super.dropDeadLetters(keys)).done, left: [] };
      }
    },
  },
  {
    mistake: 'wakes nobody for what was retried',
    caughtBy:
      '(3) a dead letter that is retried is the last row of the outbox, for its signal alone, and wakes delivery',
    journal: class extends SqliteJournal {
      #wake = () => {};
      override async append(entries: readonly JournalEntry[]): Promise<AppendOutcome[]> {
        const outcomes = await super.append(entries);
        this.#wake();
        return outcomes;
      }
      override async waitBeyond(after: number): Promise<void> {
        if ((await super.read(after, 1)).length > 0) return;
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
      }
    },
  },
];

const brokenEngines = suite('conformance suite');

for (const { mistake, caughtBy, journal: Journal } of broken) {
  brokenEngines(`refuses an engine that ${mistake}: "${caughtBy}"`, async () => {
    const engine: Engine = (directory, options) => new Journal(pathIn(directory), options);
    const check = checks.find(({ name }) => name === caughtBy)!;
    const error = await runCheck(check, engine).then(
      () => assert.unreachable('the check passed'),
      failure => failure,
    );
    assert.instance(error, assert.Assertion, `a failed check, not ${error}`);
  });
}

brokenEngines.run();
