/** The dashboards' files: classic ones for every Grafana, v2 resources for Grafana 13 and later. */
import { toClassic } from './classic.ts';
import { errorCode } from './error-code.ts';
import { exporter } from './exporter.ts';
import { groupsAndPlatforms } from './groups-and-platforms.ts';
import type { Dashboard } from './model.ts';
import { moderation } from './moderation.ts';
import { overview } from './overview.ts';
import { toV2 } from './v2.ts';

/** From general to particular. */
export const dashboards: readonly Dashboard[] = [
  overview,
  errorCode,
  groupsAndPlatforms,
  moderation,
  exporter,
];

/** `dashboards/<uid>.json` and `dashboards-v2/<uid>.json`. */
export function dashboardFiles(): Record<string, string> {
  return Object.fromEntries(
    dashboards.flatMap(dashboard => [
      [`dashboards/${dashboard.uid}.json`, json(toClassic(dashboard))],
      [`dashboards-v2/${dashboard.uid}.json`, json(toV2(dashboard))],
    ]),
  );
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
