import { useState } from 'preact/hooks';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { PATHS } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { client } from '../session.js';
import { authTexts } from '../texts/auth.js';
import { Button } from '../ui/button.js';
import { Field, PasswordField } from '../ui/field.js';
import { Form } from '../ui/form.js';
import { Tabs } from '../ui/tabs.js';
import { Outcome } from './outcome.js';
import { PhoneCode } from './phone-code.js';
import { ResetDone } from './reset-page.js';

type Way = 'email' | 'phone';

/** For people who cannot sign in: a link by e-mail, or a code by phone. */
export function ForgotPage() {
  const texts = useTexts(authTexts);
  const [way, setWay] = useState<Way>(settings.email ? 'email' : 'phone');
  const [outcome, setOutcome] = useState<{ sentTo: string } | 'reset'>();
  useTitle(texts.forgot);
  if (outcome === 'reset') return <ResetDone />;
  if (outcome) return <LinkSent to={outcome.sentTo} />;

  const tabs = [
    { key: 'email', label: texts.byEmail },
    { key: 'phone', label: texts.byPhone },
  ] as const;
  const form =
    way === 'email' ? (
      <EmailForm onSent={(sentTo) => setOutcome({ sentTo })} />
    ) : (
      <PhoneForm onDone={() => setOutcome('reset')} />
    );
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <h1>{texts.forgot}</h1>
          <p class="lead">{texts.forgotLead}</p>
        </div>
        {settings.phone && settings.email ? (
          <Tabs label={texts.forgotWays} tabs={tabs} selected={way} onSelect={setWay}>
            {form}
          </Tabs>
        ) : (
          form
        )}
      </div>
      <p class="after">
        <Link to={PATHS.signIn}>{texts.backToSignIn}</Link>
      </p>
    </div>
  );
}

function EmailForm({ onSent }: { onSent: (to: string) => void }) {
  const texts = useTexts(authTexts);
  return (
    <Form
      required={['email']}
      onSubmit={async ({ email = '' }) => {
        await client.forgotPassword({ email });
        onSent(email);
      }}
    >
      {({ faults, busy }) => (
        <>
          <Field
            name="email"
            type="email"
            label={texts.email}
            autocomplete="email"
            autocapitalize="none"
            latin
            fault={faults.email}
          />
          <Button type="submit" kind="primary" wide busy={busy}>
            {texts.sendLink}
          </Button>
        </>
      )}
    </Form>
  );
}

function PhoneForm({ onDone }: { onDone: () => void }) {
  const texts = useTexts(authTexts);
  return (
    <PhoneCode
      purpose="reset"
      action={texts.setPassword}
      required={['new_password']}
      onCode={async (proof, { new_password = '' }) => {
        await client.resetPassword({ ...proof, new_password });
        onDone();
      }}
    >
      {({ faults }) => <NewPassword fault={faults.new_password} />}
    </PhoneCode>
  );
}

export function NewPassword({ fault }: { fault: string | undefined }) {
  const texts = useTexts(authTexts);
  return (
    <PasswordField
      name="new_password"
      label={texts.newPassword}
      autocomplete="new-password"
      hint={texts.passwordHint}
      fault={fault}
    />
  );
}

function LinkSent({ to }: { to: string }) {
  const texts = useTexts(authTexts);
  const [before, after] = texts.linkSent.split('{email}');
  return (
    <Outcome kind="mail" title={texts.checkMail}>
      <p class="muted">
        {before}
        <span class="latin">{to}</span>
        {after}
      </p>
      <p class="muted small">{texts.noMail}</p>
      <Link class="button plain wide" to={PATHS.signIn}>
        {texts.backToSignIn}
      </Link>
    </Outcome>
  );
}
