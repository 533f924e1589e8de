import { useState } from 'preact/hooks';
import type { User } from '../../client/auth-client.js';
import { usePaged } from '../data.js';
import { formatDate, useTexts } from '../locale.js';
import { USER_PATH } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { adminTexts } from '../texts/admin.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Field, SelectField } from '../ui/field.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { Bones } from '../ui/section.js';
import { admin } from './api.js';

/** What a choice of kind asks the server for. */
const KINDS: Record<string, Record<string, string>> = {
  staff: { is_staff: 'true' },
  superusers: { is_superuser: 'true' },
};

const STATES: Record<string, Record<string, string>> = {
  active: { is_active: 'true' },
  disabled: { is_active: 'false' },
};

export function UsersPage() {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const [filter, setFilter] = useState<Record<string, string>>({});
  useTitle(texts.users);
  const { data, problem, isLoading, hasMore, loadMore } = usePaged(async (cursor) => {
    const { users, next_cursor } = await admin.users({ ...filter, cursor });
    return { items: users, next: next_cursor };
  }, JSON.stringify(filter));
  return (
    <div class="stack">
      <Form
        class="filters"
        onSubmit={async ({ q = '', status = '', kind = '' }) =>
          setFilter({ ...(q.trim() && { q: q.trim() }), ...STATES[status], ...KINDS[kind] })
        }
      >
        {() => (
          <>
            <div class="grow">
              <Field name="q" type="search" label={texts.search} placeholder={texts.searchHint} dir="auto" />
            </div>
            <SelectField
              name="status"
              label={texts.status}
              options={[
                ['', texts.all],
                ['active', texts.active],
                ['disabled', texts.disabled],
              ]}
            />
            <SelectField
              name="kind"
              label={texts.kind}
              options={[
                ['', texts.everybody],
                ['staff', texts.staff],
                ['superusers', texts.superusers],
              ]}
            />
            <Button type="submit" kind="primary" class="tall">
              {texts.search}
            </Button>
          </>
        )}
      </Form>
      {problem && <ProblemNotice problem={problem} />}
      {data ? <UserTable users={data} /> : !problem && <Bones lines={6} />}
      {hasMore && (
        <div>
          <Button busy={isLoading} onClick={() => void loadMore()}>
            {texts.more}
          </Button>
        </div>
      )}
    </div>
  );
}

function UserTable({ users }: { users: readonly User[] }) {
  const texts = useTexts(adminTexts);
  return (
    <div class="table-frame">
      {users.length === 0 ? (
        <p class="empty" role="status">
          {texts.noUsers}
        </p>
      ) : (
        <table class="rows">
          <caption class="unseen">{texts.users}</caption>
          <thead>
            <tr>
              <th scope="col">{texts.user}</th>
              <th scope="col">{texts.contact}</th>
              <th scope="col">{texts.role}</th>
              <th scope="col">{texts.joined}</th>
              <th scope="col">{texts.lastLogin}</th>
            </tr>
          </thead>
          <tbody>
            {users.map((user) => (
              <tr key={user.id}>
                <td>
                  <span class="row tight">
                    <Link to={USER_PATH + user.id}>
                      <bdi>{userName(user)}</bdi>
                    </Link>
                    <UserBadges user={user} />
                  </span>
                </td>
                <td data-label={texts.contact}>
                  <span class="latin">{user.email ?? user.phone ?? user.username ?? ''}</span>
                </td>
                <td data-label={texts.role}>{user.role}</td>
                <td data-label={texts.joined}>{formatDate(user.date_joined)}</td>
                <td data-label={texts.lastLogin}>
                  {user.last_login ? formatDate(user.last_login) : texts.never}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

export const userName = (user: User): string =>
  `${user.first_name} ${user.last_name}`.trim() || (user.username ?? user.email ?? user.phone ?? user.id);

export function UserBadges({ user }: { user: User }) {
  const texts = useTexts(adminTexts);
  return (
    <>
      {!user.is_active && <span class="badge bad">{texts.disabled}</span>}
      {user.is_superuser ? (
        <span class="badge accent">{texts.superuser}</span>
      ) : (
        user.is_staff && <span class="badge accent">{texts.staff}</span>
      )}
    </>
  );
}
