import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { createFreshCopy } from '../lib/fresh-copy.js';
import { newTokenId } from '../lib/ids.js';

/** Another service that may ask about tokens and revoke them (RFC 6749 §2: a confidential client). */
export interface OauthClient {
  id: string;
  /** What its operator calls it. */
  name: string;
  /** SHA-256, in hex. The secret is random, so there is nothing that a slow hash would protect. */
  secretHash: string;
  /** Milliseconds since the epoch. */
  createdAt: number;
}

/** Clients in SQL. Every method throws `store_unavailable` when SQL is away. */
export interface OauthClientStore {
  insert(client: OauthClient): Promise<void>;
  /** Every client, the oldest first. They are made by hand, so there are few. */
  list(): Promise<OauthClient[]>;
  /** `false` when there is none of that id. */
  remove(id: string): Promise<boolean>;
}

const SECRET_BYTES = 32;

/** A new client with its secret, which is stored nowhere. */
export function makeOauthClient(name: string, now: number): { client: OauthClient; secret: string } {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  return {
    client: { id: newTokenId(), name, secretHash: hash(secret).toString('hex'), createdAt: now },
    secret,
  };
}

export interface OauthClientServiceNeeds {
  store: OauthClientStore;
  now: Clock;
  onTrouble(error: unknown): void;
}

/** A client that was made or removed is known as such within five seconds. */
const MAX_AGE_MS = 4500;

/** Recognises clients by id and secret, in memory: neither an honest request nor a guess costs any SQL. */
export function createOauthClientService({ store, now, onTrouble }: OauthClientServiceNeeds) {
  const clients = createFreshCopy({ read, now, maxAgeMs: MAX_AGE_MS, onTrouble });

  async function read(): Promise<Map<string, OauthClient>> {
    return new Map((await store.list()).map((client) => [client.id, client]));
  }

  /** @throws invalid_credentials, store_unavailable */
  async function authenticate(id: string, secret: string): Promise<OauthClient> {
    const client = (await clients()).get(id);
    const isRight = timingSafeEqual(hash(secret), client ? Buffer.from(client.secretHash, 'hex') : NO_HASH);
    if (!client || !isRight) throw new AuthError('invalid_credentials', { why: 'client' });
    return client;
  }

  return { authenticate };
}

export type OauthClientService = ReturnType<typeof createOauthClientService>;

const hash = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/** Compared with where there is no client, so that both refusals take the same time. */
const NO_HASH = Buffer.alloc(32);
