import type { Test } from 'tap';
import { DeliveryError } from '../../src/delivery/port.js';
import { describeError } from '../../src/lib/describe-error.js';

/** What a provider's failure says of itself. */
export interface Failure {
  message: string;
  retryable: boolean;
  ofProvider: boolean;
}

/** The failure of `send`, after a look at whether it gives away anything that `secrets` finds. */
export async function describeFailure(
  t: Test,
  send: () => Promise<unknown>,
  secrets: RegExp,
): Promise<Failure> {
  try {
    await send();
  } catch (error) {
    if (!(error instanceof DeliveryError)) throw error;
    const { stack: _, ...described } = describeError(error);
    t.notMatch(JSON.stringify(described), secrets);
    t.notMatch(error.stack?.split('\n    at ')[0], secrets);
    t.equal(error.cause, undefined);
    const { message, retryable, ofProvider } = error;
    return { message, retryable, ofProvider };
  }
  throw new Error('the provider took the message');
}

export const passing = (message: string): Failure => ({ message, retryable: true, ofProvider: true });
export const ofAccount = (message: string): Failure => ({ message, retryable: false, ofProvider: true });
export const ofMessage = (message: string): Failure => ({ message, retryable: false, ofProvider: false });
