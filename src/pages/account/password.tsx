import { useState } from 'preact/hooks';
import type { User } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { PATHS } from '../paths.js';
import { Link } from '../router.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { authTexts } from '../texts/auth.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { DialogActions } from '../ui/dialog-actions.js';
import { PasswordField } from '../ui/field.js';
import { Form } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { Section } from '../ui/section.js';

export function Password({ user, onChanged }: { user: User; onChanged: () => void }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(authTexts), ...useTexts(accountTexts) };
  const [isOpen, setOpen] = useState(false);
  const [isChanged, setChanged] = useState(false);
  return (
    <Section
      id="password"
      title={texts.security}
      lead={texts.securityLead}
      action={<Button onClick={() => setOpen(true)}>{texts.changePassword}</Button>}
    >
      <div class="stack-small">
        {isChanged && <Notice kind="good">{texts.passwordChanged}</Notice>}
        <p class="small muted">
          {texts.noPassword} <Link to={PATHS.forgot}>{texts.resetPassword}</Link>
        </p>
      </div>
      {isOpen && (
        <Dialog title={texts.changePassword} onClose={() => setOpen(false)}>
          <Form
            required={['current_password', 'new_password']}
            onSubmit={async ({ current_password = '', new_password = '' }) => {
              await client.changePassword({ current_password, new_password });
              setOpen(false);
              setChanged(true);
              onChanged();
            }}
          >
            {({ faults, busy }) => (
              <>
                {/* So that password managers know whose password it is. */}
                <input
                  class="unseen"
                  type="text"
                  autocomplete="username"
                  value={user.email ?? user.username ?? user.phone ?? ''}
                  tabIndex={-1}
                  aria-hidden="true"
                  readOnly
                />
                <PasswordField
                  name="current_password"
                  label={texts.currentPassword}
                  autocomplete="current-password"
                  fault={faults.current_password}
                />
                <PasswordField
                  name="new_password"
                  label={texts.newPassword}
                  autocomplete="new-password"
                  hint={texts.passwordHint}
                  fault={faults.new_password}
                />
                <DialogActions busy={busy} onCancel={() => setOpen(false)}>
                  {texts.changePassword}
                </DialogActions>
              </>
            )}
          </Form>
        </Dialog>
      )}
    </Section>
  );
}
