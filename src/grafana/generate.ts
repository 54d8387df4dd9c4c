/**
 * Writes the generated files of `grafana/`; test/grafana/drift.test.ts fails while one differs, or is left over.
 *
 *     npm run grafana               here
 *     npm run grafana -- FOLDER     into a folder of one's own, for instance with links of one's own: see settings.ts
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { grafanaFiles } from './files.ts';

export const grafanaFolder = join(import.meta.dirname, '../../grafana');

export function readGrafanaFile(path: string): string | undefined {
  try {
    return readFileSync(join(grafanaFolder, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

if (import.meta.main) {
  const target = process.argv[2] ?? grafanaFolder;
  for (const [path, text] of Object.entries(grafanaFiles(readGrafanaFile))) {
    const file = join(target, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}
