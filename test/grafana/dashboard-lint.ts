/**
 * What is asked of a dashboard beyond Grafana's schema, on the shipped classic JSON. Each complaint names the panel.
 */
import * as sdkUnits from '@grafana/grafana-foundation-sdk/units';
import { colors } from '../../src/grafana/dashboards/colors.ts';
import { links } from '../../src/grafana/settings.ts';
import { type MetricRow, metricTable } from '../../src/metrics/table.ts';

// biome-ignore lint/suspicious/noExplicitAny: the JSON that Grafana reads, planted mistakes included
export type Json = any;

const units = new Set<unknown>(Object.values(sdkUnits));
const counters = Object.values(metricTable).filter(({ type }) => type === 'counter') as MetricRow[];

/** Panels that show something, without the heads of rows. */
export const panelsOf = (dashboard: Json): Json[] =>
  dashboard.panels.filter((panel: Json) => panel.type !== 'row');

/** Matchers may hold no bracket; that is so here. */
const selectorsOf = (expr: string): { name: string; matchers: string }[] =>
  [...expr.matchAll(/([a-zA-Z_:][\w:]*)\{([^}]*)\}/g)].map(([, name, matchers]) => ({
    name: name!,
    matchers: matchers!,
  }));

/** Complaints about one dashboard; `others`, by uid, are what its links may point to. */
export function lint(dashboard: Json, others: Record<string, Json>): string[] {
  const found: string[] = [];
  const variables: Json[] = dashboard.templating.list;
  const names = variables.map(({ name }) => name);
  const complain = (where: string, what: string) => found.push(`${dashboard.uid} › ${where}: ${what}`);
  const ofDashboard = (what: string) => complain('dashboard', what);

  if (dashboard.editable !== false) ofDashboard('editable');
  if (dashboard.schemaVersion !== 42) ofDashboard('schemaVersion is not 42');
  if (dashboard.refresh !== '1m') ofDashboard('refresh is not 1m');
  if (dashboard.graphTooltip !== 1) ofDashboard('no shared crosshair');
  if (!dashboard.tags?.includes('tencent-chat')) ofDashboard('no tag');
  if (!dashboard.description?.endsWith('?')) ofDashboard('the description is no question');
  const [menu] = dashboard.links ?? [];
  if (
    !menu?.asDropdown ||
    !menu.includeVars ||
    !menu.keepTime ||
    !menu.tags.includes('tencent-chat') ||
    menu.placement
  ) {
    ofDashboard('no menu of dashboards that keeps variables and time');
  }
  for (const name of ['Alerts', 'Exporter starts', 'Exporter versions']) {
    const annotation = dashboard.annotations.list.find((one: Json) => one.name === name);
    if (!annotation?.enable || annotation.placement) ofDashboard(`no annotation ${name}`);
  }
  if (
    variables[0]?.name !== 'datasource' ||
    variables[0].label !== 'Data source' ||
    variables[0].query !== 'prometheus'
  ) {
    ofDashboard('the first variable is not the data source');
  }
  for (const name of ['job', 'instance']) if (!names.includes(name)) ofDashboard(`no variable ${name}`);
  for (const variable of variables) {
    if (!variable.label) complain(variable.name, 'a variable without a label');
    if (Object.keys(variable).some(key => key.startsWith('auto')))
      complain(variable.name, 'keys of an interval variable');
    if (variable.type !== 'query') continue;
    if (!variable.multi || !variable.includeAll || variable.allValue !== '.+')
      complain(variable.name, 'not multi with an All of .+');
    if (variable.refresh !== 2) complain(variable.name, 'never refreshed');
    if (variable.datasource?.uid !== `\${datasource}`)
      complain(variable.name, 'data source is not a variable');
  }

  const ids = new Set<number>();
  const places: { x: number; y: number; w: number; h: number; title: string }[] = [];
  for (const panel of dashboard.panels) {
    const { title, gridPos } = panel;
    if (!(panel.id > 0) || ids.has(panel.id)) complain(title, 'no id of its own');
    ids.add(panel.id);
    if (gridPos.x < 0 || gridPos.x + gridPos.w > 24) complain(title, 'outside the 24 columns');
    for (const other of places) {
      const isApart =
        gridPos.x + gridPos.w <= other.x ||
        other.x + other.w <= gridPos.x ||
        gridPos.y + gridPos.h <= other.y ||
        other.y + other.h <= gridPos.y;
      if (!isApart) complain(title, `overlaps ${other.title}`);
    }
    places.push({ ...gridPos, title });
  }

  const titles = new Set<string>();
  for (const panel of panelsOf(dashboard)) {
    const { title, description, type, fieldConfig, options } = panel;
    const { defaults, overrides } = fieldConfig;
    const about = (what: string) => complain(title, what);
    if (!title) complain(`panel ${panel.id}`, 'no title');
    if (titles.has(title)) about('title is not unique');
    titles.add(title);
    if (!description || !/[Nn]ormal: /.test(description)) about('description does not say what is normal');
    if (panel.repeat && !names.includes(panel.repeat))
      about(`repeats over ${panel.repeat}, which is no variable`);
    if (!defaults.noValue && type !== 'heatmap') about('no text for the empty panel');

    const properties: Json[] = overrides.flatMap((override: Json) => override.properties);
    const usedUnits = [
      defaults.unit,
      ...properties.filter(({ id }) => id === 'unit').map(({ value }) => value),
    ].filter(Boolean);
    for (const unit of usedUnits) if (!units.has(unit)) about(`no such unit: ${unit}`);
    if (type === 'table' && defaults.unit !== undefined) about('a unit for all columns of a table');
    if (!['table', 'logs'].includes(type) && defaults.unit === undefined) about('no unit');
    if (['timeseries', 'bargauge'].includes(type) && defaults.min !== 0) about('does not begin at 0');
    if (type === 'timeseries') {
      const { legend } = options;
      if (
        !legend?.showLegend ||
        legend.displayMode !== 'table' ||
        legend.calcs.join() !== 'lastNotNull,max' ||
        !legend.sortBy
      ) {
        about('legend is no sorted table with last and max');
      }
    }
    const isStat =
      type === 'stat' && defaults.thresholds.steps.some(({ color }: Json) => color === colors.failure);
    const plain = properties.filter(
      ({ id, value }) => id === 'color' && value.fixedColor === colors.failure,
    ).length;
    const allowed = overrides.filter(({ matcher }: Json) =>
      ['internal_error', 'limit', 'failures per minute'].includes(matcher.options),
    ).length;
    if (!isStat && plain > allowed) about('red for what is no failure');

    for (const target of panel.targets) {
      const isPrometheus = target.datasource?.type === 'prometheus';
      if (!/^\$\{\w+\}$/.test(target.datasource?.uid ?? '')) about('data source is not a variable');
      if (!names.includes(target.datasource?.uid.slice(2, -1)))
        about(`no variable ${target.datasource?.uid}`);
      const expr: string = target.expr ?? target.query ?? '';
      if (expr === '') about('an empty query');
      for (const [, name] of expr.matchAll(/\$\{?(\w+)/g)) {
        if (!name!.startsWith('__') && !names.includes(name)) about(`$${name} is no variable here`);
      }
      if (!isPrometheus) continue;
      if (
        ['timeseries', 'state-timeline', 'heatmap'].includes(type) &&
        (!target.legendFormat || target.instant)
      )
        about('a series without a name, or instant');
      if (['table', 'bargauge'].includes(type) && !target.instant) about('not instant');
      for (const { name, matchers } of selectorsOf(expr)) {
        const isRecorded = name.includes(':');
        const isAlert = name.startsWith('ALERTS');
        if (!matchers.includes('job=~"$job')) about(`${name} is not filtered by job`);
        if (
          !isRecorded &&
          !isAlert &&
          name !== metricTable.errorCodeInfo.name &&
          !matchers.includes('instance=~"$instance"')
        ) {
          about(`${name} is not filtered by instance`);
        }
        if (isRecorded && matchers.includes('instance')) about(`${name} has no instance`);
        if (
          matchers.includes('error_category=~"$error_category"') !== names.includes('error_category') &&
          name === metricTable.exceptions.name &&
          !/Share|server/.test(title)
        ) {
          about(`${name} is not filtered by category`);
        }
      }
      for (const { name } of counters) {
        const uses = expr.split(`${name}{`).length - 1;
        const inside = [...expr.matchAll(new RegExp(`(?:rate|increase)\\(${name}\\{[^}]*\\}\\[`, 'g'))]
          .length;
        if (uses !== inside) about(`${name} outside rate() and increase()`);
      }
      for (const [, window] of expr.matchAll(/\brate\([^[\]]*\[([^\]]+)\]/g)) {
        if (window !== '$__rate_interval') about(`rate over ${window}, not $__rate_interval`);
      }
      for (const label of ['user', 'group_id', 'message', 'trace_id']) {
        if (new RegExp(`(?:by|without) \\([^)]*\\b${label}\\b`).test(expr)) about(`a legend with ${label}`);
      }
      if (/(?<!\w)\/ \((?!.*> 0\))/.test(expr)) about('a denominator that may be 0');
    }

    const panelLinks: Json[] = [
      ...(defaults.links ?? []),
      ...properties.filter(({ id }) => id === 'links').flatMap(({ value }) => value),
    ];
    for (const { title: linkTitle, url } of panelLinks) {
      if (!linkTitle) about('a link without a title');
      const [, uid, query] = /^\/d\/([\w-]+)\?(.*)$/.exec(url) ?? [];
      if (uid === undefined) {
        if (!url.startsWith(`${links.runbooksUrl}/`)) about(`a link to nowhere: ${url}`);
        continue;
      }
      const target = others[uid];
      if (target === undefined) {
        about(`a link to ${uid}, which is no dashboard`);
        continue;
      }
      const known = target.templating.list.map(({ name }: Json) => name);
      if (!query!.includes(`\${__url_time_range}`)) about('a link that loses the time range');
      const given = [...query!.matchAll(/var-(\w+)=/g), ...query!.matchAll(/\$\{(\w+):queryparam\}/g)].map(
        ([, name]) => name!,
      );
      for (const name of given)
        if (!known.includes(name)) about(`a link with ${name}, which ${uid} does not have`);
      for (const name of ['datasource', 'job', 'instance'])
        if (!given.includes(name)) about(`a link that loses ${name}`);
    }
  }
  return found;
}

/** As Grafana would fill them in, every variable at All. */
export function substitute(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '8m')
    .replaceAll('$__range', '1d')
    .replaceAll(/\$\{\w+:(?:regex|pipe)\}/g, '.+')
    .replaceAll(/\$(?!__)\w+/g, '.+');
}
