import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createArgon2Scheme } from '../accounts/argon2-scheme.js';
import { normalizeEmail, normalizeName, normalizeUsername } from '../accounts/identifiers.js';
import { isPermissionName, PERMISSIONS } from '../accounts/permissions.js';
import { djangoSchemes } from '../compat/django-hashes.js';
import { MAPPABLE, type Mappable, type VerifiedRule } from '../compat/import/accounts.js';
import type { Dump } from '../compat/import/dump.js';
import { importDump } from '../compat/import/import-dump.js';
import type { ImportStore } from '../compat/import/import-store.js';
import { DumpError } from '../compat/import/json-objects.js';
import type { ImportReport } from '../compat/import/report.js';
import { readPhoneNumber } from '../otp/phone-number.js';
import { UsageError } from './keys.js';
import { Refusal } from './users.js';

export interface ImportOptions {
  'user-model'?: string | undefined;
  'profile-model'?: string | undefined;
  map?: string | undefined;
  'role-map'?: string | undefined;
  verified?: string | undefined;
  'verified-phones'?: string | undefined;
  'dry-run'?: boolean | undefined;
  json?: boolean | undefined;
}

export interface ImportCommandNeeds {
  store: ImportStore;
  defaultRole: string;
  /** Whose national numbers need no country code. */
  phoneRegion: string;
  /** Where progress is shown. */
  screen: { isTTY?: boolean; write(text: string): unknown };
  now(): number;
}

/** Imports a file that Django's `dumpdata` wrote; gives the report. */
export async function importDjango(
  { store, defaultRole, phoneRegion, screen, now }: ImportCommandNeeds,
  file: string | undefined,
  options: ImportOptions,
): Promise<string> {
  if (!file) throw new UsageError('Say which file: latchkey import django FILE');
  const rules = readOptions(options);
  const progress = createProgress(screen, now);
  const dump = await openDump(file, progress.show);
  const schemes = [createArgon2Scheme(), ...djangoSchemes()];
  const startedAt = now();
  try {
    const report = await importDump({
      ...rules,
      dump,
      store,
      defaultRole,
      now: startedAt,
      dryRun: options['dry-run'] ?? false,
      isPermissionName,
      isOwnPermission: (name) => Object.hasOwn(PERMISSIONS, name),
      readEmail: normalizeEmail,
      readUsername: normalizeUsername,
      readName: normalizeName,
      readPhone: (raw) => readPhoneNumber(raw, phoneRegion)?.e164,
      readHash: (stored) => schemes.map((scheme) => scheme.read(stored)).find((hash) => hash !== undefined),
      onPass: progress.begin,
    });
    progress.end();
    const seconds = (now() - startedAt) / 1000;
    return options.json ? JSON.stringify(report) : describe(report, seconds);
  } catch (error) {
    progress.end();
    throw error instanceof DumpError ? new Refusal(error.message) : error;
  }
}

