import { useState } from 'preact/hooks';
import type { AuthError } from '../../client/auth-client.js';
import { useTexts } from '../locale.js';
import { PATHS } from '../paths.js';
import { Link, useTitle } from '../router.js';
import { client, restore, useUser } from '../session.js';
import { authTexts } from '../texts/auth.js';
import { Button } from '../ui/button.js';
import { Form } from '../ui/form.js';
import { linkToken, spendLinkToken } from './link-token.js';
import { Outcome } from './outcome.js';

/**
 * Where the link that confirms an address leads. It takes a press: a link alone may end sessions (SECURITY.md), and
 * programs that look at mail open links.
 */
export function VerifyEmailPage() {
  const texts = useTexts(authTexts);
  const user = useUser();
  const [outcome, setOutcome] = useState<{ message: string } | 'broken' | undefined>(
    linkToken() ? undefined : 'broken',
  );
  useTitle(texts.verify);

  const goOn = user ? { to: PATHS.account, text: texts.goOn } : { to: PATHS.signIn, text: texts.signIn };
  if (outcome === 'broken') {
    return (
      <Outcome kind="bad" title={texts.linkBroken}>
        <p class="muted">{texts.verifyBrokenLead}</p>
        <Link class="button primary wide" to={goOn.to}>
          {goOn.text}
        </Link>
      </Outcome>
    );
  }
  if (outcome) {
    return (
      <Outcome kind="good" title={texts.verified}>
        <p class="muted">{outcome.message}</p>
        <Link class="button primary wide" to={goOn.to}>
          {goOn.text}
        </Link>
      </Outcome>
    );
  }

  const submit = async () => {
    try {
      const { message } = await client.verifyEmail(linkToken() as string);
      spendLinkToken();
      setOutcome({ message });
      if (client.state.authenticated) await restore();
    } catch (error) {
      if ((error as AuthError).code !== 'ticket_invalid') throw error;
      spendLinkToken();
      setOutcome('broken');
    }
  };
  return (
    <div class="narrow">
      <div class="card stack">
        <div>
          <h1>{texts.verify}</h1>
          <p class="lead">{texts.verifyLead}</p>
        </div>
        <Form onSubmit={submit}>
          {({ busy }) => (
            <Button type="submit" kind="primary" wide busy={busy}>
              {texts.confirm}
            </Button>
          )}
        </Form>
      </div>
    </div>
  );
}
