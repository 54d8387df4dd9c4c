/**
 * Every generated file of `grafana/`, by its path below that folder. What is not listed here is written by hand; a page
 * that is written by hand but for a generated block is listed with the block brought up to date.
 */

import { dashboardFiles } from './dashboards/files.ts';
import { kubernetesFiles } from './kubernetes.ts';
import { ruleFiles } from './rules/files.ts';
import { runbookFiles } from './runbooks/files.ts';

/** Reads a file of `grafana/` as it is now; `undefined` where there is none. */
export type ReadFile = (path: string) => string | undefined;

/** One entry per part; each gives path → whole text. */
const parts: ((read: ReadFile) => Record<string, string>)[] = [
  dashboardFiles,
  kubernetesFiles,
  ruleFiles,
  runbookFiles,
];

/** Path below `grafana/` → whole text. */
export function grafanaFiles(read: ReadFile): Record<string, string> {
  return Object.assign({}, ...parts.map(part => part(read)));
}
