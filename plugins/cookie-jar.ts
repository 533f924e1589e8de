import cookie from '@fastify/cookie';
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify';
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

/** Reads and writes cookies with @fastify/cookie. */
export default fp<CookieJarOptions>(
  async (app, { publicUrl }) => {
    const isLocal = ['localhost', '127.0.0.1', '[::1]'].includes(publicUrl.hostname);
    const attributes = { httpOnly: true, sameSite: 'strict', path: '/', secure: !isLocal } as const;

    // An application of its own, which never listens: one around us may have cookies with other defaults.
    const library = Fastify();
    await library.register(cookie, { hook: false });

    const send = (
      reply: FastifyReply,
      name: string,
      value: string,
      age: { maxAge: number; expires?: Date },
    ) => reply.header('set-cookie', library.serializeCookie(name, value, { ...attributes, ...age }));

    app.decorate('cookieJar', {
      read: (request, name) => library.parseCookie(request.headers.cookie ?? '')[name],
      write: (reply, name, value, maxAge) => send(reply, name, value, { maxAge }),
      clear: (reply, name) => send(reply, name, '', { maxAge: 0, expires: new Date(0) }),
    });
  },
  { name: 'cookie-jar' },
);
