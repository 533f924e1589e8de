import t from 'tap';
import {
  checkPassword,
  loadBlocklist,
  normalizePassword,
  type OwnData,
  type PasswordFault,
} from '../../src/accounts/password-policy.js';

const ON = { blocklist: true };
const OFF = { blocklist: false };
const TOO_SHORT: PasswordFault = { code: 'too_short', limit: 8 };
const TOO_LONG: PasswordFault = { code: 'too_long', limit: 128 };
const TOO_COMMON: PasswordFault = { code: 'too_common' };
const OWN_DATA: PasswordFault = { code: 'own_data' };

t.test('the length is counted in code points, after NFKC', async (t) => {
  const table: [name: string, password: string, fault: PasswordFault | undefined][] = [
    ['empty', '', TOO_SHORT],
    ['7 letters', 'xkcdqjv', TOO_SHORT],
    ['8 letters', 'xkcdqjvw', undefined],
    ['128 letters', 'xkcdqjvw'.repeat(16), undefined],
    ['129 letters', `${'xkcdqjvw'.repeat(16)}x`, TOO_LONG],
    ['7 emoji, 14 UTF-16 units', '🦊🐢🐙🦉🐝🦋🐋', TOO_SHORT],
    ['8 emoji', '🦊🐢🐙🦉🐝🦋🐋🌵', undefined],
    ['128 emoji, 256 UTF-16 units', '🦊'.repeat(128), undefined],
    ['7 letters in 14 code points', 'e\u0301'.repeat(7), TOO_SHORT],
    ['4 code points that NFKC makes 12', 'ﬃﬃﬃﬃ', undefined],
    ['43 code points that NFKC makes 129', 'ﬃ'.repeat(43), TOO_LONG],
    ['Persian with a space', 'گربه‌ی سیاه', undefined],
    ['only spaces', '        ', undefined],
  ];
  for (const [name, password, fault] of table) t.same(await checkPassword(password, {}, ON), fault, name);
});

t.test('common passwords are refused, in any case and width', async (t) => {
  const common = [
    'password',
    'Password',
    'PASSWORD1',
    'password123',
    'passw0rd',
    '12345678',
    '123456789',
    '1234567890',
    'qwerty123',
    'qwertyuiop',
    '11111111',
    'iloveyou',
    'letmein123',
    'sunshine',
    'trustno1',
    '1q2w3e4r',
    '00000000',
    '0000000000',
    '12121212',
    '123123123',
    '87654321',
    '0987654321',
    'ｐａｓｓｗｏｒｄ',
    '１２３４５６７８',
  ];
  for (const password of common) {
    t.same(await checkPassword(password, {}, ON), TOO_COMMON, password);
    t.same(await checkPassword(password, {}, OFF), undefined, `${password} without the list`);
  }
});

t.test('uncommon passwords pass, with no rule on what they are made of', async (t) => {
  const fine = [
    'testpass123',
    'userpassword',
    'correct horse battery staple',
    '73910462',
    'zvkqmwtr',
    'کتاب‌خانه',
  ];
  for (const password of fine) t.same(await checkPassword(password, {}, ON), undefined, password);
});

t.test('the list keeps every entry that is long enough to be reached', async (t) => {
  const list = await loadBlocklist();
  t.ok(list.size > 15_000, `${list.size} entries`);
  t.ok(list.has('password'));
  t.notOk(list.has('dragon'), 'six letters are too short anyway');
  t.equal(await loadBlocklist(), list, 'is loaded once');
  const unreachable = [...list].filter((entry) => entry !== normalizePassword(entry).toLowerCase());
  t.same(unreachable, [], 'every entry is in the form that is looked up');
});

t.test('the own data of a user is no password', async (t) => {
  const own: OwnData = {
    email: 'Maryam.Rezaei@example.com',
    username: 'maryam_1990',
    phone: '+989123456789',
    firstName: 'مریم‌السادات',
    lastName: 'Rezaeinejad',
  };
  const table: [name: string, password: string, fault: PasswordFault | undefined][] = [
    ['e-mail', 'maryam.rezaei@example.com', OWN_DATA],
    ['e-mail in capitals', 'MARYAM.REZAEI@EXAMPLE.COM', OWN_DATA],
    ['local part', 'maryam.rezaei', OWN_DATA],
    ['username', 'Maryam_1990', OWN_DATA],
    ['username, full width', 'ｍａｒｙａｍ＿１９９０', OWN_DATA],
    ['first name', 'مریم‌السادات', OWN_DATA],
    ['last name', 'rezaeinejad', OWN_DATA],
    ['first and last name', 'مریم‌الساداتrezaeinejad', OWN_DATA],
    ['first and last name with a space', 'مریم‌السادات Rezaeinejad', OWN_DATA],
    ['phone', '+989123456789', OWN_DATA],
    ['phone, no plus', '989123456789', OWN_DATA],
    ['phone, 00', '00989123456789', OWN_DATA],
    ['phone, national', '09123456789', OWN_DATA],
    ['phone, last ten digits', '9123456789', OWN_DATA],
    ['phone, Persian digits', '۰۹۱۲۳۴۵۶۷۸۹', OWN_DATA],
    ['phone, Arabic-Indic digits', '٠٩١٢٣٤٥٦٧٨٩', OWN_DATA],
    ['phone with spaces', '+98 (912) 345-67.89', OWN_DATA],
    ['another phone', '09123456780', undefined],
    ['username and more', 'maryam_1990!', undefined],
    ['domain', 'example.com', undefined],
  ];
  for (const [name, password, fault] of table) {
    t.same(await checkPassword(password, own, ON), fault, name);
    t.same(await checkPassword(password, own, OFF), fault, `${name}, without the list`);
  }
});

t.test('absent data refuses nothing', async (t) => {
  const absent: OwnData[] = [
    {},
    { email: null, username: null, phone: null, firstName: null, lastName: null },
    { email: '', username: '', phone: '', firstName: '', lastName: '' },
    { phone: '+4712', firstName: 'Bo' },
  ];
  for (const own of absent) t.same(await checkPassword('73910462', own, ON), undefined, JSON.stringify(own));
});

t.test('first and last name are joined when each alone is short', async (t) => {
  t.same(await checkPassword('anneolsen', { firstName: 'Anne', lastName: 'Olsen' }, ON), OWN_DATA);
  t.same(await checkPassword('anneolsen', { firstName: 'Anne' }, OFF), undefined);
});

t.test('a number is known however it was stored', async (t) => {
  t.same(await checkPassword('+989123456789', { phone: '09123456789' }, ON), OWN_DATA);
  t.same(await checkPassword('40612977', { phone: '+4740612977' }, ON), OWN_DATA);
});

t.test('own data is told before commonness', async (t) => {
  t.same(await checkPassword('password1', { username: 'password1' }, ON), OWN_DATA);
});

t.test('normalising is NFKC and nothing else', async (t) => {
  t.equal(normalizePassword('ﬁ'), 'fi');
  t.equal(normalizePassword('e\u0301'), '\u00e9');
  t.equal(normalizePassword(' Pass Word '), ' Pass Word ');
});
