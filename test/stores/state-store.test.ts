import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import type { EndReason, User } from '../../src/accounts/user.js';
import { AuthError } from '../../src/errors.js';
import { newTokenId } from '../../src/lib/ids.js';
import { createKeys } from '../../src/stores/keys.js';
import { createRedisStateStore } from '../../src/stores/redis/state-store.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createSqliteStateStore } from '../../src/stores/sqlite/state-store.js';
import {
  type AdoptToken,
  FENCE_MS,
  RACE_WINDOW_MS,
  type RotateResult,
  type Stale,
} from '../../src/tokens/state-store.js';
import { freePort } from '../support/free-port.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';
import { countTrips } from '../support/trip-counter.js';
import {
  ADAPTERS,
  type Adapter,
  accessJti,
  type Bench,
  createHolder,
  DAY,
  MINUTE,
  makeUser,
  openStore,
  REFRESH_SECONDS,
  raiseVersion,
  SECOND,
  successor,
  type Token,
  tempDir,
} from './state-store-bench.js';

const GONE = { status: 'gone' };
const REVOKED = { status: 'revoked' };
const REUSED = { status: 'reused' };
const DONE = { status: 'done' };
const ended = (reason: EndReason) => ({ status: 'ended', reason });

t.test('a redis that is away is no verdict', async (t) => {
  const url = `redis://127.0.0.1:${await freePort()}`;
  const bench = { store: createRedisStateStore({ url, prefix: freshPrefix(t) }), now: Date.now };
  const { check, rotate } = createHolder(bench);
  const token = { userId: makeUser().id, sessionId: newTokenId(), jti: newTokenId(), issuedAtSeconds: 1 };

  for (const call of [() => check(token), () => rotate(token), () => bench.store.ping()]) {
    const start = performance.now();
    const error = await call().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    t.ok(error instanceof AuthError && error.code === 'store_unavailable' && error.retryAfter === 1);
    t.ok(performance.now() - start < 1200, 'told in time');
  }
  await t.resolves(bench.store.close(), 'closing resolves all the same');
});

for (const adapter of ADAPTERS) t.test(adapter.name, (t) => contract(t, adapter));

