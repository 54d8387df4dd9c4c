/** Dashboards as resources of `dashboard.grafana.app/v2`, which Grafana has from version 13 on. */
import type * as cog from '@grafana/grafana-foundation-sdk/cog';
import {
  AnnotationQueryBuilder,
  DashboardBuilder,
  DashboardCursorSync,
  DashboardLinkBuilder,
  DashboardLinkType,
  type DataQueryKind,
  DatasourceVariableBuilder,
  grid,
  gridItem,
  manifest,
  PanelBuilder,
  QueryGroupBuilder,
  QueryVariableBuilder,
  RepeatOptionsBuilder,
  row,
  rows,
  TargetBuilder,
  TimeSettingsBuilder,
  TransformationBuilder,
  type VariableKind,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboardv2';
import * as loki from '@grafana/grafana-foundation-sdk/loki';
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus';
import type { Manifest } from '@grafana/grafana-foundation-sdk/resource';
import * as tempo from '@grafana/grafana-foundation-sdk/tempo';
import {
  type Annotation,
  type Dashboard,
  gridColumns,
  layOut,
  type Panel,
  type Query,
  refId,
  type Variable,
} from './model.ts';
import { annotations, tag } from './queries.ts';

const dataSource = (source: Query['source']) => ({
  name: source === 'prometheus' ? `\${datasource}` : `\${${source}}`,
});

/** `metadata.name` is the uid. */
export function toV2(dashboard: Dashboard): Manifest {
  const layout = rows();
  const builder = new DashboardBuilder(dashboard.title)
    .description(dashboard.description)
    .tags([tag])
    .editable(false)
    .cursorSync(DashboardCursorSync.Crosshair)
    .timeSettings(new TimeSettingsBuilder().from(dashboard.from).to('now').autoRefresh('1m'))
    .variables(dashboard.variables.map(variableOf))
    .annotations(annotations.map(annotationOf))
    .links([
      new DashboardLinkBuilder()
        .title('Tencent Chat dashboards')
        .type(DashboardLinkType.Dashboards)
        .icon('external link')
        .tooltip('The other dashboards, with the same variables and time range')
        .tags([tag])
        .asDropdown(true)
        .includeVars(true)
        .keepTime(true),
    ]);
  // Numbered as classic numbers them, where a row has a number too: links to a panel fit both.
  let id = 0;
  for (const { title, panels } of dashboard.rows) {
    id++;
    const cells = grid();
    const { places } = layOut(panels);
    panels.forEach((panel, index) => {
      id++;
      const { x, y, w, h } = places[index]!;
      const item = gridItem(`panel-${id}`).x(x).y(y).width(w).height(h);
      if (panel.repeat) {
        const { repeat, width } = panel;
        const options = new RepeatOptionsBuilder()
          .value(repeat)
          .direction('h')
          .maxPerRow(gridColumns / width);
        item.repeat(options);
      }
      builder.element(`panel-${id}`, panelOf(panel, id));
      cells.item(item);
    });
    layout.row(row(title).layout(cells));
  }
  // Last: the SDK builds the layout as it is now.
  builder.layout(layout);
  return manifest(dashboard.uid, builder).build();
}

function panelOf(panel: Panel, id: number): PanelBuilder {
  const data = new QueryGroupBuilder();
  panel.queries.forEach((query, index) => {
    data.target(new TargetBuilder().refId(refId(index)).query(queryOf(query)));
  });
  for (const { id: group, options } of panel.transformations ?? []) {
    data.transformation(new TransformationBuilder().group(group).options(options));
  }
  return new PanelBuilder()
    .id(id)
    .title(panel.title)
    .description(panel.description)
    .data(data)
    .visualization({ build: () => panel.visualization });
}

function queryOf(query: Query): cog.Builder<DataQueryKind> {
  switch (query.source) {
    case 'prometheus': {
      const builder = new prometheus.QueryV2Builder()
        .datasource(dataSource(query.source))
        .editorMode(prometheus.QueryEditorMode.Code)
        .format((query.format ?? 'time_series') as prometheus.PromQueryFormat)
        .instant(query.isInstant ?? false)
        .range(!query.isInstant)
        .expr(query.expr);
      if (query.legend !== undefined) builder.legendFormat(query.legend);
      if (query.hasExemplars) builder.exemplar(true);
      return builder;
    }
    case 'loki':
      return new loki.QueryV2Builder()
        .datasource(dataSource(query.source))
        .queryType('range')
        .expr(query.expr);
    case 'tempo':
      return new tempo.QueryV2Builder()
        .datasource(dataSource(query.source))
        .queryType('traceql')
        .tableType(tempo.SearchTableType.Spans)
        .limit(50)
        .filters([])
        .query(query.expr);
  }
}

function variableOf(variable: Variable): cog.Builder<VariableKind> {
  if (variable.kind === 'datasource') {
    return new DatasourceVariableBuilder(variable.name)
      .label(variable.label)
      .description(variable.description)
      .refresh(VariableRefresh.OnDashboardLoad)
      .pluginId(variable.plugin);
  }
  const { name, label, description, metric, valuesOf } = variable;
  const definition = `label_values(${metric}, ${valuesOf})`;
  return new QueryVariableBuilder(name)
    .label(label)
    .description(description)
    .query(variableQuery(definition, name))
    .definition(definition)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ text: ['All'], value: ['$__all'] })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.NaturalAsc);
}

/** The builder for Prometheus takes no variable's query, whose text is under `query`. */
function variableQuery(definition: string, name: string): cog.Builder<DataQueryKind> {
  const query = new prometheus.QueryV2Builder().datasource(dataSource('prometheus')).build();
  return { build: () => ({ ...query, spec: { query: definition, refId: `variable-${name}` } }) };
}

function annotationOf({ name, expr, color, title, text, isValueTime }: Annotation): AnnotationQueryBuilder {
  return new AnnotationQueryBuilder()
    .name(name)
    .enable(true)
    .iconColor(color)
    .query(new prometheus.QueryV2Builder().datasource(dataSource('prometheus')).expr(expr).interval('60s'))
    .legacyOptions({
      expr,
      step: '60s',
      titleFormat: title,
      textFormat: text,
      useValueForTime: isValueTime,
    });
}
