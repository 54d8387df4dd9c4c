/** What a restart must not change, beside the totals themselves. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { codesMax } from '../../src/callback/classify.ts';
import { cleanUp } from '../support/clean-up.ts';
import { type Exporter, exceptionsTotal, Samples, startExporter } from '../support/exporter.ts';
import { sampleBody, sampleQuery } from '../support/samples.ts';

const restart = suite('restart');
restart.after.each(cleanUp);

/** No code of the catalogue, nor of its ranges. */
const firstUnknownCode = 500_000;

const ways = { 'kill -9': 'SIGKILL', 'a stop in order': 'SIGTERM' } as const;

async function restarted(exporter: Exporter, signal: NodeJS.Signals): Promise<Exporter> {
  await exporter.kill(signal);
  return startExporter({ journal: exporter.journal });
}

async function postCode(exporter: Exporter, code: number): Promise<void> {
  const { status } = await exporter.post(sampleBody({ ErrorCode: code }));
  assert.is(status, 200);
}

const scraper = { 'X-Prometheus-Scrape-Timeout-Seconds': '10', 'User-Agent': 'Prometheus/3.5.0' };

async function scrapedTotal(exporter: Exporter, headers: Record<string, string> = {}): Promise<number> {
  return new Samples((await exporter.get('/metrics', headers)).body).sum(exceptionsTotal);
}

for (const [name, signal] of Object.entries(ways)) {
  restart(`codes keep their number, and the cap stays full, across ${name}`, async () => {
    const before = await startExporter();
    const half = codesMax / 2;
    for (let code = 0; code < half; code += 1) await postCode(before, firstUnknownCode + code);
    const between = await restarted(before, signal);
    for (let code = half; code <= codesMax; code += 1) await postCode(between, firstUnknownCode + code);
    assert.is((await between.metrics()).sum('tencent_chat_label_values_folded_total'), 1);

    const after = await restarted(between, signal);
    await postCode(after, firstUnknownCode + codesMax + 1);
    // One that was admitted is still told by its number; sent again it is a duplicate, so another group is taken.
    await after.post(sampleBody({ ErrorCode: firstUnknownCode, GroupId: '@TGS#OTHER' }));
    const metrics = await after.metrics();
    assert.is(metrics.list(exceptionsTotal).length, codesMax + 1);
    assert.is(metrics.sum(exceptionsTotal, { error_code: 'other', error_category: 'unknown' }), 2);
    assert.is(metrics.sum(exceptionsTotal, { error_code: String(firstUnknownCode) }), 2);
    assert.is(metrics.sum(exceptionsTotal), codesMax + 3);
  });

  restart(`distinct senders and groups are right at once after ${name}`, async () => {
    const before = await startExporter();
    const post = (exporter: Exporter, sender: string, group: string, random: number) =>
      exporter.post(sampleBody({ From_Account: sender, GroupId: group, Random: random }));
    const counts = async (exporter: Exporter) => {
      const metrics = await exporter.metrics();
      const labels = { error_category: 'rate_limited' };
      return ['senders', 'groups'].map(kind => metrics.sum(`tencent_chat_exception_${kind}`, labels));
    };
    for (let index = 0; index < 12; index += 1) {
      await post(before, `user${index % 3}`, `@TGS#${index % 4}`, index);
    }
    assert.equal(await counts(before), [3, 4]);
    const after = await restarted(before, signal);
    assert.equal(await counts(after), [3, 4]);
    // Known again by the same keyed hash, and told from new ones.
    await post(after, 'user0', '@TGS#0', 100);
    assert.equal(await counts(after), [3, 4]);
    await post(after, 'user9', '@TGS#9', 101);
    assert.equal(await counts(after), [4, 5]);
  });

  restart(`a series that no scraper may have seen starts at 0 again after ${name}`, async () => {
    const before = await startExporter();
    await before.post(sampleBody());
    const after = await restarted(before, signal);
    assert.is(await scrapedTotal(after), 1, 'a person sees the true value');
    assert.is(await scrapedTotal(after, scraper), 0);
    assert.is(await scrapedTotal(after, scraper), 1);
    const other = { ...scraper, 'User-Agent': 'vmagent' };
    assert.is(await scrapedTotal(after, other), 0, 'each scraper has a first time of its own');
    assert.is(await scrapedTotal(after, other), 1);

    // A series born later is at 0 once more, and only it.
    await after.post(sampleBody({ Random: 2 }), sampleQuery({ OptPlatform: 'Web' }));
    assert.is(await scrapedTotal(after, scraper), 1);
    assert.is(await scrapedTotal(after, scraper), 2);
  });

  restart(`the time of the last exception is known after ${name}`, async () => {
    const before = await startExporter();
    await before.post(sampleBody());
    const read = async (exporter: Exporter) =>
      (await exporter.metrics()).sum('tencent_chat_last_exception_timestamp_seconds');
    const at = await read(before);
    assert.ok(Math.abs(Date.now() / 1000 - at) < 60);
    const after = await restarted(before, signal);
    assert.is(await read(after), at);
  });
}

restart.run();
