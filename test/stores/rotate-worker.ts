import { parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from '../../src/stores/sql/database.js';
import { createSqliteStateStore } from '../../src/stores/sqlite/state-store.js';
import type { Rotate } from '../../src/tokens/state-store.js';

/** A thread with a connection of its own: to SQLite's locks it is what another process is. */
const { dataDir, attempts } = workerData as { dataDir: string; attempts: Rotate[] };
const { sqlite, close } = openDatabase({ url: undefined, dataDir });
if (!sqlite || !parentPort) throw new Error('runs as a worker on an embedded database');

const store = createSqliteStateStore({ sqlite });
const results = await Promise.all(attempts.map((attempt) => store.rotate(attempt)));
await close();
parentPort.postMessage(results);
