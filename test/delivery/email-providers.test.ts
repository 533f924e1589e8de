import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { mock } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import PostalMime from 'postal-mime';
import t, { type Test } from 'tap';
import { createEmailProvider } from '../../src/delivery/create-email-provider.js';
import type { EmailMessage, EmailProvider } from '../../src/delivery/email.js';
import { createEmailOutbox } from '../../src/delivery/email-outbox.js';
import { DeliveryError } from '../../src/delivery/port.js';
import { createSesEmail } from '../../src/delivery/ses.js';
import { createSmtpEmail } from '../../src/delivery/smtp.js';
import { readSmtpUrl } from '../../src/delivery/smtp-url.js';
import { writeEmail } from '../../src/delivery/write-email.js';
import { freePort } from '../support/free-port.js';
import { describeFailure, type Failure, ofAccount, ofMessage, passing } from './failure.js';
import { httpDouble, type Received } from './http-double.js';
import { ARRIVAL, type Delivered, mailServer, PASSWORD, scriptedServer, USER } from './mail-server.js';
import { selfSigned } from './self-signed.js';
import { signV4 } from './sign-v4.js';

const NOW = Date.UTC(2026, 10, 21, 2, 28, 6);
const now = () => NOW;

const TOKEN = 'Zk3vQm9sT0aWn1xYp7rLh2cUe5gBdJ8fKi4oSuRtEw6';
const FROM = 'خدمات نور <no-reply@auth.example.com>';
const AWS_SECRET = 'zq9awssecret';

// What the SDK would look for besides: nothing of this machine's, no network.
Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: AWS_SECRET,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
});

const message = (fields: Partial<EmailMessage> = {}): EmailMessage => ({
  to: 'somebody@example.org',
  token: TOKEN,
  ...writeEmail({
    locale: 'fa',
    purpose: 'reset',
    link: new URL(`https://auth.example.com/reset?token=${TOKEN}&next=a`),
    lifetime: 1800,
  }),
  ...fields,
});

/** Nothing of these may be in an error that reaches a log. */
const SECRETS = /somebody|example\.(?:org|com)|Zk3vQm9s|zq9|رمز|بازیابی|smtps?:|http:|127\.0\.0\.1/i;

const PATIENT = new AbortController().signal;

const failureOf = (t: Test, provider: EmailProvider, sent = message(), signal = PATIENT): Promise<Failure> =>
  describeFailure(t, () => provider.send(sent, signal), SECRETS);

const laterFor = (message: string): Failure => ({ message, retryable: true, ofProvider: false });

const { key, cert } = selfSigned('localhost');
const LOGIN = `${encodeURIComponent(USER)}:${encodeURIComponent(PASSWORD)}@`;

/** A provider that lets its connections go at the end of the test. */
function smtp(t: Test, url: string, { from = FROM, ca }: { from?: string; ca?: string } = {}): EmailProvider {
  const provider = createSmtpEmail({ url, from, now, ...(ca && { ca }) });
  t.teardown(() => provider.close?.());
  return provider;
}

const headersOf = (raw: string): string => raw.slice(0, raw.indexOf('\r\n\r\n'));

/** Waits for something that happens in another turn of the event loop, not for long. */
async function until(isTrue: () => boolean): Promise<void> {
  for (let n = 0; n < 400 && !isTrue(); n++) await delay(5);
}

