// What the runtime of Lambda is to a function: loads the module, hands it one event at a time, sends back what comes.
// It reads nothing but the module that it is told, and runs on every version of Node.js that is supported.
import { pathToFileURL } from 'node:url';

interface Invocation {
  id: number;
  name: string;
  event: unknown;
}

const functions = await import(pathToFileURL(process.argv[2] as string).href);
const context = { getRemainingTimeInMillis: () => 30_000 };

process.on('message', async ({ id, name, event }: Invocation) => {
  try {
    const answer = await functions[name](event, context);
    // What would go on when the instance is thawed; sockets may stay open.
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout');
    process.send?.({ id, answer, timers: timers.length, memory: process.resourceUsage().maxRSS * 1024 });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
});
process.send?.({ id: 0 });
