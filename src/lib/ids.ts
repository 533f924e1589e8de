import { randomBytes, randomUUID } from 'node:crypto';
import { v7 } from 'uuid';

/** Account ids are UUIDv7 (RFC 9562 §5.7): in order of creation, so that the primary key's index stays dense. */
export const newAccountId = (): string => v7();

/** Events likewise. */
export const newEventId = (): string => v7({ random: drawBytes() });

/** A random UUIDv4 as 32 hex digits without dashes: `jti` and `sid`, the form SimpleJWT uses for `jti`. */
export const newTokenId = (): string => randomUUID().replaceAll('-', '');

/** What a browser is known by at its next login: 128 random bits. */
export const newDeviceId = (): string => drawBytes().toString('base64url');

/** Drawn in bulk, as `randomUUID` does it: the generator takes as long for these as for sixteen bytes. */
const BULK = 4096;
let bulk = Buffer.alloc(0);

/** 16 random bytes, which nobody else gets. */
function drawBytes(): Buffer {
  if (bulk.length === 0) bulk = randomBytes(BULK);
  const drawn = bulk.subarray(0, 16);
  bulk = bulk.subarray(16);
  return drawn;
}

const HEX_32 = /^[0-9a-f]{32}$/;
export const isTokenId = (value: unknown): value is string => typeof value === 'string' && HEX_32.test(value);

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const isAccountId = (text: string): boolean => UUID.test(text);
