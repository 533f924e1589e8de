import { useState } from 'preact/hooks';
import type { AuthError, User } from '../../client/auth-client.js';
import { PhoneCode } from '../auth/phone-code.js';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { client, lastEnd } from '../session.js';
import { accountTexts } from '../texts/account.js';
import { uiTexts } from '../texts/ui.js';
import { Button } from '../ui/button.js';
import { Dialog } from '../ui/dialog.js';
import { PasswordField } from '../ui/field.js';
import { Form, ProblemNotice } from '../ui/form.js';
import { Section } from '../ui/section.js';
import { Tabs } from '../ui/tabs.js';

/** Taking everything along, and going. */
export function OwnData({ user }: { user: User }) {
  const texts = useTexts(accountTexts);
  const [isOpen, setOpen] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<AuthError>();
  const take = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      saveAs('latchkey-account.json', JSON.stringify(await client.exportAccount(), null, 2));
    } catch (error) {
      setProblem(error as AuthError);
    } finally {
      setBusy(false);
    }
  };
  return (
    <>
      <Section
        id="data"
        title={texts.data}
        lead={texts.dataLead}
        action={
          <Button busy={isBusy} onClick={() => void take()}>
            {texts.exportData}
          </Button>
        }
      >
        {problem && <ProblemNotice problem={problem} />}
      </Section>
      <Section
        id="delete"
        danger
        title={texts.remove}
        lead={texts.removeLead}
        action={
          <Button kind="warning" onClick={() => setOpen(true)}>
            {texts.remove}
          </Button>
        }
      />
      {isOpen && <DeleteAccount user={user} onClose={() => setOpen(false)} />}
    </>
  );
}

function saveAs(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // Some browsers begin to read it a while later.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

type Way = 'password' | 'phone';

function DeleteAccount({ user, onClose }: { user: User; onClose: () => void }) {
  const texts = { ...useTexts(uiTexts), ...useTexts(accountTexts) };
  const byPhone = settings.phone && user.phone_verified ? user.phone : null;
  const [way, setWay] = useState<Way>(byPhone && !user.email ? 'phone' : 'password');
  const remove = async (proof: Parameters<typeof client.deleteAccount>[0]) => {
    await client.deleteAccount(proof);
    lastEnd.set({ reason: 'account_deleted' });
  };
  const tabs = [
    { key: 'password', label: texts.byPassword },
    { key: 'phone', label: texts.byPhone },
  ] as const;
  const form =
    byPhone && way === 'phone' ? (
      <PhoneCode purpose="verify" phone={byPhone} action={texts.removeForEver} danger onCode={remove}>
        {/* A form with more than the code in it waits for its button. */}
        {() => null}
      </PhoneCode>
    ) : (
      <Form required={['password']} onSubmit={({ password = '' }) => remove({ password })}>
        {({ faults, busy }) => (
          <>
            <PasswordField
              name="password"
              label={texts.currentPassword}
              autocomplete="current-password"
              fault={faults.password}
            />
            <Button type="submit" kind="danger" wide busy={busy}>
              {texts.removeForEver}
            </Button>
          </>
        )}
      </Form>
    );
  return (
    <Dialog title={texts.removeTitle} onClose={onClose}>
      <p class="muted">{texts.removeLead}</p>
      {byPhone ? (
        <Tabs label={texts.removeWays} tabs={tabs} selected={way} onSelect={setWay}>
          {form}
        </Tabs>
      ) : (
        form
      )}
      <Button onClick={onClose}>{texts.cancel}</Button>
    </Dialog>
  );
}
