/** How the commands write: for people in lines that fit the terminal, for machines in JSON. */
import { escapeControls } from '../log.ts';

/** Lines of at most `width` characters, broken between words; a longer word stands alone. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

/** Narrower than this, a last column would be a word a line. */
const lastColumnMin = 20;

/**
 * Rows of columns that stand under one another, two spaces apart and `indent` from the left. The last column takes the
 * rest of `width`, and is wrapped; each of its lines that is given stays one of its own.
 */
export function table(rows: readonly (readonly string[])[], width: number, indent = 0): string {
  const columns = Math.max(...rows.map(row => row.length));
  const widths = Array.from({ length: columns - 1 }, (_, column) =>
    Math.max(...rows.map(row => row[column]?.length ?? 0)),
  );
  const left = indent + widths.reduce((sum, each) => sum + each + 2, 0);
  const lastWidth = Math.max(lastColumnMin, width - left);
  return rows
    .map(row => {
      const start = widths.map((each, column) => `${(row[column] ?? '').padEnd(each)}  `).join('');
      const lines = (row[columns - 1] ?? '').split('\n').flatMap(line => wrap(line, lastWidth));
      const first = `${' '.repeat(indent)}${start}${lines[0]}`.trimEnd();
      return [first, ...lines.slice(1).map(line => `${' '.repeat(left)}${line}`.trimEnd())].join('\n');
    })
    .map(text => `${text}\n`)
    .join('');
}

/** `1,234 callbacks`, `1 callback`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en-US')} ${number === 1 ? one : many}`;
}

/** `512 B`, `1.4 MB`, `1.1 GB`: powers of 1,000. */
export function bytes(number: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, number)) / 3));
  const value = number / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** `500ms`, `45s`, `3m05s`, `2h00m`: the two largest units, rounded. */
export function elapsed(milliseconds: number): string {
  if (milliseconds < 995) return `${Math.round(milliseconds)}ms`;
  const seconds = Math.round(milliseconds / 1000);
  const pad = (number: number): string => String(number).padStart(2, '0');
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${pad(Math.floor(seconds / 60) % 60)}m`;
}

/** Beside what JSON itself escapes, what steers a terminal or turns the direction of what is read. */
const controls = /[\u007f-\u009f\p{Zl}\p{Zp}\p{Bidi_Control}]/gu;

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2).replace(controls, escapeControls)}\n`;
}
