/** A network between an exporter and its database that can be cut: a proxy that passes bytes on, or drops them. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { onCleanUp } from './clean-up.ts';

export interface Cut {
  port: number;
  /** `dropping`: what is sent goes nowhere, and nobody is told. `refusing`: connections are reset, and none is made. */
  become(state: 'whole' | 'dropping' | 'refusing'): void;
  /** What the server says from now on is dropped; what is sent to it arrives. */
  loseAnswers(): void;
}

export async function startCut(target: () => number): Promise<Cut> {
  let state: 'whole' | 'dropping' | 'refusing' = 'whole';
  let areAnswersLost = false;
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
  };
  const server = createServer(near => {
    keep(near);
    if (state === 'refusing') return near.resetAndDestroy();
    const far = connect(target(), '127.0.0.1');
    keep(far);
    // A connection that once lost something stays cut: nothing is ever passed on with a hole in it.
    let isCut = false;
    const pass = (to: Socket, isLost: () => boolean) => (data: Buffer) => {
      isCut ||= isLost();
      if (!isCut) to.write(data);
    };
    near.on(
      'data',
      pass(far, () => state === 'dropping'),
    );
    far.on(
      'data',
      pass(near, () => state === 'dropping' || areAnswersLost),
    );
    near.on('close', () => state === 'whole' && far.destroy());
    far.on('close', () => state === 'whole' && near.destroy());
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  onCleanUp(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: (server.address() as AddressInfo).port,
    become(next) {
      state = next;
      areAnswersLost = false;
      if (state === 'refusing') for (const socket of sockets) socket.resetAndDestroy();
    },
    loseAnswers() {
      areAnswersLost = true;
    },
  };
}
