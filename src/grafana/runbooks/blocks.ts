/** What of a runbook is made from the rules: an alert's head, and the index. */
import { recordingGroups } from '../rules/files.ts';
import type { Alert } from '../rules/model.ts';
import { links, type Threshold, thresholds } from '../settings.ts';
import { thresholdsOf } from './thresholds.ts';

const severities: Record<Alert['severity'], string> = {
  critical: 'act now, at any hour',
  warning: 'look at it today',
  info: 'good to know, wakes nobody',
  none: 'only proves that alerting works',
};

/** The head of an alert's page: what is wrong, how urgent it is, where to look. */
export function alertBlock(rules: readonly Alert[]): string {
  return rules
    .map(
      ({ severity, summary, dashboard: { uid } }) =>
        `${summary}\n\n**${severity}**: ${severities[severity]} · dashboard [${uid}](${links.grafanaUrl}/d/${uid})\n`,
    )
    .join('\n');
}

/** When the alert fires and ends, on what condition, with which numbers, over which recorded series. */
export function conditionBlock(rules: readonly Alert[]): string {
  return [...rules.map(ruleText), numbersText(rules[0]!.name), seriesText(rules)].filter(Boolean).join('\n');
}

function ruleText({ severity, expr, why, ...alert }: Alert): string {
  const fires = alert.for === undefined ? 'at once' : `after ${alert.for}`;
  const stays = alert.keepFiringFor === undefined ? '' : `, and stays ${alert.keepFiringFor} after its end`;
  return `Fires as ${severity} ${fires}${stays}:

\`\`\`promql
${expr}
\`\`\`

${why}
`;
}

function numbersText(name: Alert['name']): string {
  const rows = (thresholdsOf[name] ?? []).map(key => {
    const { value, unit, why }: Threshold = thresholds[key];
    return `| \`${key}\` | ${value} | ${unit} | ${why} |`;
  });
  if (rows.length === 0) return '';
  return `| Threshold | Value | Unit | Why |\n| --- | --- | --- | --- |\n${rows.join('\n')}\n`;
}

/** The recorded series that stand in the conditions, and why they are computed as they are. */
function seriesText(rules: readonly Alert[]): string {
  const named = recordingGroups
    .flatMap(group => group.rules)
    .filter(({ record }) =>
      rules.some(({ expr }) => new RegExp(`(?<![\\w:])${record}(?![\\w:])`).test(expr)),
    );
  return named.map(({ record, why }) => `- \`${record}\`: ${why}\n`).join('');
}

/** All alerts, the most urgent first, one line each. */
export function indexBlock(alerts: ReadonlyMap<Alert['name'], readonly Alert[]>): string {
  const parts = Object.entries(severities).map(([severity, meaning]) => {
    const lines = [...alerts].flatMap(([name, rules]) =>
      rules
        .filter(rule => rule.severity === severity)
        .map(({ summary }) => `- [${name}](${name}.md): ${summary}`),
    );
    return `**${severity}**: ${meaning}\n\n${lines.join('\n')}\n`;
  });
  return parts.join('\n');
}
