/**
 * The two formats in which a scrape is answered: Prometheus text 0.0.4, and OpenMetrics 1.0 for who asks for it.
 *
 * An encoder of our own, because prom-client's leaves label values that are not strings unescaped, writes NaN as
 * `Nan`, and once it has rendered OpenMetrics drops `_total` from every later text scrape.
 *
 * The formats differ in six things only:
 *                     text 0.0.4                 OpenMetrics 1.0
 *   counter's family  its name                   its name without `_total`
 *   order             HELP, TYPE                 TYPE, HELP
 *   help escapes      \\ \n                      \\ \n \"
 *   bounds            le="1"                     le="1.0", as Prometheus 3 stores them from either
 *   exemplars         none                       on `_total` and `_bucket` samples
 *   last line         none                       # EOF
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

export type Format = 'text' | 'openmetrics';

export const contentTypes: Record<Format, string> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export interface Exemplar {
  labels: Record<string, string>;
  value: number;
  /** Seconds since the Unix epoch. */
  timestamp: number;
}

export interface Sample {
  /** The family's name, for a histogram with `_bucket`, `_sum` or `_count`. */
  name: string;
  /** A number is a histogram's bound. */
  labels: Record<string, string | number>;
  value: number;
  exemplar: Exemplar | null;
}

/** A metric with its series. A counter's name ends in `_total`, that of no other type does. */
export interface Family {
  name: string;
  help: string;
  type: 'counter' | 'gauge' | 'histogram';
  samples: Sample[];
}

/** Lines between two turns of the event loop: about half a millisecond of encoding. */
const linesPerTurn = 500;

/** Encodes the families as they are; they must not change meanwhile, since callbacks are answered in between. */
export async function encode(families: readonly Family[], format: Format): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let chunk = '';
  let lines = 0;
  for (const family of families) {
    chunk += describe(family, format);
    for (const sample of family.samples) {
      chunk += `${sample.name}${encodeLabels(sample.labels, format)} ${encodeNumber(sample.value)}`;
      if (format === 'openmetrics' && sample.exemplar !== null) chunk += encodeExemplar(sample.exemplar);
      chunk += '\n';
      lines += 1;
      if (lines % linesPerTurn === 0) {
        chunks.push(Buffer.from(chunk));
        chunk = '';
        await nextTurn();
      }
    }
  }
  if (format === 'openmetrics') chunk += '# EOF\n';
  chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function describe({ name, help, type }: Family, format: Format): string {
  const escaped = help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
  if (format === 'text') return `# HELP ${name} ${escaped}\n# TYPE ${name} ${type}\n`;
  const family = type === 'counter' ? name.slice(0, -'_total'.length) : name;
  return `# TYPE ${family} ${type}\n# HELP ${family} ${escaped.replaceAll('"', '\\"')}\n`;
}

function encodeLabels(labels: Record<string, string | number>, format: Format): string {
  let encoded = '';
  for (const name in labels) {
    encoded += `${encoded === '' ? '{' : ','}${name}="${encodeLabelValue(labels[name]!, format)}"`;
  }
  return encoded === '' ? '' : `${encoded}}`;
}

const mustEscape = /["\\\n]/;

function encodeLabelValue(value: string | number, format: Format): string {
  if (typeof value === 'number') return encodeBound(value, format);
  // Whatever came past the types is written as one value and escaped: an array once forged a series here.
  const text = String(value);
  if (!mustEscape.test(text)) return text;
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

/** In OpenMetrics 1 is `1.0`; 0.25 is `0.25` in both. */
function encodeBound(value: number, format: Format): string {
  return format === 'openmetrics' && Number.isInteger(value) ? `${value}.0` : encodeNumber(value);
}

function encodeNumber(value: number): string {
  if (Number.isFinite(value)) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return value > 0 ? '+Inf' : '-Inf';
}

/** OpenMetrics: names and values together; one more character, and Prometheus refuses the whole scrape. */
const exemplarCharactersMax = 128;

function encodeExemplar({ labels, value, timestamp }: Exemplar): string {
  let characters = 0;
  for (const name in labels) characters += name.length + labels[name]!.length;
  if (characters > exemplarCharactersMax) return '';
  return ` # ${encodeLabels(labels, 'openmetrics') || '{}'} ${encodeNumber(value)} ${encodeNumber(timestamp)}`;
}

/**
 * The format for an `Accept` header. OpenMetrics is for who names it, in version 1.0.0 or in none, and does not want
 * text more. Everyone else gets text, also who accepts neither: a scrape is never refused.
 *
 * Prometheus 2 sends `application/openmetrics-text;version=1.0.0,…,text/plain;version=0.0.4;q=0.5,…`,
 * Prometheus 3 the same with `escaping=` parameters and other weights.
 */
export function negotiate(accept: string | undefined): Format {
  let openMetrics = 0;
  let text = 0;
  let textSpecificity = 0;
  for (const range of (accept ?? '').toLowerCase().split(',')) {
    const [type, ...parameters] = range.split(';').map(part => part.trim());
    const parameter = (name: string) => parameters.find(text => text.startsWith(name))?.slice(name.length);
    const weight = parseWeight(parameter('q='));
    const version = parameter('version=')?.replaceAll('"', '');
    const specificity = ['*/*', 'text/*', 'text/plain'].indexOf(type!) + 1;
    if (type === 'application/openmetrics-text' && (version === undefined || version === '1.0.0')) {
      openMetrics = Math.max(openMetrics, weight);
    } else if (specificity > textSpecificity) {
      textSpecificity = specificity;
      text = weight;
    } else if (specificity > 0 && specificity === textSpecificity) {
      text = Math.max(text, weight);
    }
  }
  return openMetrics > 0 && openMetrics >= text ? 'openmetrics' : 'text';
}

/** RFC 9110: 0 to 1, 1 where it is missing. Anything else is taken as a wish not expressed: 0. */
function parseWeight(q: string | undefined): number {
  if (q === undefined) return 1;
  const weight = Number(q);
  return weight > 0 && weight <= 1 ? weight : 0;
}
