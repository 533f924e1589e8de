import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import alerts from '../plugins/alerts.js';
import authenticate from '../plugins/authenticate.js';
import blacklist from '../plugins/blacklist.js';
import cookieJar from '../plugins/cookie-jar.js';
import cors from '../plugins/cors.js';
import database from '../plugins/database.js';
import errors from '../plugins/errors.js';
import jsonBody from '../plugins/json-body.js';
import jwt from '../plugins/jwt.js';
import metrics from '../plugins/metrics.js';
import rateLimit from '../plugins/rate-limit.js';
import refreshCookie from '../plugins/refresh-cookie.js';
import requestContext from '../plugins/request-context.js';
import requestLog from '../plugins/request-log.js';
import securityHeaders from '../plugins/security-headers.js';
import sessions from '../plugins/sessions.js';
import shareStores from '../plugins/share-stores.js';
import stateStore from '../plugins/state-store.js';
import type { Config } from './config.js';
import type { Clock } from './lib/clock.js';
import type { SessionServiceNeeds } from './tokens/session-service.js';

export interface ServiceOptions {
  config: Config;
  now: Clock;
  customClaims?: SessionServiceNeeds['customClaims'];
  /** Set in an application that is not ours: what belongs to a server is left to it, unless it is asked for. */
  guest?: { docs: boolean; health: boolean; metrics: boolean; pages: boolean };
  /** An application of this process that stands on the same stores: they are not opened twice. */
  opened?: FastifyInstance | undefined;
}

/** What every route stands on: stores, tokens and sessions, and how requests are read, counted and answered. */
export const core = fp<ServiceOptions>(
  async (app, { config, now, customClaims, guest, opened }) => {
    const { jwt: token, limits, publicUrl, corsOrigins } = config;
    // On Lambda nothing runs after the answer, and the process may stand still until the next request.
    const mode = config.lambda ? 'inline' : 'background';
    const mayFreeze = config.lambda;

    await app.register(requestContext);
    if (!guest) await app.register(requestLog);
    await app.register(metrics, { ofProcess: !guest, meter: opened?.meter });
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

    if (opened) await app.register(shareStores, { opened });
    else await openStores();
    await app.register(blacklist);
    await app.register(cookieJar, { publicUrl });
    await app.register(rateLimit, { anon: limits.anon, now });
    await app.register(authenticate);
    await app.register(refreshCookie, { publicUrl, corsOrigins });

    async function openStores(): Promise<void> {
      await app.register(database, {
        url: config.databaseUrl,
        dataDir: config.dataDir,
        migrate: config.migrate,
        dataKeys: config.dataKeys,
        postsAlerts: config.alertWebhook !== undefined,
        mayFreeze,
      });
      await app.register(stateStore, {
        redisUrl: config.redisUrl,
        redisCluster: config.redisCluster,
        redisPrefix: config.redisPrefix,
        mayFreeze,
      });
      await app.register(jwt, {
        key: token.signingKey,
        algorithm: token.algorithm,
        keySet: token.keySet,
        legacyKey: config.legacyTokens?.key,
      });
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
        legacyTokens: config.legacyTokens,
        drfTokens: config.drfTokens,
        now,
        mode,
      });
      await app.register(alerts, { webhook: config.alertWebhook, mode });
    }
  },
  { name: 'core' },
);
