import type { StoredAccount } from '../accounts/account-store.js';
import type { User } from '../accounts/user.js';
import type { EventRecorder } from '../audit/events.js';
import type { Locale } from '../contract/messages.js';
import type { OtpPurpose } from '../contract/otp.js';
import type { SmsOutbox } from '../delivery/sms.js';
import { AuthError } from '../errors.js';
import type { Clock } from '../lib/clock.js';
import { newTokenId } from '../lib/ids.js';
import type { CodeLimits, CodeTry } from '../security/code-limits.js';
import type { Client } from '../tokens/session-service.js';
import type { LimitState } from '../tokens/state-store.js';
import { writeMessage } from './message-texts.js';
import { hashCode, makeCode, readCode } from './one-time-code.js';
import type { AnswerVerdict, OtpStore, SendCount, SendVerdict, SpendSuspicion } from './otp-store.js';
import { fingerprintOfNumber, type PhoneNumber, readPhoneNumber } from './phone-number.js';

/** Durations are seconds; what is `undefined` is unlimited. */
export interface OtpPolicy {
  /** Digits of a code. */
  length: number;
  lifetime: number;
  /** Wrong tries per code, and per number in an hour. */
  maxAttempts: number;
  attemptsPerHour: number;
  /** Waits after the first, second, … code to a number. */
  resend: readonly number[];
  sendsPerHour: number | undefined;
  sendsPerDay: number | undefined;
  sendsPerIpHour: number | undefined;
  spendGuard: 'record' | 'deny' | 'off';
  dailyCap: number | undefined;
  /** ISO 3166 alpha-2; `undefined`: all that are not denied. */
  allowedCountries: readonly string[] | undefined;
  deniedCountries: readonly string[];
  /** From E.164 to the code that is always the right one there, sent or not. */
  testNumbers: ReadonlyMap<string, string>;
  /** Whose national numbers need no country code. */
  phoneRegion: string;
}

export interface OtpServiceNeeds {
  store: OtpStore;
  /** `undefined` where nothing brings messages to phones. */
  outbox: SmsOutbox | undefined;
  policy: OtpPolicy;
  /** Newest first: the first hashes new codes, all are tried. */
  secrets(): readonly Buffer[];
  accounts: {
    findOwnerOfPhone(phone: string): Promise<Pick<User, 'id' | 'isActive'> | undefined>;
    findByIdentifier(identifier: { kind: 'phone'; key: string }): Promise<StoredAccount | undefined>;
  };
  limits: CodeLimits;
  /** As sends are counted by; IPv6 by its /64. */
  limitAddress(ip: string): string;
  /** Host name of the pages that ask for codes; it stands in every message. */
  domain: string;
  /** No code is sent that could register nobody. */
  registration: 'open' | 'closed';
  events: EventRecorder;
  now: Clock;
  /** Told when the spend guard finds a send suspicious, whether or not it denies it. */
  onSuspicion(suspicions: readonly SpendSuspicion[], country: string): void;
}

export interface SendRequest {
  /** As it was typed. */
  phone: string;
  purpose: OtpPurpose;
  /** The language of the message. */
  locale: Locale;
}

export interface ProveRequest {
  phone: string;
  purpose: OtpPurpose;
  code: string;
  /** Where it must be this number and no other; `null`: there is none. */
  ofNumber?: string | null;
}

interface CodeOfNumber {
  purpose: OtpPurpose;
  /** E.164. */
  phone: string;
  code: string;
}

/** Whoever sent the code holds this number. */
export interface Proof {
  /** E.164. */
  phone: string;
  /** The account that has this number, whether or not it was ever proved there. */
  owner: User | undefined;
  /** What is left of the address's tries: this one was none. */
  limit: LimitState | undefined;
  /**
   * Tells the stores that the code was right: started in the turn in which the next command to the state store starts,
   * it costs no trip of its own. Nobody waits for it; if it fails, a count stays one too high.
   */
  settle(): void;
  /**
   * Puts the code up again, as new: what it was for was refused for another reason, and may be tried once more.
   * @throws store_unavailable
   */
  giveBack(): Promise<void>;
}

export type OtpService = ReturnType<typeof createOtpService>;

/** Below so many sends a day of a country, or from an address, the share of proved codes says nothing. */
export const GUARD = { minPerCountry: 100, minPerAddress: 20, minVerifiedRatio: 0.2 };

/** To any number. For the others only the owner of an account has a use: where there is none, nothing is sent. */
const SENT_TO_ANYBODY: readonly OtpPurpose[] = ['register', 'verify'];

