import t from 'tap';
import { LOCALES, type Locale } from '../../src/contract/messages.js';
import type { EmailPurpose } from '../../src/delivery/email.js';
import { COMMON_EMAIL_TEXTS, EMAIL_TEXTS } from '../../src/delivery/email-texts.js';
import { type EmailContent, writeEmail } from '../../src/delivery/write-email.js';

const LINK = new URL('https://auth.example.com/reset?token=Zk3vQm9s-T0a_&next=%7Bapp%7D&x={lifetime}');
const TICKETS = ['verify', 'reset', 'email_change'] as const;
const PURPOSES = Object.keys(EMAIL_TEXTS.en) as EmailPurpose[];
const NOTICES = PURPOSES.filter((each): each is Exclude<EmailPurpose, (typeof TICKETS)[number]> =>
  TICKETS.every((ticket) => ticket !== each),
);

/** Every e-mail there is, in one language. */
const allOf = (locale: Locale, more: { app?: string } = {}): EmailContent[] => [
  ...TICKETS.map((purpose) => ({ locale, purpose, link: LINK, lifetime: 1800, ...more })),
  ...NOTICES.flatMap((purpose) => [
    { locale, purpose, ...more },
    { locale, purpose, link: LINK, ...more },
  ]),
];

const placeholders = (text: unknown): string[] =>
  [...JSON.stringify(text).matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name).sort();