function readOptions(options: ImportOptions) {
  const map = new Map(readPairs('--map', options.map));
  const unknown = [...map.keys()].find((name) => !(MAPPABLE as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new UsageError(`--map knows no field "${unknown}": it has ${MAPPABLE.join(', ')}.`);
  return {
    userModel: readModel('--user-model', options['user-model']),
    profileModel: readModel('--profile-model', options['profile-model']),
    map: map as ReadonlyMap<Mappable, string>,
    renamed: new Map(readPairs('--role-map', options['role-map'])),
    verifiedEmail: readVerified(options.verified),
    verifiedPhone: readVerified(options['verified-phones']),
  };
}

function readModel(option: string, model: string | undefined): string | undefined {
  if (model !== undefined && !/^\w+\.\w+$/.test(model))
    throw new UsageError(`${option} takes app.Model, as dumpdata names it.`);
  return model?.toLowerCase();
}

function readPairs(option: string, text: string | undefined): [string, string][] {
  if (text === undefined) return [];
  return text.split(',').map((pair) => {
    const [, name, value] = /^([^=]+)=([^=]+)$/.exec(pair.trim()) ?? [];
    if (!name || !value) throw new UsageError(`${option} takes NAME=NAME,NAME=NAME.`);
    if (option === '--role-map' && !/^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/.test(value))
      throw new UsageError(
        `--role-map: "${value}" cannot be a role: a letter, then letters, digits and _ . : -`,
      );
    return [name, value];
  });
}

const readVerified = (text = 'none'): VerifiedRule =>
  text === 'all' || text === 'none' ? text : { field: text };

async function openDump(file: string, onProgress: (share: number) => void): Promise<Dump> {
  const size = await stat(file)
    .then((found) => (found.isFile() ? found.size : undefined))
    .catch(() => undefined);
  if (size === undefined) throw new UsageError(`There is no file ${file} that can be read.`);
  return {
    async *open() {
      let done = 0;
      for await (const chunk of createReadStream(file, { highWaterMark: 1_048_576 })) {
        yield chunk as Buffer;
        done += (chunk as Buffer).length;
        onProgress(done / size);
      }
    },
  };
}

const BAR = 30;
const REDRAW_MS = 100;
const LINE_MS = 5000;

/** A bar on a terminal; elsewhere a line now and then. */
function createProgress(screen: ImportCommandNeeds['screen'], now: () => number) {
  let what = '';
  let shownAt = 0;
  let isDrawn = false;

  function draw(share: number): void {
    const percent = `${Math.floor(share * 100)}`.padStart(3);
    if (!screen.isTTY) {
      screen.write(`${what}: ${percent.trim()} %\n`);
      return;
    }
    const filled = Math.round(share * BAR);
    screen.write(
      `\r\u001b[K${what.padEnd(15)} [${'#'.repeat(filled)}${' '.repeat(BAR - filled)}] ${percent} %`,
    );
    isDrawn = true;
  }

  return {
    begin(pass: string) {
      what = pass;
      shownAt = now();
      if (screen.isTTY) draw(0);
    },
    show(share: number) {
      const isDue = now() - shownAt >= (screen.isTTY ? REDRAW_MS : LINE_MS);
      if (!isDue && share < 1) return;
      shownAt = now();
      draw(share);
    },
    end() {
      if (isDrawn) screen.write('\r\u001b[K');
    },
  };
}

const SHOWN_FAULTS = 50;

function describe(report: ImportReport, seconds: number): string {
  const { users, roles_added: roles, revoked_tokens: revoked, api_keys: keys, notes, faults } = report;
  const lines = [
    report.dry_run ? 'Nothing was written (--dry-run). It would be:' : `Imported in ${seconds.toFixed(1)} s.`,
    '',
    `  users           ${users.imported} imported, ${users.already_there} there already, ${users.skipped} skipped, of ${users.read}`,
    `  roles           ${roles.length === 0 ? 'none added' : `${roles.length} added: ${roles.join(', ')}`}`,
    `  revoked tokens  ${revoked.imported} imported, ${revoked.expired} expired by now`,
    `  API keys        ${keys.imported} imported, ${keys.skipped} skipped`,
  ];
  if (notes.length > 0) lines.push('', 'Kept, but not as it was:');
  for (const { what, count, examples } of notes) {
    const more = count > examples.length ? ', …' : '';
    lines.push(`  ${count} × ${what} (${examples.join(', ')}${more})`);
  }
  if (faults.length > 0) lines.push('', 'Skipped:');
  for (const { model, row, problem } of faults.slice(0, SHOWN_FAULTS)) {
    lines.push(`  ${model} ${row}: ${problem}`);
  }
  if (faults.length > SHOWN_FAULTS) {
    lines.push(`  … and ${faults.length - SHOWN_FAULTS} more: --json lists them all.`);
  }
  return lines.join('\n');
}
