/** Counts per minute as a small drawing: a bar a minute, the current one last. Its words are in `aria-label`. */
import { type Html, html } from './html.ts';
import { counted, iso } from './words.ts';

const height = 24;
const barWidth = 0.8;

/** `now`: milliseconds since the Unix epoch, in the last minute of `perMinute`. Its size and colour are the page's. */
export function sparkline(perMinute: readonly number[], now: number): Html {
  const peak = Math.max(...perMinute);
  const bars = perMinute
    .map((count, minute) => {
      // One in a minute is seen beside a thousand.
      const barHeight = count === 0 ? 0 : Math.max(1.5, (count / peak) * height);
      return count === 0 ? '' : `M${minute} ${height}v${-round(barHeight)}h${barWidth}v${round(barHeight)}z`;
    })
    .join('');
  return html`<svg class="spark" role="img" aria-label="${describeMinutes(perMinute, now)}" viewBox="0 0 ${perMinute.length} ${height}" preserveAspectRatio="none"><path class="base" d="M0 ${height}h${perMinute.length}"/><path d="${bars}"/></svg>`;
}

/** `Per minute over the last 60 minutes: 40 at most, at 12:31 UTC; 5 in the last 5 minutes.` */
function describeMinutes(perMinute: readonly number[], now: number): string {
  const { count, at } = peakOf(perMinute, now);
  const minutes = `Per minute over the last ${perMinute.length} minutes`;
  if (count === 0) return `${minutes}: none.`;
  return `${minutes}: ${counted(count, 'exception', 'exceptions')} at most, at ${clockTime(at)} UTC; ${lastFive(perMinute)} in the last 5 minutes.`;
}

/** The minute with the most, the latest of several; `at` is its beginning, in milliseconds since the Unix epoch. */
export function peakOf(perMinute: readonly number[], now: number): { count: number; at: number } {
  const count = Math.max(...perMinute);
  const minutesAgo = perMinute.length - 1 - perMinute.lastIndexOf(count);
  return { count, at: (Math.floor(now / 60_000) - minutesAgo) * 60_000 };
}

export function lastFive(perMinute: readonly number[]): number {
  return perMinute.slice(-5).reduce((sum, count) => sum + count, 0);
}

/** `12:31` */
export function clockTime(at: number): string {
  return iso(at).slice(11, 16);
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
