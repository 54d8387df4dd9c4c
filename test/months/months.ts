/**
 * Judges the shipped rules about exceptions on simulated months, in Prometheus' own engine.
 *
 *     npm run months -- --days 30 --seeds 4 --first 1 --sizes small,large --rules other.yml
 *
 * A month of one app takes promtool some twenty minutes of CPU; seven days, from which the rules have learned what they
 * can, three. The same seeds give the same months.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { exceptionAlertGroup, exceptionRecordingGroups } from '../../src/grafana/rules/exceptions.ts';
import { type Incident, type Size, simulate, sizes } from './app.ts';
import { evaluate, judge, ruleFile, summarize, type Verdict } from './judge.ts';

const { values } = parseArgs({
  options: {
    days: { type: 'string', default: '7' },
    seeds: { type: 'string', default: '1' },
    first: { type: 'string', default: '1' },
    sizes: { type: 'string', default: Object.keys(sizes).join(',') },
    rules: { type: 'string' },
  },
});
const days = Number(values.days);
const rules =
  values.rules === undefined
    ? ruleFile([...exceptionRecordingGroups, exceptionAlertGroup])
    : readFileSync(values.rules, 'utf8');
const seeds = Array.from({ length: Number(values.seeds) }, (_, index) => Number(values.first) + index);
const chosen = values.sizes.split(',') as Size[];

const work = chosen.flatMap(size => seeds.map(seed => ({ size, seed })));
const verdicts = new Map<Size, Verdict[]>(chosen.map(size => [size, []]));
async function worker() {
  for (let next = work.shift(); next !== undefined; next = work.shift()) {
    const month = simulate(next.size, next.seed, days);
    const verdict = judge(month, await evaluate(month, rules));
    verdicts.get(next.size)!.push(verdict);
    for (const { alert, labels, from, to } of verdict.isFalse) {
      console.log(
        `false: ${next.size} ${next.seed}, minute ${from} to ${to}: ${alert} ${JSON.stringify(labels)}`,
      );
    }
    for (const { incident, minutes } of verdict.found) {
      if (minutes === null) console.log(`missed: ${next.size} ${next.seed}: ${JSON.stringify(incident)}`);
    }
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, worker));

const months = (days * seeds.length) / 30;
/** Sudden ones of which something is learned; small ones and slow ones are in the tables by kind. */
const isSudden = ({ kind, from, rampMinutes }: Incident) =>
  from >= 1440 &&
  rampMinutes === 0 &&
  !['quota', 'slow ramp', 'platform', 'new code', 'stopped'].includes(kind);
const share = (some: Verdict[], keep: (incident: Incident) => boolean) => {
  const { found, incidents } = summarize(some, keep).at(-1)!;
  return `${found} of ${incidents}`;
};
console.table(
  chosen.map(size => {
    const some = verdicts.get(size)!;
    const isFalse = some.flatMap(verdict => verdict.isFalse);
    const perMonth = (severity: string) =>
      Number((isFalse.filter(episode => episode.severity === severity).length / months).toFixed(2));
    const sudden = summarize(some, isSudden).at(-1)!;
    const incidents = some.reduce((sum, { found }) => sum + found.length, 0);
    return {
      size,
      clear: share(some, ({ isClear, from }) => isClear && from >= 1440),
      small: share(some, ({ isClear, from }) => !isClear && from >= 1440),
      'first day': share(some, ({ from }) => from < 1440),
      'sudden: median min': sudden.medianMinutes,
      'p95 min': sudden.p95Minutes,
      'false critical a month': perMonth('critical'),
      'false warnings': perMonth('warning'),
      'false info': perMonth('info'),
      'notifications per incident': Number(
        (some.reduce((sum, { notifications }) => sum + notifications, 0) / incidents).toFixed(1),
      ),
    };
  }),
);
console.log('clear incidents after the first day, by kind, all sizes');
console.table(summarize([...verdicts.values()].flat(), ({ isClear, from }) => isClear && from >= 1440));
