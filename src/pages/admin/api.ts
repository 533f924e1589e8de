import type { Session, User } from '../../client/auth-client.js';
import { client } from '../session.js';
import type { ShownEvent } from '../ui/event-list.js';

export interface Role {
  name: string;
  permissions: string[];
  description: string;
}

export interface AdminEvent extends ShownEvent {
  user_id: string | null;
  actor_id: string | null;
  detail?: Record<string, string | number>;
}

export interface Stats {
  buckets: string[];
  series: Record<SeriesName, number[]>;
}

export type SeriesName =
  | 'registrations'
  | 'logins'
  | 'failures'
  | 'refreshes'
  | 'otp_sends'
  | 'otp_verifications'
  | 'otp_failures'
  | 'revocations'
  | 'alerts';

export type UserChange = Partial<
  Pick<
    User,
    'first_name' | 'last_name' | 'username' | 'email' | 'is_active' | 'role' | 'is_staff' | 'is_superuser'
  >
>;

/** Values that are empty are left out. */
function query(values: Record<string, string | number | null | undefined>): string {
  const given = Object.entries(values).filter(([, value]) => value !== '' && value != null);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

const get = <Body>(path: string): Promise<Body> => client.request('GET', `/api/admin/${path}`);
const userPath = (id: string) => `users/${encodeURIComponent(id)}`;

/** The API for staff. Every function throws AuthError. */
export const admin = {
  users: (filter: Record<string, string | null>) =>
    get<{ users: User[]; next_cursor: string | null }>(`users?${query({ limit: 20, ...filter })}`),
  user: (id: string) => get<User>(userPath(id)),
  changeUser: (id: string, change: UserChange) =>
    client.request<User>('PATCH', `/api/admin/${userPath(id)}`, change),
  sessions: async (id: string) => (await get<{ sessions: Session[] }>(`${userPath(id)}/sessions`)).sessions,
  endSession: (id: string, session: string) =>
    client.request<void>('DELETE', `/api/admin/${userPath(id)}/sessions/${encodeURIComponent(session)}`),
  endSessions: (id: string) => client.request<void>('POST', `/api/admin/${userPath(id)}/logout-all`, {}),
  activity: (id: string, cursor: string | null) =>
    get<EventPage>(`${userPath(id)}/activity?${query({ limit: 10, cursor })}`),
  roles: async () => (await get<{ roles: Role[] }>('roles')).roles,
  defineRole: ({ name, ...role }: Role) =>
    client.request<Role>('PUT', `/api/admin/roles/${encodeURIComponent(name)}`, role),
  deleteRole: (name: string) =>
    client.request<void>('DELETE', `/api/admin/roles/${encodeURIComponent(name)}`),
  events: (filter: Record<string, string | null>) =>
    get<EventPage>(`events?${query({ limit: 25, ...filter })}`),
  stats: (range: Record<string, string>) => get<Stats>(`stats?${query(range)}`),
};

interface EventPage {
  events: AdminEvent[];
  next_cursor: string | null;
}
