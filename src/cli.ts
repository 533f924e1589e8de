#!/usr/bin/env node
import { parseArgs } from 'node:util';
import type { FastifyInstance } from 'fastify';
import { describeUser } from '../routes/present.js';
import type { OauthClientStore } from './accounts/oauth-clients.js';
import { createOperator } from './accounts/operator.js';
import { createPasswordHasher } from './accounts/password-hasher.js';
import { clean } from './commands/clean.js';
import { asJson, asText, examine, type Patient } from './commands/doctor.js';
import { type ImportOptions, importDjango } from './commands/import-django.js';
import { generateKeys, type KeysOptions, rotateKeys, UsageError } from './commands/keys.js';
import { createOauthClient, deleteOauthClient, listOauthClients } from './commands/oauth-clients.js';
import { readPassword } from './commands/read-password.js';
import {
  createUser,
  grantUser,
  listUsers,
  Refusal,
  setUserActive,
  type UserCommandNeeds,
  type UserOptions,
} from './commands/users.js';
import { type Config, ConfigError, loadConfig, loadKeySettings } from './config.js';
import { toSeconds } from './lib/clock.js';
import { readPhoneNumber } from './otp/phone-number.js';
import { type Database, openDatabase } from './stores/sql/database.js';
import { createImportStore } from './stores/sql/import-store.js';
import { createOauthClientStore } from './stores/sql/oauth-client-store.js';
import { KeyError } from './tokens/key-set.js';
import { VERSION } from './version.js';

interface Options extends UserOptions, ImportOptions {
  file?: string | undefined;
  algorithm?: string | undefined;
  'publish-seconds'?: string | undefined;
  name?: string | undefined;
  id?: string | undefined;
  json?: boolean | undefined;
  'password-stdin'?: boolean | undefined;
}

interface Command {
  summary: string;
  /** Does a word belong to it? */
  takesWord?: boolean;
  /** Any other is refused: whoever adds `--dry-run` to a command that has none must not find that it acted. */
  takes?: readonly (keyof Options)[];
  run(options: Options, word: string | undefined): Promise<void>;
}

