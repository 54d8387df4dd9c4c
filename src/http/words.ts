/** Numbers, times and sizes as a person reads them. Times are in milliseconds since the Unix epoch. */

/** `1 exception`, `1,234 exceptions`. */
export function counted(count: number, one: string, many: string): string {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** `1,234` */
export function number(count: number): string {
  return count.toLocaleString('en-US');
}

const units: [name: string, milliseconds: number][] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** `3 h`, `2 min`, `0 s`: the largest unit of which there are two, or else minutes and seconds alone. */
export function duration(milliseconds: number): string {
  const [name, size] = units.find(([, each]) => milliseconds >= 2 * each) ?? units.at(-1)!;
  return `${Math.floor(milliseconds / size)} ${name}`;
}

/** `2 min ago`, `just now`; `in 2 min` after a clock that was set back. */
export function ago(at: number, now: number): string {
  if (Math.abs(now - at) < 1_000) return 'just now';
  return at > now ? `in ${duration(at - now)}` : `${duration(now - at)} ago`;
}

/** `2026-11-25T23:59:01.123Z`, whatever a damaged journal says that the time was. */
export function iso(at: number): string {
  return new Date(Math.max(0, Math.min(at, dateMax))).toISOString();
}

/** The last moment that a Date can be. */
const dateMax = 8.64e15;

/** `2026-11-25T23:59:01Z` */
export function isoSeconds(at: number): string {
  return iso(at).replace(/\.\d+/, '');
}

/** `4.2 MB` */
export function size(bytes: number): string {
  const exponent = bytes < 1_000 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1_000 ** exponent;
  return `${exponent > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${['B', 'kB', 'MB', 'GB', 'TB'][exponent]}`;
}
