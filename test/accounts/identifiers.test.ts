import { deepStrictEqual as deepEqual } from 'node:assert';
import fc from 'fast-check';
import t from 'tap';
import { normalizeEmail, normalizeName, normalizeUsername } from '../../src/accounts/identifiers.js';

const LABEL_63 = 'd'.repeat(63);

t.test('an e-mail address is kept as written and found by its key', async (t) => {
  const table: [raw: string, display: string, key: string][] = [
    ['user@example.com', 'user@example.com', 'user@example.com'],
    ['  User@Example.COM\t', 'User@example.com', 'user@example.com'],
    ["O'Brien+tag@mail.example.org", "O'Brien+tag@mail.example.org", "o'brien+tag@mail.example.org"],
    ['!#$%&*/=?^_`{|}~-@example.com', '!#$%&*/=?^_`{|}~-@example.com', '!#$%&*/=?^_`{|}~-@example.com'],
    ['a@1.example.com', 'a@1.example.com', 'a@1.example.com'],
    ['a@b-c.d2.io', 'a@b-c.d2.io', 'a@b-c.d2.io'],
    ['a@BÜCHER.de', 'a@bücher.de', 'a@xn--bcher-kva.de'],
    ['a@xn--bcher-kva.de', 'a@xn--bcher-kva.de', 'a@xn--bcher-kva.de'],
    ['مریم@ایران.ir', 'مریم@ایران.ir', 'مریم@xn--mgba3a4f16a.ir'],
    ['Ｕser@example.com', 'Ｕser@example.com', 'user@example.com'],
    ['Rene\u0301@example.com', 'Ren\u00e9@example.com', 'ren\u00e9@example.com'],
    ['T\u0308@example.com', 'T\u0308@example.com', '\u1e97@example.com'],
    [`${'l'.repeat(64)}@example.com`, `${'l'.repeat(64)}@example.com`, `${'l'.repeat(64)}@example.com`],
    [`a@${LABEL_63}.com`, `a@${LABEL_63}.com`, `a@${LABEL_63}.com`],
  ];
  for (const [raw, display, key] of table) {
    t.same(normalizeEmail(raw), { display, key }, raw);
    t.equal(normalizeEmail(key)?.key, key, `${key} is its own key`);
  }
});

t.test('the shorter way of plain addresses comes to the same', async (t) => {
  const part = fc.constantFrom(
    'a',
    'b2',
    'X',
    '-',
    '--',
    'xn--',
    '.',
    '@',
    '+',
    '_',
    '1',
    'com',
    'é',
    ' ',
    LABEL_63,
  );
  const parts = (maxLength: number) => fc.array(part, { minLength: 1, maxLength });
  let addresses = 0;
  fc.assert(
    fc.property(parts(4), parts(3), part, (local, domain, end) => {
      const text = `${local.join('')}@${domain.join('')}.${end}`;
      const address = normalizeEmail(text);
      if (address) addresses += 1;
      // White space around it is allowed, and no plain address has any.
      deepEqual(address, normalizeEmail(`\t${text}`));
    }),
    { numRuns: 5000 },
  );
  t.ok(addresses > 100, `${addresses} of them are addresses`);
});

t.test('an address of 254 octets is the longest', async (t) => {
  const domain = `${`${LABEL_63}.`.repeat(2)}${'b'.repeat(57)}.com`;
  const longest = `${'a'.repeat(64)}@${domain}`;
  t.equal(longest.length, 254);
  t.same(normalizeEmail(longest), { display: longest, key: longest });
  t.equal(normalizeEmail(longest.replace('.com', 's.com')), undefined);
  t.equal(normalizeEmail(`${'a'.repeat(65)}@example.com`), undefined);
});

t.test('what is no e-mail address is refused', async (t) => {
  const table: [name: string, raw: string][] = [
    ['empty', ''],
    ['blank', '   '],
    ['no at', 'example.com'],
    ['no local part', '@example.com'],
    ['no domain', 'a@'],
    ['two ats', 'a@b@c'],
    ['two ats between good parts', 'a@b.com@example.com'],
    ['two ats in a row', 'a@@example.com'],
    ['single label', 'user@localhost'],
    ['space inside', 'a b@example.com'],
    ['space before the domain', 'a@ example.com'],
    ['header injection', 'a@example.com\r\nBcc: b@example.com'],
    ['line feed inside', 'a\n@example.com'],
    ['trailing line feed', 'a@example.com\n'],
    ['trailing carriage return', 'a@example.com\r'],
    ['null character', 'a\u0000@example.com'],
    ['zero-width space', 'a\u200b@example.com'],
    ['zero-width non-joiner', 'a\u200c@example.com'],
    ['zero-width space in the domain', 'a@exam\u200bple.com'],
    ['soft hyphen', 'a\u00ad@example.com'],
    ['right-to-left override', 'a\u202e@example.com'],
    ['Hangul filler', 'a\u3164@example.com'],
    ['variation selector', 'a\ufe0f@example.com'],
    ['no-break space', 'a\u00a0b@example.com'],
    ['quoted local part', '"a b"@example.com'],
    ['display name', 'A <a@example.com>'],
    ['list', 'a@example.com,b'],
    ['consecutive dots', 'a..b@example.com'],
    ['leading dot', '.a@example.com'],
    ['trailing dot', 'a.@example.com'],
    ['consecutive dots in the domain', 'a@example..com'],
    ['leading dot in the domain', 'a@.example.com'],
    ['trailing dot in the domain', 'a@example.com.'],
    ['leading hyphen', 'a@-b.com'],
    ['trailing hyphen', 'a@b-.com'],
    ['underscore in the domain', 'a@b_c.com'],
    ['IPv4 address', 'a@127.0.0.1'],
    ['address literal', 'a@[127.0.0.1]'],
    ['hexadecimal IPv4 address', 'a@0x7f.1'],
    ['broken punycode', 'a@xn--a.com'],
    ['ideographic full stop', 'a@b。com'],
    ['emoji in the domain', 'a@🦊.com'],
    ['full-width at', 'a＠b@example.com'],
    ['number that NFKC ends with a dot', '⒈@example.com'],
    ['letter that NFKC makes words', 'ﷺ@example.com'],
    ['local part of 65 octets', `${'l'.repeat(65)}@example.com`],
    ['local part of 66 octets in 33 letters', `${'é'.repeat(33)}@example.com`],
    ['local part that NFKC makes 72 octets', `${'ﷲ'.repeat(9)}@example.com`],
    ['domain that is too long in ASCII', `a@${'é.'.repeat(60)}com`],
    ['label of 64 letters', `a@${LABEL_63}d.com`],
    ['255 octets', `${'l'.repeat(58)}@${`${LABEL_63}.`.repeat(3)}com.`],
    ['hostile length', `${'a.'.repeat(500_000)}@example.com`],
    ['broken surrogate', 'a\ud800@example.com'],
  ];
  for (const [name, raw] of table) t.equal(normalizeEmail(raw), undefined, name);
});

