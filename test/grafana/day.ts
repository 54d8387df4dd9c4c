/**
 * A believable day of two or three replicas, and the week before it, as OpenMetrics text with timestamps: a quiet night, a busy
 * evening, a rate-limit burst, a collector outage, a deployment, a stranger at the door, a new error code, and a
 * moderation wave that still goes on when the day ends. Every metric of the exporter's table is in it.
 *
 * It is drawn from a seed and ends at a fixed moment, so that pictures of it can be made again.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import { describeCode } from '../../src/callback/catalogue.ts';
import { elementTypeLabels } from '../../src/callback/classify.ts';
import { exceptionCommand } from '../../src/callback/commands.ts';
import { errorCategories, fieldNames, rejectionReasons } from '../../src/callback/exception.ts';
import { dropReasons, metricTable, outcomes } from '../../src/metrics/table.ts';
import { createRandom, type Random } from '../../src/traffic/random.ts';
import {
  busyness,
  categoryOf,
  codeShares,
  groupTypeShares,
  platformShares,
} from '../../src/traffic/shares.ts';

/** Seconds since the Unix epoch: Thursday, 5 March 2026, 21:30 UTC. */
export const dayEnd = Date.UTC(2026, 2, 5, 21, 30) / 1000;
const hour = 3600;
const daySeconds = 24 * hour;
/** A week, and the hours that the medians of rules look further back. */
export const weekStart = dayEnd - 8.1 * daySeconds;
/** From here on every metric is there; before, only what is compared with. */
export const dayStart = dayEnd - 25 * hour;

export interface DayOptions {
  /** Between samples of the day, and of the week before it. */
  dayStepSeconds: number;
  weekStepSeconds: number;
  /** Label sets that each code is spread over, at most. */
  combinations: number;
  /** 2 unless told otherwise. */
  replicas?: keyof typeof replicaShares;
}

type Labels = Record<string, string>;
/** The value at a time. Called in ascending order. */
type Value = (at: number, stepSeconds: number) => number | null;

/** Exceptions a minute, of all replicas, on average. */
const perMinute = 24;
/** What each of so many replicas takes of the exceptions. */
const replicaShares = { 2: [0.55, 0.45], 3: [0.4, 0.35, 0.25] } as const;
const job = 'tencent-chat-exporter';
const newCode = 10059;

const today = (clock: number): number => dayEnd - (21.5 - clock) * hour;
/** Hours of the day's clock; the deployment is a moment. */
export const events = {
  outage: { from: today(10.2), to: today(11.3) },
  stranger: { from: today(12.5), to: today(12.8) },
  burst: { from: today(14), to: today(14.5) },
  deployment: today(16.1),
  newCode: { from: today(19.7), to: dayEnd + 1 },
  wave: { from: today(20.9), to: dayEnd + 1 },
} as const;

const isDuring = (at: number, { from, to }: { from: number; to: number }): boolean => at >= from && at < to;

/** So many times the usual. */
function lift(category: string, at: number): number {
  if (category === 'moderated' && isDuring(at, events.wave))
    return 1 + 6 * Math.min(1, (at - events.wave.from) / 600);
  if (category === 'rate_limited' && isDuring(at, events.burst)) return 9;
  return 1;
}

/** Of all exceptions a minute, all replicas. Monday, 23 February 2026, is where the week of busyness begins. */
const level = (at: number): number => perMinute * busyness((at - Date.UTC(2026, 1, 23) / 1000) / hour);

/** Knuth's for small means, the normal distribution for large. */
function poisson(random: Random, mean: number): number {
  if (mean > 30) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  const limit = Math.exp(-mean);
  let product = random();
  let count = 0;
  while (product > limit) {
    count++;
    product *= random();
  }
  return count;
}

