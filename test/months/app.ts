/**
 * Months of a chat app that does not exist: minute by minute, how many exceptions came of which code and platform, from
 * how many senders, and which incidents are hidden among them.
 *
 * Made against the rules, not for them: noise is clustered rather than Poisson, single bots and retry storms are louder
 * than some incidents, promotions, holidays, launches and shows lift everything. How much of each is itself drawn anew
 * for every seed. All of it is a judgement, not a measurement.
 */
import type { ErrorCategory } from '../../src/callback/exception.ts';
import { errorCategories } from '../../src/callback/exception.ts';
import { between, createRandom, pick, pickShare, type Random } from '../../src/traffic/random.ts';
import { busyness, categoryOf, codeShares, platformShares } from '../../src/traffic/shares.ts';

export const sizes = {
  tiny: { perMinute: 10 / 1440, users: 40 },
  small: { perMinute: 0.5, users: 400 },
  medium: { perMinute: 25, users: 8_000 },
  large: { perMinute: 1_000, users: 200_000 },
} as const;
export type Size = keyof typeof sizes;

/** What happened; the alerts that count as finding it are in judge.ts. */
export type IncidentKind =
  | 'internal errors'
  | 'moderation wave'
  | 'rate limit'
  | 'mass mute'
  | 'app rejecting'
  | 'quota'
  | 'other spike'
  | 'slow ramp'
  | 'platform'
  | 'new code'
  | 'stopped';

export interface Incident {
  kind: IncidentKind;
  /** Minutes since the month's start; the end is not included. */
  from: number;
  to: number;
  category: ErrorCategory | null;
  platform: string | null;
  /** Clearly there: an engineer who looks at the graph would see it. */
  isClear: boolean;
  /** Rises over so many minutes; 0 where it is sudden. */
  rampMinutes: number;
  /** So many times the expected on top of it, and so many more a minute. */
  factor: number;
  extraPerMinute: number;
}

/** One kind of exception: a code on a platform. */
export interface Kind {
  code: number;
  category: ErrorCategory;
  platform: string;
  /** Exceptions in each minute. */
  counts: Uint16Array;
}

export interface Month {
  size: Size;
  minutes: number;
  kinds: Kind[];
  /** Distinct senders in the five minutes up to each minute. */
  senders: Map<ErrorCategory, Uint32Array>;
  incidents: Incident[];
  /** Minutes at which no scrape succeeds. */
  gaps: { from: number; to: number }[];
  /** Minutes at which the exporter comes back: `same` under its old address, `moved` under a new one with its totals. */
  restarts: { at: number; downMinutes: number; how: 'same' | 'moved' }[];
  /** The minute from which a second replica takes a third of the callbacks; starts at 0. */
  secondReplica: { from: number; to: number };
}

const minutesPerDay = 1440;
const categoryShares = sharesByCategory();

