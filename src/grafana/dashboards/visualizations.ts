/** Panels in this project's style, each a few lines where a dashboard uses it. */

import * as bargauge from '@grafana/grafana-foundation-sdk/bargauge';
import {
  AxisPlacement,
  BarGaugeDisplayMode,
  BarGaugeNamePlacement,
  BarGaugeSizing,
  BarGaugeValueMode,
  BigValueColorMode,
  BigValueGraphMode,
  type BigValueTextMode,
  GraphDrawStyle,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  LogsSortOrder,
  ReduceDataOptionsBuilder,
  ScaleDistribution,
  ScaleDistributionConfigBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TableCellHeight,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTextDisplayOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  type ValueMapping,
} from '@grafana/grafana-foundation-sdk/dashboardv2';
import * as heatmap from '@grafana/grafana-foundation-sdk/heatmap';
import * as logs from '@grafana/grafana-foundation-sdk/logs';
import * as statPanel from '@grafana/grafana-foundation-sdk/stat';
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline';
import * as tablePanel from '@grafana/grafana-foundation-sdk/table';
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries';
import { LocaleFormat, NoUnit } from '@grafana/grafana-foundation-sdk/units';
import { colors, labelColors } from './colors.ts';
import type { Panel, Query } from './model.ts';

type PrometheusQuery = Extract<Query, { source: 'prometheus' }>;

/** What every panel says of itself; the rest is its look. */
type Head = Pick<Panel, 'title' | 'description' | 'width' | 'height' | 'repeat'>;
export interface Link {
  title: string;
  url: string;
}

/** Colours from a value on, ascending; the first step has none and is the colour of all below. */
export type Steps = readonly [{ color: string }, ...{ from: number; color: string }[]];

export interface Override {
  /** A series' or column's name as it is shown. */
  name: string;
  color?: string;
  unit?: string;
  isDashed?: boolean;
  isThin?: boolean;
  /** Fills the area down to the series of this name. */
  fillBelowTo?: string;
  onRightAxis?: boolean;
}

function thresholdsOf([first, ...steps]: Steps) {
  return new ThresholdsConfigBuilder()
    .mode(ThresholdsMode.Absolute)
    .steps([
      { value: null, color: first.color },
      ...steps.map(({ from, color }) => ({ value: from, color })),
    ]);
}

const fixed = (color: string) => ({ mode: FieldColorModeId.Fixed, fixedColor: color });

function propertiesOf({ color, unit, isDashed, isThin, fillBelowTo, onRightAxis }: Override) {
  const properties: DynamicConfigValue[] = [];
  if (color !== undefined) properties.push({ id: 'color', value: fixed(color) });
  if (unit !== undefined) properties.push({ id: 'unit', value: unit });
  if (isDashed) properties.push({ id: 'custom.lineStyle', value: { fill: 'dash', dash: [8, 6] } });
  if (isThin) properties.push({ id: 'custom.lineWidth', value: 1 });
  if (isDashed || isThin) properties.push({ id: 'custom.fillOpacity', value: 0 });
  if (fillBelowTo !== undefined) {
    properties.push(
      { id: 'custom.fillBelowTo', value: fillBelowTo },
      { id: 'custom.fillOpacity', value: 12 },
    );
  }
  if (onRightAxis) properties.push({ id: 'custom.axisPlacement', value: AxisPlacement.Right });
  return properties;
}

const lastValue = () => new ReduceDataOptionsBuilder().calcs(['lastNotNull']).fields('').values(false);

