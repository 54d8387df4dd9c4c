/** The library in an app's process: how it is loaded, and what kill -9 leaves. */
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { startApp } from '../support/app.ts';
import { cleanUp, temporaryDirectory } from '../support/clean-up.ts';
import { exceptionsTotal, Samples } from '../support/exporter.ts';
import { Oracle } from '../support/oracle.ts';
import { between, createRandom, newSeed } from '../support/random.ts';
import { send } from '../support/request.ts';
import { sampleBody, sampleQuery } from '../support/samples.ts';

const library = suite('library');
library.after.each(cleanUp);

/** After the imports: an app that takes exceptions, shows metrics, and says where; it ends in order on SIGTERM. */
const app = `
async function main() {
  const exceptions = await exceptionCallbacks({
    sdkAppIds: 1400000001,
    callbackTokens: [],
    journal: 'sqlite:journal.db',
    log: 'silent',
  });
  const koa = new Koa();
  koa.use(exceptions.middleware);
  koa.use(exceptions.metrics);
  const server = koa.listen(0, '127.0.0.1', () => console.log(server.address().port));
  process.once('SIGTERM', () => server.close(() => exceptions.close()));
}
main();
`;

const kinds: Record<string, string> = {
  'app.mjs': `import Koa from 'koa';\nimport { exceptionCallbacks } from 'tencent-chat-exporter';\n${app}`,
  'app.cjs': `const Koa = require('koa');\nconst { exceptionCallbacks } = require('tencent-chat-exporter');\n${app}`,
};

const urlOf = ({ line }: { line: string }): string => `http://127.0.0.1:${line}`;

async function totalOf(url: string): Promise<number> {
  return new Samples((await send(url)).body).sum(exceptionsTotal);
}

for (const [name, source] of Object.entries(kinds)) {
  library(`works in plain JavaScript, and lets the process end once it is closed: ${name}`, async () => {
    const started = await startApp(name, { [name]: source });
    const url = urlOf(started);
    const { status } = await send(`${url}?${sampleQuery()}`, { method: 'POST', body: sampleBody() });
    assert.is(status, 200);
    assert.is(await totalOf(url), 1);
    const exited = once(started.child, 'exit');
    started.child.kill('SIGTERM');
    assert.equal(await exited, [0, null]);
  });
}

const killCount = 10;
/** Under load, until the kill. */
const loadMsMax = 400;

library(
  'kill -9 of the app, again and again: nothing answered is lost, nothing is counted twice',
  async () => {
    const seed = newSeed();
    const random = createRandom(seed);
    const oracle = new Oracle({ seed });
    const directory = temporaryDirectory();
    const start = () => startApp('app.mjs', { 'app.mjs': kinds['app.mjs']! }, { directory });
    for (let kill = 0; kill < killCount; kill += 1) {
      const started = await start();
      oracle.start(urlOf(started));
      await delay(between(random, 1, loadMsMax));
      const exited = once(started.child, 'exit');
      started.child.kill('SIGKILL');
      await exited;
      await oracle.stop();
    }
    const { acknowledged, unanswered } = oracle;
    console.log(
      `\nlibrary: SEED=${seed}, ${killCount} kills, ${acknowledged.size} acknowledged, ${unanswered.size} unanswered`,
    );
    assert.ok(acknowledged.size > 500 && unanswered.size > 0, 'the load ran, and the kills hit it');
    assert.is(oracle.refusals.size, 0);

    const url = urlOf(await start());
    const total = await totalOf(url);
    assert.ok(total >= acknowledged.size, `${acknowledged.size - total} are lost`);
    assert.ok(total <= acknowledged.size + unanswered.size, 'some are counted twice');
    // What had no answer is sent again, and all the rest, too: now everything is there once.
    await oracle.sendAgain(url, [...acknowledged, ...unanswered]);
    assert.is(await totalOf(url), oracle.sentCount);
  },
);

library.run();
