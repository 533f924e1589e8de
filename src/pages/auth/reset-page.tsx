import { useState } from 'preact/hooks';
import type { AuthError } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { PATHS } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { client } from '../session.js';
import { authTexts } from '../texts/auth.js';
import { Button } from '../ui/button.js';
import { Form } from '../ui/form.js';
import { NewPassword } from './forgot-page.js';
import { linkToken, spendLinkToken } from './link-token.js';
import { Outcome } from './outcome.js';

/** Where the link of a forgotten password leads. */
export function ResetPage() {
  const texts = useTexts(authTexts);
  const [outcome, setOutcome] = useState<'done' | 'broken' | undefined>(linkToken() ? undefined : 'broken');
  useTitle(texts.reset);
  if (outcome === 'done') return <ResetDone />;
  if (outcome === 'broken') return <LinkBroken />;

  const submit = async ({ new_password = '' }) => {
    try {
      await client.resetPassword({ token: linkToken() as string, new_password });
    } catch (error) {
      if ((error as AuthError).code !== 'ticket_invalid') throw error;
      spendLinkToken();
      setOutcome('broken');
      return;
    }
    spendLinkToken();
    setOutcome('done');
  };
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <h1>{texts.reset}</h1>
          <p class="lead">{texts.resetLead}</p>
        </div>
        <Form required={['new_password']} onSubmit={submit}>
          {({ faults, busy }) => (
            <>
              <NewPassword fault={faults.new_password} />
              <Button type="submit" kind="primary" wide busy={busy}>
                {texts.setPassword}
              </Button>
            </>
          )}
        </Form>
      </div>
    </div>
  );
}

export function ResetDone() {
  const texts = useTexts(authTexts);
  return (
    <Outcome kind="good" title={texts.resetDone}>
      <p class="muted">{texts.resetDoneLead}</p>
      <Link class="button primary wide" to={PATHS.signIn}>
        {texts.signIn}
      </Link>
    </Outcome>
  );
}

function LinkBroken() {
  const texts = useTexts(authTexts);
  return (
    <Outcome kind="bad" title={texts.linkBroken}>
      <p class="muted">{texts.linkBrokenLead}</p>
      <Link class="button primary wide" to={PATHS.forgot}>
        {texts.newLink}
      </Link>
    </Outcome>
  );
}
