import { closeSync, fchmodSync, fstatSync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.js';

/** A message as `outbox.jsonl` keeps it: for people and scripts that try things out. */
export interface OutboxEntry {
  channel: 'sms' | 'email';
  /** E.164 for a text message. */
  to: string;
  purpose: string;
  text: string;
  code?: string;
  token?: string;
}

export interface OutboxFileNeeds {
  /** Made when it is not there: nothing else may need it. */
  dataDir: string;
  now: Clock;
}

const OWNER_ONLY = 0o600;

/**
 * Appends to `outbox.jsonl`, one JSON object a line, with the time (`at`, ISO 8601 UTC) first. The line is there when
 * the call returns. Several processes may append at once: each line is one write at the end of the file.
 */
export function createOutboxFile({ dataDir, now }: OutboxFileNeeds): (entry: OutboxEntry) => void {
  const path = join(dataDir, 'outbox.jsonl');

  return ({ channel, to, purpose, text, code, token }) => {
    const at = new Date(now()).toISOString();
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const file = openSync(path, 'a', OWNER_ONLY);
    try {
      // It holds codes that are good at this moment: not for others, also when somebody made it beforehand.
      if ((fstatSync(file).mode & 0o777) !== OWNER_ONLY) fchmodSync(file, OWNER_ONLY);
      writeFileSync(file, `${JSON.stringify({ at, channel, to, purpose, text, code, token })}\n`);
    } finally {
      closeSync(file);
    }
  };
}
