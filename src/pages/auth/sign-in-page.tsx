import { useState } from 'preact/hooks';
import { fill, useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { PATHS } from '../paths.js';
import { Link, usePlace, useTitle } from '../router.js';
import { client, lastEnd } from '../session.js';
import { useStore } from '../store.js';
import { authTexts } from '../texts/auth.js';
import { Button } from '../ui/button.js';
import { Field, PasswordField } from '../ui/field.js';
import { Form } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { Tabs } from '../ui/tabs.js';
import { readIdentifier } from './identifier.js';
import { PhoneCode } from './phone-code.js';

type Way = 'password' | 'phone';

export function SignInPage() {
  const texts = useTexts(authTexts);
  const [way, setWay] = useState<Way>('password');
  const { query } = usePlace();
  useTitle(texts.signIn);
  const next = query.get('next');
  const tabs = [
    { key: 'password', label: texts.byPassword },
    { key: 'phone', label: texts.byPhone },
  ] as const;
  const form = way === 'password' ? <PasswordForm /> : <CodeForm />;
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <h1>{texts.signIn}</h1>
          <p class="lead">{texts.signInLead}</p>
        </div>
        <WhySignedOut />
        {settings.phone ? (
          <Tabs label={texts.ways} tabs={tabs} selected={way} onSelect={setWay}>
            {form}
          </Tabs>
        ) : (
          form
        )}
      </div>
      {settings.registration && (
        <p class="after">
          {texts.noAccount}{' '}
          <Link to={PATHS.register + (next ? `?next=${encodeURIComponent(next)}` : '')}>
            {texts.register}
          </Link>
        </p>
      )}
    </div>
  );
}

function PasswordForm() {
  const texts = useTexts(authTexts);
  return (
    <Form
      required={['identifier', 'password']}
      alias={{ email: 'identifier', username: 'identifier', phone: 'identifier' }}
      onSubmit={async ({ identifier = '', password = '' }) => {
        await client.login({ ...readIdentifier(identifier), password });
      }}
    >
      {({ faults, busy }) => (
        <>
          <Field
            name="identifier"
            label={texts.identifier}
            autocomplete="username"
            autocapitalize="none"
            spellcheck={false}
            latin
            fault={faults.identifier}
          />
          <PasswordField
            name="password"
            label={texts.password}
            autocomplete="current-password"
            fault={faults.password}
            aside={
              <Link class="small" to={PATHS.forgot}>
                {texts.forgotPassword}
              </Link>
            }
          />
          <Button type="submit" kind="primary" wide busy={busy}>
            {texts.signIn}
          </Button>
        </>
      )}
    </Form>
  );
}

function CodeForm() {
  const texts = useTexts(authTexts);
  return (
    <PhoneCode
      purpose="login"
      action={texts.signIn}
      onCode={async (proof) => {
        await client.login(proof);
      }}
    />
  );
}

/** Whoever is suddenly asked to sign in is told why. */
function WhySignedOut() {
  const texts = useTexts(authTexts);
  const end = useStore(lastEnd);
  if (!end) return null;
  return (
    <Notice kind={end.reason === 'reuse' ? 'warn' : 'info'}>
      {fill(texts.signedOut, { reason: texts.reasons[end.reason] })}
    </Notice>
  );
}
