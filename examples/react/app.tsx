import { AuthError, createAuthClient, type SessionEnd } from 'latchkey/client';
import { type FormEvent, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useAuth } from './use-auth.js';

// The refresh token stays in a cookie that no script can read; the tabs know of each other.
const client = createAuthClient({ transport: 'cookie', storage: 'localStorage' });

function App() {
  const { authenticated, user } = useAuth(client);
  const [end, setEnd] = useState<SessionEnd>();

  // After a reload the cookie is all there is: ask whose it is.
  useEffect(() => {
    client.restore().catch(() => {});
    return client.on('ended', setEnd);
  }, []);

  if (!authenticated) return <SignIn notice={end && `You were signed out (${end.reason}).`} />;
  return (
    <main>
      <h1>Hello {user?.first_name || user?.email || '…'}</h1>
      <button type="button" onClick={() => client.logout()}>
        Sign out
      </button>
    </main>
  );
}

function SignIn({ notice }: { notice: string | undefined }) {
  const [error, setError] = useState<string>();

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    try {
      await client.login({ email: String(form.get('email')), password: String(form.get('password')) });
    } catch (thrown) {
      setError(thrown instanceof AuthError ? thrown.message : String(thrown));
    }
  }

  return (
    <form onSubmit={submit}>
      <input name="email" type="email" autoComplete="username" aria-label="E-mail" required />
      <input name="password" type="password" autoComplete="current-password" aria-label="Password" required />
      <button type="submit">Sign in</button>
      <p role="alert">{error ?? notice}</p>
    </form>
  );
}

createRoot(document.getElementById('app') as HTMLElement).render(<App />);
