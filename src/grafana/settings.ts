/**
 * What one may want to change before generating `grafana/` for oneself: where links point, and where alerts stand.
 *
 *     GRAFANA_URL=https://grafana.example.org RUNBOOKS_URL=https://wiki.example.org/chat npm run grafana
 */

/** Where the links of alerts and dashboards point. The defaults are those of grafana/compose.yml. */
export const links = {
  /** Grafana's root, to which `/d/<uid>` is added. */
  grafanaUrl: process.env.GRAFANA_URL ?? 'http://localhost:3000',
  /** The folder of the runbooks, to which `/<alert>.md` is added. Prometheus serves it: `--web.user-assets`. */
  runbooksUrl: process.env.RUNBOOKS_URL ?? 'http://localhost:9090/user/runbooks',
} as const;

/** The job under which Prometheus scrapes the exporter; the rules keep whatever job the series have. */
export const jobName = 'tencent-chat-exporter';

/** One number of an alert or of the learned band, with what it means and why it stands where it stands. */
export interface Threshold {
  value: number;
  unit: 'exceptions' | 'callbacks' | 'senders' | 'seconds' | 'ratio' | 'factor' | 'restarts' | 'count';
  why: string;
}
