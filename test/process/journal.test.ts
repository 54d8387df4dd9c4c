/** `journal …` beside a running exporter, and after it stopped or was killed: the same answers; and what is retried. */
import { readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { runJournal } from '../commands/world.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { Exporter, startExporter } from '../support/exporter.ts';
import { exceptionBody, exceptionNumber, Oracle } from '../support/oracle.ts';
import { type OtlpReceiver, type Signal, startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';

const journal = suite('journal command');
journal.after.each(cleanUp);

const deadLetters = 'tencent_chat_telemetry_dead_letters_total';

interface Beside {
  exporter: Exporter;
  collector: OtlpReceiver;
  env: Record<string, string>;
}

/**
 * Exceptions 0 to 9: all delivered, but for 3, which both signals refused, and 5, which only logs did; 10 to 14 are
 * undelivered.
 */
async function startWithDeadLetters(): Promise<Beside> {
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const isRefused = (signal: Signal, number: number) => number === 3 || (number === 5 && signal === 'logs');
  collector.behave(({ signal, records }) =>
    records.some(({ traceId }) => isRefused(signal, exceptionNumber(traceId)))
      ? { type: 'status', status: 400 }
      : { type: 'accept' },
  );
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: '1000' };
  const exporter = await startExporter({ env });
  for (let number = 0; number < 10; number += 1) await exporter.post(exceptionBody(number));
  await until(async () => {
    const metrics = await exporter.metrics();
    const done = (name: string) => metrics.sum(`tencent_chat_telemetry_${name}`);
    return done('dead_letters_total') === 3 && done('delivered_total') === 17;
  }, 'all to be delivered or refused');
  collector.behave({ type: 'status', status: 503 });
  for (let number = 10; number < 15; number += 1) await exporter.post(exceptionBody(number));
  return { exporter, collector, env };
}

const commands = [
  ['stats', '--json'],
  ['verify'],
  ['verify', '--json'],
  ['export'],
  ['export', '--latest-first'],
  ['export', '--latest-first', '--limit', '3'],
  ['export', '--since', '2026-01-01T00:00:00Z'],
  ['dead-letters', 'list'],
  ['dead-letters', 'list', '--json'],
];

/** What only a running exporter knows, and what closing changes. */
const notCompared = /,\s*"(bytes_\w+|dropped_since_start)": (\d+|null|\{[^}]*\})/g;

async function answersOf(path: string, env: Record<string, string>): Promise<string[]> {
  const answers: string[] = [];
  for (const command of commands) {
    const { code, out, error } = await runJournal(path, command, env);
    assert.equal([code, error], [0, ''], command.join(' '));
    answers.push(out.replace(notCompared, ''));
  }
  return answers;
}

const linesOf = (out: string) =>
  out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));

journal(
  'tells the same of a running exporter, of one that was stopped, and of one that was killed',
  async () => {
    const { exporter, env } = await startWithDeadLetters();
    const running = await answersOf(exporter.journal, env);
    await exporter.kill('SIGTERM');
    const files = readdirSync(join(exporter.journal, '..'));
    assert.not.ok(files.includes('journal.db-control'));
    assert.equal(await answersOf(exporter.journal, env), running);
    assert.equal(readdirSync(join(exporter.journal, '..')), files);
    const again = await startExporter({ journal: exporter.journal, env });
    assert.equal(await answersOf(exporter.journal, env), running);
    await again.kill('SIGKILL');
    assert.ok(readdirSync(join(exporter.journal, '..')).includes('journal.db-control'), 'left behind');
    assert.equal(await answersOf(exporter.journal, env), running);

    const [stats, , verified, exported, latestFirst, latest, , , listed] = running as [string, ...string[]];
    const { totals, ...counts } = JSON.parse(stats);
    assert.is(
      totals.reduce((sum: number, { count }: { count: number }) => sum + count, 0),
      15,
    );
    assert.equal(
      [
        counts.format,
        counts.exceptions_kept,
        counts.exceptions_counted,
        counts.undelivered,
        counts.dead_letters,
      ],
      [
        1,
        15,
        15,
        { traces: 5, logs: 5 },
        [
          { signal: 'logs', reason: 'HTTP 400 Bad Request', count: 2 },
          { signal: 'traces', reason: 'HTTP 400 Bad Request', count: 1 },
        ],
      ],
    );
    assert.ok(JSON.parse(verified!).is_whole);
    const lines = linesOf(exported!);
    assert.equal(
      lines.map(({ trace_id }) => exceptionNumber(trace_id)),
      Array.from({ length: 15 }, (_, index) => index),
    );
    assert.equal(lines.toReversed(), linesOf(latestFirst!));
    assert.equal(lines.slice(-3).reverse(), linesOf(latest!));
    for (const { trace_id, received_at, labels, record, undelivered, dead_letters } of lines) {
      const number = exceptionNumber(trace_id);
      assert.ok(Math.abs(Date.parse(received_at) - Date.now()) < 60_000);
      assert.is(labels.sdk_app_id, '1400000001');
      assert.is(record?.random, number === 3 || number === 5 || number >= 10 ? number : undefined);
      assert.equal(undelivered, number >= 10 ? ['traces', 'logs'] : []);
      assert.is(dead_letters.length, number === 3 ? 2 : number === 5 ? 1 : 0);
    }
    const letters = JSON.parse(listed!) as Record<string, string>[];
    assert.equal(
      letters.map(({ id, sequence, signal, reason }) => [id, sequence, signal, reason]),
      [
        ['4-logs', 4, 'logs', 'HTTP 400 Bad Request'],
        ['4-traces', 4, 'traces', 'HTTP 400 Bad Request'],
        ['6-logs', 6, 'logs', 'HTTP 400 Bad Request'],
      ],
    );
    assert.equal(
      letters.map(({ trace_id }) => exceptionNumber(trace_id!)),
      [3, 3, 5],
    );
  },
);

