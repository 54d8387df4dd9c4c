/**
 * A strict reader of OpenMetrics 1.0, written from its specification and sharing nothing with the encoder. promtool 2.42
 * reads the text format only, and Prometheus forgives much that the specification forbids.
 */
import * as assert from 'uvu/assert';

export interface ReadSample {
  name: string;
  labels: Record<string, string>;
  value: number;
  exemplar: { labels: Record<string, string>; value: number; timestamp: number } | null;
}

export interface ReadFamily {
  name: string;
  type: string;
  help: string;
  samples: ReadSample[];
}

const number = /^(NaN|[+-]Inf|[+-]?\d+(\.\d+)?(e[+-]?\d+)?)$/i;

/** Suffixes that a family's own name must not end in, whatever its type. */
const reserved = /_(total|created|bucket|count|sum|gcount|gsum)$/;

const suffixes: Record<string, string[]> = {
  counter: ['_total'],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
};

export function readOpenMetrics(scrape: string): ReadFamily[] {
  assert.ok(scrape.endsWith('\n# EOF\n'), 'ends in # EOF and a line feed');
  assert.not.match(scrape, /\r/);
  const families: ReadFamily[] = [];
  for (const line of scrape.slice(0, -'\n# EOF\n'.length).split('\n')) {
    if (line.startsWith('# ')) readDescription(line, families);
    else readSample(line, families.at(-1)!);
  }
  for (const family of families) checkFamily(family);
  const names = families.map(({ name }) => name);
  assert.is(new Set(names).size, names.length, 'no family comes twice');
  return families;
}

function readDescription(line: string, families: ReadFamily[]): void {
  const [, keyword, name, rest] = /^# (TYPE|HELP) ([a-zA-Z_:][\w:]*) (.+)$/s.exec(line) ?? refuse(line);
  let family = families.at(-1);
  if (family?.name !== name) {
    family = { name: name!, type: '', help: '', samples: [] };
    families.push(family);
  }
  assert.is(family!.samples.length, 0, `description before samples: ${line}`);
  if (keyword === 'TYPE') {
    assert.is(family!.type, '', `one TYPE: ${line}`);
    family!.type = rest!;
  } else {
    assert.is(family!.help, '', `one HELP: ${line}`);
    const [help, end] = readEscaped(`${rest}"`, 0);
    assert.is(end, rest!.length, `quotes are escaped: ${line}`);
    family!.help = help;
  }
}

function readSample(line: string, family: ReadFamily): void {
  const name = /^[a-zA-Z_:][\w:]*/.exec(line)?.[0] ?? refuse(line);
  const allowed = suffixes[family.type]?.map(suffix => family.name + suffix);
  assert.ok(allowed?.includes(name), `${name} belongs to ${family.name}, a ${family.type}`);
  const [labels, afterLabels] = readLabels(line, name.length);
  assert.is(line[afterLabels], ' ', line);
  const [value, exemplarText, ...more] = line.slice(afterLabels + 1).split(' # ');
  assert.is(more.length, 0, line);
  assert.match(value!, number);

  let exemplar: ReadSample['exemplar'] = null;
  if (exemplarText !== undefined) {
    assert.match(name, /_(total|bucket)$/, `exemplars on counters and buckets only: ${line}`);
    const [exemplarLabels, end] = readLabels(exemplarText, 0);
    const [, exemplarValue, timestamp] = /^ (\S+) (\S+)$/.exec(exemplarText.slice(end)) ?? refuse(line);
    assert.match(exemplarValue!, number);
    assert.match(timestamp!, number);
    assert.ok([...Object.entries(exemplarLabels).flat().join('')].length <= 128, `at most 128: ${line}`);
    exemplar = { labels: exemplarLabels, value: read(exemplarValue!), timestamp: Number(timestamp) };
  }
  family.samples.push({ name, labels, value: read(value!), exemplar });
}

/** From `{`, or from what is not one, to behind the `}`. */
function readLabels(line: string, start: number): [labels: Record<string, string>, end: number] {
  const labels: Record<string, string> = {};
  if (line[start] !== '{') return [labels, start];
  let at = start + 1;
  while (line[at] !== '}') {
    const [opening, name] = /^([a-zA-Z_]\w*)="/.exec(line.slice(at)) ?? refuse(line);
    assert.not.ok(Object.hasOwn(labels, name!), `each label once: ${line}`);
    const [value, end] = readEscaped(line, at + opening.length);
    labels[name!] = value;
    at = end + 1;
    if (line[at] === ',') at += 1;
    else assert.is(line[at], '}', line);
  }
  return [labels, at + 1];
}

/** Up to the next bare quote. */
function readEscaped(line: string, start: number): [value: string, end: number] {
  let value = '';
  for (let at = start; at < line.length; at++) {
    const character = line[at]!;
    if (character === '"') return [value, at];
    if (character !== '\\') {
      value += character;
    } else {
      at += 1;
      value += { '\\': '\\', '"': '"', n: '\n' }[line[at]!] ?? refuse(line);
    }
  }
  return refuse(line);
}

function checkFamily({ name, type, help, samples }: ReadFamily): void {
  assert.ok(type in suffixes, `${name} has a type`);
  assert.ok(help !== '', `${name} has help`);
  assert.not.match(name, reserved);
  const series = samples.map(sample => JSON.stringify([sample.name, Object.entries(sample.labels).sort()]));
  assert.is(new Set(series).size, series.length, `${name}: no series comes twice`);
  if (type === 'counter') {
    for (const { value } of samples) assert.ok(value >= 0, `${name} is neither negative nor NaN`);
  }
  if (type === 'histogram') checkHistogram(name, samples);
}

/** Samples of one label set stand together: buckets in ascending order, +Inf last, then the sum and the count. */
function checkHistogram(name: string, samples: ReadSample[]): void {
  let lastBound = Number.NEGATIVE_INFINITY;
  let lastCount = 0;
  let labelSet = '';
  for (const sample of samples) {
    const { le, ...labels } = sample.labels;
    if (sample.name === `${name}_bucket`) {
      assert.match(le!, /^(\+Inf|\d+\.\d+|\d+(\.\d+)?e[+-]\d\d)$/, `${name}: a canonical bound`);
      const bound = read(le!);
      if (lastBound === Number.NEGATIVE_INFINITY) labelSet = JSON.stringify(labels);
      assert.ok(bound > lastBound && sample.value >= lastCount, `${name}: buckets ascend`);
      if (sample.exemplar !== null) {
        assert.ok(
          sample.exemplar.value > lastBound && sample.exemplar.value <= bound,
          `${name}: in its bucket`,
        );
      }
      [lastBound, lastCount] = [bound, sample.value];
    } else {
      assert.is(lastBound, Number.POSITIVE_INFINITY, `${name}: has +Inf`);
      if (sample.name === `${name}_count`) {
        assert.is(sample.value, lastCount, `${name}: the count is that of +Inf`);
        [lastBound, lastCount] = [Number.NEGATIVE_INFINITY, 0];
      }
    }
    assert.is(JSON.stringify(labels), labelSet, `${name}: label sets do not mix`);
  }
  assert.is(lastBound, Number.NEGATIVE_INFINITY, `${name}: is complete`);
}

function read(text: string): number {
  return Number(text.replace('Inf', 'Infinity'));
}

function refuse(line: string): never {
  throw new Error(`not OpenMetrics: ${line}`);
}
