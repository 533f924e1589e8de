import pg from 'pg';
import { storeUnavailable } from '../../errors.js';

/**
 * SQLSTATE classes that speak of the statement and not of the server: 22 bad data, 23 a broken constraint,
 * 42 a syntax error or a missing table. They are ours to handle, or a fault in the program.
 */
const ABOUT_THE_STATEMENT = /^(22|23|42)/;

/** What SQLite says when the file, the disk or another process is in the way. */
const ABOUT_THE_FILE =
  /^SQLITE_(BUSY|LOCKED|FULL|IOERR|READONLY|CANTOPEN|CORRUPT|NOTADB|PROTOCOL|NOMEM|INTERRUPT)/;

/** Runs a query; a database that is away becomes `store_unavailable`, what is said about the query stays. */
export async function run<T>(query: () => Promise<T>): Promise<T> {
  try {
    return await query();
  } catch (error) {
    throw isUnavailable(error) ? storeUnavailable(error) : error;
  }
}

export function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof pg.DatabaseError) return !ABOUT_THE_STATEMENT.test(error.code ?? '');
  const { code } = error as Error & { code?: unknown };
  if (typeof code === 'string' && code.startsWith('SQLITE_')) return ABOUT_THE_FILE.test(code);
  return isConnectionFailure(error);
}

const CONNECTION_FAILURE =
  /^(Connection terminated|timeout exceeded|timeout expired|Query read timeout|Client (was closed|has encountered))/;

/** node-postgres reports what happens to a connection as plain errors, most of them without a code. */
function isConnectionFailure(error: Error & { code?: unknown }): boolean {
  if (typeof error.code === 'string' && /^E(CONN|PIPE|TIMEDOUT|NOTFOUND|HOST|NET|AI_)/.test(error.code))
    return true;
  return CONNECTION_FAILURE.test(error.message);
}

/** Which column's uniqueness the statement broke, if that is what went wrong. */
export function brokenUniqueness(error: unknown): 'email' | 'username' | 'phone' | undefined {
  if (!(error instanceof Error)) return undefined;
  const text = error instanceof pg.DatabaseError ? `${error.code} ${error.constraint}` : error.message;
  if (!/^23505|UNIQUE constraint failed/.test(text)) return undefined;
  if (/users_email_unique|users\.email_key/.test(text)) return 'email';
  if (/users_username_unique|users\.username_key/.test(text)) return 'username';
  if (/users_phone_unique|users\.phone/.test(text)) return 'phone';
  return undefined;
}
