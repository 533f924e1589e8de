import type { JWT } from '@fastify/jwt';
import fp from 'fastify-plugin';
import { describeError } from '../src/lib/describe-error.js';
import { HEADER_TYPE, type SignedPayload, type TokenType } from '../src/tokens/claims.js';
import { createHmacSigner } from '../src/tokens/hmac-signer.js';
import { createKeyFile } from '../src/tokens/key-file.js';
import { createKeyRing, type KeyCodec, type KeyRing, UnknownKeyError } from '../src/tokens/key-ring.js';
import {
  type Algorithm,
  type HmacAlgorithm,
  isHmac,
  type KeySet,
  readKeySet,
  readSingleKey,
  type SigningKey,
  type VerifyingKey,
} from '../src/tokens/key-set.js';
import { createKeyVerifier } from '../src/verify/key-verifier.js';
import { createApart } from './apart.js';

declare module 'fastify' {
  interface FastifyInstance {
    tokenCodec: KeyRing;
    /**
     * Runs what verifies a token, and once more if the token's key is unknown: another process may have read the
     * changed key file a moment earlier. `check` must do nothing before it has read the token.
     */
    withNewKeys<T>(check: () => Promise<T>): Promise<T>;
  }
}

export interface JwtOptions {
  /** A secret, or a private key in PEM: what signs unless there is a key set. */
  key?: string | undefined;
  algorithm: Algorithm;
  /** A private JWK Set, as text or as a file that is read again when it changes. */
  keySet?: { json: string } | { path: string } | undefined;
  /** Verifies an old system's tokens. */
  legacyKey?: VerifyingKey | undefined;
}

/** A changed file is noticed within this; `latchkey keys rotate` waits far longer between its steps (ms). */
const WATCH_MS = 2000;

/** Signs and verifies by as many keys as there are: with @fastify/jwt, and by Node.js's own HMAC where that is it. */
export default fp<JwtOptions>(
  async (app, options) => {
    const { keySet, legacyKey } = options;
    const legacy = legacyKey && createKeyVerifier(legacyKey);
    if (!keySet || 'json' in keySet) {
      app.decorate('tokenCodec', createKeyRing(await createCodecs(readKeys(options, keySet?.json)), legacy));
      app.decorate('withNewKeys', (check) => check());
      return;
    }

    const file = createKeyFile({
      path: keySet.path,
      read: (text) => createCodecs(readKeys(options, text)),
      onChange(codecs) {
        ring.replace(codecs);
        app.log.info({ kids: ring.kids() }, 'the signing keys were read again');
      },
      onTrouble: (error) =>
        app.log.error(
          { err: describeError(error) },
          'the signing keys could not be read again: the old ones serve',
        ),
    });
    const ring = createKeyRing(await file.open(), legacy);
    app.decorate('tokenCodec', ring);
    app.decorate('withNewKeys', async (check) => {
      try {
        return await check();
      } catch (error) {
        if (!(error instanceof UnknownKeyError)) throw error;
        await file.lookForKey();
        return check();
      }
    });
    const timer = setInterval(file.look, WATCH_MS).unref();
    app.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'tokens' },
);

/** The keys of the set; beside them a plain key goes on verifying what it signed before there was a set. */
function readKeys({ key, algorithm }: JwtOptions, setJson: string | undefined): KeySet {
  const set = setJson === undefined ? [] : readKeySet(setJson);
  const single = key === undefined ? [] : [readSingleKey(key, algorithm)];
  const keys = [...set, ...single.filter(({ kid }) => set.every((other) => other.kid !== kid))];
  if (keys.length === 0) throw new Error('there is no key to sign with');
  return keys as unknown as KeySet;
}

const createCodecs = async ([first, ...others]: KeySet): Promise<[KeyCodec, ...KeyCodec[]]> => [
  await createCodec(first),
  ...(await Promise.all(others.map(createCodec))),
];

function createCodec(key: SigningKey): Promise<KeyCodec> | KeyCodec {
  return isHmac(key.algorithm) ? createHmacCodec(key, key.algorithm) : createLibraryCodec(key);
}

/** A refresh verifies one token and signs two: too many to prepare key and header anew each time, as the library does. */
function createHmacCodec(key: SigningKey, algorithm: HmacAlgorithm): KeyCodec {
  const sign = {
    access: createHmacSigner(key.private, { ...headerOf(key, 'access'), alg: algorithm }),
    refresh: createHmacSigner(key.private, { ...headerOf(key, 'refresh'), alg: algorithm }),
  };
  return { ...createKeyVerifier(key), key, sign: (type, payload) => sign[type](payload) };
}

/**
 * Gives a key an instance of @fastify/jwt, in an application that never listens: the library fixes its key and
 * the header's `typ` when it is registered, and keys come and go while the service runs. Claims are judged by
 * the token core, so the library's own checks of time are off.
 */
async function createLibraryCodec(key: SigningKey): Promise<KeyCodec> {
  const { algorithm } = key;
  // Where every key is a secret it would only make the start longer.
  const { default: jwt } = await import('@fastify/jwt');
  const host = createApart();
  for (const type of ['access', 'refresh'] as const satisfies TokenType[]) {
    await host.register(jwt, {
      namespace: type,
      secret: { private: key.private, public: key.public },
      sign: { algorithm, header: headerOf(key, type) },
      verify: {
        algorithms: [algorithm],
        complete: true,
        ignoreExpiration: true,
        ignoreNotBefore: true,
      },
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

const headerOf = ({ algorithm, kid }: SigningKey, type: TokenType) => ({
  alg: algorithm,
  typ: HEADER_TYPE[type],
  ...(kid && { kid }),
});
