/**
 * What a chat app's exceptions look like over days, for simulated traffic, simulated months and drawn dashboards: when
 * they come, which codes, group types and platforms they have. The proportions are a judgement, not a measurement.
 */
import { describeCode } from '../callback/catalogue.ts';
import type { ErrorCategory } from '../callback/exception.ts';

/** Of all exceptions of an ordinary day, the share of each code. Sums to 1. */
export const codeShares: Record<number, number> = {
  10017: 0.24, // muted
  10023: 0.2, // rate limited
  80001: 0.16, // moderated text
  10016: 0.11, // the app's own callback says no
  10007: 0.1, // not a member
  80004: 0.05, // moderated image
  10010: 0.04, // group gone
  10015: 0.03, // group ID malformed
  10004: 0.03, // parameter
  80002: 0.02, // message too long
  10002: 0.015, // internal error
  20012: 0.005, // muted in a private chat, seen in groups of one app
};

export const platformShares: Record<string, number> = {
  Android: 0.42,
  iOS: 0.33,
  Web: 0.12,
  RESTAPI: 0.08,
  Windows: 0.04,
  Mac: 0.01,
};

export const groupTypeShares: Record<string, number> = {
  AVChatRoom: 0.45,
  Public: 0.25,
  Private: 0.15,
  ChatRoom: 0.1,
  Community: 0.05,
};

/**
 * How busy an app is at this time of its week, 1 on average: a quiet night (0.2 at 04:00), a busy evening (1.7 at
 * 21:00, 2.1 at weekends). `hours` since a Monday's midnight, in the app's time zone.
 */
export function busyness(hours: number): number {
  const hour = ((hours % 24) + 24) % 24;
  const isWeekend = Math.floor(hours / 24) % 7 >= 5;
  const day = 1 - 0.55 * Math.cos(((hour - 4) / 24) * 2 * Math.PI);
  const evening = 0.75 * Math.exp(-(((hour - 21) / 2) ** 2));
  const night = -0.25 * Math.exp(-(((hour - 4) / 2.5) ** 2));
  return ((day + evening + night) / 1.06) * (isWeekend ? 1.15 : 0.94);
}

export function categoryOf(code: number): ErrorCategory {
  return describeCode(code)?.category ?? 'unknown';
}
