import type { Cleaner, CleaningReport } from '../audit/cleaning.js';

export interface CleanNeeds {
  cleaner: Cleaner;
  /** Posts the alerts that are due; left out where alerts are posted nowhere. */
  postAlerts?: (() => Promise<number>) | undefined;
  /** `--json` */
  json: boolean;
  /** Shows how far it is, to a person. */
  show(line: string): void;
  /** Ends the cleaning before it is done; the next one goes on. */
  signal?: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** How often the person at the terminal is told (ms). */
const SHOW_MS = 1000;
/** As much as the database has left for it: a command is not in the way of its own requests. */
const REST_FACTOR = 0.5;

/** Does once what a server does in the background: for installations whose servers do not run all the time. */
export async function clean({ cleaner, postAlerts, json, show, signal, now }: CleanNeeds): Promise<string> {
  let shownAt = now();
  const report = await cleaner.clean({
    restFactor: REST_FACTOR,
    ...(signal && { signal }),
    onProgress(soFar) {
      if (now() < shownAt + SHOW_MS) return;
      shownAt = now();
      show(`… ${describe(soFar)}`);
    },
  });
  const posted = await postAlerts?.();
  if (json) {
    return JSON.stringify({
      busy: report === undefined,
      events_deleted: report?.events ?? 0,
      counts_deleted: report?.counts ?? 0,
      webhooks_deleted: report?.webhooks ?? 0,
      tokens_deleted: report?.tokens ?? 0,
      state_deleted: report?.state ?? 0,
      events_encrypted: report?.resealed ?? 0,
      events_unreadable: report?.unreadable ?? 0,
      alerts_posted: posted ?? 0,
    });
  }
  return [
    report ? `Done: ${describe(report)}.` : 'Another process is cleaning: nothing to do here.',
    ...(report?.unreadable
      ? [`${report.unreadable} events are encrypted under a key that DATA_ENCRYPTION_KEY does not have.`]
      : []),
    ...(posted === undefined ? [] : [`Posted ${posted} alerts.`]),
  ].join('\n');
}

const describe = ({ events, counts, tokens, state, resealed }: CleaningReport): string =>
  `deleted ${events} events, ${counts} counts, ${tokens} revocations and ${state} rows of state, encrypted ${resealed} events`;