t.test('a message as it arrives', async (t) => {
  const server = await mailServer(t, { key, cert });
  const provider = smtp(t, `smtp://${LOGIN}localhost:${server.port}?tls=required`, { ca: cert });
  const sent = [
    message(),
    message({
      to: 'Somebody.Else+tag@bücher.example',
      ...writeEmail({ locale: 'en', purpose: 'password_changed' }),
    }),
  ] as [EmailMessage, EmailMessage];
  for (const each of sent) await provider.send(each, PATIENT);
  const [persian, english] = server.delivered as [Delivered, Delivered];
  t.match(persian, {
    from: 'no-reply@auth.example.com',
    to: ['somebody@example.org'],
    user: USER,
    encrypted: true,
    parameters: [],
  });
  t.match(headersOf(english.raw), /^To: Somebody\.Else\+tag@xn--bcher-kva\.example$/m);
  t.equal(server.opened(), 1, 'over one connection');

  const ids = new Set<string | undefined>();
  for (const [n, { raw }] of [persian, english].entries()) {
    const { subject, text, html } = sent[n as 0 | 1];
    const parsed = await PostalMime.parse(raw);
    t.match(parsed, {
      from: { name: 'خدمات نور', address: 'no-reply@auth.example.com' },
      subject,
      date: '2026-11-21T02:28:06.000Z',
      messageId: /^<[0-9a-f]{32}@auth\.example\.com>$/,
      attachments: [],
    });
    t.equal(parsed.text?.replaceAll('\r\n', '\n').trimEnd(), text.trimEnd());
    t.equal(parsed.html?.replaceAll('\r\n', '\n').trimEnd(), html.trimEnd());
    ids.add(parsed.messageId);
    const names = parsed.headers.map(({ key }) => key).sort();
    t.strictSame(
      names,
      ['auto-submitted', 'content-type', 'date', 'from', 'message-id', 'mime-version', 'subject', 'to'],
      'nothing else is told',
    );
    t.match(headersOf(raw), /^Auto-Submitted: auto-generated$/m);
    t.match(headersOf(raw), /^Date: Sat, 21 Nov 2026 02:28:06 \+0000$/m);
    t.match(headersOf(raw), /^Content-Type: multipart\/alternative;/m);
    t.ok(raw.indexOf('text/plain; charset=utf-8') < raw.indexOf('text/html; charset=utf-8'), 'text first');
    t.match(raw, /^(?:[\x20-\x7e\t]{0,78}\r\n)+$/, 'ASCII, in short lines');
  }
  t.equal(ids.size, 2);
  t.match(headersOf(persian.raw), /^Subject: =\?UTF-8\?/m);
});

t.test('another try is the same message', async (t) => {
  let tries = 0;
  const server = await mailServer(t, {
    onRcptTo: (_, __, done) =>
      done(tries++ === 0 ? Object.assign(new Error('later'), { responseCode: 450 }) : null),
  });
  const url = `smtp://127.0.0.1:${server.port}`;
  let time = NOW;
  const provider = createSmtpEmail({ url, from: 'a@example.com', now: () => time });
  t.teardown(() => provider.close?.());
  const sent = message();
  await failureOf(t, provider, sent);
  time += 60_000;
  await provider.send(sent, PATIENT);
  await provider.send(sent, PATIENT);
  const [first, second] = await Promise.all(server.delivered.map(({ raw }) => PostalMime.parse(raw)));
  t.equal(first?.messageId, second?.messageId, 'a server that had taken it would know it again');
  t.equal(first?.date, '2026-11-21T02:28:06.000Z');
  t.equal(second?.date, first?.date);
});

t.test('where mail is handed in', (t) => {
  const tls = (url: string) => readSmtpUrl(url).tls;
  for (const [url, expected] of [
    ['smtp://mail.example.com', 'starttls'],
    ['smtp://mail.example.com:25', 'starttls'],
    ['smtp://mail.example.com:587/?tls=required', 'starttls'],
    ['smtp://mail.example.com:465', 'implicit'],
    ['smtps://mail.example.com', 'implicit'],
    ['smtps://mail.example.com:587?tls=required', 'implicit'],
    ['smtps://localhost', 'implicit'],
    ['smtp://10.0.0.5:25', 'starttls'],
    ['smtp://mail.internal:25?tls=off', 'off'],
    ['smtp://localhost.example.com', 'starttls'],
    ['smtp://localhost:1025', 'off'],
    ['smtp://LOCALHOST:1025', 'off'],
    ['smtp://127.0.0.53:25', 'off'],
    ['smtp://[::1]:25', 'off'],
    ['smtp://[::ffff:127.0.0.1]:25', 'off'],
    ['smtp://localhost:587?tls=required', 'starttls'],
    ['smtp://localhost:465', 'implicit'],
  ] as const) {
    t.equal(tls(url), expected, url);
  }
  t.strictSame(readSmtpUrl('smtp://AKIA%2F:p%40%2F%3A%23%25@mail.example.com'), {
    host: 'mail.example.com',
    port: 587,
    tls: 'starttls',
    user: 'AKIA/',
    password: 'p@/:#%',
  });
  t.match(readSmtpUrl('smtps://[2001:db8::1]'), { host: '2001:db8::1', port: 465 });
  t.match(readSmtpUrl('smtp://localhost:25'), { host: '127.0.0.1' }, 'no name server is asked');
  t.match(readSmtpUrl('smtps://localhost'), { host: 'localhost' }, 'its certificate is');
  for (const url of [
    '',
    'mail.example.com',
    'mail.example.com:587',
    'http://mail.example.com',
    'smtp://',
    'smtp:mail.example.com',
    'smtp://user:zq9/x@mail.example.com',
    'smtp://user:zq9#x@mail.example.com',
    'smtp://user:zq9?x@mail.example.com',
    'smtp://user:zq9%@mail.example.com',
    'smtp://user@mail.example.com',
    'smtp://:zq9@mail.example.com',
    'smtp://mail.example.com/path',
    'smtp://mail.example.com?pool=true',
    'smtp://mail.example.com?tls.rejectUnauthorized=false',
    'smtp://mail.example.com?tls=maybe',
    'smtp://mail.example.com?tls=off&tls=required',
    'smtps://mail.example.com?tls=off',
  ]) {
    t.throws(() => readSmtpUrl(url), { message: /^the SMTP URL must be smtp:/ }, url);
    t.throws(
      () => createSmtpEmail({ url, from: FROM, now }),
      /^(?!.*(?:zq9|user@)).*$/s,
      'and is not quoted',
    );
  }
  t.end();
});

