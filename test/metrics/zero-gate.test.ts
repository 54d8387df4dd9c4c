import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createZeroGate, type Scraper, type ZeroGate } from '../../src/metrics/zero-gate.ts';

const zeroGate = suite('zero gate');

const prometheus: Scraper = { address: '10.0.0.1', userAgent: 'Prometheus/2.42.0' };
const alloy: Scraper = { address: '10.0.0.1', userAgent: 'Alloy/1.4' };
const elsewhere: Scraper = { address: '10.0.0.2', userAgent: 'Prometheus/2.42.0' };

const start = Date.UTC(2026, 10, 23);
const minute = 60_000;

/** What is done, in order. A scrape tells which of the series, by number, are shown at 0. */
type Step =
  | { born: number }
  | { scrape: Scraper | null; at: number; zeros: number[]; isSent?: false }
  | { begin: string; scrape: Scraper; at: number; zeros: number[] }
  | { sent: string };

const scenarios: Record<string, Step[]> = {
  'shows a series born since the last scrape at 0 once': [
    { scrape: prometheus, at: 0, zeros: [] },
    { born: 1 },
    { scrape: prometheus, at: 2, zeros: [0] },
    { scrape: prometheus, at: 3, zeros: [] },
    { born: 4 },
    { born: 5 },
    { scrape: prometheus, at: 60 * minute, zeros: [1, 2] },
    { scrape: prometheus, at: 61 * minute, zeros: [] },
  ],
  'shows the zeros again after a scrape that was not sent': [
    { scrape: prometheus, at: 0, zeros: [] },
    { born: 1 },
    { scrape: prometheus, at: 2, zeros: [0], isSent: false },
    { scrape: prometheus, at: 3, zeros: [0], isSent: false },
    { scrape: prometheus, at: 4, zeros: [0] },
    { scrape: prometheus, at: 5, zeros: [] },
  ],
  'shows a scraper not seen before the series of the last five minutes at 0': [
    { born: -5 * minute },
    { born: -5 * minute + 1 },
    { born: 0 },
    { scrape: prometheus, at: 0, zeros: [1, 2], isSent: false },
    { scrape: prometheus, at: 0, zeros: [1, 2] },
    { scrape: prometheus, at: 1, zeros: [] },
  ],
  'tells scrapers apart by address and by User-Agent': [
    { born: 0 },
    { scrape: prometheus, at: 1, zeros: [0] },
    { scrape: alloy, at: 1, zeros: [0] },
    { scrape: elsewhere, at: 1, zeros: [0] },
    { born: 2 },
    { scrape: alloy, at: 3, zeros: [1] },
    { scrape: alloy, at: 3, zeros: [] },
    { scrape: prometheus, at: 3, zeros: [1] },
    { scrape: elsewhere, at: 3, zeros: [1] },
  ],
  'shows a person the true values, and changes nothing': [
    { born: 0 },
    { scrape: null, at: 1, zeros: [] },
    { scrape: prometheus, at: 1, zeros: [0] },
    { born: 2 },
    { scrape: null, at: 3, zeros: [] },
    { scrape: prometheus, at: 3, zeros: [1] },
  ],
  'shows a series born during a scrape at 0 in the next': [
    { scrape: prometheus, at: 0, zeros: [] },
    { born: 1 },
    { begin: 'long', scrape: prometheus, at: 2, zeros: [0] },
    { born: 3 },
    { sent: 'long' },
    { scrape: prometheus, at: 4, zeros: [1] },
  ],
  'does not go back when an older scrape is sent after a newer one': [
    { scrape: prometheus, at: 0, zeros: [] },
    { begin: 'older', scrape: prometheus, at: 1, zeros: [] },
    { born: 1 },
    { begin: 'newer', scrape: prometheus, at: 2, zeros: [0] },
    { sent: 'newer' },
    { sent: 'older' },
    { scrape: prometheus, at: 3, zeros: [] },
  ],
  'shows two scrapes of one scraper that overlap the same': [
    { scrape: prometheus, at: 0, zeros: [] },
    { born: 1 },
    { begin: 'one', scrape: prometheus, at: 2, zeros: [0] },
    { begin: 'two', scrape: prometheus, at: 2, zeros: [0] },
    { sent: 'one' },
    { sent: 'two' },
    { scrape: prometheus, at: 3, zeros: [] },
  ],
  'shows a known scraper newborn series at 0 however the clock was set': [
    { scrape: prometheus, at: 0, zeros: [] },
    { born: 1 },
    { scrape: prometheus, at: -60 * minute, zeros: [0] },
    { born: -60 * minute },
    { scrape: prometheus, at: 60 * minute, zeros: [1] },
  ],
  'takes a birth that a clock set back puts into the future for old when it is further than five minutes': [
    { born: 5 * minute - 1 },
    { born: 60 * minute },
    { scrape: prometheus, at: 0, zeros: [0] },
  ],
};

function play(gate: ZeroGate, steps: Step[]): void {
  const open = new Map<string, () => void>();
  let births = 0;
  for (const step of steps) {
    if ('born' in step) {
      gate.born(start + step.born);
      births += 1;
    } else if ('sent' in step) {
      open.get(step.sent)!();
    } else {
      const view = gate.begin(step.scrape, start + step.at);
      const zeros = Array.from({ length: births }, (_, number) => number).filter(view.isGated);
      assert.equal(zeros, step.zeros, `${JSON.stringify(step)}: ${zeros}`);
      if ('begin' in step) open.set(step.begin, view.sent);
      else if (step.isSent !== false) view.sent();
    }
  }
}

for (const [name, steps] of Object.entries(scenarios)) {
  zeroGate(name, () => play(createZeroGate(), steps));
}

zeroGate('remembers 32 scrapers, and forgets the one that has been away longest', () => {
  const gate = createZeroGate();
  const scraper = (index: number) => ({ address: `10.0.0.${index}`, userAgent: 'Prometheus' });
  const scrape = (index: number) => {
    const view = gate.begin(scraper(index), start + 1);
    view.sent();
    return view.isGated(0);
  };
  gate.born(start);
  for (let index = 0; index < 32; index++) assert.is(scrape(index), true);
  assert.is(scrape(0), false, 'the first is remembered, and was here just now');
  assert.is(scrape(32), true, 'one too many');
  assert.is(scrape(0), false);
  assert.is(scrape(2), false);
  assert.is(scrape(1), true, 'forgotten');
});

zeroGate('is not confused by an address and a User-Agent that join to the same text', () => {
  const gate = createZeroGate();
  gate.born(start);
  gate.begin({ address: '10.0.0.1', userAgent: '2 x' }, start).sent();
  assert.is(gate.begin({ address: '10.0.0.1 2', userAgent: 'x' }, start).isGated(0), true);
});

zeroGate.run();
