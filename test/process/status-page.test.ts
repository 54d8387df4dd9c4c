/** The status page in a browser: of a real exporter, and of moments that a real one seldom has. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createOperatorListener } from '../../src/http/operator-listener.ts';
import { newLog } from '../http/fixtures.ts';
import { scenes } from '../http/status-scenes.ts';
import { newMetrics } from '../metrics/fixtures.ts';
import { accessibilityProblems, startBrowser, type Visit, visit } from '../support/browser.ts';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { until } from '../support/prometheus.ts';
import { sampleBody, sampleQuery } from '../support/samples.ts';

const statusPage = suite('status page in a browser');

let browser: Browser;
statusPage.before(async () => {
  browser = await startBrowser();
});
statusPage.after(() => browser.close());
statusPage.after.each(cleanUp);

const sizes = {
  desktop: { width: 1280, height: 900 },
  laptop: { width: 1030, height: 700 },
  tablet: { width: 780, height: 1000 },
  phone: { width: 380, height: 780 },
} as const;

const hostileGroup = `<img src="https://elsewhere.example/x" onerror="planted=1"><script>planted=1</script>`;
const overridden = '@TGS#\u202egpj.exe\u0000';
const longGroup = `@TGS#${'x'.repeat(251)}`;

/** Three exceptions, one of them twice; another command; a stranger. */
async function sendCallbacks(exporter: Exporter): Promise<void> {
  const statuses = [
    await exporter.post(sampleBody({ GroupId: hostileGroup, Random: 1 })),
    await exporter.post(sampleBody({ GroupId: hostileGroup, Random: 1 })),
    await exporter.post(sampleBody({ GroupId: overridden, Random: 2, ErrorCode: 80001 })),
    await exporter.post(sampleBody({ GroupId: longGroup, Random: 3, Type: 'AVChatRoom' })),
    await exporter.post('{}', sampleQuery({ CallbackCommand: 'State.StateChange' })),
    await exporter.post(sampleBody(), sampleQuery({ SdkAppid: '20000002' })),
  ].map(({ status }) => status);
  assert.equal(statuses, [200, 200, 200, 200, 200, 403]);
}

const settings = {
  CALLBACK_TOKENS: undefined,
  CALLBACK_PUBLIC_URL: 'https://chat.example.org/',
  DASHBOARDS_URL: 'https://grafana.example.org/',
  TRACE_URL_TEMPLATE: 'https://tempo.example.org/{trace_id}',
};

/** What a reader sees, spaces as one. */
const read = async (page: Page, selector: string): Promise<string> =>
  (await page.locator(selector).innerText()).replace(/\s+/g, ' ');

const cells = (page: Page, row: number): Promise<string[]> =>
  page.locator('table.exceptions').first().locator(`tbody tr:nth-child(${row}) td`).allInnerTexts();

async function open(url: string, options?: Parameters<typeof visit>[2]): Promise<Visit> {
  const visited = await visit(browser, url, options);
  onCleanUp(visited.close);
  return visited;
}

