import { useState } from 'preact/hooks';
import type { User } from '../../client/auth-client.js';
import { fill, formatDate, useTexts } from '../locale.js';
import { useTitle } from '../router.js';
import { useUser } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { Activity } from './activity.js';
import { Contact } from './contact.js';
import { Devices } from './devices.js';
import { OwnData } from './own-data.js';
import { Password } from './password.js';
import { Profile } from './profile.js';

/** Everything that people do with their own account. */
export function AccountPage() {
  const texts = useTexts(accountTexts);
  const user = useUser();
  /** Whatever is done in one section may be an event and may end sessions, which stand in others. */
  const [changes, setChanges] = useState(0);
  const onChanged = () => setChanges((count) => count + 1);
  useTitle(texts.title);
  if (!user) return null;
  const sections = [
    ['profile', texts.profile],
    ['contact', texts.contact],
    ['password', texts.security],
    ['devices', texts.devices],
    ['activity', texts.activity],
    ['data', texts.data],
  ] as const;
  return (
    <div class="page-wide">
      <div class="person">
        <div class="avatar" aria-hidden="true">
          {initialOf(user)}
        </div>
        <div>
          <h1>
            <bdi>{nameOf(user)}</bdi>
          </h1>
          <p class="muted small">{fill(texts.memberSince, { date: formatDate(user.date_joined) })}</p>
        </div>
      </div>
      <div class="settings with-index">
        <nav class="index" aria-label={texts.sections}>
          {sections.map(([id, title]) => (
            <a key={id} href={`#${id}`}>
              {title}
            </a>
          ))}
        </nav>
        <div class="settings-body">
          <Profile user={user} onChanged={onChanged} />
          <Contact user={user} onChanged={onChanged} />
          <Password user={user} onChanged={onChanged} />
          <Devices changes={changes} onChanged={onChanged} />
          <Activity changes={changes} />
          <OwnData user={user} />
        </div>
      </div>
    </div>
  );
}

const nameOf = (user: User): string =>
  `${user.first_name} ${user.last_name}`.trim() || (user.username ?? user.email ?? user.phone ?? '');

const initialOf = (user: User): string => [...nameOf(user).replace(/^\+/, '')][0]?.toUpperCase() ?? '';
