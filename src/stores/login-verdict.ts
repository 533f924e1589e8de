import type { CountedTry, CountTry, TryVerdict } from '../security/login-store.js';
import type { LimitState, LimitVerdict } from '../tokens/state-store.js';

/** What the account's slot says of a try. */
export interface AccountVerdict {
  status: TryVerdict['status'];
  /** The budget of the device, if it is known: then neither the address nor what strangers did decides. */
  device: LimitState | undefined;
  /** How long tries are refused yet; 0 when they are not. */
  retryMs: number;
}

type Refused = Exclude<TryVerdict, { status: 'counted' }>;

/** Where a try was counted, as far as the slots have answered. */
export function whereCounted(
  { account: id, address: from, addressRules, deviceId, now }: CountTry,
  account: AccountVerdict | undefined,
  address: LimitVerdict | undefined,
): CountedTry {
  const rules = addressRules.map(({ name }) => name);
  const row = { account: id, deviceId: account?.device && deviceId };
  return {
    now,
    address: address?.allowed ? { address: from, rules } : undefined,
    row: account?.status === 'counted' ? row : undefined,
  };
}

/**
 * Puts the verdicts of the two slots together: what to tell, and what is to be taken back because the other slot
 * refused. `address` may be left out for a known device.
 */
export function judgeTry(
  input: CountTry,
  account: AccountVerdict,
  address: LimitVerdict | undefined,
): { verdict: TryVerdict; takeBack: CountedTry } {
  const { device } = account;
  const counted = whereCounted(input, account, address);
  const refused = device ? refusedByDevice(account, device) : refusedToStrangers(account, address!);
  if (refused) return { verdict: refused, takeBack: counted };
  return {
    verdict: { status: 'counted', counted, limit: device ?? address!.limit },
    takeBack: { now: input.now },
  };
}

function refusedByDevice({ status, retryMs }: AccountVerdict, limit: LimitState): Refused | undefined {
  if (status === 'counted') return undefined;
  return status === 'delayed' ? { status, limit, retryMs } : { status, limit };
}

/** Of two refusals the one that holds longer: whoever comes back when it ends is not refused by the other. */
function refusedToStrangers(
  { status, retryMs }: AccountVerdict,
  { allowed, limit }: LimitVerdict,
): Refused | undefined {
  if (!allowed && limit.resetMs >= retryMs) return { status: 'limited', limit };
  if (status !== 'delayed') return undefined;
  // What the address counted is taken back.
  return { status, retryMs, limit: allowed ? { ...limit, remaining: limit.remaining + 1 } : limit };
}
