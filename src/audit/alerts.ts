import { type Clock, toIso } from '../lib/clock.js';
import type { EventDetail, EventStore, EventSummary, EventType, Happening, SecurityEvent } from './events.js';

/** What several events together may mean. */
export const ALERT_KINDS = [
  /** A spent refresh token was used again: somebody else has it. */
  'token_reuse',
  /** One address tried the passwords of many accounts. */
  'password_spraying',
  /** Many addresses tried the password of one account. */
  'distributed_guessing',
  /** One address had many codes sent, or the spend guard found its sends suspicious. */
  'otp_flood',
] as const;

export type AlertKind = (typeof ALERT_KINDS)[number];

/** What is alike raises one alert in each of these (ms), and is looked for in the last of these. */
export const ALERT_WINDOW_MS = 3_600_000;

/** In one window. */
export const ALERT_THRESHOLDS = {
  /** Known accounts that one address failed to log in to. */
  sprayedAccounts: 10,
  /** The same together with failures for names that nobody has: typing errors are among them. */
  sprayedNames: 25,
  /** Addresses from which one account was failed to be logged in to. */
  guessingAddresses: 10,
  /** Codes asked for from one address; by default the next five are refused. */
  codesOfAddress: 15,
} as const;

/** The alerts that one event raises by itself; they are stored in one statement with it. */
export function alertsAbout(event: SecurityEvent): SecurityEvent[] {
  if (event.type !== 'token_reused') return [];
  const { userId, sessionId, ip, userAgent, at } = event;
  return [
    {
      ...alert('token_reuse', userId ?? sessionId ?? '', at, {}),
      at,
      userId,
      sessionId,
      ip,
      userAgent,
    },
  ];
}

/** Of alerts about the same in one window, whichever process raises them, one is stored. */
function alert(
  kind: AlertKind,
  subject: string,
  at: number,
  detail: EventDetail,
): Pick<SecurityEvent, 'type' | 'once' | 'detail'> {
  return {
    type: 'alert',
    once: `${kind}:${subject}:${Math.floor(at / ALERT_WINDOW_MS)}`,
    detail: { alert: kind, ...detail },
  };
}

/** What the operator's webhook is told. */
export function describeAlert(event: SecurityEvent): string {
  const { alert: kind, ...detail } = event.detail ?? {};
  return JSON.stringify({
    type: 'security.alert',
    timestamp: toIso(event.at),
    data: {
      event: event.uid,
      alert: kind,
      user_id: event.userId ?? null,
      session_id: event.sessionId ?? null,
      ip: event.ip ?? null,
      ...detail,
    },
  });
}

export interface AttackWatchNeeds {
  summarize: EventStore['summarize'];
  /** Stores an alert. */
  raise(happening: Happening): void;
  /** What addresses of one subscriber have in common; what is no address has nothing. */
  addressGroup(ip: string): string;
  now: Clock;
  /** `inline` where nothing runs after the answer, as on Lambda: somebody calls `inspect` from time to time. */
  mode?: 'background' | 'inline';
  /** Told when the stored events could not be looked at; they are looked at with the next ones of those suspects. */
  onTrouble(error: unknown): void;
}

export interface AttackWatch {
  /** Takes note of events that have just been stored; some moments later their addresses and users are looked at. */
  note(events: readonly SecurityEvent[]): void;
  /** Looks at some of those noted. */
  inspect(): Promise<void>;
  close(): void;
}

/** A second: many events of one address are looked at together (ms). */
const INSPECT_MS = 1000;
/** At most so many of each are looked at in one statement, and wait for it; more than that are left to their next event. */
const AT_ONCE = 50;
const MAX_SUSPECTS = 1000;

const FAILURES: readonly EventType[] = ['login_failed'];
const SENDS: readonly EventType[] = ['otp_sent', 'otp_withheld', 'otp_send_suspected'];

/**
 * Finds attacks that no single event shows, from what is stored: so every process sees what all of them stored, and
 * nobody waits for it. An attack that has stopped before its last events were stored is found all the same, unless
 * the process ends within that second.
 */
export function createAttackWatch(needs: AttackWatchNeeds): AttackWatch {
  const { summarize, raise, addressGroup, now, mode = 'background', onTrouble } = needs;
  /** One of each group. */
  const ips = new Map<string, string>();
  const userIds = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  function suspect(among: Map<string, string>, key: string, value: string): void {
    if (among.size < MAX_SUSPECTS) among.set(key, value);
  }

  function schedule(): void {
    if (timer || closed || mode === 'inline' || ips.size + userIds.size === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void inspect().finally(schedule);
    }, INSPECT_MS).unref();
  }

  async function inspect(): Promise<void> {
    const asked = { ips: takeSome(ips), userIds: takeSome(userIds), since: now() - ALERT_WINDOW_MS };
    if (asked.ips.length + asked.userIds.length === 0) return;
    try {
      const found = await summarize(asked);
      for (const ip of asked.ips) judgeAddress(ip, partsOf(found, 'ip', ip));
      for (const userId of asked.userIds) judgeAccount(userId, partsOf(found, 'user', userId));
    } catch (error) {
      onTrouble(error);
    }
  }

  function judgeAddress(ip: string, parts: readonly EventSummary[]): void {
    const client = { ip };
    const failed = sum(parts, FAILURES);
    if (
      failed.others >= ALERT_THRESHOLDS.sprayedAccounts ||
      failed.others + failed.unknown >= ALERT_THRESHOLDS.sprayedNames
    ) {
      const detail = { accounts: failed.others, failures: failed.count, window: ALERT_WINDOW_MS / 1000 };
      raise({ ...alert('password_spraying', addressGroup(ip), now(), detail), client });
    }
    const sent = sum(parts, SENDS);
    const isSuspected = parts.some(({ type }) => type === 'otp_send_suspected');
    if (sent.count >= ALERT_THRESHOLDS.codesOfAddress || isSuspected) {
      const detail = { count: sent.count, window: ALERT_WINDOW_MS / 1000 };
      raise({ ...alert('otp_flood', addressGroup(ip), now(), detail), client });
    }
  }

  function judgeAccount(userId: string, parts: readonly EventSummary[]): void {
    const failed = sum(parts, FAILURES);
    if (failed.others < ALERT_THRESHOLDS.guessingAddresses) return;
    const detail = { addresses: failed.others, failures: failed.count, window: ALERT_WINDOW_MS / 1000 };
    raise({ ...alert('distributed_guessing', userId, now(), detail), userId });
  }

  return {
    note(events) {
      for (const { type, ip, userId } of events) {
        if (FAILURES.includes(type) && userId) suspect(userIds, userId, userId);
        if ((FAILURES.includes(type) || SENDS.includes(type)) && ip) suspect(ips, addressGroup(ip), ip);
      }
      schedule();
    },
    inspect,
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

function takeSome(among: Map<string, string>): string[] {
  const taken = [...among].slice(0, AT_ONCE);
  for (const [key] of taken) among.delete(key);
  return taken.map(([, value]) => value);
}

const partsOf = (found: readonly EventSummary[], of: EventSummary['of'], value: string): EventSummary[] =>
  found.filter((part) => part.of === of && part.value === value);

function sum(parts: readonly EventSummary[], types: readonly EventType[]) {
  const total = { count: 0, others: 0, unknown: 0 };
  for (const part of parts.filter(({ type }) => types.includes(type))) {
    total.count += part.count;
    total.others += part.others;
    total.unknown += part.unknown;
  }
  return total;
}
