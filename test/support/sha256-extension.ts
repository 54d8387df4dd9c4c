/**
 * The length-extension attack on SHA-256: from the digest of a secret and a known message, and the secret's length, the
 * digest of secret + message + padding + suffix. `node:crypto` cannot resume from a digest, so the compression function
 * of FIPS 180-4 is written out here.
 */

/** The first 32 bits of the fractional part. */
const fraction = (value: number): number => Math.floor((value - Math.floor(value)) * 2 ** 32) | 0;

const primes: number[] = [];
for (let candidate = 2; primes.length < 64; candidate += 1) {
  if (primes.every(prime => candidate % prime !== 0)) primes.push(candidate);
}
const roundConstants = primes.map(prime => fraction(Math.cbrt(prime)));

const rotate = (word: number, bits: number): number => (word >>> bits) | (word << (32 - bits));

function compress(state: Int32Array, block: Buffer): void {
  const words = new Int32Array(64);
  for (let t = 0; t < 16; t += 1) words[t] = block.readInt32BE(t * 4);
  for (let t = 16; t < 64; t += 1) {
    const before2 = words[t - 2]!;
    const before15 = words[t - 15]!;
    const s1 = rotate(before2, 17) ^ rotate(before2, 19) ^ (before2 >>> 10);
    const s0 = rotate(before15, 7) ^ rotate(before15, 18) ^ (before15 >>> 3);
    words[t] = s1 + words[t - 7]! + s0 + words[t - 16]!;
  }
  let [a, b, c, d, e, f, g, h] = [...state] as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  for (let t = 0; t < 64; t += 1) {
    const sum1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const sum0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const first = (h + sum1 + ((e & f) ^ (~e & g)) + roundConstants[t]! + words[t]!) | 0;
    const second = (sum0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [a, b, c, d, e, f, g, h] = [(first + second) | 0, a, b, c, (d + first) | 0, e, f, g];
  }
  for (const [index, word] of [a, b, c, d, e, f, g, h].entries()) state[index] = state[index]! + word;
}

/** What SHA-256 puts behind a message of so many bytes: 0x80, zeros, and the length in bits. */
function paddingOf(messageBytes: number): Buffer {
  const padding = Buffer.alloc(((119 - (messageBytes % 64)) % 64) + 9);
  padding[0] = 0x80;
  padding.writeUInt32BE(messageBytes * 8, padding.length - 4);
  return padding;
}

/** `message` is what now follows the secret; `digest` is the digest of both. Never sees the secret. */
export function extendSha256(
  oldDigest: string,
  secretBytes: number,
  oldMessage: Buffer,
  suffix: Buffer,
): { message: Buffer; digest: string } {
  const message = Buffer.concat([oldMessage, paddingOf(secretBytes + oldMessage.length), suffix]);
  const hashedBytes = secretBytes + message.length - suffix.length;
  const rest = Buffer.concat([suffix, paddingOf(hashedBytes + suffix.length)]);

  const oldBytes = Buffer.from(oldDigest, 'hex');
  const state = Int32Array.from({ length: 8 }, (_, index) => oldBytes.readInt32BE(index * 4));
  for (let start = 0; start < rest.length; start += 64) compress(state, rest.subarray(start, start + 64));

  const digest = Buffer.alloc(32);
  for (const [index, word] of state.entries()) digest.writeInt32BE(word, index * 4);
  return { message, digest: digest.toString('hex') };
}
