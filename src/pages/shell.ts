import type { Locale } from '../contract/messages.js';
import type { PageSettings } from './settings.js';

/** What a page loads, by URL. */
export interface ShellFiles {
  boot: string;
  script: string;
  /** By the script: asked for together with it. */
  imported: readonly string[];
  styles: string;
  mark: string;
}

const NEEDS_SCRIPT: Record<Locale, string> = {
  en: 'These pages need JavaScript. Please turn it on, or use another browser.',
  fa: 'این صفحه‌ها به جاوااسکریپت نیاز دارند. آن را فعال کنید یا از مرورگر دیگری استفاده کنید.',
};

/** The HTML of every page: the rest is drawn by the script, in whatever language this browser remembers. */
export const renderShell = (
  locale: Locale,
  files: ShellFiles,
  settings: PageSettings,
): string => `<!doctype html>
<html lang="${locale}" dir="${locale === 'fa' ? 'rtl' : 'ltr'}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<meta name="latchkey" content="${escapeAttribute(JSON.stringify(settings))}">
<title>Latchkey</title>
<script src="${files.boot}"></script>
<link rel="stylesheet" href="${files.styles}">
<link rel="icon" href="${files.mark}" type="image/svg+xml">
${files.imported.map((url) => `<link rel="modulepreload" href="${url}">\n`).join('')}<script type="module" src="${files.script}"></script>
</head>
<body>
<div id="page"></div>
<noscript><p class="no-script">${NEEDS_SCRIPT[locale]}</p></noscript>
</body>
</html>
`;

const escapeAttribute = (text: string): string =>
  text.replace(/&/g, '&amp;').replace(/"/g, '&quot;').replace(/</g, '&lt;');