t.test('TLS', async (t) => {
  await t.test('from the first byte', async (t) => {
    const server = await mailServer(t, { key, cert, secure: true });
    await smtp(t, `smtps://${LOGIN}localhost:${server.port}`, { ca: cert }).send(message(), PATIENT);
    t.match(server.delivered, [{ encrypted: true, user: USER }]);
  });

  await t.test('a certificate that is not trusted, or of another host', async (t) => {
    for (const secure of [false, true]) {
      const server = await mailServer(t, { key, cert, secure });
      const url = (host: string) =>
        `${secure ? 'smtps' : 'smtp'}://${LOGIN}${host}:${server.port}?tls=required`;
      t.strictSame(
        await failureOf(t, smtp(t, url('localhost'))),
        passing('smtp could not be asked (DEPTH_ZERO_SELF_SIGNED_CERT)'),
      );
      t.strictSame(
        await failureOf(t, smtp(t, url('127.0.0.1'), { ca: cert })),
        passing('smtp could not be asked (ERR_TLS_CERT_ALTNAME_INVALID)'),
      );
      t.strictSame(server.delivered, []);
    }
  });

  await t.test('a server without it, or that refuses it, hears nothing', async (t) => {
    for (const hello of ['250 mail.example.com', '250-mail.example.com\r\n250 AUTH PLAIN LOGIN']) {
      const server = await scriptedServer(t, (line) => {
        if (line === ARRIVAL) return '220 mail.example.com';
        return line.startsWith('EHLO') ? hello : '502 5.5.1 what is zq9';
      });
      t.strictSame(
        await failureOf(t, smtp(t, `smtp://${LOGIN}localhost:${server.port}?tls=required`, { ca: cert })),
        ofAccount('smtp answered 502 5.5.1 to STARTTLS'),
      );
      await server.gone();
      t.match(server.heard.join(), /^EHLO [^,]+,STARTTLS(?:,QUIT)?$/);
    }
  });

  await t.test('on this machine none is needed', async (t) => {
    const server = await mailServer(t, { key, cert, allowInsecureAuth: true });
    await smtp(t, `smtp://localhost:${server.port}`).send(message(), PATIENT);
    await smtp(t, `smtp://${LOGIN}127.0.0.1:${server.port}`).send(message(), PATIENT);
    t.match(server.delivered, [
      { encrypted: false, user: undefined },
      { encrypted: false, user: USER },
    ]);
  });
});

const POLITE = (line: string): string | undefined => {
  if (line === ARRIVAL) return '220 mail.example.com';
  if (line.startsWith('EHLO')) return '250 mail.example.com';
  if (line === 'DATA') return '354 go on';
  return /^(?:MAIL|RCPT|RSET|QUIT|\.$)/.test(line) ? '250 fine' : undefined;
};

/** A command, or the lone dot that ends a message. */
const isAt = (where: string, line: string): boolean =>
  where === '.' ? line === where : line.startsWith(where);

