/** Stands in for all that Alertmanager notifies: takes any HTTP request and any mail, and keeps them. */
import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { createInterface } from 'node:readline';
import { onCleanUp } from './clean-up.ts';
import { until } from './prometheus.ts';

export interface Notification {
  /** The path of the request; `mail` for a mail. */
  to: string;
  headers: IncomingHttpHeaders;
  /** The body of the request, or the mail with its headers. */
  body: string;
}

export class Notifications {
  readonly all: Notification[] = [];
  httpUrl = '';
  smtpAddress = '';

  /** The first that fits; waits for it. */
  async waitFor(
    fits: (notification: Notification) => boolean,
    what: string,
    timeoutMs = 15_000,
  ): Promise<Notification> {
    return until(async () => this.all.find(fits), what, timeoutMs);
  }
}

export async function startNotifications(): Promise<Notifications> {
  const notifications = new Notifications();
  const http = createHttpServer(async (request, response) => {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += chunk;
    notifications.all.push({ to: request.url!, headers: request.headers, body });
    // What PagerDuty says; the others look at the status alone.
    response.statusCode = request.url === '/pagerduty' ? 202 : 200;
    response.end('{"status":"success"}');
  });

  // As much of SMTP as one mail takes.
  const smtp = createTcpServer(async socket => {
    socket.on('error', () => {});
    socket.write('220 test\r\n');
    let mail: string[] | null = null;
    for await (const line of createInterface({ input: socket })) {
      if (mail !== null && line !== '.') {
        mail.push(line);
      } else if (mail !== null) {
        notifications.all.push({ to: 'mail', headers: {}, body: mail.join('\n') });
        mail = null;
        socket.write('250 taken\r\n');
      } else if (line === 'DATA') {
        mail = [];
        socket.write('354 go on\r\n');
      } else if (line === 'QUIT') {
        socket.end('221 bye\r\n');
      } else {
        socket.write('250 test\r\n');
      }
    }
  });

  for (const server of [http, smtp]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onCleanUp(() => server.close());
  }
  notifications.httpUrl = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  notifications.smtpAddress = `127.0.0.1:${(smtp.address() as AddressInfo).port}`;
  return notifications;
}
