/** What a test started and has to end, whatever became of the test: `suite.after.each(cleanUp)`. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const undos: (() => unknown)[] = [];

/** Has `undo` called by the next `cleanUp`, before all that was asked for earlier. */
export function onCleanUp(undo: () => unknown): void {
  undos.push(undo);
}

export async function cleanUp(): Promise<void> {
  for (let undo = undos.pop(); undo !== undefined; undo = undos.pop()) await undo();
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'tencent-chat-exporter-'));
  onCleanUp(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}
