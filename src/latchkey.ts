import type { FastifyPluginAsync } from 'fastify';
import accounts from '../plugins/accounts.js';
import admin from '../plugins/admin.js';
import authorize from '../plugins/authorize.js';
import cleaning from '../plugins/cleaning.js';
import credentials from '../plugins/credentials.js';
import deviceCookie from '../plugins/device-cookie.js';
import drfTokens from '../plugins/drf-tokens.js';
import email from '../plugins/email.js';
import eventReports from '../plugins/event-reports.js';
import library from '../plugins/library.js';
import oauthClients from '../plugins/oauth-clients.js';
import otp from '../plugins/otp.js';
import pageAssets from '../plugins/page-assets.js';
import phoneSignIn from '../plugins/phone-sign-in.js';
import schemas from '../plugins/schemas.js';
import scripts from '../plugins/scripts.js';
import { compileSerializer } from '../plugins/serializer-compiler.js';
import { credentials as credentialRoutes } from '../routes/account/credentials.js';
import { me } from '../routes/account/me.js';
import { profile } from '../routes/account/profile.js';
import { sessions as sessionRoutes } from '../routes/account/sessions.js';
import { events } from '../routes/admin/events.js';
import { roles } from '../routes/admin/roles.js';
import { stats } from '../routes/admin/stats.js';
import { users } from '../routes/admin/users.js';
import { emailVerify } from '../routes/auth/email-verify.js';
import { login } from '../routes/auth/login.js';
import { logout } from '../routes/auth/logout.js';
import { otpSend } from '../routes/auth/otp-send.js';
import { password } from '../routes/auth/password.js';
import { refresh } from '../routes/auth/refresh.js';
import { register } from '../routes/auth/register.js';
import { verify } from '../routes/auth/verify.js';
import { bothSpellings } from '../routes/both-spellings.js';
import { oldSystems } from '../routes/compat/old-systems.js';
import { tokens as oauthTokens } from '../routes/oauth/tokens.js';
import { oldPages } from '../routes/pages/old-pages.js';
import { pages, startPage } from '../routes/pages/pages.js';
import { scripts as scriptRoutes } from '../routes/static/scripts.js';
import { health } from '../routes/system/health.js';
import { jwks } from '../routes/system/jwks.js';
import { metrics as metricsRoute } from '../routes/system/metrics.js';
import { oauthMetadata } from '../routes/system/oauth-metadata.js';
import { core, type ServiceOptions } from './core.js';
import { VERSION } from './version.js';

