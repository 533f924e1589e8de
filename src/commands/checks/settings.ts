import { statSync } from 'node:fs';
import type { Config } from '../../config.js';
import { count, type Finding, fail, ok, warn } from './finding.js';

/** Settings that cannot even be read: nothing else can be looked at. */
export const reportFaults = (faults: readonly string[]): Finding[] =>
  faults.map((fault) =>
    fail(
      'settings',
      fault,
      "Set it as the README's table of settings says; until then nothing else can be checked.",
    ),
  );

/** Settings that work and should not stay so. */
export function checkSettings(config: Config): Finding[] {
  const { production, embedded, publicUrl, limits } = config;
  const findings = config.warnings
    .filter((warning) => ![isAboutKeys, isAboutDelivery, isAboutProxy].some((isAbout) => isAbout(warning)))
    .map((warning) => warn('settings', warning, 'Change it before anybody but you is served.'));
  if (production && config.databaseUrl === undefined) {
    findings.push(
      warn(
        'settings',
        'LATCHKEY_ALLOW_EMBEDDED=1: in production, and the accounts are in a file of this machine.',
        'Back that file up, and run one server only; for more set DATABASE_URL and REDIS_URL.',
      ),
    );
  }
  if (production && publicUrl.protocol !== 'https:') {
    findings.push(
      warn(
        'settings',
        'PUBLIC_URL is not https: the refresh cookie is not Secure, and no HSTS is sent.',
        'Set it to the https URL that callers use.',
      ),
    );
  }
  const off = Object.entries(limits).filter(([, limit]) => limit === undefined);
  if (production && off.length > 0) {
    findings.push(
      warn(
        'settings',
        `These limits are off: ${off.map(([name]) => variableOf(name)).join(', ')}.`,
        'Nothing but they holds up those who guess. Raise a limit rather than turning it off.',
      ),
    );
  }
  if (findings.length > 0) return findings;
  const mode = production ? 'production' : 'development';
  return [ok('settings', `${mode}, ${embedded ? 'embedded stores' : 'stores on servers'}`)];
}

/** `loginIp` is RATE_LIMIT_LOGIN_IP. */
const variableOf = (limit: string): string => `RATE_LIMIT_${limit.replace(/[A-Z]/g, '_$&').toUpperCase()}`;

const isAboutKeys = (warning: string): boolean => warning.startsWith('JWT_');
export const isAboutProxy = (warning: string): boolean => warning.startsWith('TRUST_PROXY=');
const isAboutDelivery = (warning: string): boolean => /^(SMS|EMAIL)_PROVIDER is not set/.test(warning);

/** The key that signs; whoever has it, or guesses it, is everybody. */
export function checkSigningKey({ warnings, jwt }: Config): Finding[] {
  const name = 'signing key';
  const weak = warnings.filter(isAboutKeys);
  if (weak.length > 0) {
    const advice = 'Make one: openssl rand -base64 48, or latchkey keys generate; the same on every server.';
    return weak.map((warning) => warn(name, warning, advice));
  }
  const { keySet, algorithm, signingKey } = jwt;
  if (keySet && 'path' in keySet && (statSync(keySet.path).mode & 0o007) !== 0) {
    return [
      fail(
        name,
        'Every account of this machine may read, or change, the file of JWT_KEYSET.',
        'chmod 640 it; if anybody else uses this machine rotate the keys, and take the old ones out.',
      ),
    ];
  }
  if (!keySet && signingKey === undefined) return [ok(name, 'none yet: latchkey serve makes it')];
  const source = keySet ? 'a key set' : `${algorithm}, ${count(Buffer.byteLength(signingKey ?? ''), 'byte')}`;
  return [ok(name, source)];
}
