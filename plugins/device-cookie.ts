import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { createDeviceCookies, type DeviceCookies } from '../src/security/device-cookies.js';
import { DEVICE_LIFETIME_MS } from '../src/security/login-store.js';
import type { Client } from '../src/tokens/session-service.js';
import { clientOf } from './request-context.js';

const NAME = 'latchkey_device';

declare module 'fastify' {
  interface FastifyInstance {
    devices: DeviceCookies;
  }
  interface FastifyRequest {
    /** The caller with its device cookie: for whatever asks for a password. */
    clientWithDevice(): Client;
  }
  interface FastifyReply {
    /** After a login by whatever means: it is no credential, so every transport gets it. */
    setDeviceCookie(value: string): FastifyReply;
  }
}

/**
 * The cookie by which a browser is known again, so that strangers who try an account's passwords cannot shut out
 * its owner.
 */
export default fp(
  async (app) => {
    const { cookieJar, tokenCodec } = app;
    app.decorate(
      'devices',
      createDeviceCookies({ secrets: () => tokenCodec.deriveSecrets('device cookie') }),
    );
    app.decorateRequest('clientWithDevice', function (this: FastifyRequest) {
      const { ip, userAgent } = clientOf(this);
      return { ip, userAgent, deviceCookie: cookieJar.read(this, NAME) };
    });
    app.decorateReply('setDeviceCookie', function (this: FastifyReply, value: string) {
      return cookieJar.write(this, NAME, value, DEVICE_LIFETIME_MS / 1000);
    });
  },
  { name: 'device-cookie', dependencies: ['cookie-jar', 'tokens'] },
);
