import fc from 'fast-check';
import t from 'tap';
import { LOCALES } from '../../src/contract/messages.js';
import { OTP_PURPOSES } from '../../src/contract/otp.js';
import { writeMessage } from '../../src/otp/message-texts.js';
import { hashCode, makeCode, readCode } from '../../src/otp/one-time-code.js';

t.test('codes are drawn evenly, leading zeros included', async (t) => {
  for (const length of [4, 6, 10]) {
    const codes = Array.from({ length: 500 }, () => makeCode(length));
    t.ok(codes.every((code) => new RegExp(`^\\d{${length}}$`).test(code)));
    t.ok(new Set(codes).size > 400);
  }
  const DRAWS = 20_000;
  const seen = Array.from({ length: 10 }, () => 0);
  for (let n = 0; n < DRAWS; n += 1) seen[Number(makeCode(6)[0])]! += 1;
  // Nine degrees of freedom: 40 is passed by chance once in 130,000 runs.
  const expected = DRAWS / 10;
  const chiSquare = seen.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  t.ok(chiSquare < 40, `${seen}: ${chiSquare}`);
});

t.test('a code is read in any digits, with what comes along in a copy', async (t) => {
  const digits = fc.constantFrom(0x30, 0x660, 0x6f0, 0xff10);
  const between = fc.constantFrom('', ' ', '\u00a0', '\t', '\n', '-', '\u2013', '\u200f', '\u200b', '\u2060');
  const typed = fc
    .tuple(fc.stringMatching(/^\d{6}$/), digits, fc.array(between, { minLength: 7, maxLength: 7 }))
    .map(([code, zero, gaps]) => {
      const shown = Array.from(code, (digit) => String.fromCharCode(zero + Number(digit)));
      return { code, text: gaps.map((gap, n) => gap + (shown[n] ?? '')).join('') };
    });
  fc.assert(fc.property(typed, ({ code, text }) => readCode(text, 6) === code));
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 64 }), (text) => {
      const code = readCode(text, 6);
      return code === undefined || /^[0-9]{6}$/.test(code);
    }),
  );
  for (const wrong of ['', '12345', '1234567', '12345x', '1e5000', '+12345', '12.345', '१२३४५६', '½23456']) {
    t.equal(readCode(wrong, 6), undefined, wrong);
  }
});

t.test('the hash of a code depends on all it stands for', async (t) => {
  const [one, other] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const challenge = { purpose: 'login', phone: '+989123456789', code: '123456' } as const;
  const hashes = [
    hashCode(one, challenge),
    hashCode(other, challenge),
    hashCode(one, { ...challenge, purpose: 'reset' }),
    hashCode(one, { ...challenge, phone: '+989123456780' }),
    hashCode(one, { ...challenge, code: '123457' }),
  ];
  t.equal(new Set(hashes).size, hashes.length);
  t.equal(hashes[0], hashCode(one, { ...challenge }));
  for (const hash of hashes) t.match(hash, /^[\w-]{43}$/);
});

t.test('messages', async (t) => {
  const all = LOCALES.flatMap((locale) => OTP_PURPOSES.map((purpose) => ({ locale, purpose })));
  const domain = 'auth.example.com';
  const texts = all.map((each) => ({ ...each, text: writeMessage({ ...each, code: '012345', domain }) }));

  await t.test('end with the line that binds the code to the site', async (t) => {
    for (const { text } of texts) {
      // As the specification reads it: from the last line break on, host after @, code after #, nothing more.
      t.match(/^@([^\s#]+) #(\S+)$/.exec(text.split('\n').at(-1)!)?.slice(1), [domain, '012345']);
      t.equal(text.split('012345').length, 3, 'and hold the code once more, for people');
    }
  });

  await t.test('say what they are for, and not to pass it on', async (t) => {
    t.equal(new Set(texts.map(({ text }) => text)).size, texts.length);
    for (const { locale, text } of texts)
      t.match(text, locale === 'fa' ? 'به هیچ‌کس ندهید' : 'Never pass it on');
  });

  await t.test('fit into one part', async (t) => {
    for (const { locale, purpose, text } of texts) {
      // 3GPP TS 23.038: 160 septets of the default alphabet, or 70 characters of UCS-2; \n, @ and # are in both.
      const isGsm = /^[\w\n @#:.,!'()/+-]*$/.test(text);
      t.equal(isGsm, locale === 'en');
      t.ok(text.length <= (isGsm ? 160 : 70), `${locale} ${purpose}: ${text.length}`);
      // Of the longest code there is, on a long host name: two parts of 67 each.
      const longest = writeMessage({ locale, purpose, code: '0'.repeat(10), domain: 'x'.repeat(60) });
      t.ok(longest.length <= (isGsm ? 160 : 134), `at most: ${longest.length}`);
    }
  });
});
