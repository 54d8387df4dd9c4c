import { suite } from 'uvu';
import { cleanUp } from '../support/clean-up.ts';
import { startPostgres } from '../support/postgres.ts';
import { checks } from './conformance.ts';
import { inPostgres, runCheck } from './engines.ts';

const conformance = suite('journal in PostgreSQL');
conformance.after(cleanUp);

const { engine, damageOutboxRow } = inPostgres(await startPostgres());
for (const check of checks) conformance(check.name, () => runCheck(check, engine, damageOutboxRow));

conformance.run();