/** One-time codes by phone: sending them, and finding out whether somebody holds the number one was sent to. */
export function createOtpService(needs: OtpServiceNeeds) {
  const { store, outbox, policy, accounts, limits, events, now } = needs;

  /**
   * Sends a code. The answer is the same in the same time whether or not an account has the number: the look-up, the
   * challenge and the text are made in any case, only the message is or is not handed on, which takes no time.
   * @throws invalid_phone, registration_closed, delivery_unavailable, otp_cooldown, rate_limited, store_unavailable
   */
  async function send(
    { phone, purpose, locale }: SendRequest,
    client: Client,
  ): Promise<{ expiresIn: number; resendIn: number; limit: LimitState | undefined }> {
    if (purpose === 'register' && needs.registration === 'closed') throw new AuthError('registration_closed');
    const number = requireReachable(phone);
    const testCode = policy.testNumbers.get(number.e164);
    if (testCode === undefined) requireDelivery();
    const counted: SendCount = {
      sendId: newTokenId(),
      number: fingerprintOfNumber(number.e164),
      address: needs.limitAddress(client.ip),
      country: number.country,
      now: now(),
    };
    const { resendMs, limit } = await countSend(counted, client);

    const code = testCode ?? makeCode(policy.length);
    const [owner] = await Promise.all([
      accounts.findOwnerOfPhone(number.e164),
      openChallenge(counted, { purpose, phone: number.e164, code }),
    ]).catch(async (error: unknown) => {
      await giveBack(counted);
      throw error;
    });

    const text = writeMessage({ locale, purpose, code, domain: needs.domain });
    const message = { to: number.e164, purpose, text, code };
    const isSent = SENT_TO_ANYBODY.includes(purpose) || owner?.isActive === true;
    // Both are events, so that a send costs the same rows whoever has the number.
    events.record({ type: isSent ? 'otp_sent' : 'otp_withheld', userId: owner?.id, client });
    if (testCode === undefined) {
      await outbox?.post(isSent ? message : undefined, () => onLost(purpose, counted, owner?.id, client));
    }
    return { expiresIn: policy.lifetime, resendIn: Math.ceil(resendMs / 1000), limit };
  }

  function requireReachable(raw: string): PhoneNumber {
    const number = requireNumber(raw);
    const { allowedCountries, deniedCountries } = policy;
    const isAllowed = allowedCountries === undefined || allowedCountries.includes(number.country);
    if (!isAllowed || deniedCountries.includes(number.country)) throw invalidPhone('country');
    return number;
  }

  function requireNumber(raw: string): PhoneNumber {
    const number = readPhoneNumber(raw, policy.phoneRegion);
    if (!number) throw invalidPhone('format');
    return number;
  }

  function requireDelivery(): void {
    if (!outbox) throw new AuthError('delivery_unavailable', { why: 'no SMS provider is configured' });
    outbox.requireOpen();
  }

  async function countSend(
    counted: SendCount,
    client: Client,
  ): Promise<Extract<SendVerdict, { status: 'counted' }>> {
    const { spendGuard: mode, dailyCap } = policy;
    const verdict = await store.countSend({
      ...counted,
      coolDownMs: policy.resend.map((seconds) => seconds * 1000),
      perHour: policy.sendsPerHour,
      perDay: policy.sendsPerDay,
      perAddressHour: policy.sendsPerIpHour,
      guard: mode === 'off' ? undefined : { mode, ...GUARD, dailyCap: dailyCap ?? Number.MAX_SAFE_INTEGER },
    });
    if ('suspicions' in verdict && verdict.suspicions.length > 0) {
      needs.onSuspicion(verdict.suspicions, counted.country);
      events.record({ type: 'otp_send_suspected', client });
    }
    if (verdict.status !== 'counted') throw sendRefusal(verdict);
    return verdict;
  }

  const openChallenge = ({ number }: SendCount, challenge: CodeOfNumber): Promise<void> =>
    store.openChallenge({
      number,
      purpose: challenge.purpose,
      codeHash: hashCode(needs.secrets()[0] as Buffer, challenge),
      lifetimeMs: policy.lifetime * 1000,
      now: now(),
    });

  /**
   * A message that was lost gives the budget back, but only where one is sent to any number. Elsewhere a second code at
   * once would tell that there had been a first, and so that an account has the number.
   */
  function onLost(purpose: OtpPurpose, counted: SendCount, userId: string | undefined, client: Client): void {
    events.record({ type: 'otp_send_failed', userId, client });
    if (SENT_TO_ANYBODY.includes(purpose)) void giveBack(counted);
  }

  /** A count that could not be taken back is one too many, and no reason for another failure. */
  const giveBack = (counted: SendCount): Promise<void> =>
    store.uncountSend({ ...counted, now: now() }).catch(() => undefined);

  /**
   * Finds out whether the caller holds the number. A right code is spent by it.
   * @throws invalid_phone, otp_invalid, otp_expired, otp_attempts_exceeded, rate_limited, store_unavailable
   */
  async function prove(
    { phone, purpose, code: typed, ofNumber }: ProveRequest,
    client: Client,
  ): Promise<Proof> {
    const number = requireNumber(phone);
    const { e164 } = number;
    if (ofNumber !== undefined && ofNumber !== e164) throw invalidPhone('another number');
    const code = readCode(typed, policy.length);
    if (code === undefined) {
      throw new AuthError('otp_invalid', { errors: [{ field: 'otp', code: 'invalid_format' }] });
    }

    const [tried, verdict] = await Promise.all([
      limits.countTry(client.ip),
      judgeCode({ purpose, phone: e164, code }),
    ]);
    // Even a right one, which is spent now: nothing may tell it from the others an address has too many of.
    if (!tried.isAllowed) throw new AuthError('rate_limited', { limit: tried.limit });
    if (verdict.status !== 'right') throw await proofRefusal(verdict, tried, e164, client);

    const owner = (await accounts.findByIdentifier({ kind: 'phone', key: e164 }))?.user;
    events.record({ type: 'otp_verified', userId: owner?.id, client });
    return {
      phone: e164,
      owner,
      limit: tried.limitWithout,
      settle: () => settle(number, tried, client),
      giveBack: () => reopenChallenge({ purpose, phone: e164, code }),
    };
  }

  /** Whoever uses a test number knows its code, which therefore need not be sent first. Every try counts all the same. */
  async function judgeCode(typed: CodeOfNumber): Promise<AnswerVerdict> {
    const verdict = await answerChallenge(typed);
    const testCode = policy.testNumbers.get(typed.phone);
    if (verdict.status !== 'none' || testCode === undefined) return verdict;
    await reopenChallenge({ ...typed, code: testCode });
    return answerChallenge(typed);
  }

  /** A moment later than it was answered, or the mark of the answer would stand in its way. */
  const reopenChallenge = (challenge: CodeOfNumber): Promise<void> =>
    store.openChallenge({
      number: fingerprintOfNumber(challenge.phone),
      purpose: challenge.purpose,
      codeHash: hashCode(needs.secrets()[0] as Buffer, challenge),
      lifetimeMs: policy.lifetime * 1000,
      now: now() + 1,
    });

  const answerChallenge = (challenge: CodeOfNumber): Promise<AnswerVerdict> =>
    store.answerChallenge({
      number: fingerprintOfNumber(challenge.phone),
      purpose: challenge.purpose,
      codeHashes: needs.secrets().map((secret) => hashCode(secret, challenge)),
      maxTries: policy.maxAttempts,
      maxTriesPerHour: policy.attemptsPerHour,
      maxTriesPerDay: policy.sendsPerDay && policy.sendsPerDay * policy.maxAttempts,
      now: now(),
    });

  async function proofRefusal(
    verdict: Exclude<AnswerVerdict, { status: 'right' }>,
    tried: CodeTry,
    phone: string,
    client: Client,
  ): Promise<AuthError> {
    if (verdict.status === 'spent') {
      // Nothing was compared, so nothing was guessed.
      await tried.takeBack().catch(() => undefined);
      const retryAfter = toRetryAfter(verdict.retryMs);
      return new AuthError('otp_attempts_exceeded', { retryAfter, limit: tried.limitWithout });
    }
    // For the list that its owner sees; the answer does not depend on it.
    const owner = await accounts.findOwnerOfPhone(phone).catch(() => undefined);
    events.record({ type: 'otp_failed', userId: owner?.id, client });
    const { limit } = tried;
    return new AuthError(verdict.status === 'wrong' ? 'otp_invalid' : 'otp_expired', { limit });
  }

  function settle({ country }: PhoneNumber, tried: CodeTry, client: Client): void {
    const told = [
      tried.takeBack(),
      store.countVerified({ address: needs.limitAddress(client.ip), country, now: now() }),
    ];
    void Promise.allSettled(told);
  }

  return { send, prove };
}

const invalidPhone = (why: 'format' | 'country' | 'another number'): AuthError =>
  new AuthError('invalid_phone', {
    errors: [{ field: 'phone', code: why === 'format' ? 'invalid_format' : 'invalid_value' }],
    why,
  });

function sendRefusal(verdict: Exclude<SendVerdict, { status: 'counted' }>): AuthError {
  const retryAfter = toRetryAfter(verdict.retryMs);
  switch (verdict.status) {
    case 'cooldown':
      return new AuthError('otp_cooldown', { retryAfter, limit: verdict.limit });
    case 'limited':
      return new AuthError('rate_limited', {
        limit: { max: verdict.max, remaining: 0, resetMs: verdict.retryMs },
        why: verdict.by,
      });
    case 'denied':
      return new AuthError('rate_limited', { retryAfter, why: verdict.suspicions.join(', ') });
  }
}

const toRetryAfter = (ms: number): number => Math.max(1, Math.ceil(ms / 1000));
