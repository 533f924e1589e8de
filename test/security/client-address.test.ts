import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import Fastify from 'fastify';
import t, { type Test } from 'tap';
import { clientOf } from '../../plugins/request-context.js';
import { buildApp } from '../../src/app.js';
import { loadConfig } from '../../src/config.js';
import { latchkey } from '../../src/index.js';
import {
  canonicalAddress,
  createTrustedProxy,
  limitAddress,
  type RequestHeaders,
  type TrustProxy,
} from '../../src/security/client-address.js';
import { createProxyWatch } from '../../src/security/proxy-watch.js';
import { bearer, STORES, signUp, TEST_KEY, testApp } from '../support/app.js';
import { freePort } from '../support/free-port.js';

t.test('an address is counted as its owner', async (t) => {
  const table: [name: string, address: string, counted: string][] = [
    ['IPv4', '192.0.2.7', '192.0.2.7'],
    ['IPv4 in IPv6', '::ffff:192.0.2.7', '192.0.2.7'],
    ['IPv4 in IPv6, in hex', '::ffff:c000:207', '192.0.2.7'],
    ['IPv4 in IPv6, in full', '0:0:0:0:0:FFFF:192.0.2.7', '192.0.2.7'],
    ['IPv4 with a port', '192.0.2.7:1234', '192.0.2.7'],
    ['IPv4 in quotes', '"192.0.2.7"', '192.0.2.7'],
    ['IPv4 in quotes, with a port', ' "192.0.2.7:1234" ', '192.0.2.7'],
    ['IPv4 in IPv6, with a port', '[::ffff:192.0.2.7]:443', '192.0.2.7'],
    ['IPv6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['the same network', '2001:DB8:1:2:ffff::1', '2001:db8:1:2::/64'],
    ['its neighbour', '2001:db8:1:3::1', '2001:db8:1:3::/64'],
    ['a short form', '2001:db8::1', '2001:db8:0:0::/64'],
    ['IPv6 in brackets', '[2001:db8:1:2::9]', '2001:db8:1:2::/64'],
    ['IPv6 with a port', '[2001:db8:1:2::9]:65535', '2001:db8:1:2::/64'],
    ['IPv6 in quotes, with a port', '"[2001:db8:1:2::9]:443"', '2001:db8:1:2::/64'],
    ['loopback', '::1', '0:0:0:0::/64'],
    ['a zone', 'fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['another zone', 'fe80::2%en1', 'fe80:0:0:0::/64'],
    ['a zone and a port', '[fe80::2%25en1]:443', 'fe80:0:0:0::/64'],
  ];
  for (const [name, address, counted] of table) t.equal(limitAddress(address), counted, name);
});

t.test('an address is written in one way', async (t) => {
  const table: [written: string, canonical: string | undefined][] = [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['192.0.2.7:80', '192.0.2.7'],
    ['2001:0DB8:0:0::0001', '2001:db8::1'],
    ['[2001:db8::1]:80', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['unknown', undefined],
    ['', undefined],
  ];
  for (const [written, canonical] of table) t.equal(canonicalAddress(written), canonical, written);
  const property = fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(65_535), (address, port) => {
    const known = canonicalAddress(address);
    const bracketed = address.includes(':') ? `[${address}]` : address;
    for (const written of [
      `${bracketed}:${port}`,
      `"${bracketed}"`,
      `"${bracketed}:${port}"`,
      ` ${address} `,
    ]) {
      if (canonicalAddress(written) !== known) return false;
    }
    return known !== undefined && canonicalAddress(known) === known && limitAddress(known) !== 'unknown';
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }));
});

t.test('what is no address is all one', async (t) => {
  const texts = [
    '',
    'unknown',
    'localhost',
    '_hidden',
    '1',
    '0x7f.1',
    '192.0.2.7:',
    '192.0.2.7:1:2',
    '[192.0.2.7',
    '[::1]:x',
    '[[::1]]',
    '"::1',
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
  for (const address of ['192.0.2.7', '2001:db8::1', 'fe80::1%}{', 'fe80::1%a}b', '[::1}]:{', '"}{"']) {
    t.notMatch(limitAddress(address), /[{}%"]/, address);
  }
});

const MODES = ['alb', 'apigateway', 'cloudfront'] as const;

const clientFor = (trust: TrustProxy, peer: string, headers: RequestHeaders): string =>
  createTrustedProxy(trust)?.clientAddress(peer, headers) ?? peer;

/** What a caller may write to look like somebody else. */
const FORGED = {
  'x-forwarded-for': '198.51.100.66',
  forwarded: 'for=198.51.100.66;proto=https',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'https',
  'x-forwarded-port': '443',
  'x-real-ip': '198.51.100.66',
  'x-client-ip': '198.51.100.66',
  'cf-connecting-ip': '198.51.100.66',
  'true-client-ip': '198.51.100.66',
  'cloudfront-viewer-address': '198.51.100.66:443',
  'x-envoy-external-address': '198.51.100.66',
};

t.test('the last hop is believed about the caller, and nobody about the rest', async (t) => {
  const INSIDE = ['127.0.0.1', '10.1.2.3', '172.31.0.9', '192.168.1.1', '169.254.7.7', '100.64.0.9', '::1'];
  const WRAPPED = ['::ffff:10.1.2.3', 'fd00::7', 'fe80::7%eth0'];
  const OUTSIDE = ['203.0.113.9', '172.32.0.1', '100.128.0.1', '2001:db8::9', '::ffff:203.0.113.9'];
  const own = (peer: string): string => canonicalAddress(peer) as string;
  for (const mode of MODES) {
    const via = (peer: string, headers: RequestHeaders) => clientFor({ mode }, peer, headers);
    const appended = (entry: string) => ({ ...FORGED, 'x-forwarded-for': `198.51.100.66, ${entry}` });
    for (const peer of INSIDE) {
      const headers = (entry: string) => {
        const { forwarded: _, ...rest } = appended(entry);
        return rest;
      };
      t.equal(via(peer, headers('192.0.2.7')), '192.0.2.7', `${mode} by ${peer}`);
      t.equal(via(peer, headers('192.0.2.7:50123')), '192.0.2.7');
      t.equal(via(peer, headers('[2001:DB8::7]:50123')), '2001:db8::7');
      t.equal(via(peer, headers('::ffff:192.0.2.7')), '192.0.2.7');
      t.equal(via(peer, headers('10.9.9.9')), '10.9.9.9', 'also a caller from within');
      t.equal(via(peer, headers('nonsense')), 'unknown');
      t.equal(via(peer, headers('')), 'unknown', 'never the one before');
      t.equal(via(peer, {}), own(peer), 'a health check is the proxy');
    }
    for (const peer of WRAPPED) t.equal(via(peer, { 'x-forwarded-for': '192.0.2.7' }), '192.0.2.7', peer);
    for (const peer of OUTSIDE)
      t.equal(via(peer, appended('192.0.2.7')), own(peer), `${mode} past it, ${peer}`);
    t.equal(via('', appended('192.0.2.7')), '', 'a peer that has gone');
  }
  for (const peer of [...INSIDE, ...OUTSIDE]) t.equal(clientFor({ mode: 'none' }, peer, FORGED), peer);
});

t.test(
  'CloudFront from public addresses is known by its mark, and on Lambda not taken for the viewer',
  async (t) => {
    const via = (peer: string, forwarded: string, mark = true) => {
      const headers = { ...FORGED, 'x-forwarded-for': forwarded, ...(mark && { 'x-amz-cf-id': 'x' }) };
      return clientFor({ mode: 'cloudfront' }, peer, headers);
    };
    const EDGE = '203.0.113.80';
    t.equal(via(EDGE, '198.51.100.66, 192.0.2.7'), '192.0.2.7');
    t.equal(via(EDGE, '198.51.100.66, 192.0.2.7', false), EDGE);
    t.equal(
      via(EDGE, `198.51.100.66, 192.0.2.7, ${EDGE}`),
      '192.0.2.7',
      'as API Gateway hands it to a function',
    );
    t.equal(via(EDGE, EDGE), EDGE);
  },
);

t.test(
  'an HTTP API names its caller in X-Forwarded-For to Lambda, in Forwarded through a VPC link',
  async (t) => {
    const via = (peer: string, headers: RequestHeaders) => clientFor({ mode: 'apigateway' }, peer, headers);
    const LINK = '10.0.7.7';
    const table: [forwarded: string, client: string][] = [
      ['by=203.0.113.5;for=192.0.2.7;host=api.example.com;proto=https', '192.0.2.7'],
      ['for=198.51.100.66,for=192.0.2.7;by=203.0.113.5', '192.0.2.7'],
      ['for=198.51.100.66;proto=https, For="192.0.2.7:4711";proto=https', '192.0.2.7'],
      ['for=198.51.100.66, for="[2001:db8::7]:4711"', '2001:db8::7'],
      ['for="198.51.100.66, by=203.0.113.5;for=192.0.2.7', '192.0.2.7'],
      ['for=192.0.2.7 ; proto=https', '192.0.2.7'],
      ['for=192.0.2.7;for=192.0.2.8', 'unknown'],
      ['for=192.0.2.7,', 'unknown'],
      ['for=192.0.2.7, proto=https', 'unknown'],
      ['for=unknown', 'unknown'],
      ['for=', 'unknown'],
      ['192.0.2.7', 'unknown'],
      ['', 'unknown'],
    ];
    for (const [forwarded, client] of table) {
      const headers = { ...FORGED, 'x-forwarded-for': '198.51.100.66, 10.0.7.1', forwarded };
      t.equal(via(LINK, headers), client, forwarded);
    }
    const event = { ...FORGED, 'x-forwarded-for': '198.51.100.66, 192.0.2.7' };
    t.equal(via('127.0.0.1', event), '192.0.2.7', 'what turns events into requests in the same machine');
    t.equal(via('192.0.2.7', event), '192.0.2.7', 'an event whose peer is the caller');
  },
);

t.test('in networks any number of proxies', async (t) => {
  const trust: TrustProxy = {
    mode: 'networks',
    networks: [
      '10.0.0.0/8',
      '203.0.113.80',
      '::ffff:172.16.0.0/108',
      '2001:db8:ffff::/48',
      'fe80::1%eth0',
      '::1',
    ],
  };
  const table: [peer: string, forwarded: string, client: string][] = [
    ['10.1.1.1', '192.0.2.7', '192.0.2.7'],
    ['10.1.1.1', '198.51.100.66, 192.0.2.7', '192.0.2.7'],
    ['10.1.1.1', '198.51.100.66, 192.0.2.7:1, 203.0.113.80:443, 10.2.2.2:8080', '192.0.2.7'],
    ['172.16.9.9', '192.0.2.7,172.31.0.1', '192.0.2.7'],
    ['::ffff:10.1.1.1', '192.0.2.7, ::ffff:10.2.2.2', '192.0.2.7'],
    ['2001:db8:ffff::1', '2001:db8::7, [2001:db8:ffff::2]:443', '2001:db8::7'],
    ['fe80::1%eth1', '192.0.2.7', '192.0.2.7'],
    ['::1', '192.0.2.7', '192.0.2.7'],
    ['10.1.1.1', '192.0.2.7, nonsense, 10.2.2.2', 'unknown'],
    ['10.1.1.1', '10.3.3.3, 10.2.2.2', '10.3.3.3'],
    ['127.0.0.1', '192.0.2.7', '127.0.0.1'],
    ['203.0.113.81', '192.0.2.7', '203.0.113.81'],
    ['172.32.0.1', '192.0.2.7', '172.32.0.1'],
    ['nonsense', '192.0.2.7', 'nonsense'],
  ];
  for (const [peer, forwarded, client] of table) {
    const headers = { ...FORGED, 'x-forwarded-for': forwarded };
    t.equal(clientFor(trust, peer, headers), client, `${peer}: ${forwarded}`);
  }
  t.equal(
    clientFor(trust, '10.1.1.1', { forwarded: 'for=192.0.2.7' }),
    '10.1.1.1',
    'Forwarded is not theirs',
  );
  // More peers than are remembered: each is still judged by itself.
  const { isPeer } = createTrustedProxy(trust)!;
  for (let n = 0; n < 600; n += 1) {
    t.equal(isPeer(`${n % 2 ? 10 : 11}.0.${n >> 8}.${n & 255}`, {}), n % 2 === 1);
  }
  t.equal(isPeer('10.0.0.1', {}), true);
});

interface Seen {
  ip: string;
  client: string;
  host: string;
  protocol: string;
}

/** The service on a port, with a route that tells what it takes its caller for. */
async function listening(t: Pick<Test, 'teardown'>, env: Record<string, string>, host = '127.0.0.1') {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-'));
  const limits = { RATE_LIMIT_ANON: '1000/hour', LOG_LEVEL: 'debug' };
  const keys = { LATCHKEY_DATA_DIR: dataDir, JWT_SIGNING_KEY: TEST_KEY };
  let lines = '';
  const logStream = {
    write: (line: string) => {
      lines += line;
    },
  };
  const app = await buildApp(loadConfig({ ...limits, ...keys, ...env }), { logStream });
  app.get('/seen', async (request) => {
    const { ip, host, protocol } = request;
    return { ip, client: clientOf(request).ip, host, protocol };
  });
  const port = await freePort();
  await app.listen({ host, port });
  t.teardown(async () => {
    await app.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const send = (
    path: string,
    headers: OutgoingHttpHeaders,
    options: { host?: string; localAddress?: string },
  ) =>
    new Promise<{ status: number; remaining: number; body: string }>((resolve, reject) => {
      const sent = httpRequest({ port, path, headers, host, ...options }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          body += chunk;
        });
        response.on('end', () => {
          const remaining = Number(response.headers['ratelimit-remaining']);
          resolve({ status: response.statusCode ?? 0, remaining, body });
        });
      });
      sent.on('error', reject).end();
    });
  return {
    app,
    async seen(headers: OutgoingHttpHeaders, options = {}): Promise<Seen> {
      return JSON.parse((await send('/seen', { host: 'here.example', ...headers }, options)).body);
    },
    /** What is left of the budget of whoever asked. */
    async budget(headers: OutgoingHttpHeaders, options = {}): Promise<number> {
      return (await send('/nothing', headers, options)).remaining;
    },
    warnings: () =>
      lines
        .split('\n')
        .filter((line) => line.includes('"level":"warn"'))
        .map((line) => JSON.parse(line) as { msg: string; peer: string; trustProxy: string }),
  };
}

t.test('over HTTP: what a caller writes changes nothing', async (t) => {
  const untold = { host: 'here.example', protocol: 'http' };
  await t.test('with no proxy', async (t) => {
    const { seen, budget } = await listening(t, {});
    const { 'x-forwarded-for': _, ...others } = FORGED;
    for (const headers of [{}, FORGED, others, { 'X-Forwarded-For': ['1.1.1.1', '2.2.2.2'] }]) {
      t.strictSame(await seen(headers), { ip: '127.0.0.1', client: '127.0.0.1', ...untold });
    }
    t.equal((await seen(FORGED, { localAddress: '127.9.9.9' })).ip, '127.9.9.9');
    t.equal(await budget({}), 999);
    t.equal(await budget(FORGED), 998, 'one budget, whoever they say they are');
  });

  for (const mode of [...MODES, '127.0.0.0/8', '10.0.0.0/8, 127.0.0.1']) {
    await t.test(`behind ${mode}`, async (t) => {
      const { seen, budget } = await listening(t, { TRUST_PROXY: mode });
      const by = (entry: string) => ({ ...FORGED, 'x-forwarded-for': `198.51.100.66, 10.0.0.66 ,${entry}` });
      for (const entry of ['192.0.2.7', '192.0.2.7:50123', '"192.0.2.7:50123"', '::ffff:192.0.2.7']) {
        t.strictSame(await seen(by(entry)), { ip: '192.0.2.7', client: '192.0.2.7', ...untold }, entry);
      }
      const { 'x-forwarded-for': _, ...others } = FORGED;
      t.strictSame(await seen(others), { ip: '127.0.0.1', client: '127.0.0.1', ...untold });
      t.equal(
        (await seen({ 'X-Forwarded-For': ['198.51.100.66', '192.0.2.7'] })).ip,
        '192.0.2.7',
        'two headers',
      );
      t.equal((await seen(by('x'.repeat(5000)))).client, 'unknown');

      t.equal(await budget(by('192.0.2.8:1')), 999);
      t.equal(await budget(by('192.0.2.8:2')), 998, 'the port does not make another caller');
      t.equal(await budget(by('::ffff:192.0.2.8')), 997);
      t.equal(await budget(by('192.0.2.9:1')), 999, 'and does not make all callers one');
      t.equal(await budget(by('[2001:db8:1:2::1]:443')), 999);
      t.equal(await budget(by('2001:db8:1:2:3::1')), 998);
      t.equal(await budget(by('2001:db8:1:3::1')), 999);
    });
  }

  await t.test('a peer that IPv6 wraps, or that speaks it', async (t) => {
    const { seen, warnings } = await listening(t, { TRUST_PROXY: '127.0.0.0/8' }, '::');
    const forwarded = { 'x-forwarded-for': '192.0.2.7' };
    t.equal((await seen(forwarded, { host: '127.0.0.1' })).ip, '192.0.2.7');
    t.equal((await seen(forwarded, { host: '::1' })).ip, '::1');
    t.match(
      warnings().map(({ msg }) => msg),
      [/did not come through/],
    );
  });
});

t.test('a proxy that is not the one that is trusted is told once', async (t) => {
  const look = (trust: TrustProxy) => createProxyWatch(trust);
  const forwarded = { 'x-forwarded-for': '192.0.2.7' };
  const networks: TrustProxy = { mode: 'networks', networks: ['10.0.0.0/8'] };

  await t.test('none is trusted', async (t) => {
    const watch = look({ mode: 'none' });
    t.equal(watch('127.0.0.1', {}), undefined, 'nothing is forwarded');
    t.equal(watch('203.0.113.9', forwarded), undefined, 'a caller who makes something up');
    t.equal(watch('', forwarded), undefined);
    t.equal(watch('10.0.0.7', forwarded), 'unnamed');
    t.equal(watch('10.0.0.7', forwarded), undefined, 'once');
    t.equal(look({ mode: 'none' })('::ffff:10.0.0.7', { forwarded: 'for=192.0.2.7' }), 'unnamed');
  });

  await t.test('another is trusted', async (t) => {
    for (const trust of [...MODES.map((mode) => ({ mode })), networks]) {
      const watch = look(trust);
      t.equal(watch('10.0.0.7', forwarded), undefined, 'the proxy');
      t.equal(watch('10.0.0.7', {}), undefined, 'its health checks');
      t.equal(watch('127.0.0.1', {}), undefined, 'those of the machine');
      t.equal(watch('192.0.2.7', forwarded), undefined, 'a caller as Lambda gives it');
      t.equal(watch('203.0.113.9', {}), 'bypassed', `${trust.mode}: somebody from outside`);
      t.equal(watch('203.0.113.9', {}), undefined, 'once');
      t.equal(look(trust)('203.0.113.9', forwarded), 'bypassed', 'who claims to be somebody else');
    }
    t.equal(look(networks)('172.16.0.1', forwarded), 'bypassed', 'a proxy in another network');
    t.equal(look({ mode: 'cloudfront' })('203.0.113.9', { ...forwarded, 'x-amz-cf-id': 'x' }), undefined);
  });

  await t.test('in the log', async (t) => {
    const table: [
      env: Record<string, string>,
      headers: OutgoingHttpHeaders,
      peer: string,
      message: RegExp,
    ][] = [
      [{}, FORGED, '127.0.0.1', /TRUST_PROXY names none: all callers share its address/],
      [
        { TRUST_PROXY: '10.0.0.0/8' },
        forwarded,
        '127.0.0.1',
        /did not come through the proxy that TRUST_PROXY names/,
      ],
    ];
    for (const [env, headers, peer, message] of table) {
      const { app, seen, budget, warnings } = await listening(t, env);
      await seen({});
      t.strictSame(warnings(), [], 'nothing yet');
      for (let n = 0; n < 3; n += 1) await Promise.all([seen(headers), budget(headers)]);
      await app.inject({ url: '/%zz', headers: { 'x-forwarded-for': '192.0.2.7' } });
      t.match(warnings(), [{ msg: message, peer }]);
      t.equal(warnings().length, 1);
      t.notMatch(JSON.stringify(warnings()), /192\.0\.2\.7|198\.51/, 'not what the header says');
    }
    const { seen, warnings } = await listening(t, { TRUST_PROXY: 'alb' });
    for (const each of [{}, FORGED, forwarded]) await seen(each);
    t.strictSame(warnings(), []);
  });
});

t.test('in an application that is not ours its own rules hold', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-'));
  let lines = '';
  const stream = {
    write: (line: string) => {
      lines += line;
    },
  };
  const app = Fastify({ trustProxy: ['127.0.0.1'], logger: { level: 'warn', stream } });
  await app.register(latchkey, { dataDir, jwtSigningKey: TEST_KEY });
  app.get('/seen', async (request) => ({ ip: request.ip, client: clientOf(request).ip }));
  t.teardown(async () => {
    await app.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const headers = { 'x-forwarded-for': '198.51.100.66, 192.0.2.7:443' };
  const seen = async (remoteAddress: string) =>
    (await app.inject({ url: '/seen', headers, remoteAddress })).json();
  t.strictSame(await seen('127.0.0.1'), { ip: '192.0.2.7:443', client: '192.0.2.7' });
  t.strictSame(await seen('10.0.0.7'), { ip: '10.0.0.7', client: '10.0.0.7' });
  t.equal(lines, '', 'and nothing is said of a variable that is not read');
});

t.test('only a trusted proxy says where a request comes from, and what it says does no harm', async (t) => {
  const table: [forwarded: string, remoteAddress: string, ip: string][] = [
    ['192.0.2.7', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9, 192.0.2.7', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9, 192.0.2.7, 10.1.2.3', '127.0.0.1', '192.0.2.7'],
    ['203.0.113.9', '198.51.100.1', '198.51.100.1'],
    ['2001:db8::1', '10.9.9.9', '2001:db8::1'],
    ['192.0.2.7:443', '127.0.0.1', '192.0.2.7'],
    ['unknown', '127.0.0.1', 'unknown'],
    ['x'.repeat(500), '127.0.0.1', 'unknown'],
    ['é\u0001', '127.0.0.1', 'unknown'],
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