/** One number. `shows` says what is written: the value alone, with the series' name, or a label's text. */
export function stat(
  head: Head,
  look: {
    queries: readonly PrometheusQuery[];
    unit: string;
    steps?: Steps;
    decimals?: number;
    hasSparkline?: boolean;
    shows?: 'value' | 'value_and_name' | 'name';
    noValue?: string;
    texts?: Record<string, string>;
    links?: readonly Link[];
  },
): Panel {
  const builder = new statPanel.VisualizationV2Builder()
    .unit(look.unit)
    .thresholds(thresholdsOf(look.steps ?? [{ color: 'text' }]))
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .colorMode(BigValueColorMode.Value)
    .graphMode(look.hasSparkline ? BigValueGraphMode.Area : BigValueGraphMode.None)
    .textMode((look.shows ?? 'value') as BigValueTextMode)
    .orientation(VizOrientation.Auto)
    .wideLayout(false)
    .reduceOptions(lastValue())
    .noValue(look.noValue ?? 'no data')
    .dataLinks([...(look.links ?? [])]);
  if (look.decimals !== undefined) builder.decimals(look.decimals);
  if (look.texts) builder.mappings([valueTexts(look.texts)]);
  return { ...head, queries: look.queries, visualization: builder.build() };
}

function valueTexts(texts: Record<string, string>, colors: Record<string, string> = {}): ValueMapping {
  const options = Object.fromEntries(
    Object.entries(texts).map(([value, text], index) => [
      value,
      { text, index, ...(colors[value] === undefined ? {} : { color: colors[value] }) },
    ]),
  );
  return { type: MappingType.Value, options };
}

/** A graph over time. Series that are named like an error category have its colour. */
export function timeSeries(
  head: Head,
  look: {
    queries: readonly PrometheusQuery[];
    unit: string;
    /** stacked: bars that add up. share: areas that add up to 100 %. */
    style?: 'lines' | 'stacked' | 'share';
    overrides?: readonly Override[];
    /** Lines across the graph. */
    limits?: Steps;
    links?: readonly Link[];
    max?: number;
    legend?: 'below' | 'beside';
    isLogarithmic?: boolean;
    noValue?: string;
  },
): Panel {
  const style = look.style ?? 'lines';
  const builder = new timeseries.VisualizationV2Builder()
    .unit(look.unit)
    .min(0)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
    .drawStyle(style === 'stacked' ? GraphDrawStyle.Bars : GraphDrawStyle.Line)
    .lineWidth(style === 'lines' ? 2 : style === 'stacked' ? 0 : 1)
    .fillOpacity(style === 'lines' ? 0 : style === 'stacked' ? 90 : 70)
    .showPoints(VisibilityMode.Never)
    .spanNulls(false)
    .stacking(
      new StackingConfigBuilder()
        .mode(
          style === 'lines'
            ? StackingMode.None
            : style === 'share'
              ? StackingMode.Percent
              : StackingMode.Normal,
        )
        .group('A'),
    )
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.Table)
        .placement(look.legend === 'beside' ? LegendPlacement.Right : LegendPlacement.Bottom)
        .calcs(['lastNotNull', 'max'])
        .sortBy('Max')
        .sortDesc(true),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
    .noValue(look.noValue ?? 'no data')
    .dataLinks([...(look.links ?? [])]);
  if (look.max !== undefined) builder.max(look.max);
  if (look.limits) {
    builder
      .thresholds(thresholdsOf(look.limits))
      .thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  }
  if (look.isLogarithmic) {
    builder.scaleDistribution(new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10));
  }
  const byName = Object.assign({}, ...look.queries.map(({ legend }) => labelColors[legend ?? ''] ?? {}));
  for (const [name, color] of Object.entries<string>(byName))
    builder.overrideByName(name, propertiesOf({ name, color }));
  for (const override of look.overrides ?? []) builder.overrideByName(override.name, propertiesOf(override));
  return { ...head, queries: look.queries, visualization: builder.build() };
}

/** The largest of something, as horizontal bars. The query is instant and sorted. */
export function ranking(
  head: Head,
  look: { queries: readonly PrometheusQuery[]; links?: readonly Link[]; noValue?: string },
): Panel {
  const builder = new bargauge.VisualizationV2Builder()
    .unit(LocaleFormat)
    .decimals(0)
    .min(0)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor(colors.plain))
    .thresholds(thresholdsOf([{ color: colors.plain }]))
    .displayMode(BarGaugeDisplayMode.Basic)
    .valueMode(BarGaugeValueMode.Text)
    .namePlacement(BarGaugeNamePlacement.Left)
    .showUnfilled(false)
    .sizing(BarGaugeSizing.Auto)
    .minVizHeight(16)
    .maxVizHeight(28)
    .orientation(VizOrientation.Horizontal)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(false)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs([]),
    )
    .text(new VizTextDisplayOptionsBuilder().titleSize(13).valueSize(13))
    .reduceOptions(lastValue())
    .noValue(look.noValue ?? 'none in this time range')
    .dataLinks([...(look.links ?? [])]);
  return { ...head, queries: look.queries, visualization: builder.build() };
}

