import { parentPort, workerData } from 'node:worker_threads';
import type { AnswerChallenge, CountSend } from '../../src/otp/otp-store.js';
import { createRedisStateStore } from '../../src/stores/redis/state-store.js';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createSqliteStateStore } from '../../src/stores/sqlite/state-store.js';
import type { Stores } from '../../src/stores/stores.js';

/** What a worker is to do, all at once. */
export interface OtpWork {
  at: { url: string; prefix: string } | { dataDir: string };
  sends: CountSend[];
  answers: AnswerChallenge[];
}

/** A thread with a connection of its own: to Redis, and to SQLite's locks, it is what another process is. */
const { at, sends, answers } = workerData as OtpWork;
const { store, close } = 'url' in at ? openRedis(at) : openEmbedded(at.dataDir);
if (!parentPort) throw new Error('runs as a worker');

const verdicts = await Promise.all([
  ...sends.map((send) => store.otp.countSend(send)),
  ...answers.map((answer) => store.otp.answerChallenge(answer)),
]);
await close();
parentPort.postMessage(verdicts.map(({ status }) => status));

function openRedis(options: { url: string; prefix: string }): { store: Stores; close(): Promise<void> } {
  const store = createRedisStateStore(options);
  return { store, close: () => store.close() };
}

function openEmbedded(dataDir: string): { store: Stores; close(): Promise<void> } {
  const { sqlite, close } = openDatabase({ url: undefined, dataDir });
  if (!sqlite) throw new Error('no embedded database');
  return { store: createSqliteStateStore({ sqlite }), close };
}
