/**
 * What failed in the last hour, by label set and minute, and the latest exceptions: what the status page asks for, in
 * memory, so that it can be told while the journal cannot.
 *
 * Of each label set a count per minute of the last 60, at 600 bytes. The label sets are bounded by their caps, to about
 * 90,000 an app; here by `labelSetsMax`, 7 MB in all. Beyond it label sets are counted together, and said to be.
 */
import type { ErrorCategory, ExceptionLabels } from '../callback/exception.ts';
import type { StoredException } from '../journal/journal.ts';

export const windowMinutes = 60;
const minuteMs = 60_000;
const labelSetsMax = 10_000;
const latestMax = 50;

/** One exception as the page lists it. `groupId` is left out where it is not known any more: the journal has none. */
export interface ListedException extends Pick<StoredException, 'identity' | 'receivedAt' | 'labels'> {
  /** `null`: the callback named none. */
  groupId?: string | null;
}

/** Exceptions of one code in the last hour. */
export interface CodeActivity {
  errorCode: string;
  errorCategory: ErrorCategory;
  exceptions: number;
  /** `windowMinutes` of them, the current one last. */
  perMinute: number[];
  /** The most first. */
  groupTypes: [label: string, exceptions: number][];
  platforms: [label: string, exceptions: number][];
}

export interface ActivityView {
  /** The most first. */
  codes: CodeActivity[];
  /** Of those and of `unlisted`. */
  exceptions: number;
  /** All exceptions, `windowMinutes` of them, the current one last. */
  perMinute: number[];
  /** Exceptions in label sets beyond those that are counted apart. */
  unlisted: number;
  /** Exceptions received from then on are counted; milliseconds since the Unix epoch, at most an hour ago. */
  since: number;
  /** The latest first. */
  latest: ListedException[];
}

interface Series {
  labels: ExceptionLabels | null;
  newestMinute: number;
  /** Of the minutes up to the newest, each at its number modulo `windowMinutes`. */
  counts: number[];
}

export class Activity {
  readonly #labelSetsMax: number;
  readonly #series = new Map<string, Series>();
  readonly #unlisted = newSeries(null);
  /** The series of each labels object: the classifier gives the same object for the same label set. */
  #seriesOf = new WeakMap<ExceptionLabels, Series>();
  #sweptMinute = Number.NaN;
  /** In a circle: the latest is before `#latestCount % latestMax`. */
  readonly #latest: ListedException[] = [];
  #latestCount = 0;
  /** From before the start, the latest first. */
  #recalled: ListedException[] = [];
  #since: number;

  /** `now`: milliseconds since the Unix epoch; from then on every exception is noted. */
  constructor(now: number, options: { labelSetsMax?: number } = {}) {
    this.#since = now;
    this.#labelSetsMax = options.labelSetsMax ?? labelSetsMax;
  }

  /** To be called once for each new exception. 15 to 35 ns, without allocating, from the second of a label set on. */
  note(exception: ListedException): void {
    this.#count(exception.labels, minuteOf(exception.receivedAt));
    this.#latest[this.#latestCount % latestMax] = exception;
    this.#latestCount += 1;
  }

  /**
   * Adds exceptions from before the start: a page of the journal, the latest first. `now` as in `view`; what is older
   * than an hour then, or later, is listed and not counted.
   */
  recall(page: readonly ListedException[], now: number): void {
    const nowMinute = minuteOf(now);
    this.#recalled = [...this.#recalled, ...page.slice(0, latestMax)].slice(0, latestMax);
    for (const { labels, receivedAt } of page) {
      const minute = minuteOf(receivedAt);
      if (minute > nowMinute - windowMinutes && minute <= nowMinute) this.#count(labels, minute);
    }
    this.#since = Math.min(this.#since, page.at(-1)?.receivedAt ?? this.#since);
  }

  /** There is nothing more to recall. */
  recalled(): void {
    this.#since = Number.NEGATIVE_INFINITY;
  }

