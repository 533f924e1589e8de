import fc from 'fast-check';
import { getCountries, getExampleNumber, parsePhoneNumberFromString } from 'libphonenumber-js/core';
import full from 'libphonenumber-js/max/metadata';
import examples from 'libphonenumber-js/mobile/examples';
import metadata from 'libphonenumber-js/mobile/metadata';
import t from 'tap';
import { fingerprintOfNumber, isPhoneRegion, readPhoneNumber } from '../../src/otp/phone-number.js';

const IRANIAN = { e164: '+989123456789', country: 'IR' };

t.test('the spellings of one number', async (t) => {
  const spellings = [
    '09123456789',
    '9123456789',
    '+98 912 345 6789',
    '+989123456789',
    '00989123456789',
    '989123456789',
    '+98 (0) 912 345 6789',
    '(+98) 912-345-6789',
    '(0912) 345 67 89',
    '[0912] 345.67.89',
    '0912‐345‑6789',
    '0912–345—6789',
    '0912−345−6789',
    '۰۹۱۲۳۴۵۶۷۸۹',
    '٠٩١٢٣٤٥٦٧٨٩',
    '۰۹۱۲ ۳۴۵ ۶۷۸۹',
    '+۹۸۹۱۲۳۴۵۶۷۸۹',
    '۰۰۹۸۹۱۲۳۴۵۶۷۸۹',
    '０９１２３４５６７８９',
    '＋９８ ９１２ ３４５ ６７８９',
    '۰۹۱٢٣45６７۸۹',
    '  09123456789\n',
    '\t0912\u00a0345\u20096789\u3000',
    '\u200e+98 912 345 6789\u200f',
    '\u202a+989123456789\u202c',
    '\u2066+98\u2069 9123456789',
    '0912\u200b345\u200c67\u200d89\ufeff',
    '0912\u2060345\u00ad6789\u061c',
  ];
  for (const spelling of spellings) t.strictSame(readPhoneNumber(spelling, 'IR'), IRANIAN, spelling);
  t.strictSame(readPhoneNumber('011 98 912 345 6789', 'US'), IRANIAN, 'dialled from elsewhere');
  t.equal(
    readPhoneNumber('09123456789', 'US'),
    undefined,
    'whose national number it is depends on the region',
  );
});

t.test('what gets no text message', async (t) => {
  const table: Record<string, string[]> = {
    'a landline': [
      '02122334455',
      '+98 21 2233 4455',
      '+44 20 7946 0018',
      '+39 06 1234 5678',
      '+33 1 23 45 67 89',
    ],
    'too short': ['0912345678', '912345678', '091234', '123', '0', '+98', '110', '5000', '+98 912'],
    'too long': ['091234567890', '+9891234567890', '0912345678909123456789'],
    premium: ['+44 909 879 0000', '+1 900 234 5678', '+49 900 1234567', '+979 1 2345 6789'],
    'toll-free, shared cost and the like': [
      '+1 800 234 5678',
      '+800 1234 5678',
      '+808 1234 5678',
      '+888 123 456 789 01',
    ],
    'personal numbers and pagers': ['+44 70 1234 5678', '+44 7640 123456'],
    'no country': ['+999 123 456 789', '+0 912 345 6789', '+00989123456789'],
    'no such operator': ['09501234567', '+98 800 123 4567'],
    letters: [
      '0912 345 6789a',
      'call 09123456789',
      '0912-FLOWERS',
      'tel:+989123456789',
      '+98912E456789',
      '１２３ａ',
    ],
    'an extension': [
      ...['09123456789 ext 5', '09123456789 ext. 5', '09123456789x5', '09123456789#5', '09123456789;ext=5'],
      ...['09123456789,5', '09123456789 داخلی ۵', '+1 415 555 2671 x123'],
    ],
    'several numbers': [
      ...['09123456789,09123456780', '09123456789;09123456780', '09123456789/80', '09123456789 09123456780'],
      ...['09123456789\n09123456780', '+989123456789+989123456780', '+98+9123456789', '09123456789\t5'],
    ],
    'no number': [
      '',
      ' ',
      '+',
      '-',
      '()',
      '٠',
      '\u200b',
      '\0',
      '09123456789\0',
      '½½½½½½',
      '۰۹۱۲۳۴۵۶۷۸م',
      '\ud800',
      '*#06#',
    ],
    'other signs': [
      '0912_345_6789',
      '0912~3456789',
      '0912:345:6789',
      '=09123456789',
      "'09123456789",
      '<09123456789>',
    ],
    'longer than anybody types': [`${' '.repeat(60)}09123456789`, '0'.repeat(65), '9'.repeat(100_000)],
  };
  for (const [reason, texts] of Object.entries(table)) {
    for (const text of texts)
      t.equal(readPhoneNumber(text, 'IR'), undefined, `${reason}: ${text.slice(0, 40)}`);
  }
  t.strictSame(
    readPhoneNumber(`${' '.repeat(53)}09123456789`, 'IR'),
    IRANIAN,
    'up to 64 characters are read',
  );
});

