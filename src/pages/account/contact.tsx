import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { AuthError, User } from '../../client/auth-client.js';
import { PhoneCode } from '../auth/phone-code.js';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { client } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { DialogActions } from '../ui/dialog-actions.js';
import { Field, PasswordField } from '../ui/field.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { Section } from '../ui/section.js';

type Opened = 'email' | 'phone' | 'verify-phone';

export function Contact({ user, onChanged }: { user: User; onChanged: () => void }) {
  const texts = useTexts(accountTexts);
  const [opened, setOpened] = useState<Opened>();
  const [said, setSaid] = useState<string>();
  const [problem, setProblem] = useState<AuthError>();
  const close = () => setOpened(undefined);
  const done = (message: string) => {
    close();
    setProblem(undefined);
    setSaid(message);
    onChanged();
  };
  const resend = async () => {
    try {
      done((await client.resendEmail()).message);
    } catch (error) {
      setSaid(undefined);
      setProblem(error as AuthError);
    }
  };
  return (
    <Section id="contact" title={texts.contact} lead={texts.contactLead}>
      <div class="stack">
        {problem && <ProblemNotice problem={problem} />}
        {said && <Notice kind="good">{said}</Notice>}
        <dl class="pairs">
          <Pair label={texts.email} value={user.email} isVerified={user.email_verified}>
            {settings.email && user.email && !user.email_verified && (
              <Button small onClick={() => void resend()}>
                {texts.resend}
              </Button>
            )}
            {settings.email && (
              <Button small onClick={() => setOpened('email')}>
                {user.email ? texts.change : texts.add}
              </Button>
            )}
          </Pair>
          <Pair label={texts.phone} value={user.phone} isVerified={user.phone_verified}>
            {settings.phone && user.phone && !user.phone_verified && (
              <Button small onClick={() => setOpened('verify-phone')}>
                {texts.verify}
              </Button>
            )}
            {settings.phone && (
              <Button small onClick={() => setOpened('phone')}>
                {user.phone ? texts.change : texts.add}
              </Button>
            )}
          </Pair>
        </dl>
      </div>
      {opened === 'email' && <ChangeEmail onClose={close} onDone={done} />}
      {opened === 'phone' && <ChangePhone onClose={close} onDone={done} />}
      {opened === 'verify-phone' && user.phone && (
        <VerifyPhone phone={user.phone} onClose={close} onDone={done} />
      )}
    </Section>
  );
}

interface PairProps {
  label: string;
  value: string | null;
  isVerified: boolean;
  children: ComponentChildren;
}

function Pair({ label, value, isVerified, children }: PairProps) {
  const texts = useTexts(accountTexts);
  return (
    <div>
      <dt>{label}</dt>
      <dd>
        {value ? <span class="latin">{value}</span> : <span class="muted">{texts.none}</span>}
        {value && (
          <span class={`badge ${isVerified ? 'good' : 'warn'}`}>
            {isVerified ? texts.verified : texts.unverified}
          </span>
        )}
        <span class="pair-actions">{children}</span>
      </dd>
    </div>
  );
}

interface ChangeProps {
  onClose: () => void;
  onDone: (message: string) => void;
}

function ChangeEmail({ onClose, onDone }: ChangeProps) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  return (
    <Dialog title={texts.changeEmail} onClose={onClose}>
      <Form
        required={['email', 'password']}
        onSubmit={async ({ email = '', password = '' }) => {
          onDone((await client.changeEmail({ email, password })).message);
        }}
      >
        {({ faults, busy }) => (
          <>
            <Field
              name="email"
              type="email"
              label={texts.newEmail}
              autocomplete="email"
              autocapitalize="none"
              latin
              fault={faults.email}
            />
            <PasswordField
              name="password"
              label={texts.currentPassword}
              autocomplete="current-password"
              fault={faults.password}
            />
            <DialogActions busy={busy} onCancel={onClose}>
              {texts.change}
            </DialogActions>
          </>
        )}
      </Form>
    </Dialog>
  );
}

function ChangePhone({ onClose, onDone }: ChangeProps) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  return (
    <Dialog title={texts.changePhone} onClose={onClose}>
      <p class="muted">{texts.changePhoneHint}</p>
      <PhoneCode
        purpose="verify"
        action={texts.change}
        required={['password']}
        onCode={async (proof, { password = '' }) => {
          const { message } = await client.changePhone({ ...proof, password });
          await client.me();
          onDone(message);
        }}
      >
        {({ faults }) => (
          <PasswordField
            name="password"
            label={texts.currentPassword}
            autocomplete="current-password"
            fault={faults.password}
          />
        )}
      </PhoneCode>
      <Button onClick={onClose}>{texts.cancel}</Button>
    </Dialog>
  );
}

function VerifyPhone({ phone, onClose, onDone }: ChangeProps & { phone: string }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  return (
    <Dialog title={texts.verifyPhone} onClose={onClose}>
      <PhoneCode
        purpose="verify"
        phone={phone}
        action={texts.verify}
        onCode={async (proof) => {
          const { message } = await client.verifyPhone(proof);
          await client.me();
          onDone(message);
        }}
      />
      <Button onClick={onClose}>{texts.cancel}</Button>
    </Dialog>
  );
}
