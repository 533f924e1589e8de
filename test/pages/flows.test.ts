import { readFileSync } from 'node:fs';
import type { Browser, Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { type Mailboxes, mailboxes } from '../http/mailbox.js';
import { freshNumber, type Phones, phones, UNLIMITED } from '../http/phones.js';
import { PASSWORD, STORES, signUp } from '../support/app.js';
import { type Served, served, type Visitor, visitor, withBrowser } from './browser.js';
import { superuser } from './scene.js';

interface Scene extends Served {
  browser: Browser;
  mail: Mailboxes;
  phones: Phones;
  guests: Visitor[];
}

const LATER = 16 * 60_000;

type Flow = (t: Test, scene: Scene) => Promise<void>;

const FLOWS: Record<string, Flow> = {
  'an account by e-mail, from its beginning to its end': byEmail,
  'an account by phone': byPhone,
  'several devices, several tabs': devices,
};

/** What the stores have little part in. */
const MORE: Record<string, Flow> = {
  'a forgotten password': forgotten,
  'what staff do': staff,
  'time passes, and the network goes': trouble,
  'where one goes on to': next,
  'by keyboard, from right to left': keyboard,
};

for (const stores of STORES) {
  t.test(stores, async (t) => {
    const [mail, phone] = [await mailboxes(t), await phones(t)];
    const env = {
      ...mail.env,
      ...phone.env,
      ...UNLIMITED,
      OTP_RESEND: '30',
      EMAIL_VERIFICATION: 'optional',
      RATE_LIMIT_PASSWORD_RESET: 'off',
    };
    const app = await served(t, { stores, env });
    const scene: Scene = { ...app, browser: await withBrowser(t), mail, phones: phone, guests: [] };
    for (const [name, flow] of Object.entries(stores === 'embedded' ? { ...FLOWS, ...MORE } : FLOWS)) {
      await t.test(name, async (t) => {
        scene.guests.length = 0;
        await flow(t, scene);
        const complaints = scene.guests.flatMap((guest) => guest.complaints);
        t.strictSame(complaints, [], 'nothing in the console, no violated policy');
      });
    }
  });
}

let people = 0;

function freshName(): string {
  people += 1;
  return `visitor${people}x${process.pid}`;
}

/** A browser of their own for whoever comes. */
async function comes(t: Test, scene: Scene): Promise<Visitor> {
  const guest = await visitor(scene.browser, scene);
  scene.guests.push(guest);
  t.teardown(() => guest.context.close());
  return guest;
}

const press = (page: Page, name: string) => page.getByRole('button', { name, exact: true }).click();
const type = (page: Page, name: string, text: string) => page.locator(`[name=${name}]`).last().fill(text);
const says = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor();
const focusIsOn = (page: Page, name: string) => page.locator(`[name=${name}]:focus`).waitFor();
const heading = (page: Page, name: string) => page.getByRole('heading', { name }).waitFor();

async function signIn(page: Page, identifier: string, password = PASSWORD): Promise<void> {
  await type(page, 'identifier', identifier);
  await type(page, 'password', password);
  await press(page, 'Sign in');
}

/** Somebody with an account, signed in in a browser of their own. */
async function signedIn(t: Test, scene: Scene, email?: string) {
  const address = email ?? (await signUp(scene, { username: freshName() })).email;
  const guest = await comes(t, scene);
  const page = await guest.open('/sign-in');
  await signIn(page, address);
  await page.waitForURL('**/account');
  await page.locator('#devices li').first().waitFor();
  return { ...guest, page, email: address };
}

async function byEmail(t: Test, scene: Scene): Promise<void> {
  const { open } = await comes(t, scene);
  const name = freshName();
  const email = `${name}@example.com`;
  const page = await open('/');
  await page.waitForURL('**/sign-in');

  await page.getByRole('link', { name: 'Create an account' }).click();
  await page.waitForURL('**/register');
  await type(page, 'email', email);
  await type(page, 'password', 'password');
  await press(page, 'Create an account');
  await says(page, 'This password is too common.');
  const field = page.locator('[name=password]');
  t.equal(await field.getAttribute('aria-invalid'), 'true');
  await focusIsOn(page, 'password');
  const described = String(await field.getAttribute('aria-describedby')).split(' ');
  t.match(await page.locator(`[id="${described.at(-1)}"]`).textContent(), /too common/, 'and is told by it');

  await type(page, 'password', PASSWORD);
  await page.getByRole('button', { name: 'Show password' }).click();
  t.equal(await field.getAttribute('type'), 'text');
  await type(page, 'first_name', 'Nilufar');
  await type(page, 'username', name);
  await press(page, 'Create an account');
  await page.waitForURL('**/account');
  await heading(page, 'Nilufar');
  await says(page, 'Not confirmed');

  const { link } = await scene.mail.mail(email);
  t.equal(link?.origin, scene.url);
  const confirming = await open(String(link));
  t.equal(new URL(confirming.url()).search, '', 'the token is not left in the address bar');
  await press(confirming, 'Confirm address');
  await heading(confirming, 'Address confirmed');
  await confirming.close();
  await page.reload();
  await says(page, 'Confirmed');

  await type(page, 'first_name', 'Nilu');
  await press(page, 'Save');
  await says(page, 'Saved.');
  await page.reload();
  await heading(page, 'Nilu');
  await says(page, 'Profile changed');

  const [download] = await Promise.all([page.waitForEvent('download'), press(page, 'Download my data')]);
  t.equal(JSON.parse(readFileSync(await download.path(), 'utf8')).user.email, email);

  await page.locator('.sign-out').click();
  await page.waitForURL('**/sign-in');
  await signIn(page, name, 'wrong password');
  await says(page, 'The login details are not right.');
  await signIn(page, name);
  await page.waitForURL('**/account');

  await press(page, 'Delete account');
  await type(page, 'password', PASSWORD);
  await press(page, 'Delete for ever');
  await page.waitForURL('**/sign-in**');
  await says(page, 'the account was deleted');
  await signIn(page, email);
  await says(page, 'The login details are not right.');
}

async function byPhone(t: Test, scene: Scene): Promise<void> {
  const { open } = await comes(t, scene);
  const { typed, e164 } = freshNumber();
  const page = await open('/register');
  await page.getByRole('tab', { name: 'Text message' }).click();
  await type(page, 'phone', '12');
  await press(page, 'Send code');
  await page.locator('[name=phone][aria-invalid]').waitFor();
  await type(page, 'phone', typed);
  await press(page, 'Send code');
  const code = page.locator('[name=otp]');
  await code.waitFor();
  t.equal(await code.getAttribute('autocomplete'), 'one-time-code');
  await focusIsOn(page, 'otp');
  await says(page, /Another code in 0:\d\d/);
  const { code: sent } = await scene.phones.newest(e164, 1);
  await type(page, 'otp', String((Number(sent) + 1) % 1e6).padStart(6, '0'));
  await press(page, 'Create an account');
  await page.locator('[name=otp][aria-invalid], [role=alert]').first().waitFor();
  await type(page, 'otp', sent);
  await type(page, 'last_name', 'Phone');
  await press(page, 'Create an account');
  await page.waitForURL('**/account');
  await says(page, e164);

  await page.locator('.sign-out').click();
  await page.waitForURL('**/sign-in');
  await page.getByRole('tab', { name: 'Text message' }).click();
  await type(page, 'phone', e164);
  await press(page, 'Send code');
  const again = await scene.phones.newest(e164, 2);
  await page.locator('[name=otp]').waitFor();
  await type(page, 'otp', again.code);
  await page.waitForURL('**/account');
  t.pass('the last digit is enough');

  await page.locator('.sign-out').click();
  await page.getByRole('link', { name: 'Forgot your password?' }).click();
  await page.getByRole('tab', { name: 'Text message' }).click();
  await type(page, 'phone', typed);
  await press(page, 'Send code');
  const reset = await scene.phones.newest(e164, 3);
  await type(page, 'otp', reset.code);
  await type(page, 'new_password', PASSWORD);
  await press(page, 'Set new password');
  await heading(page, 'Your password has been changed');
  await page.getByRole('link', { name: 'Sign in' }).click();
  await signIn(page, typed);
  await page.waitForURL('**/account');
}

async function forgotten(t: Test, scene: Scene): Promise<void> {
  const { email } = await signUp(scene);
  await scene.mail.mail(email);
  const { open } = await comes(t, scene);
  const page = await open('/forgot');
  await type(page, 'email', email);
  await press(page, 'Send link');
  await heading(page, 'Check your mail');
  const token = await scene.mail.token(email, 2);
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(`/reset?token=${token}`);
  await heading(page, 'Choose a new password');
  t.equal(new URL(page.url()).search, '', 'the token is not left in the address bar');
  await type(page, 'new_password', '123');
  await press(page, 'Set new password');
  await page.locator('[name=new_password][aria-invalid]').waitFor();
  await type(page, 'new_password', 'another good password');
  await press(page, 'Set new password');
  await heading(page, 'Your password has been changed');
  t.equal(requests.filter((url) => url.includes(token)).length, 1, 'no other request names it');
  await page.getByRole('link', { name: 'Sign in' }).click();
  await signIn(page, email, 'another good password');
  await page.waitForURL('**/account');

  await page.goto(`/reset?token=${token}`);
  await type(page, 'new_password', 'yet another password');
  await press(page, 'Set new password');
  await heading(page, 'This link does not work');
}

async function devices(t: Test, scene: Scene): Promise<void> {
  const laptop = await signedIn(t, scene);
  const phone = await signedIn(t, scene, laptop.email);

  await laptop.page.reload();
  const open = laptop.page.locator('#devices li');
  await open.nth(1).waitFor();
  const last = open.nth((await open.count()) - 1);
  await open.locator('.button').first().click();
  await says(laptop.page, /has been signed out/);
  await last.waitFor({ state: 'detached' });
  await laptop.page.locator('#activity').getByText('Device signed out').first().waitFor();
  await press(phone.page, 'Save');
  await phone.page.waitForURL('**/sign-in?next=**');
  await says(phone.page, 'this device was signed out from another one');
  await signIn(phone.page, laptop.email);
  await phone.page.waitForURL('**/account');

  const other = await laptop.open('/account');
  await heading(other, 'Profile');
  await press(laptop.page, 'Change password');
  await focusIsOn(laptop.page, 'current_password');
  await type(laptop.page, 'current_password', PASSWORD);
  await type(laptop.page, 'new_password', 'another good password');
  await laptop.page.locator('dialog').getByRole('button', { name: 'Change password' }).click();
  await says(laptop.page, 'Your password has been changed.');
  await press(other, 'Save');
  await says(other, 'Saved.');
  await press(phone.page, 'Save');
  await says(phone.page, 'the password was changed');

  await laptop.page.locator('.sign-out').click();
  await other.waitForURL('**/sign-in**');
  await says(other, 'you signed out in another tab');

  await signIn(other, laptop.email, 'another good password');
  await other.waitForURL('**/account');
  await laptop.page.waitForURL('**/account');
  t.pass('signing in is for all tabs too');
  await press(other, 'Sign out everywhere');
  await other.locator('dialog').getByRole('button', { name: 'Sign out everywhere' }).click();
  await other.waitForURL('**/sign-in**');
  await laptop.page.waitForURL('**/sign-in**');
}

async function staff(t: Test, scene: Scene): Promise<void> {
  const name = freshName();
  const somebody = await signUp(scene, { username: name, first_name: 'Omid' });
  const visit = await signedIn(t, scene, somebody.email);
  await visit.page.goto('/admin/users');
  await heading(visit.page, 'Nothing here is for you');

  const boss = await superuser(scene);
  const { page } = await signedIn(t, scene, boss.email);
  await page.getByRole('link', { name: 'Administration' }).click();
  await type(page, 'q', name);
  await press(page, 'Search');
  await page.locator('tbody tr').nth(1).waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Omid' }).click();
  await heading(page, 'Omid');
  await page.locator('#sessions li').nth(1).waitFor();

  await press(page, 'Edit');
  const dialog = page.locator('dialog');
  await dialog.locator('[name=last_name]').fill('Karimi');
  await dialog.locator('[name=email]').fill('not an address');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.locator('[name=email][aria-invalid]').waitFor();
  const email = `${name}@elsewhere.example`;
  await dialog.locator('[name=email]').fill(email);
  await dialog.getByRole('button', { name: 'Save' }).click();
  await heading(page, 'Omid Karimi');
  await page.locator('#facts').getByText(email).waitFor();
  await visit.page.goto('/account');
  await visit.page.waitForURL('**/sign-in?next=**');
  await signIn(visit.page, email);
  await visit.page.waitForURL('**/account');
  await heading(visit.page, 'Omid Karimi');

  await page.getByLabel('Staff: may use the administration').check();
  await page.getByLabel('Role').selectOption('admin');
  await press(page, 'Save');
  await says(page, 'Saved.');
  await visit.page.goto('/admin/roles');
  await heading(visit.page, 'viewer');

  await page.locator('#sessions').getByRole('button', { name: 'Log out everywhere' }).click();
  await page.locator('dialog').getByRole('button', { name: 'Log out everywhere' }).click();
  await says(page, 'Not signed in anywhere.');
  await visit.page.goto('/account');
  await says(visit.page, 'an administrator ended the session');

  await press(page, 'Disable account');
  await page.locator('dialog').getByRole('button', { name: 'Disable account' }).click();
  await page.getByRole('button', { name: 'Enable account' }).waitFor();
  await signIn(visit.page, email);
  await visit.page.getByRole('alert').waitFor();
  await press(page, 'Enable account');
  await page.getByRole('button', { name: 'Disable account' }).waitFor();
  await signIn(visit.page, email);
  await visit.page.waitForURL('**/account');

  const role = `role${process.pid}`;
  await page.getByRole('link', { name: 'Roles' }).click();
  await press(page, 'New role');
  await type(page, 'name', role);
  await page.getByLabel('users.read').check();
  await type(page, 'others', 'users.nonsense');
  await press(page, 'Save');
  await page.locator('dialog').getByText('This value is not allowed.').waitFor();
  await type(page, 'others', 'orders:write');
  await press(page, 'Save');
  await heading(page, role);
  await says(page, 'orders:write');
  await press(page, `Delete the role ${role}`);
  await page.locator('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('heading', { name: role, exact: true }).waitFor({ state: 'detached' });

  await page.getByRole('link', { name: 'Events' }).click();
  await page.getByLabel('Type').selectOption('account_disabled');
  await type(page, 'user', somebody.user.id);
  await press(page, 'Filter');
  await page.locator('.list > li').nth(1).waitFor({ state: 'detached' });
  t.match(await page.locator('.list > li').textContent(), /Account disabled/);

  await page.getByRole('link', { name: 'Statistics' }).click();
  await page.locator('.u-wrap canvas').first().waitFor();
  await page.getByLabel('Range').selectOption('month');
  await page.locator('summary').first().click();
  const label = String(await page.getByRole('img').first().getAttribute('aria-label'));
  t.match(label, /^Sign-ins and failures: Signed in [1-9]\d*, Failed \d+ in all\.$/);
}

async function trouble(t: Test, scene: Scene): Promise<void> {
  const { page, context, open } = await signedIn(t, scene);
  const refreshes: string[] = [];
  context.on('request', (request) => {
    if (request.url().endsWith('/auth/refresh')) refreshes.push(request.url());
  });
  scene.advance(LATER);
  await type(page, 'first_name', 'Later');
  await press(page, 'Save');
  await says(page, 'Saved.');
  t.equal(refreshes.length, 1, 'the token was renewed on the way, once');

  const other = await open('/account');
  await heading(other, 'Later');
  scene.advance(LATER);
  await Promise.all([press(page, 'Save'), press(other, 'Save')]);
  await Promise.all([says(page, 'Saved.'), says(other, 'Saved.')]);
  t.ok(
    page.url().endsWith('/account') && other.url().endsWith('/account'),
    'two tabs that race stay signed in',
  );
  await other.close();

  await context.setOffline(true);
  await says(page, 'You are offline.');
  await type(page, 'first_name', 'Offline');
  await press(page, 'Save');
  await says(page, 'The service cannot be reached.');
  await context.setOffline(false);
  await page.getByText('You are offline.').waitFor({ state: 'detached' });
  t.equal(await page.locator('[name=first_name]').inputValue(), 'Offline', 'what was typed is still there');
  await press(page, 'Save');
  await heading(page, 'Offline');

  // The part of the script that draws it does not come.
  await context.route('**/assets/account-page-*', (route) => route.abort());
  const broken = await open('/account');
  await says(broken, 'The service cannot be reached.');
  await context.unroute('**/assets/account-page-*');
  await press(broken, 'Try again');
  await heading(broken, 'Offline');
  await broken.close();

  scene.advance(8 * 86_400_000);
  await press(page, 'Save');
  await page.waitForURL('**/sign-in?next=**');
  await says(page, 'You have been signed out');
}

async function next(t: Test, scene: Scene): Promise<void> {
  const { email } = await signUp(scene);
  const { open } = await comes(t, scene);
  const own = `${scene.url}/account`;
  for (const [wanted, leads] of [
    ['/openapi.json?x=1#y', `${scene.url}/openapi.json?x=1`],
    ['/account?tab=x', `${own}?tab=x`],
    ['https://evil.example/', own],
    ['//evil.example/', own],
    ['/\\evil.example/', own],
    ['/\t/evil.example/', own],
    ['/.//evil.example/', own],
    ['/x/..//evil.example/', own],
    ['/%2e/\\evil.example/', own],
    ['javascript:alert(1)', own],
  ] as const) {
    const page = await open(`/sign-in?next=${encodeURIComponent(wanted)}`);
    await signIn(page, email);
    await page.waitForURL((url) => url.pathname !== '/sign-in');
    t.equal(
      page
        .url()
        .replace(/#.*$/, '')
        .replace(/\/static\/index\.html$/, ''),
      leads,
      wanted,
    );
    await page.goto('/account');
    await page.locator('.sign-out').click();
    await page.waitForURL('**/sign-in');
    await page.close();
  }
  const page = await open('/admin/events');
  await page.waitForURL('**/sign-in?next=**');
  await signIn(page, email);
  await page.waitForURL('**/admin/events');

  const elsewhere = await open(`http://127.0.0.1:${scene.port}/account`);
  await heading(elsewhere, 'Profile');
  t.equal(elsewhere.url(), own, 'this machine has one name for browsers');
}

async function keyboard(t: Test, scene: Scene): Promise<void> {
  const { open } = await comes(t, scene);
  const page = await open('/sign-in');
  await page.getByRole('button', { name: 'فارسی' }).click();
  await page.reload();
  await page.getByRole('heading', { name: 'ورود' }).waitFor();
  t.equal(await page.locator('html').getAttribute('dir'), 'rtl', 'it is remembered');
  t.equal(await page.locator('html').getAttribute('lang'), 'fa');

  await page.keyboard.press('Tab');
  t.equal(await page.evaluate('document.activeElement.className'), 'skip');
  await page.getByRole('tab', { name: 'رمز عبور' }).focus();
  await page.keyboard.press('ArrowLeft');
  t.equal(
    await page.getByRole('tab', { name: 'پیامک' }).getAttribute('aria-selected'),
    'true',
    'left is onwards',
  );
  await page.keyboard.press('ArrowRight');
  await type(page, 'identifier', 'nobody@example.com');
  await type(page, 'password', 'wrong password');
  await page.keyboard.press('Enter');
  await says(page, 'اطلاعات ورود');
  t.pass('what the server says is in the language of the page');

  await page.getByRole('button', { name: 'رنگ‌های تیره' }).click();
  await page.reload();
  t.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
}