const commands: Record<string, Command> = {
  serve: {
    summary: 'Start the service (migrates first unless MIGRATE=off)',
    async run() {
      const { serve } = await import('./server.js');
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
    takes: ['file', 'algorithm'],
    async run(options) {
      print(generateKeys(keysOptions(options)));
    },
  },
  'keys rotate': {
    summary: 'Take the next step of a key rotation: --file PATH [--publish-seconds 600] [--algorithm …]',
    takes: ['file', 'publish-seconds', 'algorithm'],
    async run(options) {
      print(rotateKeys(keysOptions(options)));
    },
  },
  'client create': {
    summary: 'Make a client of /oauth and print its secret once: --name NAME [--json]',
    takes: ['name', 'json'],
    async run({ name, json = false }) {
      print(await withClients((clients) => createOauthClient(clients, { name, json, now: Date.now() })));
    },
  },
  'client list': {
    summary: 'List the clients: [--json]',
    takes: ['json'],
    async run({ json = false }) {
      print(await withClients((clients) => listOauthClients(clients, { json })));
    },
  },
  'client delete': {
    summary: 'Refuse a client from now on: --id ID',
    takes: ['id'],
    async run({ id }) {
      print(await withClients((clients) => deleteOauthClient(clients, id)));
    },
  },
  'user create': {
    summary: 'Make an account: --email ADDRESS [--username NAME] [--role ROLE] [--staff] [--superuser]',
    takes: ['email', 'username', 'role', 'staff', 'superuser', 'password-stdin', 'json'],
    async run({ 'password-stdin': fromStdin = false, ...options }) {
      const ask = (text: string) => process.stderr.write(text);
      await withOperator((needs) =>
        createUser(needs, options, () => readPassword(process.stdin, { fromStdin, ask })),
      );
    },
  },
  'user list': {
    summary: 'List accounts: [--query TEXT] [--role ROLE] [--[no-]staff] [--[no-]superuser] [--limit 50]',
    takes: ['query', 'role', 'staff', 'superuser', 'limit', 'json'],
    async run(options) {
      await withOperator((needs) => listUsers(needs, options));
    },
  },
  'user disable': {
    summary: 'End the sessions of an account and shut it out: WHO',
    takesWord: true,
    takes: ['json'],
    async run(options, who) {
      await withOperator((needs) => setUserActive(needs, who, false, options));
    },
  },
  'user enable': {
    summary: 'Let an account in again: WHO',
    takesWord: true,
    takes: ['json'],
    async run(options, who) {
      await withOperator((needs) => setUserActive(needs, who, true, options));
    },
  },
  'user grant': {
    summary: 'Change what an account may do: WHO [--role ROLE] [--[no-]staff] [--[no-]superuser]',
    takesWord: true,
    takes: ['role', 'staff', 'superuser', 'json'],
    async run(options, who) {
      await withOperator((needs) => grantUser(needs, who, options));
    },
  },
  'import django': {
    summary: 'Take over users, groups and tokens from a dumpdata file: FILE [--dry-run] [--json] …',
    takesWord: true,
    takes: [
      ...(['user-model', 'profile-model', 'map', 'role-map', 'verified', 'verified-phones'] as const),
      ...(['dry-run', 'json'] as const),
    ],
    async run(options, file) {
      const config = loadConfig();
      await withDatabase(config, async ({ db, dialect }) => {
        const needs = {
          store: createImportStore(db, dialect),
          defaultRole: config.defaultRole,
          phoneRegion: config.otp.phoneRegion,
          screen: process.stderr,
          now: Date.now,
        };
        print(await importDjango(needs, file, options));
      });
    },
  },
  clean: {
    summary: 'Delete what is too old, encrypt by the newest key, post due alerts: [--json]',
    takes: ['json'],
    async run({ json = false }) {
      const config = loadConfig();
      await withCore(config, async (app) => {
        const { default: cleaning } = await import('../plugins/cleaning.js');
        await app.register(cleaning, { eventRetentionDays: config.eventRetentionDays });
        await app.ready();
        const { cleaner, alertWebhooks } = app;
        const postAlerts = alertWebhooks && (() => alertWebhooks.deliver());
        const show = (line: string) => process.stderr.write(`${line}\n`);
        print(await clean({ cleaner, postAlerts, json, show, now: Date.now }));
      });
    },
  },
  doctor: {
    summary: 'Examine settings and stores; exit code 1 when something must be put right: [--json]',
    takes: ['json'],
    async run({ json = false }) {
      const diagnosis = await examine(readSettings());
      print(json ? asJson(diagnosis) : asText(diagnosis, { hasColours: showsColours() }));
      if (!diagnosis.isHealthy) process.exitCode = 1;
    },
  },
  openapi: {
    summary: 'Print the OpenAPI document',
    async run() {
      const { buildApp } = await import('./app.js');
      const app = await buildApp(silenced(loadConfig()));
      await app.ready();
      print(JSON.stringify(app.swagger(), null, 2));
      await app.close();
    },
  },
};

/** A doctor also tells of settings that nothing could be started with. */
function readSettings(): Patient {
  try {
    return { config: loadConfig(undefined, { onlyLooks: true }) };
  } catch (error) {
    if (error instanceof ConfigError) return { faults: error.faults };
    throw error;
  }
}

/** On a terminal that has them and whose owner has not declined them (NO_COLOR). */
const showsColours = (): boolean => process.stdout.isTTY === true && process.stdout.hasColors();

const withClients = <T>(work: (clients: OauthClientStore) => Promise<T>): Promise<T> =>
  withDatabase(loadConfig(), ({ db }) => work(createOauthClientStore(db)));

/** The configured database, which is made or brought up to date first unless MIGRATE=off. */
async function withDatabase<T>(config: Config, work: (database: Database) => Promise<T>): Promise<T> {
  const { databaseUrl, dataDir, migrate } = config;
  const database = openDatabase({ url: databaseUrl, dataDir });
  try {
    if (migrate) await database.migrate();
    return await work(database);
  } finally {
    await database.close();
  }
}

const silenced = (config: Config): Config => ({ ...config, logLevel: 'silent' });

/**
 * Works on the configured stores as a server does, so that those that run know at once. To read what that takes is half
 * of the time to start: only those commands wait for it that need it.
 */
async function withCore(config: Config, work: (app: FastifyInstance) => Promise<void>): Promise<void> {
  const [{ createHost }, { core }] = await Promise.all([import('./host.js'), import('./core.js')]);
  const app = await createHost(silenced(config));
  try {
    await app.register(core, { config, now: Date.now });
    await work(app);
  } finally {
    await app.close();
  }
}

async function withOperator(work: (needs: UserCommandNeeds) => Promise<string>): Promise<void> {
  const config = loadConfig();
  await withCore(config, async (app) => {
    await app.ready();
    const { database, events, stateStore: state } = app;
    const operator = createOperator({
      store: database.userAdmin,
      accounts: database.accounts,
      events,
      countEvent: () => undefined,
      state,
      hasher: createPasswordHasher({ concurrency: 1, maxWaiting: 0 }),
      policy: config,
      readPhone: (raw) => readPhoneNumber(raw, config.otp.phoneRegion)?.e164,
      now: Date.now,
      onTrouble: () =>
        process.stderr.write('The change stands, but for a minute servers ask the database about it.\n'),
    });
    const describe: UserCommandNeeds['describe'] = ({ user, permissions }) => describeUser(user, permissions);
    print(await work({ operator, describe }));
  });
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

WHO is the id, e-mail address, username or phone number of an account. A password is asked for, or comes by a pipe with
--password-stdin. The user commands, client create and client list print JSON with --json.

import django takes --user-model, --profile-model, --map, --role-map, --verified and --verified-phones besides: see
docs/migrating-from-django.md.

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
    allowNegative: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      version: { type: 'boolean', short: 'v' },
      file: { type: 'string' },
      algorithm: { type: 'string' },
      'publish-seconds': { type: 'string' },
      name: { type: 'string' },
      id: { type: 'string' },
      json: { type: 'boolean' },
      email: { type: 'string' },
      username: { type: 'string' },
      role: { type: 'string' },
      staff: { type: 'boolean' },
      superuser: { type: 'boolean' },
      'password-stdin': { type: 'boolean' },
      query: { type: 'string' },
      limit: { type: 'string' },
      'user-model': { type: 'string' },
      'profile-model': { type: 'string' },
      map: { type: 'string' },
      'role-map': { type: 'string' },
      verified: { type: 'string' },
      'verified-phones': { type: 'string' },
      'dry-run': { type: 'boolean' },
    },
  });
  if (values.version) return print(VERSION);
  if (values.help || positionals.length === 0) return print(help);
  const { name, command, words } = findCommand(positionals);
  if (!command) return fail(`There is no command "${positionals.join(' ')}". Try: latchkey --help`, 2);
  const surplus = words[command.takesWord ? 1 : 0];
  if (surplus !== undefined) return fail(`"${name}" takes no word "${surplus}". Try: latchkey --help`, 2);
  const takes: readonly string[] = command.takes ?? [];
  const others = Object.keys(values).filter((name) => !takes.includes(name));
  if (others.length > 0) return fail(`This command has no --${others[0]}. Try: latchkey --help`, 2);
  await command.run(values, words[0]);
}

