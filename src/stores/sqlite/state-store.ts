import type { Clock } from '../../lib/clock.js';
import { createKeys } from '../keys.js';
import { run } from '../sql/errors.js';
import type { SqliteHandle } from '../sql/sqlite.js';
import type { Stores } from '../stores.js';
import { createStateTable, type Rows, type StateTable } from './rows.js';
import { adoptToken } from './transitions/adopt-token.js';
import { answerChallenge, openChallenge } from './transitions/challenge.js';
import { checkToken, endAllSessions } from './transitions/check-token.js';
import { countSend, uncountSend } from './transitions/count-send.js';
import { countTry, endRow, uncountTry } from './transitions/count-try.js';
import { endSession, forgetSessions, listSessions } from './transitions/end-session.js';
import { hitLimits, unhitLimits } from './transitions/hit-limits.js';
import { listDevices } from './transitions/known-devices.js';
import { openSession } from './transitions/open-session.js';
import { rotate } from './transitions/rotate.js';
import { countVerified, readSpend } from './transitions/spend.js';
import { findTicket, openTicket, takeTicket } from './transitions/ticket.js';
import { cacheUser, fenceUser, publishUser } from './transitions/user-snapshot.js';

export interface SqliteStateStoreOptions {
  /** The embedded database, migrated; whoever opened it closes it. */
  sqlite: SqliteHandle;
  now?: Clock;
}

/** The embedded adapter: every method is one immediate transaction, so several processes may share the file. */
export function createSqliteStateStore({ sqlite, now = Date.now }: SqliteStateStoreOptions): Stores {
  const keys = createKeys('');
  let table: StateTable | undefined;

  const transact = <T>(at: number, transition: (rows: Rows) => T): Promise<T> =>
    run(() =>
      sqlite.exclusive((db) => {
        table ??= createStateTable(db);
        return table.transact(at, transition);
      }),
    );

  return {
    openSession: (input) => transact(input.now, (rows) => openSession(rows, keys, input)),
    checkToken: (input) => transact(input.now, (rows) => checkToken(rows, keys, input)),
    rotate: (input) => transact(input.now, (rows) => rotate(rows, keys, input)),
    adoptToken: (input) => transact(input.now, (rows) => adoptToken(rows, keys, input)),
    endSession: (input) => transact(now(), (rows) => endSession(rows, keys, input)),
    endAllSessions: (input) => transact(input.now, (rows) => endAllSessions(rows, keys, input)),
    listSessions: (input) => transact(input.now, (rows) => listSessions(rows, keys, input.userId)),
    forgetSessions: (input) => transact(now(), (rows) => forgetSessions(rows, keys, input.userId)),

    revokeToken: (input) =>
      transact(input.now, (rows) => {
        if (input.expiresAt <= input.now) return;
        const row = rows.load<1>(keys.blacklisted(input.userId, input.jti));
        row.value = 1;
        row.expiresAt = Math.max(input.expiresAt, input.now + 1000);
      }),

    fenceUser: (input) => transact(input.now, (rows) => fenceUser(rows, keys, input)),
    publishUser: (input) => transact(input.now, (rows) => publishUser(rows, keys, input)),
    cacheUser: (input) => transact(input.now, (rows) => cacheUser(rows, keys, input)),
    hitLimits: (input) => transact(input.now, (rows) => hitLimits(rows, keys, input)),
    unhitLimits: ({ slot, rules, now }) => transact(now, (rows) => unhitLimits(rows, keys, slot, rules)),

    logins: {
      countTry: (input) => transact(input.now, (rows) => countTry(rows, keys, input)),
      uncountTry: (counted) => transact(counted.now, (rows) => uncountTry(rows, keys, counted)),
      endRow: (input) => transact(input.now, (rows) => endRow(rows, keys, input)),
      listDevices: ({ account, now: at }) => transact(at, (rows) => listDevices(rows, keys, account)),
    },

    otp: {
      countSend: (input) => transact(input.now, (rows) => countSend(rows, keys, input)),
      uncountSend: (input) => transact(input.now, (rows) => uncountSend(rows, keys, input)),
      openChallenge: (input) => transact(input.now, (rows) => openChallenge(rows, keys, input)),
      answerChallenge: (input) => transact(input.now, (rows) => answerChallenge(rows, keys, input)),
      countVerified: (input) => transact(input.now, (rows) => countVerified(rows, keys, input)),
      readSpend: (input) => transact(input.now, (rows) => readSpend(rows, keys, input.countries)),
    },

    tickets: {
      open: (input) => transact(input.now, (rows) => openTicket(rows, keys, input)),
      find: (input) => transact(input.now, (rows) => findTicket(rows, keys, input.hash)),
      take: (input) => transact(input.now, (rows) => takeTicket(rows, keys, input.hash)),
    },

    ping: () => transact(now(), () => undefined),
    close: async () => undefined,
  };
}
