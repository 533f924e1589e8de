import t from 'tap';
import { CODES, type FieldCode } from '../../src/contract/codes.js';
import {
  FIELD_MESSAGES,
  fieldMessage,
  LOCALES,
  type Locale,
  MESSAGES,
  pickLocale,
} from '../../src/contract/messages.js';

const PERSIAN_LETTERS = /[\u0621-\u064a\u067e\u0686\u0698\u06a9\u06af\u06cc]/;
const ARABIC_YEH_OR_KAF = /[\u064a\u0643]/;

t.test('every code has a title and a detail in every language', async (t) => {
  for (const locale of LOCALES) {
    t.same(Object.keys(MESSAGES[locale]).sort(), [...CODES].sort(), `${locale} has exactly the closed list`);
    const titles = CODES.map((code) => MESSAGES[locale][code].title);
    t.equal(new Set(titles).size, CODES.length, `${locale} titles tell the codes apart`);

    for (const code of CODES) {
      const { title, detail } = MESSAGES[locale][code];
      t.match(title, /^\S.{2,39}$/, `${locale} ${code}: a short title`);
      t.notMatch(title, /[.!؟?]$/, `${locale} ${code}: the title is no sentence`);
      t.match(detail, /^\S.{9,}\.$/, `${locale} ${code}: the detail is a sentence`);
    }
  }
});

t.test('Persian is written in Persian letters', async (t) => {
  const texts = [
    ...CODES.flatMap((code) => Object.values(MESSAGES.fa[code]) as string[]),
    ...Object.values(FIELD_MESSAGES.fa),
  ];
  t.equal(texts.length, CODES.length * 2 + Object.keys(FIELD_MESSAGES.en).length);
  for (const text of texts) {
    t.match(text, PERSIAN_LETTERS, text);
    t.notMatch(text, ARABIC_YEH_OR_KAF, `${text} uses the Persian ye and kaf`);
    t.notMatch(text.replace('JSON', ''), /[A-Za-z]/, `${text} has no English left in it`);
  }
});

t.test('server failures name nothing internal', async (t) => {
  for (const code of ['internal_error', 'store_unavailable', 'overloaded', 'delivery_unavailable'] as const) {
    t.notMatch(MESSAGES.en[code].detail, /redis|sql|postgres|database|lua|argon|sns|smtp/i, code);
  }
});

t.test('a field message says the limit when it is known, in the digits of the language', async (t) => {
  const table: [Locale, FieldCode, number | undefined, string][] = [
    ['en', 'too_short', 8, 'This value is too short. Use at least 8 characters.'],
    ['en', 'too_long', 128, 'This value is too long. Use at most 128 characters.'],
    ['en', 'too_small', 0, 'This value is too small. It must be at least 0.'],
    ['en', 'too_large', undefined, 'This value is too large.'],
    ['en', 'required', undefined, 'This field is required.'],
    ['en', 'taken', 5, 'This value is already in use.'],
    ['fa', 'too_short', 8, 'این مقدار بیش از حد کوتاه است. حداقل ۸ کاراکتر وارد کنید.'],
    ['fa', 'too_long', 128, 'این مقدار بیش از حد طولانی است. حداکثر ۱۲۸ کاراکتر وارد کنید.'],
    ['fa', 'too_common', undefined, 'این رمز عبور بسیار رایج است. رمز دیگری انتخاب کنید.'],
  ];
  for (const [locale, code, limit, expected] of table) {
    t.equal(fieldMessage(locale, code, { limit }), expected, `${locale} ${code} ${limit}`);
  }
  t.equal(fieldMessage('fa', 'required'), FIELD_MESSAGES.fa.required);
});

t.test('both languages have the same field codes', async (t) => {
  t.same(Object.keys(FIELD_MESSAGES.fa), Object.keys(FIELD_MESSAGES.en));
});

t.test('the language is picked by quality, then by order', async (t) => {
  const table: [header: string | undefined, fallback: Locale, expected: Locale][] = [
    [undefined, 'en', 'en'],
    [undefined, 'fa', 'fa'],
    ['', 'fa', 'fa'],
    ['fa', 'en', 'fa'],
    ['FA', 'en', 'fa'],
    ['fa-IR', 'en', 'fa'],
    ['fa-Arab-IR', 'en', 'fa'],
    ['en-GB', 'fa', 'en'],
    ['fa,en', 'en', 'fa'],
    ['en,fa', 'fa', 'en'],
    ['en;q=0.5, fa;q=0.9', 'en', 'fa'],
    ['en;q=0.8,fa;q=0.800', 'fa', 'en'],
    ['fa ; Q=0.3 , en;q=0.2', 'en', 'fa'],
    ['de, fa;q=0.1', 'en', 'fa'],
    ['de', 'fa', 'fa'],
    ['fa-IR;q=0.2, en;q=0.5, fa;q=0.9', 'en', 'fa'],
    ['fa-IR;q=0.9, fa;q=0.2, en;q=0.5', 'en', 'fa'],
    ['*', 'en', 'en'],
    ['*', 'fa', 'fa'],
    ['*, en;q=0.1', 'fa', 'en'],
    ['fa;q=0', 'en', 'en'],
    ['fa;q=0', 'fa', 'en'],
    ['en;q=0, *', 'en', 'fa'],
    ['en;q=0, fa;q=0', 'fa', 'fa'],
    ['fa;q=0.000, en;q=0.001', 'fa', 'en'],
  ];
  for (const [header, fallback, expected] of table) {
    t.equal(pickLocale(header, fallback), expected, `${header} or ${fallback}`);
  }
});

t.test('what cannot be read is skipped', async (t) => {
  const garbage = [
    'fa;q=2',
    'fa;q=-1',
    'fa;q=0.1234',
    'fa;q=',
    'fa;q=NaN',
    'fa;level=1',
    'fa_IR',
    'farsi',
    'fa-',
    'fa IR',
    ';q=1',
    '__proto__',
    'constructor',
    ',,,;;;',
    'ف',
    '\u0000fa',
  ];
  for (const header of garbage) {
    t.equal(pickLocale(header, 'en'), 'en', JSON.stringify(header));
    t.equal(pickLocale(`${header},fa`, 'en'), 'fa', `${JSON.stringify(header)}, then fa`);
  }
});

t.test('only the first 200 characters are read', async (t) => {
  t.equal(pickLocale(`${'x,'.repeat(99)}fa`, 'en'), 'fa', 'ends at the limit');
  t.equal(pickLocale(`${'x,'.repeat(100)}fa`, 'en'), 'en', 'starts past the limit');
  t.equal(pickLocale(`${'x,'.repeat(97)}fa;q=0.9`, 'fa'), 'fa', 'a quality that was cut off is not believed');
  t.equal(pickLocale(`fa,${'en-'.repeat(1_000_000)}`, 'en'), 'fa');
});
