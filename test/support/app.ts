import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify';
import { buildApp } from '../../src/app.js';
import { type Config, loadConfig } from '../../src/config.js';
import { findElsewhere } from './elsewhere.js';
import { freshDatabase } from './postgres-server.js';
import { freshPrefix } from './redis-namespace.js';

export const TEST_KEY = 'k0Jm5v1n8Qw2rT7yU4iO9pA6sD3fG0hJ';
export const PASSWORD = 'correct horse battery';

/** The two ways Latchkey stores things: one file, or the servers of production. */
export const STORES = ['embedded', 'servers'] as const;
export type Stores = (typeof STORES)[number];

export interface TestApp {
  app: FastifyInstance;
  config: Config;
  /** Sends a request through Fastify's inject, so `remoteAddress` may be chosen. */
  send(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** Every log line so far, as text. */
  logs(): string;
  /** Moves the clock of everything that expires (ms). Redis's own TTLs do not move. */
  advance(ms: number): void;
}

type Owner = { teardown(work: () => Promise<void> | void): unknown };

/** Builds the service in this process on stores of its own; limits are off unless `env` sets them. */
export async function testApp(
  t: Owner,
  {
    stores = 'embedded',
    areAway = false,
    env = {},
  }: { stores?: Stores; areAway?: boolean; env?: Record<string, string> } = {},
): Promise<TestApp> {
  // The same stores, so that what a test looks up or does here has happened there.
  const elsewhere = stores === 'servers' && Object.keys(env).length === 0 ? findElsewhere() : undefined;
  const dataDir = mkdtempSync(join(tmpdir(), 'latchkey-'));
  const config = loadConfig({
    LATCHKEY_DATA_DIR: dataDir,
    LOG_LEVEL: 'debug',
    JWT_SIGNING_KEY: TEST_KEY,
    RATE_LIMIT_LOGIN: 'off',
    RATE_LIMIT_REFRESH: 'off',
    RATE_LIMIT_ANON: 'off',
    RATE_LIMIT_USER: 'off',
    ...(stores === 'servers' ? (elsewhere?.env ?? (await servers(t))) : {}),
    ...env,
  });
  let offset = 0;
  let lines = '';
  const app = await buildApp(config, {
    now: () => Date.now() + offset,
    logStream: {
      write: (line) => {
        lines += line;
      },
    },
  });
  await app.ready();
  t.teardown(async () => {
    await app.close();
    rmSync(dataDir, { recursive: true, force: true });
  });
  if (config.redisUrl && !areAway) await storesAnswer(app);
  return {
    app,
    config,
    send: (options) => (elsewhere ? elsewhere.send(options) : app.inject(options)),
    logs: () => lines,
    advance: (ms) => {
      offset += ms;
      elsewhere?.advance(ms);
    },
  };
}

/** On a machine with other work a first connection takes longer than the second that a request gives it. */
async function storesAnswer({ stateStore, database }: FastifyInstance): Promise<void> {
  for (let turn = 0; ; turn++) {
    try {
      await Promise.all([stateStore.ping(), database.ping()]);
      return;
    } catch (error) {
      if (turn === 500) throw error;
      await delay(20);
    }
  }
}

async function servers(t: Owner): Promise<Record<string, string>> {
  return {
    REDIS_URL: process.env.TEST_REDIS_URL as string,
    REDIS_PREFIX: freshPrefix(t as never),
    DATABASE_URL: await freshDatabase(t as never),
  };
}

export interface SignedUp {
  email: string;
  access: string;
  refresh: string;
  user: { id: string; legacy_id: number };
}

let people = 0;

/** Registers somebody new, by default with `PASSWORD`, and gives the tokens. */
export async function signUp(
  { send, logs }: TestApp,
  fields: Record<string, unknown> = {},
): Promise<SignedUp> {
  people += 1;
  const email = `person${people}.${process.pid}@example.com`;
  const response = await send({
    method: 'POST',
    url: '/api/auth/register',
    payload: { email, password: PASSWORD, ...fields },
  });
  if (response.statusCode !== 201) {
    const log = logs().slice(-4000);
    throw new Error(`register answered ${response.statusCode} ${response.body}\n${log}`);
  }
  return { email, ...response.json() };
}

export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });
