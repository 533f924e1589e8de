#!/usr/bin/env node
import { parseArgs } from 'node:util';
import { buildApp } from './app.js';
import { ConfigError, loadConfig } from './config.js';
import { serve } from './server.js';
import { openDatabase } from './stores/sql/database.js';
import { VERSION } from './version.js';

interface Command {
  summary: string;
  run(): Promise<void>;
}

const commands: Record<string, Command> = {
  serve: {
    summary: 'Start the service (migrates first unless MIGRATE=off)',
    async run() {
      await serve(loadConfig());
    },
  },
  migrate: {
    summary: 'Bring the database to the newest schema and exit',
    async run() {
      const { databaseUrl, dataDir } = loadConfig();
      const database = openDatabase({ url: databaseUrl, dataDir });
      const ran = await database.migrate();
      await database.close();
      print(ran.length > 0 ? `Ran ${ran.join(', ')}.` : 'The schema is up to date.');
    },
  },
  openapi: {
    summary: 'Print the OpenAPI document',
    async run() {
      const app = await buildApp({ ...loadConfig(), logLevel: 'silent' });
      await app.ready();
      print(JSON.stringify(app.swagger(), null, 2));
      await app.close();
    },
  },
};

const help = `Latchkey ${VERSION}

Usage: latchkey <command>

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(10)} ${summary}`)
  .join('\n')}

Settings are environment variables; the README lists them.
`;

const print = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const fail = (text: string, code: number): void => {
  process.stderr.write(`${text}\n`);
  process.exitCode = code;
};

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' }, version: { type: 'boolean', short: 'v' } },
  });
  if (values.version) return print(VERSION);
  const [name] = positionals;
  if (values.help || name === undefined) return print(help);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) return fail(`There is no command "${name}". Try: latchkey --help`, 2);
  await command.run();
}

/** Exit codes: 1 what it tried failed, 2 it was asked or configured wrongly. */
main().catch((error: unknown) => {
  if (error instanceof ConfigError) return fail(error.message, 2);
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return fail('The port is taken: set PORT to another one.', 1);
  if (code?.startsWith('ERR_PARSE_ARGS')) return fail(`${message}\nTry: latchkey --help`, 2);
  fail(error instanceof Error ? (error.stack ?? message) : String(error), 1);
});
