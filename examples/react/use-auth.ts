import type { AuthClient, AuthState } from 'latchkey/client';
import { useSyncExternalStore } from 'react';

/** Who is signed in, in whichever tab that changes. */
export function useAuth(client: AuthClient): AuthState {
  return useSyncExternalStore(
    (onChange) => client.on('change', onChange),
    () => client.state,
  );
}
