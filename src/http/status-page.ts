/**
 * The page at `/` of the operator listener: is it well, what to paste into the console, what fails now, the latest
 * exceptions and rejections, where to go on. Rendered here, without a script, and looked at when something is wrong: the
 * first screen says what, and what to do.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { explainCode } from '../callback/catalogue.ts';
import { exceptionCommand } from '../callback/commands.ts';
import { errorCodesUrl, runbookUrl } from '../guidance.ts';
import { identityRetentionMs } from '../journal/journal.ts';
import { type CodeActivity, type ListedException, windowMinutes } from './activity.ts';
import { rejectionCauses } from './answers.ts';
import { bySeverity, type Check, type CheckState, checksOf, verdictOf } from './checks.ts';
import { Html, type HtmlValue, html } from './html.ts';
import { type Rejection, rejectionsKeptMax } from './rejections.ts';
import { clockTime, lastFive, peakOf, sparkline } from './sparkline.ts';
import { deliveredUpTo, type Failure, type SignalStatus, type Status, traceUrl } from './status.ts';
import { ago, counted, iso, isoSeconds, number, size } from './words.ts';

/** Of long lists, so many are shown at once; the rest is behind a click. */
const shownMax = { codes: 8, exceptions: 10, rejections: 10 };

const styles = readFileSync(new URL('./status-page.css', import.meta.url), 'utf8');

/** Nothing may be loaded, run, sent or framed; the page's own styles are known by their hash. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${hash('sha256', styles, 'base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const stateWords: Record<CheckState, string> = {
  failing: 'Failing',
  attention: 'Attention',
  waiting: 'Waiting',
  off: 'Off',
  well: 'Well',
};

export function renderStatusPage(status: Status): string {
  const { version, replica, now, startedAt } = status;
  const checks = checksOf(status);
  const verdict = verdictOf(checks);
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${stateWords[verdict.state]} · ${replica} · tencent-chat-exporter</title>
<style>${new Html(styles)}</style>
</head>
<body>
<header>
<p><strong>tencent-chat-exporter</strong> ${version} <span class="muted">· ${replica} · started ${time(startedAt, now)}</span></p>
<p class="muted">As it was at <time datetime="${iso(now)}">${isoSeconds(now)}</time> · <a href="./">Look again</a></p>
</header>
<main>
<section class="verdict ${verdict.state}" aria-labelledby="verdict">
<h1 id="verdict">${verdict.says}</h1>
${verdict.others.length === 0 ? null : html`<p>Also: ${verdict.others.join(' ')}</p>`}
<p>${summary(status)}</p>
</section>
<div class="checks">
${bySeverity(checks).map(check => renderCheck(check, status))}
</div>
${renderCallbackUrl(status)}
${renderFailing(status)}
${renderExceptions(status)}
${renderRejections(status)}
${renderLinks(status)}
</main>
</body>
</html>
`.text;
}

/** What fails, in a sentence: the exporter can be well while messages are not. */
function summary({ activity, callbacks, now }: Status): Html {
  const { exceptions, perMinute, codes } = activity;
  const { lastExceptionAt } = callbacks;
  const [first] = codes;
  if (first === undefined) {
    return lastExceptionAt === null
      ? html`No exception is known.`
      : html`No exception in the last hour; the last one came ${time(lastExceptionAt, now)}.`;
  }
  const which = `${first.errorCode} ${explainCode(first.errorCode).name}`;
  return html`${counted(exceptions, 'exception', 'exceptions')} in the last hour, ${number(lastFive(perMinute))} in the last five minutes; ${codes.length === 1 ? 'all of them' : 'most often'} <a href="#code-1">${which}</a>.`;
}

// Is it well?

