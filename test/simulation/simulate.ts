/**
 * Many histories, each from a seed of its own.
 *
 *     node test/simulation/simulate.ts [--histories 5000] [--seed N]
 *
 * Says the seed of the first; `SEED=N node test/simulation/simulation.test.ts` repeats one, and tells it step by step.
 */
import { parseArgs } from 'node:util';
import { newSeed } from '../support/random.ts';
import { createHistory } from './history.ts';
import { type Parts, soundParts, Violation, World } from './world.ts';

export interface Failure {
  seed: number;
  error: Error;
}

/** Runs one history. `null`: nothing was wrong. Anything but a Violation is a failure, too. */
export async function simulateOne(
  seed: number,
  parts: Parts = soundParts,
  trace: (line: string) => void = () => {},
): Promise<Failure | null> {
  let error: Error | undefined;
  // The exporter's own loops end only by a bug, and nobody waits for them.
  const note = (reason: unknown) => {
    error ??= reason as Error;
  };
  process.on('unhandledRejection', note);
  try {
    await new World(createHistory(seed), parts, trace).run();
  } catch (thrown) {
    note(thrown);
  } finally {
    process.off('unhandledRejection', note);
  }
  return error === undefined ? null : { seed, error };
}

/** Runs histories of consecutive seeds until `isDone`, or one fails. */
export async function simulate(
  firstSeed: number,
  isDone: (histories: number) => boolean,
  parts: Parts = soundParts,
): Promise<{ histories: number; failure: Failure | null }> {
  for (let histories = 0; ; histories += 1) {
    if (isDone(histories)) return { histories, failure: null };
    const failure = await simulateOne(firstSeed + histories, parts);
    if (failure !== null) return { histories: histories + 1, failure };
  }
}

export function describeFailure({ seed, error }: Failure): string {
  const what = error instanceof Violation ? error.message : error.stack;
  return `SEED=${seed}: ${what}`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { histories: { type: 'string', default: '5000' }, seed: { type: 'string' } },
  });
  const count = Number(values.histories);
  const firstSeed = values.seed === undefined ? newSeed() : Number(values.seed);
  console.log(`${count} histories from SEED=${firstSeed} on`);
  const startedAt = performance.now();
  const { histories, failure } = await simulate(firstSeed, done => {
    if (done > 0 && done % 500 === 0) console.log(`${done} histories`);
    return done === count;
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    failure === null ? `${histories} histories in ${seconds} s, nothing wrong` : describeFailure(failure),
  );
  process.exitCode = failure === null ? 0 : 1;
}
