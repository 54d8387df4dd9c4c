/**
 * Several exporters on one database, against the embedded journal; and how near the journal's appends get to what
 * the database itself can do with the same transaction, as pgbench measures it, in one run.
 *
 *     npm run bench:scale [-- SECONDS]      6 s for each figure unless told otherwise
 *
 * All of it, the load too, runs on this machine: with few cores the exporters take from each other what the database
 * could still give. The second table leaves out HTTP, so that the database is what limits.
 */
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { appendStatement } from '../../src/journal/postgres.ts';
import { cleanUp } from '../support/clean-up.ts';
import { binaries, type Postgres, startPostgres } from '../support/postgres.ts';
import {
  cpuMicroseconds,
  type Exporter,
  folder,
  gauge,
  runLoad,
  spawnNode,
  startExporter,
} from './processes.ts';
import { benchLabels, benchRecord } from './scale-fixtures.ts';

const seconds = Number(process.argv[2] ?? 6);
const replicaCounts = [1, 2, 3];
const batches = [32, 256];
const rounds = 3;

const settings = ['shared_buffers = 512MB', 'max_wal_size = 8GB', 'checkpoint_timeout = 30min'];
const postgres = await startPostgres({ settings });
console.log(`${cpus().length} cores, ${seconds} s each\n`);

console.log(
  'exporters, without delivery   callbacks/s   CPU µs/callback   of the database   exceptions/commit',
);
await measureExporters('the embedded journal', [`sqlite:${join(folder, 'scale', 'journal.db')}`]);
for (const count of replicaCounts) {
  const database = await postgres.createDatabase();
  await measureExporters(`${count} on PostgreSQL`, Array(count).fill(postgres.url(database)));
}

console.log('\nappends alone                 exceptions/s      of pgbench');
for (const batch of batches) {
  for (const count of replicaCounts) {
    const database = await postgres.createDatabase();
    // Alternating, and the best of each: what a neighbour takes away is not the database's.
    let [best, limit] = [0, 0];
    for (let round = 0; round < rounds; round += 1) {
      best = Math.max(best, await appendLoops(database, count, batch));
      limit = Math.max(limit, await pgbench(database, count, batch));
    }
    const name = `${count} at a time, ${batch} each`;
    console.log(
      name.padEnd(28),
      best.toFixed(0).padStart(13),
      `${limit.toFixed(0)}: ${(best / limit).toFixed(2)}`.padStart(15),
    );
  }
}
await cleanUp();
process.exit(0);

async function measureExporters(name: string, journals: string[]): Promise<void> {
  const exporters = await Promise.all(
    journals.map((JOURNAL, index) => startExporter({ JOURNAL, REPLICA: `replica ${index}` })),
  );
  const load = (duration: number) => Promise.all(exporters.map(({ port }) => runLoad(port, duration)));
  await load(2);
  const commitsBefore = await commits(exporters);
  const before = exporters.map(({ child }) => cpuMicroseconds(child));
  const databaseBefore = databaseCpu(postgres);
  const results = await load(seconds);
  const answered = results.reduce((sum, result) => sum + result.answered, 0);
  const cpu = exporters.reduce((sum, { child }, index) => sum + cpuMicroseconds(child) - before[index]!, 0);
  const database = databaseCpu(postgres) - databaseBefore;
  const batch = answered / ((await commits(exporters)) - commitsBefore);
  console.log(
    name.padEnd(28),
    results
      .reduce((sum, { perSecond }) => sum + perSecond, 0)
      .toFixed(0)
      .padStart(12),
    (cpu / answered).toFixed(0).padStart(17),
    (database / answered).toFixed(0).padStart(17),
    batch.toFixed(0).padStart(19),
  );
  const failed = results.reduce((sum, result) => sum + result.failed, 0);
  if (failed > 0) console.log(`${failed} answers were not OK`);
  for (const { child } of exporters) child.kill('SIGTERM');
}

async function commits(exporters: Exporter[]): Promise<number> {
  const name = 'tencent_chat_journal_commit_seconds_count';
  return (await Promise.all(exporters.map(({ operationsPort }) => gauge(operationsPort, name)))).reduce(
    (a, b) => a + b,
  );
}

/** Of all its processes that live, in microseconds. */
function databaseCpu({ processes }: Postgres): number {
  return processes.reduce((sum, pid) => {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return sum + (Number(fields[11]) + Number(fields[12])) * 10_000;
  }, 0);
}

async function appendLoops(database: string, count: number, batch: number): Promise<number> {
  const url = postgres.url(database);
  const appends = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const child = spawnNode(
        ['append-loop.ts', url, `replica ${index + 1}`, String(batch), String(seconds)],
        {},
      );
      let output = '';
      for await (const data of child.stdout!) output += data;
      return (JSON.parse(output) as { appends: number }).appends;
    }),
  );
  return (appends.reduce((sum, count) => sum + count, 0) * batch) / seconds;
}

/** The journal's own statement, prepared, with arrays of as many exceptions, from as many connections. */
async function pgbench(database: string, clients: number, batch: number): Promise<number> {
  const script = join(folder, `append-${batch}.sql`);
  const [{ labels }] = (await postgres.query(
    'SELECT array_agg(id ORDER BY id) AS labels FROM tencent_chat.label_sets',
    database,
  )) as [{ labels: number[] }];
  const positions = Array.from({ length: batch }, (_, index) => index);
  const list = (of: (position: number) => unknown) => `'{${positions.map(of).join(',')}}'`;
  const record = Buffer.from(benchRecord);
  const now = Date.now();
  const identity = (position: number) =>
    `${now.toString(16).padStart(12, '0')}:high-:low-${position.toString(16).padStart(4, '0')}`;
  const values = [
    ':replica',
    '1',
    now,
    list(identity),
    list(() => Math.floor(now / 3_600_000) % 32),
    list(() => now),
    list(position => labels[position % benchLabels.length]),
    list(position => 2 ** 47 + position),
    list(position => 2 ** 47 + (position % 200)),
    `'\\x${record.toString('hex').repeat(batch)}'`,
    list(position => 1 + position * record.length),
    list(() => record.length),
    list(() => crc32(record)),
  ];
  const types =
    'int, int, bigint, uuid[], smallint[], bigint[], int[], bigint[], bigint[], bytea, int[], int[], bigint[]';
  writeFileSync(
    script,
    `\\if :is_prepared = 0
PREPARE append (${types}) AS ${appendStatement.text.replaceAll(/\s+/g, ' ')};
\\set is_prepared 1
\\endif
\\set replica :client_id + 1
\\set high random(10000000, 99999999)
\\set low random(10000000, 99999999)
EXECUTE append (${values.join(', ')});
`,
  );
  const args = [
    '-n',
    '-f',
    script,
    '-c',
    String(clients),
    '-j',
    '1',
    '-T',
    String(seconds),
    '-D',
    'is_prepared=0',
  ];
  const child = spawn(join(binaries, 'pgbench'), [...args, postgres.url(database)], {
    env: {
      PATH: process.env.PATH,
      PGOPTIONS: '-c search_path=tencent_chat -c plan_cache_mode=force_generic_plan -c jit=off',
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', data => (output += data));
  await new Promise(resolve => child.on('close', resolve));
  const perSecond = Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  if (Number.isNaN(perSecond)) throw new Error(output);
  return perSecond * batch;
}