export interface Column {
  /** The label, or `Value`. */
  field: string;
  /** For people. */
  name: string;
  unit?: string;
  decimals?: number;
  width?: number;
  links?: readonly Link[];
  /** Text in place of a value, and its colour. */
  texts?: Record<string, string>;
  textColors?: Record<string, string>;
  /** The cell's background goes from none to this with the value. */
  isShaded?: boolean;
  sort?: 'ascending' | 'descending';
}

/** Rows of an instant query with these columns only. A unit is a column's, never the table's: a code is no quantity. */
export function table(
  head: Head,
  look: { expr: string; columns: readonly Column[]; noValue: string },
): Panel {
  const builder = new tablePanel.VisualizationV2Builder()
    .showHeader(true)
    .cellHeight(TableCellHeight.Sm)
    .noValue(look.noValue)
    // That text is for the empty table; a cell without a value stays empty.
    .overrideByRegexp('.*', [{ id: 'noValue', value: ' ' }]);
  for (const { name, sort } of look.columns) {
    if (sort) builder.sortBy([sortBy(name, sort)]);
  }
  for (const column of look.columns) {
    const properties: DynamicConfigValue[] = [];
    if (column.unit !== undefined) properties.push({ id: 'unit', value: column.unit });
    if (column.decimals !== undefined) properties.push({ id: 'decimals', value: column.decimals });
    if (column.width !== undefined) properties.push({ id: 'custom.width', value: column.width });
    if (column.links) properties.push({ id: 'links', value: column.links });
    if (column.texts)
      properties.push({ id: 'mappings', value: [valueTexts(column.texts, column.textColors)] });
    if (column.textColors) properties.push({ id: 'custom.cellOptions', value: { type: 'color-text' } });
    if (column.isShaded) properties.push(...shade);
    if (properties.length > 0) builder.overrideByName(column.name, properties);
  }
  const fields = look.columns.map(({ field }) => field);
  return {
    ...head,
    queries: [{ source: 'prometheus', expr: look.expr, isInstant: true, format: 'table' }],
    transformations: [
      { id: 'filterFieldsByName', options: { include: { names: fields } } },
      {
        id: 'organize',
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries(fields.map((field, index) => [field, index])),
          renameByName: Object.fromEntries(look.columns.map(({ field, name }) => [field, name])),
        },
      },
    ],
    visualization: builder.build(),
  };
}

const sortBy = (displayName: string, order: 'ascending' | 'descending') => ({
  build: () => ({ displayName, desc: order === 'descending' }),
});

const shade: DynamicConfigValue[] = [
  { id: 'custom.cellOptions', value: { type: 'color-background', mode: 'gradient' } },
  { id: 'color', value: { mode: FieldColorModeId.ContinuousBlues } },
  { id: 'min', value: 0 },
];

