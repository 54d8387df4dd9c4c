/** Classic dashboards, `schemaVersion` 42: what Grafana has read since version 5 and exports until 12. */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import {
  AnnotationQueryBuilder,
  type Dashboard as Classic,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type FieldConfigSource,
  PanelBuilder,
  QueryVariableBuilder,
  RowBuilder,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import * as loki from '@grafana/grafana-foundation-sdk/loki';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import * as tempo from '@grafana/grafana-foundation-sdk/tempo';
import {
  type Annotation,
  type Dashboard,
  gridColumns,
  layOut,
  type Panel,
  type Place,
  type Query,
  refId,
  type Variable,
} from './model.ts';
import { annotations, tag } from './queries.ts';

/** By the variables of queries.ts. */
const dataSource = (source: Query['source']) => ({
  type: source,
  uid: source === 'prometheus' ? `\${datasource}` : `\${${source}}`,
});

export function toClassic(dashboard: Dashboard): Classic {
  const builder = new DashboardBuilder(dashboard.title)
    .uid(dashboard.uid)
    .description(dashboard.description)
    .tags([tag])
    .readonly()
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: dashboard.from, to: 'now' })
    .refresh('1m')
    .variables(dashboard.variables.map(variableOf))
    .annotations(annotations.map(annotationOf))
    .link(
      new DashboardLinkBuilder('Tencent Chat dashboards')
        .type(DashboardLinkType.Dashboards)
        .icon('external link')
        .tooltip('The other dashboards, with the same variables and time range')
        .tags([tag])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    );
  let y = 0;
  for (const { title, panels } of dashboard.rows) {
    builder.withRow(new RowBuilder(title).gridPos({ x: 0, y, w: gridColumns, h: 1 }));
    const { places, height } = layOut(panels);
    panels.forEach((panel, index) => {
      const place = places[index]!;
      builder.withPanel(panelOf(panel, { ...place, y: y + 1 + place.y }));
    });
    y += 1 + height;
  }
  return mendClassic(builder.build());
}

/**
 * What the SDK's classic builders get wrong. They put links and annotations into a menu that Grafana before 13 does not
 * draw, give every variable the keys of an interval's, and number no panel.
 */
export function mendClassic(dashboard: Classic): Classic {
  for (const link of dashboard.links ?? []) delete (link as { placement?: unknown }).placement;
  for (const annotation of dashboard.annotations?.list ?? []) delete annotation.placement;
  for (const variable of dashboard.templating?.list ?? []) {
    for (const key of ['auto', 'auto_min', 'auto_count'] as const) delete variable[key];
  }
  (dashboard.panels ?? []).forEach((panel, index) => {
    panel.id = index + 1;
  });
  return dashboard;
}

function panelOf(panel: Panel, gridPos: Place): PanelBuilder {
  const { group, spec } = panel.visualization;
  const builder = new PanelBuilder()
    .type(group)
    .title(panel.title)
    .description(panel.description)
    .datasource(dataSource(panel.queries[0]!.source))
    .gridPos(gridPos)
    .targets(panel.queries.map((query, index) => targetOf(query, refId(index))))
    .options(spec.options)
    // Of the same shape in both formats; the SDK has a type for each.
    .fieldConfig(spec.fieldConfig as unknown as FieldConfigSource);
  for (const transformation of panel.transformations ?? []) builder.withTransformation(transformation);
  if (panel.repeat)
    builder
      .repeat(panel.repeat)
      .repeatDirection('h')
      .maxPerRow(gridColumns / panel.width);
  return builder;
}

function targetOf(query: Query, id: string): cog.Builder<cog.Dataquery> {
  switch (query.source) {
    case 'prometheus': {
      const builder = new prometheus.DataqueryBuilder()
        .datasource(dataSource(query.source))
        .refId(id)
        .editorMode(prometheus.QueryEditorMode.Code)
        .format((query.format ?? 'time_series') as prometheus.PromQueryFormat)
        .expr(query.expr);
      if (query.legend !== undefined) builder.legendFormat(query.legend);
      if (query.hasExemplars) builder.exemplar(true);
      return query.isInstant ? builder.instant() : builder.range();
    }
    case 'loki':
      return new loki.DataqueryBuilder()
        .datasource(dataSource(query.source))
        .refId(id)
        .queryType('range')
        .expr(query.expr);
    case 'tempo':
      return new tempo.DataqueryBuilder()
        .datasource(dataSource(query.source))
        .refId(id)
        .queryType('traceql')
        .tableType(tempo.SearchTableType.Spans)
        .limit(50)
        .filters([])
        .query(query.expr);
  }
}

function variableOf(variable: Variable): cog.Builder<VariableModel> {
  if (variable.kind === 'datasource') {
    return new DatasourceVariableBuilder(variable.name)
      .label(variable.label)
      .description(variable.description)
      .type(variable.plugin);
  }
  const { name, label, description, metric, valuesOf } = variable;
  const definition = `label_values(${metric}, ${valuesOf})`;
  return new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .datasource(dataSource('prometheus'))
    .query({ query: definition, refId: `variable-${name}` })
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ selected: true, text: ['All'], value: ['$__all'] })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc);
}

function annotationOf({ name, expr, color, title, text, isValueTime }: Annotation): AnnotationQueryBuilder {
  return new AnnotationQueryBuilder()
    .name(name)
    .datasource(dataSource('prometheus'))
    .enable(true)
    .iconColor(color)
    .expr(expr)
    .titleFormat(title)
    .textFormat(text)
    .step('60s')
    .useValueForTime(isValueTime);
}
