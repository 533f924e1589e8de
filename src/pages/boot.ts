// Runs before anything is painted, so that the page does not first appear in another language or theme.
import { readChoice } from './choices.js';

const { documentElement: page } = document;
const locale = readChoice('locale');
if (locale) {
  page.lang = locale;
  page.dir = locale === 'fa' ? 'rtl' : 'ltr';
}
const theme = readChoice('theme');
if (theme) page.dataset.theme = theme;
