import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { EVENT_TYPES } from '../../src/audit/events.js';
import { END_REASONS } from '../../src/contract/end-reasons.js';
import { endReasonNames, eventNames } from '../../src/pages/texts/events.js';
import { PASSWORD, signUp } from '../support/app.js';
import { findBarriers, type Served, served, type Visitor, visitor, withBrowser } from './browser.js';
import { superuser } from './scene.js';

/** Not in the repository; for people to look at. */
const SCREENSHOTS = fileURLToPath(new URL('../../../.screenshots/', import.meta.url));
const NARROW = { width: 360, height: 740 };
const WIDE = { width: 1120, height: 800 };

/** A page in the state that is looked at: how to get there after it was opened, by any language. */
interface View {
  name: string;
  path: string;
  signedIn?: boolean;
  prepare?: (page: Page) => Promise<unknown>;
}

const secondTab = (page: Page) => page.getByRole('tab').nth(1).click();
const submit = (page: Page) => page.locator('main form button[type=submit]').first().click();

const VIEWS: View[] = [
  { name: 'sign-in', path: '/sign-in' },
  { name: 'sign-in-phone', path: '/sign-in', prepare: secondTab },
  {
    name: 'sign-in-code',
    path: '/sign-in',
    async prepare(page) {
      await secondTab(page);
      await page.locator('[name=phone]').fill('09123456789');
      await submit(page);
      await page.locator('[name=otp]').waitFor();
    },
  },
  {
    name: 'sign-in-refused',
    path: '/sign-in',
    async prepare(page) {
      await page.locator('[name=identifier]').fill('nobody@example.com');
      await page.locator('[name=password]').fill('not the password');
      await submit(page);
      await page.getByRole('alert').waitFor();
    },
  },
  { name: 'register', path: '/register' },
  {
    name: 'register-refused',
    path: '/register',
    async prepare(page) {
      await page.locator('[name=email]').fill('not an address');
      await page.locator('[name=password]').fill('123');
      await submit(page);
      await page.locator('[aria-invalid]').first().waitFor();
    },
  },
  { name: 'forgot', path: '/forgot' },
  { name: 'reset', path: '/reset?token=abc' },
  { name: 'reset-broken', path: '/reset' },
  { name: 'verify-email', path: '/verify-email?token=abc' },
  { name: 'account', path: '/account', signedIn: true },
  {
    name: 'account-dialog',
    path: '/account',
    signedIn: true,
    async prepare(page) {
      await page.locator('#password .button').click();
      await page.locator('dialog').waitFor();
    },
  },
  { name: 'admin-users', path: '/admin/users', signedIn: true },
  {
    name: 'admin-user',
    path: '/admin/users',
    signedIn: true,
    async prepare(page) {
      await page.locator('tbody a').nth(1).click();
      await page.locator('#activity li').first().waitFor();
    },
  },
  {
    name: 'admin-user-dialog',
    path: '/admin/users',
    signedIn: true,
    async prepare(page) {
      await page.locator('tbody a').nth(1).click();
      await page.locator('#facts .button').click();
      await page.locator('dialog').waitFor();
    },
  },
  { name: 'admin-roles', path: '/admin/roles', signedIn: true },
  {
    name: 'admin-role-dialog',
    path: '/admin/roles',
    signedIn: true,
    async prepare(page) {
      await page.locator('main .button.primary').click();
      await page.locator('dialog').waitFor();
    },
  },
  { name: 'admin-events', path: '/admin/events', signedIn: true },
  {
    name: 'admin-stats',
    path: '/admin/stats',
    signedIn: true,
    async prepare(page) {
      await page.locator('.u-wrap').last().waitFor();
      await page.locator('summary').first().click();
    },
  },
];

t.test('every page in both languages, light and dark, wide and narrow', async (t) => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const app = await served(t, { env: { OTP_TEST_NUMBERS: '09123456789:123456', OTP_RESEND: '30' } });
  const boss = await populate(app);
  const guest = await visitor(await withBrowser(t), app, { viewport: WIDE, colorScheme: 'light' });
  const signedIn = await visitor(guest.context.browser()!, app, { viewport: WIDE, colorScheme: 'light' });
  await signIn(signedIn, boss.email);

  for (const view of VIEWS) {
    await t.test(view.name, async (t) => {
      const page = await (view.signedIn ? signedIn : guest).open(view.path);
      await page.locator('main h1').waitFor();
      await settle(page);
      await view.prepare?.(page);
      await settle(page);
      await lookAt(t, page, view.name);
      await page.close();
    });
  }
  t.strictSame(
    [...guest.complaints, ...signedIn.complaints],
    [],
    'nothing in the console, no violated policy',
  );
});

async function signIn({ open }: Visitor, email: string): Promise<void> {
  const page = await open('/sign-in');
  await page.locator('[name=identifier]').fill(email);
  await page.locator('[name=password]').fill(PASSWORD);
  await submit(page);
  await page.waitForURL('**/account');
  await page.close();
}

