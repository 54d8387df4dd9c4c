/** The journal's disk is filled to its last byte, and freed, twice, under load. Needs to mount a tmpfs: root. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, onCleanUp } from '../support/clean-up.ts';
import { type Exporter, startExporter } from '../support/exporter.ts';
import { exceptionNumber, Oracle } from '../support/oracle.ts';
import { startOtlpReceiver } from '../support/otlp-receiver.ts';
import { until } from '../support/prometheus.ts';
import { newSeed } from '../support/random.ts';
import { fillDisk, mountDisk } from '../support/small-disk.ts';

const disk = suite('disk full');
disk.after.each(cleanUp);

/** Room for the journal and its write-ahead log. */
const diskMegabytes = 48;

const read = async (exporter: Exporter, name: string) =>
  (await exporter.metrics()).sum(`tencent_chat_${name}`);

async function fillTwice(): Promise<void> {
  const mounted = mountDisk(diskMegabytes);
  if ('problem' in mounted) {
    console.log(`\ndisk full: SKIPPED, no tmpfs can be mounted here: ${mounted.problem}`);
    return;
  }
  const seed = newSeed();
  console.log(`\ndisk full: SEED=${seed}`);
  const { directory } = mounted;
  const filler = join(directory, 'filler');
  const collector = await startOtlpReceiver();
  onCleanUp(() => collector.close());
  const options = {
    journal: join(directory, 'journal.db'),
    env: { OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint, OTEL_EXPORTER_OTLP_TIMEOUT: '1000' },
  };
  const exporter = await startExporter(options);
  const oracle = new Oracle({ seed, connections: 8, repeatedShare: 0.2, pauseMs: 5 });

  for (const time of ['first', 'second']) {
    // Delivery is behind when the disk fills up: it must go on without being able to write.
    collector.behave({ type: 'status', status: 503 });
    oracle.start(exporter.callbackUrl);
    await until(async () => (await read(exporter, 'telemetry_backlog_events')) > 100, `a backlog, ${time}`);
    const durable = oracle.sentCount - 8 * 2;
    await fillDisk(filler);
    await until(async () => (await read(exporter, 'journal_up')) === 0, `the journal to be down, ${time}`);
    const held = await until(async () => {
      const count = await read(exporter, 'journal_unwritten_events');
      return count > 200 && count;
    }, `exceptions in memory, ${time}`);
    assert.ok(held <= oracle.sentCount);
    assert.is((await exporter.get('/-/ready')).status, 200, 'callbacks are still taken');
    collector.behave({ type: 'accept' });
    await until(
      async () => collector.traceIds.traces.size >= durable,
      `delivery while full, ${time}`,
      45_000,
    );
    assert.is(await read(exporter, 'journal_up'), 0);

    // All of it once more, from the disk and from memory: duplicates.
    await oracle.stop();
    const total = await exporter.total();
    assert.is(total, oracle.sentCount);
    await oracle.sendAgain(exporter.callbackUrl, oracle.acknowledged);
    assert.is(await exporter.total(), total, 'duplicates are still duplicates');

    rmSync(filler);
    await until(
      async () => (await read(exporter, 'journal_up')) === 1,
      `the journal to be up again, ${time}`,
    );
    assert.is(await read(exporter, 'journal_unwritten_events'), 0);
    assert.is(await exporter.total(), total);
  }

  assert.equal([...oracle.refusals], [], 'no callback was refused');
  assert.is(oracle.unanswered.size, 0);
  assert.ok(oracle.slowestMs < 1_500, `an answer took ${oracle.slowestMs} ms`);
  assert.is(
    (await exporter.metrics()).sum('tencent_chat_callbacks_total', { outcome: 'counted' }),
    oracle.sentCount,
  );
  assert.ok((await read(exporter, 'journal_failures_total')) > 0);

  // Nothing in memory only: what is there after kill -9 was written.
  await exporter.kill('SIGKILL');
  const restarted = await startExporter(options);
  assert.is(await restarted.total(), oracle.sentCount);
  for (const signal of ['traces', 'logs'] as const) {
    await until(async () => collector.traceIds[signal].size >= oracle.sentCount, `all ${signal}`);
    const numbers = [...collector.traceIds[signal].keys()].map(exceptionNumber).sort((a, b) => a - b);
    assert.equal(
      numbers,
      Array.from({ length: oracle.sentCount }, (_, number) => number),
    );
  }
}

disk('twice full and twice freed: answers go on, it is told, and all that was answered is kept', fillTwice);

disk.run();