/** What both adapters promise. */
async function contract(t: Test, adapter: Adapter): Promise<void> {
  const bench = await adapter.setUp(t);
  const { store, now, advance } = bench;
  const { open, check, rotate, refresh, seconds, rotateInput, checkInput } = createHolder(bench);
  const ok = (user: object) => ({ status: 'ok', user, limit: undefined });

  t.test('a session is good until it ends', async (t) => {
    await t.test('check gives the whole user back', async (t) => {
      const full = makeUser({
        lastLogin: 5,
        username: 'zoe',
        authReason: 'password_change',
        isSuperuser: true,
      });
      const bare = makeUser({ email: null, phone: null, userType: null, firstName: '', isStaff: false });
      for (const user of [full, bare]) {
        const token = await open(user);
        t.strictSame(await check(token), ok(user));
        t.strictSame(await check(token, { type: 'refresh' }), ok(user));
      }
    });

    await t.test('an unknown session, user or refresh token', async (t) => {
      const user = makeUser();
      const token = await open(user);
      t.strictSame(await check({ ...token, sessionId: newTokenId() }), GONE);
      t.strictSame(await check({ ...token, userId: makeUser().id }), GONE);
      t.strictSame(await rotate({ ...token, sessionId: newTokenId() }), GONE);
      t.strictSame(await check({ ...token, jti: newTokenId() }, { type: 'refresh' }), REVOKED);
    });

    await t.test('an ended one says why, once and for all', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const { userId, sessionId } = token;
      t.equal(await store.endSession({ userId, sessionId, reason: 'logout' }), true);
      t.equal(await store.endSession({ userId, sessionId, reason: 'admin' }), false);
      t.equal(await store.endSession({ userId, sessionId: newTokenId(), reason: 'logout' }), false);
      t.strictSame(await check(token), ended('logout'));
      t.strictSame(await rotate(token), ended('logout'));
    });

    await t.test('it is gone when its refresh token has expired', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await advance(REFRESH_SECONDS * SECOND - 5 * SECOND);
      t.strictSame(await check(token), ok(user));
      await advance(5 * SECOND);
      t.strictSame(await check(token), GONE);
      t.strictSame(await rotate(token), GONE);
    });

    await t.test('opening it twice, or late, changes nothing', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const next = await refresh(token);
      await open(user, token);
      t.strictSame(await check(next, { type: 'refresh' }), ok(user));
      await store.endSession({ ...token, reason: 'logout' });
      await open(user, token);
      t.strictSame(await check(next), ended('logout'));
    });
  });

  t.test('a blacklisted token is revoked, exactly as long as it would have lived', async (t) => {
    const user = makeUser();
    const token = await open(user);
    const jti = accessJti(token);
    await store.revokeToken({ userId: user.id, jti, expiresAt: now() + MINUTE, now: now() });
    await store.revokeToken({ userId: user.id, jti: token.jti, expiresAt: now() - 1, now: now() });
    t.strictSame(await check(token, { jti }), REVOKED);
    t.strictSame(await check(token), ok(user), 'another token of the session is not');
    t.strictSame(await check(token, { type: 'refresh' }), ok(user), 'nor one that had expired');

    await store.revokeToken({ userId: user.id, jti: token.jti, expiresAt: now() + MINUTE, now: now() });
    t.strictSame(await check(token, { type: 'refresh' }), REVOKED);
    t.strictSame(await rotate(token), REVOKED);
    await advance(MINUTE - 5 * SECOND);
    t.strictSame(await check(token, { jti }), REVOKED);
    await advance(5 * SECOND);
    t.strictSame(await check(token, { jti }), ok(user));
  });

  t.test('ending all sessions', async (t) => {
    await t.test('reaches all of them and none that is opened later', async (t) => {
      const user = makeUser();
      const [one, two] = [await open(user), await open(user)];
      t.strictSame(await store.endAllSessions({ userId: user.id, reason: 'admin', now: now() }), DONE);
      const later = await open(user);
      t.strictSame(await check(one), ended('admin'));
      t.strictSame(await rotate(two), ended('admin'));
      t.strictSame(await check(later), ok(user));
      t.equal(await store.endSession({ ...one, reason: 'logout' }), false, 'it had ended before');
      t.strictSame(await check(one), ended('admin'), 'and keeps its reason');
      const unknown = { userId: makeUser().id, reason: 'admin', now: now() } as const;
      t.strictSame(await store.endAllSessions(unknown), DONE);
    });

    await t.test('by a caller whose token is good', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const request = { userId: user.id, reason: 'logout_all', now: now() } as const;
      const caller = checkInput(token, { limit: { max: 5, windowMs: MINUTE } });
      t.strictSame(await store.endAllSessions({ ...request, caller }), DONE);
      t.strictSame(await check(token), ended('logout_all'));
      t.strictSame(await store.endAllSessions({ ...request, caller }), ended('logout_all'));
      const after = await check(await open(user), { limit: { max: 5, windowMs: MINUTE } });
      t.strictSame(
        after,
        { status: 'ok', user, limit: { max: 5, remaining: 3, resetMs: MINUTE } },
        'it counted once',
      );
    });

    await t.test('by a caller whose token is bad: nothing happens', async (t) => {
      const user = makeUser();
      const [token, standing] = [await open(user), await open(user)];
      const request = { userId: user.id, reason: 'logout_all', now: now() } as const;
      const jti = accessJti(token);
      await store.revokeToken({ userId: user.id, jti, expiresAt: now() + DAY, now: now() });
      t.strictSame(await store.endAllSessions({ ...request, caller: checkInput(token, { jti }) }), REVOKED);
      const lost = checkInput({ ...token, sessionId: newTokenId() });
      t.strictSame(await store.endAllSessions({ ...request, caller: lost }), GONE);
      t.strictSame(await check(standing), ok(user));

      await store.fenceUser({ userId: user.id, fenceId: 'f1', now: now() });
      const stale = await store.endAllSessions({ ...request, caller: checkInput(standing) });
      t.match(stale, { status: 'stale', authVersion: 1, generation: /^\d+$/ });
      await store.publishUser({ userId: user.id, fenceId: 'f1', user, now: now() });
      t.strictSame(await check(standing), ok(user));
    });

    await t.test('each session keeps the reason that ended it, as far back as eight', async (t) => {
      const user = makeUser();
      const reasons = Array.from(
        { length: 10 },
        (_, n): EndReason => (['admin', 'logout_all', 'reuse'] as const)[n % 3]!,
      );
      const tokens: Token[] = [];
      for (const reason of reasons) {
        tokens.push(await open(user));
        await store.endAllSessions({ userId: user.id, reason, now: now() });
      }
      const found = await Promise.all(tokens.map((token) => check(token)));
      const expected = reasons.map((reason, n) => ended(n < 2 ? 'unknown' : reason));
      t.strictSame(found, expected);
    });
  });

  t.test('rotation', async (t) => {
    await t.test('gives a successor, and the same one again while no answer is proven', async (t) => {
      const user = makeUser();
      const token = await open(user, { ip: '192.0.2.7' });
      await advance(90 * SECOND);
      const input = rotateInput(token);
      const first = await store.rotate(input);
      const { jti, issuedAtSeconds, expiresAtSeconds } = input.next;
      const answer = { limit: undefined, jti, issuedAtSeconds, expiresAtSeconds, user };
      t.strictSame(first, { status: 'rotated', ...answer, lastIp: '192.0.2.7' });
      await advance(3 * DAY);
      t.strictSame(await rotate(token), { status: 'repeated', ...answer, lastIp: '192.0.2.2' });
      t.strictSame(await check(token, { type: 'refresh' }), ok(user), 'verify agrees');
    });

    await t.test('the access token that was rotated away stays good', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await refresh(await refresh(token));
      t.strictSame(await check(token), ok(user));
    });

    const proofs: Record<string, (next: Token) => Promise<unknown>> = {
      'its access token': (next) => check(next),
      'a check of the successor': (next) => check(next, { type: 'refresh' }),
    };
    for (const [name, prove] of Object.entries(proofs)) {
      await t.test(`after ${name} was used, only tabs that race are answered`, async (t) => {
        const user = makeUser();
        const token = await open(user);
        const next = await refresh(token);
        await prove(next);
        await advance(RACE_WINDOW_MS - 1);
        t.strictSame(successor(token, await rotate(token)), next);
        t.strictSame(await check(token, { type: 'refresh' }), ok(user));
        await advance(1);
        t.strictSame(await check(token, { type: 'refresh' }), REVOKED);
        t.strictSame(await rotate(token), REUSED);
        t.strictSame(await rotate(next), ended('reuse'), 'the thief and the owner are both out');
        t.strictSame(await check(next), ended('reuse'));
      });
    }

    await t.test('the old access token proves nothing', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const next = await refresh(token);
      await check(token);
      await check(token, { type: 'refresh' });
      await advance(DAY);
      t.strictSame(successor(token, await rotate(token)), next);
    });

    await t.test('a token two behind is reused, at once', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const other = await open(user);
      const third = await refresh(await refresh(token));
      t.strictSame(await check(token, { type: 'refresh' }), REVOKED);
      t.strictSame(await rotate(token), REUSED);
      t.strictSame(await rotate(third), ended('reuse'));
      t.strictSame(await check(other), ok(user), 'the user’s other sessions live on');
    });

    await t.test('a proof belongs to one rotation', async (t) => {
      const token = await open(makeUser());
      const next = await refresh(token);
      await check(next);
      const last = await refresh(next);
      await advance(DAY);
      t.strictSame(successor(next, await rotate(next)), last);
    });

    await t.test('a token newer than the one in force outlived a failover', async (t) => {
      const user = makeUser();
      const token = await open(user);
      const lost = { ...token, jti: newTokenId(), issuedAtSeconds: token.issuedAtSeconds + 1 };
      const same = { ...token, jti: newTokenId() };
      t.strictSame(await check(lost, { type: 'refresh' }), ok(user), 'verify agrees');
      t.strictSame(await check(same, { type: 'refresh' }), REVOKED);
      const next = await refresh(lost);
      t.strictSame(successor(lost, await rotate(lost)), next);
      t.strictSame(await rotate(same), REUSED, 'one as old as that in force is spent');
    });

    await t.test('iat never falls, and the session ends at its cap', async (t) => {
      const token = await open(makeUser(), { endsAtSeconds: seconds() + 100 });
      const next = { jti: newTokenId(), issuedAtSeconds: seconds() - 10, expiresAtSeconds: seconds() + 1000 };
      t.match(await rotate(token, { next }), {
        status: 'rotated',
        issuedAtSeconds: token.issuedAtSeconds,
        expiresAtSeconds: token.issuedAtSeconds + 100,
      });
      const second = { ...token, jti: next.jti };
      await advance(99_500 - (now() % 1000));
      t.strictSame(await rotate(second), ended('expired'));
      t.strictSame(await check(second), ended('expired'));
    });

    await t.test('refreshes are limited, theft is found all the same', async (t) => {
      const user = makeUser();
      const limit = { max: 2, windowMs: MINUTE };
      const token = await open(user);
      const first = await rotate(token, { limit });
      t.strictSame('limit' in first && first.limit, { max: 2, remaining: 1, resetMs: MINUTE });
      const second = successor(token, first);
      await advance(10 * SECOND);
      const repeated = await rotate(token, { limit });
      t.equal(repeated.status, 'repeated');
      t.strictSame('limit' in repeated && repeated.limit, { max: 2, remaining: 0, resetMs: 50 * SECOND });
      const limited = { status: 'limited', limit: { max: 2, remaining: 0, resetMs: 50 * SECOND } };
      t.strictSame(await rotate(second, { limit }), limited);
      t.strictSame(await rotate(second, { limit }), limited);
      t.strictSame(await check(second, { type: 'refresh' }), ok(user), 'it was not spent');
      await advance(50 * SECOND);
      const third = await refresh(second, { limit });
      await refresh(third, { limit });
      t.strictSame(await rotate(token, { limit }), REUSED);
    });

    await t.test('fifty at once: one successor', async (t) => {
      const token = await open(makeUser());
      const stores = [store, bench.other];
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, n) => stores[n % 2]!.rotate(rotateInput(token))),
      );
      assertOneSuccessor(t, results);
    });

    await t.test('a refresh that races an end leaves nothing alive', async (t) => {
      const ends: ((token: Token) => Promise<unknown>)[] = [
        (token) => bench.other.endSession({ ...token, reason: 'logout' }),
        (token) => bench.other.endAllSessions({ userId: token.userId, reason: 'logout_all', now: now() }),
      ];
      let won = 0;
      const user = makeUser();
      for (let round = 0; round < 60; round++) {
        const token = await open(user);
        const end = ends[round % 2]!;
        const race = [() => end(token), () => rotate(token), () => rotate(token)];
        if (round % 3 === 0) race.reverse();
        const results = await Promise.all(race.map((start) => start()));
        const made = results.filter(
          (result) => (result as RotateResult).status === 'rotated',
        ) as RotateResult[];
        won += made.length;
        const held = [token, ...made.map((result) => successor(token, result))];
        for (const one of held) {
          const verdicts = [await check(one), await check(one, { type: 'refresh' }), await rotate(one)];
          const reason = round % 2 === 0 ? 'logout' : 'logout_all';
          t.strictSame(verdicts, [ended(reason), ended(reason), ended(reason)]);
        }
      }
      t.ok(won > 0, 'some refreshes were first');
    });
  });

  t.test('a token of an old system becomes a session', async (t) => {
    /** As the service adopts it: asks for the generation, then SQL, then comes back. */
    async function adopt(user: User, change: Partial<AdoptToken> = {}): Promise<Token> {
      const token = newToken(user);
      const generation = await store.adoptToken(adoptInput(token, change));
      await store.adoptToken(adoptInput(token, { vouched: vouch(user, generation), ...change }));
      return token;
    }
    const newToken = (user: User): Token => ({
      ...{ userId: user.id, sessionId: newTokenId(), jti: newTokenId() },
      issuedAtSeconds: seconds() - 3600,
    });
    const adoptInput = (token: Token, change: Partial<AdoptToken> = {}): AdoptToken => ({
      ...token,
      expiresAt: now() + DAY,
      endsAtSeconds: seconds() + REFRESH_SECONDS,
      authVersion: 1,
      ip: '192.0.2.1',
      userAgent: 'old/1',
      now: now(),
      ...change,
    });
    const vouch = (user: User, generation: string | undefined) => ({ user, generation: String(generation) });

    await t.test('once SQL was asked under the generation of the moment', async (t) => {
      const user = makeUser();
      const token = newToken(user);
      t.strictSame(await check(token), GONE);
      const generation = await store.adoptToken(adoptInput(token));
      t.match(generation, /^\d+$/);
      t.equal(await bench.other.adoptToken(adoptInput(token)), generation, 'for whoever asks');
      const other = vouch(user, `${generation}1`);
      t.equal(await store.adoptToken(adoptInput(token, { vouched: other })), generation);
      t.strictSame(await check(token), GONE);
      t.equal(await store.adoptToken(adoptInput(token, { vouched: vouch(user, generation) })), undefined);
      t.strictSame(await check(token), ok(user));
      t.strictSame(await check(token, { type: 'refresh' }), ok(user));
      t.strictSame(await store.listSessions({ userId: user.id, now: now() }), [], 'it is no session yet');
      await advance(DAY);
      t.strictSame(await check(token), GONE, 'it lives as long as the token');
    });

    await t.test('a change of the account in between asks for another look', async (t) => {
      const user = makeUser();
      const token = newToken(user);
      const before = await store.adoptToken(adoptInput(token));
      await store.fenceUser({ userId: user.id, fenceId: 'f1', now: now() });
      const during = await store.adoptToken(adoptInput(token, { vouched: vouch(user, before) }));
      t.not(during, undefined);
      t.equal(await store.adoptToken(adoptInput(token, { vouched: vouch(user, during) })), undefined);
      t.match(await check(token), { status: 'stale', authVersion: 1 }, 'a fence admits no snapshot');
      const changed = raiseVersion(user, { authVersion: 2, authReason: 'password_change' });
      const endSessions = 'password_change';
      await store.publishUser({ userId: user.id, fenceId: 'f1', user: changed, endSessions, now: now() });
      t.strictSame(await check(token), ended('password_change'));
      t.strictSame(await check(await adopt(changed)), ended('password_change'), 'nor does one come later');
    });

    await t.test('it is rotated like any other, and listed from then on', async (t) => {
      const user = makeUser();
      const token = await adopt(user);
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, n) => [store, bench.other][n % 2]!.rotate(rotateInput(token))),
      );
      assertOneSuccessor(t, results);
      const next = successor(token, results[0]!);
      const [listed] = await store.listSessions({ userId: user.id, now: now() });
      t.match(listed, { id: token.sessionId, ip: '192.0.2.2', userAgent: 'old/1' });
      t.equal(await store.adoptToken(adoptInput(token)), undefined, 'it does not start anew');
      t.strictSame(await check(next, { type: 'refresh' }), ok(user));
      await advance(RACE_WINDOW_MS);
      t.strictSame(await rotate(token), REUSED);
      t.equal(await store.adoptToken(adoptInput(token)), undefined);
      t.strictSame(await rotate(token), ended('reuse'));
    });

    await t.test('one that was ended before anybody saw it stays ended', async (t) => {
      const user = makeUser();
      const token = newToken(user);
      const generation = await store.adoptToken(adoptInput(token));
      const { userId, sessionId } = token;
      const end = { userId, sessionId, reason: 'logout' } as const;
      t.equal(await store.endSession(end), false);
      t.strictSame(await check(token), GONE, 'unless it is buried');
      t.equal(await bench.other.endSession({ ...end, buryForMs: DAY }), true);
      t.equal(await store.endSession({ ...end, reason: 'admin', buryForMs: DAY }), false);
      t.equal(await store.adoptToken(adoptInput(token, { vouched: vouch(user, generation) })), undefined);
      t.strictSame(await check(token), ended('logout'));
      t.strictSame(await rotate(token), ended('logout'));
      await advance(DAY);
      t.strictSame(await check(token), GONE);
    });
  });

  t.test('requests are limited per user, across sessions', async (t) => {
    const user = makeUser();
    const limit = { max: 2, windowMs: MINUTE };
    const [one, two] = [await open(user), await open(user)];
    const state = (remaining: number, resetMs: number) => ({ max: 2, remaining, resetMs });
    t.strictSame(await check(one, { limit }), { status: 'ok', user, limit: state(1, MINUTE) });
    const behind = { limit, now: now() - 5 };
    t.match(await check(one, behind), { limit: { resetMs: MINUTE } }, 'never longer than the window');
    await advance(20 * SECOND);
    t.strictSame(await check(two, { limit }), { status: 'limited', limit: state(0, 40 * SECOND) });
    t.strictSame(await check(one), ok(user), 'what is not counted is not refused');
    await advance(40 * SECOND);
    t.strictSame(await check(one, { limit }), { status: 'ok', user, limit: state(1, MINUTE) });
  });

  t.test('snapshots', async (t) => {
    const fence = (userId: string, fenceId: string) => store.fenceUser({ userId, fenceId, now: now() });
    const publish = (user: ReturnType<typeof makeUser>, fenceId: string, endSessions?: EndReason) =>
      store.publishUser({ userId: user.id, fenceId, user, now: now(), ...(endSessions && { endSessions }) });
    const cache = (user: ReturnType<typeof makeUser>, { generation }: Stale) =>
      store.cacheUser({ user, generation, now: now() });
    const askStale = async (t: Test, token: Token): Promise<Stale> => {
      const verdict = await check(token);
      if (verdict.status !== 'stale') throw new Error(`not stale: ${verdict.status}`);
      t.strictSame(verdict, { ...verdict, limit: undefined, authVersion: 1 });
      t.match(verdict.generation, /^\d+$/);
      return verdict;
    };

    await t.test('a missing one is asked for and cached', async (t) => {
      const user = makeUser();
      const token = await open(user, { user: undefined });
      const stale = await askStale(t, token);
      t.strictSame(await rotate(token), { ...stale });
      t.strictSame(await check(token, { limit: { max: 9, windowMs: MINUTE } }), {
        ...stale,
        limit: { max: 9, remaining: 8, resetMs: MINUTE },
      });
      await cache(user, { ...stale, generation: `${stale.generation}1` });
      t.strictSame(await check(token), stale);
      await cache(user, stale);
      t.strictSame(await check(token), ok(user));
    });

    await t.test('a fence hides it, and only its own publication lifts the fence', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'f1');
      const stale = await askStale(t, token);
      await cache(user, stale);
      await publish(raiseVersion(user), 'f2');
      t.strictSame(await check(token), stale, 'nothing else has moved');

      const changed = raiseVersion(user, { role: 'viewer' });
      await publish(changed, 'f1');
      t.strictSame(await check(token), ok(changed));
      await cache(user, stale);
      await publish(changed, 'f1');
      await publish(user, 'f1');
      t.strictSame(await check(token), ok(changed), 'told twice, or late, it changes nothing');
    });

    await t.test('a fence tells of the last login that the snapshot knew', async (t) => {
      const user = makeUser({ lastLogin: 1_767_610_800_123 });
      t.equal(await fence(user.id, 'f0'), undefined, 'nobody has been seen');
      await publish(user, 'f0');
      t.equal(await fence(user.id, 'f1'), 1_767_610_800_123);
      t.equal(await fence(user.id, 'f2'), undefined, 'the first took it away');
      const never = makeUser({ lastLogin: null });
      await open(never);
      t.equal(await fence(never.id, 'f1'), undefined);
    });

    await t.test('a publication that ends sessions does so once', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'f1');
      await publish(user, 'f1', 'password_change');
      const later = await open(user);
      await publish(user, 'f1', 'password_change');
      t.strictSame(await check(token), ended('password_change'));
      t.strictSame(await check(later), ok(user));
    });

    await t.test('two changes at once, published in either order', async (t) => {
      for (const order of ['as committed', 'the other way round']) {
        const user = makeUser();
        const token = await open(user);
        await fence(user.id, 'f1');
        await fence(user.id, 'f2');
        const one = raiseVersion(user, { role: 'first' });
        const two = raiseVersion(one, { role: 'second' });
        if (order === 'as committed') {
          await publish(one, 'f1');
          await askStale(t, token);
          await publish(two, 'f2');
          t.strictSame(await check(token), ok(two), order);
        } else {
          await publish(two, 'f2');
          await askStale(t, token);
          await publish(one, 'f1');
          await cache(two, await askStale(t, token));
          t.strictSame(await check(token), ok(two), `${order}: the older one is not taken for the truth`);
        }
      }
    });

    await t.test('an older version never replaces a newer one', async (t) => {
      const old = makeUser();
      const token = await open(old, { user: undefined });
      const stale = await askStale(t, token);
      const newer = raiseVersion(old, { role: 'newer' });
      await open(newer);
      await open(old);
      t.strictSame(await check(token), ok(newer), 'not at a login');
      await cache(old, stale);
      t.strictSame(await check(token), ok(newer), 'not from the cache');
      await rotate(token, { vouched: { user: old, generation: stale.generation } });
      t.strictSame(await check(token), ok(newer), 'not at a refresh');
      await fence(old.id, 'f1');
      await publish(old, 'f1');
      await open(old);
      await askStale(t, token);
    });

    await t.test('a login during a change brings no snapshot', async (t) => {
      const user = makeUser();
      await open(user);
      await fence(user.id, 'f1');
      const token = await open(user);
      await askStale(t, token);
    });

    await t.test('a fence whose owner died holds no longer than its deadline', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'dead');
      const stale = await askStale(t, token);
      await advance(FENCE_MS - 1);
      await cache(user, stale);
      await askStale(t, token);
      await advance(1);
      await askStale(t, token);
      await cache(user, stale);
      t.strictSame(await check(token), ok(user));
    });

    await t.test('a publication that comes after its fence’s deadline still counts', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'slow');
      await fence(user.id, 'dead');
      await advance(FENCE_MS);
      await cache(user, await askStale(t, token));
      const changed = raiseVersion(user, { role: 'viewer' });
      await publish(changed, 'slow');
      await cache(changed, await askStale(t, token));
      t.strictSame(await check(token), ok(changed));
    });

    await t.test('a publication whose fence a later change has pruned still counts', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'paused');
      await advance(FENCE_MS);
      await fence(user.id, 'later');
      const second = raiseVersion(user, { firstName: 'Second' });
      await publish(second, 'later');
      const third = raiseVersion(second, { role: 'support' });
      await publish(third, 'paused');
      t.strictSame(await check(token), ok(third));
      await publish(second, 'later');
      t.strictSame(await check(token), ok(third), 'and an older one changes nothing');
    });

    await t.test('a lost publication of a new authVersion still ends older sessions', async (t) => {
      const user = makeUser();
      const [token, second] = [await open(user), await open(user)];
      await fence(user.id, 'lost');
      await advance(FENCE_MS);
      const stale = await askStale(t, token);
      const changed = raiseVersion(user, { authVersion: 2, authReason: 'password_reset' });
      const vouched = { user: changed, generation: stale.generation };
      t.strictSame(await rotate(second, { vouched }), ended('password_reset'));
      await cache(changed, stale);
      t.strictSame(await check(token), ended('password_reset'));
      t.strictSame(await rotate(token), ended('password_reset'));
      t.equal(await store.endSession({ ...token, reason: 'logout' }), false);
      t.strictSame(await check(await open(changed)), ok(changed));
    });

    await t.test('a snapshot older than the session is not trusted', async (t) => {
      const user = makeUser();
      await open(user);
      const token = await open(raiseVersion(user, { authVersion: 2 }), { user: undefined });
      t.match(await check(token), { status: 'stale', authVersion: 2 });
      t.match(await rotate(token), { status: 'stale', authVersion: 2 });
    });

    await t.test('a refresh by what SQL said', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'f1');
      const { generation } = await askStale(t, token);
      const during = await rotate(token, { vouched: { user, generation } });
      t.match(during, { status: 'rotated', user }, 'a change under way stops nobody');
      await askStale(t, token);

      await fence(user.id, 'f2');
      const next = successor(token, during);
      const refused = await rotate(next, { vouched: { user, generation } });
      t.match(refused, { status: 'stale', authVersion: 1 }, 'not when it changed since');
      t.not(refused.status === 'stale' && refused.generation, generation);

      await advance(FENCE_MS);
      const vouched = { user, generation: (await askStale(t, next)).generation };
      t.match(await rotate(next, { vouched }), { status: 'rotated', user });
      t.strictSame(await check(token), ok(user), 'the snapshot is back');
    });

    await t.test('where the store knows better than SQL did, the store is right', async (t) => {
      const user = makeUser();
      const token = await open(user, { user: undefined });
      const { generation } = await askStale(t, token);
      const changed = raiseVersion(user, { role: 'viewer' });
      await fence(user.id, 'f1');
      await publish(changed, 'f1');
      t.match(await rotate(token, { vouched: { user, generation } }), { status: 'rotated', user: changed });
    });

    await t.test('a deleted account stays deleted', async (t) => {
      const user = makeUser();
      const token = await open(user);
      await fence(user.id, 'f1');
      const stale = await askStale(t, token);
      await fence(user.id, 'f2');
      await store.publishUser({ userId: user.id, fenceId: 'f1', user: null, now: now() });
      const racing = await open(user);
      await publish(raiseVersion(user), 'f2');
      await cache(user, stale);
      for (const one of [token, racing]) {
        t.strictSame(await check(one), ended('account_deleted'));
        t.strictSame(
          await rotate(one, { vouched: { user, generation: stale.generation } }),
          ended('account_deleted'),
        );
      }
      t.strictSame(await store.listSessions({ userId: user.id, now: now() }), []);
    });

    await t.test('publishing what nobody fenced is nothing', async (t) => {
      const user = makeUser();
      await publish(user, 'f1');
      const token = await open(user, { user: undefined });
      await askStale(t, token);
    });
  });

  t.test('the list of sessions', async (t) => {
    const user = makeUser();
    const list = () => store.listSessions({ userId: user.id, now: now() });
    t.strictSame(await list(), []);

    await t.test('newest first, as they are', async (t) => {
      const oldest = await open(user, { ip: '2001:db8::1', userAgent: '' });
      const first = { createdAt: now(), lastUsedAt: now(), expiresAt: (seconds() + REFRESH_SECONDS) * 1000 };
      await advance(5 * SECOND);
      const middle = await open(user);
      await advance(5 * SECOND);
      const newest = await open(user, { userAgent: 'x'.repeat(150) });
      await store.endSession({ ...middle, reason: 'logout' });
      const last = { createdAt: now(), lastUsedAt: now(), expiresAt: (seconds() + REFRESH_SECONDS) * 1000 };

      t.strictSame(await list(), [
        { id: newest.sessionId, ...last, ip: '192.0.2.1', userAgent: 'x'.repeat(150) },
        { id: oldest.sessionId, ...first, ip: '2001:db8::1', userAgent: '' },
      ]);

      await advance(49 * SECOND);
      await check(oldest);
      t.equal((await list())[1]?.lastUsedAt, first.lastUsedAt, 'last use is kept to the minute');
      await advance(SECOND);
      await check(oldest);
      t.equal((await list())[1]?.lastUsedAt, now());

      await advance(SECOND);
      await refresh(oldest);
      const listed = (await list())[1];
      t.strictSame(listed, {
        id: oldest.sessionId,
        createdAt: first.createdAt,
        lastUsedAt: now(),
        expiresAt: (seconds() + REFRESH_SECONDS) * 1000,
        ip: '192.0.2.2',
        userAgent: '',
      });
    });

    await t.test('without those that expired or ended together', async (t) => {
      const short = await open(user, { expiresAtSeconds: seconds() + 10 });
      t.equal((await list()).length, 3);
      await advance(11 * SECOND);
      t.notOk((await list()).some(({ id }) => id === short.sessionId));
      await store.endAllSessions({ userId: user.id, reason: 'logout_all', now: now() });
      t.strictSame(await list(), []);
      const changed = raiseVersion(user, { authVersion: 2 });
      await open(user);
      t.equal((await list()).length, 1);
      const { sessionId } = await open(changed);
      t.strictSame(
        (await list()).map(({ id }) => id),
        [sessionId],
        'nor those of an older authVersion',
      );
    });

    await t.test('forgetting deletes what can be listed', async (t) => {
      const leaving = makeUser();
      const [live, dead] = [await open(leaving), await open(leaving)];
      const { userId } = live;
      await store.endSession({ ...dead, reason: 'logout' });
      await store.forgetSessions({ userId });
      await store.forgetSessions({ userId });
      t.strictSame(await store.listSessions({ userId, now: now() }), []);
      t.strictSame(await check(live), GONE);
      t.strictSame(await check(dead), ended('logout'));
    });
  });

  t.test('limits', async (t) => {
    const newSlot = () => `ip:${newTokenId()}`;
    const short = { name: 'short', max: 2, windowMs: MINUTE };
    const long = { name: 'long', max: 3, windowMs: 5 * MINUTE };

    await t.test('several rules count together or not at all', async (t) => {
      const slot = newSlot();
      const hit = () => store.hitLimits({ slot, rules: [short, long], now: now() });
      const verdict = async () => {
        const { allowed, limit } = await hit();
        // Redis counts its windows by its own clock, which the test moves to the second.
        return [allowed, limit.max, limit.remaining, Math.ceil(limit.resetMs / SECOND)];
      };
      t.strictSame(await verdict(), [true, 2, 1, 60]);
      await advance(20 * SECOND);
      t.strictSame(await verdict(), [true, 2, 0, 40]);
      t.strictSame(await verdict(), [false, 2, 0, 40]);
      await advance(40 * SECOND + SECOND);
      t.strictSame(await verdict(), [true, 3, 0, 239], 'the refusal counted nowhere');
      t.strictSame(await verdict(), [false, 3, 0, 239], 'the rule that takes longest to reset');
      t.match(await store.hitLimits({ slot, rules: [short], now: now() }), {
        allowed: true,
        limit: { remaining: 0 },
      });
      await advance(239 * SECOND);
      t.strictSame(await verdict(), [true, 2, 1, 60], 'every window has begun again');
    });

    await t.test('a clock that is behind is told no longer wait than the window', async (t) => {
      const rules = [{ name: 'once', max: 1, windowMs: MINUTE }];
      const slot = newSlot();
      await store.hitLimits({ slot, rules, now: now() });
      const { allowed, limit } = await store.hitLimits({ slot, rules, now: now() - 5 });
      t.notOk(allowed);
      t.ok(limit.resetMs <= MINUTE, `${limit.resetMs} ms`);
    });

    await t.test('slots and rules are apart', async (t) => {
      const once = { name: 'once', max: 1, windowMs: MINUTE };
      const [one, two] = [newSlot(), newSlot()];
      t.match(await store.hitLimits({ slot: one, rules: [once], now: now() }), { allowed: true });
      t.match(await store.hitLimits({ slot: two, rules: [once], now: now() }), { allowed: true });
      const twice = { ...once, name: 'twice' };
      t.match(await store.hitLimits({ slot: one, rules: [twice], now: now() }), { allowed: true });
      t.match(await store.hitLimits({ slot: one, rules: [once], now: now() }), { allowed: false });
    });

    await t.test('a hit is taken back from the rules that are named, and never from none', async (t) => {
      const slot = newSlot();
      const left = async (rule: typeof short) => {
        const { limit } = await store.hitLimits({ slot, rules: [rule], now: now() });
        return limit.remaining;
      };
      await store.hitLimits({ slot, rules: [short, long], now: now() });
      await store.unhitLimits({ slot, rules: ['short'], now: now() });
      t.strictSame([await left(short), await left(long)], [1, 1]);
      for (let n = 0; n < 4; n += 1) await store.unhitLimits({ slot, rules: ['short', 'long'], now: now() });
      t.strictSame([await left(short), await left(long)], [1, 2]);
    });

    await t.test('two hundred at once are counted exactly', async (t) => {
      const slot = newSlot();
      const rules = [
        { name: 'a', max: 120, windowMs: MINUTE },
        { name: 'b', max: 150, windowMs: MINUTE },
      ];
      const stores = [store, bench.other];
      const verdicts = await Promise.all(
        Array.from({ length: 200 }, (_, n) => stores[n % 2]!.hitLimits({ slot, rules, now: now() })),
      );
      const left = verdicts.filter(({ allowed }) => allowed).map(({ limit }) => limit.remaining);
      t.strictSame(
        left.sort((a, b) => b - a),
        Array.from({ length: 120 }, (_, n) => 119 - n),
      );
      t.match(await store.hitLimits({ slot, rules: [rules[1]!], now: now() }), { limit: { remaining: 29 } });
    });
  });

  t.test('the store answers', async (t) => {
    await t.resolves(store.ping());
  });
}

