/** `codes`: what error codes mean, and what to do about them. */
import { Command, Option } from 'commander';
import { type CatalogueEntry, catalogue } from '../callback/catalogue.ts';
import { type ErrorCategory, errorCategories } from '../callback/exception.ts';
import { CommandFailed, type JsonKeys, type World } from './command.ts';
import { json, table } from './text.ts';

export const codesJson: JsonKeys = {
  '[].code': 'the number; of a range, the first',
  '[].code_to': 'the last number of a range; else the same',
  '[].name': "the catalogue's name",
  '[].category': 'the label `error_category`',
  '[].likelihood': 'of seeing it in this callback: `high`, `medium` or `low`',
  '[].meaning': 'what it says',
  '[].remedy': 'what to do',
};

/** What is outside the catalogue is `unknown`: no entry has it. */
const categories = errorCategories.filter(category => category !== 'unknown');

interface CodesOptions {
  category?: ErrorCategory;
  json?: true;
}

export function codesCommand(world: World): Command {
  return new Command('codes')
    .summary('look up error codes: what they mean, what to do')
    .description(
      'Shows the error codes that a group message can fail with, what they mean and what to do. A number finds that code, words find the codes with all of them in name, category, meaning or remedy.',
    )
    .argument('[search...]', 'numbers or words')
    .addOption(new Option('--category <category>', 'of this category only').choices(categories))
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ tencent-chat-exporter codes 10023
  $ tencent-chat-exporter codes 10017 80001 -20009
  $ tencent-chat-exporter codes too large
  $ tencent-chat-exporter codes --category moderated --json
`,
    )
    .action((search: string[], options: CodesOptions) => showCodes(search, options, world));
}

function showCodes(search: readonly string[], options: CodesOptions, world: World): void {
  const words = search.flatMap(argument => argument.toLowerCase().split(/\s+/)).filter(word => word !== '');
  const entries = findCodes(words, options.category);
  if (entries.length === 0) throw new CommandFailed(hint(words, options.category));
  world.writeOut(options.json ? json(entries.map(toJson)) : codesTable(entries, world.columns));
}

function findCodes(words: readonly string[], category: ErrorCategory | undefined): CatalogueEntry[] {
  const numbers = words.filter(isNumber).map(Number);
  const others = words.filter(word => !isNumber(word));
  return catalogue.filter(entry => {
    const { from, to } = rangeOf(entry);
    const text = [entry.name, entry.category, entry.meaning, entry.remedy].join('\n').toLowerCase();
    return (
      (category === undefined || entry.category === category) &&
      (numbers.length === 0 || numbers.some(number => number >= from && number <= to)) &&
      others.every(word => text.includes(word))
    );
  });
}

function isNumber(word: string): boolean {
  return /^-?\d+$/.test(word);
}

function rangeOf({ code }: CatalogueEntry): { from: number; to: number } {
  return typeof code === 'number' ? { from: code, to: code } : code;
}

/** Why there may be none, and what else to try. */
function hint(words: readonly string[], category: ErrorCategory | undefined): string {
  const numbers = words.filter(isNumber).map(Number);
  // Made on devices: catalogue.ts.
  const isOfDevice = (code: number): boolean =>
    (code >= 6000 && code <= 9999) || (code >= 2000 && code <= 2999);
  if (numbers.some(isOfDevice)) {
    return 'no such code: 2000 to 2999 and 6000 to 9999 are made on devices, and never come in a callback';
  }
  if (numbers.length > 0 && numbers.length === words.length && category === undefined) {
    return 'no such code in the catalogue: Tencent adds codes without notice; it is counted under its number, category "unknown", and ErrorInfo says more';
  }
  const within = category === undefined ? '' : `, or leave out --category ${category}`;
  return `no code has all of that: try fewer words${within}; without any, all codes are shown`;
}

/** As `10023  rate_limited  name`, meaning and remedy below the name. */
export function codesTable(entries: readonly CatalogueEntry[], width: number): string {
  const rows = entries.map((entry, index) => {
    const { from, to } = rangeOf(entry);
    const code = from === to ? `${from}` : `${from}-${to}`;
    // An empty line after each but the last.
    const end = index === entries.length - 1 ? '' : '\n';
    return [code, entry.category, `${entry.name}\n${entry.meaning}.\nDo: ${entry.remedy}.${end}`];
  });
  return table([['CODE', 'CATEGORY', 'NAME, MEANING, REMEDY'], ...rows], width);
}

function toJson(entry: CatalogueEntry): Record<string, unknown> {
  const { from, to } = rangeOf(entry);
  const { name, category, likelihood, meaning, remedy } = entry;
  return { code: from, code_to: to, name, category, likelihood, meaning, remedy };
}