t.test('what servers answer', async (t) => {
  const reply = (responseCode: number) =>
    Object.assign(new Error('<somebody@example.org> zq9 بازیابی'), { responseCode });
  /** With and without PIPELINING, errors take different ways. */
  for (const hidePIPELINING of [false, true]) {
    let at = '';
    let code = 0;
    const answer = (place: string) => (_: unknown, __: unknown, done: (error?: Error | null) => void) =>
      done(place === at ? reply(code) : null);
    const server = await mailServer(t, {
      hidePIPELINING,
      onMailFrom: answer('MAIL FROM'),
      onRcptTo: answer('RCPT TO'),
      onData: (stream, session, done) => {
        stream.resume().once('end', () => answer('DATA')(stream, session, done));
      },
    });
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    for (const [place, status, expected] of [
      ['MAIL FROM', 421, passing('smtp answered 421 4.4.2 to MAIL FROM')],
      ['MAIL FROM', 452, passing('smtp answered 452 4.2.2 to MAIL FROM')],
      ['MAIL FROM', 503, passing('smtp answered 503 5.5.1 to MAIL FROM')],
      ['MAIL FROM', 550, ofAccount('smtp answered 550 5.1.1 to MAIL FROM')],
      ['RCPT TO', 450, laterFor('smtp answered 450 4.2.1 to RCPT TO')],
      ['RCPT TO', 550, ofMessage('smtp answered 550 5.1.1 to RCPT TO')],
      ['DATA', 451, passing('smtp answered 451 4.3.0 to DATA')],
      ['DATA', 554, ofMessage('smtp answered 554 5.6.0 to DATA')],
    ] as const) {
      [at, code] = [place, status];
      const { message, ...judged } = await failureOf(t, provider);
      const { message: expectedMessage, ...expectedJudgement } = expected;
      t.strictSame(judged, expectedJudgement, message);
      // What the double puts between the code and the verb is its own affair.
      t.equal(message.replace(/ \d\.\d\.\d/, ''), expectedMessage.replace(/ \d\.\d\.\d/, ''));
    }
    [at, code] = ['RCPT TO', 421];
    t.match(await failureOf(t, provider), { retryable: true, ofProvider: true }, 'it hangs up with that');
    at = '';
    await provider.send(message(), PATIENT);
  }

  await t.test('a wrong password', async (t) => {
    const server = await mailServer(t, { key, cert });
    const url = `smtp://${encodeURIComponent(USER)}:zq9wrong@localhost:${server.port}?tls=required`;
    t.strictSame(await failureOf(t, smtp(t, url, { ca: cert })), ofAccount('smtp answered 535 to AUTH'));
  });

  await t.test('a server that is going away', async (t) => {
    const server = await scriptedServer(t, (line) => (isAt('RCPT', line) ? '421 4.7.0 zq9' : POLITE(line)));
    t.strictSame(
      await failureOf(t, smtp(t, `smtp://127.0.0.1:${server.port}`)),
      passing('smtp answered 421 4.7.0 to RCPT TO'),
    );
  });

  await t.test('words without sense', async (t) => {
    const server = await scriptedServer(t, () => 'somebody@example.org zq9');
    t.match(await failureOf(t, smtp(t, `smtp://127.0.0.1:${server.port}`)), {
      message: /^smtp could not be asked \([A-Z]+\)$/,
      retryable: true,
      ofProvider: true,
    });
  });
});

t.test('connections that break', async (t) => {
  for (const [where, what] of [
    [ARRIVAL, 'ECONNECTION'],
    ['EHLO', 'ECONNECTION'],
    ['MAIL', 'ECONNECTION'],
    ['RCPT', 'ECONNECTION'],
    ['DATA', 'ECONNECTION'],
    ['Subject', 'ECONNECTION|ECONNRESET|EPIPE'],
    ['.', 'ECONNECTION'],
  ] as const) {
    const server = await scriptedServer(t, (line, cut) => {
      return isAt(where, line) ? void cut() : POLITE(line);
    });
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    const failure = await failureOf(t, provider);
    t.match(failure, { retryable: true, ofProvider: true }, `at ${where}`);
    t.match(failure.message, new RegExp(`^smtp could not be asked \\((?:${what})\\)$`));
  }

  await t.test('nobody listens', async (t) => {
    const provider = smtp(t, `smtp://127.0.0.1:${await freePort()}`);
    t.strictSame(await failureOf(t, provider), passing('smtp could not be asked (ECONNREFUSED)'));
  });

  await t.test('no such host', async (t) => {
    const provider = smtp(t, 'smtp://no-such-host.invalid?tls=off');
    t.match(await failureOf(t, provider), {
      message: /^smtp could not be asked \(E[A-Z_]+\)$/,
      retryable: true,
    });
  });

  await t.test('one that was kept, and is dead, is replaced', async (t) => {
    const server = await mailServer(t);
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    await provider.send(message(), PATIENT);
    server.dropConnections();
    await provider.send(message(), PATIENT);
    await until(() => server.open() === 1);
    server.dropConnections();
    await until(() => server.open() === 0);
    await provider.send(message(), PATIENT);
    t.equal(server.delivered.length, 3, 'each message once');
    t.equal(server.opened(), 3);
  });
});

