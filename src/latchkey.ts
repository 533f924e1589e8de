import type { FastifyPluginAsync } from 'fastify';
import accounts from '../plugins/accounts.js';
import authenticate from '../plugins/authenticate.js';
import blacklist from '../plugins/blacklist.js';
import cors from '../plugins/cors.js';
import database from '../plugins/database.js';
import docs from '../plugins/docs.js';
import errors from '../plugins/errors.js';
import jsonBody from '../plugins/json-body.js';
import jwt from '../plugins/jwt.js';
import rateLimit from '../plugins/rate-limit.js';
import refreshCookie from '../plugins/refresh-cookie.js';
import requestContext from '../plugins/request-context.js';
import requestLog from '../plugins/request-log.js';
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
import { docs as docsRoutes } from '../routes/system/docs.js';
import { health } from '../routes/system/health.js';
import { jwks } from '../routes/system/jwks.js';
import type { Config } from './config.js';
import type { Clock } from './lib/clock.js';
import { VERSION } from './version.js';

export interface LatchkeyOptions {
  config: Config;
  now: Clock;
}

/** All of Latchkey as one Fastify plugin: first what routes stand on, then the routes, in this order. */
export const latchkey: FastifyPluginAsync<LatchkeyOptions> = async (app, { config, now }) => {
  const { jwt: token, limits, publicUrl, corsOrigins } = config;

  await app.register(requestContext, { defaultLocale: config.defaultLocale });
  await app.register(requestLog);
  await app.register(errors);
  await app.register(securityHeaders, { https: publicUrl.protocol === 'https:' });
  await app.register(cors, { origins: corsOrigins, allowLocalhost: config.embedded });
  await app.register(jsonBody);
  await app.register(docs, { publicUrl, version: VERSION });

  await app.register(database, { url: config.databaseUrl, dataDir: config.dataDir, migrate: config.migrate });
  await app.register(stateStore, { redisUrl: config.redisUrl, redisPrefix: config.redisPrefix });
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
    now,
  });
  await app.register(blacklist, { leeway: token.leeway });
  await app.register(accounts, { policy: config, limits });
  await app.register(rateLimit, { anon: limits.anon, now });
  await app.register(authenticate);
  await app.register(refreshCookie, { publicUrl, corsOrigins });

  await app.register(health);
  await app.register(jwks);
  await app.register(docsRoutes);
  await app.register(
    async (auth) => {
      await auth.register(register);
      await auth.register(login);
      await auth.register(refresh);
      await auth.register(verify);
      await auth.register(logout);
      // Whoever is registered in here has a caller: the hook is the guard, no route can forget it.
      await auth.register(async (guarded) => {
        guarded.addHook('onRequest', guarded.authenticate);
        await guarded.register(me);
        await guarded.register(sessionRoutes);
      });
    },
    { prefix: '/api/auth' },
  );
};