t.test('the country', async (t) => {
  const table: [raw: string, region: string, e164: string, country: string][] = [
    ['+1 415 555 2671', 'IR', '+14155552671', 'US'],
    ['(415) 555-2671', 'US', '+14155552671', 'US'],
    ['+1 416 555 2671', 'US', '+14165552671', 'CA'],
    ['+1 242 359 1234', 'US', '+12423591234', 'BS'],
    ['8 912 345-67-89', 'RU', '+79123456789', 'RU'],
    ['+7 701 234 5678', 'RU', '+77012345678', 'KZ'],
    ['+44 7400 123456', 'IR', '+447400123456', 'GB'],
    ['07400 123456', 'GB', '+447400123456', 'GB'],
    ['0 15 11 91234 5678', 'BR', '+5511912345678', 'BR'],
    ['011 15 2345 6789', 'AR', '+5491123456789', 'AR'],
    ['+881 6 1234 5678', 'IR', '+881612345678', '001'],
  ];
  for (const [raw, region, e164, country] of table)
    t.strictSame(readPhoneNumber(raw, region), { e164, country }, raw);

  t.ok(['IR', 'US', 'DE', 'XK', 'AC'].every(isPhoneRegion));
  for (const code of ['ir', 'I', 'ZZ', '001', '98', '', '__proto__', 'constructor', 'toString']) {
    t.notOk(isPhoneRegion(code), code);
    t.equal(readPhoneNumber('09123456789', code), undefined, 'no region, no national numbers');
    t.strictSame(readPhoneNumber('+989123456789', code), IRANIAN);
  }
});

t.test('every country has mobile numbers that are read', async (t) => {
  // Tristan da Cunha has landlines only.
  const countries = getCountries(metadata).filter((country) => country in examples && country !== 'TA');
  t.ok(countries.length > 240);
  for (const country of countries) {
    const example = getExampleNumber(country, examples, metadata)!;
    const { number, nationalNumber } = example;
    const found = readPhoneNumber(number, 'IR');
    t.equal(found?.e164, number, country);
    // Åland's are Finland's, and so on: a number alone does not tell.
    const sharers = metadata.country_calling_codes[example.countryCallingCode]!;
    t.ok(sharers.includes(found!.country as typeof country), `${country}: ${found!.country}`);
    for (const spelling of [nationalNumber, example.formatNational(), example.formatInternational()])
      t.strictSame(readPhoneNumber(spelling, country), found, spelling);
  }
});

const digits = (min: number, max: number) => fc.stringMatching(new RegExp(`^[0-9]{${min},${max}}$`));
const country = fc.constantFrom(...getCountries(metadata));

