/** A page in a real browser, Debian's Chromium, that may ask nobody but the exporter and complain of nothing. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import axe, { type AxeResults } from 'axe-core';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

/** It runs as root in a container, without a graphics card, and must keep to itself. */
const args = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

export function startBrowser(): Promise<Browser> {
  const executablePath = process.env
    .PATH!.split(delimiter)
    .map(directory => join(directory, 'chromium'))
    .find(existsSync);
  return chromium.launch({ executablePath, headless: true, args });
}

export interface Visit {
  page: Page;
  /** What the page asked of others, which was refused, and what it complained of. Has to stay empty. */
  problems: string[];
  close(): Promise<void>;
}

/** Opens a page in a context of its own. `change`: what becomes of its text on the way, as if it had been served so. */
export async function visit(
  browser: Browser,
  url: string,
  { change, ...options }: BrowserContextOptions & { change?: (html: string) => string } = {},
): Promise<Visit> {
  const context = await browser.newContext(options);
  const problems: string[] = [];
  await context.route('**/*', async route => {
    const asked = route.request().url();
    if (new URL(asked).origin !== new URL(url).origin) {
      problems.push(`asks ${asked}`);
      return route.abort();
    }
    if (change === undefined) return route.continue();
    const response = await route.fetch();
    return route.fulfill({ response, body: change(await response.text()) });
  });
  const page = await context.newPage();
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', error => problems.push(String(error)));
  await page.goto(url);
  return { page, problems, close: () => context.close() };
}

/** What axe finds, one line each: the rule and the element. It comes by way of the debugger, past the page's policy. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = (await page.evaluate('axe.run()')) as AxeResults;
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}