/** A month of one app, or so many `days` of it. The same arguments give the same month. */
export function simulate(size: Size, seed: number, days: number, schedule = ordinarySchedule): Month {
  const random = createRandom(Math.imul(seed, 2654435761) ^ (Object.keys(sizes).indexOf(size) * 40503));
  for (let skipped = 0; skipped < 10; skipped += 1) random();
  const minutes = Math.round(days * minutesPerDay);
  const app = traits(random, size);
  const level = levels(random, app, minutes);
  const incidents = planIncidents(random, size, minutes, level, schedule);
  const kinds = new Map<string, Kind>();
  const newSenders = new Map<ErrorCategory, Float64Array>(
    errorCategories.map(category => [category, new Float64Array(minutes)]),
  );

  function add(code: number, platform: string, minute: number, count: number) {
    if (count <= 0) return;
    const key = `${code} ${platform}`;
    let kind = kinds.get(key);
    if (kind === undefined) {
      kind = { code, category: categoryOf(code), platform, counts: new Uint16Array(minutes) };
      kinds.set(key, kind);
    }
    kind.counts[minute]! += count;
  }

  /** Spreads exceptions of a category over its codes and over platforms. */
  function spread(category: ErrorCategory, minute: number, count: number, platforms: Record<string, number>) {
    const shares = codesOf(category);
    eachShare(random, count, shares, (code, ofCode) =>
      eachShare(random, ofCode, platforms, (platform, some) => add(Number(code), platform, minute, some)),
    );
  }

  const isStopped = (minute: number) =>
    incidents.some(({ kind, from, to }) => kind === 'stopped' && minute >= from && minute < to);

  // Ordinary traffic.
  for (const [category, share] of Object.entries(categoryShares) as [ErrorCategory, number][]) {
    const senders = newSenders.get(category)!;
    const persistence = Math.exp(-1 / app.noiseMinutes);
    let drift = gaussian(random);
    for (let minute = 0; minute < minutes; minute += 1) {
      drift = persistence * drift + Math.sqrt(1 - persistence ** 2) * gaussian(random);
      if (isStopped(minute)) continue;
      const sd = app.noise * (category === 'rate_limited' ? 1.5 : 1);
      const lift = Math.exp(sd * drift - sd ** 2 / 2) * gamma(random, app.mixing);
      const people = poisson(random, (level[minute]! * share * lift) / app.perSender[category]!);
      if (people === 0) continue;
      const count = people + poisson(random, people * (app.perSender[category]! - 1));
      senders[minute]! += people;
      spread(category, minute, count, app.platforms);
    }
  }

  // Bots and retry storms: one sender, one code, one platform.
  const storms = poisson(random, app.stormsPerDay * days);
  for (let storm = 0; storm < storms; storm += 1) {
    const category = pick(random, stormCategories);
    const code = Number(pick(random, Object.keys(codesOf(category))));
    const platform = pick(random, ['RESTAPI', 'Android', 'iOS', 'Web']);
    const from = between(random, 0, minutes - 1);
    const length = Math.ceil(Math.exp(1 + 4 * random()));
    const perMinute = Math.min(Math.exp(3.5 * random()), 0.3 * sizes[size].perMinute + 6);
    for (let minute = from; minute < Math.min(minutes, from + length); minute += 1) {
      if (isStopped(minute)) continue;
      const count = poisson(random, perMinute);
      add(code, platform, minute, count);
      // The same sender all the time: one in each window of five minutes.
      if (count > 0 && (minute - from) % 5 === 0) newSenders.get(category)![minute]! += 1;
    }
  }

  // Hot rooms: some senders of one room run into the frequency limit for a few minutes.
  const rooms = poisson(random, app.hotRoomsPerDay * days);
  for (let room = 0; room < rooms; room += 1) {
    const from = between(random, 0, minutes - 1);
    const length = between(random, 2, 8);
    const people = Math.min(between(random, 2, 6) + Math.floor(0.03 * sizes[size].perMinute), 60);
    for (let minute = from; minute < Math.min(minutes, from + length); minute += 1) {
      if (isStopped(minute)) continue;
      const active = poisson(random, people / 4);
      newSenders.get('rate_limited')![minute]! += active;
      spread('rate_limited', minute, active + poisson(random, active), app.platforms);
    }
  }

  for (const incident of incidents) play(incident);

  function play({ kind, from, to, category, platform, factor, extraPerMinute, rampMinutes }: Incident) {
    if (kind === 'stopped') return;
    const code = 10_000 + between(random, 300, 900);
    for (let minute = from; minute < Math.min(to, minutes); minute += 1) {
      const ramp = rampMinutes === 0 ? 1 : Math.min(1, (minute - from) / rampMinutes);
      if (kind === 'new code') {
        const count = poisson(random, extraPerMinute);
        newSenders.get('unknown')![minute]! += count;
        for (let each = 0; each < count; each += 1) add(code, pickShare(random, app.platforms), minute, 1);
        continue;
      }
      const hit = category === null ? (Object.keys(categoryShares) as ErrorCategory[]) : [category];
      for (const one of hit) {
        if (one === 'muted' && kind === 'platform') continue;
        const usual =
          level[minute]! * (categoryShares[one] ?? 0) * (platform === null ? 1 : app.platforms[platform]!);
        const wave = (factor * usual + extraPerMinute / hit.length) * ramp * gamma(random, 12);
        const perSender = 1 + (app.perSender[one] ?? 1.5) * 0.6;
        const people = poisson(random, wave / perSender);
        newSenders.get(one)![minute]! += people;
        const count = people + poisson(random, people * (perSender - 1));
        spread(one, minute, count, platform === null ? app.platforms : { [platform]: 1 });
      }
    }
  }

  const senders = new Map<ErrorCategory, Uint32Array>();
  for (const [category, fresh] of newSenders) {
    const distinct = new Uint32Array(minutes);
    let window = 0;
    for (let minute = 0; minute < minutes; minute += 1) {
      window += fresh[minute]! - (fresh[minute - 5] ?? 0);
      // Of so many, some are the same people: users are a pool.
      distinct[minute] = Math.round(sizes[size].users * (1 - Math.exp(-window / sizes[size].users)));
    }
    senders.set(category, distinct);
  }
  return {
    size,
    minutes,
    kinds: [...kinds.values()],
    senders,
    incidents,
    ...trouble(random, minutes, incidents),
  };
}