/** All of Latchkey as one Fastify plugin: first what routes stand on, then the routes, in this order. */
export const latchkey: FastifyPluginAsync<ServiceOptions> = async (app, options) => {
  const { config, guest } = options;
  const { jwt: token, limits, publicUrl } = config;
  const hasDocs = guest?.docs ?? !config.lambda;
  // On Lambda nothing runs after the answer, and the process may stand still until the next request.
  const mode = config.lambda ? 'inline' : 'background';
  const routes = guest ? bothSpellings : <Plugin>(plugin: Plugin) => plugin;

  await app.register(core, options);
  await app.register(schemas, { compileSerializer });
  // Read only where it is served: the Lambda bundle has none of it.
  if (hasDocs) await app.register(import('../plugins/docs.js'), { publicUrl, version: VERSION });
  await app.register(deviceCookie);
  await app.register(email, {
    email: config.email,
    mode,
    dataDir: config.dataDir,
    publicUrl,
    verification: config.emailVerification,
    defaultLocale: config.defaultLocale,
    limit: limits.passwordReset,
  });
  await app.register(accounts, { policy: config, limits, phoneRegion: config.otp.phoneRegion });
  await app.register(otp, {
    policy: config.otp,
    sms: config.sms,
    mode,
    dataDir: config.dataDir,
    publicUrl,
    registration: config.registration,
    perAddress: limits.loginIp,
  });
  await app.register(phoneSignIn, { policy: config });
  await app.register(credentials, { phoneRegion: config.otp.phoneRegion });
  await app.register(admin, {
    defaultRole: config.defaultRole,
    phoneRegion: config.otp.phoneRegion,
    defaultLocale: config.defaultLocale,
    checksRole: !config.lambda,
  });
  await app.register(eventReports);
  await app.register(cleaning, { eventRetentionDays: config.eventRetentionDays });
  await app.register(drfTokens, { isOn: config.drfTokens, userLimit: limits.user });
  await app.register(authorize);
  if (guest) await app.register(library);

  if (guest?.health ?? true) await app.register(routes(health));
  if (guest?.metrics ?? true) await app.register(routes(metricsRoute), { token: config.metricsToken });
  await app.register(routes(jwks));
  await app.register(routes(oauthMetadata), { issuer: token.issuer, publicUrl });
  if (guest?.pages ?? (config.pages && !config.lambda)) await app.register(pageAssets);
  if (app.pageAssets) {
    await app.register(routes(pages), {
      assets: app.pageAssets,
      publicUrl,
      defaultLocale: config.defaultLocale,
      settings: {
        registration: config.registration === 'open',
        phone: config.sms !== undefined,
        email: config.email !== undefined,
        otpLength: config.otp.length,
        userTypes: config.userTypes,
      },
    });
    if (config.compat.routes) await app.register(routes(oldPages));
    if (!guest) await app.register(startPage);
  }
  if (hasDocs) {
    const { docs, startPage: docsFirst } = await import('../routes/system/docs.js');
    await app.register(routes(docs));
    if (!guest && !app.pageAssets) await app.register(docsFirst);
  }
  await app.register(
    async (auth) => {
      await auth.register(routes(register), { defaultLocale: config.defaultLocale });
      await auth.register(routes(login), { defaultLocale: config.defaultLocale });
      await auth.register(routes(otpSend), { defaultLocale: config.defaultLocale });
      await auth.register(routes(password), { defaultLocale: config.defaultLocale });
      await auth.register(routes(emailVerify), { defaultLocale: config.defaultLocale });
      await auth.register(routes(refresh));
      await auth.register(routes(verify));
      await auth.register(routes(logout));
      // Whoever is registered in here has a caller: the hook is the guard, no route can forget it.
      await auth.register(async (guarded) => {
        guarded.addHook('onRequest', guarded.authenticate);
        await guarded.register(routes(me));
        await guarded.register(routes(profile));
        await guarded.register(routes(sessionRoutes));
        await guarded.register(routes(credentialRoutes), { defaultLocale: config.defaultLocale });
      });
    },
    { prefix: '/api/auth' },
  );
  // Whoever is registered in here is staff; which permission a route needs it says itself.
  await app.register(
    async (staff) => {
      staff.addHook('onRequest', staff.authenticate);
      staff.addHook('onRequest', staff.requireStaff);
      await staff.register(routes(users));
      await staff.register(routes(roles));
      await staff.register(routes(events));
      await staff.register(routes(stats));
    },
    { prefix: '/api/admin' },
  );
  // Whoever is registered in here has a client: the plugin's hook is the guard.
  await app.register(
    async (oauth) => {
      await oauth.register(oauthClients);
      await oauth.register(routes(oauthTokens));
    },
    { prefix: '/oauth' },
  );

  if (config.compat.routes) {
    await app.register(oldSystems, {
      defaultLocale: config.defaultLocale,
      rotation: config.compat.rotation,
      ownsPaths: guest === undefined,
      spelling: routes,
    });
  }
  await app.register(scripts);
  const ofOldFrontEnds = config.compat.routes ? ['jwt-client.js', 'jwt-auth.js'] : [];
  await app.register(routes(scriptRoutes), { names: ['latchkey-client.js', ...ofOldFrontEnds] });
};