t.test('a server that is slow', async (t) => {
  for (const where of [ARRIVAL, 'EHLO', 'MAIL', 'DATA', '.']) {
    const controller = new AbortController();
    const server = await scriptedServer(t, (line) => {
      if (!isAt(where, line)) return POLITE(line);
      setImmediate(() => controller.abort());
      return undefined;
    });
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    t.strictSame(
      await failureOf(t, provider, message(), controller.signal),
      passing('smtp did not answer in time'),
      `at ${where}`,
    );
    await server.gone();
  }

  await t.test('does not hold up others', async (t) => {
    const controller = new AbortController();
    let isSlow = true;
    const server = await scriptedServer(t, (line) => {
      if (!line.startsWith('RCPT') || !isSlow) return POLITE(line);
      isSlow = false;
      return undefined;
    });
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    const slow = failureOf(t, provider, message(), controller.signal);
    await until(() => !isSlow);
    await provider.send(message(), PATIENT);
    controller.abort();
    t.match(await slow, { retryable: true });
    await t.rejects(provider.send(message(), AbortSignal.abort()), {
      message: 'smtp did not answer in time',
    });
  });
});

t.test('addresses', async (t) => {
  const server = await mailServer(t);
  const provider = smtp(t, `smtp://127.0.0.1:${server.port}`, { from: '"Note, Inc." <a@bücher.example>' });
  await provider.send(message({ to: 'کاربر@مثال.example' }), PATIENT);
  await provider.send(message({ to: "o'neill!#$%&*+/=?^_`{|}~-@example.org" }), PATIENT);
  const [persian, odd] = server.delivered as [Delivered, Delivered];
  t.match(persian, { to: ['کاربر@مثال.example'], parameters: ['SMTPUTF8'] });
  t.match(odd, { to: ["o'neill!#$%&*+/=?^_`{|}~-@example.org"] });
  t.match(await PostalMime.parse(persian.raw), { to: [{ address: 'کاربر@مثال.example' }] });
  t.match((await PostalMime.parse(odd.raw)).from, { name: 'Note, Inc.', address: 'a@xn--bcher-kva.example' });
  t.match(headersOf(odd.raw), /^From: "Note, Inc\." <a@xn--bcher-kva\.example>$/m);

  await t.test('what would be more than one, or none', async (t) => {
    const ses = createSesEmail({ from: FROM, region: 'eu-central-1', endpoint: 'http://127.0.0.1:9' });
    for (const to of [
      '',
      'somebody',
      '@example.org',
      'somebody@',
      'a@example.org,b@example.org',
      'a@example.org b@example.org',
      'a@example.org;b@example.org',
      'a@b@example.org',
      '"a@evil.example"@example.org',
      'a@example.org>\r\nBcc: <b@example.org',
      'a@example.org\r\nBcc: b@example.org',
      'a@example.org\nSubject: x',
      'a\u0000@example.org',
      'a\u200b@example.org',
      'a\u202e@example.org',
      'Name <a@example.org>',
      '<a@example.org>',
      'a(comment)@example.org',
      'a@[127.0.0.1]',
      'a@exa mple.org',
      'a@xn--a.org',
      'group:a@example.org;',
      `${'a'.repeat(65)}@example.org`,
    ]) {
      for (const each of [provider, ses]) {
        t.strictSame(
          await failureOf(t, each, message({ to })),
          ofMessage('the recipient is no e-mail address'),
          JSON.stringify(to),
        );
      }
    }
    t.equal(server.delivered.length, 2);
  });

  await t.test('servers that take no others than in ASCII', async (t) => {
    let at = '';
    const answer = (place: string) => (_: unknown, __: unknown, done: (error?: Error | null) => void) =>
      done(place === at ? Object.assign(new Error('no'), { responseCode: 553 }) : null);
    const old = await mailServer(t, {
      hideSMTPUTF8: true,
      onMailFrom: answer('MAIL FROM'),
      onRcptTo: answer('RCPT TO'),
    });
    const provider = smtp(t, `smtp://127.0.0.1:${old.port}`);
    for (const place of ['MAIL FROM', 'RCPT TO']) {
      at = place;
      const { message: said, ...judged } = await failureOf(t, provider, message({ to: 'کاربر@example.org' }));
      t.match(said, new RegExp(`^smtp answered 553(?: 5\\.\\d\\.\\d)? to ${place}$`));
      t.strictSame(judged, { retryable: false, ofProvider: false }, 'a stranger must not open the breaker');
    }
  });

  await t.test('nothing gets into a header', async (t) => {
    const hostile = 'x\r\nBcc: victim@example.org\r\n\r\nhello\u2028x';
    await provider.send(message({ subject: hostile }), PATIENT);
    const { raw } = server.delivered.at(-1) as Delivered;
    t.equal((await PostalMime.parse(raw)).subject, 'x Bcc: victim@example.org hello x');
    t.notMatch(headersOf(raw), /^Bcc/im);
    for (const from of [
      '',
      'nobody',
      'a@example.com\r\nBcc: b@example.com',
      'Name\r\nBcc: b@example.com <a@example.com>',
      'Name <a@example.com> <b@example.com>',
      'a@example.com, b@example.com',
      'کاربر@example.com',
    ]) {
      const isRefused = { message: /^the sender of e-mails must be an address/ };
      t.throws(
        () => createSmtpEmail({ url: 'smtp://localhost', from, now }),
        isRefused,
        JSON.stringify(from),
      );
      t.throws(() => createSesEmail({ from }), isRefused);
    }
  });
});