const stormCategories = [
  'rate_limited',
  'muted',
  'not_permitted',
  'invalid_parameter',
  'moderated',
  'group_unavailable',
  'rejected_by_app',
  'internal_error',
] as const satisfies ErrorCategory[];

interface Traits {
  perMinute: number;
  platforms: Record<string, number>;
  perSender: Partial<Record<ErrorCategory, number>>;
  /** Standard deviation and memory of each category's own drift; shape of the gamma that mixes minutes. */
  noise: number;
  noiseMinutes: number;
  mixing: number;
  stormsPerDay: number;
  hotRoomsPerDay: number;
  contrast: number;
  zoneHours: number;
  showDay: number;
  showFactor: number;
}

function traits(random: Random, size: Size): Traits {
  const perSender = Object.fromEntries(
    Object.keys(categoryShares).map(category => [category, 1.1 + 1.4 * random()]),
  );
  perSender.rate_limited = 1.5 + 3 * random();
  perSender.muted = 1.3 + 2 * random();
  return {
    perMinute: sizes[size].perMinute * Math.exp(0.6 * (random() - 0.5)),
    platforms: platformShares,
    perSender,
    noise: 0.08 + 0.22 * random(),
    noiseMinutes: 10 + 50 * random(),
    mixing: 3 + 20 * random(),
    stormsPerDay: (size === 'tiny' ? 0.3 : 1) * (0.5 + 3.5 * random()),
    hotRoomsPerDay: (size === 'tiny' ? 0.1 : 1) * 4 * random(),
    contrast: 0.7 + 0.6 * random(),
    zoneHours: between(random, 0, 23),
    showDay: between(random, 0, 6),
    showFactor: random() < 0.5 ? 1 : 1.4 + random(),
  };
}

/** Expected exceptions a minute, all categories: shape, shows, promotions, holidays, a launch, the change of the clock. */
function levels(random: Random, app: Traits, minutes: number): Float64Array {
  const level = new Float64Array(minutes);
  const days = Math.ceil(minutes / minutesPerDay);
  const promotions = Array.from({ length: poisson(random, days / 10) }, () => ({
    from: between(random, 0, minutes),
    length: between(random, 60, 360),
    factor: 1.3 + 1.5 * random(),
    ramp: between(random, 3, 40),
  }));
  const holiday = { day: between(random, 3, Math.max(4, days)), factor: random() < 0.5 ? 0.6 : 1.5 };
  const launch = {
    from: between(random, minutesPerDay, Math.max(minutes, minutesPerDay + 1)),
    factor: 1.2 + 0.5 * random(),
  };
  const clockChange = random() < 0.3 ? between(random, 0, minutes) : minutes;
  const persistence = Math.exp(-1 / 90);
  let drift = 0;
  for (let minute = 0; minute < minutes; minute += 1) {
    const hours = minute / 60 + app.zoneHours + (minute >= clockChange ? 1 : 0);
    drift = persistence * drift + Math.sqrt(1 - persistence ** 2) * gaussian(random);
    let value = busyness(hours) ** app.contrast * Math.exp(0.1 * drift);
    for (const { from, length, factor, ramp } of promotions) {
      const since = minute - from;
      if (since < 0 || since > length + ramp) continue;
      value *= 1 + (factor - 1) * Math.min(1, since / ramp, (length + ramp - since) / ramp);
    }
    const day = Math.floor(hours / 24);
    if (day === holiday.day) value *= holiday.factor;
    if (minute >= launch.from) value *= 1 + (launch.factor - 1) * Math.min(1, (minute - launch.from) / 240);
    const hour = hours % 24;
    if (day % 7 === app.showDay && hour >= 20 && hour < 21.5) value *= app.showFactor;
    level[minute] = value * app.perMinute;
  }
  return level;
}

