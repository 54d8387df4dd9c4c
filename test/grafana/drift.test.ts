/** What stands in `grafana/` is what the code generates. */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { grafanaFiles } from '../../src/grafana/files.ts';
import { grafanaFolder, readGrafanaFile } from '../../src/grafana/generate.ts';
import { links } from '../../src/grafana/settings.ts';

const drift = suite('drift');
const generator = join(grafanaFolder, '../src/grafana/generate.ts');
const generated = grafanaFiles(readGrafanaFile);

/** Folders in which nothing is written by hand: a file that is no longer generated must go. */
const generatedFolders = ['dashboards', 'dashboards-v2', 'kubernetes'];

/** What differs from what would be generated, and what would not be generated at all. */
function drifted(read: (path: string) => string | undefined, present: readonly string[]): string[] {
  const differing = Object.keys(generated).filter(path => read(path) !== generated[path]);
  const leftOver = present.filter(path => generatedFolders.includes(dirname(path)) && !(path in generated));
  return [...differing, ...leftOver].sort();
}

drift('finds every generated file as `npm run grafana` would write it, and none left over', () => {
  const present = globSync('**/*', { cwd: grafanaFolder });
  for (const folder of generatedFolders) {
    assert.ok(
      Object.keys(generated).some(path => dirname(path) === folder),
      folder,
    );
  }
  assert.equal(drifted(readGrafanaFile, present), []);
});

drift('sees a file that was edited, one that is missing, and one that is left over', () => {
  const [edited, missing] = Object.keys(generated) as [string, string];
  const read = (path: string): string | undefined =>
    path === edited ? `${generated[path]} ` : path === missing ? undefined : generated[path];
  assert.equal(
    drifted(read, ['dashboards/old.json', 'compose.yml']),
    [edited, missing, 'dashboards/old.json'].sort(),
  );
});

drift('follows GRAFANA_URL and RUNBOOKS_URL into every link, in a folder of one’s own', () => {
  const folder = mkdtempSync(join(tmpdir(), 'grafana-'));
  try {
    const env = { ...process.env, GRAFANA_URL: 'https://g.example', RUNBOOKS_URL: 'https://r.example/x' };
    const { status, stderr } = spawnSync(process.execPath, [generator, folder], { env, encoding: 'utf8' });
    assert.is(status, 0, stderr);
    const written = Object.keys(generated).map(
      path => [path, readFileSync(join(folder, path), 'utf8')] as const,
    );
    const changed = written.filter(([path, text]) => text !== generated[path]);
    assert.ok(changed.some(([path]) => path === 'rules/alerts.yml'));
    for (const [path, text] of changed) {
      assert.not.match(text, links.grafanaUrl);
      assert.not.match(text, links.runbooksUrl);
      const back = text
        .replaceAll('https://g.example', links.grafanaUrl)
        .replaceAll('https://r.example/x', links.runbooksUrl);
      assert.is(back, generated[path], path);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

drift.run();
