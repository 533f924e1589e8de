import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { generateKeys, rotateKeys } from '../../src/commands/keys.js';
import { type Api, type ApiResponse, api } from '../support/http.js';
import { withServer } from '../support/server-process.js';
import {
  claimsOf,
  eventually,
  login,
  me,
  ownStores,
  type Person,
  PLAIN,
  pick,
  refresh,
  register,
  type Tokens,
  verify,
} from './people.js';

const LIFE_SECONDS = 3;
const PEOPLE = 6;

const kidOf = (token: string): string =>
  (JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { kid: string }).kid;

const jwksOf = async (server: Api): Promise<string[]> =>
  (await server.get<{ keys: { kid: string }[] }>('/.well-known/jwks.json')).body.keys.map(({ kid }) => kid);

/** Everybody's requests, each to another process than the one before, until `stop`. */
function startTraffic(servers: readonly Api[], people: readonly Person[]) {
  const faults: string[] = [];
  /** The kid that each process signed with last. */
  const signing: string[] = [];
  const kids = new Set<string>();
  let answers = 0;
  let turn = 0;
  let running = true;

  /** Only an answer that came while the token was good can be wrong. */
  async function ask(
    name: string,
    tokens: Tokens,
    token: string,
    request: (server: Api, token: string) => Promise<ApiResponse<object>>,
  ): Promise<ApiResponse<object>> {
    const index = turn++ % servers.length;
    const answer = await request(servers[index]!, token);
    answers += 1;
    const isOver = Date.now() >= claimsOf(tokens.access).exp * 1000;
    if (answer.status !== 200 && !isOver) {
      faults.push(`${name} by ${kidOf(token)} on ${index}: ${answer.status} ${answer.text}`);
    }
    if (name === 'refresh' && answer.status === 200) signing[index] = kidOf((answer.body as Tokens).access);
    return answer;
  }

  /** Uses each pair until `untilAge` (ms) and then trades it in. */
  async function live(person: Person, untilAge: number): Promise<void> {
    let tokens: Tokens = person;
    while (running) {
      kids.add(kidOf(tokens.access));
      const until = Date.now() + untilAge;
      do {
        await Promise.all([
          ask('me', tokens, tokens.access, me),
          ask('verify access', tokens, tokens.access, verify),
          ask('verify refresh', tokens, tokens.refresh, verify),
        ]);
        await delay(5);
      } while (running && Date.now() < until);
      const answer = await ask('refresh', tokens, tokens.refresh, refresh);
      tokens = answer.status === 200 ? (answer.body as Tokens) : await login(pick(servers, turn++), person);
    }
  }

  // Half of them hold a pair as long as they safely can, so that old keys are asked for to the end.
  const lives = people.map((person, n) => live(person, n % 2 === 0 ? 0 : LIFE_SECONDS * 500));
  return {
    faults,
    kids,
    signing,
    answers: () => answers,
    async stop() {
      running = false;
      await Promise.all(lives);
    },
  };
}

t.test('keys are rotated under load and nobody notices', async (t) => {
  const file = join(t.testdir(), 'keys.json');
  const rotate = () =>
    rotateKeys({
      file,
      publishSeconds: '0',
      retireSeconds: LIFE_SECONDS,
      now: Math.floor(Date.now() / 1000),
    });
  generateKeys({ file, retireSeconds: LIFE_SECONDS, now: 0 });
  const env = {
    ...PLAIN,
    ...(await ownStores(t)),
    JWT_SIGNING_KEY: undefined,
    JWT_KEYSET: file,
    JWT_ACCESS_TOKEN_LIFETIME: String(LIFE_SECONDS),
    JWT_REFRESH_TOKEN_LIFETIME: String(LIFE_SECONDS),
  };
  const processes = await Promise.all([withServer(t, { env }), withServer(t, { env })]);
  const servers = processes.map(({ url }) => api(url));
  const [first = ''] = await jwksOf(servers[0]!);
  const traffic = startTraffic(
    servers,
    await Promise.all(Array.from({ length: PEOPLE }, (_, n) => register(pick(servers, n)))),
  );
  const all = async (holds: (kids: string[]) => boolean) =>
    (await Promise.all(servers.map(jwksOf))).every(holds);
  const bothSignWith = (kid: string) => async () =>
    traffic.signing.length === 2 && traffic.signing.every((each) => each === kid);
  await eventually(t, 'both processes sign with the first key', 8, bothSignWith(first));

  const second = /^Published (\S+)\./.exec(rotate())?.[1] ?? '';
  await eventually(t, 'both publish the second', 8, () => all((kids) => kids.includes(second)));
  t.ok(await bothSignWith(first)(), 'which does not sign yet');

  const signs = rotate();
  t.match(signs, `${second} signs from now on.`);
  const due = Date.parse(/until (\S+);/.exec(signs)?.[1] ?? '');
  await eventually(t, 'both sign with the second', 8, bothSignWith(second));
  t.ok(await all((kids) => kids.includes(first)), 'the first still verifies');

  // A timer may be a millisecond early, and the command counts whole seconds.
  await delay(due + 50 - Date.now());
  const [dropped, published] = rotate().split('\n');
  t.match(dropped, `Dropped ${first}: the last token it signed has expired.`);
  const third = /^Published (\S+)\./.exec(published ?? '')?.[1] ?? '';

  // Nobody waits this time: whoever reads the file first signs with a key that the other has never seen.
  t.match(rotate(), `${third} signs from now on.`);
  await eventually(t, 'both sign with the third', 8, bothSignWith(third));
  await eventually(t, 'the first key is gone', 8, () => all((kids) => !kids.includes(first)));
  await traffic.stop();

  t.strictSame(traffic.faults, [], `${traffic.answers()} answers, none of them wrong`);
  t.ok(traffic.answers() > 500, `${traffic.answers()} answers`);
  t.strictSame(traffic.kids, new Set([first, second, third]), 'every key has signed');
  for (const { output } of processes) t.notMatch(output(), /"level":"(error|fatal)"/, 'nothing went wrong');
});
