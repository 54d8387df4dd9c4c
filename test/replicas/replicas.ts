/**
 * Three exporters on one PostgreSQL, each exception sent to two of them at once, while exporters and the database are
 * killed, frozen and cut off. Afterwards the sums must agree to the last exception.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { onCleanUp } from '../support/clean-up.ts';
import { type Cut, startCut } from '../support/cut.ts';
import { Exporter, exceptionsTotal } from '../support/exporter.ts';
import { exceptionBody, exceptionNumber } from '../support/oracle.ts';
import type { Postgres } from '../support/postgres.ts';
import { until } from '../support/prometheus.ts';
import { between, createRandom, type Random } from '../support/random.ts';
import { send } from '../support/request.ts';
import { sampleQuery } from '../support/samples.ts';

export const replicaNames = ['one', 'two', 'three'];
const connections = 6;
/** Of the exceptions, so many are sent again later. */
const repeatedShare = 0.1;
const pauseMs = 4;
const settleMs = 60_000;

export interface Sink {
  endpoint: string;
  /** Trace IDs, and how often each was taken. */
  taken(signal: 'traces' | 'logs'): Promise<Map<string, number>>;
}

export async function startSink(): Promise<Sink> {
  const script = fileURLToPath(new URL('../support/otlp-receiver-process.ts', import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  onCleanUp(() => child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  const endpoint = `http://127.0.0.1:${JSON.parse(line).port}`;
  return {
    endpoint,
    taken: async signal =>
      new Map(
        Object.entries(JSON.parse((await send(`${endpoint}/${signal}`)).body) as Record<string, number>),
      ),
  };
}

/** One replica: its name, its network, and whichever process runs as it now. */
export class Replica {
  readonly name: string;
  readonly cut: Cut;
  readonly #env: Record<string, string>;
  exporter!: Exporter;
  /** Callbacks can be sent to it. */
  isUp = false;
  /** The most that it ever showed. */
  highest = 0;

  constructor(name: string, cut: Cut, env: Record<string, string>) {
    this.name = name;
    this.cut = cut;
    this.#env = env;
  }

  /** Resolves when callbacks are taken. */
  async start(): Promise<void> {
    this.exporter = new Exporter({ env: { ...this.#env, REPLICA: this.name } });
    await this.exporter.ready();
    this.isUp = true;
  }

  async kill(): Promise<void> {
    this.isUp = false;
    await this.exporter.kill('SIGKILL');
  }

  async read(name: string): Promise<number> {
    return (await this.exporter.metrics()).sum(name);
  }

  /** Its total. Throws when that is less than it was. */
  async total(): Promise<number> {
    const total = await this.read(exceptionsTotal);
    if (total < this.highest) throw new Error(`${this.name} went back from ${this.highest} to ${total}`);
    this.highest = total;
    return total;
  }

  /** Resolves when nothing is held in memory. */
  async settled(): Promise<void> {
    await until(
      async () => {
        const metrics = await this.exporter.metrics();
        return (
          metrics.sum('tencent_chat_journal_up') === 1 &&
          metrics.sum('tencent_chat_journal_unwritten_events') === 0
        );
      },
      `${this.name} to have written everything`,
      settleMs,
    );
  }
}

/** Sends each exception to two replicas at once, and remembers what was answered. */
export class Pairs {
  readonly acknowledged = new Set<number>();
  /** Sent, and never answered 200. */
  readonly unanswered = new Set<number>();
  sentCount = 0;
  answeredCount = 0;
  refusedCount = 0;
  readonly #replicas: readonly Replica[];
  readonly #random: Random;
  #isRunning = false;
  #loops: Promise<void>[] = [];

  constructor(replicas: readonly Replica[], random: Random) {
    this.#replicas = replicas;
    this.#random = random;
  }

  start(): void {
    this.#isRunning = true;
    this.#loops = Array.from({ length: connections }, () => this.#run());
  }

  async stop(): Promise<void> {
    this.#isRunning = false;
    await Promise.all(this.#loops);
  }

  /** Until every exception was answered 200 by somebody. */
  async sendUnanswered(): Promise<void> {
    const agents = new Map(this.#replicas.map(replica => [replica, new Agent({ keepAlive: true })]));
    for (const number of [...this.unanswered]) {
      await until(async () => {
        await this.#send(number, agents);
        return this.acknowledged.has(number);
      }, `an answer to exception ${number}`);
    }
    for (const agent of agents.values()) agent.destroy();
  }

  async #run(): Promise<void> {
    const agents = new Map(
      this.#replicas.map(replica => [replica, new Agent({ keepAlive: true, maxSockets: 1 })]),
    );
    while (this.#isRunning) {
      const isRepeated = this.sentCount > 0 && this.#random() < repeatedShare;
      const number = isRepeated ? between(this.#random, 0, this.sentCount - 1) : this.sentCount++;
      await this.#send(number, agents);
      await delay(pauseMs);
    }
    for (const agent of agents.values()) agent.destroy();
  }

  async #send(number: number, agents: Map<Replica, Agent>): Promise<void> {
    const left = this.#replicas.filter(({ isUp }) => isUp);
    const chosen = [];
    while (chosen.length < 2 && left.length > 0) {
      chosen.push(...left.splice(between(this.#random, 0, left.length - 1), 1));
    }
    if (!this.acknowledged.has(number)) this.unanswered.add(number);
    await Promise.all(
      chosen.map(async replica => {
        const url = `${replica.exporter.callbackUrl}?${sampleQuery()}`;
        const options = { method: 'POST', body: exceptionBody(number), agent: agents.get(replica)! };
        const answer = await send(url, options).catch(() => null);
        if (answer === null) return;
        if (answer.status !== 200) {
          this.refusedCount += 1;
          return;
        }
        this.answeredCount += 1;
        this.acknowledged.add(number);
        this.unanswered.delete(number);
      }),
    );
  }
}

export interface World {
  postgres: Postgres;
  database: string;
  sink: Sink;
  replicas: Replica[];
}

/** `hosts`: of the URL, instead of a network for each replica that can be cut. */
export async function startReplicas(
  postgres: Postgres,
  { count = 3, env = {}, hosts }: { count?: number; env?: Record<string, string>; hosts?: string } = {},
): Promise<World> {
  const database = await postgres.createDatabase();
  const sink = await startSink();
  const replicas: Replica[] = [];
  for (const name of replicaNames.slice(0, count)) {
    const cut = await startCut(() => postgres.port);
    const journal = `postgres://admin@${hosts ?? `127.0.0.1:${cut.port}`}/${database}`;
    replicas.push(
      new Replica(name, cut, { JOURNAL: journal, OTEL_EXPORTER_OTLP_ENDPOINT: sink.endpoint, ...env }),
    );
  }
  await Promise.all(replicas.map(replica => replica.start()));
  return { postgres, database, sink, replicas };
}

const pick = <Item>(random: Random, items: readonly Item[]): Item =>
  items[between(random, 0, items.length - 1)]!;

/** What can befall them. Each begins and ends with all three at work. */
export const troubles: Record<string, (world: World, random: Random) => Promise<void>> = {
  async 'kill -9 of an exporter'({ replicas }, random) {
    const replica = pick(random, replicas);
    // What is only in memory would be lost, as is said.
    await replica.settled();
    await replica.kill();
    await delay(between(random, 0, 300));
    await replica.start();
  },
  async 'kill -9 of the database'({ postgres }, random) {
    await postgres.stop('SIGKILL');
    await delay(between(random, 0, 500));
    await postgres.start();
  },
  async 'a network that drops'({ replicas }, random) {
    const { cut } = pick(random, replicas);
    cut.become('dropping');
    await delay(between(random, 200, 2_000));
    cut.become('whole');
  },
  async 'answers that are lost'({ replicas }, random) {
    const { cut } = pick(random, replicas);
    cut.loseAnswers();
    await delay(between(random, 100, 1_000));
    cut.become('whole');
  },
  async 'connections that are reset'({ replicas }, random) {
    const { cut } = pick(random, replicas);
    cut.become('refusing');
    await delay(between(random, 0, 1_000));
    cut.become('whole');
  },
  async 'a database that stands still'({ postgres }, random) {
    postgres.freeze();
    await delay(between(random, 200, 2_000));
    postgres.thaw();
  },
  async 'sessions that are ended'({ postgres, database }) {
    await postgres.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1',
      'postgres',
      [database],
    );
  },
};

export interface Outcome {
  problems: string[];
  acknowledged: number;
  answered: number;
  refused: number;
  /** Deliveries beyond the first, of both signals. */
  repeated: number;
}

/** Lets load and troubles loose, in the order given, and returns what is wrong afterwards. */
export async function endure(world: World, seed: number, order: readonly string[]): Promise<Outcome> {
  const random = createRandom(seed);
  const { replicas } = world;
  const pairs = new Pairs(replicas, random);
  pairs.start();
  for (const name of order) {
    await delay(between(random, 100, 600));
    await troubles[name]!(world, random);
    await Promise.all(replicas.map(replica => replica.total()));
  }
  await delay(500);
  await pairs.stop();
  return { ...(await judge(world, pairs)), answered: pairs.answeredCount, refused: pairs.refusedCount };
}

/** When all is at rest: totals, identities and deliveries against what was sent. */
export async function judge(
  { postgres, database, sink, replicas }: World,
  pairs: Pairs,
): Promise<Pick<Outcome, 'problems' | 'acknowledged' | 'repeated'>> {
  const problems: string[] = [];
  const settled = () => Promise.all(replicas.map(replica => replica.settled()));
  const sum = async () =>
    (await Promise.all(replicas.map(replica => replica.total()))).reduce((sum, total) => sum + total, 0);

  await settled();
  const acknowledged = pairs.acknowledged.size;
  const shown = await sum();
  const possible = acknowledged + pairs.unanswered.size;
  if (shown < acknowledged) problems.push(`${acknowledged - shown} answered exceptions are lost`);
  if (shown > possible) problems.push(`${shown - possible} exceptions are counted twice`);
  await pairs.sendUnanswered();
  await settled();
  const total = await sum();
  if (total !== pairs.sentCount) problems.push(`${total} are counted of ${pairs.sentCount}`);

  const query = async (text: string) => Object.values((await postgres.query(text, database))[0]!).map(Number);
  const [identities, kept] = await query(
    `SELECT (SELECT count(*) FROM tencent_chat.exceptions), (SELECT sum(count) FROM tencent_chat.slots)`,
  );
  if (identities !== pairs.sentCount) problems.push(`${identities} identities of ${pairs.sentCount}`);
  if (kept !== identities) problems.push(`slots count ${kept} identities of ${identities}`);
  for (const replica of replicas) {
    const [stored] = await query(
      `SELECT coalesce(sum(count), 0) FROM tencent_chat.totals
       JOIN tencent_chat.replicas ON replicas.id = replica WHERE name = '${replica.name}'`,
    );
    const own = await replica.total();
    if (own !== stored) problems.push(`${replica.name} shows ${own}, and ${stored} are stored`);
  }

  let repeated = 0;
  for (const signal of ['traces', 'logs'] as const) {
    const taken = await until(
      async () => {
        const found = await sink.taken(signal);
        return found.size >= pairs.sentCount && found;
      },
      `all ${signal}`,
      settleMs,
    ).catch(async error => {
      problems.push(`${error.message}: ${(await sink.taken(signal)).size} of ${pairs.sentCount}`);
      return sink.taken(signal);
    });
    const numbers = new Set([...taken.keys()].map(exceptionNumber));
    if (numbers.size !== taken.size) problems.push(`${signal}: an exception under two traces`);
    for (const number of numbers) {
      if (number < 0 || number >= pairs.sentCount)
        problems.push(`${signal}: exception ${number} was never sent`);
    }
    for (const count of taken.values()) repeated += count - 1;
  }
  const left = await until(async () => {
    const [chunks] = await query('SELECT count(*) FROM tencent_chat.outbox');
    return chunks === 0 && [0];
  }, 'an empty outbox').catch(error => [error.message]);
  if (left[0] !== 0) problems.push(left[0]);
  return { problems, acknowledged, repeated };
}