statusPage('tells what a real exporter was sent, and what is not well', async () => {
  const exporter = await startExporter({ env: settings });
  await sendCallbacks(exporter);
  const { page, problems } = await open(exporter.operationsUrl);

  assert.is(await read(page, 'h1'), 'Callbacks are not authenticated: anyone who finds the URL is believed.');
  assert.match(await read(page, '.verdict'), /3 exceptions in the last hour, 3 in the last five minutes/);
  assert.match(
    await read(page, 'section:has(> #Callbacks)'),
    /Well Callbacks are taken.* rejected: Group\.CallbackSendMsgException .*3 counted, 1 duplicate, 1 ignored, 1 rejected/,
  );
  assert.match(
    await read(page, 'section:has(> #Journal)'),
    new RegExp(`Well .*3 exceptions.* File ${exporter.journal}`),
  );
  assert.is(await read(page, '.url'), 'https://chat.example.org/');
  assert.match(
    await read(page, '.codes'),
    /10023 group_send_msg_freq_limit rate_limited 2 in the hour, 2 in 5 min/,
  );
  assert.match(await read(page, '.codes'), /Group types: (Public 1, AVChatRoom 1|AVChatRoom 1, Public 1)/);

  const [time, ...rest] = await cells(page, 1);
  assert.match(time!, /^(just now|\d+ s ago)\s+\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(rest.slice(0, 5), [
    '10023 group_send_msg_freq_limit',
    longGroup,
    'AVChatRoom',
    'Android',
    'user',
  ]);
  assert.is((await cells(page, 2))[2], '@TGS#\\u202egpj.exe\\u0000');
  assert.is((await cells(page, 3))[2], hostileGroup, 'as it is written');
  const trace = await page.locator('table.exceptions a').first().getAttribute('href');
  assert.is(trace, `https://tempo.example.org/${rest[5]}`);
  assert.match(
    await read(page, 'section:has(> #rejections)'),
    /1 callback was refused.* sdk_app_id 1 .*SDK_APP_IDS/,
  );

  assert.is(await page.locator('img, script').count(), 0);
  assert.is(await page.evaluate('typeof planted'), 'undefined');
  assert.equal(problems, []);
});

statusPage('after a restart the hour is there again, and the groups are not', async () => {
  const killed = await startExporter({ env: settings });
  await sendCallbacks(killed);
  const before = JSON.parse((await killed.get('/api/status')).body);
  await killed.kill('SIGKILL');

  const exporter = await startExporter({ journal: killed.journal, env: settings });
  const ask = async () => JSON.parse((await exporter.get('/api/status')).body);
  await until(async () => (await ask()).exceptions.length === 3, 'the last hour to be read back');
  await exporter.post(sampleBody({ GroupId: '@TGS#new', Random: 4 }));
  const after = await ask();
  assert.is(before.failing.exceptions, 3);
  assert.is(after.failing.exceptions, 4);
  assert.is(before.callbacks.last_exception_at, before.exceptions[0].received_at);
  assert.equal(
    after.exceptions.slice(1).map((exception: { trace_id: string }) => exception.trace_id),
    before.exceptions.map((exception: { trace_id: string }) => exception.trace_id),
  );

  const { page, problems } = await open(exporter.operationsUrl);
  assert.is((await cells(page, 1))[2], '@TGS#new');
  assert.is((await cells(page, 2))[2], 'not kept');
  assert.match(await read(page, 'section:has(> #exceptions)'), /Group IDs are not kept/);
  assert.equal(problems, []);
});

/** Moments as the operator listener serves them. */
async function serve(status: (typeof scenes)[keyof typeof scenes]): Promise<string> {
  const server = createOperatorListener({
    metrics: newMetrics(),
    isReady: () => true,
    status: () => status,
    log: newLog([]),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onCleanUp(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const openDetails = (page: Page, selector = 'details') =>
  page.evaluate(`for (const details of document.querySelectorAll('${selector}')) details.open = true`);

/** All but the rest of long lists, which is like their beginning: axe takes a second for each fifty rows. */
const single = 'details:not(:has(table, .codes))';

/** How far it can be scrolled to the side, and what sticks out the farthest. */
const overflow = (page: Page) =>
  page.evaluate(`({
    pixels: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    widest: [...document.querySelectorAll('main *')]
      .map(element => ({ right: element.getBoundingClientRect().right, html: element.outerHTML.slice(0, 100) }))
      .filter(({ right }) => right > innerWidth)
      .sort((a, b) => a.right - b.right).at(-1) ?? null,
  })`);

for (const [name, scene] of Object.entries(scenes)) {
  statusPage(`${name}: keeps nobody out, and needs no scrolling to the side`, async () => {
    const { page, problems } = await open(await serve(scene), {
      colorScheme: 'light',
      viewport: sizes.desktop,
    });
    await openDetails(page, single);
    assert.equal(await accessibilityProblems(page), []);
    await openDetails(page);
    for (const viewport of Object.values(sizes)) {
      await page.setViewportSize(viewport);
      assert.equal(await overflow(page), { pixels: 0, widest: null }, `${viewport.width} pixels wide`);
    }
    assert.equal(problems, []);
  });
}

/** Together they have every colour and every part. */
const colourful = ['evening', 'nothing received', 'journal down', '100 rejections'] as const;

for (const name of colourful) {
  statusPage(`${name}: keeps nobody out on a phone in the dark, either`, async () => {
    const { page, problems } = await open(await serve(scenes[name]), {
      colorScheme: 'dark',
      viewport: sizes.phone,
    });
    await openDetails(page, single);
    assert.equal(await accessibilityProblems(page), []);
    const background = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    assert.is(background, 'rgb(20, 23, 26)');
    assert.equal(problems, []);
  });
}

statusPage('what would keep somebody out, or stick out, is found', async () => {
  const planted = `<img src="data:,"><p><font color="#bbb">hardly seen</font></p><pre>${'x'.repeat(1_000)}</pre>`;
  const { page } = await open(await serve(scenes.evening), {
    change: html => html.replace('<main>', `<main><div>${planted}</div>`),
    viewport: sizes.phone,
  });
  const problems = (await accessibilityProblems(page)).join();
  assert.match(problems, /image-alt: <img/);
  assert.match(problems, /color-contrast: .*hardly seen/);
  assert.ok(((await overflow(page)) as { pixels: number }).pixels > 1_000);
});

statusPage('the same without scripts', async () => {
  const url = await serve(scenes.evening);
  const [withScripts, without] = await Promise.all(
    [true, false].map(async javaScriptEnabled =>
      (await open(url, { javaScriptEnabled })).page.locator('body').innerText(),
    ),
  );
  assert.is(without, withScripts);
  assert.ok(without!.length > 2_000);
});

statusPage('a script or style that got into the page would not run', async () => {
  const planted = `<script>planted = 1</script><style>h1 { position: fixed }</style>
    <p id="planted" style="position: fixed">planted</p><img src="x" onerror="planted = 1">
    <base href="https://elsewhere.example/"><form id="form" action="https://elsewhere.example/"></form>`;
  const { page, problems } = await open(await serve(scenes.evening), {
    change: html => html.replace('<main>', `<main>${planted}`),
  });
  assert.is(await page.evaluate('typeof planted'), 'object', 'the element of that ID, and no variable');
  const position = (selector: string) =>
    page.evaluate(`getComputedStyle(document.querySelector('${selector}')).position`);
  assert.equal([await position('h1'), await position('#planted')], ['static', 'static']);
  assert.is(await page.evaluate('document.baseURI'), page.url());
  await page.evaluate("document.getElementById('form').submit()");
  const directives = ['script-src', 'style-src', 'img-src', 'base-uri', 'form-action'];
  await until(
    async () => directives.every(directive => problems.some(problem => problem.includes(directive))),
    'a complaint about each',
  );
  assert.equal(
    problems.filter(problem => problem.startsWith('asks ')),
    [],
  );
});

statusPage(
  'everything that can be followed or opened is reached by the keyboard, in order, and is seen to be',
  async () => {
    const { page } = await open(await serve(scenes['100 rejections']), { viewport: sizes.phone });
    const wanted = await page.evaluate(`[...document.querySelectorAll('a[href], summary')]
    .filter(element => element.checkVisibility()).map(element => element.textContent)`);
    const reached: unknown[] = [];
    for (;;) {
      await page.keyboard.press('Tab');
      const focused = (await page.evaluate(`(() => {
      const element = document.activeElement;
      return element === document.body ? null : {
        text: element.textContent,
        outline: getComputedStyle(element).outlineStyle,
        isIn: element.getBoundingClientRect().top < innerHeight && element.getBoundingClientRect().bottom > 0,
      };
    })()`)) as { text: string; outline: string; isIn: boolean } | null;
      if (focused === null || reached.length > 500) break;
      assert.equal([focused.outline, focused.isIn], ['solid', true], focused.text);
      reached.push(focused.text);
    }
    assert.equal(reached, wanted);
    assert.ok(reached.length > 20);

    const summary = page.locator('summary', { hasText: 'exceptions more' });
    await summary.focus();
    await page.keyboard.press('Enter');
    assert.is(await page.locator('table.exceptions').count(), 2);
    assert.ok(await page.locator('table.exceptions').last().isVisible());
  },
);

statusPage('reads as tables on a phone, too, where rows are laid out as cards', async () => {
  const { page } = await open(await serve(scenes.evening), { viewport: sizes.phone });
  const snapshot = await page.locator('table.exceptions').first().ariaSnapshot();
  assert.match(snapshot, /- table "The latest exceptions"/);
  assert.match(snapshot, /columnheader "Group"/);
  assert.match(snapshot, /cell "Group @TGS#2J4SZEAEL\d"|cell "@TGS#2J4SZEAEL\d"/);
});

statusPage.run();
