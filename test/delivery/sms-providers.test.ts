import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { createSmsProvider } from '../../src/delivery/create-sms-provider.js';
import { createKavenegarSms } from '../../src/delivery/kavenegar.js';
import { createOutboxFile } from '../../src/delivery/outbox-file.js';
import type { SmsMessage, SmsProvider } from '../../src/delivery/sms.js';
import { createSnsSms } from '../../src/delivery/sns.js';
import { createTwilioSms } from '../../src/delivery/twilio.js';
import { createWebhookSms } from '../../src/delivery/webhook.js';
import { createWebhookSigner } from '../../src/delivery/webhook-signature.js';
import { freePort } from '../support/free-port.js';
import { describeFailure, type Failure, ofAccount, ofMessage, passing } from './failure.js';
import { httpDouble, type Received } from './http-double.js';
import { signV4 } from './sign-v4.js';

const NOW = Date.UTC(2026, 10, 21, 2, 28, 6, 789);
const now = () => NOW;

const MESSAGE: SmsMessage = {
  to: '+989121234567',
  purpose: 'login',
  text: 'کد ورود شما: 804213 & 100% ~ «محرمانه» 🔐\nlatchkey',
  code: '804213',
};
const message = (fields: Partial<SmsMessage> = {}): SmsMessage => ({ ...MESSAGE, ...fields });

const ACCOUNT = 'AC00000000000000000000000000000001';
const AUTH_TOKEN = 'zq9twiliosecret';
const API_KEY = '7A71392B6B65/+=zq9kavenegar';
const SECRET_BYTES = Buffer.from('zq9webhooksecret0123456789012345');
const SECRET = `whsec_${SECRET_BYTES.toString('base64')}`;
const AWS_SECRET = 'zq9awssecret';

// What the SDK would look for besides: nothing of this machine's, no network.
Object.assign(process.env, {
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
  AWS_SECRET_ACCESS_KEY: AWS_SECRET,
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
});

/** Nothing of these may be in an error that reaches a log. */
const SECRETS = new RegExp(
  [
    '9121234567',
    '804213',
    'محرمانه',
    'zq9',
    encodeURIComponent(API_KEY),
    SECRET_BYTES.toString('base64'),
    '/v1/',
    'private-path',
    'http:',
  ]
    .map((text) => text.replace(/[+/=]/g, '\\$&'))
    .join('|'),
);

const PATIENT = new AbortController().signal;

const failureOf = (t: Test, provider: SmsProvider, signal = PATIENT, sent = message()): Promise<Failure> =>
  describeFailure(t, () => provider.send(sent, signal), SECRETS);

const twilio = (url: string, from = '+15005550006') =>
  createTwilioSms({ accountSid: ACCOUNT, authToken: AUTH_TOKEN, from, baseUrl: url });
const kavenegar = (url: string, more: { sender?: string; template?: string } = {}) =>
  createKavenegarSms({ apiKey: API_KEY, baseUrl: url, ...more });
const sns = (url: string, senderId?: string) =>
  createSnsSms({ region: 'eu-central-1', senderId, endpoint: url });
const webhook = (url: string, clock = now) =>
  createWebhookSms({ url: `${url}/private-path?key=zq9`, secret: SECRET, now: clock });

const SNS_OK = `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>567910cd-659e-55d4-8ccb-5aaf14679dc0</MessageId></PublishResult><ResponseMetadata><RequestId>d74b8436-ae13-5ab4-a9ff-ce54dfea72a0</RequestId></ResponseMetadata></PublishResponse>`;
const snsError = (code: string) =>
  `<ErrorResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><Error><Type>Sender</Type><Code>${code}</Code><Message>Invalid parameter: PhoneNumber Reason: ${MESSAGE.to} is not valid to publish to ${MESSAGE.text}</Message></Error><RequestId>9dd01905-5012-5f99-8663-4b3ecd0dfaef</RequestId></ErrorResponse>`;
const XML = { 'content-type': 'text/xml' };

const TWILIO_OK = { sid: 'SM00000000000000000000000000000001', status: 'queued', error_code: null };
const twilioError = (code: number, status: number) => ({
  code,
  message: `The 'To' number ${MESSAGE.to} is not a valid phone number: ${MESSAGE.text}`,
  more_info: `https://www.twilio.com/docs/errors/${code}`,
  status,
});

