import { useEffect } from 'preact/hooks';
import { useTexts } from '../locale.js';
import { PATHS, USER_PATH } from '../paths.js';
import { Link, navigate, usePlace, useTitle } from '../router.js';
import { useUser } from '../session.js';
import { adminTexts } from '../texts/admin.js';
import { EventsPage } from './events-page.js';
import { may, type OwnPermission } from './permissions.js';
import { RolesPage } from './roles-page.js';
import { StatsPage } from './stats-page.js';
import { UserPage } from './user-page.js';
import { UsersPage } from './users-page.js';

const TABS = [
  ['users', PATHS.users, 'users.read', UsersPage],
  ['roles', PATHS.roles, 'roles.read', RolesPage],
  ['events', PATHS.events, 'events.read', EventsPage],
  ['stats', PATHS.stats, 'stats.read', StatsPage],
] as const satisfies readonly (readonly [string, string, OwnPermission, unknown])[];

/** For staff, each within their permissions. */
export function AdminPage() {
  const texts = useTexts(adminTexts);
  const user = useUser();
  const { path } = usePlace();
  const isStaff = user && (user.is_staff || user.is_superuser);
  const tabs = TABS.filter(([, , permission]) => isStaff && may(user, permission));
  const tab = tabs.find(([, start]) => path === start || path.startsWith(`${start}/`));
  const other = tab ? undefined : tabs[0]?.[1];
  useEffect(() => {
    if (other) navigate(other, { replace: true });
  }, [other]);
  if (!tab) return other ? null : <NotForYou />;
  const [name, , , TabPage] = tab;
  const userId = path.startsWith(USER_PATH) ? path.slice(USER_PATH.length) : undefined;
  return (
    <div class="page-wide">
      <h1>{texts.title}</h1>
      <nav class="nav section-nav" aria-label={texts.title}>
        {tabs.map(([key, to]) => (
          <Link key={key} to={to} current={key === name}>
            {texts[key]}
          </Link>
        ))}
      </nav>
      {userId ? <UserPage key={userId} id={userId} /> : <TabPage />}
    </div>
  );
}

function NotForYou() {
  const texts = useTexts(adminTexts);
  useTitle(texts.title);
  return (
    <div class="page-wide stack-small">
      <h1>{texts.nothingFor}</h1>
      <p class="muted">{texts.nothingForLead}</p>
    </div>
  );
}