/** A command is one word or two; what follows are `words`. */
function findCommand(positionals: string[]): { name?: string; command?: Command; words: string[] } {
  for (const length of [2, 1]) {
    const name = positionals.slice(0, length).join(' ');
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command) return { name, command, words: positionals.slice(length) };
  }
  return { words: [] };
}

// Whoever reads may have had enough (`| head`), which is no failure and no reason for a stack.
process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => {
  if (code !== 'EPIPE') fail(`What there was to print could not be written (${code}).`, 1);
});

/** Exit codes: 1 what it tried failed, 2 it was asked or configured wrongly. */
main().catch((error: unknown) => {
  if (error instanceof ConfigError || error instanceof UsageError) return fail(error.message, 2);
  if (error instanceof Refusal) return fail(error.message, 1);
  if (error instanceof KeyError) return fail(`The key set cannot be used: ${error.message}.`, 1);
  const { code, message, cause } = error as NodeJS.ErrnoException;
  if (code === 'store_unavailable') {
    const { code: why = 'no answer' } = (cause ?? {}) as NodeJS.ErrnoException;
    return fail(
      `The database cannot be used (${why}): see DATABASE_URL, or LATCHKEY_DATA_DIR without one.`,
      1,
    );
  }
  if (code === 'EADDRINUSE') return fail('The port is taken: set PORT to another one.', 1);
  if (code?.startsWith('ERR_PARSE_ARGS')) return fail(`${message}\nTry: latchkey --help`, 2);
  fail(error instanceof Error ? (error.stack ?? message) : String(error), 1);
});
