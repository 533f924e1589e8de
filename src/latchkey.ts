import type { FastifyPluginAsync } from 'fastify';
import accounts from '../plugins/accounts.js';
import authenticate from '../plugins/authenticate.js';
import authorize from '../plugins/authorize.js';
import blacklist from '../plugins/blacklist.js';
import cors from '../plugins/cors.js';
import database from '../plugins/database.js';
import docs from '../plugins/docs.js';
import errors from '../plugins/errors.js';
import jsonBody from '../plugins/json-body.js';
import jwt from '../plugins/jwt.js';
import library from '../plugins/library.js';
import oauthClients from '../plugins/oauth-clients.js';
import rateLimit from '../plugins/rate-limit.js';
import refreshCookie from '../plugins/refresh-cookie.js';
import requestContext from '../plugins/request-context.js';
import requestLog from '../plugins/request-log.js';
import schemas from '../plugins/schemas.js';
import securityHeaders from '../plugins/security-headers.js';
import sessions from '../plugins/sessions.js';
import stateStore from '../plugins/state-store.js';
import { me } from '../routes/account/me.js';
import { sessions as sessionRoutes } from '../routes/account/sessions.js';
import { login } from '../routes/auth/login.js';
import { logout } from '../routes/auth/logout.js';
import { refresh } from '../routes/auth/refresh.js';
import { register } from '../routes/auth/register.js';
import { verify } from '../routes/auth/verify.js';
import { bothSpellings } from '../routes/both-spellings.js';
import { tokens as oauthTokens } from '../routes/oauth/tokens.js';
import { docs as docsRoutes, startPage } from '../routes/system/docs.js';
import { health } from '../routes/system/health.js';
import { jwks } from '../routes/system/jwks.js';
import { oauthMetadata } from '../routes/system/oauth-metadata.js';
import type { Config } from './config.js';
import type { Clock } from './lib/clock.js';
import type { SessionServiceNeeds } from './tokens/session-service.js';
import { VERSION } from './version.js';

export interface ServiceOptions {
  config: Config;
  now: Clock;
  customClaims?: SessionServiceNeeds['customClaims'];
  /** Set in an application that is not ours: what belongs to a server is left to it, unless it is asked for. */
  guest?: { docs: boolean; health: boolean };
}

/** All of Latchkey as one Fastify plugin: first what routes stand on, then the routes, in this order. */
export const latchkey: FastifyPluginAsync<ServiceOptions> = async (app, options) => {
  const { config, now, customClaims, guest } = options;
  const { jwt: token, limits, publicUrl, corsOrigins } = config;
  const hasDocs = guest?.docs ?? true;
  const routes = guest ? bothSpellings : <Plugin>(plugin: Plugin) => plugin;

  await app.register(requestContext);
  if (!guest) await app.register(requestLog);
  await app.register(errors, { defaultLocale: config.defaultLocale });
  await app.register(securityHeaders, { https: publicUrl.protocol === 'https:' && !guest });
  // Where the application around us has rules of its own, its hook has gone before ours.
  if (!app.hasRequestDecorator('corsPreflightEnabled')) {
    await app.register(cors, {
      origins: corsOrigins,
      allowLocalhost: config.embedded,
      ownRoutesOnly: guest !== undefined,
    });
  }
  await app.register(jsonBody);
  await app.register(schemas);
  if (hasDocs) await app.register(docs, { publicUrl, version: VERSION });

  await app.register(database, { url: config.databaseUrl, dataDir: config.dataDir, migrate: config.migrate });
  await app.register(stateStore, {
    redisUrl: config.redisUrl,
    redisCluster: config.redisCluster,
    redisPrefix: config.redisPrefix,
  });
  await app.register(jwt, { key: token.signingKey, algorithm: token.algorithm, keySet: token.keySet });
  await app.register(sessions, {
    rules: {
      issuer: token.issuer,
      audience: token.audience,
      userIdClaim: token.userIdClaim,
      leeway: token.leeway,
    },
    policy: {
      accessLifetime: config.accessLifetime,
      refreshLifetime: config.refreshLifetime,
      sessionMaxLifetime: config.sessionMaxLifetime,
      refreshLimit: limits.refresh,
      userLimit: limits.user,
    },
    customClaims,
    now,
  });
  await app.register(blacklist, { leeway: token.leeway });
  await app.register(accounts, { policy: config, limits });
  await app.register(rateLimit, { anon: limits.anon, now });
  await app.register(authenticate);
  await app.register(authorize);
  if (guest) await app.register(library);
  await app.register(refreshCookie, { publicUrl, corsOrigins });

  if (guest?.health ?? true) await app.register(routes(health));
  await app.register(routes(jwks));
  await app.register(routes(oauthMetadata), { issuer: token.issuer, publicUrl });
  if (hasDocs) await app.register(routes(docsRoutes));
  if (!guest) await app.register(startPage);
  await app.register(
    async (auth) => {
      await auth.register(routes(register));
      await auth.register(routes(login));
      await auth.register(routes(refresh));
      await auth.register(routes(verify));
      await auth.register(routes(logout));
      // Whoever is registered in here has a caller: the hook is the guard, no route can forget it.
      await auth.register(async (guarded) => {
        guarded.addHook('onRequest', guarded.authenticate);
        await guarded.register(routes(me));
        await guarded.register(routes(sessionRoutes));
      });
    },
    { prefix: '/api/auth' },
  );
  // Whoever is registered in here has a client: the plugin's hook is the guard.
  await app.register(
    async (oauth) => {
      await oauth.register(oauthClients);
      await oauth.register(routes(oauthTokens));
    },
    { prefix: '/oauth' },
  );
};