/** A service where something has happened. */
async function populate(app: Served) {
  const boss = await superuser(app, { first_name: 'Sara', last_name: 'Karimi', username: 'sara' });
  await signUp(app, { first_name: 'علی', last_name: 'رضایی', username: 'ali.rezaei' });
  for (const name of ['maryam', 'john', 'lena']) await signUp(app, { username: `${name}${process.pid}` });
  const login = (password: string) =>
    app.send({ method: 'POST', url: '/api/auth/login', payload: { email: boss.email, password } });
  for (const password of [PASSWORD, 'wrong password', PASSWORD, 'wrong password']) await login(password);
  await app.app.events.flush();
  return boss;
}

/** Until nothing is being loaded or sent. */
async function settle(page: Page): Promise<void> {
  await page.locator('.bone, [aria-disabled=true]').first().waitFor({ state: 'detached' });
}

async function lookAt(t: Test, page: Page, name: string): Promise<void> {
  const dialog = page.locator('dialog');
  const shot = { fullPage: (await dialog.count()) === 0, type: 'jpeg', quality: 90 } as const;
  for (const locale of ['en', 'fa']) {
    for (const theme of ['light', 'dark']) {
      await show(page, locale, theme);
      // Only colours depend on the theme, and they do not on the language.
      const rules = (locale === 'en') === (theme === 'light') ? 'all' : 'colours';
      t.strictSame(
        await findBarriers(page, rules),
        [],
        `${locale}, ${theme}: nothing stands in anybody's way`,
      );
      await page.screenshot({
        path: join(SCREENSHOTS, `${name}-${locale}-${theme}.jpg`),
        ...shot,
      });
    }
    await page.setViewportSize(NARROW);
    const overflow = await page.evaluate('document.documentElement.scrollWidth - innerWidth');
    t.ok(Number(overflow) <= 0, `${locale}: no scrolling sideways at 360 px (${overflow})`);
    await page.screenshot({ path: join(SCREENSHOTS, `${name}-${locale}-360.jpg`), ...shot });
    await page.setViewportSize(WIDE);
  }
  await show(page, 'en', 'light');
}

/** As the buttons of the page do, which a dialog keeps from being pressed. */
async function show(page: Page, locale: string, theme: string): Promise<void> {
  await page.evaluate(`{
    const buttons = [...document.querySelectorAll('.top-end .button')];
    const language = buttons.find((button) => button.lang);
    if (document.documentElement.lang !== '${locale}') language.click();
    document.documentElement.dataset.theme = '${theme}';
  }`);
  await page.locator(`html[lang=${locale}]`).waitFor();
}

t.test('what happens has a name in both languages', async (t) => {
  for (const locale of ['en', 'fa'] as const) {
    t.strictSame(Object.keys(eventNames[locale]).sort(), [...EVENT_TYPES].sort());
    t.strictSame(Object.keys(endReasonNames[locale]).sort(), [...END_REASONS].sort());
  }
});

t.test('the documentation keeps to its own policy', async (t) => {
  const app = await served(t);
  const { open, complaints } = await visitor(await withBrowser(t), app);
  const page = await open('/docs');
  await page.getByText('/api/auth/login', { exact: true }).first().waitFor();
  t.match(await page.title(), /Latchkey API/);
  t.strictSame(complaints, []);
});

t.test('signing in is light, and nothing moves by itself', async (t) => {
  const app = await served(t);
  const { email } = await signUp(app);
  const guest = await visitor(await withBrowser(t), app);
  await guest.context.addInitScript(`
    globalThis.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts.push(entry.value);
    }).observe({ type: 'layout-shift', buffered: true });
  `);
  const sizes = new Map<string, number>();
  guest.context.on('response', async (response) => {
    const { pathname } = new URL(response.url());
    sizes.set(pathname, gzipSync(await response.body().catch(() => '')).length);
  });
  const page = await guest.open('/sign-in');
  await page.locator('h1').waitFor();
  await page.waitForLoadState('networkidle');
  const loaded = [...sizes];
  const total = loaded.reduce((sum, [, size]) => sum + size, 0);
  t.ok(total > 10_000 && total < 60_000, `${total} bytes in ${loaded.length} files`);
  t.notOk(
    loaded.some(([path]) => /admin|account|charts/.test(path)),
    'and brings nothing else along',
  );
  t.ok(Number(await page.evaluate('shifts.reduce((sum, shift) => sum + shift, 0)')) < 0.01);
  await page.close();

  await signIn(guest, email);
  const account = await guest.open('/account');
  await settle(account);
  await account.locator('#activity li').first().waitFor();
  const shifted = Number(await account.evaluate('shifts.reduce((sum, shift) => sum + shift, 0)'));
  t.ok(shifted < 0.1, `the account moves by ${shifted}`);
});
