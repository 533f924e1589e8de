import { AuthError } from '../../errors.js';
import { type Finding, fail } from './finding.js';

/** The part of an error that says why and holds nothing else: driver's texts may quote addresses or statements. */
function reasonOf(error: unknown): string {
  const { cause = error } = error as { cause?: unknown };
  if (!(cause instanceof Error)) return 'no answer';
  const { code } = cause as NodeJS.ErrnoException;
  if (typeof code === 'string') return code;
  // What Redis refuses with begins with a word for it.
  const [word] = /^[A-Z]{3,}\b/.exec(cause.message) ?? [];
  if (word === 'ERR' && cause.message.includes('cluster support disabled')) return 'not a cluster';
  return word ?? (/time|closed/i.test(cause.message) ? 'no answer in time' : 'no answer');
}

const ADVICE: Record<string, string> = {
  ECONNREFUSED: 'Nothing listens there: start it, or correct the host and port of VARIABLE.',
  ENOTFOUND: 'There is no such host: correct VARIABLE.',
  EAI_AGAIN: 'The name of the host cannot be looked up: correct VARIABLE, or the name server.',
  NOAUTH: 'It asks for a password: put it into VARIABLE.',
  WRONGPASS: 'The user or the password in VARIABLE is wrong.',
  NOPERM: 'The user in VARIABLE may not do what Latchkey needs: grant it all commands on its keys.',
  LOADING: 'It is still reading its data: wait.',
  'not a cluster': 'It is a single server: set REDIS_CLUSTER=0, or name the nodes of the cluster.',
  // PostgreSQL, appendix A.
  '28P01': 'The password in VARIABLE is wrong.',
  '28000': 'The user in VARIABLE is not let in: see pg_hba.conf.',
  '3D000': 'There is no such database: create it, or correct VARIABLE.',
  '53300': 'It has no connection left: raise max_connections, or run fewer servers.',
  '57P03': 'It is still starting: wait.',
  SQLITE_NOTADB: 'The file in VARIABLE is no database: restore it from a backup.',
  SQLITE_CORRUPT: 'The file in VARIABLE is damaged: restore it from a backup.',
  SQLITE_BUSY: 'Another process holds the file in VARIABLE for too long.',
};

/** A store that could not be asked: whatever else there is to say of it has to wait. */
export function reportTrouble(name: 'redis' | 'sql', variable: string, error: unknown): Finding {
  const reason = reasonOf(error);
  const isAway = error instanceof AuthError && error.code === 'store_unavailable';
  const detail = isAway ? `away (${reason}): callers are answered 503` : `it cannot be examined (${reason})`;
  const advice = ADVICE[reason] ?? 'See that it runs, is not overloaded, and can be reached by VARIABLE.';
  return fail(name, detail, advice.replace('VARIABLE', variable));
}

/** Whether a version such as `6.2.7` is at least that one. */
export function isAtLeast(version: string, wanted: string): boolean {
  const [have, want] = [version, wanted].map((text) => text.split('.').map(Number));
  const difference = want!.map((part, n) => (have![n] ?? 0) - part).find((each) => each !== 0);
  return (difference ?? 0) >= 0;
}
