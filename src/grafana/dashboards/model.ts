/**
 * A dashboard as its reader sees it: rows of panels, each with its queries; above them variables, links and annotations.
 * Nothing here belongs to one of Grafana's formats: classic.ts and v2.ts write both from it.
 */
import type { VizConfigKind } from '@grafana/grafana-foundation-sdk/dashboardv2';
import type { DashboardUid } from './uids.ts';

export interface Dashboard {
  uid: DashboardUid;
  title: string;
  /** The one question that this dashboard answers. */
  description: string;
  /** Grafana's relative time, as `now-6h`. */
  from: string;
  variables: readonly Variable[];
  /** From general to particular. */
  rows: readonly Row[];
}

export interface Row {
  title: string;
  /** From left to right, then downwards. Widths and heights are in Grafana's grid: 24 columns. */
  panels: readonly Panel[];
}

export interface Panel {
  /** A question that the panel answers, or a plain fact. */
  title: string;
  /** What is shown, what normal looks like, and what to do next. */
  description: string;
  width: number;
  height: number;
  queries: readonly Query[];
  transformations?: readonly Transformation[];
  /** Type, options and fields, which classic and v2 have in common. */
  visualization: VizConfigKind;
  /** The panel is shown once for each chosen value of this variable. */
  repeat?: string;
}

/** Which data source a query goes to, by the variable that names it. */
export type Query =
  | {
      source: 'prometheus';
      expr: string;
      /** Series of a graph are named by it, as `{{error_code}}`. */
      legend?: string;
      /** One value at the end of the time range, instead of one at each step. */
      isInstant?: boolean;
      format?: 'time_series' | 'table' | 'heatmap';
      hasExemplars?: boolean;
    }
  | { source: 'loki'; expr: string }
  | { source: 'tempo'; expr: string };

export interface Transformation {
  id: string;
  options: Record<string, unknown>;
}

export type Variable =
  | { kind: 'datasource'; name: string; label: string; description: string; plugin: Query['source'] }
  | {
      kind: 'query';
      name: string;
      label: string;
      description: string;
      /** The values of a label: of `metric` with its matchers. */
      metric: string;
      valuesOf: string;
    };

/** Marks what has happened on every graph. */
export interface Annotation {
  name: string;
  expr: string;
  color: string;
  title: string;
  text: string;
  /** The series' value is the moment, in milliseconds since the Unix epoch. */
  isValueTime: boolean;
}

/** Columns of Grafana's grid. */
export const gridColumns = 24;

export interface Place {
  x: number;
  y: number;
  w: number;
  h: number;
}

/** Panels from left to right; one that does not fit begins a new line, below the highest of the line before. */
export function layOut(panels: readonly Panel[]): { places: Place[]; height: number } {
  let x = 0;
  let y = 0;
  let lineHeight = 0;
  const places = panels.map(({ width, height }) => {
    if (x + width > gridColumns) {
      y += lineHeight;
      x = 0;
      lineHeight = 0;
    }
    const place = { x, y, w: width, h: height };
    x += width;
    lineHeight = Math.max(lineHeight, height);
    return place;
  });
  return { places, height: y + lineHeight };
}

/** A, B, C …: how a panel's queries are told apart. */
export function refId(index: number): string {
  return String.fromCharCode(65 + index);
}