const KAVENEGAR_OK = {
  return: { status: 200, message: 'تایید شد' },
  entries: [{ messageid: 8_792_343, message: MESSAGE.text, status: 1, receptor: '09121234567' }],
};
const kavenegarError = (status: number | string) => ({
  return: { status, message: `${MESSAGE.text} ${API_KEY}` },
  entries: null,
});

const form = ({ body }: Received): [string, string][] => [...new URLSearchParams(body)];

t.test('twilio', async (t) => {
  const double = await httpDouble(t);
  double.answer(201, TWILIO_OK);
  await twilio(double.url).send(message(), PATIENT);
  await twilio(double.url, 'MG00000000000000000000000000000001').send(message(), PATIENT);
  const [first, second] = double.received as [Received, Received];
  t.match(first, {
    method: 'POST',
    path: `/2010-04-01/Accounts/${ACCOUNT}/Messages.json`,
    headers: {
      authorization: `Basic ${Buffer.from(`${ACCOUNT}:${AUTH_TOKEN}`).toString('base64')}`,
      'content-type': 'application/x-www-form-urlencoded;charset=UTF-8',
    },
  });
  t.strictSame(form(first), [
    ['To', MESSAGE.to],
    ['From', '+15005550006'],
    ['Body', MESSAGE.text],
  ]);
  t.match(first.body, /^To=%2B989121234567&From=%2B15005550006&Body=%DA%A9%D8%AF\+%D9%88/, 'UTF-8');
  t.strictSame(form(second)[1], ['MessagingServiceSid', 'MG00000000000000000000000000000001']);

  for (const [status, code, expected] of [
    [400, 21_211, ofMessage('twilio answered 400, code 21211')],
    [400, 21_614, ofMessage('twilio answered 400, code 21614')],
    [403, 21_610, ofMessage('twilio answered 403, code 21610')],
    [403, 21_408, ofMessage('twilio answered 403, code 21408')],
    [400, 21_606, ofAccount('twilio answered 400, code 21606')],
    [404, 21_701, ofAccount('twilio answered 404, code 21701')],
    [429, 21_611, passing('twilio answered 429, code 21611')],
    [401, 20_003, ofAccount('twilio answered 401, code 20003')],
    [404, 20_404, ofAccount('twilio answered 404, code 20404')],
    [429, 20_429, passing('twilio answered 429, code 20429')],
    [400, 30_450, ofMessage('twilio answered 400, code 30450')],
  ] as const) {
    double.answer(status, twilioError(code, status));
    t.strictSame(await failureOf(t, twilio(double.url)), expected);
  }
  double.answer(400, { code: 989_121_234_567 });
  t.strictSame(await failureOf(t, twilio(double.url)), ofMessage('twilio answered 400'));
});

t.test('kavenegar', async (t) => {
  const double = await httpDouble(t);
  double.answer(200, KAVENEGAR_OK);
  await kavenegar(double.url).send(message(), PATIENT);
  await kavenegar(double.url, { sender: '10004346' }).send(message({ to: '+14155552671' }), PATIENT);
  await kavenegar(double.url, { sender: '10004346', template: 'login-code' }).send(message(), PATIENT);
  const [first, abroad, lookup] = double.received as [Received, Received, Received];
  t.match(first, {
    method: 'POST',
    path: `/v1/${encodeURIComponent(API_KEY)}/sms/send.json`,
    headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' },
  });
  t.strictSame(form(first), [
    ['receptor', '09121234567'],
    ['message', MESSAGE.text],
  ]);
  t.strictSame(form(abroad), [
    ['receptor', '0014155552671'],
    ['message', MESSAGE.text],
    ['sender', '10004346'],
  ]);
  t.equal(lookup.path, `/v1/${encodeURIComponent(API_KEY)}/verify/lookup.json`);
  t.strictSame(form(lookup), [
    ['receptor', '09121234567'],
    ['template', 'login-code'],
    ['token', MESSAGE.code],
  ]);

  for (const [http, status, expected] of [
    [411, 411, ofMessage('kavenegar answered 411, status 411')],
    [200, 411, ofMessage('kavenegar answered 200, status 411')],
    [200, '422', ofMessage('kavenegar answered 200, status 422')],
    [400, 431, ofMessage('kavenegar answered 400, status 431')],
    [501, 501, ofMessage('kavenegar answered 501, status 501')],
    [403, 403, ofAccount('kavenegar answered 403, status 403')],
    [200, '418', ofAccount('kavenegar answered 200, status 418')],
    [412, 412, ofAccount('kavenegar answered 412, status 412')],
    [424, 424, ofAccount('kavenegar answered 424, status 424')],
    [409, 409, passing('kavenegar answered 409, status 409')],
    [200, 451, passing('kavenegar answered 200, status 451')],
    [502, 502, passing('kavenegar answered 502, status 502')],
    [503, 200, passing('kavenegar answered 503')],
    [404, 'none', ofAccount('kavenegar answered 404')],
    [400, 989_121_234_567, ofMessage('kavenegar answered 400')],
  ] as const) {
    double.answer(http, kavenegarError(status));
    t.strictSame(await failureOf(t, kavenegar(double.url)), expected);
  }
});

