// npm run build && [DATABASE_URL=postgres://… of an empty database] node bench/events.mjs: what a security event costs to
// store, with and without encryption, and how long the questions of operators take among a million of them.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createFieldCipher } from '../dist/src/audit/field-cipher.js';
import { openDatabase } from '../dist/src/stores/sql/database.js';
import { createEventStore } from '../dist/src/stores/sql/event-store.js';
import { createEventWriter } from '../dist/src/stores/sql/event-writer.js';

const EVENTS = Number(process.env.BENCH_EVENTS ?? 1_000_000);
const BATCH = 100;
const ROUNDS = 40;
const DAY_MS = 86_400_000;
const KEY = Buffer.from(Array.from({ length: 32 }, (_, n) => 5 * n)).toString('base64');
const TYPES = ['token_refreshed', 'token_refreshed', 'token_refreshed', 'login', 'login_failed', 'logout'];
const AGENT = 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0';

const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
for (const url of [undefined, process.env.DATABASE_URL].slice(0, process.env.DATABASE_URL ? 2 : 1)) {
  const database = openDatabase({ url, dataDir });
  await database.migrate();
  const { db, dialect } = database;
  console.log(`\n${dialect}`);
  const users = await addUsers(db, 10_000);
  const open = (keys) => {
    const cipher = createFieldCipher(keys);
    return createEventStore(db, { dialect, cipher, write: createEventWriter(dialect, { cipher }) });
  };

  const [plain, sealed] = [open([]), open([KEY])];
  const [now, step] = [Date.now(), (365 * DAY_MS) / EVENTS];
  let at = now - 365 * DAY_MS;
  const someEvents = (count) =>
    Array.from({ length: count }, (_, n) => {
      at += step;
      return {
        ...{
          type: TYPES[n % TYPES.length],
          at: Math.round(at),
          userId: users[Math.trunc(Math.random() * users.length)],
        },
        ...{ sessionId: '0123456789abcdef0123456789abcdef', userAgent: AGENT },
        ip: `10.${n % 20}.${Math.trunc(Math.random() * 256)}.${Math.trunc(Math.random() * 256)}`,
      };
    });
  const time = async (work) => {
    const [startedAt, cpu] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(cpu);
    return { ms: performance.now() - startedAt, cpuMs: (user + system) / 1000 };
  };

  for (let n = 0; n < EVENTS - 3 * BATCH * ROUNDS; n += 5 * BATCH) await plain.insert(someEvents(5 * BATCH));
  for (const [name, store] of [
    ['in the clear', plain],
    ['encrypted', sealed],
  ]) {
    const rounds = [];
    for (let n = 0; n < ROUNDS; n += 1) {
      const events = someEvents(BATCH);
      rounds.push(await time(() => store.insert(events)));
    }
    const [ms, cpuMs] = ['ms', 'cpuMs'].map(
      (key) => rounds.map((round) => round[key]).sort((a, b) => a - b)[ROUNDS / 2],
    );
    console.log(
      `${BATCH} events ${name}: ${ms.toFixed(1)} ms, ${((1000 * ms) / BATCH).toFixed(0)} µs each, ` +
        `of it ${((1000 * cpuMs) / BATCH).toFixed(0)} µs of this process`,
    );
  }
  const one = await time(async () => {
    for (let n = 0; n < ROUNDS; n += 1) await sealed.insert(someEvents(1));
  });
  console.log(`one encrypted event alone: ${(one.ms / ROUNDS).toFixed(2)} ms`);

  const day = { from: now - DAY_MS, to: now };
  const year = Array.from({ length: 365 }, (_, n) => ({
    from: now - (n + 1) * DAY_MS,
    to: now - n * DAY_MS,
  })).reverse();
  const questions = {
    'the newest 100 of one user': () => plain.list({ userId: users[7] }, { limit: 100 }),
    'the newest 100 of an address': () => sealed.list({ ip: '10.3.3.3' }, { limit: 100 }),
    'the newest 100 of three types': () =>
      plain.list({ types: ['login', 'logout', 'alert'] }, { limit: 100 }),
    'the newest 100 of a day a year ago': () => plain.list({ to: now - 360 * DAY_MS }, { limit: 100 }),
    'counts of a day': () => plain.count([day], TYPES),
    'counts of each day of a year': () => plain.count(year, TYPES),
  };
  for (const [name, ask] of Object.entries(questions)) {
    await ask();
    const times = [];
    for (let n = 0; n < 9; n += 1) times.push(await time(ask));
    const { ms, cpuMs } = times.sort((a, b) => a.ms - b.ms)[4];
    console.log(`${name}: ${ms.toFixed(1)} ms, of it ${cpuMs.toFixed(1)} ms of this process`);
  }
  await database.close();
}
rmSync(dataDir, { recursive: true });

async function addUsers(db, count) {
  const ids = Array.from(
    { length: count },
    (_, n) => `01900000-0000-7000-8000-${String(n).padStart(12, '0')}`,
  );
  for (let n = 0; n < count; n += 500) {
    const rows = ids.slice(n, n + 500).map((id) => ({ id, role: 'viewer', date_joined: 1 }));
    await db.insertInto('users').values(rows).execute();
  }
  return ids;
}