function renderCheck(check: Check, status: Status): Html {
  const { name, state, says, remedy, runbook } = check;
  const toRunbook =
    runbook === null
      ? null
      : html` <a href="${runbookUrl(status.links.runbooks, runbook)}">Runbook<span class="unseen">: ${name}</span></a>`;
  return html`<section class="check ${state}" aria-labelledby="${name}">
<h2 id="${name}">${name} <span class="state">${stateWords[state]}</span></h2>
<p class="says">${says}</p>
${remedy === null ? null : html`<p class="remedy">${remedy}${toRunbook}</p>`}
<dl>${figures[name](status)}</dl>
</section>
`;
}

const figures: Record<Check['name'], (status: Status) => HtmlValue> = {
  Journal({ journal, now }) {
    const { location, isDurable, downSince, unwritten, stats, bytesMax, failures, lastFailure } = journal;
    return [
      downSince === null ? null : figure('Since', time(downSince, now)),
      downSince === null && unwritten === 0
        ? null
        : figure('In memory only', counted(unwritten, 'exception', 'exceptions')),
      failures === 0 ? null : figure('Failures since the start', number(failures)),
      lastFailure === null ? null : figure('Last failure', renderFailure(lastFailure, now)),
      figure(
        'Kept',
        `${counted(stats.events, 'exception', 'exceptions')}, each for ${identityRetentionHours} h`,
      ),
      figure('Size', html`${size(stats.bytes)} of ${size(bytesMax)}`),
      isDurable
        ? figure(location.startsWith('postgres:') ? 'Database' : 'File', html`<bdi>${location}</bdi>`)
        : null,
    ];
  },

  Delivery(status) {
    const { delivery, journal, now } = status;
    if (delivery.length === 0) return null;
    const { backlogEvents, oldestUndeliveredAt } = journal.stats;
    const upTo = deliveredUpTo(status);
    const oldest = oldestUndeliveredAt === null ? null : html`, the oldest ${time(oldestUndeliveredAt, now)}`;
    return [
      figure('Delivered up to', upTo === null ? 'nothing was received yet' : time(upTo, now)),
      figure('Backlog', html`${counted(backlogEvents, 'exception', 'exceptions')}${oldest}`),
      delivery.map(each => figure(signalWords[each.signal], renderSignal(each, now))),
    ];
  },

  Authentication({ tokens, sdkAppIds }) {
    return [
      figure('Tokens', tokens === 0 ? 'none' : html`${tokens} valid`),
      figure(sdkAppIds.length === 1 ? 'SDKAppID' : 'SDKAppIDs', sdkAppIds.join(', ')),
    ];
  },

  Callbacks({ callbacks, now }) {
    const { tally, lastExceptionAt } = callbacks;
    const { last, counted, duplicate, ignored, rejected } = tally;
    return [
      figure(
        'Last callback',
        last === null
          ? 'none since the start'
          : html`${time(last.at, now)}, ${last.outcome}: <code>${last.command}</code>`,
      ),
      figure('Last exception', lastExceptionAt === null ? 'none is known' : time(lastExceptionAt, now)),
      figure(
        'Since the start',
        `${number(counted)} counted, ${number(duplicate)} duplicate, ${number(ignored)} ignored, ${number(rejected)} rejected`,
      ),
    ];
  },
};

const identityRetentionHours = identityRetentionMs / 3_600_000;

const signalWords: Record<SignalStatus['signal'], string> = { traces: 'Traces', logs: 'Logs' };

function renderSignal(status: SignalStatus, now: number): Html {
  const { delivered, lastDeliveredAt, isFailing, lastFailure, dropped, deadLetters } = status;
  const last = lastDeliveredAt === null ? null : html`; the last ${time(lastDeliveredAt, now)}`;
  const failure =
    lastFailure === null
      ? null
      : html`<br>${isFailing ? 'Fails now' : 'Last failure'}: ${renderFailure(lastFailure, now)}`;
  return html`${number(delivered)} delivered, ${number(dropped)} dropped, ${counted(deadLetters, 'dead letter', 'dead letters')}${last}${failure}`;
}

function renderFailure({ at, message }: Failure, now: number): Html {
  return html`${time(at, now)}: <bdi>${message}</bdi>`;
}

