import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type PostgresLocation,
  parsePostgresUrl,
  shownPostgresUrl,
  tlsOptions,
} from '../../src/journal/postgres-url.ts';

const urls = suite('postgres url');

const plain: PostgresLocation = {
  hosts: [{ host: 'db', port: 5432 }],
  user: 'app',
  password: null,
  database: 'journal',
  tls: 'verify-full',
  rootCertificate: null,
  certificate: null,
  key: null,
};

const taken: [url: string, location: Partial<PostgresLocation>][] = [
  ['postgres://app@db/journal', {}],
  ['postgresql://app@db:6543/journal', { hosts: [{ host: 'db', port: 6543 }] }],
  ['postgres://app:s%40cr%3Aet@db/journal', { password: 's@cr:et' }],
  ['postgres://app:a:b@db/journal', { password: 'a:b' }],
  ['postgres://a%20b@db/jour%2Fnal', { user: 'a b', database: 'jour/nal' }],
  [
    'postgres://app@one:1,two,[::1]:3/journal',
    {
      hosts: [
        { host: 'one', port: 1 },
        { host: 'two', port: 5432 },
        { host: '::1', port: 3 },
      ],
    },
  ],
  [
    'postgres://app@%2Frun%2Fpostgresql/journal',
    { hosts: [{ host: '/run/postgresql', port: 5432 }], tls: 'disable' },
  ],
  [
    'postgres://app@127.0.0.1,localhost/journal?',
    {
      hosts: [
        { host: '127.0.0.1', port: 5432 },
        { host: 'localhost', port: 5432 },
      ],
      tls: 'disable',
    },
  ],
  ['postgres://app@db/journal?sslmode=disable', { tls: 'disable' }],
  ['postgres://app@db/journal?sslmode=require', { tls: 'require' }],
  [
    'postgres://app@db/journal?sslmode=verify-ca&sslrootcert=/ca.pem',
    { tls: 'verify-ca', rootCertificate: '/ca.pem' },
  ],
  ['postgres://app@db/journal?sslcert=/c.pem&sslkey=/k.pem', { certificate: '/c.pem', key: '/k.pem' }],
];

for (const [url, location] of taken) {
  urls(`takes ${url}`, () => {
    assert.equal(parsePostgresUrl(url), { ...plain, ...location });
  });
}

const refused = [
  'postgres://db/journal',
  'postgres://app@db',
  'postgres://app@db/',
  'postgres://:secret@db/journal',
  'postgres://app@/journal',
  'postgres://app@db,/journal',
  'postgres://app@db:0/journal',
  'postgres://app@db:65536/journal',
  'postgres://app:%zz@db/journal',
  'postgres://app@db/journal?sslmode=prefer',
  'postgres://app@db/journal?sslmode=verify-ca',
  'postgres://app@db/journal?ssl=true',
  'postgres://app@db/journal?sslmod=require',
  'postgres://app@db/journal#x',
  'mysql://app@db/journal',
];

for (const url of refused) urls(`refuses ${url}`, () => assert.is(parsePostgresUrl(url), null));

urls('is shown without the password and the paths of keys', () => {
  const shown = shownPostgresUrl(
    'postgres://app:canary@one,[::1]:3/journal?sslmode=require&sslkey=/canary.key',
  );
  assert.is(shown, 'postgres://app@one:5432,[::1]:3/journal?sslmode=require');
  assert.is(shownPostgresUrl('postgres://canary'), 'postgres:');
});

urls('TLS is checked as libpq does', () => {
  const options = (url: string) => {
    const location = parsePostgresUrl(url)!;
    return tlsOptions(location, location.hosts[0]!);
  };
  assert.is(options('postgres://app@db/journal?sslmode=disable'), false);
  assert.is(options('postgres://app@%2Frun/journal?sslmode=verify-full'), false);
  assert.equal(options('postgres://app@db/journal'), {});
  assert.equal(options('postgres://app@db/journal?sslmode=require'), { rejectUnauthorized: false });
});

urls.run();
