import {
  type AnswerChallenge,
  type AnswerVerdict,
  DAY_MS,
  HOUR_MS,
  type OpenChallenge,
} from '../../../otp/otp-store.js';
import type { Keys } from '../../keys.js';
import type { Row, Rows } from '../rows.js';
import { addToLog, type Log, logWait, timeLeft } from './sliding-log.js';

interface Challenge {
  h: string;
  t: number;
  x: number;
  n: number;
  d?: 1;
}

/** A mark of the right answer stays longer than any command can be late (ms). */
const LATEST_MS = 60_000;

export function openChallenge(rows: Rows, keys: Keys, o: OpenChallenge): void {
  const { now } = rows;
  const challenge: Row<Challenge> = rows.load(keys.challenge(o.number, o.purpose));
  const c = challenge.value;
  if (c && (now < c.n || (now === c.n && o.codeHash === c.h))) return;
  challenge.value = { h: o.codeHash, t: 0, x: now + o.lifetimeMs, n: now };
  challenge.expiresAt = now + Math.max(o.lifetimeMs, 1000);
}

export function answerChallenge(rows: Rows, keys: Keys, a: AnswerChallenge): AnswerVerdict {
  const { now } = rows;
  const challenge: Row<Challenge> = rows.load(keys.challenge(a.number, a.purpose));
  const c = challenge.value;
  if (!c || c.d || now >= c.x) return { status: 'none' };

  const tries: Row<Log> = rows.load(keys.wrongTries(a.number));
  const log = tries.value ?? [];
  const retryMs = Math.max(
    logWait(log, a.maxTriesPerHour, HOUR_MS, now),
    logWait(log, a.maxTriesPerDay, DAY_MS, now),
    c.t >= a.maxTries ? timeLeft(c.x - c.n, c.n, now) : 0,
  );
  if (retryMs > 0) return { status: 'spent', retryMs };

  // Nothing is written before the end: what is not counted has not been told.
  if (!a.codeHashes.includes(c.h)) {
    c.t += 1;
    tries.value = addToLog(log, [now], Math.max(a.maxTriesPerHour, a.maxTriesPerDay ?? 0));
    tries.expiresAt = now + DAY_MS;
    return { status: 'wrong' };
  }
  c.d = 1;
  c.n = Math.max(now, c.n);
  challenge.expiresAt = Math.max(c.x, now + LATEST_MS);
  rows.load(keys.coolDown(a.number)).value = undefined;
  return { status: 'right' };
}
