/** `journal …` on journals that no exporter has open: what it prints, and what it ends with. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  dropJson,
  exportJson,
  listJson,
  retryJson,
  statsJson,
  verifyJson,
} from '../../src/commands/journal.ts';
import { type Journal, type JournalEntry, type Signal, signals } from '../../src/journal/journal.ts';
import { SqliteJournal } from '../../src/journal/sqlite.ts';
import { damageOutboxRow } from '../journal/engines.ts';
import { hourMs, identityOf, newLabels, recordedEntry } from '../journal/fixtures.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { entryPoint } from '../support/exporter.ts';
import { assertJsonKeys, runCommand, runJournal } from './world.ts';

const command = suite('journal command');
command.after.each(cleanUp);

const receivedAt = Date.UTC(2026, 10, 23, 8);
const nowAt = Date.now();

/** A journal with these exceptions, after `act`. Returns its path. */
async function newJournal(
  entries: JournalEntry[],
  act: (journal: Journal) => Promise<unknown> = async () => {},
): Promise<string> {
  const path = join(temporaryDirectory(), 'journal.db');
  await reopen(path, async journal => {
    await journal.append(entries);
    await act(journal);
  });
  return path;
}

async function reopen(path: string, act: (journal: Journal) => Promise<unknown>): Promise<void> {
  const options = { signals, bytesMax: 2 ** 30, now: Date.now, report: () => {} };
  const journal = new SqliteJournal(path, options);
  await journal.open(0);
  await act(journal);
  await journal.close();
}

async function refuse(journal: Journal, sequence: number, signal: Signal, reason = 'HTTP 400 Bad Request') {
  const [row] = await journal.read(sequence - 1, 1);
  await journal.deadLetter(signal, row!, reason);
}

async function acknowledge(journal: Journal, upTo: number, of: readonly Signal[] = signals): Promise<void> {
  for (const signal of of) await journal.acknowledge(signal, upTo);
}

const entriesAt = (at: number, first: number, last: number): JournalEntry[] =>
  Array.from({ length: last - first + 1 }, (_, index) =>
    recordedEntry(first + index, { receivedAt: at + first + index }),
  );

interface Line {
  trace_id: string;
  received_at: string;
  labels: Record<string, string>;
  undelivered: string[];
  dead_letters: { id: string; reason: string }[];
  record: Record<string, unknown> | null;
}

async function exportOf(path: string, ...args: string[]): Promise<Line[]> {
  const { code, out, error } = await runJournal(path, ['export', ...args]);
  assert.equal([code, error], [0, '']);
  return out
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line));
}

const numbersOf = (lines: Line[]): number[] => lines.map(({ trace_id }) => Number.parseInt(trace_id, 16));