function assertOneSuccessor(t: Test, results: RotateResult[]): void {
  const statuses = results.map(({ status }) => status).sort();
  t.strictSame(statuses, [...Array<string>(results.length - 1).fill('repeated'), 'rotated']);
  const handed = results.map((result) => 'jti' in result && `${result.jti} ${result.expiresAtSeconds}`);
  t.equal(new Set(handed).size, 1);
}

t.test('redis keeps nothing for ever', async (t) => {
  const [url, prefix] = [sharedRedisUrl(), freshPrefix(t)];
  const store = createRedisStateStore({ url, prefix });
  const redis = new Redis(url);
  t.teardown(async () => {
    await store.close();
    redis.disconnect();
  });
  const keys = createKeys(prefix);
  const bench: Pick<Bench, 'store' | 'now'> = { store, now: Date.now };
  const { open, check, refresh, rotate, seconds } = createHolder(bench);
  const within = async (t: Test, key: string, ms: number, what: string) => {
    const ttl = await redis.pttl(key);
    t.ok(ttl > ms - 2 * SECOND && ttl <= ms + SECOND, `${what}: ${ttl} of ${ms} ms`);
  };

  const user = makeUser();
  const limit = { max: 100, windowMs: MINUTE };
  const session = (token: Token) => keys.session(user.id, token.sessionId);

  const live = await refresh(await open(user), { limit });
  await check(live, { limit });
  await within(t, session(live), REFRESH_SECONDS * SECOND, 'a session lives as long as its refresh token');

  const out = await open(user, { expiresAtSeconds: seconds() + 1000 });
  await store.endSession({ ...out, reason: 'logout' });
  await within(t, session(out), 1000 * SECOND, 'the mark of an ended one as long as the session would have');

  const stolen = await open(user);
  await refresh(await refresh(stolen));
  t.strictSame(await rotate(stolen), REUSED);
  await within(t, session(stolen), REFRESH_SECONDS * SECOND, 'that of a stolen one too');

  const dying = await open(user, { expiresAtSeconds: seconds() - 5 });
  await within(t, session(dying), SECOND, 'never less than a second');

  const jti = newTokenId();
  await store.revokeToken({ userId: user.id, jti, expiresAt: Date.now() + 300 * SECOND, now: Date.now() });
  await within(
    t,
    keys.blacklisted(user.id, jti),
    300 * SECOND,
    'a blacklisted token as long as the token would',
  );
  await store.revokeToken({ userId: user.id, jti: 'short', expiresAt: Date.now() + 5, now: Date.now() });
  await within(t, keys.blacklisted(user.id, 'short'), SECOND, 'never less than a second');

  const rules = [{ name: 'r', ...limit }];
  await store.hitLimits({ slot: 'slot', rules, now: Date.now() });
  await within(t, keys.limit('slot', 'r'), MINUTE, 'a counter lives as long as its window');

  const stranger = makeUser();
  await store.fenceUser({ userId: stranger.id, fenceId: 'f1', now: Date.now() });
  await store.publishUser({ userId: stranger.id, fenceId: 'f1', user: stranger, now: Date.now() });
  await store.endAllSessions({ userId: user.id, reason: 'admin', now: Date.now() });
  await store.listSessions({ userId: user.id, now: Date.now() });

  const longest = Math.max(await redis.pttl(session(live)), await redis.pttl(session(stolen)));
  t.ok((await redis.pttl(keys.user(user.id))) >= longest, 'a user outlives every session');

  const found: string[] = [];
  for await (const batch of redis.scanStream({ match: `${prefix}*` })) found.push(...batch);
  for (const key of found) t.ok((await redis.pttl(key)) > 0, key.slice(prefix.length));
  t.ok(found.length >= 9, 'all kinds of keys were there');
});

