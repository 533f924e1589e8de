import type { CountSend, SendVerdict, SpendSuspicion } from '../otp/otp-store.js';
import type { LimitState } from '../tokens/state-store.js';

/** What one slot says of a send. Waits are milliseconds; one that is 0 stands in nobody's way. */
export interface SlotAnswer {
  /** The longest of its waits; 0: this slot counts the send. */
  waitMs: number;
}

/** Sends in the window before this one, and the ms until the oldest has left it: the whole window where there is none. */
export type BudgetUse = readonly [used: number, resetMs: number];

export interface NumberAnswer extends SlotAnswer {
  coolDownMs: number;
  hourMs: number;
  dayMs: number;
  /** The cool-down after this send. */
  resendMs: number;
  hour: BudgetUse;
  day: BudgetUse;
}

/** Of a slot the spend guard looks at. It makes nobody wait unless it denies. */
export interface GuardedAnswer extends SlotAnswer {
  isSuspicious: boolean;
}

export interface AddressAnswer extends GuardedAnswer {
  hourMs: number;
  hour: BudgetUse;
}

export interface SlotAnswers {
  number: NumberAnswer;
  address: AddressAnswer;
  country: GuardedAnswer;
  all: GuardedAnswer;
}

/** Puts together what the slots say of one send, in the order of `SendVerdict`. */
export function judgeSend(input: CountSend, { number, address, country, all }: SlotAnswers): SendVerdict {
  const { perHour, perDay, perAddressHour } = input;
  const suspicions: SpendSuspicion[] = [];
  if (country.isSuspicious) suspicions.push('country');
  if (address.isSuspicious) suspicions.push('address');
  if (all.isSuspicious) suspicions.push('daily_cap');

  const retryMs = Math.max(number.waitMs, address.waitMs, country.waitMs, all.waitMs);
  if (retryMs === 0) {
    const limit = tightestBudget(input, { number, address }, 1);
    return { status: 'counted', resendMs: number.resendMs, suspicions, limit };
  }

  const limited = (by: 'number_hour' | 'number_day' | 'address', max: number | undefined): SendVerdict => ({
    status: 'limited',
    by,
    max: max as number,
    retryMs,
  });
  if (number.coolDownMs > 0) {
    return { status: 'cooldown', retryMs, limit: tightestBudget(input, { number, address }, 0) };
  }
  if (number.dayMs > number.hourMs) return limited('number_day', perDay);
  if (number.hourMs > 0) return limited('number_hour', perHour);
  if (address.hourMs > 0) return limited('address', perAddressHour);
  return { status: 'denied', suspicions, retryMs };
}

/** The budget with the least left when so many more are counted. */
export function tightestBudget(
  { perHour, perDay, perAddressHour }: Pick<CountSend, 'perHour' | 'perDay' | 'perAddressHour'>,
  { number, address }: { number: Pick<NumberAnswer, 'hour' | 'day'>; address: Pick<AddressAnswer, 'hour'> },
  more: number,
): LimitState | undefined {
  const budgets = [
    { max: perHour, use: number.hour },
    { max: perDay, use: number.day },
    { max: perAddressHour, use: address.hour },
  ];
  const states = budgets.flatMap(({ max, use: [used, resetMs] }) =>
    max === undefined ? [] : [{ max, remaining: Math.max(0, max - used - more), resetMs }],
  );
  return states.sort((a, b) => a.remaining - b.remaining)[0];
}
