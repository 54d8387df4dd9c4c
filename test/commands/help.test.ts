/** Every page of help, as a person sees it. */
import type { Command } from 'commander';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { program } from '../../src/cli.ts';
import { exitCodes, type World } from '../../src/commands/command.ts';
import { assertFits, runCommand } from './world.ts';

const help = suite('help');

/** The words that lead to each command. */
function paths(command: Command): string[][] {
  return command.commands.flatMap(child => [
    [child.name()],
    ...paths(child).map(path => [child.name(), ...path]),
  ]);
}

const all = paths(program({} as World));

help('lists every command with what it does, and the exit codes', async () => {
  const { code, out } = await runCommand(['--help']);
  assert.is(code, 0);
  for (const [name, ...deeper] of all)
    if (deeper.length === 0) assert.match(out, new RegExp(`^ {2}${name} .* {2}\\w`, 'm'));
  for (const { code, meaning } of Object.values(exitCodes)) assert.match(out, `${code}`.padEnd(5) + meaning);
});

for (const path of all) {
  help(
    `of ${path.join(' ')} says what it does, fits 80 columns, and has a word for every option`,
    async () => {
      const { code, out, error } = await runCommand([...path, '--help']);
      assert.equal([code, error], [0, '']);
      assertFits(out, 80);
      assert.match(out, new RegExp(`^Usage: tencent-chat-exporter ${path.join(' ')} \\[options\\]`));
      for (const [, rest] of out.matchAll(/^ {2}(?:-\w, )?--[\w-]+(?: <\w+>)?( {2,}\S.*)?$/gm))
        assert.ok(rest, out);
      assert.not.ok(out.includes('\u001b'), 'no colour');
    },
  );
}

for (const path of all) {
  help(`of ${path.join(' ')} shows examples that begin with its name`, async () => {
    const { out } = await runCommand([...path, '--help']);
    const examples = out.split('\nExamples:\n')[1] ?? '';
    assert.match(examples, /^ {2}\$ /m);
    assert.match(examples, new RegExp(`(tencent-chat-exporter|src/start\\.js) ${path[0]}\\b`));
  });
}

for (const { args, words } of [
  { args: ['chekc'], words: /unknown command 'chekc'[\s\S]*Did you mean check\?/ },
  {
    args: ['check', '--jsno'],
    words: /unknown option '--jsno'[\s\S]*Did you mean --json\?[\s\S]*--help says more/,
  },
  { args: ['check', 'this'], words: /too many arguments for 'check'/ },
]) {
  help(`is pointed to after a mistake: ${args.join(' ')}`, async () => {
    const { code, out, error } = await runCommand(args);
    assert.equal([code, out], [2, '']);
    assert.match(error, words);
  });
}

help.run();
