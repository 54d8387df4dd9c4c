/** Ports, and who answers there. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const askEveryMs = 100;

/** This port, or any where it is taken. */
export async function choosePort(preferred: number): Promise<number> {
  for (const port of [preferred, 0]) {
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    const chosen = (server.address() as AddressInfo).port;
    server.close();
    await once(server, 'close');
    return chosen;
  }
  throw new Error('no port is free');
}

/** Resolves once it answers 200. Whoever waits looks after the process: it may never do so. */
export async function answers(url: string): Promise<void> {
  while (!(await isOk(url))) await delay(askEveryMs);
}

export async function isOk(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}