  /** `now`: milliseconds since the Unix epoch. 8 ms with as many label sets as there can be. */
  view(now: number): ActivityView {
    const nowMinute = minuteOf(now);
    const codes = new Map<string, TalliedCode>();
    for (const series of this.#series.values()) {
      const { error_code, error_category, group_type, platform } = series.labels!;
      const key = `${error_code} ${error_category}`;
      const code = codes.get(key) ?? newCode(error_code, error_category);
      codes.set(key, code);
      const exceptions = addWindow(series, nowMinute, code.perMinute);
      code.exceptions += exceptions;
      add(code.byGroupType, group_type, exceptions);
      add(code.byPlatform, platform, exceptions);
    }
    const perMinute = newWindow();
    const unlisted = addWindow(this.#unlisted, nowMinute, perMinute);
    for (const code of codes.values()) {
      for (const [index, count] of code.perMinute.entries()) perMinute[index]! += count;
    }
    return {
      codes: [...codes.values()]
        .filter(({ exceptions }) => exceptions > 0)
        .sort((left, right) => right.exceptions - left.exceptions)
        .map(({ byGroupType, byPlatform, ...code }) => ({
          ...code,
          groupTypes: mostFirst(byGroupType),
          platforms: mostFirst(byPlatform),
        })),
      exceptions: perMinute.reduce((sum, count) => sum + count, 0),
      perMinute,
      unlisted,
      since: Math.max(this.#since, (nowMinute - windowMinutes + 1) * minuteMs),
      latest: this.#listLatest(),
    };
  }

  #listLatest(): ListedException[] {
    const start = this.#latestCount % latestMax;
    const noted = [...this.#latest.slice(start), ...this.#latest.slice(0, start)].reverse();
    return [...noted, ...this.#recalled].slice(0, latestMax);
  }

  #count(labels: ExceptionLabels, minute: number): void {
    const series = this.#seriesOf.get(labels) ?? this.#find(labels, minute);
    if (minute > series.newestMinute || minute <= series.newestMinute - windowMinutes) turn(series, minute);
    series.counts[minute % windowMinutes]! += 1;
  }

  #find(labels: ExceptionLabels, minute: number): Series {
    const key = keyOf(labels);
    const series = this.#series.get(key) ?? this.#admit(key, labels, minute);
    this.#seriesOf.set(labels, series);
    return series;
  }

  #admit(key: string, labels: ExceptionLabels, minute: number): Series {
    if (this.#series.size >= this.#labelSetsMax) this.#sweep(minute);
    if (this.#series.size >= this.#labelSetsMax) return this.#unlisted;
    const series = newSeries(labels);
    this.#series.set(key, series);
    return series;
  }

  /** Makes room, at most once a minute: forgets the label sets without an exception in the hour before `minute`. */
  #sweep(minute: number): void {
    if (minute === this.#sweptMinute) return;
    this.#sweptMinute = minute;
    for (const [key, { newestMinute }] of this.#series) {
      if (newestMinute <= minute - windowMinutes) this.#series.delete(key);
    }
    this.#seriesOf = new WeakMap();
  }
}

type Tally = Map<string, number>;
type TalliedCode = Omit<CodeActivity, 'groupTypes' | 'platforms'> & { byGroupType: Tally; byPlatform: Tally };

function newSeries(labels: ExceptionLabels | null): Series {
  return { labels, newestMinute: 0, counts: newWindow() };
}

function newCode(errorCode: string, errorCategory: ErrorCategory): TalliedCode {
  return {
    errorCode,
    errorCategory,
    exceptions: 0,
    perMinute: newWindow(),
    byGroupType: new Map(),
    byPlatform: new Map(),
  };
}

function newWindow(): number[] {
  return new Array(windowMinutes).fill(0);
}

function minuteOf(at: number): number {
  return Math.floor(at / minuteMs);
}

/** Makes `minute` the newest, with nothing in the minutes passed; after a clock that was set back, with nothing at all. */
function turn(series: Series, minute: number): void {
  const { newestMinute, counts } = series;
  const passed = minute - newestMinute;
  if (passed < 0 || passed >= windowMinutes) counts.fill(0);
  else for (let each = newestMinute + 1; each <= minute; each += 1) counts[each % windowMinutes] = 0;
  series.newestMinute = minute;
}

/** Adds a series' counts of the window that ends with `nowMinute` to `perMinute`, and returns their sum. */
function addWindow({ newestMinute, counts }: Series, nowMinute: number, perMinute: number[]): number {
  let sum = 0;
  const first = nowMinute - windowMinutes + 1;
  // After a clock that was set back the newest minute is in the future.
  const from = Math.max(first, newestMinute - windowMinutes + 1);
  for (let minute = from; minute <= Math.min(nowMinute, newestMinute); minute += 1) {
    const count = counts[minute % windowMinutes]!;
    perMinute[minute - first]! += count;
    sum += count;
  }
  return sum;
}

function add(tally: Tally, label: string, count: number): void {
  tally.set(label, (tally.get(label) ?? 0) + count);
}

function mostFirst(tally: Tally): [string, number][] {
  return [...tally].filter(([, count]) => count > 0).sort(([, left], [, right]) => right - left);
}

/** Label values come from closed or capped sets; none holds a line feed. */
function keyOf(labels: ExceptionLabels): string {
  const { sdk_app_id, error_code, error_category, group_type, platform, initiator } = labels;
  return [sdk_app_id, error_code, error_category, group_type, platform, initiator].join('\n');
}
