/**
 * The runbooks, `runbooks/*.md`: a page per alert and an index, written by hand but for blocks made from the rules,
 * and the page of error codes, made wholly from the catalogue.
 *
 * A page that does not exist yet is begun with its headings; test/grafana/runbooks.test.ts refuses it until each has
 * something under it.
 */
import type { ReadFile } from '../files.ts';
import { alertGroups } from '../rules/files.ts';
import type { Alert } from '../rules/model.ts';
import { alertBlock, conditionBlock, indexBlock } from './blocks.ts';
import { errorCodesPage } from './error-codes.ts';

/** The headings of an alert's page, in order: last what is read least at night. */
export const sections = ['Meaning', 'Impact', 'Diagnosis', 'Mitigation', 'Condition'] as const;

/** An alert's name → its rules; some alerts have one for each severity. */
export function alertsByName(): Map<Alert['name'], Alert[]> {
  return Map.groupBy(
    alertGroups.flatMap(group => group.rules),
    alert => alert.name,
  );
}

/** Path below `grafana/` → text. Throws where a page has no place for its block. */
export function runbookFiles(read: ReadFile): Record<string, string> {
  const alerts = alertsByName();
  const pages: Record<string, string> = {};
  for (const [name, rules] of alerts) {
    const path = `runbooks/${name}.md`;
    const page = withBlock(path, read(path) ?? newPage(name), 'alert', alertBlock(rules));
    pages[path] = withBlock(path, page, 'condition', conditionBlock(rules));
  }
  const index = 'runbooks/README.md';
  pages[index] = withBlock(
    index,
    read(index) ?? `# Runbooks\n\n${emptyBlock('alerts')}`,
    'alerts',
    indexBlock(alerts),
  );
  pages['runbooks/error-codes.md'] = errorCodesPage(alerts);
  return pages;
}

function newPage(name: string): string {
  const headings = sections.map(section => `## ${section}\n`).join('\n');
  return `# ${name}\n\n${emptyBlock('alert')}\n${headings}\n${emptyBlock('condition')}`;
}

function emptyBlock(name: string): string {
  return `<!-- begin:${name} -->\n<!-- end:${name} -->\n`;
}

/** The page with `block` between its two markers, whatever stood there. */
function withBlock(path: string, page: string, name: string, block: string): string {
  const place = new RegExp(`(<!-- begin:${name} -->\n)[\\s\\S]*?(<!-- end:${name} -->)`);
  if (!place.test(page))
    throw new Error(
      `grafana/${path} has no place for its block: add <!-- begin:${name} --> and <!-- end:${name} -->`,
    );
  return page.replace(place, (_, begin: string, end: string) => `${begin}\n${block}\n${end}`);
}
