import { useState } from 'preact/hooks';
import type { AuthError, User } from '../../client/auth-client.js';
import { SessionList } from '../account/devices.js';
import { useLoaded } from '../data.js';
import { fill, formatTime, useTexts } from '../locale.js';
import { PATHS } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { useUser } from '../session.js';
import { adminTexts } from '../texts/admin.js';
import { uiTexts } from '../texts/ui.js';
import { userTypeName } from '../texts/user-types.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { DialogActions } from '../ui/dialog-actions.js';
import { EventLog } from '../ui/event-log.js';
import { Field, SelectField } from '../ui/field.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { NameFields, readNames, UsernameField } from '../ui/person-fields.js';
import { SaveRow } from '../ui/save-row.js';
import { Bones, Section } from '../ui/section.js';
import { admin, type UserChange } from './api.js';
import { may } from './permissions.js';
import { UserBadges, userName } from './users-page.js';

/** One account, and what staff may do with it. */
export function UserPage({ id }: { id: string }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const me = useUser();
  const { data: user, problem, reload } = useLoaded(() => admin.user(id), id);
  const [changes, setChanges] = useState(0);
  const onChanged = async () => {
    setChanges((count) => count + 1);
    await reload();
  };
  useTitle(user ? userName(user) : texts.users);
  return (
    <div class="stack">
      <p>
        <Link to={PATHS.users}>{texts.backToUsers}</Link>
      </p>
      {problem && <ProblemNotice problem={problem} />}
      {!user && !problem && <Bones lines={4} />}
      {user && me && (
        <>
          <div class="row">
            <h2 class="big">
              <bdi>{userName(user)}</bdi>
            </h2>
            <UserBadges user={user} />
          </div>
          <div class="settings-body">
            <Facts user={user} me={me} onChanged={onChanged} />
            <Access user={user} me={me} onChanged={onChanged} />
            {may(me, 'users.sessions') && <Sessions user={user} changes={changes} onChanged={onChanged} />}
            {may(me, 'events.read') && <UserActivity user={user} changes={changes} />}
          </div>
        </>
      )}
    </div>
  );
}

interface PartProps {
  user: User;
  me: User;
  onChanged: () => Promise<void>;
}

function Facts({ user, me, onChanged }: PartProps) {
  const texts = useTexts(adminTexts);
  const [isEditing, setEditing] = useState(false);
  const mayEdit = user.id !== me.id && (may(me, 'users.write') || may(me, 'users.email'));
  const typeName = useTexts(userTypeName);
  const facts = [
    [texts.id, user.id],
    [texts.oldId, String(user.legacy_id)],
    [texts.email, user.email],
    [texts.phone, user.phone],
    [texts.username, user.username],
    [texts.userType, user.user_type && typeName(user.user_type)],
    [texts.joined, formatTime(user.date_joined)],
    [texts.lastLogin, user.last_login ? formatTime(user.last_login) : texts.never],
  ];
  return (
    <Section
      id="facts"
      title={texts.account}
      action={mayEdit && <Button onClick={() => setEditing(true)}>{texts.edit}</Button>}
    >
      <dl class="data">
        {facts.map(
          ([name, value]) =>
            value && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>
                  <bdi>{value}</bdi>
                </dd>
              </div>
            ),
        )}
      </dl>
      {isEditing && (
        <EditFacts
          user={user}
          me={me}
          onClose={() => setEditing(false)}
          onChanged={async () => {
            setEditing(false);
            await onChanged();
          }}
        />
      )}
    </Section>
  );
}

function EditFacts({ user, me, onChanged, onClose }: PartProps & { onClose: () => void }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const mayName = may(me, 'users.write');
  return (
    <Dialog title={fill(texts.editTitle, { name: userName(user) })} onClose={onClose}>
      <Form
        onSubmit={async ({ email = user.email, ...names }) => {
          const wanted: UserChange = {
            ...(mayName && readNames(user, names)),
            ...(email !== user.email && { email }),
          };
          if (Object.keys(wanted).length > 0) await admin.changeUser(user.id, wanted);
          await onChanged();
        }}
      >
        {({ faults, busy }) => (
          <>
            {mayName && (
              <>
                <div class="columns">
                  <NameFields faults={faults} user={user} ofOther />
                </div>
                <UsernameField faults={faults} user={user} ofOther />
              </>
            )}
            {may(me, 'users.email') && (
              <Field
                name="email"
                type="email"
                label={texts.email}
                autocomplete="off"
                autocapitalize="none"
                latin
                hint={texts.emailHint}
                initial={user.email ?? ''}
                fault={faults.email}
              />
            )}
            <DialogActions busy={busy} onCancel={onClose}>
              {texts.save}
            </DialogActions>
          </>
        )}
      </Form>
    </Dialog>
  );
}