/** Writes the day to `path`. Each series is one run of lines, oldest first. */
export function writeDay(path: string, options: DayOptions): void {
  const random = createRandom(20260305);
  const file = openSync(path, 'w');

  function series(name: string, labels: Labels, value: Value, withWeek = false) {
    const text = Object.entries(labels)
      .map(([label, content]) => `${label}="${content}"`)
      .join(',');
    const lines: string[] = [];
    const sample = (at: number, step: number) => {
      const number = value(at, step);
      if (number !== null) lines.push(`${name}{${text}} ${number} ${at}\n`);
    };
    if (withWeek) {
      // On the grid of the steps, so that a window of one step holds two samples.
      const from = Math.ceil(weekStart / options.weekStepSeconds) * options.weekStepSeconds;
      for (let at = from; at < dayStart; at += options.weekStepSeconds) sample(at, options.weekStepSeconds);
    }
    for (let at = dayStart; at <= dayEnd; at += options.dayStepSeconds) sample(at, options.dayStepSeconds);
    writeSync(file, lines.join(''));
  }

  /** Counts up by whole numbers of this mean per minute. `restarts`: from 0 again after the deployment. */
  function counter(
    name: string,
    labels: Labels,
    meanPerMinute: (at: number) => number,
    restarts = true,
    withWeek = false,
  ) {
    let total = 0;
    let hasRestarted = false;
    series(
      name,
      labels,
      (at, step) => {
        if (restarts && !hasRestarted && at >= events.deployment) {
          hasRestarted = true;
          total = 0;
        }
        total += poisson(random, (meanPerMinute(at) * step) / 60);
        return total;
      },
      withWeek,
    );
  }

  /** Cumulative buckets of a histogram whose observations are log-normal around `median` seconds. */
  function histogram(
    name: string,
    buckets: readonly number[],
    labels: Labels,
    meanPerMinute: (at: number) => number,
    median: (at: number) => number,
    spread: (at: number) => number,
  ) {
    const bounds = [...buckets.map(String), '+Inf'];
    const rows = new Map<number, number[]>();
    const totals = bounds.map(() => 0);
    let count = 0;
    let sum = 0;
    const sums = new Map<number, number>();
    for (let at = dayStart; at <= dayEnd; at += options.dayStepSeconds) {
      if (at >= events.deployment && at - options.dayStepSeconds < events.deployment) {
        totals.fill(0);
        sum = 0;
      }
      const observations = poisson(random, (meanPerMinute(at) * options.dayStepSeconds) / 60);
      for (let index = 0; index < observations; index++) {
        const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
        const seconds = median(at) * Math.exp(spread(at) * normal);
        sum += seconds;
        bounds.forEach((bound, place) => {
          if (bound === '+Inf' || seconds <= Number(bound)) totals[place]!++;
        });
      }
      count = totals.at(-1)!;
      rows.set(at, [...totals, count]);
      sums.set(at, sum);
    }
    bounds.forEach((le, place) => {
      series(`${name}_bucket`, { ...labels, le }, at => rows.get(at)![place]!);
    });
    series(`${name}_count`, labels, at => rows.get(at)!.at(-1)!);
    series(`${name}_sum`, labels, at => sums.get(at)!);
  }

  const { exceptions, errorCodeInfo } = metricTable;
  const codes: [code: number, share: number][] = Object.entries(codeShares).map(([code, share]) => [
    Number(code),
    share,
  ]);
  for (const [replica, share] of replicaShares[options.replicas ?? 2].entries()) {
    const target = { job, instance: `chat-exporter-${replica}:9464` };

    for (const [code, codeShare] of codes) {
      for (const { groupType, platform, part } of combinations(code, options.combinations)) {
        const labels = {
          sdk_app_id: '1400000001',
          error_code: String(code),
          error_category: categoryOf(code),
          group_type: groupType,
          platform,
          initiator: platform === 'RESTAPI' ? 'admin' : 'user',
          ...target,
        };
        const mean = (at: number) => level(at) * codeShare * part * share * lift(categoryOf(code), at);
        counter(exceptions.name, labels, mean, false, true);
      }
    }
    let isNew = true;
    let total = 0;
    const newLabels = {
      sdk_app_id: '1400000001',
      error_code: String(newCode),
      error_category: describeCode(newCode)!.category,
      group_type: 'Community',
      platform: 'Android',
      initiator: 'user',
      ...target,
    };
    series(exceptions.name, newLabels, (at, step) => {
      if (!isDuring(at, events.newCode)) return null;
      // Shown at 0 once, as the exporter shows a series that is born.
      if (!isNew) total += poisson(random, (0.25 * step) / 60);
      isNew = false;
      return total;
    });
    for (const code of [...codes.map(([code]) => code), newCode]) {
      const labels = {
        error_code: String(code),
        error_category: categoryOf(code),
        name: describeCode(code)!.name,
      };
      series(errorCodeInfo.name, { ...labels, ...target }, () => 1, true);
    }
    for (const category of errorCategories) {
      const ofCategory = codes
        .filter(([code]) => categoryOf(code) === category)
        .reduce((sum, [, part]) => sum + part, 0);
      const mean = (at: number) => 5 * level(at) * ofCategory * share * lift(category, at);
      const perSender = category === 'muted' ? 2.6 : 1.6;
      const labels = { error_category: category, ...target };
      series(metricTable.senders.name, labels, at => Math.round(mean(at) / perSender), true);
      series(
        metricTable.groups.name,
        labels,
        at => Math.round(mean(at) / (isDuring(at, events.wave) ? 5 : 2.4)),
        true,
      );
    }

    // Callbacks.
    const taken = (at: number) =>
      level(at) * share * (isDuring(at, events.burst) ? 2.6 : isDuring(at, events.wave) ? 2.2 : 1);
    const strangers = (at: number) => (isDuring(at, events.stranger) ? 6 : 0.01) * share;
    for (const outcome of outcomes) {
      const mean: (at: number) => number = {
        counted: taken,
        duplicate: (at: number) => 0.004 * taken(at),
        ignored: (at: number) => 0.05 * taken(at),
        rejected: strangers,
      }[outcome];
      counter(
        metricTable.callbacks.name,
        { command: exceptionCommand, outcome, ...target },
        mean,
        true,
        true,
      );
      const { name, buckets } = metricTable.callbackDuration;
      // Commits queue a little when it is busy; in the burst some answers are slow.
      const median = (at: number) =>
        outcome === 'rejected' ? 0.0008 : isDuring(at, events.burst) ? 0.03 : 0.0035;
      const spread = (at: number) => (outcome === 'rejected' ? 0.3 : isDuring(at, events.burst) ? 1.5 : 0.9);
      histogram(name, buckets, { outcome, ...target }, mean, median, spread);
    }
    for (const reason of rejectionReasons) {
      const part = { signature: 0.85, malformed: 0.1, stale: 0.05 }[reason as string] ?? 0;
      counter(metricTable.callbacksRejected.name, { reason, ...target }, at => part * strangers(at));
    }
    counter(metricTable.connectionsRefused.name, target, at => (isDuring(at, events.burst) ? 2 : 0));
    for (const field of fieldNames) {
      counter(metricTable.invalidFields.name, { field, ...target }, at =>
        field === 'OptPlatform' ? 0.004 * taken(at) : 0,
      );
    }
    const delay = metricTable.callbackDelay;
    histogram(
      delay.name,
      delay.buckets,
      target,
      taken,
      at => (isDuring(at, events.burst) ? 0.9 : 0.2),
      () => 0.6,
    );
    series(metricTable.lastException.name, target, at => at - 2 - 3 * replica);
    for (const type of elementTypeLabels) {
      const part =
        { TIMTextElem: 0.72, TIMImageElem: 0.24, TIMCustomElem: 0.05, TIMFaceElem: 0.02 }[type as string] ??
        0;
      counter(
        metricTable.moderatedElements.name,
        { msg_type: type, ...target },
        at => part * 0.21 * level(at) * share * lift('moderated', at),
      );
    }
    counter(metricTable.labelValuesFolded.name, { label: 'error_code', ...target }, () => 0);
    series(metricTable.callbackAuthentication.name, target, () => 1);

    // Journal.
    const hours = (at: number) => (at - dayStart) / hour;
    const backlog = (at: number) =>
      isDuring(at, events.outage)
        ? Math.round(((at - events.outage.from) / 60) * perMinute * 0.9 * share)
        : isDuring(at, { from: events.outage.to, to: events.outage.to + 300 })
          ? Math.round((1 - (at - events.outage.to) / 300) * 66 * perMinute * 0.9 * share)
          : Math.round(2 * random());
    series(metricTable.journalUp.name, target, () => 1);
    series(metricTable.journalBytes.name, target, at =>
      Math.round((48 + 0.2 * Math.sin(hours(at) / 4)) * 2 ** 20 * share + backlog(at) * 1500),
    );
    series(metricTable.journalBytesMax.name, target, () => 2 ** 30);
    series(metricTable.journalEvents.name, target, at =>
      Math.round(34_000 * share * (1 + 0.04 * Math.sin(hours(at) / 5))),
    );
    const commit = metricTable.journalCommit;
    histogram(
      commit.name,
      commit.buckets,
      target,
      at => 0.8 * taken(at),
      at => (isDuring(at, events.burst) ? 0.012 : 0.0022),
      () => 0.7,
    );
    counter(metricTable.journalFailures.name, target, () => 0);
    series(metricTable.journalUnwritten.name, target, () => 0);

    // Delivery.
    const isOut = (at: number) => isDuring(at, events.outage);
    const caughtUp = (at: number) => isDuring(at, { from: events.outage.to, to: events.outage.to + 300 });
    for (const signal of ['traces', 'logs']) {
      const labels = { signal, ...target };
      counter(metricTable.telemetryDelivered.name, labels, at =>
        isOut(at) ? 0 : taken(at) + (caughtUp(at) ? 260 * share : 0),
      );
      counter(metricTable.telemetryFailures.name, labels, at => (isOut(at) ? 2 : 0));
      for (const reason of dropReasons)
        counter(metricTable.telemetryDropped.name, { ...labels, reason }, () => 0);
      counter(metricTable.telemetryDeadLetters.name, labels, () => 0);
    }
    series(metricTable.telemetryBacklog.name, target, backlog);
    series(metricTable.telemetryOldest.name, target, at => (isOut(at) ? events.outage.from : at - 1));

    // The process, and what Prometheus says of the scrape.
    const startedAt = (at: number) =>
      at < events.deployment ? dayStart - 6 * daySeconds : events.deployment;
    const revisions = [
      { version: '0.1.0', revision: '4f1c2ab', isRunning: (at: number) => at < events.deployment },
      { version: '0.2.0', revision: '9d03e71', isRunning: (at: number) => at >= events.deployment },
    ];
    for (const { isRunning, ...labels } of revisions) {
      series(metricTable.buildInfo.name, { ...labels, node_version: 'v24.21.0', ...target }, at =>
        isRunning(at) ? 1 : null,
      );
    }
    series('process_start_time_seconds', target, startedAt);
    series(
      'nodejs_eventloop_lag_p99_seconds',
      target,
      at => 0.051 + 0.004 * random() + (isDuring(at, events.burst) ? 0.03 * random() : 0),
    );
    series('process_resident_memory_bytes', target, at =>
      Math.round((118 + 6 * random() + 2 * Math.min(9, (at - startedAt(at)) / hour)) * 2 ** 20),
    );
    series('nodejs_heap_size_used_bytes', target, () => Math.round((34 + 14 * random()) * 2 ** 20));
    let cpuSeconds = 0;
    series('process_cpu_seconds_total', target, (at, step) => {
      if (at >= events.deployment && at - step < events.deployment) cpuSeconds = 0;
      cpuSeconds += step * (0.006 + 0.0009 * taken(at) * (0.8 + 0.4 * random()));
      return cpuSeconds;
    });
    series('up', target, () => 1, true);
    series(
      'scrape_samples_scraped',
      target,
      at => 420 + Math.round(6 * hours(at)) + (at > events.newCode.from ? 1 : 0),
    );
  }

  for (const alert of alerts) {
    const { from, to, pendingSeconds, labels } = alert;
    const during: Value = at => (isDuring(at, { from: from + pendingSeconds, to }) ? 1 : null);
    series('ALERTS', { ...labels, alertstate: 'firing' }, during);
    series('ALERTS_FOR_STATE', labels, at => (isDuring(at, { from, to }) ? from : null));
  }
  writeSync(file, '# EOF\n');
  closeSync(file);
}

