import { deepStrictEqual } from 'node:assert/strict';
import fc from 'fast-check';
import type { OtpPurpose } from '../../src/contract/otp.js';
import { newTokenId } from '../../src/lib/ids.js';
import type {
  AnswerVerdict,
  CountSend,
  OpenChallenge,
  OtpStore,
  SendVerdict,
} from '../../src/otp/otp-store.js';
import type { LimitState } from '../../src/tokens/state-store.js';
import { DAY, MINUTE, SECOND } from './state-store-bench.js';

const HOUR = 60 * MINUTE;
const LIFETIME = 300 * SECOND;

/** Small, so that a short play meets them all. */
const LIMITS = { coolDownMs: [30, 60, 120].map((s) => s * SECOND), perHour: 3, perDay: 6 };
const TRIES = { maxTries: 2, maxTriesPerHour: 5, maxTriesPerDay: 11 };

/** One step in the life of a number. */
type Step =
  | { do: 'send'; purpose: OtpPurpose; delivered: boolean }
  | { do: 'answer'; purpose: OtpPurpose; rightly: boolean }
  /** A challenge of before is opened again, as it was then. */
  | { do: 'repeat'; nth: number }
  | { do: 'wait'; ms: number };

const purpose = fc.constantFrom<OtpPurpose>('login', 'verify');

const WAITS = [
  1,
  30 * SECOND - 1,
  30 * SECOND,
  MINUTE,
  2 * MINUTE,
  LIFETIME - 1,
  LIFETIME,
  HOUR - 1,
  HOUR,
  DAY - HOUR,
  DAY,
];

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send'),
      purpose,
      delivered: fc.integer({ max: 9 }).map((n) => n !== 0),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('answer'),
      purpose,
      rightly: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repeat'), nth: fc.nat() }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('wait'), ms: fc.constantFrom(...WAITS) }) },
);

/** Plays the steps with a number nobody has used yet; throws where the store and the model tell different things. */
export async function playAgainstModel(otp: OtpStore, start: number, steps: Step[]): Promise<void> {
  const number = newTokenId();
  const model = createModel(start);
  const opened: OpenChallenge[] = [];

  const play = {
    async send({ purpose, delivered }: Step & { do: 'send' }) {
      const now = model.now();
      const send: CountSend = {
        ...LIMITS,
        sendId: newTokenId(),
        number,
        address: number,
        country: 'XX',
        perAddressHour: undefined,
        guard: undefined,
        now,
      };
      const verdict = model.send();
      deepStrictEqual(await otp.countSend(send), verdict);
      if (verdict.status !== 'counted') return;
      deepStrictEqual(await otp.countSend(send), verdict);
      if (!delivered) {
        model.takeBack();
        return otp.uncountSend(send);
      }
      const challenge = { number, purpose, codeHash: newTokenId(), lifetimeMs: LIFETIME, now };
      opened.push(challenge);
      model.open(challenge);
      await otp.openChallenge(challenge);
    },
    async answer({ purpose, rightly }: Step & { do: 'answer' }) {
      const code = rightly
        ? (opened.findLast((each) => each.purpose === purpose)?.codeHash ?? 'none')
        : 'wrong';
      const input = { ...TRIES, number, purpose, codeHashes: [code], now: model.now() };
      deepStrictEqual(await otp.answerChallenge(input), model.answer(purpose, code));
    },
    async repeat({ nth }: Step & { do: 'repeat' }) {
      const challenge = opened[nth % opened.length];
      if (!challenge) return;
      model.open(challenge);
      await otp.openChallenge(challenge);
    },
    async wait({ ms }: Step & { do: 'wait' }) {
      model.wait(ms);
    },
  };
  for (const each of steps) await (play[each.do] as (step: Step) => Promise<void>)(each);
}

/** All that ever happened to one number, looked through from the start each time. */
function createModel(start: number) {
  let now = start;
  const sends: number[] = [];
  let sendsSinceProof: number[] = [];
  const wrong: number[] = [];
  const challenges = new Map<OtpPurpose, Challenge>();

  interface Challenge {
    code: string;
    newest: number;
    wrong: number;
    expiresAt: number;
    answered: boolean;
  }

  /** How long until fewer than `max` of these lie in the window that ends then. */
  function waitForRoom(all: number[], max: number, window: number): number {
    const hasRoom = (moment: number) => all.filter((at) => at > moment - window).length < max;
    const moments = [now, ...all.map((at) => at + window)].filter(
      (moment) => moment >= now && hasRoom(moment),
    );
    return Math.min(...moments) - now;
  }

  function coolDown(): number {
    const recent = sendsSinceProof.filter((at) => at > now - DAY);
    if (recent.length === 0) return 0;
    const wait = LIMITS.coolDownMs[Math.min(recent.length, LIMITS.coolDownMs.length) - 1] as number;
    return Math.max(0, Math.max(...recent) + wait - now);
  }

  /** The budget with the least left. `newest`: but for the send just counted the window may have been empty. */
  function tightest(newest?: -1): LimitState {
    const before = sends.slice(0, newest);
    const [hour, day] = [
      { max: LIMITS.perHour, window: HOUR },
      { max: LIMITS.perDay, window: DAY },
    ].map(({ max, window }) => {
      const inside = (all: number[]) => all.filter((at) => at > now - window);
      const oldest = inside(before)[0] ?? now;
      return { max, remaining: max - inside(sends).length, resetMs: oldest + window - now };
    }) as [LimitState, LimitState];
    return day.remaining < hour.remaining ? day : hour;
  }

  return {
    now: () => now,
    wait(ms: number) {
      now += ms;
    },

    send(): SendVerdict {
      const hour = waitForRoom(sends, LIMITS.perHour, HOUR);
      const day = waitForRoom(sends, LIMITS.perDay, DAY);
      const retryMs = Math.max(coolDown(), hour, day);
      if (coolDown() > 0) return { status: 'cooldown', retryMs, limit: tightest() };
      if (day > hour) return { status: 'limited', by: 'number_day', max: LIMITS.perDay, retryMs };
      if (hour > 0) return { status: 'limited', by: 'number_hour', max: LIMITS.perHour, retryMs };
      sends.push(now);
      sendsSinceProof.push(now);
      return { status: 'counted', resendMs: coolDown(), suspicions: [], limit: tightest(-1) };
    },

    takeBack() {
      sends.pop();
      sendsSinceProof.pop();
    },

    open({ purpose, codeHash: code, now: at, lifetimeMs }: OpenChallenge) {
      const c = challenges.get(purpose);
      if (c && (at < c.newest || (at === c.newest && code === c.code))) return;
      challenges.set(purpose, { code, newest: at, wrong: 0, expiresAt: at + lifetimeMs, answered: false });
    },

    answer(purpose: OtpPurpose, code: string): AnswerVerdict {
      const c = challenges.get(purpose);
      if (!c || c.answered || now >= c.expiresAt) return { status: 'none' };
      const retryMs = Math.max(
        waitForRoom(wrong, TRIES.maxTriesPerHour, HOUR),
        waitForRoom(wrong, TRIES.maxTriesPerDay, DAY),
        c.wrong >= TRIES.maxTries ? c.expiresAt - now : 0,
      );
      if (retryMs > 0) return { status: 'spent', retryMs };
      if (code !== c.code) {
        c.wrong += 1;
        wrong.push(now);
        return { status: 'wrong' };
      }
      c.answered = true;
      c.newest = now;
      sendsSinceProof = [];
      return { status: 'right' };
    },
  };
}