/** How often the endpoint took each of the exceptions that were refused at first. */
const taken = ({ collector }: Beside) =>
  Object.fromEntries(
    (['traces', 'logs'] as const).map(signal => [
      signal,
      [...collector.traceIds[signal]]
        .map(([traceId, count]) => [exceptionNumber(traceId), count])
        .filter(([number]) => number === 3 || number === 5)
        .sort(),
    ]),
  );

const once3and5 = {
  traces: [
    [3, 1],
    [5, 1],
  ],
  logs: [
    [3, 1],
    [5, 1],
  ],
};

journal(
  'retries dead letters of a running exporter: delivered at once, to the signal that lacked them alone',
  async () => {
    const beside = await startWithDeadLetters();
    const { exporter, collector, env } = beside;
    const retry = (...args: string[]) =>
      runJournal(exporter.journal, ['dead-letters', 'retry', ...args], env);
    collector.behave({ type: 'accept' });
    await until(
      async () => (await exporter.metrics()).sum('tencent_chat_telemetry_backlog_events') === 0,
      'delivery',
    );
    const first = await retry('4-traces', '--json');
    assert.equal([first.code, JSON.parse(first.out)], [0, { retried: ['4-traces'], left: [] }]);
    await collector.until(() => collector.traceIds.traces.size === 15);
    assert.equal(await retry('--all'), { code: 0, out: 'retried: traces 0, logs 2\n', error: '' });
    await collector.until(() => collector.traceIds.logs.size === 15);
    assert.equal(taken(beside), once3and5);
    for (const [signal, records] of [
      ['traces', collector.spans],
      ['logs', collector.logRecords],
    ] as const) {
      assert.is(new Set(records.map(({ spanId }) => spanId)).size, 15, signal);
    }
    await until(async () => {
      const metrics = await exporter.metrics();
      return metrics.sum('tencent_chat_telemetry_delivered_total') === 30 && metrics.sum(deadLetters) === 3;
    }, 'each delivery to be counted once');
    assert.is(await exporter.total(), 15);
    assert.equal(await runJournal(exporter.journal, ['dead-letters', 'list'], env), {
      code: 0,
      out: 'no dead letters\n',
      error: '',
    });
    assert.equal(
      exporter.logLines
        .filter(({ message }) => /put back/.test(message))
        .map(({ level, signal, count }) => [level, signal, count]),
      [
        ['info', 'traces', 1],
        ['info', 'logs', 2],
      ],
    );
    const { code, out, error } = await retry('4-traces');
    assert.equal(
      [code, out, error],
      [
        1,
        'retried: traces 0, logs 0\nleft as it is: 4-traces, there is no such dead letter\n',
        'tencent-chat-exporter: not all were retried; left as they are: 1\n',
      ],
    );
  },
);

