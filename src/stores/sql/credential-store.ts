import { type Kysely, sql, type UpdateObject } from 'kysely';
import type { CredentialStore } from '../../accounts/credential-store.js';
import type { EndReason, User } from '../../accounts/user.js';
import type { SecurityEvent } from '../../audit/events.js';
import { orTaken, toUser } from './account-store.js';
import { run } from './errors.js';
import type { EventWriter } from './event-writer.js';
import type { Schema, UsersTable } from './schema.js';

type Columns = UpdateObject<Schema, 'users'>;

interface Conditions {
  userId: string;
  authVersion: number;
  /** What it must be reached by. */
  where?: Partial<Pick<UsersTable, 'email_key' | 'phone'>>;
}

export function createCredentialStore(db: Kysely<Schema>, writeEvents: EventWriter): CredentialStore {
  const change = ({ userId, authVersion, where = {} }: Conditions, set: Columns, event: SecurityEvent) =>
    db.transaction().execute(async (tx): Promise<User | undefined> => {
      let query = tx
        .updateTable('users')
        .set({ ...set, version: sql<number>`version + 1` })
        .where('id', '=', userId)
        .where('auth_version', '=', authVersion)
        .where('is_active', '=', 1);
      if (where.email_key) query = query.where('email_key', '=', where.email_key);
      if (where.phone) query = query.where('phone', '=', where.phone);
      const row = await query.returningAll().executeTakeFirst();
      if (!row) return undefined;
      await writeEvents(tx, [event]);
      return toUser(row);
    });

  return {
    changePassword: ({ passwordHash, ...known }, event) =>
      run(() => change(known, { password_hash: passwordHash, ...endSessions('password_change') }, event)),

    resetByEmail: ({ passwordHash, emailKey, ...known }, event) =>
      run(() =>
        change(
          { ...known, where: { email_key: emailKey } },
          {
            password_hash: passwordHash,
            email_verified: 1,
            phone: unlessNeverProved('phone'),
            ...endSessions('password_reset'),
          },
          event,
        ),
      ),

    resetByPhone: ({ passwordHash, phone, ...known }, event) =>
      run(() =>
        change(
          { ...known, where: { phone } },
          {
            password_hash: passwordHash,
            phone_verified: 1,
            email: unlessNeverProved('email'),
            email_key: unlessNeverProved('email_key'),
            ...endSessions('password_reset'),
          },
          event,
        ),
      ),

    verifyEmail: ({ emailKey, claim, ...known }, event) =>
      run(() =>
        change(
          { ...known, where: { email_key: emailKey } },
          {
            email_verified: 1,
            ...(claim && {
              password_hash: null,
              phone: unlessNeverProved('phone'),
              ...endSessions('identity_verified'),
            }),
          },
          event,
        ),
      ),

    changeEmail: ({ email, ...known }, event) =>
      orTaken(async () => {
        const set = { email: email.display, email_key: email.key, email_verified: 1 };
        const user = await change(known, set, event);
        return user && { user };
      }) as ReturnType<CredentialStore['changeEmail']>,

    changePhone: ({ phone, ...known }, event) =>
      orTaken(async () => {
        const user = await change(known, { phone, phone_verified: 1 }, event);
        return user && { user };
      }) as ReturnType<CredentialStore['changePhone']>,
  };
}

const endSessions = (reason: EndReason) => ({
  auth_version: sql<number>`auth_version + 1`,
  auth_reason: reason,
});

/** When either of the two is proved for the first time, the other goes unless it was proved as well. */
const unlessNeverProved = (column: 'phone' | 'email' | 'email_key') =>
  sql<
    string | null
  >`case when email_verified = 0 and phone_verified = 0 then null else ${sql.ref(column)} end`;
