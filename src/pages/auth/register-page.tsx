import { useState } from 'preact/hooks';
import { useTexts } from '../locale.js';
import { settings } from '../page-settings.js';
import { PATHS } from '../paths.js';
import { Link, usePlace, useTitle } from '../router.js';
import { client } from '../session.js';
import { authTexts } from '../texts/auth.js';
import { uiTexts } from '../texts/ui.js';
import { userTypeName } from '../texts/user-types.js';
import { Button } from '../ui/button.js';
import { Field, PasswordField, SelectField } from '../ui/field.js';
import { Form, type FormState, type Values } from '../ui/form.js';
import { Notice } from '../ui/notice.js';
import { NameFields, UsernameField } from '../ui/person-fields.js';
import { Tabs } from '../ui/tabs.js';
import { Outcome } from './outcome.js';
import { PhoneCode } from './phone-code.js';

type Way = 'email' | 'phone';

export function RegisterPage() {
  const texts = useTexts(authTexts);
  const [way, setWay] = useState<Way>('email');
  const [toldBy, setToldBy] = useState<string>();
  const { query } = usePlace();
  useTitle(texts.register);
  if (toldBy) return <CheckMail message={toldBy} />;

  const next = query.get('next');
  const tabs = [
    { key: 'email', label: texts.byEmail },
    { key: 'phone', label: texts.byPhone },
  ] as const;
  const form = way === 'email' ? <EmailForm onTold={setToldBy} /> : <PhoneForm />;
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <h1>{texts.register}</h1>
          <p class="lead">{texts.registerLead}</p>
        </div>
        {!settings.registration ? (
          <Notice kind="info">{texts.closed}</Notice>
        ) : settings.phone ? (
          <Tabs label={texts.registerWays} tabs={tabs} selected={way} onSelect={setWay}>
            {form}
          </Tabs>
        ) : (
          form
        )}
      </div>
      <p class="after">
        {texts.haveAccount}{' '}
        <Link to={PATHS.signIn + (next ? `?next=${encodeURIComponent(next)}` : '')}>{texts.signIn}</Link>
      </p>
    </div>
  );
}

/** Signs in at once, or says what to do first. */
function EmailForm({ onTold }: { onTold: (message: string) => void }) {
  const texts = useTexts(authTexts);
  return (
    <Form
      required={['email', 'password']}
      onSubmit={async ({ email = '', password = '', ...rest }) => {
        const { user, message } = await client.register({ email, password, ...rest });
        if (!user) onTold(message ?? '');
      }}
    >
      {(state) => (
        <>
          <Field
            name="email"
            type="email"
            label={texts.email}
            // It is what one signs in with: password managers keep it beside the password.
            autocomplete="username"
            autocapitalize="none"
            latin
            fault={state.faults.email}
          />
          <PasswordField
            name="password"
            label={texts.newPassword}
            autocomplete="new-password"
            hint={texts.passwordHint}
            fault={state.faults.password}
          />
          <Names {...state} />
          <UsernameField faults={state.faults} aside={<Optional />} />
          <Button type="submit" kind="primary" wide busy={state.busy}>
            {texts.register}
          </Button>
        </>
      )}
    </Form>
  );
}

function PhoneForm() {
  const texts = useTexts(authTexts);
  return (
    <PhoneCode
      purpose="register"
      action={texts.register}
      onCode={async (proof, { first_name, last_name, user_type }: Values) => {
        await client.register({ ...proof, first_name, last_name, user_type });
      }}
    >
      {(state) => <Names {...state} />}
    </PhoneCode>
  );
}

function Names({ faults }: FormState) {
  const texts = useTexts(authTexts);
  const locale = useTexts(userTypeName);
  return (
    <>
      <div class="columns">
        <NameFields faults={faults} aside={<Optional />} />
      </div>
      {settings.userTypes.length > 1 && (
        <SelectField
          name="user_type"
          label={texts.userType}
          options={settings.userTypes.map((type) => [type, locale(type)] as const)}
          fault={faults.user_type}
        />
      )}
    </>
  );
}

const Optional = () => <span class="optional">{useTexts(uiTexts).optional}</span>;

function CheckMail({ message }: { message: string }) {
  const texts = useTexts(authTexts);
  return (
    <Outcome kind="mail" title={texts.checkMail}>
      <p class="muted">{message}</p>
      <p class="muted small">{texts.noMail}</p>
      <Link class="button plain wide" to={PATHS.signIn}>
        {texts.backToSignIn}
      </Link>
    </Outcome>
  );
}
