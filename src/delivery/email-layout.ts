import type { Locale } from '../contract/messages.js';

export interface EmailAction {
  url: string;
  label: string;
  expiry: string | undefined;
  /** Above the link in full. */
  hint: string;
}

/** The parts of an e-mail, as HTML. */
export interface EmailParts {
  locale: Locale;
  direction: 'ltr' | 'rtl';
  title: string;
  preheader: string;
  /** Of the service. */
  name: string;
  /** Paragraphs before the button. */
  body: string[];
  action: EmailAction | undefined;
  /** Set apart at the end. */
  note: string | undefined;
  footer: string;
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (sign) => ENTITIES[sign] as string);

/** What a reader's machine has: nothing is fetched. */
const FONTS: Record<Locale, string> = {
  en: "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif",
  fa: "Vazirmatn, 'Segoe UI', Tahoma, 'Geeza Pro', 'Noto Sans Arabic', Arial, sans-serif",
};

/** Persian letters go further above and below the line. */
const LINE_HEIGHT: Record<Locale, string> = { en: '1.5', fa: '1.85' };

interface Palette {
  page: string;
  card: string;
  edge: string;
  text: string;
  muted: string;
  link: string;
  button: string;
  label: string;
  box: string;
}

const LIGHT: Palette = {
  page: '#f2f4f7',
  card: '#ffffff',
  edge: '#e1e5eb',
  text: '#1b1f27',
  muted: '#565e6c',
  link: '#1a56c4',
  button: '#1a56c4',
  label: '#ffffff',
  box: '#f5f7fa',
};

const DARK: Palette = {
  page: '#0f1116',
  card: '#191d24',
  edge: '#2d333d',
  text: '#e9ebef',
  muted: '#a6aebb',
  link: '#8db7ff',
  button: '#8db7ff',
  label: '#10151d',
  box: '#222730',
};

/** Mail clients that know no media queries show the colours of the style attributes, or turn them round by themselves. */
const STYLES = `:root { color-scheme: light dark; supported-color-schemes: light dark; }
@media (prefers-color-scheme: dark) {
  .page { background: ${DARK.page} !important; }
  .card { background: ${DARK.card} !important; border-color: ${DARK.edge} !important; }
  .text { color: ${DARK.text} !important; }
  .muted { color: ${DARK.muted} !important; }
  .link { color: ${DARK.link} !important; }
  .button { background: ${DARK.button} !important; color: ${DARK.label} !important; }
  .box { background: ${DARK.box} !important; }
  .rule { border-color: ${DARK.edge} !important; }
}
@media (max-width: 480px) {
  .frame { padding: 12px !important; }
  .card { padding: 24px 20px !important; }
  .title { font-size: 20px !important; }
  .button { display: block !important; padding: 13px 12px !important; text-align: center !important; }
}`;

/**
 * One column that fits a telephone, without tables except for Outlook's, which knows no widths and no padding
 * otherwise. Nothing is fetched when it is read: no image, no font, nothing that tells who opened it.
 */
export function layOutEmail(parts: EmailParts): string {
  const { locale, direction, title, preheader, name, body, action, note, footer } = parts;
  const align = direction === 'rtl' ? 'right' : 'left';
  const font = `font-family: ${FONTS[locale]};`;
  const paragraph = (html: string): string =>
    `<p class="text" style="margin: 0 0 16px; font-size: 16px; line-height: ${LINE_HEIGHT[locale]}; color: ${LIGHT.text};">${html}</p>`;
  const small = (html: string, margin: string): string =>
    `<p class="muted" style="margin: ${margin}; font-size: 14px; line-height: ${LINE_HEIGHT[locale]}; color: ${LIGHT.muted};">${html}</p>`;

  return `<!doctype html>
<html lang="${locale}" dir="${direction}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no, url=no">
<meta name="x-apple-disable-message-reformatting">
<title>${title}</title>
<style>
${STYLES}
</style>
</head>
<body class="page" style="margin: 0; padding: 0; background: ${LIGHT.page};">
<div style="display: none; max-height: 0; overflow: hidden; mso-hide: all;">${preheader}</div>
<div class="page frame" lang="${locale}" dir="${direction}" style="padding: 32px 16px; background: ${LIGHT.page}; ${font} text-align: ${align};">
<!--[if mso]><table role="presentation" align="center" width="560" cellpadding="0" cellspacing="0"><tr><td dir="${direction}" style="${font}"><![endif]-->
<div class="card" style="max-width: 496px; margin: 0 auto; padding: 32px; background: ${LIGHT.card}; border: 1px solid ${LIGHT.edge}; border-radius: 12px; overflow-wrap: break-word;">
<p class="muted" style="margin: 0 0 20px; font-size: 14px; font-weight: 600; color: ${LIGHT.muted};"><bdi>${name}</bdi></p>
<h1 class="text title" style="margin: 0 0 16px; text-wrap: balance; font-size: 22px; line-height: 1.4; font-weight: 700; color: ${LIGHT.text};">${title}</h1>
${body.map(paragraph).join('\n')}
${action ? layOutAction(action, small) : ''}
${note ? layOutNote(note, small) : ''}
</div>
<p class="muted" style="max-width: 560px; margin: 16px auto 0; font-size: 13px; line-height: ${LINE_HEIGHT[locale]}; text-align: center; color: ${LIGHT.muted};">${footer}</p>
<!--[if mso]></td></tr></table><![endif]-->
</div>
</body>
</html>
`;
}

type Small = (html: string, margin: string) => string;

const layOutNote = (note: string, small: Small): string =>
  `<div class="rule" style="margin: 24px 0 0; padding: 20px 0 0; border-top: 1px solid ${LIGHT.edge};">
${small(note, '0')}
</div>`;

function layOutAction({ url, label, expiry, hint }: EmailAction, small: Small): string {
  return `<div style="margin: 24px 0;">
<!--[if mso]><table role="presentation" cellpadding="0" cellspacing="0"><tr><td bgcolor="${LIGHT.button}" style="padding: 13px 28px;"><![endif]-->
<a class="button" href="${url}" style="display: inline-block; padding: 13px 28px; background: ${LIGHT.button}; border-radius: 8px; font-size: 16px; font-weight: 600; text-decoration: none; color: ${LIGHT.label};">${label}</a>
<!--[if mso]></td></tr></table><![endif]-->
</div>
${expiry ? small(expiry, '0 0 16px') : ''}
${small(hint, '0 0 8px')}
<p class="box" dir="ltr" style="margin: 0; padding: 10px 12px; background: ${LIGHT.box}; border-radius: 8px; font-size: 13px; line-height: 1.5; text-align: left; word-break: break-all;"><a class="link" href="${url}" style="color: ${LIGHT.link};">${url}</a></p>`;
}
