import type { Locale } from '../contract/messages.js';
import { readChoice, storeChoice } from './choices.js';
import { createStore, useStore } from './store.js';

const readPage = (): Locale => (document.documentElement.lang === 'fa' ? 'fa' : 'en');

const locale = createStore<Locale>(readChoice('locale') ?? readPage());

export const getLocale = (): Locale => locale.get();
export const useLocale = (): Locale => useStore(locale);

export function setLocale(next: Locale): void {
  storeChoice('locale', next);
  document.documentElement.lang = next;
  document.documentElement.dir = next === 'fa' ? 'rtl' : 'ltr';
  locale.set(next);
}

/** The texts of a page in the language of the reader. */
export const useTexts = <Texts>(texts: Record<Locale, Texts>): Texts => texts[useLocale()];

/** Puts values in place of `{names}`. */
export const fill = (text: string, values: Record<string, string>): string =>
  text.replace(/\{(\w+)\}/g, (placeholder, name: string) => values[name] ?? placeholder);

/** With the digits, and the calendar, of the language. */
const INTL: Record<Locale, string> = { en: 'en', fa: 'fa-IR' };

export const formatNumber = (value: number): string => value.toLocaleString(INTL[getLocale()]);

const memo = new Map<string, Intl.DateTimeFormat>();

function dateFormat(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const tag = INTL[getLocale()];
  const key = tag + JSON.stringify(options);
  const known = memo.get(key) ?? new Intl.DateTimeFormat(tag, options);
  memo.set(key, known);
  return known;
}

export const formatDate = (
  instant: string | number,
  options: Intl.DateTimeFormatOptions = { dateStyle: 'medium' },
): string => dateFormat(options).format(new Date(instant));

export const formatTime = (instant: string | number): string =>
  formatDate(instant, { dateStyle: 'medium', timeStyle: 'short' });

const UNITS = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
] as const;

/** `3 hours ago`; the date from a week on. */
export function formatAgo(instant: string, now = Date.now()): string {
  const passed = now - Date.parse(instant);
  if (passed > 7 * 86_400_000) return formatDate(instant);
  const relative = new Intl.RelativeTimeFormat(INTL[getLocale()], { numeric: 'auto' });
  const [unit, length] = UNITS.find(([, ms]) => passed >= ms) ?? (['second', Infinity] as const);
  return relative.format(unit === 'second' ? 0 : -Math.floor(passed / length), unit);
}

/** `1:05`. */
export function formatSeconds(seconds: number): string {
  const two = { minimumIntegerDigits: 2 };
  const tag = INTL[getLocale()];
  return `${Math.floor(seconds / 60).toLocaleString(tag)}:${(seconds % 60).toLocaleString(tag, two)}`;
}
