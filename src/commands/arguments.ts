/** Arguments that more than one command takes, and how each is read. What is wrong with one is told by Commander. */
import { InvalidArgumentError } from 'commander';

/** `2026-11-26T08:30:00Z`, with any offset, or Unix seconds or milliseconds. Milliseconds since the Unix epoch. */
export function parseTime(text: string): number {
  const isIso = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/.test(text);
  const time = isIso
    ? Date.parse(text)
    : /^\d{10}$/.test(text)
      ? Number(text) * 1000
      : /^\d{13}$/.test(text)
        ? Number(text)
        : Number.NaN;
  // RequestTime has ten digits.
  if (!(time >= 1e12 && time < 1e13)) {
    throw new InvalidArgumentError('Expected a time such as 2026-11-26T08:30:00Z, or Unix seconds.');
  }
  return time;
}

const unitMs: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30s`, `5m`, `1h30m`, `1.5h`. Milliseconds. */
export function parseDuration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhd])/g)];
  const milliseconds = parts.reduce((sum, [, number, unit]) => sum + Number(number) * unitMs[unit!]!, 0);
  if (parts.map(([part]) => part).join('') !== text || !(milliseconds > 0)) {
    throw new InvalidArgumentError('Expected a duration such as 30s, 5m or 1h30m.');
  }
  return milliseconds;
}

/** A number above 0, up to `max`. */
export function parseNumber(max: number): (text: string) => number {
  return text => {
    const number = /^\d*\.?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (number > 0 && number <= max) return number;
    throw new InvalidArgumentError(`Expected a number above 0, up to ${max.toLocaleString('en-US')}.`);
  };
}

/** An address that callbacks can be posted to. */
export function parseUrl(text: string): URL {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Expected a URL such as http://localhost:8080/.');
  }
  return url;
}

export function parseSeed(text: string): number {
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('Expected a whole number of up to ten digits.');
}
