import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createLog, type Log, type LogOptions, logLevels } from '../src/log.ts';

function newLog(options: Partial<LogOptions> = {}): { log: Log; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({
    level: 'debug',
    isTerminal: false,
    write: line => lines.push(line),
    now: () => new Date(Date.UTC(2026, 10, 23, 12, 34, 56, 789)),
    ...options,
  });
  return { log, lines };
}

const logSuite = suite('log');

for (const [index, level] of logLevels.entries()) {
  logSuite(`LOG_LEVEL=${level} writes ${logLevels.slice(index).join(', ')}`, () => {
    const { log, lines } = newLog({ level });
    for (const severity of logLevels) log[severity](severity);
    assert.equal(
      lines.map(line => JSON.parse(line).level),
      logLevels.slice(index),
    );
  });
}

logSuite('a line is one JSON object: time, level, message, then the fields', () => {
  const { log, lines } = newLog();
  log.warn('the disk is full', { path: '/data', bytes: 5, isUp: false, cause: null, left: undefined });
  assert.equal(lines, [
    '{"time":"2026-11-23T12:34:56.789Z","level":"warn","message":"the disk is full","path":"/data","bytes":5,"isUp":false,"cause":null}\n',
  ]);
});

logSuite('on a terminal a line is time, level, message and fields; what is no plain word is quoted', () => {
  const { log, lines } = newLog({ isTerminal: true });
  log.warn('the disk is full', { path: '/data/x.db', bytes: 5, isUp: false, cause: null, left: undefined });
  log.error('it failed', { error: 'no "room" left' });
  assert.equal(lines, [
    '12:34:56 warn  the disk is full  path=/data/x.db  bytes=5  isUp=false  cause=null\n',
    '12:34:56 error it failed  error="no \\"room\\" left"\n',
  ]);
});

/** What could end a line, steer a terminal, or turn the direction of what is read. */
const controls: Record<string, string> = {
  'a carriage return and a line feed': '\r\n',
  'an ANSI sequence': '\u001b[2K\u001b[31m',
  'an ANSI sequence of one character': '\u009b2K',
  'a backspace and a delete': '\b\u007f',
  NUL: '\0',
  'a next line': '\u0085',
  'a line separator': '\u2028',
  'a paragraph separator': '\u2029',
  'a right-to-left override': '\u202e',
  'an isolate': '\u2066',
};

for (const [name, control] of Object.entries(controls)) {
  logSuite(`${name} forges no line, in a message or in a field, in either format`, () => {
    const forged = `before${control}{"level":"error","message":"forged"}`;
    for (const isTerminal of [false, true]) {
      const { log, lines } = newLog({ isTerminal });
      log.info(forged, { error: forged });
      assert.is(lines.length, 1);
      const line = lines[0]!;
      assert.ok(line.endsWith('\n'));
      assert.not.match(line.slice(0, -1), /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/u);
      if (!isTerminal) {
        const { message, error } = JSON.parse(line);
        assert.equal([message, error], [forged, forged], 'and what was said can still be read');
      }
    }
  });
}

logSuite('leaves characters of every script as they are', () => {
  const { log, lines } = newLog();
  log.info('群组 Ünï 😀 עברית');
  assert.match(lines[0]!, /群组 Ünï 😀 עברית/);
});

logSuite('cuts messages and values after 1,000 characters, and says so', () => {
  const { log, lines } = newLog();
  log.info('m'.repeat(100_000), { text: 'x'.repeat(100_000), short: 'x'.repeat(1_000) });
  const { message, text, short } = JSON.parse(lines[0]!);
  assert.is(message, `${'m'.repeat(1_000)}…`);
  assert.is(text, `${'x'.repeat(1_000)}…`);
  assert.is(short, 'x'.repeat(1_000));
});

logSuite('a value cut in the middle of a surrogate pair is still JSON', () => {
  const { log, lines } = newLog();
  log.info('it failed', { text: `${'x'.repeat(999)}😀` });
  assert.is(JSON.parse(Buffer.from(lines[0]!).toString()).text.length, 1_001);
});

logSuite.run();
