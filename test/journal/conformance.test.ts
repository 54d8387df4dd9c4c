import { suite } from 'uvu';
import { checks } from './conformance.ts';
import { memory, runCheck, sqlite } from './engines.ts';

const inSqlite = suite('journal in SQLite');
const inMemory = suite('journal in memory');

for (const check of checks) {
  inSqlite(check.name, () => runCheck(check, sqlite));
  if (!check.durable) inMemory(check.name, () => runCheck(check, memory));
}

inSqlite.run();
inMemory.run();
