/**
 * A month as Prometheus would have scraped it once a minute: promtool's `input_series`, in its notation of values.
 *
 * The counter of exceptions goes on from its totals across restarts and moves, the others start at 0. A series is shown
 * at 0 once when it is born. A scrape that fails ends every series until the next one.
 */
import type { Month } from './app.ts';

export interface InputSeries {
  series: string;
  values: string;
}

const job = 'tencent-chat-exporter';
/** Codes of the catalogue that are there at 0 although they never come. */
const otherCodes: [number, string][] = [
  [10053, 'invalid_parameter'],
  [60008, 'internal_error'],
  [10100, 'rejected_by_app'],
];

interface Instance {
  name: string;
  /** Share of the callbacks, by minute. */
  takes: (minute: number) => number;
  isUp: (minute: number) => boolean;
  /** The first scrape after a start. */
  isStart: (minute: number) => boolean;
  /** The journal's totals, at its first minute, come from this one. */
  continues: Instance | null;
  from: number;
  to: number;
}

export function inputSeries(month: Month): InputSeries[] {
  const { minutes, gaps, secondReplica } = month;
  const isGap = flags(minutes, gaps);
  const restarts = month.restarts.filter(({ at }) => at > 10);
  const isDown = flags(
    minutes,
    restarts.map(({ at, downMinutes }) => ({ from: at, to: at + downMinutes })),
  );
  const starts = new Set(restarts.map(({ at, downMinutes }) => at + downMinutes));
  const isSecond = flags(minutes, [secondReplica]);

  const moves = restarts.filter(({ how }) => how === 'moved');
  const instances: Instance[] = [];
  let from = 0;
  for (const [index, end] of [...moves.map(({ at }) => at), minutes].entries()) {
    const number = index;
    instances.push({
      name: `exporter-${number}:9464`,
      takes: minute => (isSecond[minute] === 1 ? 2 / 3 : 1),
      isUp: minute => isDown[minute] === 0,
      isStart: minute => starts.has(minute),
      continues: instances[number - 1] ?? null,
      from,
      to: end,
    });
    from = end;
  }
  instances.push({
    name: 'replica:9464',
    takes: () => 1 / 3,
    isUp: () => true,
    isStart: minute => minute === secondReplica.from,
    continues: null,
    from: secondReplica.from,
    to: secondReplica.to,
  });

  const output: InputSeries[] = [];
  /** One series of one instance; `at` gives the sample at a minute, or null for none. */
  function write(
    name: string,
    labels: Record<string, string>,
    instance: Instance,
    at: (minute: number) => number | null,
  ) {
    const text = Object.entries({ ...labels, instance: instance.name, job })
      .map(([label, value]) => `${label}="${value}"`)
      .join(',');
    const values = new Values(instance.from);
    let isThere = false;
    for (let minute = instance.from; minute < instance.to; minute += 1) {
      const value = at(minute);
      if (value !== null) {
        values.add(`${value}`);
        isThere = true;
      } else {
        values.add(isThere ? 'stale' : '_');
        isThere = false;
      }
    }
    if (isThere && instance.to < minutes) values.add('stale');
    if (!values.isEmpty) output.push({ series: `${name}{${text}}`, values: values.toString() });
  }

  const answered = instances.map(() => new Float64Array(minutes));
  const totals = new Map<string, number[]>();
  for (const kind of month.kinds) {
    const labels = {
      error_category: kind.category,
      error_code: `${kind.code}`,
      group_type: 'Public',
      initiator: kind.platform === 'RESTAPI' ? 'admin' : 'user',
      platform: kind.platform,
      sdk_app_id: '1400000000',
    };
    const ends: number[] = [];
    for (const [index, instance] of instances.entries()) {
      const before = instances.indexOf(instance.continues!);
      let total = before === -1 ? 0 : ends[before]!;
      let isBorn = total > 0;
      let carry = 0;
      write('tencent_chat_group_message_exceptions_total', labels, instance, minute => {
        const isUp = instance.isUp(minute);
        if (isUp && kind.counts[minute]! > 0) {
          const share = instance.takes(minute);
          let count = kind.counts[minute]!;
          if (share < 1) {
            // The first replica rounds up what the second rounds down.
            carry += count * share;
            count = Math.floor(carry + 1e-9);
            carry -= count;
          }
          total += count;
          answered[index]![minute]! += count;
        }
        if (!isUp || isGap[minute] === 1 || total === 0) return null;
        if (!isBorn) {
          isBorn = true;
          return 0;
        }
        return total;
      });
      ends.push(total);
    }
    totals.set(`${kind.code} ${kind.platform}`, ends);
  }

  const codes = new Map<string, string>(otherCodes.map(([code, category]) => [`${code}`, category]));
  for (const kind of month.kinds) codes.set(`${kind.code}`, kind.category);
  for (const [index, instance] of instances.entries()) {
    const isScraped = (minute: number) => instance.isUp(minute) && isGap[minute] === 0;
    write('up', {}, instance, minute => (isScraped(minute) ? 1 : 0));
    for (const [code, category] of codes) {
      // A code outside the catalogue is there from its first exception on.
      const first = Math.min(
        ...month.kinds
          .filter(kind => `${kind.code}` === code)
          .map(kind => kind.counts.findIndex(count => count > 0)),
      );
      const isCatalogued = category !== 'unknown';
      write(
        'tencent_chat_error_code_info',
        { error_category: category, error_code: code, name: `code_${code}` },
        instance,
        minute => (isScraped(minute) && (isCatalogued || minute >= first) ? 1 : null),
      );
    }
    for (const [category, distinct] of month.senders) {
      const isSplit = (minute: number) => isSecond[minute] === 1;
      const share = instance.continues === null && instance.name.startsWith('replica') ? 0.4 : 0.75;
      write('tencent_chat_exception_senders', { error_category: category }, instance, minute =>
        isScraped(minute) ? Math.round(distinct[minute]! * (isSplit(minute) ? share : 1)) : null,
      );
    }
    let count = 0;
    const own = answered[index]!;
    write(
      'tencent_chat_callbacks_total',
      { command: 'Group.CallbackSendMsgException', outcome: 'counted' },
      instance,
      minute => {
        if (instance.isStart(minute)) count = 0;
        count += own[minute]!;
        return isScraped(minute) ? count : null;
      },
    );
    write(
      'tencent_chat_callbacks_total',
      { command: 'Group.CallbackSendMsgException', outcome: 'rejected' },
      instance,
      minute => (isScraped(minute) ? 0 : null),
    );
  }
  return output;
}

function flags(minutes: number, spans: { from: number; to: number }[]): Uint8Array {
  const set = new Uint8Array(minutes);
  for (const { from, to } of spans) set.fill(1, Math.max(0, from), Math.min(minutes, Math.max(from, to)));
  return set;
}

/** The notation of values, runs of one value shortened. */
class Values {
  #words: string[] = [];
  #last: string | null = null;
  #run = 0;
  isEmpty = true;

  constructor(missing: number) {
    if (missing > 0) this.#words.push(`_x${missing}`);
  }

  add(word: string) {
    if (word !== '_') this.isEmpty = false;
    if (word === this.#last) {
      this.#run += 1;
      return;
    }
    this.#flush();
    this.#last = word;
    this.#run = 1;
  }

  #flush() {
    if (this.#last === null) return;
    if (this.#last === '_') this.#words.push(`_x${this.#run}`);
    else if (this.#last === 'stale')
      for (let each = 0; each < this.#run; each += 1) this.#words.push('stale');
    else
      this.#words.push(
        this.#run > 2 ? `${this.#last}+0x${this.#run - 1}` : Array(this.#run).fill(this.#last).join(' '),
      );
  }

  toString(): string {
    this.#flush();
    this.#last = null;
    return this.#words.join(' ');
  }
}
