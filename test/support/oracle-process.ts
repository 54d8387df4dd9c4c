/**
 * The oracle as a process of its own, so that nothing of the test slows it down or shares its fate.
 *
 *     fork('test/support/oracle-process.ts', [SEED])      then messages, each answered with a `Report`
 */
import { Oracle } from './oracle.ts';

export type Order =
  /** Sends until the next order. */
  | { type: 'start'; callbackUrl: string }
  /** Answered when all connections have come to rest. */
  | { type: 'stop' }
  /** Sends all that was never answered again; answered when that is done. */
  | { type: 'send_unanswered'; callbackUrl: string };

export interface Report {
  acknowledged: number[];
  unanswered: number[];
  /** Callbacks answered 200, repeats included. */
  answeredCount: number;
  /** Answers other than 200. */
  refusedCount: number;
}

const oracle = new Oracle({ seed: Number(process.argv[2]) });

process.on('message', async (order: Order) => {
  switch (order.type) {
    case 'start':
      oracle.start(order.callbackUrl);
      break;
    case 'stop':
      await oracle.stop();
      break;
    case 'send_unanswered':
      await oracle.sendAgain(order.callbackUrl, oracle.unanswered);
      break;
  }
  process.send!({
    acknowledged: [...oracle.acknowledged],
    unanswered: [...oracle.unanswered],
    answeredCount: oracle.answeredCount,
    refusedCount: oracle.refusals.values().reduce((sum, count) => sum + count, 0),
  } satisfies Report);
});
