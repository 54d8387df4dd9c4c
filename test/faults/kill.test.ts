/** Kills at chosen file operations, in a running exporter; and engines with a mistake, which such kills must show. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { newSeed } from '../support/random.ts';
import { killAtOperations } from './kills.ts';

const kill = suite('kill at a file operation');
kill.after.each(cleanUp);

const cycles = 10;

kill('(1)(4) in whatever write or sync: no answered exception is lost, none is counted twice', async () => {
  const seed = newSeed();
  const { problems, answered, killedAt } = await killAtOperations(seed, cycles);
  console.log(`\nkill: SEED=${seed}, at operations ${killedAt.join(' ')}, ${answered} answered`);
  assert.equal(problems, []);
  assert.ok(answered > 50);
});

for (const engine of ['answers before the commit', 'remembers an identity before the commit'] as const) {
  kill(`catches an engine that ${engine}`, async () => {
    const seed = newSeed();
    console.log(`\n${engine}: SEED=${seed}`);
    const { problems } = await killAtOperations(seed, 1, engine);
    assert.match(problems.join('; '), / answered exceptions are lost/);
  });
}

kill.run();
