/** Rules as data, from which come Prometheus' rule files, the PrometheusRule of Kubernetes, and the runbooks' heads. */
import type { AlertName } from '../../guidance.ts';
import type { DashboardUid } from '../dashboards/uids.ts';

/** A series computed from others: `level:metric:operations`. */
export interface RecordingRule {
  record: string;
  expr: string;
  /** Why it is computed this way; becomes a comment above the rule. */
  why: string;
}

export interface Alert {
  /** Also the file name of its runbook. */
  name: AlertName;
  /** critical: a person must act now. warning: today. info: good to know. none: only proves that alerting works. */
  severity: 'critical' | 'warning' | 'info' | 'none';
  expr: string;
  /** How long the condition must hold, as `5m`; at once when left out. */
  for?: string;
  /** How long the alert stays after the condition ended, against flapping. */
  keepFiringFor?: string;
  /** One sentence without values, ending in a full stop. The same for every instance of the alert. */
  summary: string;
  /** What is seen, with values: Prometheus' template language, `{{ $labels.job }}`, `{{ $value | humanize }}`. */
  description: string;
  /** The dashboard to open, and which labels of the alert become its variables. */
  dashboard: { uid: DashboardUid; variables: readonly string[] };
  /** Why the condition is as it is; becomes a comment above the rule. */
  why: string;
}

export interface RuleGroup<Rule extends RecordingRule | Alert = RecordingRule | Alert> {
  name: string;
  /** Seconds between evaluations; Prometheus' own default when left out. */
  intervalSeconds?: number;
  rules: readonly Rule[];
}