/** What it says of arguments or a journal that it cannot use. */
const failures: {
  name: string;
  args: string[];
  env?: () => Record<string, string>;
  code: number;
  error: RegExp;
}[] = [
  {
    name: 'a journal in memory',
    args: ['stats'],
    env: () => ({ JOURNAL: 'memory:' }),
    code: 1,
    error:
      /^tencent-chat-exporter: JOURNAL=memory: is in the memory of its exporter alone; there is no file to look into\n$/,
  },
  {
    name: 'a setting that is wrong, without showing it',
    args: ['stats'],
    env: () => ({ JOURNAL: 'postgres://secret' }),
    code: 2,
    error:
      /^tencent-chat-exporter: wrong settings\n {2}JOURNAL expects .* got something else \(not shown\)\n$/,
  },
  {
    name: 'a file that is not there',
    args: ['verify'],
    env: () => ({ JOURNAL: `sqlite:${join(temporaryDirectory(), 'none.db')}` }),
    code: 1,
    error: /none\.db is not there: does JOURNAL name the journal\?\n$/,
  },
  {
    name: 'a file that is no journal',
    args: ['stats'],
    env() {
      const path = join(temporaryDirectory(), 'notes.db');
      const db = new DatabaseSync(path);
      db.exec('CREATE TABLE notes (text TEXT)');
      db.close();
      return { JOURNAL: `sqlite:${path}` };
    },
    code: 1,
    error: /is a SQLite file, but not a journal; JOURNAL must name another file\n$/,
  },
  {
    name: 'a file that is no database',
    args: ['dead-letters', 'retry', '--all'],
    env() {
      const path = join(temporaryDirectory(), 'notes.txt');
      writeFileSync(path, 'notes\n'.repeat(1_000));
      return { JOURNAL: `sqlite:${path}` };
    },
    code: 1,
    error: /is damaged or not a SQLite file \(.*\); restore it from a backup, /,
  },
  {
    name: 'a limit that is none',
    args: ['export', '--limit', '0'],
    code: 2,
    error: /Expected a whole number above 0/,
  },
  {
    name: 'a time that is none',
    args: ['export', '--since', 'yesterday'],
    code: 2,
    error: /Expected a time such as/,
  },
  {
    name: 'an ID that is none',
    args: ['dead-letters', 'retry', '12'],
    code: 2,
    error: /Expected an ID such as/,
  },
  {
    name: 'no choice',
    args: ['dead-letters', 'retry'],
    code: 2,
    error: /: say which dead letters: their IDs, or --all\n$/,
  },
  {
    name: 'two choices',
    args: ['dead-letters', 'drop', '1-logs', '--all', '--yes'],
    code: 2,
    error: /say which dead letters/,
  },
  { name: 'no such command', args: ['burn'], code: 2, error: /unknown command 'burn'/ },
];

for (const { name, args, env, code, error } of failures) {
  command(`says what is wrong with ${name}`, async () => {
    const settings = env?.() ?? { JOURNAL: `sqlite:${await newJournal([])}` };
    const result = await runCommand(['journal', ...args], { env: settings });
    assert.is(result.code, code, result.error);
    assert.match(result.error, error);
    assert.is(result.out, '');
  });
}

command('makes no journal where there is none', async () => {
  const path = join(temporaryDirectory(), 'journal.db');
  for (const args of [['stats'], ['export'], ['dead-letters', 'retry', '1-logs']]) {
    assert.is((await runJournal(path, args)).code, 1);
  }
  assert.not.ok(existsSync(path));
  writeFileSync(path, '');
  for (const args of [['stats'], ['verify'], ['dead-letters', 'drop', '--yes', '1-logs']]) {
    const { code, error } = await runJournal(path, args);
    assert.is(code, 1);
    assert.match(error, /is empty: no exporter has made it a journal yet\n$/);
  }
  assert.is(statSync(path).size, 0);
});

command('shows what a journal holds', async () => {
  const muted = newLabels({ error_code: '10017', error_category: 'muted' });
  const path = await newJournal(
    [...entriesAt(receivedAt, 1, 2), recordedEntry(3, { receivedAt: receivedAt + 3, labels: muted })],
    async journal => {
      await refuse(journal, 1, 'logs');
      await acknowledge(journal, 1);
      await acknowledge(journal, 2, ['traces']);
    },
  );
  const { code, out, error } = await runJournal(path, ['stats']);
  assert.equal([code, error], [0, '']);
  assert.match(out, `Journal       ${path}\nFormat        1\nIn use `);
  assert.match(out, /^In use {8}[\d.]+ kB of 1\.1 GB$/m);
  assert.match(out, /^Counted {7}3 exceptions in 2 label sets$/m);
  assert.match(out, /^Identities {4}0$/m, 'older than 25 hours: counted, and forgotten');
  assert.match(out, /^Undelivered {3}traces 1, logs 2, the oldest of 2026-11-23T08:00:00\.002Z$/m);
  assert.match(out, /^Dead letters {2}1\n {14}1 logs: HTTP 400 Bad Request$/m);
  const { out: off } = await runJournal(path, ['stats'], { OTEL_EXPORTER_OTLP_ENDPOINT: '' });
  assert.match(off, /^Undelivered {3}telemetry is not delivered: OTEL_EXPORTER_OTLP_ENDPOINT is not set$/m);
});