/** What an e-mail shows, without tags and with entities read. */
const shown = (html: string): string =>
  html
    .replace(/<!--[\s\S]*?-->|<head>[\s\S]*?<\/head>|<[^>]*>/g, ' ')
    .replace(/&lt;/g, '<')
    .replace(/&gt;/g, '>')
    .replace(/&quot;/g, '"')
    .replace(/&#39;/g, "'")
    .replace(/&amp;/g, '&')
    .replace(/\s+/g, ' ');

t.test('both languages say the same', (t) => {
  t.strictSame(PURPOSES.length, 7);
  t.strictSame(Object.keys(EMAIL_TEXTS).sort(), [...LOCALES].sort());
  const { en, fa } = EMAIL_TEXTS;
  t.strictSame(Object.keys(fa), Object.keys(en));
  for (const purpose of PURPOSES) {
    const fields = Object.keys(en[purpose]) as (keyof (typeof en)[EmailPurpose])[];
    t.strictSame(Object.keys(fa[purpose]), fields);
    for (const field of fields) {
      const [english, persian] = [en[purpose][field], fa[purpose][field]];
      t.equal(typeof persian, typeof english, `${purpose}.${field}`);
      t.strictSame(placeholders(persian ?? ''), placeholders(english ?? ''), `${purpose}.${field}`);
    }
    t.equal(fa[purpose].body.length, en[purpose].body.length);
    t.match(en[purpose].subject, '{app}', 'an inbox shows who it is from');
    t.strictSame(placeholders(en[purpose].title), []);
  }
  t.strictSame(placeholders(COMMON_EMAIL_TEXTS.fa), placeholders(COMMON_EMAIL_TEXTS.en));
  t.end();
});

t.test('Persian is written as it should be', (t) => {
  const all = JSON.stringify([EMAIL_TEXTS.fa, COMMON_EMAIL_TEXTS.fa], (key, value) =>
    key === 'direction' ? undefined : value,
  );
  t.notMatch(all, /[\u064a\u0643\u0660-\u0669]/, 'no Arabic yeh, kaf or digits');
  t.notMatch(all, /[\u0600-\u06ff] ?[,;?]/, 'no Latin punctuation');
  t.notMatch(
    all,
    / (?:ها|های)(?![\u0600-\u06ff])|(?<![\u0600-\u06ff])(?:می|نمی) /,
    'no space for a half-space',
  );
  t.notMatch(all, / [،؛:.]|[،؛](?! )/, 'spaces behind signs, not before them');
  for (const content of allOf('fa')) {
    const { subject, text } = writeEmail(content);
    for (const line of [subject, ...text.split('\n')].filter(Boolean)) {
      t.match(
        line,
        /^(?:[\u0621-\u06cc]|https:)/,
        'what shows plain text takes the direction from the beginning',
      );
    }
  }
  t.end();
});

t.test('an e-mail says everything twice', (t) => {
  for (const locale of LOCALES) {
    for (const content of allOf(locale)) {
      const { purpose } = content;
      const { subject, text, html } = writeEmail(content);
      const words = EMAIL_TEXTS[locale][purpose];
      const name = `${locale} ${purpose}`;
      t.match(subject, 'Latchkey', name);
      t.notMatch(subject, /\n/);
      const [title, ...rest] = text.split('\n\n');
      t.equal(title, words.title);
      const seen = shown(html);
      for (const line of [words.title, ...rest.flatMap((each) => each.split('\n'))]) {
        // The text has a label where the HTML has a button.
        const paragraph = line.replace(`${words.button}:`, words.button ?? '');
        t.ok(seen.replace(/\s/g, '').includes(paragraph.replace(/\s/g, '')), `${name}: ${paragraph}`);
      }
      for (const part of [text, seen]) {
        t.match(part.replace(/\s+/g, ''), words.ifNotYou.replace('{app}', 'Latchkey').replace(/\s+/g, ''));
        const hasLink = content.link !== undefined && words.button !== undefined;
        t.equal(part.includes(LINK.href), hasLink);
        t.equal(part.includes('Latchkey'), true);
        if ('lifetime' in content) t.match(part, locale === 'en' ? '30 minutes' : '۳۰ دقیقه');
        t.notMatch(part.replaceAll(LINK.href, ''), /\{\w+\}|undefined|false/, 'everything is filled in');
      }
      t.match(seen, words.preheader.replace(/\{\w+\}.*/, ''));
    }
  }
  t.end();
});

t.test('what to do is said before the button where it is urgent', (t) => {
  const order = (purpose: EmailPurpose, sign: string) => {
    const { text } = writeEmail({ locale: 'en', purpose, link: LINK, lifetime: 60 } as EmailContent);
    return Math.sign(text.indexOf(sign) - text.indexOf(LINK.href));
  };
  t.equal(order('password_changed', 'If that was not you'), -1);
  t.equal(order('phone_changed', 'If that was not you'), -1);
  t.equal(order('reset', 'If that was not you'), 1);
  t.equal(order('already_registered', 'If that was not you, there'), 1);
  t.equal(order('reset', 'expires in'), 1);
  t.end();
});

t.test('HTML that mail clients can show, and that asks nobody', (t) => {
  for (const locale of LOCALES) {
    for (const content of allOf(locale)) {
      const { html } = writeEmail(content);
      const direction = locale === 'fa' ? 'rtl' : 'ltr';
      t.match(html, `<html lang="${locale}" dir="${direction}">`);
      t.match(
        html,
        `<div class="page frame" lang="${locale}" dir="${direction}"`,
        'also where only the body is kept',
      );
      t.match(html, '<meta name="color-scheme" content="light dark">');
      t.match(html, 'prefers-color-scheme: dark');
      t.notMatch(
        html,
        /<(?:img|script|link|iframe|form|object|video)\b|url\(|@import|@font-face|src=|\bon\w+=/i,
      );
      const addresses = [...html.matchAll(/(?:href|src|action)\s*=\s*["']?([^"'\s>]+)/g)].map(
        ([, url]) => url,
      );
      const link = LINK.href.replaceAll('&', '&amp;');
      const words = EMAIL_TEXTS[locale][content.purpose];
      t.strictSame(
        addresses,
        content.link && words.button ? [link, link] : [],
        'one button, and its address',
      );
      t.equal(html.match(/class="button"/g)?.length ?? 0, addresses.length / 2);
      t.notMatch(html.replace(/<!--[\s\S]*?-->/g, ''), /<table/, 'tables only for Outlook');
      t.match(html, /^<!doctype html>\n/);
      const stack: string[] = [];
      for (const [, end, tag = ''] of html.matchAll(/<(\/?)([a-z]+[1-6]?)\b[^>]*>/g)) {
        if (tag === 'meta') continue;
        if (end) t.equal(stack.pop(), tag);
        else stack.push(tag);
      }
      t.strictSame(stack, [], 'what is opened is closed');
      t.ok(Buffer.byteLength(html) < 20_000, 'Gmail cuts off what is above 102 KB');
    }
  }
  t.end();
});

t.test('what is filled in stays text', (t) => {
  const app = `</bdi><script>alert("1")</script>&amp;'{lifetime}{app}$&`;
  for (const locale of LOCALES) {
    for (const content of allOf(locale, { app })) {
      const { html, text, subject } = writeEmail(content);
      t.notMatch(html, /<script|alert\("/);
      t.ok(shown(html).includes(app));
      t.ok(text.includes(app));
      t.ok(subject.includes(app));
    }
  }
  const quoting = new URL(`https://auth.example.com/a?b="><script>'&c=<d>`);
  const { html, text } = writeEmail({ locale: 'en', purpose: 'verify', link: quoting, lifetime: 60 });
  t.notMatch(html, /<script|=<d>/);
  t.equal(html.split(`href="${quoting.href.replaceAll('&', '&amp;')}"`).length, 3);
  t.ok(text.includes(`\n${quoting.href}\n`), 'alone on its line');
  t.end();
});

t.test('how long a link is good for', (t) => {
  const said = (locale: Locale, lifetime: number): string | undefined => {
    const { text } = writeEmail({ locale, purpose: 'reset', link: LINK, lifetime });
    return (locale === 'en' ? /expires in (.*)\./ : /و تا (.*) دیگر/).exec(text)?.[1];
  };
  for (const [seconds, en, fa] of [
    [30, 'one minute', 'یک دقیقه'],
    [119, 'one minute', 'یک دقیقه'],
    [900, '15 minutes', '۱۵ دقیقه'],
    [3599, '59 minutes', '۵۹ دقیقه'],
    [3600, 'one hour', 'یک ساعت'],
    [5400, '90 minutes', '۹۰ دقیقه'],
    [7200, '2 hours', '۲ ساعت'],
    [9000, '2 hours', '۲ ساعت'],
    [86_400, '24 hours', '۲۴ ساعت'],
    [172_800, '2 days', '۲ روز'],
    [604_800, '7 days', '۷ روز'],
  ] as const) {
    t.strictSame([said('en', seconds), said('fa', seconds)], [en, fa], `${seconds} s`);
  }
  t.end();
});
