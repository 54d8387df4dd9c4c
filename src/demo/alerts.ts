/** What Prometheus says of the alerts, as news. */
import { setTimeout as delay } from 'node:timers/promises';

const askEveryMs = 2_000;

interface Alert {
  labels: Record<string, string>;
  annotations: { summary?: string };
  state: 'pending' | 'firing';
}

/** Calls `tell` with a sentence whenever an alert begins or ceases to fire; never ends. */
export async function watchAlerts(prometheusUrl: string, tell: (news: string) => void): Promise<never> {
  let firing = new Map<string, Alert>();
  for (;;) {
    const now = await readFiring(prometheusUrl).catch(() => firing);
    for (const [key, { labels, annotations }] of now) {
      if (!firing.has(key)) tell(`${labels.alertname} fires (${labels.severity}): ${annotations.summary}`);
    }
    for (const [key, { labels }] of firing) {
      if (!now.has(key)) tell(`${labels.alertname} is over`);
    }
    firing = now;
    await delay(askEveryMs);
  }
}

/** By their labels; without the one that fires always, which is no news. */
async function readFiring(prometheusUrl: string): Promise<Map<string, Alert>> {
  const response = await fetch(`${prometheusUrl}/api/v1/alerts`);
  const { data } = (await response.json()) as { data: { alerts: Alert[] } };
  const news = data.alerts.filter(({ state, labels }) => state === 'firing' && labels.severity !== 'none');
  return new Map(news.map(alert => [JSON.stringify(Object.entries(alert.labels).sort()), alert]));
}
