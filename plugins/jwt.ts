import { readFileSync, statSync } from 'node:fs';
import jwt, { type JWT } from '@fastify/jwt';
import Fastify from 'fastify';
import fp from 'fastify-plugin';
import { describeError } from '../src/lib/describe-error.js';
import { HEADER_TYPE, type SignedPayload, type TokenType } from '../src/tokens/claims.js';
import { createKeyRing, type KeyCodec, type KeyRing } from '../src/tokens/key-ring.js';
import {
  type Algorithm,
  isHmac,
  type KeySet,
  readKeySet,
  readSingleKey,
  type SigningKey,
} from '../src/tokens/key-set.js';

declare module 'fastify' {
  interface FastifyInstance {
    tokenCodec: KeyRing;
  }
}

export interface JwtOptions {
  /** A secret, or a private key in PEM: what signs unless there is a key set. */
  key?: string | undefined;
  algorithm: Algorithm;
  /** A private JWK Set, as text or as a file that is read again when it changes. */
  keySet?: { json: string } | { path: string } | undefined;
}

/** A changed file is noticed within this; `latchkey keys rotate` waits far longer between its steps (ms). */
const WATCH_MS = 2000;

/** Signs and verifies with @fastify/jwt, by as many keys as there are. */
export default fp<JwtOptions>(
  async (app, options) => {
    const ring = createKeyRing(await createCodecs(loadKeys(options)));
    app.decorate('tokenCodec', ring);

    if (!options.keySet || !('path' in options.keySet)) return;
    const { path } = options.keySet;
    let seen = fingerprint(path);
    const timer = setInterval(async () => {
      try {
        const found = fingerprint(path);
        if (found === seen) return;
        seen = found;
        ring.replace(await createCodecs(loadKeys(options)));
        app.log.info({ kids: ring.kids() }, 'the signing keys were read again');
      } catch (error) {
        app.log.error(
          { err: describeError(error) },
          'the signing keys could not be read again: the old ones serve',
        );
      }
    }, WATCH_MS);
    timer.unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'tokens' },
);

/** The keys of the set; beside them a plain key goes on verifying what it signed before there was a set. */
function loadKeys({ key, algorithm, keySet }: JwtOptions): KeySet {
  const single = key === undefined ? [] : [readSingleKey(key, algorithm)];
  const set = keySet ? readKeySet('json' in keySet ? keySet.json : readFileSync(keySet.path, 'utf8')) : [];
  const keys = [...set, ...single];
  if (keys.length === 0) throw new Error('there is no key to sign with');
  return keys as unknown as KeySet;
}

function fingerprint(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  return `${mtimeMs} ${size} ${ino}`;
}

const createCodecs = async ([first, ...others]: KeySet): Promise<[KeyCodec, ...KeyCodec[]]> => [
  await createCodec(first),
  ...(await Promise.all(others.map(createCodec))),
];

/**
 * Gives a key an instance of @fastify/jwt, in an application that never listens: the library fixes its key and
 * the header's `typ` when it is registered, and keys come and go while the service runs. Claims are judged by
 * the token core, so the library's own checks of time are off.
 */
async function createCodec(key: SigningKey): Promise<KeyCodec> {
  const { kid, algorithm } = key;
  const host = Fastify();
  for (const type of ['access', 'refresh'] as const satisfies TokenType[]) {
    await host.register(jwt, {
      namespace: type,
      secret: isHmac(algorithm) ? key.private : { private: key.private, public: key.public },
      sign: { algorithm, header: { alg: algorithm, typ: HEADER_TYPE[type], ...(kid && { kid }) } },
      verify: { algorithms: [algorithm], complete: true, ignoreExpiration: true, ignoreNotBefore: true },
    });
  }
  // The library's types know nothing of namespaces.
  const namespaces = host.jwt as unknown as Record<TokenType, JWT>;
  return {
    key,
    sign: (type, payload) => namespaces[type].sign(payload),
    verify: (token) => namespaces.access.verify<SignedPayload>(token),
  };
}
