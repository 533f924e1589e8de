import { makeOauthClient, type OauthClientStore } from '../accounts/oauth-clients.js';
import { toIso } from '../lib/clock.js';
import { UsageError } from './keys.js';
import { Refusal } from './users.js';

export interface NewOauthClient {
  /** `--name` */
  name: string | undefined;
  /** `--json` */
  json: boolean;
  /** Milliseconds since the epoch. */
  now: number;
}

const MAX_NAME = 100;

/** Makes a client and says its secret, this once. */
export async function createOauthClient(
  store: OauthClientStore,
  { name, json, now }: NewOauthClient,
): Promise<string> {
  const { client, secret } = makeOauthClient(requireName(name), now);
  await store.insert(client);
  if (json) return JSON.stringify({ ...describe(client), secret });
  return [
    `Made the client ${client.name}. Servers know it within five seconds.`,
    '',
    `  id      ${client.id}`,
    `  secret  ${secret}`,
    '',
    'The secret is shown only now; what is stored is its hash.',
  ].join('\n');
}

export async function listOauthClients(
  store: OauthClientStore,
  { json }: { json: boolean },
): Promise<string> {
  const clients = (await store.list()).map(describe);
  if (json) return JSON.stringify(clients);
  if (clients.length === 0) return 'There are no clients. Make one: latchkey client create --name NAME';
  return clients.map(({ id, created_at, name }) => `${id}  ${created_at}  ${name}`).join('\n');
}

/** Refuses a client from now on, everywhere within five seconds. */
export async function deleteOauthClient(store: OauthClientStore, id: string | undefined): Promise<string> {
  if (!id) throw new UsageError('Say which client: --id ID. See: latchkey client list');
  if (!(await store.remove(id))) throw new Refusal(`There is no client ${id}. See: latchkey client list`);
  return `Deleted the client ${id}. Servers refuse it within five seconds.`;
}

const describe = ({ id, name, createdAt }: { id: string; name: string; createdAt: number }) => ({
  id,
  name,
  created_at: toIso(createdAt),
});

function requireName(raw: string | undefined): string {
  const name = raw?.trim();
  if (!name) throw new UsageError('Say what the client is called: --name NAME');
  if (name.length > MAX_NAME) throw new UsageError(`--name must have at most ${MAX_NAME} characters.`);
  // A name must not drive the terminal that lists it.
  if (/\p{C}/u.test(name)) throw new UsageError('--name must be plain text on one line.');
  return name;
}
