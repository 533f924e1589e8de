import type { LimitRule, LimitVerdict } from '../../../tokens/state-store.js';
import type { Keys } from '../../keys.js';
import type { Row, Rows } from '../rows.js';

interface Counter {
  row: Row<number>;
  max: number;
  left: number;
  endsAt: number;
}

export function hitLimits(
  rows: Rows,
  keys: Keys,
  { slot, rules }: { slot: string; rules: LimitRule[] },
): LimitVerdict {
  const counters = rules.map(({ name, max, windowMs }): Counter => {
    const row = rows.load<number>(keys.limit(slot, name));
    // A process that waited for its turn may be behind the one that began the window.
    const endsAt = Math.min(row.expiresAt || Infinity, rows.now + windowMs);
    return { row, max, left: max - (row.value ?? 0), endsAt };
  });

  const spent = counters.filter(({ left }) => left <= 0);
  if (spent.length > 0) {
    const last = spent.reduce((a, b) => (b.endsAt > a.endsAt ? b : a));
    return { allowed: false, limit: { max: last.max, remaining: 0, resetMs: last.endsAt - rows.now } };
  }

  for (const { row, endsAt } of counters) {
    row.value = (row.value ?? 0) + 1;
    row.expiresAt = endsAt;
  }
  const tightest = counters.reduce((a, b) => (b.left < a.left ? b : a));
  const { max, left, endsAt } = tightest;
  return { allowed: true, limit: { max, remaining: left - 1, resetMs: endsAt - rows.now } };
}

/** Takes a hit back. A window with none has not begun. */
export function unhitLimits(rows: Rows, keys: Keys, slot: string, rules: readonly string[]): void {
  for (const rule of rules) {
    const row = rows.load<number>(keys.limit(slot, rule));
    if (row.value !== undefined) row.value = row.value > 1 ? row.value - 1 : undefined;
  }
}