journal('retries dead letters of a stopped exporter: delivered when it starts', async () => {
  const beside = await startWithDeadLetters();
  const { exporter, collector, env } = beside;
  await exporter.kill('SIGTERM');
  const files = readdirSync(join(exporter.journal, '..'));
  const all = ['dead-letters', 'retry', '--all'];
  assert.equal(await runJournal(exporter.journal, all, env), {
    code: 0,
    out: 'retried: traces 1, logs 2\n',
    error: '',
  });
  assert.equal(readdirSync(join(exporter.journal, '..')), files);
  const { out } = await runJournal(exporter.journal, ['export'], env);
  assert.equal(
    linesOf(out).map(({ undelivered }) => undelivered.join()),
    ['', '', '', 'traces,logs', '', 'logs', '', '', '', '', ...Array(5).fill('traces,logs')],
  );
  collector.behave({ type: 'accept' });
  const again = await startExporter({ journal: exporter.journal, env });
  await collector.until(() => collector.traceIds.traces.size === 15 && collector.traceIds.logs.size === 15);
  assert.equal(taken(beside), once3and5);
  await until(
    async () => (await again.metrics()).sum('tencent_chat_telemetry_backlog_events') === 0,
    'no backlog',
  );
  assert.is((await again.metrics()).sum(deadLetters), 0);
  assert.equal((await runJournal(exporter.journal, ['dead-letters', 'list'], env)).out, 'no dead letters\n');
});

journal('what is retried and refused once more is a dead letter again, and counted as one', async () => {
  const { exporter, collector, env } = await startWithDeadLetters();
  collector.behave(({ records }) =>
    records.some(({ traceId }) => exceptionNumber(traceId) === 5)
      ? { type: 'status', status: 422 }
      : { type: 'accept' },
  );
  assert.is((await runJournal(exporter.journal, ['dead-letters', 'retry', '--all'], env)).code, 0);
  await until(async () => (await exporter.metrics()).sum(deadLetters) === 4, 'one dead letter more');
  const { out } = await runJournal(exporter.journal, ['dead-letters', 'list', '--json'], env);
  assert.equal(
    (JSON.parse(out) as Record<string, string>[]).map(({ signal, reason, trace_id }) => [
      signal,
      reason,
      exceptionNumber(trace_id!),
    ]),
    [['logs', 'HTTP 422 Unprocessable Entity', 5]],
  );
});

journal('drops dead letters when it is told twice', async () => {
  const { exporter, env } = await startWithDeadLetters();
  const drop = (...args: string[]) => runJournal(exporter.journal, ['dead-letters', 'drop', ...args], env);
  assert.equal(await drop('4-logs'), {
    code: 2,
    out: '',
    error: 'tencent-chat-exporter: nothing was dropped: say --yes to remove dead letters for ever, 1 here\n',
  });
  assert.equal(await drop('4-logs', '--yes'), { code: 0, out: 'dropped: traces 0, logs 1\n', error: '' });
  await exporter.kill('SIGTERM');
  const rest = await drop('--all', '--yes', '--json');
  assert.equal([rest.code, JSON.parse(rest.out)], [0, { dropped: ['4-traces', '6-logs'], left: [] }]);
  const again = await startExporter({ journal: exporter.journal, env });
  assert.equal(
    again.logLines.filter(({ level }) => level === 'error'),
    [],
  );
});

journal('a second exporter on the journal is refused, and the first one still answers', async () => {
  const exporter = await startExporter();
  await exporter.post(exceptionBody(1));
  const second = new Exporter({ journal: exporter.journal });
  assert.is((await second.exit).code, 1);
  assert.match(second.stderr, / is in use by another process; /);
  const { code, out } = await runJournal(exporter.journal, ['stats', '--json']);
  assert.is(code, 0);
  assert.is(JSON.parse(out).exceptions_kept, 1);
});

journal(
  'an exporter that cannot make its socket says so once, works, and is told of what it has',
  async () => {
    const directory = join(temporaryDirectory(), 'x'.repeat(100));
    const exporter = await startExporter({ journal: join(directory, 'journal.db') });
    await exporter.post(exceptionBody(1));
    assert.is(await exporter.total(), 1);
    const warnings = exporter.logLines.filter(({ message }) => / cannot reach this exporter/.test(message));
    assert.equal(
      warnings.map(({ level, problem }) => [level, /longer than 107 bytes/.test(String(problem))]),
      [['warn', true]],
    );
    const { code, out, error } = await runJournal(exporter.journal, ['stats']);
    assert.equal([code, out], [1, '']);
    assert.match(error, / is in use, and nobody answers at .*; try again, or stop that exporter first\n$/);
    await exporter.kill('SIGTERM');
    assert.is((await runJournal(exporter.journal, ['stats'])).code, 0);
  },
);