t.test('what is kept open is let go at the end', async (t) => {
  const server = await mailServer(t);
  const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
  t.doesNotThrow(() => provider.close?.(), 'also where nothing was sent');
  await Promise.all([1, 2, 3].map(() => provider.send(message(), PATIENT)));
  t.ok(server.open() > 1);
  provider.close?.();
  await until(() => server.open() === 0);
  t.equal(server.open(), 0);
  t.match(await failureOf(t, provider), { retryable: true });

  await t.test('also in the middle of a message', async (t) => {
    let isThere = false;
    const server = await scriptedServer(t, (line) => {
      if (!isAt('RCPT', line)) return POLITE(line);
      isThere = true;
      return undefined;
    });
    const provider = smtp(t, `smtp://127.0.0.1:${server.port}`);
    const failing = failureOf(t, provider);
    await until(() => isThere);
    provider.close?.();
    t.match(await failing, { retryable: true, message: /^(?!.*ETIMEDOUT)/ }, 'at once');
    await server.gone();
  });
});

const OUTBOX = pathToFileURL(join(import.meta.dirname, '../../src/delivery/email-outbox.js')).href;
const PROVIDER = pathToFileURL(join(import.meta.dirname, '../../src/delivery/create-email-provider.js')).href;

t.test('a process that closes its outbox ends', async (t) => {
  const server = await mailServer(t);
  const code = `
    const { createEmailOutbox } = await import('${OUTBOX}');
    const { createEmailProvider } = await import('${PROVIDER}');
    const settings = { provider: 'smtp', url: 'smtp://127.0.0.1:${server.port}', from: 'a@example.com' };
    const provider = createEmailProvider(settings, { dataDir: '/nowhere', now: Date.now });
    const outbox = createEmailOutbox({ provider, mode: 'background', onTrouble: (e) => console.log(e.message) });
    const message = { to: 'b@example.com', purpose: 'reset', subject: 's', text: 't', html: 'h' };
    await outbox.post(message, () => console.log('lost'));
    await outbox.close();
  `;
  const started = performance.now();
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: { PATH: process.env.PATH, NODE_OPTIONS: '' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [status] = await once(child, 'close');
  t.equal(status, 0);
  t.equal(server.delivered.length, 1);
  t.ok(performance.now() - started < 8000, 'without waiting for an idle connection');
});

const ses = (url: string, from = FROM) => createSesEmail({ region: 'eu-central-1', from, endpoint: url });
const SES_OK = { MessageId: '0102018c-0000-0000-0000-000000000000-000000' };
const sesError = (type: string) =>
  [
    { message: `Email address is not verified: somebody@example.org ${TOKEN}` },
    { 'x-amzn-errortype': type },
  ] as const;

t.test('ses', async (t) => {
  const double = await httpDouble(t);
  double.answer(200, SES_OK);
  const sent = message({ to: 'somebody@bücher.example' });
  await ses(double.url).send(sent, PATIENT);
  await ses(double.url, 'Note, Inc. <a@example.com>').send(message({ subject: 'a\r\nb' }), PATIENT);
  await ses(double.url, 'a@example.com').send(message(), PATIENT);
  const [first, second, third] = double.received as [Received, Received, Received];
  t.match(first, {
    method: 'POST',
    path: '/v2/email/outbound-emails',
    headers: { 'content-type': 'application/json', 'amz-sdk-request': 'attempt=1; max=1' },
  });
  t.match(first.headers.authorization, /\/eu-central-1\/ses\/aws4_request, .*Signature=[0-9a-f]{64}$/);
  t.equal(first.headers.authorization, signV4(first, AWS_SECRET));
  const utf8 = (Data: string) => ({ Data, Charset: 'UTF-8' });
  const { FromEmailAddress, ...rest } = JSON.parse(first.body);
  t.strictSame(rest, {
    Destination: { ToAddresses: ['somebody@xn--bcher-kva.example'] },
    Content: {
      Simple: {
        Subject: utf8(sent.subject),
        Body: { Text: utf8(sent.text), Html: utf8(sent.html) },
        Headers: [{ Name: 'Auto-Submitted', Value: 'auto-generated' }],
      },
    },
    ConfigurationOverrides: {
      Tracking: { ClickTrackingEnabled: 'DISABLED', OpenTrackingEnabled: 'DISABLED' },
    },
  });
  t.match(FromEmailAddress, /^=\?UTF-8\?[BQ]\?[\x21-\x7e]+\?= <no-reply@auth\.example\.com>$/);
  t.match((await PostalMime.parse(`From: ${FromEmailAddress}\r\n\r\n`)).from, { name: 'خدمات نور' });
  t.match(JSON.parse(second.body), {
    FromEmailAddress: '"Note, Inc." <a@example.com>',
    Content: { Simple: { Subject: { Data: 'a b' } } },
  });
  t.equal(JSON.parse(third.body).FromEmailAddress, 'a@example.com');

  for (const [status, type, expected] of [
    [400, 'MessageRejected', ofMessage('ses answered 400 (MessageRejected)')],
    [400, 'BadRequestException', ofMessage('ses answered 400 (BadRequestException)')],
    [
      400,
      'MailFromDomainNotVerifiedException',
      ofAccount('ses answered 400 (MailFromDomainNotVerifiedException)'),
    ],
    [400, 'AccountSuspendedException', ofAccount('ses answered 400 (AccountSuspendedException)')],
    [400, 'SendingPausedException', ofAccount('ses answered 400 (SendingPausedException)')],
    [400, 'LimitExceededException', ofAccount('ses answered 400 (LimitExceededException)')],
    [404, 'NotFoundException', ofAccount('ses answered 404 (NotFoundException)')],
    [403, 'AccessDeniedException', ofAccount('ses answered 403 (AccessDeniedException)')],
    [403, 'ExpiredTokenException', passing('ses answered 403 (ExpiredTokenException)')],
    [429, 'TooManyRequestsException', passing('ses answered 429 (TooManyRequestsException)')],
    [400, 'ThrottlingException', passing('ses answered 400 (ThrottlingException)')],
    [500, 'InternalServiceErrorException', passing('ses answered 500 (InternalServiceErrorException)')],
  ] as const) {
    double.answer(status, ...sesError(type));
    const before = double.received.length;
    t.strictSame(await failureOf(t, ses(double.url)), expected);
    t.equal(double.received.length, before + 1, 'one request: the outbox counts the tries');
  }
  for (const body of ['{}', '', '<html>']) {
    double.answer(200, body);
    t.strictSame(await failureOf(t, ses(double.url)), passing('ses answered 200, but not as it should'));
  }
  const before = double.received.length;
  t.strictSame(
    await failureOf(t, ses(double.url), message({ to: 'کاربر@example.org' })),
    ofMessage('ses takes no address that needs SMTPUTF8'),
  );
  t.equal(double.received.length, before);

  double.answerWith(() => undefined);
  t.strictSame(
    await failureOf(t, ses(double.url), message(), AbortSignal.timeout(300)),
    passing('ses did not answer in time'),
  );
  t.strictSame(
    await failureOf(t, ses(`http://127.0.0.1:${await freePort()}`)),
    passing('ses could not be asked (ECONNREFUSED)'),
  );
});

t.test('console', async (t) => {
  const dataDir = t.testdir();
  const printed: string[] = [];
  const needs = { now, print: (text: string) => printed.push(text) };
  const provider = createEmailProvider({ provider: 'console' }, { dataDir, ...needs });
  const sent = message();
  const sending = provider.send(sent, PATIENT);
  const path = join(dataDir, 'outbox.jsonl');
  const line = {
    at: '2026-11-21T02:28:06.000Z',
    channel: 'email',
    to: 'somebody@example.org',
    purpose: 'reset',
    text: sent.text,
    token: TOKEN,
  };
  t.equal(readFileSync(path, 'utf8'), `${JSON.stringify(line)}\n`, 'written at once');
  await sending;
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.strictSame(printed, [
    `\n--- E-mail to somebody@example.org (reset): ${sent.subject} ---\n${sent.text.trimEnd()}\n---\n`,
  ]);
  const { token: _, ...notice } = message();
  await provider.send(notice, PATIENT);
  t.notOk('token' in JSON.parse(readFileSync(path, 'utf8').split('\n')[1] as string));

  const inTheWay = t.testdir({});
  mkdirSync(join(inTheWay, 'outbox.jsonl'));
  const broken = createEmailProvider({ provider: 'console' }, { dataDir: inTheWay, ...needs });
  t.strictSame(await failureOf(t, broken), ofAccount('outbox.jsonl cannot be written (EISDIR)'));
  t.equal(printed.length, 2, 'what was not kept is not shown');
});

t.test('every provider can be had by its settings', (t) => {
  const needs = { dataDir: t.testdir(), now };
  const names = [
    createEmailProvider({ provider: 'console' }, needs),
    createEmailProvider({ provider: 'smtp', url: 'smtp://localhost', from: FROM }, needs),
    createEmailProvider({ provider: 'ses', from: FROM }, needs),
    createEmailProvider({ provider: 'ses', region: 'eu-central-1', from: FROM }, needs),
  ].map(({ name }) => name);
  t.strictSame(names, ['console', 'smtp', 'ses', 'ses']);
  writeFileSync(join(needs.dataDir, 'only'), '');
  t.throws(() => statSync(join(needs.dataDir, 'outbox.jsonl')), { code: 'ENOENT' }, 'nothing is made yet');
  t.end();
});

t.test('the outbox has more patience with e-mails', async (t) => {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: NOW });
  t.teardown(() => mock.timers.reset());
  const settle = async () => {
    for (let n = 0; n < 4; n++) await new Promise((resolve) => setImmediate(resolve));
  };
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 500) {
      mock.timers.tick(Math.min(500, left));
      await settle();
    }
  };
  const tries: number[] = [];
  const told: string[] = [];
  let closed = 0;
  let hangs = false;
  const outbox = createEmailOutbox({
    mode: 'background',
    now: () => Date.now(),
    random: () => 0,
    onTrouble: (error, { final }) => told.push(`${final ? 'final: ' : ''}${error.message}`),
    provider: {
      name: 'fake',
      send: (_, signal) => {
        tries.push(Date.now() - NOW);
        if (hangs) return new Promise((_, reject) => signal.addEventListener('abort', reject));
        return Promise.reject(new DeliveryError('fake answered 450', { retryable: true, ofProvider: false }));
      },
      close: () => {
        closed += 1;
      },
    },
  });
  const lost: unknown[] = [];
  const onLost = (error: unknown) => lost.push(error);
  await outbox.post(message(), onLost);
  t.strictSame(tries, [], 'the answer does not wait');
  await settle();
  await pass(100_000);
  t.strictSame(tries, [0, 1000, 11_000, 71_000]);
  t.strictSame(told, [...Array(3).fill('fake answered 450'), 'final: fake answered 450']);
  t.equal(lost.length, 1);

  hangs = true;
  for (let n = 0; n < 9; n++) await outbox.post(message(), onLost);
  await settle();
  t.equal(tries.length, 4 + 5, 'few at once: servers count connections');
  const closing = outbox.close();
  t.equal(closed, 0);
  await pass(3000);
  await closing;
  t.equal(closed, 1, 'the provider lets go when nothing is under way any more');
  t.equal(lost.length, 10);
  await outbox.close();
  t.equal(closed, 1);
});