const bursts: { kind: IncidentKind; categories: ErrorCategory[] }[] = [
  { kind: 'internal errors', categories: ['internal_error'] },
  { kind: 'moderation wave', categories: ['moderated'] },
  { kind: 'rate limit', categories: ['rate_limited'] },
  { kind: 'mass mute', categories: ['muted'] },
  { kind: 'app rejecting', categories: ['rejected_by_app'] },
  { kind: 'other spike', categories: ['invalid_parameter', 'not_permitted', 'group_unavailable'] },
];

/** Which incidents come, each in turn, and how far apart: from one's end to the next one's start, `mean` more than `least`. */
interface Schedule {
  kinds: readonly IncidentKind[];
  leastPauseMinutes: number;
  meanPauseMinutes: number;
}

export const suddenKinds = bursts.map(({ kind }) => kind);

/** About three in two days; the sudden ones twice as often as the others. */
const ordinarySchedule: Schedule = {
  kinds: [
    ...suddenKinds,
    ...suddenKinds,
    'quota',
    'new code',
    'stopped',
    'slow ramp',
    'slow ramp',
    'platform',
    'platform',
  ],
  leastPauseMinutes: 180,
  meanPauseMinutes: 600,
};

function planIncidents(
  random: Random,
  size: Size,
  minutes: number,
  level: Float64Array,
  schedule: Schedule,
): Incident[] {
  const incidents: Incident[] = [];
  let at = between(
    random,
    120 + schedule.leastPauseMinutes,
    120 + schedule.leastPauseMinutes + schedule.meanPauseMinutes,
  );
  let queue: IncidentKind[] = [];
  while (at < minutes - 200) {
    if (queue.length === 0) queue = shuffle(random, schedule.kinds);
    const kind = queue.pop()!;
    const incident = plan(random, size, kind, at, level);
    if (incident.to <= minutes) incidents.push(incident);
    at =
      incident.to +
      schedule.leastPauseMinutes +
      Math.floor(-Math.log(1 - random()) * schedule.meanPauseMinutes);
  }
  return incidents;
}

function plan(random: Random, size: Size, kind: IncidentKind, from: number, level: Float64Array): Incident {
  const isClear = random() < 0.75;
  const base = {
    kind,
    from,
    isClear,
    rampMinutes: 0,
    platform: null,
    category: null,
    factor: 0,
    extraPerMinute: 0,
  };
  const burst = bursts.find(one => one.kind === kind);
  // Clear: four times to twenty times the usual, and a dozen to three dozen in five minutes. Else: half of that.
  const factor = isClear ? 4 + 10 * random() ** 2 : 2 + 1.5 * random();
  const extraPerMinute = isClear ? (12 + 24 * random()) / 5 : (7 + 5 * random()) / 5;
  const suddenRamp = random() < 0.7 ? 0 : between(random, 2, 6);
  if (burst !== undefined) {
    const category = pick(random, burst.categories);
    return {
      ...base,
      category,
      factor,
      extraPerMinute,
      rampMinutes: suddenRamp,
      to: from + between(random, 12, 75),
    };
  }
  switch (kind) {
    case 'quota': {
      const hourly = (isClear ? 12 : 8) + 30 * random() + level[from]! * 60 * (isClear ? 0.3 : 0.1);
      return {
        ...base,
        category: 'quota_exceeded',
        extraPerMinute: hourly / 60,
        to: from + between(random, 120, 480),
      };
    }
    case 'slow ramp': {
      const category = pick(
        random,
        bursts.flatMap(({ categories }) => categories),
      );
      const rampMinutes = between(random, 60, 180);
      return {
        ...base,
        category,
        factor,
        extraPerMinute,
        rampMinutes,
        to: from + rampMinutes + between(random, 30, 120),
      };
    }
    case 'platform': {
      const platform = pick(random, ['Android', 'iOS', 'Web']);
      // A client release fails in what it sends, or in everything.
      const category = random() < 0.5 ? 'invalid_parameter' : null;
      return {
        ...base,
        category,
        platform,
        factor,
        extraPerMinute,
        rampMinutes: pick(random, [0, 10, 60]),
        to: from + between(random, 120, 600),
      };
    }
    case 'new code':
      return {
        ...base,
        category: 'unknown',
        extraPerMinute: 0.15 + 0.5 * random() + 0.005 * level[from]!,
        to: from + between(random, 60, 300),
      };
    case 'stopped': {
      const length = { tiny: [2000, 4000], small: [200, 600], medium: [45, 200], large: [20, 120] }[size];
      return { ...base, isClear: true, to: from + between(random, length[0]!, length[1]!) };
    }
    default:
      throw new Error(`no plan for ${kind}`);
  }
}

