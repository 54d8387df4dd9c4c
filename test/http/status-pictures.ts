/**
 * Draws the status page's pictures for the README: the beginning of the page on a desktop in the light, and on a phone in
 * the dark. They differ with the machine's fonts, so no test compares them. With pngquant they take a third.
 *
 *     npm run pictures                into grafana/pictures/
 *     npm run pictures -- FOLDER      every moment of status-scenes.ts in full, both themes and both widths, to be looked at
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { Status } from '../../src/http/status.ts';
import { renderStatusPage } from '../../src/http/status-page.ts';
import { startBrowser } from '../support/browser.ts';
import { scenes } from './status-scenes.ts';

const widths = { desktop: 1280, phone: 380 } as const;
const pictureHeight = 1250;

const browser = await startBrowser();

async function draw(
  status: Status,
  colorScheme: 'light' | 'dark',
  width: number,
  save: (page: Page) => Promise<unknown>,
): Promise<void> {
  const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
  await page.setContent(renderStatusPage(status));
  await save(page);
  await page.close();
}

const folder = process.argv[2];
if (folder === undefined) {
  const pictures = join(import.meta.dirname, '../../grafana/pictures');
  const beginning = (name: string, width: number) => async (page: Page) => {
    const path = join(pictures, name);
    await page.screenshot({ path, fullPage: true, clip: { x: 0, y: 0, width, height: pictureHeight } });
    spawnSync('pngquant', ['--force', '--output', path, path]);
  };
  await draw(scenes.evening, 'light', widths.desktop, beginning('status-page.png', widths.desktop));
  await draw(scenes['journal down'], 'dark', widths.phone, beginning('status-page-phone.png', widths.phone));
} else {
  mkdirSync(folder, { recursive: true });
  for (const [name, scene] of Object.entries(scenes)) {
    for (const [device, width] of Object.entries(widths)) {
      for (const theme of ['light', 'dark'] as const) {
        const path = join(folder, `${name.replaceAll(' ', '-')}-${device}-${theme}.png`);
        await draw(scene, theme, width, page => page.screenshot({ path, fullPage: true }));
      }
    }
  }
}
await browser.close();
