import type { ComponentType } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { type AuthError, networkError } from '../client/auth-error.js';
import { ForgotPage } from './auth/forgot-page.js';
import { RegisterPage } from './auth/register-page.js';
import { ResetPage } from './auth/reset-page.js';
import { SignInPage } from './auth/sign-in-page.js';
import { VerifyEmailPage } from './auth/verify-email-page.js';
import { Frame } from './frame.js';
import { useTexts } from './locale.js';
import { PATHS } from './paths.js';
import { navigate, readNext, urlOf, usePlace } from './router.js';
import { restore, sessionTrouble, signInPath, useUser } from './session.js';
import { useStore } from './store.js';
import { uiTexts } from './texts/ui.js';
import { Button } from './ui/button.js';
import { ProblemNotice } from './ui/form.js';

/** Everything, by where the reader is. */
export function Pages() {
  return (
    <Frame>
      <Page />
    </Frame>
  );
}

function Page() {
  const { path } = usePlace();
  switch (path) {
    case PATHS.signIn:
      return <ForStrangers page={SignInPage} />;
    case PATHS.register:
      return <ForStrangers page={RegisterPage} />;
    case PATHS.forgot:
      return <ForgotPage />;
    case PATHS.reset:
      return <ResetPage />;
    case PATHS.verifyEmail:
      return <VerifyEmailPage />;
    case PATHS.account:
      return <ForUsers load={loadAccount} />;
    default:
      return <ForUsers load={loadAdmin} />;
  }
}

const loadAccount = async () => {
  const { AccountPage } = await import('./account/account-page.js');
  return AccountPage;
};

const loadAdmin = async () => {
  const { AdminPage } = await import('./admin/admin-page.js');
  return AdminPage;
};

/** Whoever is signed in already goes on to where they wanted to go. */
function ForStrangers({ page: StrangersPage }: { page: ComponentType }) {
  const user = useUser();
  const trouble = useStore(sessionTrouble);
  const { query } = usePlace();
  const next = readNext(query);
  useEffect(() => {
    if (user) goTo(next);
  }, [user, next]);
  // While it is being found out: better nothing than a form that vanishes.
  if (user || (user === undefined && !trouble)) return <Waiting />;
  return <StrangersPage />;
}

/** To a page of ours without loading anything, elsewhere on this origin by the browser. */
function goTo(next: string | undefined): void {
  const [path = ''] = (next ?? urlOf(PATHS.account)).split(/[?#]/);
  const own = Object.values(PATHS).some((known) => urlOf(known) === path);
  if (!next || own) navigate((next ?? urlOf(PATHS.account)).slice(urlOf('').length), { replace: true });
  else location.replace(next);
}

/** A page for whoever is signed in; it is loaded when it is needed. */
function ForUsers({ load }: { load: () => Promise<ComponentType> }) {
  const user = useUser();
  const trouble = useStore(sessionTrouble);
  const [{ page: UsersPage, isMissing }, setPage] = useState<{ page?: ComponentType; isMissing?: boolean }>(
    {},
  );
  useEffect(() => {
    let isWanted = true;
    load().then(
      (page) => isWanted && setPage({ page }),
      () => isWanted && setPage({ isMissing: true }),
    );
    return () => {
      isWanted = false;
    };
  }, [load]);
  useEffect(() => {
    if (user === null) navigate(signInPath(), { replace: true });
  }, [user]);
  if (user === undefined && trouble) return <Trouble problem={trouble} onRetry={() => void restore()} />;
  // A browser does not load a module again that it could not load; and a newer version has other names.
  if (user && isMissing) return <Trouble problem={networkError()} onRetry={() => location.reload()} />;
  if (!user || !UsersPage) return <Waiting />;
  return <UsersPage />;
}

function Trouble({ problem, onRetry }: { problem: AuthError; onRetry: () => void }) {
  const texts = useTexts(uiTexts);
  return (
    <div class="narrow">
      <div class="card stack">
        <ProblemNotice problem={problem} />
        <Button kind="primary" wide onClick={onRetry}>
          {texts.tryAgain}
        </Button>
      </div>
    </div>
  );
}

function Waiting() {
  const texts = useTexts(uiTexts);
  return (
    <div class="waiting" role="status">
      <span class="spinner" aria-hidden="true" />
      <span class="unseen">{texts.loading}</span>
    </div>
  );
}