t.test('sns', async (t) => {
  const double = await httpDouble(t);
  double.answer(200, SNS_OK, XML);
  await sns(double.url).send(message(), PATIENT);
  await sns(double.url, 'Latchkey').send(message({ to: '+14155552671' }), PATIENT);
  const [first, named] = double.received as [Received, Received];
  t.match(first, {
    method: 'POST',
    path: '/',
    headers: { 'content-type': 'application/x-www-form-urlencoded', 'amz-sdk-request': 'attempt=1; max=1' },
  });
  t.strictSame(form(first), [
    ['Action', 'Publish'],
    ['Version', '2010-03-31'],
    ['Message', MESSAGE.text],
    ['PhoneNumber', MESSAGE.to],
    ['MessageAttributes.entry.1.Name', 'AWS.SNS.SMS.SMSType'],
    ['MessageAttributes.entry.1.Value.DataType', 'String'],
    ['MessageAttributes.entry.1.Value.StringValue', 'Transactional'],
  ]);
  t.match(first.body, /&Message=%DA%A9%D8%AF%20%D9%88/, 'UTF-8');
  t.match(first.headers.authorization, /\/eu-central-1\/sns\/aws4_request, .*Signature=[0-9a-f]{64}$/);
  t.equal(first.headers.authorization, signV4(first, AWS_SECRET));
  t.not(first.headers.authorization, signV4(first, 'other'));
  t.strictSame(form(named).slice(-3), [
    ['MessageAttributes.entry.2.Name', 'AWS.SNS.SMS.SenderID'],
    ['MessageAttributes.entry.2.Value.DataType', 'String'],
    ['MessageAttributes.entry.2.Value.StringValue', 'Latchkey'],
  ]);

  for (const [status, code, expected] of [
    [400, 'InvalidParameter', ofMessage('sns answered 400 (InvalidParameterException)')],
    [400, 'OptedOut', ofMessage('sns answered 400 (OptedOutException)')],
    [400, 'Throttling', passing('sns answered 400 (Throttling)')],
    [429, 'Throttled', passing('sns answered 429 (ThrottledException)')],
    [403, 'AuthorizationError', ofAccount('sns answered 403 (AuthorizationErrorException)')],
    [403, 'InvalidClientTokenId', ofAccount('sns answered 403 (InvalidClientTokenId)')],
    [403, 'ExpiredToken', passing('sns answered 403 (ExpiredToken)')],
    [500, 'InternalError', passing('sns answered 500 (InternalErrorException)')],
    [400, MESSAGE.to.slice(1), ofMessage('sns answered 400 (unknown)')],
  ] as const) {
    double.answer(status, snsError(code), XML);
    const before = double.received.length;
    t.strictSame(await failureOf(t, sns(double.url)), expected);
    t.equal(double.received.length, before + 1, 'one request: the outbox counts the tries');
  }

  await t.test('a clock that is wrong is set by the first answer', async (t) => {
    const provider = sns(double.url);
    const hourLater = Date.now() + 3_600_000;
    double.answer(403, snsError('SignatureDoesNotMatch'), {
      ...XML,
      date: new Date(hourLater).toUTCString(),
    });
    t.match(await failureOf(t, provider), { retryable: true });
    double.answer(200, SNS_OK, XML);
    await provider.send(message(), PATIENT);
    const date = String(double.received.at(-1)?.headers['x-amz-date']);
    const hour = new Date(hourLater).toISOString().replace(/[-:]/g, '').slice(0, 11);
    t.equal(date.slice(0, 11), hour);
  });

  await t.test('without credentials', async (t) => {
    const { AWS_ACCESS_KEY_ID } = process.env;
    delete process.env.AWS_ACCESS_KEY_ID;
    t.teardown(() => Object.assign(process.env, { AWS_ACCESS_KEY_ID }));
    t.strictSame(
      await failureOf(t, sns(double.url)),
      passing('sns could not be asked (CredentialsProviderError)'),
    );
  });
});