t.test('the length of an e-mail address ends at 254 octets', async (t) => {
  const domain = `${`${LABEL_63}.`.repeat(3)}com`;
  t.equal(domain.length, 195);
  t.equal(normalizeEmail(`${'l'.repeat(58)}@${domain}`)?.key.length, 254);
  t.equal(normalizeEmail(`${'l'.repeat(59)}@${domain}`), undefined);
});

t.test('a username is kept in NFKC and found in lower case', async (t) => {
  const table: [raw: string, display: string, key: string][] = [
    ['maryam', 'maryam', 'maryam'],
    ['Maryam_R.90+x-y', 'Maryam_R.90+x-y', 'maryam_r.90+x-y'],
    ['x', 'x', 'x'],
    ['مریم۹۰', 'مریم۹۰', 'مریم۹۰'],
    ['Ｍaryam', 'Maryam', 'maryam'],
    ['Rene\u0301', 'Ren\u00e9', 'ren\u00e9'],
    ['ΑΒΓ', 'ΑΒΓ', 'αβγ'],
    ['1234', '1234', '1234'],
    ['user12345', 'user12345', 'user12345'],
    ['12_345_678', '12_345_678', '12_345_678'],
    ['u'.repeat(150), 'u'.repeat(150), 'u'.repeat(150)],
    ['𐐀'.repeat(150), '𐐀'.repeat(150), '𐐨'.repeat(150)],
  ];
  for (const [raw, display, key] of table) t.same(normalizeUsername(raw), { display, key }, raw);
});

t.test('what is no username is refused', async (t) => {
  const table: [name: string, raw: string][] = [
    ['empty', ''],
    ['at', 'a@b'],
    ['full-width at', 'a＠b'],
    ['space around', ' maryam '],
    ['space inside', 'mar yam'],
    ['line feed at the end', 'maryam\n'],
    ['slash', 'a/b'],
    ['markup', '<b>'],
    ['zero-width space', 'mar\u200byam'],
    ['zero-width non-joiner', 'می\u200cم'],
    ['right-to-left override', 'a\u202eb'],
    ['Hangul filler', 'a\u3164b'],
    ['emoji', '🦊'],
    ['lone mark', '\u0301'],
    ['151 characters', 'u'.repeat(151)],
    ['51 characters that NFKC makes 153', 'ﬃ'.repeat(51)],
    ['phone', '09123456789'],
    ['international phone', '+989123456789'],
    ['phone with hyphens and dots', '0912-345.67-89'],
    ['phone in Persian digits', '۰۹۱۲۳۴۵۶۷۸۹'],
    ['phone in Arabic-Indic digits', '٠٩١٢٣٤٥٦٧٨٩'],
    ['phone in full-width digits', '０９１２３４５６７８９'],
    ['phone in mixed digits', '۰۹12٣٤٥'],
    ['five digits', '12345'],
  ];
  for (const [name, raw] of table) t.equal(normalizeUsername(raw), undefined, name);
});

t.test('a name is tidied and no more', async (t) => {
  const table: [raw: string, name: string | undefined][] = [
    ['Maryam', 'Maryam'],
    ['  Ana   María  ', 'Ana María'],
    ['Rene\u0301', 'Ren\u00e9'],
    ['مریم\u200cالسادات', 'مریم\u200cالسادات'],
    ["O'Neill-Smith, Jr.", "O'Neill-Smith, Jr."],
    ['a\u00a0\u2003b', 'a b'],
    ['ﬁ', 'ﬁ'],
    ['', ''],
    ['   ', ''],
    ['n'.repeat(150), 'n'.repeat(150)],
    [` ${'n'.repeat(150)} `, 'n'.repeat(150)],
    ['🦊'.repeat(150), '🦊'.repeat(150)],
    ['n'.repeat(151), undefined],
    ['a\nb', undefined],
    ['a\tb', undefined],
    ['a\u0000b', undefined],
    ['a\u0085b', undefined],
    ['a\u202eb', undefined],
    ['a\u202ab', undefined],
    ['a\u2066b', undefined],
    ['a\u2069b', undefined],
    ['a\ud83e', undefined],
  ];
  for (const [raw, name] of table) t.equal(normalizeName(raw), name, JSON.stringify(raw).slice(0, 40));
});