/** As Prometheus writes the series of alerts, for the incidents above. */
const alerts = [
  {
    name: 'Watchdog',
    severity: 'none',
    from: dayStart,
    to: dayEnd + 1,
    pendingSeconds: 0,
    labels: {} as Labels,
  },
  {
    name: 'TelemetryNotDelivered',
    severity: 'warning',
    from: events.outage.from + 300,
    to: events.outage.to + 120,
    pendingSeconds: 300,
    labels: {} as Labels,
  },
  {
    name: 'SignatureFailures',
    severity: 'warning',
    from: events.stranger.from + 120,
    to: events.stranger.to + 900,
    pendingSeconds: 300,
    labels: { reason: 'signature' } as Labels,
  },
  {
    name: 'RateLimitSurge',
    severity: 'warning',
    from: events.burst.from + 120,
    to: events.burst.to + 1200,
    pendingSeconds: 120,
    labels: { error_category: 'rate_limited' } as Labels,
  },
  {
    name: 'NewErrorCode',
    severity: 'info',
    from: events.newCode.from + 600,
    to: dayEnd + 1,
    pendingSeconds: 0,
    labels: { error_code: String(newCode), error_category: describeCode(newCode)!.category } as Labels,
  },
  {
    name: 'ModerationSurge',
    severity: 'warning',
    from: events.wave.from + 360,
    to: dayEnd + 1,
    pendingSeconds: 120,
    labels: { error_category: 'moderated' } as Labels,
  },
].map(({ name, severity, labels, ...times }) => ({
  ...times,
  labels: { alertname: `TencentChat${name}`, severity, job, ...labels },
}));

/** The largest combinations of group type and platform, each with its part of the code's exceptions; they sum to 1. */
function combinations(code: number, count: number): { groupType: string; platform: string; part: number }[] {
  // A malformed ID or parameter is the app server's mistake more often than a client's.
  const isServers = [10004, 10015].includes(code);
  const all = Object.entries(groupTypeShares).flatMap(([groupType, typeShare]) =>
    Object.entries(platformShares).map(([platform, share]) => ({
      groupType,
      platform,
      part: typeShare * share * (isServers && platform === 'RESTAPI' ? 12 : 1),
    })),
  );
  const largest = all.sort((left, right) => right.part - left.part).slice(0, count);
  const sum = largest.reduce((total, { part }) => total + part, 0);
  return largest.map(one => ({ ...one, part: one.part / sum }));
}
