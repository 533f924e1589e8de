import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import type { PageAssets } from '../../plugins/page-assets.js';
import { REFRESH_COOKIE } from '../../plugins/refresh-cookie.js';
import { LOCALES, type Locale, pickLocale } from '../../src/contract/messages.js';
import { AuthError } from '../../src/errors.js';
import { PATHS, USER_PATH } from '../../src/pages/paths.js';
import type { PageSettings } from '../../src/pages/settings.js';
import { renderShell } from '../../src/pages/shell.js';
import { matchesEtag } from '../etag.js';

export interface PagesOptions {
  assets: PageAssets;
  publicUrl: URL;
  defaultLocale: Locale;
  settings: Omit<PageSettings, 'base' | 'chartStyles'>;
}

/** Own files and the own API; forms are sent by the script, never by the browser. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Pages for people. What they show they get from the API, like everybody else. */
export const pages: FastifyPluginAsyncTypebox<PagesOptions> = async (app, options) => {
  const { assets, publicUrl, defaultLocale } = options;
  const base = app.prefix.replace(/\/$/, '');
  const urlOf = (name: string) => `${base}/assets/${name}`;
  const settings = {
    ...options.settings,
    base,
    chartStyles: urlOf(assets.nameOf('charts.css')),
  };
  const files = {
    boot: urlOf(assets.nameOf('boot.js')),
    script: urlOf(assets.nameOf('main.js')),
    imported: assets.imported.map(urlOf),
    styles: urlOf(assets.nameOf('main.css')),
    mark: urlOf(MARK),
  };
  const shells = new Map(LOCALES.map((locale) => [locale, renderShell(locale, files, settings)]));

  const sendShell = async (request: FastifyRequest, reply: FastifyReply) => {
    const elsewhere = sameMachineElsewhere(request, publicUrl);
    if (elsewhere) return reply.redirect(elsewhere);
    const locale = pickLocale(request.headers['accept-language'], defaultLocale);
    return reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', POLICY)
      .header('cross-origin-opener-policy', 'same-origin')
      .header('content-language', locale)
      .send(shells.get(locale));
  };
  for (const path of [...Object.values(PATHS), `${USER_PATH}:id`]) {
    app.get(path, { schema: { hide: true }, handler: sendShell });
  }
  app.get('/admin', {
    schema: { hide: true },
    handler: async (_request, reply) => reply.redirect(`${base}${PATHS.users}`),
  });

  app.get('/assets/:name', {
    schema: { hide: true, params: Type.Object({ name: Type.String() }) },
    handler: async (request, reply) => {
      const { name } = request.params;
      const file = assets.files.get(name);
      if (!file) throw new AuthError('not_found');
      // A new content has a new name; only the mark keeps its own.
      const age = name === MARK ? 'max-age=86400' : 'max-age=31536000, immutable';
      reply.header('cache-control', `public, ${age}`).header('etag', file.etag);
      if (matchesEtag(request.headers['if-none-match'], file.etag)) return reply.code(304).send();
      return reply.type(file.type).send(file.body);
    },
  });
};

const MARK = 'mark.svg';

/** Who comes to the service is led to the account, or to where one signs in. */
export const startPage: FastifyPluginAsyncTypebox = async (app) => {
  app.get('/', { schema: { hide: true } }, async (request, reply) =>
    reply.redirect(app.cookieJar.read(request, REFRESH_COOKIE) ? PATHS.account : PATHS.signIn),
  );
};

const OF_THIS_MACHINE = ['localhost', '127.0.0.1', '[::1]'];

/**
 * This machine has several names, and a browser keeps cookies for each. Whoever comes by another than `PUBLIC_URL`'s is
 * sent there: the refresh cookie is good on that origin alone.
 */
function sameMachineElsewhere({ headers, url }: FastifyRequest, publicUrl: URL): string | undefined {
  const [, name = '', port = '80'] = /^(.*?)(?::(\d+))?$/.exec(headers.host ?? '') ?? [];
  const isAlias =
    publicUrl.protocol === 'http:' &&
    OF_THIS_MACHINE.includes(publicUrl.hostname) &&
    OF_THIS_MACHINE.includes(name) &&
    name !== publicUrl.hostname &&
    port === (publicUrl.port || '80');
  return isAlias ? `${publicUrl.origin}${url}` : undefined;
}
