import type { FastifyInstance } from 'fastify';
import { AuthError } from '../../src/errors.js';
import type { Client } from '../../src/tokens/session-service.js';

/**
 * Ends the session of a refresh token. Unlike at `/api/auth/logout` a token that has expired, or whose session is over
 * already, is refused: it could not be blacklisted either.
 * @throws token_invalid, token_expired, token_revoked, store_unavailable
 */
export async function endSessionOf(app: FastifyInstance, refresh: string, client: Client): Promise<void> {
  await app.withNewKeys(async () => {
    app.sessions.readToken(refresh);
    if (!(await app.sessions.logout({ refresh }, client))) throw new AuthError('token_revoked');
  });
}
