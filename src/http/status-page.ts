/** The page at `/` of the operator listener: is it well, and what was refused lately. Works without scripts. */
import type { JournalStats, Signal } from '../journal/journal.ts';
import type { Rejection } from './rejections.ts';

export interface Status {
  version: string;
  isReady: boolean;
  isAuthenticating: boolean;
  sdkAppIds: string[];
  callbackPath: string;
  journal: { location: string; isUp: boolean; unwritten: number; stats: JournalStats };
  signals: readonly Signal[];
  /** Milliseconds since the Unix epoch; `null` before the first. */
  lastExceptionAt: number | null;
  rejections: Rejection[];
}

export function renderStatusPage(status: Status): string {
  const { journal } = status;
  const rows: [string, boolean | null, string][] = [
    [
      'Callbacks',
      status.isReady,
      status.isReady ? `taken at ${status.callbackPath}` : 'not taken: starting or stopping',
    ],
    [
      'Authentication',
      status.isAuthenticating,
      status.isAuthenticating
        ? 'Sign is checked'
        : 'none: anyone who finds the URL is believed; set CALLBACK_TOKENS',
    ],
    [
      'Journal',
      journal.isUp,
      journal.isUp
        ? `${journal.location}, ${journal.stats.events} exceptions, ${journal.stats.bytes} bytes`
        : `${journal.location} cannot be written; ${journal.unwritten} exceptions are held in memory: look at the disk`,
    ],
    [
      'Telemetry',
      null,
      status.signals.length === 0
        ? 'off: OTEL_EXPORTER_OTLP_ENDPOINT is not set'
        : `${status.signals.join(' and ')}, ${journal.stats.backlogEvents} exceptions to deliver`,
    ],
    ['Last exception', null, status.lastExceptionAt === null ? 'none yet' : isoTime(status.lastExceptionAt)],
    ['SDKAppIDs', null, status.sdkAppIds.join(', ')],
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tencent-chat-exporter</title>
<style>
  :root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }
  body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
  table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
  th, td { text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8886; overflow-wrap: anywhere }
  .ill { font-weight: bold }
</style>
<h1>tencent-chat-exporter ${escapeHtml(status.version)}</h1>
<table>
${rows.map(([name, isWell, text]) => `<tr><th scope="row">${name}</th><td${isWell === false ? ' class="ill"' : ''}>${escapeHtml(text)}</td></tr>`).join('\n')}
</table>
<p><a href="metrics">Metrics</a></p>
<h2>Latest rejections</h2>
${renderRejections(status.rejections)}
</html>
`;
}

function renderRejections(rejections: Rejection[]): string {
  if (rejections.length === 0) return '<p>None since the start.</p>';
  const rows = rejections.map(
    ({ at, reason, command, body }) =>
      `<tr><td>${isoTime(at)}</td><td>${escapeHtml(reason)}</td><td>${escapeHtml(command)}</td><td>${escapeHtml(body ?? '')}</td></tr>`,
  );
  return `<table>
<tr><th scope="col">Time</th><th scope="col">Reason</th><th scope="col">Command</th><th scope="col">Body</th></tr>
${rows.join('\n')}
</table>`;
}

function isoTime(at: number): string {
  return new Date(at).toISOString();
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, character => entities[character]!);
}
