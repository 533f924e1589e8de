import type { Test } from 'tap';
import type { Api } from '../support/http.js';
import { assertAlive, assertDead, claimsOf, me, type Person, pick, refresh, type Tokens } from './people.js';

const ACCESS_SECONDS = 900;
const REFRESH_SECONDS = 7 * 86_400;

/** Fifty refreshes of one token over all servers are answered with one successor, and it is good. */
export async function assertOneSuccessor(t: Test, servers: readonly Api[], person: Person): Promise<void> {
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, n) => refresh(pick(servers, n), person.refresh)),
  );
  t.same(new Set(answers.map(({ status }) => status)), new Set([200]), 'all fifty are answered');
  const successors = new Set(answers.map(({ body }) => claimsOf(body.refresh).jti));
  t.equal(successors.size, 1, 'with one and the same successor');
  t.notOk(successors.has(claimsOf(person.refresh).jti), 'which is a new one');
  t.equal(new Set(answers.map(({ body }) => body.refresh)).size, 1, 'to the letter');
  for (const { body } of answers) {
    const { iat, exp } = claimsOf(body.access);
    if (exp - iat !== ACCESS_SECONDS || body.expires_in !== ACCESS_SECONDS) t.fail('expires_in is wrong');
    if (REFRESH_SECONDS - body.refresh_expires_in > 5) t.fail('refresh_expires_in is wrong');
  }
  const statuses = await Promise.all(answers.map(({ body }, n) => me(pick(servers, n), body.access)));
  t.same(new Set(statuses.map(({ status }) => status)), new Set([200]), 'every access token is good');
  await assertAlive(t, pick(servers, 0), answers[7]!.body);
}

const RACERS = 6;

/**
 * Refreshes in two waves over all servers, the second with what the first was handed; the session is ended in the
 * midst of one of them. Whatever they were handed is dead afterwards, and nobody was told of theft.
 */
export async function raceEnding(
  t: Test,
  servers: readonly Api[],
  victim: Tokens,
  end: () => Promise<number>,
  { reason, turn }: { reason: string; turn: number },
): Promise<void> {
  const handed: Tokens[] = [victim];
  const odd: string[] = [];
  async function race(n: number, token: string): Promise<void> {
    const { status, body, text } = await refresh(pick(servers, n + turn), token);
    if (status === 200) handed.push(body);
    else if (status !== 401 || !text.includes('"session_ended"')) odd.push(`${status} ${text}`);
  }
  let ended: Promise<number> | undefined;
  for (const wave of [0, 1]) {
    const token = handed.at(-1)!.refresh;
    const racing: Promise<void>[] = [];
    for (let n = 0; n < RACERS; n++) {
      if (wave === turn % 2 && n === turn % RACERS) ended = end();
      racing.push(race(n, token));
    }
    await Promise.all(racing);
  }
  t.match(await ended, /^20[04]$/, 'the ending is answered');
  t.same(odd, [], 'the racers were answered 200 or session_ended');
  const all = { access: handed.map(({ access }) => access), refresh: handed.map((pair) => pair.refresh) };
  await assertDead(t, servers, { ...all, refresh: [...new Set(all.refresh)] }, reason);
}
