import { randomBytes } from 'node:crypto';
import argon2 from 'argon2';
import { normalizePassword } from './password-policy.js';
import type { PasswordScheme } from './password-scheme.js';

/** OWASP's second choice for argon2id: 19 MiB, two passes, one lane (memory in KiB). */
const TODAY = {
  type: argon2.argon2id,
  memoryCost: 19_456,
  timeCost: 2,
  parallelism: 1,
  hashLength: 32,
} as const;

interface Parameters {
  /** KiB. */
  memory: number;
  passes: number;
  lanes: number;
}

/**
 * A hash that came from elsewhere names its own price, and whoever made it may want to exhaust this machine. Django asks
 * for 100 MiB, two passes and eight lanes; this leaves room for two and a half times its memory, and for about a second
 * of work on one core.
 */
const MAX_MEMORY_KIB = 262_144;
const MAX_LANES = 16;
const MAX_KIB_PASSES = 1_048_576;

/** PHC's string format; Django puts the name of its hasher before it. Salts of 8 to 64 bytes, digests of 16 to 64. */
const FORM =
  /^(argon2)?(\$argon2(?:id|i|d)(?:\$v=(?:16|19))?\$m=(\d{1,7}),t=(\d{1,7}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86})$/;
const FAMILY = /^argon2:(\d{1,7}):(\d{1,7}):(\d{1,2})$/;

const familyOf = ({ memory, passes, lanes }: Parameters): string => `argon2:${memory}:${passes}:${lanes}`;

function readParameters(values: (string | undefined)[]): Parameters | undefined {
  const [memory = 0, passes = 0, lanes = 0] = values.map(Number);
  // RFC 9106 §3.1: at least one pass and one lane, and eight blocks of 1 KiB for each lane.
  const isSound = passes >= 1 && lanes >= 1 && lanes <= MAX_LANES && memory >= 8 * lanes;
  const isBearable = memory <= MAX_MEMORY_KIB && memory * passes <= MAX_KIB_PASSES;
  return isSound && isBearable ? { memory, passes, lanes } : undefined;
}

/** How a hash of today begins, of this variant and version (0x13). */
const MADE_TODAY = `$argon2id$v=19$m=${TODAY.memoryCost},t=${TODAY.timeCost},p=${TODAY.parallelism}$`;

/** What a comparison with a hash of today costs; every refusal pays at least that. */
export const COST_OF_TODAY = {
  family: familyOf({ memory: TODAY.memoryCost, passes: TODAY.timeCost, lanes: TODAY.parallelism }),
  units: 1,
} as const;

/** Argon2 (RFC 9106): the hashes that are made here, and those of Django. */
export function createArgon2Scheme(): PasswordScheme & {
  hash(password: string): Promise<string>;
  /** Was it hashed in another way than today's? */
  isOutdated(stored: string): boolean;
} {
  const unmatchable = new Map<string, string>();

  return {
    hash: (password) => argon2.hash(normalizePassword(password), TODAY),

    isOutdated: (stored) => !stored.startsWith(MADE_TODAY),

    read(stored) {
      const [, foreign, phc = '', ...values] = FORM.exec(stored) ?? [];
      const parameters = phc ? readParameters(values) : undefined;
      if (!parameters) return undefined;
      // Django hashes what was typed, Latchkey its normal form.
      const form = foreign ? (password: string) => password : normalizePassword;
      return {
        family: familyOf(parameters),
        units: 1,
        matches: (password) => argon2.verify(phc, form(password)),
      };
    },

    spend({ family }, password) {
      const parameters = readParameters(FAMILY.exec(family)?.slice(1) ?? []);
      if (!parameters) return undefined;
      const hash = unmatchable.get(family) ?? unmatchableHash(parameters);
      unmatchable.set(family, hash);
      return argon2.verify(hash, normalizePassword(password)).then(() => undefined);
    },
  };
}

/** A hash whose digest is random: comparing with it costs the full price and fails. */
function unmatchableHash({ memory, passes, lanes }: Parameters): string {
  const base64 = (bytes: number) => randomBytes(bytes).toString('base64').replaceAll('=', '');
  return `$argon2id$v=19$m=${memory},t=${passes},p=${lanes}$${base64(16)}$${base64(TODAY.hashLength)}`;
}
