/**
 * Where a PostgreSQL journal is, as `JOURNAL` says it:
 *
 *     postgres://user:password@host:port,host:port/database?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem
 *
 * As libpq has it: several hosts are tried in order for the one that can be written; what is special in a part of it is
 * written as `%40`; a host that is a path (`%2Frun%2Fpostgresql`) is the directory of a Unix socket. Read here and not by
 * the driver, which knows one host only, and takes `sslmode=require` for `verify-full` now and for no verification in
 * its next version.
 */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';

export interface PostgresHost {
  /** A name, an address, or the directory of a Unix socket. */
  host: string;
  port: number;
}

/** What libpq calls these; without `prefer` and `allow`, which whoever is in between can turn into `disable`. */
const tlsModes = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
export type TlsMode = (typeof tlsModes)[number];

export interface PostgresLocation {
  hosts: PostgresHost[];
  user: string;
  password: string | null;
  database: string;
  tls: TlsMode;
  /** Paths of PEM files. */
  rootCertificate: string | null;
  certificate: string | null;
  key: string | null;
}

const defaultPort = 5_432;

/** `null`: not what is expected. */
export function parsePostgresUrl(text: string): PostgresLocation | null {
  const [, userInfo, hostList, database, query = ''] =
    /^postgres(?:ql)?:\/\/(?:([^@/?#]*)@)?([^@/?#]+)\/([^/?#]+)(?:\?([^#]*))?$/.exec(text) ?? [];
  if (userInfo === undefined || hostList === undefined || database === undefined) return null;
  const [, userText, passwordText] = /^([^:]+)(?::(.*))?$/.exec(userInfo) ?? [];
  const hosts = hostList.split(',').map(parseHost);
  const parameters = new URLSearchParams(query);
  const known = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey'];
  if (hosts.includes(null) || [...parameters.keys()].some(name => !known.includes(name))) return null;
  const user = decode(userText);
  const password = decode(passwordText);
  const databaseName = decode(database);
  if (!user || !databaseName || password === null) return null;
  const isLocal = hosts.every(found => found !== null && isHere(found.host));
  const mode = parameters.get('sslmode') ?? (isLocal ? 'disable' : 'verify-full');
  const tls = tlsModes.find(name => name === mode);
  if (tls === undefined) return null;
  const rootCertificate = parameters.get('sslrootcert');
  // Without a root of its own, any server with a certificate of a public authority would do.
  if (tls === 'verify-ca' && rootCertificate === null) return null;
  return {
    hosts: hosts as PostgresHost[],
    user,
    password: password ?? null,
    database: databaseName,
    tls,
    rootCertificate,
    certificate: parameters.get('sslcert'),
    key: parameters.get('sslkey'),
  };
}

/** For people: without the password, and without paths of keys. */
export function shownPostgresUrl(text: string): string {
  const location = parsePostgresUrl(text);
  if (location === null) return 'postgres:';
  const hosts = location.hosts.map(({ host, port }) => `${isIP(host) === 6 ? `[${host}]` : host}:${port}`);
  return `postgres://${location.user}@${hosts.join(',')}/${location.database}?sslmode=${location.tls}`;
}

/** What the driver is to do for TLS to this host; throws when a file cannot be read. */
export function tlsOptions(location: PostgresLocation, { host }: PostgresHost): ConnectionOptions | false {
  const { tls, rootCertificate, certificate, key } = location;
  if (tls === 'disable' || host.startsWith('/')) return false;
  const options: ConnectionOptions = {};
  if (rootCertificate !== null) options.ca = readFileSync(rootCertificate, 'utf8');
  if (certificate !== null) options.cert = readFileSync(certificate, 'utf8');
  if (key !== null) options.key = readFileSync(key, 'utf8');
  // libpq: `require` with a root certificate is `verify-ca`.
  if (tls === 'require' && rootCertificate === null) options.rejectUnauthorized = false;
  else if (tls !== 'verify-full') options.checkServerIdentity = () => undefined;
  return options;
}

function parseHost(text: string): PostgresHost | null {
  const [, address, name, portText] = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = address ?? decode(name);
  const port = portText === undefined ? defaultPort : Number(portText);
  return !host || port < 1 || port > 65_535 ? null : { host, port };
}

/** `undefined` for what is not there, `null` for what is not well formed. */
function decode(text: string | undefined): string | null | undefined {
  try {
    return text === undefined ? undefined : decodeURIComponent(text);
  } catch {
    return null;
  }
}

function isHere(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\./.test(host);
}
