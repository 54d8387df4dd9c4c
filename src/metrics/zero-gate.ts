/**
 * Shows every newborn series to every scraper at 0 once, before its true value.
 *
 * `rate()` and `increase()` compare samples; a series that is born with value 1 never rose in their eyes, and the first
 * exception of a kind, the one to be told about, would be lost. With the gate, Prometheus stores 0, then 1.
 *
 * Series are numbered in the order of their birth. Of each scraper is kept how many it has been shown; the rest are
 * shown to it at 0. The number moves only when a response has been sent, so that a scrape that timed out is
 * shown the same zeros again. Two scrapers do not disturb each other; two scrapes of one scraper that overlap are
 * shown the same. No clock has part in this.
 *
 * A scraper not known yet may have stored the older series before this process started: it is shown 0 only for those
 * born in the last five minutes. That errs to the side of telling: a series that it had stored within these minutes
 * falls to 0 and comes back, and its young total is counted a second time by `increase()`.
 */

/** Who scrapes. Two Prometheus servers behind one address and of one version are taken for one. */
export interface Scraper {
  address: string;
  userAgent: string;
}

/** What one scrape is shown. */
export interface GateView {
  /** Whether the series with this number, counted from 0 in order of birth, is shown at 0. */
  isGated(number: number): boolean;
  /** To be called when the response has been sent in full. */
  sent(): void;
}

export interface ZeroGate {
  /** Notes the birth of the next series; milliseconds since the Unix epoch, from the same clock as `begin`. */
  born(at: number): void;
  /** Begins a scrape of what is there now. `null`, a person, sees the true values and changes nothing. */
  begin(scraper: Scraper | null, at: number): GateView;
}

const youthMs = 5 * 60 * 1000;

/** Far more than scrape one exporter; beyond it, the one that has been away longest is taken for a new one. */
const scrapersMax = 32;

const openView: GateView = { isGated: () => false, sent: () => {} };

export function createZeroGate(): ZeroGate {
  const births: number[] = [];
  /** From scraper to the number of series it was shown; the one that scraped longest ago first. */
  const shownCounts = new Map<string, number>();

  // A birth more than five minutes ahead of the clock was noted before the clock was set back: its age is not known,
  // and it is not taken for young on every start until the clock has caught up.
  const isYoung = (bornAt: number, at: number) => Math.abs(at - bornAt) < youthMs;

  return {
    born(at) {
      births.push(at);
    },

    begin(scraper, at) {
      if (scraper === null) return openView;
      const key = JSON.stringify([scraper.address, scraper.userAgent]);
      const count = births.length;
      const shown = shownCounts.get(key);
      return {
        isGated: number => (shown === undefined ? isYoung(births[number]!, at) : number >= shown),
        sent() {
          // An overlapping scrape that began later may have been sent before this one.
          const latest = Math.max(count, shownCounts.get(key) ?? 0);
          shownCounts.delete(key);
          shownCounts.set(key, latest);
          if (shownCounts.size > scrapersMax) shownCounts.delete(shownCounts.keys().next().value!);
        },
      };
    },
  };
}
