/**
 * Far more than the exporter can take: it refuses in the open, goes on answering, and keeps what it has answered. No
 * speed is asked for: what "normal" is, is measured on the same machine before.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp } from '../support/clean-up.ts';
import { exceptionsTotal, startExporter } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { runLoadProcess } from './load-process.ts';
import type { LoadResult } from './open-load.ts';

const overload = suite('overload');
overload.after.each(cleanUp);

const usual = { perSecond: 200, seconds: 1.2 };
/** Sent without waiting for answers. Doubled until it is too much for the machine. */
const much = { perSecond: 15_000, seconds: 1.2, connectionsMax: 64, isPipelined: true };
const doublingsMax = 2;
/** How long it may take until all is as before. */
const recoveryMs = 5_000;
/** A noisy neighbour on the machine is not the exporter's doing. */
const slackMs = 250;
const repeatedCount = 1_000;

/** Numbers of exceptions that were answered 200. */
function acknowledged({ sentCount, refused, broken }: LoadResult, first: number): number[] {
  const others = new Set([...refused, ...broken]);
  return Array.from({ length: sentCount }, (_, index) => first + index).filter(number => !others.has(number));
}

overload('sheds with 503, counts what it sheds, keeps what it answered, and is soon as before', async () => {
  const exporter = await startExporter();
  const port = Number(new URL(exporter.callbackUrl).port);
  let firstNumber = 0;
  const run = async (load: typeof usual): Promise<LoadResult> => {
    const result = await runLoadProcess({ port, firstNumber, ...load });
    firstNumber += result.sentCount;
    return result;
  };
  const callbacks = async (outcome: string) =>
    (await exporter.metrics()).sum('tencent_chat_callbacks_total', { outcome });

  await run(usual);
  const before = await run(usual);
  assert.is(before.okCount, before.sentCount, 'the usual load is taken');
  let first = firstNumber;
  let during = await run(much);
  for (let doublings = 1; during.refused.length === 0 && doublings <= doublingsMax; doublings += 1) {
    first = firstNumber;
    during = await run({ ...much, perSecond: much.perSecond * 2 ** doublings });
  }
  const loadEndedAt = performance.now();
  console.log(
    `\noverload: ${during.sentCount} sent, ${during.okCount} taken, ${during.refused.length} refused; ` +
      `p99 ${before.p99Ms.toFixed(0)} ms before`,
  );
  assert.equal(during.oddStatuses, [], 'answers are 200 or 503');
  assert.equal(during.broken, [], 'every callback was answered');
  assert.is(during.okCount + during.refused.length, during.sentCount);
  assert.ok(during.refused.length > 0, 'it was too much');
  assert.ok(during.okCount > 0, 'it went on');

  let after = await run(usual);
  while (after.p99Ms > 2 * before.p99Ms + slackMs) {
    assert.ok(performance.now() - loadEndedAt < recoveryMs, `p99 is still ${after.p99Ms} ms`);
    after = await run(usual);
  }
  assert.is(after.okCount, after.sentCount, 'nothing is refused any more');

  const metrics = await exporter.metrics();
  const rejections = metrics.list('tencent_chat_callbacks_rejected_total').filter(({ value }) => value > 0);
  assert.equal(rejections, [{ labels: { reason: 'overload' }, value: during.refused.length }]);
  const counted = await callbacks('counted');
  assert.is(counted, firstNumber - during.refused.length);
  // One that was stored too late for its answer was refused, and counts all the same.
  const total = metrics.sum(exceptionsTotal);
  assert.ok(
    total >= counted && total <= counted + during.refused.length,
    `${total} exceptions, ${counted} counted`,
  );

  // Sent again, what was answered changes nothing, and what was refused is taken once.
  const oracle = new Oracle({ seed: 1 });
  const okNumbers = acknowledged(during, first);
  await oracle.sendAgain(exporter.callbackUrl, okNumbers.slice(-repeatedCount));
  assert.is(await exporter.total(), total);
  const again = during.refused.slice(0, repeatedCount);
  await oracle.sendAgain(exporter.callbackUrl, [...again, ...again]);
  assert.equal([...oracle.refusals], []);
  const added = (await callbacks('counted')) - counted;
  assert.is(await exporter.total(), total + added);
  assert.ok(
    added <= again.length && total + added >= counted + again.length,
    `${added} of ${again.length} were new`,
  );

  await exporter.kill('SIGKILL');
  const restarted = await startExporter({ journal: exporter.journal });
  assert.is(await restarted.total(), total + added, 'all of it was durable');
});

overload.run();
