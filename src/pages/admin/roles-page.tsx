import { useState } from 'preact/hooks';
import { useLoaded } from '../data.js';
import { fill, useTexts } from '../locale.js';
import { useTitle } from '../router.js';
import { useUser } from '../session.js';
import { adminTexts } from '../texts/admin.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { DialogActions } from '../ui/dialog-actions.js';
import { Field } from '../ui/field.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { Bones } from '../ui/section.js';
import { admin, type Role } from './api.js';
import { may, OWN_PERMISSIONS } from './permissions.js';
import { Ask, Check } from './user-page.js';

type Opened = { edit: Role | undefined } | { remove: Role };

export function RolesPage() {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const me = useUser();
  const { data, problem, reload } = useLoaded(admin.roles);
  const [opened, setOpened] = useState<Opened>();
  useTitle(texts.roles);
  const mayWrite = me && may(me, 'roles.write');
  const close = () => setOpened(undefined);
  const done = async () => {
    close();
    await reload();
  };
  return (
    <div class="stack">
      <div class="row between">
        <p class="muted">{texts.rolesLead}</p>
        {mayWrite && (
          <Button kind="primary" onClick={() => setOpened({ edit: undefined })}>
            {texts.newRole}
          </Button>
        )}
      </div>
      {problem && <ProblemNotice problem={problem} />}
      {data ? (
        <ul class="stack-small">
          {data.map((role) => (
            <li class="card panel" key={role.name}>
              <div class="card-head">
                <div class="card-title">
                  <h2 class="latin-start">{role.name}</h2>
                  {role.description && <p dir="auto">{role.description}</p>}
                </div>
                {mayWrite && (
                  <div class="row">
                    <Button
                      small
                      aria-label={fill(texts.editRoleLong, { name: role.name })}
                      onClick={() => setOpened({ edit: role })}
                    >
                      {texts.editRole}
                    </Button>
                    <Button
                      small
                      kind="warning"
                      aria-label={fill(texts.deleteRoleLong, { name: role.name })}
                      onClick={() => setOpened({ remove: role })}
                    >
                      {texts.deleteRole}
                    </Button>
                  </div>
                )}
              </div>
              <Permissions names={role.permissions} />
            </li>
          ))}
        </ul>
      ) : (
        !problem && <Bones lines={3} />
      )}
      {opened && 'edit' in opened && <EditRole role={opened.edit} onClose={close} onDone={done} />}
      {opened && 'remove' in opened && (
        <Ask
          title={fill(texts.deleteRoleTitle, { name: opened.remove.name })}
          lead={texts.deleteRoleLead}
          action={texts.deleteRole}
          onClose={close}
          onSure={async () => {
            await admin.deleteRole(opened.remove.name);
            await done();
          }}
        />
      )}
    </div>
  );
}

function Permissions({ names }: { names: readonly string[] }) {
  const texts = useTexts(adminTexts);
  if (names.length === 0) return <p class="muted small">{texts.allowsNothing}</p>;
  return (
    <ul class="permissions">
      {names.map((name) => (
        <li key={name} class="badge mono latin">
          {name}
        </li>
      ))}
    </ul>
  );
}

interface EditRoleProps {
  /** `undefined`: a new one. */
  role: Role | undefined;
  onClose: () => void;
  onDone: () => Promise<void>;
}

function EditRole({ role, onClose, onDone }: EditRoleProps) {
  const texts = { ...useTexts(uiTexts), ...useTexts(adminTexts) };
  const own: readonly string[] = OWN_PERMISSIONS;
  const others = (role?.permissions ?? []).filter((name) => !own.includes(name));
  return (
    <Dialog title={role ? `${texts.role}: ${role.name}` : texts.newRole} onClose={onClose}>
      <Form
        required={role ? [] : ['name']}
        alias={{ permissions: 'others' }}
        onSubmit={async ({ name = role?.name ?? '', description = '', others: typed = '', ...checked }) => {
          const permissions = [
            ...own.filter((permission) => checked[permission] === 'on'),
            ...typed.split(/[\s,،]+/).filter(Boolean),
          ];
          await admin.defineRole({ name, description, permissions });
          await onDone();
        }}
      >
        {({ faults, busy }) => (
          <>
            {!role && <Field name="name" label={texts.roleName} latin fault={faults.name} />}
            <Field
              name="description"
              label={texts.roleDescription}
              dir="auto"
              initial={role?.description ?? ''}
              fault={faults.description}
            />
            <fieldset class="checks">
              <legend class="legend">{texts.permissions}</legend>
              {own.map((permission) => (
                <Check
                  key={permission}
                  name={permission}
                  label={permission}
                  on={role?.permissions.includes(permission) ?? false}
                />
              ))}
            </fieldset>
            <Field
              name="others"
              label={texts.otherPermissions}
              hint={texts.otherPermissionsHint}
              latin
              initial={others.join(' ')}
              fault={faults.others}
            />
            <DialogActions busy={busy} onCancel={onClose}>
              {texts.save}
            </DialogActions>
          </>
        )}
      </Form>
    </Dialog>
  );
}
