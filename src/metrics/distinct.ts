/**
 * How many distinct senders and groups had exceptions in the last five minutes, per error category.
 *
 * One user who fails a thousand times is one sender, so this tells a raid from a bot without any ID in a label. IDs
 * come as 48-bit hashes: at the bound below, two of them meet with a probability of 2 in 100,000.
 *
 * Exact, in slots of ten seconds: a sender counts for five minutes after his last exception, and for up to ten
 * seconds more. Beyond `pairsMax` remembered (category, hash) pairs, new ones are not remembered until old ones
 * expire, so the counts stay where they are rather than grow; they are never too high.
 */
import { type ErrorCategory, errorCategories } from '../callback/exception.ts';

const windowMs = 5 * 60 * 1000;
const slotMs = 10 * 1000;
const slotsInWindow = windowMs / slotMs;

/**
 * 50,000 senders and as many groups in five minutes; about 5 MB. The worst pause, forgetting all of them at once because
 * they came within the same ten seconds, is 25 ms.
 */
const pairsMax = 100_000;

/** From hash to the slot of its last exception. A pair is moved to the end when its slot changes: oldest first. */
type LastSeen = Map<number, number>;

export interface DistinctCounts {
  /**
   * Notes one exception; 0 stands for a callback that named no sender, or no group. A category that this version does
   * not know, from a journal written by another, is left out.
   * `at`: milliseconds on a clock that never goes back. O(1), amortised over the expiry of what it adds.
   */
  add(category: ErrorCategory, senderHash: number, groupHash: number, at: number): void;
  senders(category: ErrorCategory, at: number): number;
  groups(category: ErrorCategory, at: number): number;
}

export function createDistinctCounts(bound = pairsMax): DistinctCounts {
  const senders = new Map<ErrorCategory, LastSeen>(errorCategories.map(category => [category, new Map()]));
  const groups = new Map<ErrorCategory, LastSeen>(errorCategories.map(category => [category, new Map()]));
  let pairs = 0;
  let expiredSlot = Number.NEGATIVE_INFINITY;

  function note(seen: LastSeen, hash: number, slot: number): void {
    if (hash === 0) return;
    const lastSlot = seen.get(hash);
    if (lastSlot === slot) return;
    if (lastSlot !== undefined) seen.delete(hash);
    else if (pairs >= bound) return;
    else pairs += 1;
    seen.set(hash, slot);
  }

  /** Forgets what was last seen more than the window ago. Does nothing but once per slot. */
  function expire(slot: number): void {
    const oldest = slot - slotsInWindow;
    if (oldest <= expiredSlot) return;
    expiredSlot = oldest;
    for (const kind of [senders, groups]) {
      for (const seen of kind.values()) {
        for (const [hash, lastSlot] of seen) {
          if (lastSlot >= oldest) break;
          seen.delete(hash);
          pairs -= 1;
        }
      }
    }
  }

  function count(kind: Map<ErrorCategory, LastSeen>, category: ErrorCategory, at: number): number {
    expire(Math.floor(at / slotMs));
    return kind.get(category)!.size;
  }

  return {
    add(category, senderHash, groupHash, at) {
      if (!senders.has(category)) return;
      const slot = Math.floor(at / slotMs);
      expire(slot);
      note(senders.get(category)!, senderHash, slot);
      note(groups.get(category)!, groupHash, slot);
    },
    senders: (category, at) => count(senders, category, at),
    groups: (category, at) => count(groups, category, at),
  };
}
