import type { Generated } from 'kysely';

/**
 * The tables, as both dialects hold them. Times are bigint milliseconds since the epoch and flags are 0 or 1:
 * PostgreSQL and SQLite then read, write and index them alike.
 */
export interface Schema {
  users: UsersTable;
  roles: RolesTable;
  events: EventsTable;
  event_counts: EventCountsTable;
  webhook_deliveries: WebhookDeliveriesTable;
  jobs: JobsTable;
  clients: ClientsTable;
  guards: GuardsTable;
  password_costs: PasswordCostsTable;
  revoked_tokens: RevokedTokensTable;
  drf_tokens: DrfTokensTable;
}

export interface UsersTable {
  /** The old integer id; the database numbers new rows. */
  legacy_id: Generated<number>;
  /** UUIDv7. */
  id: string;
  email: string | null;
  /** What makes an address unique: NFKC, lower case. */
  email_key: string | null;
  username: string | null;
  username_key: string | null;
  /** E.164. */
  phone: string | null;
  password_hash: string | null;
  first_name: string;
  last_name: string;
  user_type: string | null;
  role: string;
  is_staff: number;
  is_superuser: number;
  is_active: number;
  email_verified: number;
  phone_verified: number;
  date_joined: number;
  last_login: number | null;
  version: number;
  auth_version: number;
  auth_reason: string | null;
}

export interface RolesTable {
  name: string;
  /** A JSON array of permission names. */
  permissions: string;
  description: string;
}

export interface EventsTable {
  id: Generated<number>;
  at: number;
  type: string;
  /** A UUID: the identity of the event, older than its row. */
  uid: Generated<string | null>;
  user_id: string | null;
  /** Of staff who did it to somebody. */
  actor_id: string | null;
  session_id: string | null;
  reason: string | null;
  /** Like the user agent in the clear, or as `src/audit/field-cipher.ts` writes it. */
  ip: string | null;
  /** By what events from one address are found: it, or its keyed hash. */
  ip_key: string | null;
  user_agent: string | null;
  /** A JSON object, see `EventDetail`. */
  detail: string | null;
}

export interface EventCountsTable {
  /** When the quarter of an hour began. */
  at: number;
  type: string;
  count: number;
}

export interface WebhookDeliveriesTable {
  id: string;
  body: string;
  created_at: number;
  next_at: number;
  tries: Generated<number>;
}

export interface JobsTable {
  name: string;
  leased_until: Generated<number>;
  progress: string | null;
}

export interface ClientsTable {
  id: string;
  name: string;
  secret_hash: string;
  created_at: number;
}

export interface GuardsTable {
  name: string;
}

export interface PasswordCostsTable {
  family: string;
  units: number;
}

export interface RevokedTokensTable {
  legacy_id: number;
  jti: string;
  /** The token's own. */
  expires_at: number;
}

export interface DrfTokensTable {
  /** SHA-256, in hex. */
  key_hash: string;
  legacy_id: number;
  /** That of the account when the key was handed out. */
  auth_version: number;
  is_imported: number;
  created_at: number;
}
