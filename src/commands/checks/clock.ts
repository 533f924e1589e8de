import { type Finding, fail, ok, warn } from './finding.js';

/** Servers that issue tokens must agree to within so much (SECURITY.md). */
const TOO_FAR_MS = 10_000;
/** Beyond what a slow answer explains. */
const FAR_MS = 1000;

/** This machine's clock against that of the stores. */
export function checkClock(ahead: readonly { of: string; ms: number }[]): Finding[] {
  if (ahead.length === 0) return [];
  const name = 'clock';
  const [furthest] = [...ahead].sort((a, b) => Math.abs(b.ms) - Math.abs(a.ms)) as [(typeof ahead)[number]];
  const { of, ms } = furthest;
  const detail =
    Math.abs(ms) < FAR_MS
      ? `agrees with that of ${ahead.map((each) => each.of).join(' and ')}`
      : `${(Math.abs(ms) / 1000).toFixed(1)} s ${ms > 0 ? 'behind' : 'ahead of'} that of ${of}`;
  const advice = 'Run NTP on every machine: tokens hold times, and servers that disagree refuse each other.';
  if (Math.abs(ms) >= TOO_FAR_MS) return [fail(name, detail, advice)];
  if (Math.abs(ms) >= FAR_MS) return [warn(name, detail, advice)];
  return [ok(name, detail)];
}