command('exports each exception once, with all that is kept of it, in either order', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 8), async journal => {
    await refuse(journal, 1, 'logs');
    await refuse(journal, 2, 'logs');
    await refuse(journal, 2, 'traces', 'HTTP 413 Payload Too Large');
    await refuse(journal, 3, 'traces');
    await acknowledge(journal, 5);
    await refuse(journal, 6, 'logs');
    await acknowledge(journal, 6, ['logs']);
    await journal.retryDeadLetters([
      { sequence: 1, signal: 'logs' },
      { sequence: 2, signal: 'traces' },
    ]);
  });
  const up = await exportOf(path);
  assert.equal(numbersOf(up), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(
    up.map(({ undelivered, dead_letters, record }) => [
      undelivered.join(),
      dead_letters.map(({ id }) => id).join(),
      record?.error_info,
    ]),
    [
      ['logs', '', 'info 1'],
      ['traces', '2-logs', 'info 2'],
      ['', '3-traces', 'info 3'],
      ['', '', undefined],
      ['', '', undefined],
      ['traces', '6-logs', 'info 6'],
      ['traces,logs', '', 'info 7'],
      ['traces,logs', '', 'info 8'],
    ],
  );
  assert.equal(up[1]!.dead_letters, [{ id: '2-logs', reason: 'HTTP 400 Bad Request' }]);
  assert.equal(up[6], {
    trace_id: identityOf(7),
    received_at: new Date(nowAt + 7).toISOString(),
    labels: { ...newLabels() },
    undelivered: ['traces', 'logs'],
    dead_letters: [],
    record: {
      occurred_at: new Date(nowAt + 2).toISOString(),
      span_id: '0000000000000007',
      error_name: null,
      error_info: 'info 7',
      error_code: 10023,
      group_id: '@TGS#1',
      topic_id: null,
      is_online_only: null,
      element_types: ['TIMTextElem'],
      random: 7,
      user_hash: 'c2a1',
      user_id: null,
      client_address: null,
      message_text: null,
    },
  });
  assert.equal(await exportOf(path, '--latest-first'), up.toReversed());
  assert.equal(await exportOf(path, '--limit', '3'), up.slice(0, 3));
  assert.equal(await exportOf(path, '--since', new Date(nowAt + 7).toISOString()), up.slice(6));
  assert.equal(await exportOf(path, '--since', '1h', '--latest-first', '--limit', '1'), up.slice(7));
  assert.equal(await exportOf(path, '--since', new Date(nowAt + hourMs).toISOString()), []);
});

command('exports what is still to be delivered of exceptions that are forgotten, as the oldest', async () => {
  const path = await newJournal(entriesAt(nowAt - 50 * hourMs, 1, 6), async journal => {
    await refuse(journal, 1, 'logs');
    await refuse(journal, 2, 'logs');
    await refuse(journal, 2, 'traces');
    await acknowledge(journal, 3);
    await refuse(journal, 5, 'traces');
    await acknowledge(journal, 5, ['traces']);
    await journal.retryDeadLetters([{ sequence: 1, signal: 'logs' }]);
    await journal.append(entriesAt(nowAt, 7, 9));
    await acknowledge(journal, 6, ['traces']);
  });
  const up = await exportOf(path);
  assert.equal(numbersOf(up), [2, 4, 5, 6, 1, 7, 8, 9]);
  assert.equal(numbersOf(await exportOf(path, '--latest-first')), [9, 8, 7, 1, 6, 5, 4, 2]);
  assert.equal(
    up.map(({ undelivered, dead_letters }) => [undelivered.join(), dead_letters.map(({ id }) => id).join()]),
    [
      ['', '2-logs,2-traces'],
      ['logs', ''],
      ['logs', '5-traces'],
      ['logs', ''],
      ['logs', ''],
      ['traces,logs', ''],
      ['traces,logs', ''],
      ['traces,logs', ''],
    ],
  );
});

