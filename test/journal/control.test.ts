/** The control socket: what it takes, what it does not, and that nothing of it harms the exporter. */
import { once } from 'node:events';
import { lstatSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ControlLost, type ControlServer, connectControl, serveControl } from '../../src/journal/control.ts';
import { cleanUp, onCleanUp, temporaryDirectory } from '../support/clean-up.ts';

const control = suite('control socket');
control.after.each(cleanUp);

const handlers = {
  add: (one: number, other: number) => one + other,
  long: (length: number) => 'x'.repeat(length),
  fail() {
    throw new RangeError('too odd');
  },
};

async function serve(
  path = join(temporaryDirectory(), 'control'),
): Promise<{ path: string; server: ControlServer }> {
  const server = await serveControl(path, () => handlers);
  onCleanUp(() => server.close().catch(() => {}));
  return { path, server };
}

/** What one connection of its own is answered; `undefined` where it is closed without an answer. */
async function ask(path: string, method: string, args: unknown[] = []): Promise<unknown> {
  const connection = (await connectControl(path))!;
  try {
    return await connection.call(method, args);
  } finally {
    connection.close();
  }
}

async function raw(path: string): Promise<Socket> {
  const socket = connect(path);
  socket.on('error', () => {});
  onCleanUp(() => socket.destroy());
  await once(socket, 'connect');
  return socket;
}

/** Resolves with all that came when the other end closes. */
async function ending(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', data => {
    text += data;
  });
  await new Promise(resolve => socket.once('close', resolve));
  return text;
}

control('answers one question after the other, with results and errors', async () => {
  const { path } = await serve();
  const connection = (await connectControl(path))!;
  assert.is(await connection.call('add', [1, 2]), 3);
  assert.is(((await connection.call('long', [3_000_000])) as string).length, 3_000_000);
  await connection.call('fail', []).then(
    () => assert.unreachable(),
    (error: Error) => assert.equal([error.name, error.message], ['RangeError', 'too odd']),
  );
  assert.is(await connection.call('add', [3, 4]), 7);
  connection.close();
});

control('is for its own user alone, and is gone when it is closed', async () => {
  const { path, server } = await serve();
  assert.ok(lstatSync(path).isSocket());
  assert.is(statSync(path).mode & 0o777, 0o600);
  await server.close();
  assert.is(statSync(path, { throwIfNoEntry: false }), undefined);
  assert.is(await connectControl(path), null);
});

control('takes the place of one that a kill left behind', async () => {
  const path = join(temporaryDirectory(), 'control');
  const stale = createServer().listen(path);
  await once(stale, 'listening');
  // Closing would remove it.
  stale.unref();
  const { server } = await serve(path);
  assert.is(await ask(path, 'add', [1, 1]), 2);
  await server.close();
});

control('leaves a file alone that stands in its place, and says so', async () => {
  const path = join(temporaryDirectory(), 'control');
  writeFileSync(path, 'kept');
  await serve(path).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, `${path} is there, and is no socket`),
  );
  assert.ok(statSync(path).isFile());
});

const unusable: Record<string, { path: () => string; message: RegExp }> = {
  'a path of more than 107 bytes': {
    path: () => join(temporaryDirectory(), 'x'.repeat(100)),
    message: / is longer than 107 bytes, the most that a socket's path can have$/,
  },
  'a directory that is not there': {
    path: () => join(temporaryDirectory(), 'none', 'control'),
    message: /ENOENT|EACCES/,
  },
};

for (const [what, { path, message }] of Object.entries(unusable)) {
  control(`says why it cannot listen at ${what}`, async () => {
    await serve(path()).then(
      () => assert.unreachable(),
      (error: Error) => assert.match(error.message, message),
    );
  });
}

const rubbish: Record<string, string | Buffer> = {
  'no JSON': 'hello\n',
  'JSON that is no question': 'null\n',
  'a number': '1\n',
  'a question without a method': '{"id":1,"args":[]}\n',
  'arguments that are no list': '{"id":1,"method":"add","args":{"length":2}}\n',
  HTTP: 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
  bytes: Buffer.from([0xff, 0xfe, 0, 0x0a]),
  'a line without an end': 'x'.repeat(200_000),
  'a question of 1 MB': `{"id":1,"method":"add","args":["${'x'.repeat(1_000_000)}"]}\n`,
};

for (const [what, text] of Object.entries(rubbish)) {
  control(`ends a connection that sends ${what}, without an answer`, async () => {
    const { path } = await serve();
    const socket = await raw(path);
    const ended = ending(socket);
    socket.write(text);
    assert.is(await ended, '');
    assert.is(await ask(path, 'add', [1, 2]), 3);
  });
}

for (const method of ['constructor', '__proto__', 'toString', 'hasOwnProperty', 'none']) {
  control(`knows no "${method}"`, async () => {
    const { path } = await serve();
    await ask(path, method).then(
      () => assert.unreachable(),
      (error: Error) => assert.is(error.message, `there is no "${method}" here`),
    );
  });
}

control('makes no answer before the last one was taken', async () => {
  let made = 0;
  const path = join(temporaryDirectory(), 'control');
  const server = await serveControl(path, () => ({
    long() {
      made += 1;
      return 'x'.repeat(1_000_000);
    },
  }));
  onCleanUp(() => server.close());
  const socket = await raw(path);
  socket.write('{"id":1,"method":"long","args":[]}\n'.repeat(1_000));
  while (made === 0) await delay(1);
  // Whoever else asks is answered meanwhile.
  for (let turn = 0; turn < 20; turn += 1) await ask(path, 'none').catch(() => {});
  assert.is(made, 1);
  const ended = ending(socket);
  while (made < 3) await delay(1);
  socket.destroy();
  await ended;
});

control('serves four connections, closes those beyond, and is there again when they go', async () => {
  const { path } = await serve();
  const silent = await Promise.all(Array.from({ length: 4 }, () => raw(path)));
  const beyond = await Promise.all(Array.from({ length: 50 }, () => raw(path)));
  await Promise.all(beyond.map(ending));
  await ask(path, 'add', [1, 2]).then(
    () => assert.unreachable(),
    error => assert.instance(error, ControlLost),
  );
  const [one] = silent;
  one!.destroy();
  let sum: unknown;
  while (sum === undefined) sum = await ask(path, 'add', [1, 2]).catch(() => undefined);
  assert.is(sum, 3);
});

control('ends a connection that asks nothing', async () => {
  const { path } = await serve();
  const [half, silent] = [await raw(path), await raw(path)];
  half.write('{"id":1,');
  const startedAt = performance.now();
  await Promise.all([ending(half), ending(silent)]);
  assert.ok(performance.now() - startedAt > 4_000, 'not at once: a question may take a moment');
});

control.run();