t.test('the small set of metadata decides as the full one would', async (t) => {
  const callingCode = fc.constantFrom(
    ...Object.keys(full.country_calling_codes),
    '800',
    '870',
    '881',
    '882',
    '979',
  );
  const receives = (type: string | undefined) => type === 'MOBILE' || type === 'FIXED_LINE_OR_MOBILE';
  let accepted = 0;
  const property = fc.property(callingCode, digits(5, 12), (code, rest) => {
    const number = parsePhoneNumberFromString(`+${code}${rest}`, {}, full);
    const expected = number?.isValid() && receives(number.getType()) ? number.number : undefined;
    if (expected) accepted += 1;
    return readPhoneNumber(`+${code}${rest}`, 'IR')?.e164 === expected;
  });
  fc.assert(property, { numRuns: 20_000 });
  t.ok(accepted > 100, `${accepted} numbers`);
});

t.test('what is read is read again', async (t) => {
  let accepted = 0;
  const property = fc.property(country, digits(4, 15), country, (region, text, elsewhere) => {
    const number = readPhoneNumber(text, region);
    if (!number) return true;
    accepted += 1;
    const again = [readPhoneNumber(number.e164, region), readPhoneNumber(number.e164, elsewhere)];
    return (
      /^\+[1-9]\d{6,14}$/.test(number.e164) &&
      /^([A-Z]{2}|001)$/.test(number.country) &&
      again.every((same) => same?.e164 === number.e164 && same.country === number.country)
    );
  });
  fc.assert(property, { numRuns: 20_000 });
  t.ok(accepted > 100, `${accepted} numbers`);
});

t.test('however a number is written, it is one', async (t) => {
  const ZEROS = [0x30, 0x660, 0x6f0, 0xff10];
  const BETWEEN = [
    '',
    '',
    '',
    ' ',
    '-',
    '\u2013',
    '\u2212',
    '.',
    '(',
    ')',
    '\u200c',
    '\u200f',
    '\u2067',
    '\u3000',
    '\ufeff',
  ];
  const operator = fc.constantFrom('910', '912', '919', '930', '935', '990', '901', '920');
  const property = fc.property(
    operator,
    digits(7, 7),
    fc.constantFrom('0', '', '+98', '0098', '98', '+980', '＋98'),
    fc.array(fc.tuple(fc.constantFrom(...ZEROS), fc.constantFrom(...BETWEEN)), {
      minLength: 14,
      maxLength: 14,
    }),
    (prefix, rest, dialled, styles) => {
      const written = [...`${dialled}${prefix}${rest}`].map((sign, n) => {
        const [zero, between] = styles[n % styles.length]!;
        return /\d/.test(sign) ? String.fromCharCode(zero + Number(sign)) + between : sign;
      });
      return readPhoneNumber(written.join(''), 'IR')?.e164 === `+98${prefix}${rest}`;
    },
  );
  t.doesNotThrow(() => fc.assert(property, { numRuns: 5000 }));
});

t.test('nothing makes it fail', async (t) => {
  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 100 }),
    fc.string({ unit: 'grapheme', maxLength: 40 }),
    fc.array(fc.nat(0xffff), { maxLength: 70 }).map((units) => String.fromCharCode(...units)),
    fc.string({ unit: fc.constantFrom(...'0123456789+-() .;,=#*x\u200f\u0660\uff0btelxt:'), maxLength: 70 }),
  );
  const property = fc.property(anything, fc.oneof(country, fc.string()), (text, region) => {
    const number = readPhoneNumber(text, region);
    return number === undefined || /^\+[1-9]\d{6,14}$/.test(number.e164);
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 10_000 }));
});

t.test('what is too long costs next to nothing', async (t) => {
  const long = ['0', '+', '(', '\u200b', '\ufdfa', '9 '].map((unit) => unit.repeat(1_000_000));
  const start = performance.now();
  for (const text of long) t.equal(readPhoneNumber(text, 'IR'), undefined);
  t.ok(performance.now() - start < 500);
});

t.test('a fingerprint stands for a number and does not show it', async (t) => {
  const one = fingerprintOfNumber('+989123456789');
  t.match(one, /^[\w-]{22}$/);
  t.equal(one, fingerprintOfNumber('+989123456789'));
  t.not(one, fingerprintOfNumber('+989123456780'));
  t.notMatch(one, /9123456/);
});
