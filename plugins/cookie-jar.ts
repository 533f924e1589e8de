import { parseCookie, stringifySetCookie } from 'cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';

declare module 'fastify' {
  interface FastifyInstance {
    cookieJar: CookieJar;
  }
}

/** Cookies that scripts cannot read and other sites cannot send; without TLS on localhost only. */
export interface CookieJar {
  read(request: FastifyRequest, name: string): string | undefined;
  /** `maxAge` in seconds. */
  write(reply: FastifyReply, name: string, value: string, maxAge: number): FastifyReply;
  clear(reply: FastifyReply, name: string): FastifyReply;
}

export interface CookieJarOptions {
  publicUrl: URL;
}

/** Reads and writes cookies. Not with @fastify/cookie: an application around us may have it, with other defaults. */
export default fp<CookieJarOptions>(
  async (app, { publicUrl }) => {
    const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(publicUrl.hostname);
    const attributes = { httpOnly: true, sameSite: 'strict', path: '/', secure: !isLocal } as const;

    const send = (
      reply: FastifyReply,
      name: string,
      value: string,
      age: { maxAge: number; expires?: Date },
    ) => reply.header('set-cookie', stringifySetCookie({ name, value, ...attributes, ...age }));

    app.decorate('cookieJar', {
      read: (request, name) => parseCookie(request.headers.cookie ?? '')[name],
      write: (reply, name, value, maxAge) => send(reply, name, value, { maxAge }),
      clear: (reply, name) => send(reply, name, '', { maxAge: 0, expires: new Date(0) }),
    });
  },
  { name: 'cookie-jar' },
);
