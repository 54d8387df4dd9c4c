/**
 * Faults that no sender can cause, planted into a real exporter: `node --import faults.ts src/start.js`. Nothing of
 * the product knows of them.
 *
 * - SIGUSR2: an exception that nobody catches
 * - SIGWINCH: the heap is filled until V8 gives up; a small `--max-old-space-size` makes it quick
 * - a file at `SLOW_COMMIT_FILE`: each commit of the journal takes 1.8 s, as on a disk that stalls
 */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { isMainThread } from 'node:worker_threads';

const slowCommitMs = 1_800;

if (isMainThread) {
  process.on('SIGUSR2', () => {
    throw new Error('a planted exception');
  });
  process.on('SIGWINCH', () => {
    const hoard: number[][] = [];
    for (;;) hoard.push(new Array(10_000).fill(Math.random()));
  });
}

const { SLOW_COMMIT_FILE } = process.env;
if (SLOW_COMMIT_FILE !== undefined) {
  const { prepare } = DatabaseSync.prototype;
  DatabaseSync.prototype.prepare = function (sql, ...rest) {
    const statement = prepare.call(this, sql, ...rest);
    if (sql !== 'COMMIT') return statement;
    const run = statement.run.bind(statement);
    statement.run = (...values: never[]) => {
      if (existsSync(SLOW_COMMIT_FILE)) {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, slowCommitMs);
      }
      return run(...values);
    };
    return statement;
  };
}
