import t from 'tap';
import { limitAddress } from '../../src/security/client-address.js';
import { bearer, STORES, signUp, testApp } from '../support/app.js';

t.test('an address is counted as its owner', async (t) => {
  const table: [name: string, address: string, counted: string][] = [
    ['IPv4', '192.0.2.7', '192.0.2.7'],
    ['IPv4 in IPv6', '::ffff:192.0.2.7', '192.0.2.7'],
    ['IPv4 in IPv6, in hex', '::ffff:c000:207', '192.0.2.7'],
    ['IPv4 in IPv6, in full', '0:0:0:0:0:FFFF:192.0.2.7', '192.0.2.7'],
    ['IPv6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['the same network', '2001:DB8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['its neighbour', '2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['a short form', '2001:db8::1', '2001:db8:0:0::/64'],
    ['loopback', '::1', '0:0:0:0::/64'],
    ['a zone', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['another zone', 'fe80::2%en1', 'fe80:0:0:0::/64'],
  ];
  for (const [name, address, counted] of table) t.equal(limitAddress(address), counted, name);
});

t.test('what is no address is all one', async (t) => {
  const texts = [
    '',
    'unknown',
    'localhost',
    '192.0.2.7:1234',
    '[::1]',
    '192.0.2.0/24',
    '::1/64',
    '300.1.1.1',
    ':::',
  ];
  for (const text of [...texts, 'x'.repeat(10_000), '{1}', '1.2.3.4}:l:login']) {
    t.equal(limitAddress(text), 'unknown', JSON.stringify(text.slice(0, 40)));
  }
});

t.test('nothing in it can leave the braces of a key', async (t) => {
  for (const address of ['192.0.2.7', '2001:db8::1', 'fe80::1%}{', 'fe80::1%a}b']) {
    t.notMatch(limitAddress(address), /[{}%]/, address);
  }
});

t.test('only a trusted proxy says where a request comes from, and what it says does no harm', async (t) => {
  const table: [forwarded: string, remoteAddress: string, ip: string][] = [
    ['192.0.2.7', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9, 192.0.2.7', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9, 192.0.2.7, 10.1.2.3', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9', '198.51.100.1', '198.51.100.1'],
    ['2001:db8::1', '10.9.9.9', '2001:db8::1'],
    ['192.0.2.7:443', '127.0.0.1', '192.0.2.7:443'],
    ['unknown', '127.0.0.1', 'unknown'],
    ['x'.repeat(500), '127.0.0.1', 'x'.repeat(45)],
    ['é\u0001', '127.0.0.1', '??'],
  ];
  for (const stores of STORES) {
    const test = await testApp(t, { stores, env: { TRUST_PROXY: '127.0.0.1, 10.0.0.0/8' } });
    const { access, user } = await signUp(test);
    const { app, send, logs } = test;
    for (const [forwarded, remoteAddress, ip] of table) {
      const headers = { 'x-forwarded-for': forwarded, ...bearer(access) };
      const payload = { first_name: 'Zoe' };
      const response = await send({ method: 'PATCH', url: '/api/auth/me', headers, payload, remoteAddress });
      t.equal(response.statusCode, 200);
      await app.events.flush();
      const [event] = await app.database.events.listOfUser(user.id, { limit: 1 });
      t.match(event, { type: 'profile_changed', ip }, `${stores}: ${forwarded.slice(0, 40)}`);
    }
    t.notMatch(logs(), /could not be stored/);
  }
});
