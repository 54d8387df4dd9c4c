/**
 * Who an exception is: the trace and span ID under which it is stored, deduplicated and delivered, and the hashes
 * that stand for accounts and groups.
 *
 * Everything here is SHA-256 under the journal's key, cut. Keyed, because the IDs leave the exporter beside time, group
 * and `Random`: with a plain hash anyone who sees a trace could try out guessable accounts until one fits. Accounts
 * are hashed by HMAC, which others can compute, too; an exception by the key before its parts, at half the time. That
 * would be open to length extension if all 256 bits were shown, and 144 are.
 *
 * A trace ID begins with the time of its event, so that what arrives together is stored together: in the journal's
 * index a batch touches two or three pages, where 64 random IDs touch 64 of 4 KiB each, all of which must be synced
 * (measured: 16 instead of 26 µs of CPU per exception). The 80 bits after it are the hash.
 */
import { hash } from 'node:crypto';

export interface ExceptionIds {
  /** 32 lower-case hex digits, never all zero. */
  traceId: string;
  /** 16 lower-case hex digits, never all zero. */
  spanId: string;
}

export interface Identifier {
  /** Equal parts and times give equal IDs, in every process that holds the key. `eventTime`: as sent, `null` if unusable. */
  identify(identityParts: readonly string[], eventTime: number | null): ExceptionIds;
  /** The first 32 hex digits of `printf ACCOUNT | openssl dgst -sha256 -hmac KEY`. */
  hashAccount(account: string): string;
  /** 1 to 2^48 - 1, for counting distinct ones; 0 for `null`, where the callback named none. */
  hash48(text: string | null): number;
}

/** OpenTelemetry calls an ID of zeros invalid and drops what bears it. */
export function nonZero(digits: string): string {
  return digits.startsWith('00000000') && /^0+$/.test(digits) ? `${digits.slice(1)}1` : digits;
}

/** Accounts and groups whose hashes are kept, 250 bytes each: most exceptions of a burst come from few of them. */
const memoMax = 10_000;

interface NameHashes {
  account: string;
  number: number;
}

/** Times from here on do not fit into the 12 hex digits at the start of a trace ID: the year 10889. */
const eventTimeMax = 2 ** 48;

/** `key`: the journal's 32 bytes as 64 hex digits, which are taken as text. */
export function createIdentifier(key: string): Identifier {
  const hmac = createHmac(key);
  const memo = new Map<string, NameHashes>();

  function hashesOf(name: string): NameHashes {
    let hashes = memo.get(name);
    if (hashes === undefined) {
      const digits = hmac(name);
      hashes = { account: digits.slice(0, 32), number: Number.parseInt(digits.slice(0, 12), 16) || 1 };
      if (memo.size === memoMax) memo.clear();
      memo.set(name, hashes);
    }
    return hashes;
  }

  return {
    identify(identityParts, eventTime) {
      const time = eventTime !== null && eventTime >= 0 && eventTime < eventTimeMax ? eventTime : 0;
      // As JSON the parts cannot run into one another (["a","b"] is not ["a\",\"b"]), and a lone surrogate keeps its
      // number, which UTF-8 would lose.
      const digits = hash('sha256', key + JSON.stringify(identityParts), 'hex');
      return {
        traceId: time.toString(16).padStart(12, '0') + nonZero(digits.slice(0, 20)),
        spanId: nonZero(digits.slice(20, 36)),
      };
    },
    hashAccount: account => hashesOf(account).account,
    hash48: text => (text === null ? 0 : hashesOf(text).number),
  };
}

/**
 * HMAC-SHA-256 as RFC 2104 writes it, in hex: H(key ^ opad, H(key ^ ipad, text)). From two one-shot hashes it takes
 * 1.5 µs, from `crypto.createHmac` 3.7 µs. A key of 64 hex digits is exactly one block, and ASCII stays ASCII under
 * both pads: that is why the inner block can stand before the text as a string.
 */
function createHmac(key: string): (text: string) => string {
  if (!/^[0-9a-f]{64}$/.test(key)) throw new Error('the key of the hashes is 64 lower-case hex digits');
  const innerBlock = String.fromCharCode(...Buffer.from(key).map(byte => byte ^ 0x36));
  const outer = Buffer.alloc(64 + 32);
  for (let index = 0; index < 64; index += 1) outer[index] = key.charCodeAt(index) ^ 0x5c;
  return text => {
    outer.write(hash('sha256', innerBlock + text, 'binary'), 64, 'latin1');
    return hash('sha256', outer, 'hex');
  };
}
