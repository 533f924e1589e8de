import type { Clock } from '../lib/clock.js';

export interface CircuitBreakerNeeds {
  /** Failures in a row that open it. */
  threshold: number;
  /** How long it stays open before one call may find out whether things are better (ms). */
  coolMs: number;
  now: Clock;
}

export interface CircuitBreaker {
  /** How long nothing is called (ms); 0: a call may go. */
  waitMs(): number;
  /** Lets one call go, or none. Whoever was let go must say afterwards how it went. */
  enter(): ((failed: boolean) => void) | undefined;
}

/** While a probe is under way nobody knows how long it takes. */
const PROBE_WAIT_MS = 1000;

/** Stops calling what keeps failing: open after so many failures in a row, then one probe at a time. */
export function createCircuitBreaker({ threshold, coolMs, now }: CircuitBreakerNeeds): CircuitBreaker {
  let failures = 0;
  let openUntil: number | undefined;
  let probing = false;

  function waitMs(): number {
    if (openUntil === undefined) return 0;
    return probing ? PROBE_WAIT_MS : Math.max(0, openUntil - now());
  }

  return {
    waitMs,
    enter() {
      if (waitMs() > 0) return undefined;
      const isProbe = openUntil !== undefined;
      if (isProbe) probing = true;
      return (failed) => {
        if (isProbe) probing = false;
        if (!failed) {
          failures = 0;
          openUntil = undefined;
          return;
        }
        failures += 1;
        // What was under way when it opened fails late: that does not put the probe off.
        if (isProbe || (openUntil === undefined && failures >= threshold)) openUntil = now() + coolMs;
      };
    },
  };
}