/** Two labels against each other: `rows` down, `across` across, the query's value in the cells. */
export function matrix(
  head: Head,
  look: {
    expr: string;
    rows: string;
    rowsName: string;
    across: string;
    noValue: string;
    links?: readonly Link[];
  },
): Panel {
  const corner = `${look.rows}\\${look.across}`;
  const builder = new tablePanel.VisualizationV2Builder()
    .showHeader(true)
    .cellHeight(TableCellHeight.Sm)
    .noValue(look.noValue)
    // That text is for the empty table; a cell without a value stays empty.
    .overrideByRegexp('.*', [{ id: 'noValue', value: ' ' }])
    // Every column but the first, whose name ends in the other label's.
    .overrideByRegexp(`^(?!.*\\\\${look.across}$).*$`, [
      { id: 'unit', value: LocaleFormat },
      { id: 'decimals', value: 0 },
      { id: 'custom.minWidth', value: 60 },
      ...shade,
    ])
    .overrideByName(corner, [
      { id: 'displayName', value: look.rowsName },
      { id: 'custom.width', value: 120 },
      ...(look.links ? [{ id: 'links', value: look.links }] : []),
    ]);
  return {
    ...head,
    queries: [{ source: 'prometheus', expr: look.expr, isInstant: true, format: 'table' }],
    transformations: [
      {
        id: 'groupingToMatrix',
        options: { columnField: look.across, rowField: look.rows, valueField: 'Value', emptyValue: 'null' },
      },
    ],
    visualization: builder.build(),
  };
}

/** A histogram's buckets over time. */
export function bucketHeatmap(head: Head, look: { expr: string; unit: string }): Panel {
  const builder = new heatmap.VisualizationV2Builder()
    .calculate(false)
    .color(
      new heatmap.HeatmapColorOptionsBuilder()
        .mode(heatmap.HeatmapColorMode.Scheme)
        .scheme('Blues')
        .steps(32)
        .exponent(0.5)
        .reverse(false)
        .fill('dark-blue')
        .scale(heatmap.HeatmapColorScale.Exponential),
    )
    .yAxis(new heatmap.YAxisConfigBuilder().unit(look.unit).axisPlacement(AxisPlacement.Left))
    .rowsFrame(new heatmap.RowsHeatmapOptionsBuilder().layout('le' as never))
    .cellGap(1)
    .legend(new heatmap.HeatmapLegendBuilder().show(true))
    .tooltip(new heatmap.HeatmapTooltipBuilder().mode(TooltipDisplayMode.Single).yHistogram(false))
    .exemplars(new heatmap.ExemplarConfigBuilder().color('rgba(255,255,255,0.7)'))
    .filterValues(new heatmap.FilterValueRangeBuilder().le(1e-9))
    .unit(look.unit);
  return {
    ...head,
    queries: [
      { source: 'prometheus', expr: look.expr, legend: '{{le}}', format: 'heatmap', hasExemplars: true },
    ],
    visualization: builder.build(),
  };
}

/** When something was so: one line per series, coloured while its value maps to a text. */
export function states(
  head: Head,
  look: {
    queries: readonly PrometheusQuery[];
    texts: Record<string, string>;
    textColors: Record<string, string>;
    noValue: string;
  },
): Panel {
  const builder = new statetimeline.VisualizationV2Builder()
    .unit(NoUnit)
    .mappings([valueTexts(look.texts, look.textColors)])
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Fixed).fixedColor(colors.plain))
    .showValue(VisibilityMode.Never)
    .mergeValues(true)
    .rowHeight(0.8)
    .fillOpacity(85)
    .lineWidth(0)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs([]),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single))
    .noValue(look.noValue);
  return { ...head, queries: look.queries, visualization: builder.build() };
}

/** Log records, newest first, with their details to open. */
export function logRecords(head: Head, expr: string): Panel {
  const builder = new logs.VisualizationV2Builder()
    .showTime(true)
    .showLabels(false)
    .showCommonLabels(false)
    .wrapLogMessage(true)
    .prettifyLogMessage(false)
    .enableLogDetails(true)
    .sortOrder(LogsSortOrder.Descending)
    .noValue('no log records: are they delivered to Loki?');
  return { ...head, queries: [{ source: 'loki', expr }], visualization: builder.build() };
}

/** Spans, a row each; their trace IDs open the trace. */
export function spans(head: Head, expr: string): Panel {
  const builder = new tablePanel.VisualizationV2Builder()
    .showHeader(true)
    .cellHeight(TableCellHeight.Sm)
    .noValue('no spans: are they delivered to Tempo?');
  return { ...head, queries: [{ source: 'tempo', expr }], visualization: builder.build() };
}