command('exports thousands, page by page, each once', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 3_000), async journal => {
    for (const sequence of [10, 300, 301, 2_000]) await refuse(journal, sequence, 'logs');
    await acknowledge(journal, 1_500);
  });
  const all = Array.from({ length: 3_000 }, (_, index) => index + 1);
  const up = await exportOf(path);
  assert.equal(numbersOf(up), all);
  assert.equal(numbersOf(await exportOf(path, '--latest-first')), all.toReversed());
  assert.is(up.filter(({ undelivered }) => undelivered.length > 0).length, 1_500);
  assert.is(up.filter(({ record }) => record !== null).length, 1_503);
});

command('exports what is whole of a damaged journal, and says that something was left out', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 4));
  damageOutboxRow(path, 2);
  const { code, out, error } = await runJournal(path, ['export']);
  assert.is(code, 1);
  assert.is(out.trimEnd().split('\n').length, 4, 'the exception itself is whole');
  assert.not.match(out, /info 2/);
  assert.match(
    error,
    /: records that are damaged and were left out: 1; "journal verify" and .* say which\n$/,
  );
  // Set aside, it is still damaged.
  await reopen(path, journal => journal.read(0, 10));
  assert.is((await runJournal(path, ['export'])).code, 1);
  const { out: list } = await runJournal(path, ['dead-letters', 'list']);
  assert.is(
    list,
    'ID        RECEIVED  CODE  REASON\n2-logs    -         -     checksum\n2-traces  -         -     checksum\n',
  );
  const retried = await runJournal(path, ['dead-letters', 'retry', '--all', '--json']);
  assert.equal(
    [retried.code, retried.error],
    [1, 'tencent-chat-exporter: not all were retried; left as they are: 2\n'],
  );
  assert.equal(JSON.parse(retried.out), {
    retried: [],
    left: [
      { id: '2-logs', why: 'damaged' },
      { id: '2-traces', why: 'damaged' },
    ],
  });
});