const verify = ({ headers, body }: Received, key: Buffer | string): boolean => {
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
};

t.test('webhook', async (t) => {
  const double = await httpDouble(t);
  let time = NOW;
  const provider = webhook(double.url, () => time);
  double.answer(500);
  const sent = message();
  t.strictSame(await failureOf(t, provider, PATIENT, sent), passing('webhook answered 500'));
  time += 3000;
  double.answer(204);
  await provider.send(sent, PATIENT);
  await provider.send(message(), PATIENT);
  const [first, retry, other] = double.received as [Received, Received, Received];
  t.match(first, {
    method: 'POST',
    path: '/private-path?key=zq9',
    headers: {
      'content-type': 'application/json',
      'webhook-id': /^msg_[0-9a-f]{32}$/,
      'webhook-timestamp': String(Math.floor(NOW / 1000)),
    },
  });
  t.strictSame(JSON.parse(first.body), {
    type: 'sms',
    timestamp: '2026-11-21T02:28:06.789Z',
    to: MESSAGE.to,
    purpose: 'login',
    text: MESSAGE.text,
    code: MESSAGE.code,
  });
  t.equal(retry.headers['webhook-id'], first.headers['webhook-id'], 'a retry has the id of the message');
  t.equal(retry.body, first.body);
  t.equal(retry.headers['webhook-timestamp'], String(Math.floor(NOW / 1000) + 3), 'and its own time');
  t.not(other.headers['webhook-id'], first.headers['webhook-id'], 'another message has another');
  for (const each of [first, retry, other]) {
    t.ok(verify(each, SECRET_BYTES));
    t.notOk(verify({ ...each, body: `${each.body} ` }, SECRET_BYTES));
  }

  const plain = createWebhookSms({ url: double.url, secret: 'geheim: آزمون', now });
  await plain.send(message(), PATIENT);
  t.ok(verify(double.received.at(-1) as Received, Buffer.from('geheim: آزمون')));

  for (const [status, expected] of [
    [400, ofMessage('webhook answered 400')],
    [422, ofMessage('webhook answered 422')],
    [401, ofAccount('webhook answered 401')],
    [410, ofAccount('webhook answered 410')],
    [408, passing('webhook answered 408')],
    [425, passing('webhook answered 425')],
  ] as const) {
    double.answer(status, `no: ${MESSAGE.text}`);
    t.strictSame(await failureOf(t, webhook(double.url)), expected);
  }

  double.answerWith((response) => response.writeHead(200).write('{'));
  await webhook(double.url).send(message(), PATIENT);
  t.pass('an answer that never ends is a success by its status');
});

