import type { CountSend, SendVerdict, SpendSuspicion } from '../otp/otp-store.js';

/** What one slot says of a send. Waits are milliseconds; one that is 0 stands in nobody's way. */
export interface SlotAnswer {
  /** The longest of its waits; 0: this slot counts the send. */
  waitMs: number;
}

export interface NumberAnswer extends SlotAnswer {
  coolDownMs: number;
  hourMs: number;
  dayMs: number;
  /** The cool-down after this send. */
  resendMs: number;
}

/** Of a slot the spend guard looks at. It makes nobody wait unless it denies. */
export interface GuardedAnswer extends SlotAnswer {
  isSuspicious: boolean;
}

export interface AddressAnswer extends GuardedAnswer {
  hourMs: number;
}

export interface SlotAnswers {
  number: NumberAnswer;
  address: AddressAnswer;
  country: GuardedAnswer;
  all: GuardedAnswer;
}

/** Puts together what the slots say of one send, in the order of `SendVerdict`. */
export function judgeSend(
  { perHour, perDay, perAddressHour }: CountSend,
  { number, address, country, all }: SlotAnswers,
): SendVerdict {
  const suspicions: SpendSuspicion[] = [];
  if (country.isSuspicious) suspicions.push('country');
  if (address.isSuspicious) suspicions.push('address');
  if (all.isSuspicious) suspicions.push('daily_cap');

  const retryMs = Math.max(number.waitMs, address.waitMs, country.waitMs, all.waitMs);
  if (retryMs === 0) return { status: 'counted', resendMs: number.resendMs, suspicions };

  const limited = (by: 'number_hour' | 'number_day' | 'address', max: number | undefined): SendVerdict => ({
    status: 'limited',
    by,
    max: max as number,
    retryMs,
  });
  if (number.coolDownMs > 0) return { status: 'cooldown', retryMs };
  if (number.dayMs > number.hourMs) return limited('number_day', perDay);
  if (number.hourMs > 0) return limited('number_hour', perHour);
  if (address.hourMs > 0) return limited('address', perAddressHour);
  return { status: 'denied', suspicions, retryMs };
}
