import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** They are on their way since the run began (test/runner/other-nodes.mjs). */
const PATIENCE_MS = 180_000;

/** The path of a Node.js of that major version. */
export async function otherNode(major: 22 | 24): Promise<string> {
  const file = process.env[`TEST_NODE_${major}`] as string;
  const ready = join(file, '../../../../ready');
  const deadline = Date.now() + PATIENCE_MS;
  while (file !== process.execPath && !existsSync(ready)) {
    if (Date.now() > deadline) throw new Error(`Node.js ${major} did not come from the npm registry`);
    await delay(200);
  }
  return file;
}