command('lists dead letters with what no setting holds back, and steers no terminal', async () => {
  const secret = recordedEntry(1, { receivedAt });
  const record = secret
    .record!.replace('info 1', 'canary-info')
    .replace('"c2a1",null,null,null', '"c2a1","canary-user","canary-address","canary-text"');
  const path = await newJournal([{ ...secret, record }], async journal => {
    await refuse(journal, 1, 'logs', 'HTTP 400 \u001b[2Jbad\nline');
    await acknowledge(journal, 1);
  });
  const { out } = await runJournal(path, ['dead-letters', 'list']);
  assert.match(out, /^1-logs {2}2026-11-23T08:00:00\.000Z {2}10023 {2}HTTP 400 \\u001b\[2Jbad\\u000aline$/m);
  const { out: json } = await runJournal(path, ['dead-letters', 'list', '--json']);
  assert.equal(JSON.parse(json)[0], {
    id: '1-logs',
    sequence: 1,
    signal: 'logs',
    reason: 'HTTP 400 \u001b[2Jbad\nline',
    received_at: '2026-11-23T08:00:00.000Z',
    error_code: '10023',
    trace_id: identityOf(1),
  });
  for (const args of [['stats'], ['stats', '--json'], ['verify'], ['verify', '--json']]) {
    const { out } = await runJournal(path, args);
    assert.not.match(out, /canary/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is there
    assert.not.match(out, /[\u0000-\u0009\u001b]/);
  }
  assert.not.match(json, /canary/);
  // What was allowed to be stored.
  assert.equal((await exportOf(path))[0]!.record!.message_text, 'canary-text');
});

command('prints as JSON the documented keys, and no other', async () => {
  const letters = [1, 2].flatMap(sequence => signals.map(signal => ({ sequence, signal })));
  const path = await newJournal(entriesAt(nowAt, 1, 4), async journal => {
    for (const { sequence, signal } of letters) await refuse(journal, sequence, signal);
    await acknowledge(journal, 2);
  });
  const printed = async (args: string[], code = 0): Promise<string> => {
    const result = await runJournal(path, args);
    assert.is(result.code, code, result.error);
    return result.out;
  };
  assertJsonKeys(listJson, [await printed(['dead-letters', 'list', '--json'])]);
  await reopen(path, async () => assertJsonKeys(statsJson, [await printed(['stats', '--json'])]));
  assertJsonKeys(exportJson, (await printed(['export'])).trimEnd().split('\n'));
  const letter = ['1-logs', '9-logs', '--json'];
  assertJsonKeys(dropJson, [await printed(['dead-letters', 'drop', '--yes', ...letter], 1)]);
  const retried = [
    await printed(['dead-letters', 'retry', '--all', '--json']),
    await printed(['dead-letters', 'retry', ...letter], 1),
  ];
  assertJsonKeys(retryJson, retried);
  damageOutboxRow(path, 4);
  assertJsonKeys(verifyJson, [await printed(['verify', '--json'], 1)]);
});

command('retries nothing for a signal that is switched off', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 1), async journal => {
    await refuse(journal, 1, 'logs');
    await refuse(journal, 1, 'traces');
    await acknowledge(journal, 1);
  });
  const { code, out } = await runJournal(path, ['dead-letters', 'retry', '--all'], {
    OTEL_LOGS_EXPORTER: 'none',
  });
  assert.is(code, 1);
  assert.is(
    out,
    'retried: traces 1, logs 0\nleft as it is: 1-logs, its signal is not delivered; the OTEL_* settings say so\n',
  );
});

command('retries and drops more than a page', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 600), async journal => {
    const rows = await journal.read(0, 600);
    for (const row of rows) await journal.deadLetter('logs', row, 'HTTP 400 Bad Request');
    await acknowledge(journal, 600);
  });
  const { out } = await runJournal(path, ['dead-letters', 'list']);
  assert.is(out.split('\n').length, 602);
  assert.is((await runJournal(path, ['dead-letters', 'drop', '2-logs', '4-logs', '--yes'])).code, 0);
  assert.equal(await runJournal(path, ['dead-letters', 'retry', '--all']), {
    code: 0,
    out: 'retried: traces 0, logs 598\n',
    error: '',
  });
  assert.is((await exportOf(path)).filter(({ undelivered }) => undelivered.join() === 'logs').length, 598);
});

command('stops quietly when its reader goes away', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 3_000));
  const child = spawn(process.execPath, [entryPoint, 'journal', 'export'], {
    env: { PATH: process.env.PATH, JOURNAL: `sqlite:${path}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const [first] = await once(child.stdout, 'data');
  child.stdout.destroy();
  let stderr = '';
  child.stderr.on('data', data => {
    stderr += data;
  });
  assert.equal(await once(child, 'close'), [1, null]);
  assert.is(stderr, '');
  assert.match(String(first), new RegExp(`^\\{"trace_id":"${identityOf(1)}"`));
});

command('leaves no file of its own behind', async () => {
  const path = await newJournal(entriesAt(nowAt, 1, 3), async journal => {
    await refuse(journal, 1, 'logs');
    await acknowledge(journal, 1);
  });
  const files = () => readdirSync(join(path, '..')).sort();
  const before = files();
  for (const args of [
    ['stats'],
    ['verify'],
    ['export'],
    ['dead-letters', 'list'],
    ['dead-letters', 'retry', '--all'],
    ['dead-letters', 'drop', '--all', '--yes'],
  ]) {
    assert.is((await runJournal(path, args)).code, 0, args.join(' '));
    assert.equal(files(), before, args.join(' '));
  }
});

command.run();