function figure(name: string, value: HtmlValue): Html {
  return html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

// What to paste into the console

function renderCallbackUrl({ callbacks, tokens }: Status): Html {
  const { path, publicUrl, tally } = callbacks;
  const isNew = tally.counted + tally.duplicate + tally.ignored === 0;
  const url =
    publicUrl === null
      ? html`<code class="url">https://<var>your-proxy</var>${path}</code>`
      : html`<code class="url">${publicUrl}</code>`;
  return html`<section aria-labelledby="callback-url">
<h2 id="callback-url">Callback URL</h2>
<p>${url}</p>
<details${new Html(isNew ? ' open' : '')}>
<summary>How to set it up in Tencent's console</summary>
<ol>
<li>In the Chat console, under the app's callback configuration, paste this URL. It takes effect after about two minutes.${
    publicUrl === null
      ? html` Put the scheme and host of your reverse proxy before the path <code>${path}</code>; set <code>CALLBACK_PUBLIC_URL</code>, and the whole URL stands here.`
      : pathHint(publicUrl, path)
  }</li>
<li>${
    tokens === 0
      ? html`Turn authentication on, set a long random token of letters and digits, and give the exporter the same one in <code>CALLBACK_TOKENS</code>, or a file with it in <code>CALLBACK_TOKENS_FILE</code>.`
      : html`Turn authentication on. The token there must be ${tokens === 1 ? 'the one' : `one of the ${tokens}`} of <code>CALLBACK_TOKENS</code>, which this page does not show.`
  }</li>
<li>Switch on the callback for exceptions when group messages are sent, <code>${exceptionCommand}</code>, and leave every other switch as it is.</li>
<li>Switch on the retry of callbacks after an event: what comes twice is counted once.</li>
<li>Send a group message that must fail, such as one of a muted member, and look again.</li>
</ol>
</details>
</section>`;
}

/** A proxy may map one path to another; more often one of the two is wrong. */
function pathHint(publicUrl: string, path: string): Html | null {
  const { pathname, protocol } = new URL(publicUrl);
  return html`${
    pathname === path
      ? null
      : html` Its path is not <code>CALLBACK_PATH</code>: the proxy must pass it on as <code>${path}</code>.`
  }${protocol === 'https:' ? null : html` It is not https: whoever is on the way can read signatures and addresses.`}`;
}

// What fails now

function renderFailing({ activity, links, now }: Status): Html {
  const { codes, exceptions, perMinute, unlisted, since } = activity;
  const items = codes.map((code, index) => renderCode(code, index + 1, links.runbooks, now));
  const isWholeHour = since <= now - (windowMinutes - 1) * 60_000;
  return html`<section aria-labelledby="failing">
<h2 id="failing">Failing now</h2>
${
  exceptions === 0
    ? html`<p>Nothing failed in the last hour.</p>`
    : html`<div class="hour">
<p><strong>${counted(exceptions, 'exception', 'exceptions')}</strong> of ${counted(codes.length, 'code', 'codes')} in the last hour, ${number(lastFive(perMinute))} in the last five minutes.</p>
${renderSparkline(perMinute, now)}
</div>
<ol class="codes">${items.slice(0, shownMax.codes)}</ol>
${more(items.length - shownMax.codes, 'code', 'codes', html`<ol class="codes" start="${shownMax.codes + 1}">${items.slice(shownMax.codes)}</ol>`)}`
}
${
  unlisted === 0
    ? null
    : html`<p>${counted(unlisted, 'exception', 'exceptions')} more, of label sets beyond those that are told apart here. The metrics have them.</p>`
}
${
  isWholeHour
    ? null
    : html`<p class="muted">Only what came from ${time(since, now)} on is counted here: what was before is being read from the journal, or is not in it.</p>`
}
</section>`;
}

function renderCode(code: CodeActivity, rank: number, runbooks: string, now: number): Html {
  const { errorCode, errorCategory, exceptions, perMinute, groupTypes, platforms } = code;
  const { name, meaning, remedy } = explainCode(errorCode);
  return html`<li class="code" id="code-${rank}">
<h3><a href="${errorCodesUrl(runbooks, errorCode)}">${errorCode}</a> ${name} <span class="muted">${errorCategory}</span></h3>
<div class="count"><p><strong>${number(exceptions)}</strong> <span class="muted">in the hour, ${number(lastFive(perMinute))} in 5 min</span></p>
${renderSparkline(perMinute, now)}</div>
<div class="about"><p>${meaning}. <span class="do">${remedy}.</span></p>
<p class="muted">Group types: ${labelCounts(groupTypes)}<br>Platforms: ${labelCounts(platforms)}</p></div>
</li>
`;
}

function renderSparkline(perMinute: readonly number[], now: number): Html {
  const { count, at } = peakOf(perMinute, now);
  return html`<div class="minutes">${sparkline(perMinute, now)}<p class="muted" aria-hidden="true"><span class="edge">an hour ago</span> <span>most ${number(count)}, at ${clockTime(at)}Z</span> <span class="edge">now</span></p></div>`;
}

/** `Public 12, AVChatRoom 3` */
function labelCounts(counts: readonly [label: string, exceptions: number][]): string {
  return counts.map(([label, count]) => `${label} ${number(count)}`).join(', ');
}

// The latest exceptions and rejections

function renderExceptions(status: Status): Html {
  const { activity, sdkAppIds, links, now } = status;
  const { latest } = activity;
  const hasForgotten = latest.some(({ groupId }) => groupId === undefined);
  const rows = latest.map(exception => exceptionCells(exception, status));
  const columns = ['Time', 'Code', 'Group', 'Type', 'Platform', 'Initiator', 'Trace'];
  if (sdkAppIds.length > 1) columns.splice(2, 0, 'SDKAppID');
  return html`<section aria-labelledby="exceptions">
<h2 id="exceptions">Latest exceptions</h2>
${rows.length === 0 ? html`<p>None is known.</p>` : foldedTable('exceptions', columns, rows, shownMax.exceptions, ['exception', 'exceptions'])}
${hasForgotten ? html`<p class="muted">Group IDs are not kept over a restart: the span or log record has them.</p>` : null}
${rows.length > 0 && links.traceTemplate === null ? html`<p class="muted">Set <code>TRACE_URL_TEMPLATE</code>, and trace IDs are links.</p>` : null}
</section>`;

  function exceptionCells(
    { labels, receivedAt, identity, groupId }: ListedException,
    { links }: Status,
  ): Html[] {
    const { sdk_app_id, error_code, group_type, platform, initiator } = labels;
    const url = traceUrl(links, identity);
    const cells = [
      time(receivedAt, now),
      html`${error_code} <span class="muted">${explainCode(error_code).name}</span>`,
      groupId === undefined
        ? html`<span class="muted">not kept</span>`
        : groupId === null
          ? html`<span class="muted">none</span>`
          : html`<code><bdi>${groupId}</bdi></code>`,
      html`${group_type}`,
      html`${platform}`,
      html`${initiator}`,
      url === null ? html`<code>${identity}</code>` : html`<a href="${url}"><code>${identity}</code></a>`,
    ];
    if (sdkAppIds.length > 1) cells.splice(2, 0, html`${sdk_app_id}`);
    return cells;
  }
}

function renderRejections({ rejections, callbacks, links, now }: Status): Html {
  const { rejected } = callbacks.tally;
  const heading = html`<h2 id="rejections">Latest rejections</h2>`;
  if (rejections.length === 0) {
    return html`<section aria-labelledby="rejections">${heading}<p>None since the start.</p></section>`;
  }
  const byReason = Map.groupBy(rejections, ({ reason }) => reason);
  const reasons = [...byReason].map(([reason, list]) => {
    const { cause, remedy, runbook } = rejectionCauses[reason];
    return [
      html`<code>${reason}</code>`,
      html`${list.length}`,
      time(list[0]!.at, now),
      html`${cause}`,
      html`${remedy} <a href="${runbookUrl(links.runbooks, runbook)}">Runbook<span class="unseen">: ${reason}</span></a>`,
    ];
  });
  const hasBodies = rejections.some(({ body }) => body !== null);
  const rows = rejections.map(each => rejectionCells(each));
  return html`<section aria-labelledby="rejections">
${heading}
<p>${counted(rejected, 'callback was', 'callbacks were')} refused since the start${rejected > rejectionsKeptMax ? html`; these are the last ${rejectionsKeptMax}` : null}.</p>
${table('By reason', 'reasons', ['Reason', 'Count', 'Last', 'Usually because', 'What to do'], reasons)}
${foldedTable('rejections', ['Time', 'Reason', 'Command', ...(hasBodies ? ['Body'] : [])], rows, shownMax.rejections, ['rejection', 'rejections'])}
</section>`;

  function rejectionCells({ at, reason, command, body }: Rejection): Html[] {
    const cells = [time(at, now), html`<code>${reason}</code>`, html`<code>${command}</code>`];
    if (!hasBodies) return cells;
    const shown =
      body === null
        ? html`<span class="muted">not read</span>`
        : html`<details><summary>${counted(body.length, 'character', 'characters')}</summary><code><bdi>${body}</bdi></code></details>`;
    return [...cells, shown];
  }
}

function renderLinks({ links }: Status): Html {
  const { dashboards, runbooks } = links;
  return html`<nav aria-labelledby="links">
<h2 id="links">Links</h2>
<ul class="links">
<li>${
    dashboards === null
      ? html`Dashboards: set <code>DASHBOARDS_URL</code>`
      : html`<a href="${dashboards}">Dashboards</a>`
  }</li>
<li><a href="${runbooks}/README.md">Runbooks</a>, <a href="${errorCodesUrl(runbooks)}">error codes</a></li>
<li><a href="metrics">Metrics</a></li>
<li><a href="api/status">This page as JSON</a></li>
<li><a href="-/healthy">Health</a>, <a href="-/ready">readiness</a></li>
</ul>
</nav>`;
}

// Parts

/** The first `shown` rows as a table, the rest behind a click. */
function foldedTable(
  kind: string,
  columns: readonly string[],
  rows: readonly Html[][],
  shown: number,
  [one, many]: [string, string],
): Html {
  const rest = rows.slice(shown);
  const captions = { latest: `The latest ${many}`, earlier: `Earlier ${many}` };
  return html`${table(captions.latest, kind, columns, rows.slice(0, shown))}${more(rest.length, one, many, table(captions.earlier, kind, columns, rest))}`;
}

function more(count: number, one: string, many: string, content: Html): Html | null {
  if (count <= 0) return null;
  return html`<details><summary>${counted(count, `${one} more`, `${many} more`)}</summary>${content}</details>`;
}

/**
 * A table that becomes a list of cards on a phone. The roles say again what the elements mean: browsers forget it of
 * elements that are laid out in another way.
 */
function table(
  caption: string,
  kind: string,
  columns: readonly string[],
  rows: readonly HtmlValue[][],
): Html {
  return html`<table role="table" class="${kind}">
<caption><span class="unseen">${caption}</span></caption>
<thead role="rowgroup"><tr role="row">${columns.map(column => html`<th role="columnheader" scope="col">${column}</th>`)}</tr></thead>
<tbody role="rowgroup">
${rows.map(cells => html`<tr role="row">${cells.map((cell, index) => html`<td role="cell" data-column="${columns[index]!}"><div>${cell}</div></td>`)}</tr>\n`)}</tbody>
</table>`;
}

function time(at: number, now: number): Html {
  return html`<time datetime="${iso(at)}">${ago(at, now)} <span class="iso">${isoSeconds(at)}</span></time>`;
}
