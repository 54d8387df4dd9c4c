/** A real primary and a real standby, and the end of the primary. `SEED=1234` repeats the load. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { newSeed } from '../support/random.ts';
import { failOver } from './failover.ts';

const failover = suite('failover');
failover.after.each(cleanUp);

failover('to a synchronous standby that lagged loses nothing that was answered', async () => {
  const seed = newSeed();
  const outcome = await failOver(seed, true);
  console.log(
    `\nfailover: SEED=${seed}, ${outcome.acknowledged} exceptions acknowledged, ${outcome.refused} refused`,
  );
  assert.equal(outcome.problems, []);
  assert.is(outcome.lost, 0);
  assert.ok(outcome.acknowledged > 200);
});

failover.run();