journal('rubbish, half questions and dozens of connections at its socket hold up no callback', async () => {
  const exporter = await startExporter();
  const path = `${exporter.journal}-control`;
  assert.is(statSync(path).mode & 0o777, 0o600);
  const oracle = new Oracle({ seed: 1, connections: 8, repeatedShare: 0 });
  let isRunning = true;
  const texts = [
    'GET / HTTP/1.1\r\n\r\n',
    'null\n',
    '{"id":1,',
    'x'.repeat(100_000),
    '',
    '{"id":1,"method":"none","args":[]}\n',
  ];
  const questions = [
    'exceptions',
    'undelivered',
    'deadLetters',
    'retryDeadLetters',
    'dropDeadLetters',
    'keepStill',
  ].flatMap(method =>
    [
      [],
      [1e99, 1e9],
      ['x', 'y', 'z'],
      [null, -1],
      [0, 0.5],
      [{}],
      [[{}]],
      [[{ sequence: 1, signal: 'x' }]],
    ].map(args => `${JSON.stringify({ id: 1, method, args })}\n`),
  );
  const attack = async (offset: number): Promise<void> => {
    for (let index = offset; isRunning; index += 1) {
      const socket = connect(path);
      socket.on('error', () => {});
      socket.resume().write([...texts, ...questions][index % (texts.length + questions.length)]!);
      const closed = new Promise(resolve => socket.once('close', resolve));
      setTimeout(() => socket.destroy(), 20);
      await closed;
    }
  };
  const attackers = Array.from({ length: 40 }, (_, index) => attack(index));
  await oracle.sendNew(exporter.callbackUrl, 600);
  isRunning = false;
  await Promise.all(attackers);
  assert.equal([...oracle.refusals], []);
  assert.is(await exporter.total(), 600);
  const { code, out } = await runJournal(exporter.journal, ['stats', '--json']);
  assert.is(code, 0);
  assert.is(JSON.parse(out).exceptions_kept, 600);
  assert.is((await runJournal(exporter.journal, ['verify'])).code, 0);
  const metrics = await exporter.metrics();
  assert.is(metrics.sum('tencent_chat_journal_failures_total'), 0);
  assert.equal(
    exporter.logLines.filter(({ level }) => level !== 'info' && level !== 'warn'),
    [],
  );
});

journal('verifies and exports beside an exporter under load, and holds up no callback', async () => {
  const exporter = await startExporter({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:9' } });
  const oracle = new Oracle({ seed: 1, connections: 4, repeatedShare: 0, pauseMs: 2 });
  await oracle.sendNew(exporter.callbackUrl, 600);
  oracle.start(exporter.callbackUrl);
  for (let round = 0; round < 2; round += 1) {
    const verified = await runJournal(exporter.journal, ['verify', '--json']);
    assert.equal([verified.code, verified.error], [0, '']);
    assert.ok(JSON.parse(verified.out).exceptions >= 600);
    const exported = await runJournal(exporter.journal, ['export']);
    assert.is(exported.code, 0);
    const ids = linesOf(exported.out).map(({ trace_id }) => trace_id);
    assert.ok(ids.length >= 600);
    assert.is(new Set(ids).size, ids.length);
    assert.ok(
      linesOf(exported.out).every(({ undelivered, record }) => undelivered.length === 2 && record !== null),
    );
  }
  await oracle.stop();
  assert.equal([...oracle.refusals], []);
  assert.is(await exporter.total(), oracle.sentCount);
});

journal('an exporter waits for a command that reads its journal, and starts', async () => {
  const stopped = await startExporter();
  await new Oracle({ seed: 1 }).sendNew(stopped.callbackUrl, 600);
  await stopped.kill('SIGTERM');
  const exporter = new Exporter({ journal: stopped.journal });
  let exported = '';
  // Beside its start: some pages come from the file, the others from the exporter.
  while (!exporter.stdout.includes('takes callbacks')) {
    exported = (await runJournal(stopped.journal, ['export'])).out;
    assert.is(linesOf(exported).length, 600);
  }
  await exporter.ready();
  assert.is((await runJournal(stopped.journal, ['export'])).out, exported);
});

journal.run();