t.test('the signature of the standard', async (t) => {
  // The example of its reference libraries.
  const sign = createWebhookSigner('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
  t.strictSame(
    sign({ id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}', at: 1_614_265_330_999 }),
    {
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    },
  );
  t.throws(() => createWebhookSigner('whsec_zq9 zq9'), {
    message: 'the webhook secret is not base64 after whsec_',
  });
  t.throws(() => createWebhookSigner('whsec_'), { message: /is not base64/ });
  t.throws(() => createWebhookSigner(''), { message: 'the webhook secret is empty' });
});

const OVER_HTTP: [name: string, make: (url: string) => SmsProvider, gone: string][] = [
  ['twilio', twilio, 'twilio cannot be reached (ECONNREFUSED)'],
  ['kavenegar', kavenegar, 'kavenegar cannot be reached (ECONNREFUSED)'],
  ['webhook', webhook, 'webhook cannot be reached (ECONNREFUSED)'],
  ['sns', sns, 'sns could not be asked (ECONNREFUSED)'],
];

for (const [name, make, gone] of OVER_HTTP) {
  t.test(`${name}, and what goes wrong on the way`, async (t) => {
    const double = await httpDouble(t);
    const provider = make(double.url);

    for (const status of [429, 500, 502, 503, 504]) {
      double.answer(status, `<h1>${MESSAGE.text}</h1>`);
      const failure = await failureOf(t, provider);
      t.match(failure, { message: `${name} answered ${status}`, retryable: true, ofProvider: true });
    }
    for (const status of [401, 403, 404]) {
      double.answer(status, `<h1>${MESSAGE.text}</h1>`);
      const failure = await failureOf(t, provider);
      t.match(failure, { message: `${name} answered ${status}`, retryable: false, ofProvider: true });
    }

    const other = await httpDouble(t);
    other.answer(200);
    for (const status of [301, 302, 303, 307, 308]) {
      double.answer(status, '', { location: `${other.url}/elsewhere` });
      const failure = await failureOf(t, provider);
      t.match(failure, { message: `${name} answered ${status}`, retryable: false, ofProvider: true });
    }
    t.strictSame(other.received, [], 'no redirect is followed');

    const stop = new AbortController();
    double.answerWith(() => stop.abort());
    t.strictSame(await failureOf(t, provider, stop.signal), passing(`${name} did not answer in time`));
    t.strictSame(await failureOf(t, provider, stop.signal), passing(`${name} did not answer in time`));

    double.answerWith((response) => response.socket?.destroy());
    t.match(await failureOf(t, provider), { retryable: true, ofProvider: true });

    t.strictSame(await failureOf(t, make(`http://127.0.0.1:${await freePort()}`)), passing(gone));

    const garbled = createServer((socket) => socket.end(`${MESSAGE.text}\r\n\r\n`));
    await once(garbled.listen(await freePort(), '127.0.0.1'), 'listening');
    t.teardown(() => garbled.close());
    const { port } = garbled.address() as { port: number };
    t.match(await failureOf(t, make(`http://127.0.0.1:${port}`)), { retryable: true, ofProvider: true });
  });
}

for (const [name, make, right] of [
  ['twilio', twilio, TWILIO_OK],
  ['kavenegar', kavenegar, KAVENEGAR_OK],
] as const) {
  t.test(`${name}, and a success that is none`, async (t) => {
    const double = await httpDouble(t);
    const failure = passing(`${name} answered 200, but not as it should`);
    for (const body of ['', 'null', '7', '[]', '{}', '{"return":7,"sid":7}', '<html>', '{"sid":"SM1']) {
      double.answer(200, body);
      t.strictSame(await failureOf(t, make(double.url)), failure, body);
    }
    double.answer(200, { ...right, padding: 'x'.repeat(70_000) });
    t.strictSame(await failureOf(t, make(double.url)), failure, 'too long to be read');
    double.answerWith((response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('{"sid":', () => response.destroy());
    });
    t.strictSame(await failureOf(t, make(double.url)), failure, 'breaks off');
    double.answer(200, right);
    await make(double.url).send(message(), PATIENT);
  });
}

t.test('sns, and a success that is none', async (t) => {
  const double = await httpDouble(t);
  for (const body of [
    '',
    '<html></html>',
    '{}',
    MESSAGE.text,
    SNS_OK.replace(/<MessageId>.*<\/MessageId>/, ''),
  ]) {
    double.answer(200, body, XML);
    t.strictSame(await failureOf(t, sns(double.url)), passing('sns answered 200, but not as it should'));
  }
});

t.test('a URL or a header that cannot be is not quoted', async (t) => {
  const double = await httpDouble(t);
  const { port } = new URL(double.url);
  const withPassword = createWebhookSms({ url: `http://zq9:zq9@127.0.0.1:${port}/`, secret: SECRET, now });
  t.strictSame(await failureOf(t, withPassword), passing('webhook cannot be reached (no connection)'));
  const nowhere = kavenegar('http://');
  t.match(await failureOf(t, nowhere), { retryable: true, ofProvider: true });
  t.strictSame(double.received, []);
});

const linesOf = (dir: string): object[] =>
  readFileSync(join(dir, 'outbox.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));

t.test('console', async (t) => {
  const dataDir = join(t.testdir(), 'not', 'yet');
  const printed: string[] = [];
  const provider = createSmsProvider(
    { provider: 'console' },
    { dataDir, now, print: (text) => printed.push(text) },
  );
  const sending = provider.send(message(), PATIENT);
  t.equal(linesOf(dataDir).length, 1, 'it is written at once');
  await sending;
  const path = join(dataDir, 'outbox.jsonl');
  t.equal(
    readFileSync(path, 'utf8'),
    `${JSON.stringify({ at: '2026-11-21T02:28:06.789Z', channel: 'sms', to: MESSAGE.to, purpose: 'login', text: MESSAGE.text, code: '804213' })}\n`,
    'one line, though the text has two',
  );
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(dataDir).mode & 0o777, 0o700);
  t.strictSame(printed, [`\n--- SMS to ${MESSAGE.to} (login) ---\n${MESSAGE.text}\n---\n`]);

  const append = createOutboxFile({ dataDir, now });
  append({ channel: 'email', to: 'a@example.com', purpose: 'reset', text: 'x', token: 'tok' });
  t.strictSame(linesOf(dataDir)[1], {
    at: '2026-11-21T02:28:06.789Z',
    channel: 'email',
    to: 'a@example.com',
    purpose: 'reset',
    text: 'x',
    token: 'tok',
  });

  chmodSync(path, 0o644);
  await provider.send(message(), PATIENT);
  t.equal(statSync(path).mode & 0o777, 0o600, 'a file that others could read is closed to them');
  t.equal(linesOf(dataDir).length, 3);

  const inTheWay = t.testdir({ file: '' });
  mkdirSync(join(inTheWay, 'outbox.jsonl'));
  const options = { now, print: (text: string) => printed.push(text) };
  const before = printed.length;
  for (const [dir, why] of [
    [inTheWay, 'EISDIR'],
    [join(inTheWay, 'file'), 'EEXIST'],
  ] as const) {
    const broken = createSmsProvider({ provider: 'console' }, { dataDir: dir, ...options });
    t.strictSame(await failureOf(t, broken), ofAccount(`outbox.jsonl cannot be written (${why})`));
  }
  t.equal(printed.length, before, 'what was not kept is not shown');
});

const SENDER = pathToFileURL(join(import.meta.dirname, '../../src/delivery/create-sms-provider.js')).href;

/** A process that sends messages to its stdout, as many as it is told. */
function sender(
  dataDir: string,
  mark: string,
  count: number,
): ChildProcess & { stdout: NodeJS.ReadableStream } {
  const code = `
    const { createSmsProvider } = await import(${JSON.stringify(SENDER)});
    const sms = createSmsProvider({ provider: 'console' }, { dataDir: ${JSON.stringify(dataDir)}, now: Date.now });
    const text = ${JSON.stringify(mark)}.repeat(2000);
    for (let n = 0; n < ${count}; n++) await sms.send({ to: '+989121234567', purpose: 'login', text, code: String(n) });
  `;
  return spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: { PATH: process.env.PATH, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  }) as ChildProcess & { stdout: NodeJS.ReadableStream };
}

t.test('two processes write to one outbox', async (t) => {
  const dataDir = t.testdir();
  const count = 200;
  const outputs = await Promise.all(
    ['ا', 'b'].map(async (mark) => {
      const child = sender(dataDir, mark, count);
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
      const [code] = await once(child, 'close');
      t.equal(code, 0);
      return output;
    }),
  );
  const lines = linesOf(dataDir) as { text: string; code: string }[];
  t.equal(lines.length, 2 * count, 'no line is torn');
  for (const mark of ['ا', 'b']) {
    const own = lines.filter(({ text }) => text === mark.repeat(2000));
    t.strictSame(
      own.map(({ code }) => Number(code)),
      Array.from({ length: count }, (_, n) => n),
    );
  }
  for (const output of outputs) {
    t.equal(output.match(/--- SMS to \+989121234567 \(login\) ---/g)?.length, count, 'shown on stdout');
  }
});

t.test('every provider can be had by its settings', async (t) => {
  const needs = { dataDir: t.testdir(), now };
  const names = [
    createSmsProvider({ provider: 'console' }, needs),
    createSmsProvider({ provider: 'sns' }, needs),
    createSmsProvider({ provider: 'sns', region: 'eu-central-1', senderId: 'x' }, needs),
    createSmsProvider({ provider: 'twilio', accountSid: ACCOUNT, authToken: 'x', from: 'x' }, needs),
    createSmsProvider({ provider: 'kavenegar', apiKey: 'x' }, needs),
    createSmsProvider({ provider: 'webhook', url: 'http://127.0.0.1', secret: 'x' }, needs),
  ].map(({ name }) => name);
  t.strictSame(names, ['console', 'sns', 'sns', 'twilio', 'kavenegar', 'webhook']);
  writeFileSync(join(needs.dataDir, 'only'), '');
  t.throws(() => statSync(join(needs.dataDir, 'outbox.jsonl')), { code: 'ENOENT' }, 'nothing is made yet');
});
