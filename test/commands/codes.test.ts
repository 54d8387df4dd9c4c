import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { catalogue } from '../../src/callback/catalogue.ts';
import { codesJson } from '../../src/commands/codes.ts';
import { assertFits, assertJsonKeys, runCommand } from './world.ts';

const codes = suite('codes');

/** The codes found, a range by its first. */
async function find(...args: string[]): Promise<number[]> {
  const { code, out, error } = await runCommand(['codes', '--json', ...args]);
  assert.is(code, 0, error);
  return JSON.parse(out).map((entry: { code: number }) => entry.code);
}

codes('shows the whole catalogue when nothing is asked for', async () => {
  const { out } = await runCommand(['codes']);
  for (const { name, category } of catalogue) assert.ok(out.includes(name) && out.includes(category), name);
  assert.is((await find()).length, catalogue.length);
});

for (const { args, found } of [
  { args: ['10023'], found: [10023] },
  { args: ['10150'], found: [10100] },
  { args: ['-20009', '10017', '10023'], found: [-20009, 10017, 10023] },
  { args: ['group_sender_muted'], found: [10017] },
  { args: ['MUTED', 'app-wide'], found: [10017, 20012] },
  { args: ['mute-all'], found: [10017] },
  { args: ['MsgPriority'], found: [10023] },
  { args: ['10017', '10023', 'muted'], found: [10017] },
  { args: ['text judged'], found: [80001] },
  { args: ['--category', 'moderated'], found: [80001, 80004, 80101] },
  { args: ['image', '--category', 'moderated'], found: [80004] },
]) {
  codes(`finds by ${args.join(' ')}`, async () => {
    assert.equal(await find(...args), found);
  });
}

for (const { args, words } of [
  { args: ['99999'], words: /no such code in the catalogue.*category "unknown"/ },
  { args: ['6014'], words: /made on devices/ },
  { args: ['nonsense'], words: /try fewer words/ },
  { args: ['10023', '--category', 'muted'], words: /leave out --category muted/ },
]) {
  codes(`says so, gives a hint and exits with 1 when nothing is found: ${args.join(' ')}`, async () => {
    const { code, out, error } = await runCommand(['codes', ...args]);
    assert.equal([code, out], [1, '']);
    assert.match(error, words);
  });
}

codes('refuses a category that there is not', async () => {
  const { code, error } = await runCommand(['codes', '--category', 'unknown']);
  assert.is(code, 2);
  assert.match(error, 'Allowed choices are internal_error');
});

for (const columns of [60, 80, 200]) {
  codes(`fits a terminal of ${columns} columns`, async () => {
    const { out } = await runCommand(['codes'], { columns });
    assertFits(out, columns);
    assert.is(out, out.replace(/ +$/gm, ''), 'no white space at the ends');
  });
}

codes('shows what a code means and what to do, under its name', async () => {
  const { out } = await runCommand(['codes', '10017']);
  assert.is(
    out,
    `CODE   CATEGORY  NAME, MEANING, REMEDY
10017  muted     group_sender_muted
                 The sender is muted: in this group, by mute-all, or by the
                 app-wide group-message mute.
                 Do: Unmute the user or wait for the mute to end; hide the input
                 box while muted.
`,
  );
});

codes('prints JSON with the documented keys', async () => {
  const { out } = await runCommand(['codes', '10150', '--json']);
  assertJsonKeys(codesJson, [out]);
  const [entry] = JSON.parse(out);
  assert.equal([entry.code, entry.code_to, entry.category], [10100, 10200, 'rejected_by_app']);
});

codes.run();