/** Gaps of the scraper, restarts and moves of the exporter, a second replica for some days. */
function trouble(
  random: Random,
  minutes: number,
  incidents: Incident[],
): Pick<Month, 'gaps' | 'restarts' | 'secondReplica'> {
  const days = minutes / minutesPerDay;
  const isQuiet = (minute: number) =>
    incidents.every(({ from, to }) => minute < from - 60 || minute > to + 30);
  const some = (count: number) =>
    Array.from({ length: count }, () => between(random, 0, minutes - 1))
      .filter(isQuiet)
      .sort((a, b) => a - b);
  const gaps = some(poisson(random, days / 2)).map(from => ({
    from,
    to: from + between(random, 1, random() < 0.2 ? 90 : 4),
  }));
  const restarts = some(poisson(random, days / 3)).map(at => ({
    at,
    downMinutes: random() < 0.2 ? between(random, 10, 240) : between(random, 0, 2),
    how: random() < 0.4 ? ('moved' as const) : ('same' as const),
  }));
  const from = between(random, 0, minutes);
  return {
    gaps,
    restarts,
    secondReplica: { from, to: Math.min(minutes, from + between(random, 600, 5000)) },
  };
}

function sharesByCategory(): Partial<Record<ErrorCategory, number>> {
  const shares: Partial<Record<ErrorCategory, number>> = {};
  for (const [code, share] of Object.entries(codeShares)) {
    const category = categoryOf(Number(code));
    shares[category] = (shares[category] ?? 0) + share;
  }
  return shares;
}

const codesByCategory = new Map<ErrorCategory, Record<string, number>>([
  ['quota_exceeded', { 22007: 1 }],
  ['unknown', { 10999: 1 }],
]);
for (const [code, share] of Object.entries(codeShares)) {
  const category = categoryOf(Number(code));
  codesByCategory.set(category, {
    ...codesByCategory.get(category),
    [code]: share / categoryShares[category]!,
  });
}
function codesOf(category: ErrorCategory): Record<string, number> {
  return codesByCategory.get(category) ?? { 10999: 1 };
}

function eachShare(
  random: Random,
  count: number,
  shares: Record<string, number>,
  take: (key: string, count: number) => void,
) {
  let left = count;
  let shareLeft = 1;
  for (const key in shares) {
    if (left === 0) return;
    const share = Math.min(1, shares[key]! / shareLeft);
    const some = share > 0.999999 ? left : binomial(random, left, share);
    take(key, some);
    left -= some;
    shareLeft -= shares[key]!;
  }
}

function shuffle<T>(random: Random, values: readonly T[]): T[] {
  const mixed = [...values];
  for (let last = mixed.length - 1; last > 0; last -= 1) {
    const other = between(random, 0, last);
    [mixed[last], mixed[other]] = [mixed[other]!, mixed[last]!];
  }
  return mixed;
}
function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
/** Mean 1; Marsaglia and Tsang, for shapes of 1 and more. */
function gamma(random: Random, shape: number): number {
  const d = shape - 1 / 3;
  const c = 1 / Math.sqrt(9 * d);
  for (;;) {
    const x = gaussian(random);
    const v = (1 + c * x) ** 3;
    if (v > 0 && Math.log(1 - random()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return (d * v) / shape;
  }
}
function poisson(random: Random, mean: number): number {
  if (mean <= 0) return 0;
  if (mean > 50) return Math.max(0, Math.round(mean + Math.sqrt(mean) * gaussian(random)));
  const limit = Math.exp(-mean);
  let product = random();
  let count = 0;
  while (product > limit) {
    product *= random();
    count += 1;
  }
  return count;
}
function binomial(random: Random, count: number, share: number): number {
  const mean = count * share;
  if (mean * (1 - share) > 30) {
    return Math.min(count, Math.max(0, Math.round(mean + Math.sqrt(mean * (1 - share)) * gaussian(random))));
  }
  let hits = 0;
  for (let each = 0; each < count; each += 1) if (random() < share) hits += 1;
  return hits;
}