t.test('redis is asked once per method', async (t) => {
  const counter = await countTrips(t, sharedRedisUrl());
  const bench = { store: createRedisStateStore({ url: counter.url, prefix: freshPrefix(t) }), now: Date.now };
  const { store } = bench;
  t.teardown(() => store.close());
  const { open, check, rotate, checkInput } = createHolder(bench);
  const user = makeUser();
  const { id: userId } = user;
  const time = Date.now();
  const rules = [
    { name: 'a', max: 1e6, windowMs: MINUTE },
    { name: 'b', max: 1e6, windowMs: MINUTE },
  ];
  const limit = rules[0]!;

  const session = await open(user);
  const methods: Record<string, () => Promise<unknown>> = {
    openSession: () => open(user),
    checkToken: () => check(session, { limit }),
    rotate: () => rotate(session, { limit }),
    listSessions: () => store.listSessions({ userId, now: time }),
    revokeToken: () => store.revokeToken({ userId, jti: newTokenId(), expiresAt: time + MINUTE, now: time }),
    fenceUser: () => store.fenceUser({ userId, fenceId: 'f1', now: time }),
    cacheUser: () => store.cacheUser({ user, generation: '1', now: time }),
    publishUser: () => store.publishUser({ userId, fenceId: 'f1', user, now: time }),
    hitLimits: () => store.hitLimits({ slot: newTokenId(), rules, now: time }),
    unhitLimits: () => store.unhitLimits({ slot: newTokenId(), rules: ['a', 'b'], now: time }),
    endSession: () => store.endSession({ ...session, reason: 'logout' }),
    endAllSessions: () =>
      store.endAllSessions({ userId, reason: 'logout_all', caller: checkInput(session), now: time }),
    forgetSessions: () => store.forgetSessions({ userId }),
    ping: () => store.ping(),
  };
  for (const [name, call] of Object.entries(methods)) {
    // The first call may have to send the script's text.
    await call();
    counter.reset();
    await call();
    t.equal(counter.trips(), 1, name);
    t.equal(counter.commands().length, 1, `${name}: ${counter.commands()}`);
  }
});