function Access({ user, me, onChanged }: PartProps) {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const [isSaved, setSaved] = useState(false);
  const [isAsking, setAsking] = useState(false);
  const [problem, setProblem] = useState<AuthError>();
  const mayGrant = may(me, 'users.grant');
  const isOwn = user.id === me.id;

  const change = async (wanted: UserChange) => {
    setSaved(false);
    setProblem(undefined);
    await admin.changeUser(user.id, wanted);
    await onChanged();
    setSaved(true);
  };
  const enable = () => change({ is_active: true }).catch((error: AuthError) => setProblem(error));

  return (
    <Section
      id="access"
      title={texts.access}
      lead={isOwn ? texts.ownAccount : texts.accessLead}
      action={
        !isOwn &&
        may(me, 'users.disable') &&
        (user.is_active ? (
          <Button kind="warning" onClick={() => setAsking(true)}>
            {texts.disable}
          </Button>
        ) : (
          <Button onClick={() => void enable()}>{texts.enable}</Button>
        ))
      }
    >
      {problem && <ProblemNotice problem={problem} />}
      <Form
        onSubmit={async ({ role, is_staff, is_superuser }) => {
          const isStaff = is_staff === 'on';
          const isSuperuser = is_superuser === 'on';
          const wanted: UserChange = {
            ...(role !== undefined && role !== user.role && { role }),
            ...(isStaff !== user.is_staff && { is_staff: isStaff }),
            ...(me.is_superuser && isSuperuser !== user.is_superuser && { is_superuser: isSuperuser }),
          };
          if (Object.keys(wanted).length > 0) await change(wanted);
        }}
      >
        {({ busy, faults }) => (
          <>
            <RoleField
              user={user}
              isFixed={isOwn || !mayGrant}
              mayRead={may(me, 'roles.read')}
              fault={faults.role}
            />
            <Check name="is_staff" label={texts.isStaff} on={user.is_staff} fixed={isOwn || !mayGrant} />
            <Check
              name="is_superuser"
              label={texts.isSuperuser}
              on={user.is_superuser}
              fixed={isOwn || !me.is_superuser}
            />
            {!isOwn && mayGrant && <SaveRow busy={busy} isSaved={isSaved} />}
          </>
        )}
      </Form>
      {isAsking && (
        <Ask
          title={fill(texts.disableTitle, { name: userName(user) })}
          lead={texts.disableLead}
          action={texts.disable}
          onClose={() => setAsking(false)}
          onSure={async () => {
            await change({ is_active: false });
            setAsking(false);
          }}
        />
      )}
    </Section>
  );
}

interface RoleFieldProps {
  user: User;
  isFixed: boolean;
  mayRead: boolean;
  fault: string | undefined;
}

function RoleField({ user, isFixed, mayRead, fault }: RoleFieldProps) {
  const texts = useTexts(adminTexts);
  const { data } = useLoaded(async () => (mayRead ? admin.roles() : []));
  const names = new Set([user.role, ...(data ?? []).map(({ name }) => name)]);
  return (
    <SelectField
      name="role"
      label={texts.role}
      value={user.role}
      disabled={isFixed}
      fault={fault}
      options={[...names].map((name) => [name, name] as const)}
    />
  );
}

interface CheckProps {
  name: string;
  label: string;
  on: boolean;
  fixed?: boolean;
}

export function Check({ name, label, on, fixed }: CheckProps) {
  return (
    <label class="check">
      <input type="checkbox" name={name} defaultChecked={on} disabled={fixed} />
      <span>{label}</span>
    </label>
  );
}

function Sessions({ user, changes, onChanged }: Omit<PartProps, 'me'> & { changes: number }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const { data, problem } = useLoaded(() => admin.sessions(user.id), `${user.id} ${changes}`);
  const [failure, setFailure] = useState<AuthError>();
  const [isAsking, setAsking] = useState(false);
  const [isDone, setDone] = useState(false);
  const shown = failure ?? problem;
  return (
    <Section
      id="sessions"
      title={texts.sessions}
      lead={texts.sessionsLead}
      action={
        <Button kind="warning" onClick={() => setAsking(true)}>
          {texts.logOutAll}
        </Button>
      }
    >
      <div class="stack">
        {shown && <ProblemNotice problem={shown} />}
        {isDone && <Notice kind="good">{texts.loggedOut}</Notice>}
        {data ? (
          <SessionList
            sessions={data}
            onEnd={async (session) => {
              setFailure(undefined);
              await admin.endSession(user.id, session.id).catch((error: AuthError) => setFailure(error));
              await onChanged();
            }}
          />
        ) : (
          !shown && <Bones lines={2} />
        )}
        {data?.length === 0 && <p class="muted">{texts.noSessions}</p>}
      </div>
      {isAsking && (
        <Ask
          title={fill(texts.logOutAllTitle, { name: userName(user) })}
          lead={texts.logOutAllLead}
          action={texts.logOutAll}
          onClose={() => setAsking(false)}
          onSure={async () => {
            await admin.endSessions(user.id);
            setAsking(false);
            setDone(true);
            await onChanged();
          }}
        />
      )}
    </Section>
  );
}

function UserActivity({ user, changes }: { user: User; changes: number }) {
  const texts = useTexts(adminTexts);
  return (
    <Section id="activity" title={texts.activity}>
      <EventLog load={(cursor) => admin.activity(user.id, cursor)} changes={changes} />
    </Section>
  );
}

interface AskProps {
  title: string;
  lead: string;
  action: string;
  onClose: () => void;
  onSure: () => Promise<void>;
}

/** Asks once more before something that is hard to undo. */
export function Ask({ title, lead, action, onClose, onSure }: AskProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      <p class="muted">{lead}</p>
      <Form onSubmit={onSure}>
        {({ busy }) => (
          <DialogActions busy={busy} onCancel={onClose} dangerous>
            {action}
          </DialogActions>
        )}
      </Form>
    </Dialog>
  );
}
