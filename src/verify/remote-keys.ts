import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import type { SignedPayload } from '../tokens/claims.js';
import { createSignatureCheck, UnknownKeyError } from '../tokens/key-ring.js';
import { readPublicKeySet } from '../tokens/key-set.js';
import { createKeyVerifier } from './key-verifier.js';

export interface RemoteKeysNeeds {
  url: URL;
  now: Clock;
  /** Told each time that the keys could not be fetched. */
  onTrouble(error: Error): void;
}

export interface RemoteKeys {
  /** @throws token_invalid; store_unavailable while the issuer has not been reached */
  verifySignature(token: string): Promise<SignedPayload>;
  close(): void;
}

const FETCH_TIMEOUT_MS = 5000;
const MAX_BYTES = 262_144;
/** How long a set is kept whose issuer does not say (ms). */
const DEFAULT_AGE_MS = 300_000;
const MAX_AGE_MS = 86_400_000;
/** An unknown key, or an issuer that did not answer, is no reason to ask more often than this (ms). */
const PAUSE_MS = 5000;

interface KeyCopy {
  verify(token: string): SignedPayload;
  /** From here on it is fetched again behind the requests, and at twice that age before them. */
  staleAt: number;
  expiresAt: number;
}

/**
 * The issuer's public keys, kept as long as it allows (RFC 9111 `max-age`). However many tokens wait, one fetch
 * runs. While the issuer cannot be reached the last set that it gave goes on verifying.
 */
export function createRemoteKeys({ url, now, onTrouble }: RemoteKeysNeeds): RemoteKeys {
  const stop = new AbortController();
  let copy: KeyCopy | undefined;
  let fetching: Promise<void> | undefined;
  let lastTry = Number.NEGATIVE_INFINITY;
  let failure: Error | undefined;

  /** Never throws: `failure` says how it went. */
  function fetchKeys(): Promise<void> {
    fetching ??= load().finally(() => {
      fetching = undefined;
    });
    return fetching;
  }

  async function load(): Promise<void> {
    lastTry = now();
    try {
      const { json, maxAgeMs } = await fetchText(url, stop.signal);
      const verifiers = readPublicKeySet(json).map(createKeyVerifier);
      const time = now();
      copy = {
        verify: createSignatureCheck(verifiers),
        staleAt: time + maxAgeMs,
        expiresAt: time + 2 * maxAgeMs,
      };
      failure =
        verifiers.length > 0
          ? undefined
          : new Error('the issuer publishes no key: does it sign with a shared one?');
    } catch (error) {
      failure = error as Error;
    }
    if (failure && !stop.signal.aborted) onTrouble(failure);
  }

  const mayFetch = (): boolean => fetching !== undefined || now() - lastTry >= PAUSE_MS;

  async function freshCopy(): Promise<KeyCopy> {
    const time = now();
    if (!copy || time >= copy.staleAt) {
      const fetched = mayFetch() ? fetchKeys() : undefined;
      // A key that was taken back long ago must not verify the first token after a quiet night.
      if (!copy || time >= copy.expiresAt) await fetched;
    }
    if (!copy) throw unreachable();
    return copy;
  }

  const unreachable = (): AuthError =>
    new AuthError('store_unavailable', { retryAfter: PAUSE_MS / 1000, cause: failure, why: 'no keys' });

  return {
    async verifySignature(token) {
      const { verify } = await freshCopy();
      try {
        return verify(token);
      } catch (error) {
        if (!(error instanceof UnknownKeyError)) throw error;
        if (mayFetch()) await fetchKeys();
        const newer = await freshCopy();
        // Whether a key that is not in the last set is a new one only its issuer could tell.
        if (newer.verify === verify && failure) throw unreachable();
        return newer.verify(token);
      }
    },
    close: () => stop.abort(),
  };
}

async function fetchText(url: URL, stop: AbortSignal): Promise<{ json: string; maxAgeMs: number }> {
  const response = await fetch(url, {
    headers: { accept: 'application/jwk-set+json, application/json' },
    // It could lead away from https.
    redirect: 'error',
    signal: AbortSignal.any([stop, AbortSignal.timeout(FETCH_TIMEOUT_MS)]),
  });
  if (!response.ok || !response.body) {
    await response.body?.cancel();
    throw new Error(`the issuer's keys: HTTP ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += chunk.length;
    if (size > MAX_BYTES) throw new Error("the issuer's keys: too large");
    chunks.push(chunk);
  }
  return { json: Buffer.concat(chunks).toString(), maxAgeMs: readMaxAge(response.headers) };
}

/** RFC 9111 §4.2: what `max-age` grants less what a cache on the way has used up; never less than the pause. */
function readMaxAge(headers: Headers): number {
  const granted = /(?:^|[\s,])max-age="?(\d{1,10})/i.exec(headers.get('cache-control') ?? '')?.[1];
  if (granted === undefined) return DEFAULT_AGE_MS;
  const used = Number(/^\d{1,10}$/.exec(headers.get('age') ?? '')?.[0] ?? 0);
  return Math.min(MAX_AGE_MS, Math.max(PAUSE_MS, (Number(granted) - used) * 1000));
}