t.test('sqlite: connections that really run side by side make one successor', async (t) => {
  const dataDir = tempDir(t);
  const store = await openStore(t, dataDir, Date.now);
  const { open, rotateInput } = createHolder({ store, now: Date.now });
  const token = await open(makeUser());
  const attempts = () => Array.from({ length: 25 }, () => rotateInput(token));

  const workers = Array.from(
    { length: 2 },
    () =>
      new Worker(new URL('./rotate-worker.js', import.meta.url), {
        workerData: { dataDir, attempts: attempts() },
      }),
  );
  const answers = await Promise.all(workers.map((worker) => once(worker, 'message')));
  assertOneSuccessor(
    t,
    answers.flatMap(([results]) => results as RotateResult[]),
  );
});

t.test('sqlite: state survives a restart', async (t) => {
  const dataDir = tempDir(t);
  const user = makeUser();
  let token: Token | undefined;
  let spent: Token | undefined;
  await t.test('before', async (t) => {
    const { open, refresh } = createHolder({ store: await openStore(t, dataDir, Date.now), now: Date.now });
    spent = await open(user);
    token = await refresh(await refresh(spent));
    t.not(token.jti, spent.jti);
  });
  const { check, rotate } = createHolder({ store: await openStore(t, dataDir, Date.now), now: Date.now });
  t.strictSame(await check(token!), { status: 'ok', user, limit: undefined });
  t.strictSame(await rotate(spent!), REUSED);
});

