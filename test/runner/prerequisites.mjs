// What the tests need besides npm packages: Node, redis-server, PostgreSQL, Chromium and a Django with SimpleJWT.
import { spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** Stops the run with one line instead of a stack trace. */
export class RunError extends Error {}

export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    throw new RunError(`Node.js 20.19 or newer is needed, this is ${process.versions.node}`);
  }
}

/** Installs what is missing where that is possible; the answer goes into the tests' environment. */
export function findServers() {
  const found = locateServers();
  if (isComplete(found)) return found;
  if (!canInstall()) throw new RunError(howToInstall());
  install();
  const installed = locateServers();
  if (!isComplete(installed)) throw new RunError(`apt-get did not bring everything. ${howToInstall()}`);
  return installed;
}

/** Where each of them is; what is missing is undefined. */
export function locateServers() {
  return {
    TEST_REDIS_SERVER: which('redis-server'),
    TEST_POSTGRES_BIN: [whichDir('initdb', 'postgres'), ...debianPostgresDirs()].find(Boolean),
    TEST_CHROMIUM: CHROMIUM_NAMES.map(which).find(Boolean),
    TEST_DJANGO_PYTHON: PYTHONS.find(knowsSimpleJwt),
  };
}

const isComplete = (found) => Object.values(found).every(Boolean);

const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];

/** Debian's packages are for Debian's Python, which need not be the first on PATH. */
const PYTHONS = ['python3', '/usr/bin/python3'];

/** The modules are looked for without being loaded: Django wants its settings first. */
const FIND_MODULES = `
import importlib.util, sys
names = ["django", "rest_framework_simplejwt", "bcrypt", "argon2"]
sys.exit(0 if all(importlib.util.find_spec(name) for name in names) else 1)
`;

function knowsSimpleJwt(python) {
  return spawnSync(python, ['-c', FIND_MODULES], { stdio: 'ignore' }).status === 0;
}

const path = () => (process.env.PATH ?? '').split(delimiter).filter(Boolean);

function which(name) {
  return path()
    .map((dir) => join(dir, name))
    .find(isExecutable);
}

function whichDir(...names) {
  return path().find((dir) => names.every((name) => isExecutable(join(dir, name))));
}

/** Debian keeps PostgreSQL's server programs off PATH, one directory per major version; newest first. */
function debianPostgresDirs() {
  const base = '/usr/lib/postgresql';
  if (!existsSync(base)) return [];
  return readdirSync(base)
    .sort((a, b) => Number(b) - Number(a))
    .map((version) => join(base, version, 'bin'))
    .filter((dir) => isExecutable(join(dir, 'initdb')) && isExecutable(join(dir, 'postgres')));
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const APT_PACKAGES = [
  'redis-server',
  'postgresql',
  'chromium',
  'python3-djangorestframework-simplejwt',
  'python3-bcrypt',
  'python3-argon2',
];

const canInstall = () => process.getuid?.() === 0 && Boolean(which('apt-get'));

function howToInstall() {
  const command = which('apt-get')
    ? `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${APT_PACKAGES.join(' ')}`
    : which('brew')
      ? 'brew install redis postgresql@17 chromium && export PATH="$(brew --prefix postgresql@17)/bin:$PATH" && ' +
        'python3 -m pip install djangorestframework-simplejwt bcrypt argon2-cffi'
      : "install redis-server, PostgreSQL's initdb and postgres, and Chromium, and put them on PATH; " +
        'djangorestframework-simplejwt, bcrypt and argon2-cffi for Python';
  return `The tests start their own Redis, PostgreSQL, Django and Chromium, and one of them is missing; run: ${command}`;
}

function install() {
  console.log(`Installing ${APT_PACKAGES.join(', ')} with apt-get`);
  withoutServiceStart(() => {
    aptGet('update', '-qq');
    aptGet('install', '-y', '-qq', '--no-install-recommends', ...APT_PACKAGES);
  });
}

function aptGet(...args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // stdout is discarded: dpkg's progress would bury the tests' own output.
  const { status } = spawnSync('apt-get', args, { env, stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) throw new RunError(`apt-get ${args.join(' ')} failed. ${howToInstall()}`);
}

/** Exit code 101 of policy-rc.d forbids package scripts to start services (invoke-rc.d(8)). */
function withoutServiceStart(action) {
  const policy = '/usr/sbin/policy-rc.d';
  if (existsSync(policy) || !existsSync(dirname(policy))) return action();
  writeFileSync(policy, '#!/bin/sh\nexit 101\n');
  chmodSync(policy, 0o755);
  try {
    return action();
  } finally {
    rmSync(policy, { force: true });
  }
}
