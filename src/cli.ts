#!/usr/bin/env node
import { parseArgs } from 'node:util';
import type { OauthClientStore } from './accounts/oauth-clients.js';
import { buildApp } from './app.js';
import { generateKeys, type KeysOptions, rotateKeys, UsageError } from './commands/keys.js';
import { createOauthClient, deleteOauthClient, listOauthClients } from './commands/oauth-clients.js';
import { ConfigError, loadConfig, loadKeySettings } from './config.js';
import { toSeconds } from './lib/clock.js';
import { serve } from './server.js';
import { openDatabase } from './stores/sql/database.js';
import { createOauthClientStore } from './stores/sql/oauth-client-store.js';
import { KeyError } from './tokens/key-set.js';
import { VERSION } from './version.js';

interface Options {
  file?: string | undefined;
  algorithm?: string | undefined;
  'publish-seconds'?: string | undefined;
  name?: string | undefined;
  id?: string | undefined;
  json?: boolean | undefined;
}

interface Command {
  summary: string;
  run(options: Options): Promise<void>;
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
  'keys generate': {
    summary: 'Make a private key set: --file PATH [--algorithm ES256]',
    async run(options) {
      print(generateKeys(keysOptions(options)));
    },
  },
  'keys rotate': {
    summary: 'Take the next step of a key rotation: --file PATH [--publish-seconds 600] [--algorithm …]',
    async run(options) {
      print(rotateKeys(keysOptions(options)));
    },
  },
  'client create': {
    summary: 'Make a client of /oauth and print its secret once: --name NAME [--json]',
    async run({ name, json = false }) {
      print(await withClients((clients) => createOauthClient(clients, { name, json, now: Date.now() })));
    },
  },
  'client list': {
    summary: 'List the clients: [--json]',
    async run({ json = false }) {
      print(await withClients((clients) => listOauthClients(clients, { json })));
    },
  },
  'client delete': {
    summary: 'Refuse a client from now on: --id ID',
    async run({ id }) {
      print(await withClients((clients) => deleteOauthClient(clients, id)));
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

/** The clients in the configured database, which is made or brought up to date first unless MIGRATE=off. */
async function withClients<T>(work: (clients: OauthClientStore) => Promise<T>): Promise<T> {
  const { databaseUrl, dataDir, migrate } = loadConfig();
  const database = openDatabase({ url: databaseUrl, dataDir });
  try {
    if (migrate) await database.migrate();
    return await work(createOauthClientStore(database.db));
  } finally {
    await database.close();
  }
}

function keysOptions(options: Options): KeysOptions {
  const { keySetFile, longestTokenLife } = loadKeySettings();
  return {
    file: options.file ?? keySetFile,
    algorithm: options.algorithm,
    publishSeconds: options['publish-seconds'],
    retireSeconds: longestTokenLife,
    now: toSeconds(Date.now()),
  };
}

const help = `Latchkey ${VERSION}

Usage: latchkey <command>

${Object.entries(commands)
  .map(([name, { summary }]) => `  ${name.padEnd(14)} ${summary}`)
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
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      file: { type: 'string' },
      algorithm: { type: 'string' },
      'publish-seconds': { type: 'string' },
      name: { type: 'string' },
      id: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  if (values.version) return print(VERSION);
  const name = positionals.join(' ');
  if (values.help || name === '') return print(help);
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (!command) return fail(`There is no command "${name}". Try: latchkey --help`, 2);
  await command.run(values);
}

/** Exit codes: 1 what it tried failed, 2 it was asked or configured wrongly. */
main().catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof UsageError) return fail(error.message, 2);
  if (error instanceof KeyError) return fail(`The key set cannot be used: ${error.message}.`, 1);
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (code === 'store_unavailable') {
    const { code: why = 'no answer' } = cause as NodeJS.ErrnoException;
    return fail(
      `The database cannot be used (${why}): see DATABASE_URL, or LATCHKEY_DATA_DIR without one.`,
      1,
    );
  }
  if (code === 'EADDRINUSE') return fail('The port is taken: set PORT to another one.', 1);
  if (code?.startsWith('ERR_PARSE_ARGS')) return fail(`${message}\nTry: latchkey --help`, 2);
  fail(error instanceof Error ? (error.stack ?? message) : String(error), 1);
});