t.test('sqlite: what has expired is swept out by and by', async (t) => {
  const dataDir = tempDir(t);
  let time = 1_800_000_000_000;
  const store = await openStore(t, dataDir, () => time);
  const hit = (slot: string) =>
    store.hitLimits({ slot, rules: [{ name: 'r', max: 5, windowMs: MINUTE }], now: time });
  for (let n = 0; n < 300; n++) await hit(`old-${n}`);
  time += MINUTE;
  for (let n = 0; n < 300; n++) await hit(`new-${n}`);
  t.equal(await countRows(dataDir), 300);
});

async function countRows(dataDir: string): Promise<number> {
  const { sqlite, close } = openDatabase({ url: undefined, dataDir });
  const rows = await sqlite!.exclusive((db) => db.prepare('select key from state').all());
  await close();
  return rows.length;
}

t.test('sqlite: a file that is locked or full is no verdict, a mistake of ours is no outage', async (t) => {
  const failWith = (error: Error) =>
    createSqliteStateStore({
      sqlite: {
        exclusive: async () => {
          throw error;
        },
      },
    });
  for (const code of ['SQLITE_BUSY', 'SQLITE_FULL', 'SQLITE_IOERR_WRITE']) {
    const store = failWith(Object.assign(new Error('database'), { code }));
    await t.rejects(store.ping(), { code: 'store_unavailable', retryAfter: 1 }, code);
  }
  await t.rejects(failWith(new TypeError('x is not a function')).ping(), TypeError);
});
