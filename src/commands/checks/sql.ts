import type { Config } from '../../config.js';
import type { SqlInspection } from '../../stores/sql/inspect.js';
import { count, type Finding, fail, ok, warn } from './finding.js';
import { isAtLeast } from './trouble.js';

const OLDEST_POSTGRES = '13';

export function checkSql(config: Pick<Config, 'migrate'>, found: SqlInspection | undefined): Finding[] {
  if (!found) return [ok('sql', 'no embedded database yet: latchkey serve makes it')];
  return [
    checkServer(found),
    checkMigrations(config, found),
    checkIndexes(found),
    ...checkDurability(found),
    ...checkEncryption(found),
  ];
}

function checkServer({ dialect, version }: SqlInspection): Finding {
  if (dialect === 'sqlite') return ok('sql', `SQLite ${version}, embedded`);
  if (isAtLeast(version, OLDEST_POSTGRES)) return ok('sql', `PostgreSQL ${version}`);
  return fail('sql', `PostgreSQL ${version}`, `Latchkey needs PostgreSQL ${OLDEST_POSTGRES} or newer.`);
}

function checkMigrations({ migrate }: Pick<Config, 'migrate'>, { migrations }: SqlInspection): Finding {
  const name = 'sql schema';
  const { pending, unknown } = migrations;
  if (unknown.length > 0) {
    return fail(
      name,
      `made by a newer release (${unknown.join(', ')})`,
      'Run that release everywhere: an older one does not know this schema.',
    );
  }
  if (pending.length === 0) return ok(name, 'up to date');
  const detail = `${count(pending.length, 'migration')} to run (${pending.join(', ')})`;
  return migrate
    ? warn(name, detail, 'The next start of latchkey serve runs them; or run latchkey migrate now.')
    : fail(name, detail, 'MIGRATE=off: run latchkey migrate before the next start.');
}

function checkIndexes({ missingIndexes }: SqlInspection): Finding {
  const name = 'sql indexes';
  if (missingIndexes.length === 0) return ok(name, 'all there');
  return fail(
    name,
    `missing or broken: ${missingIndexes.map((each) => each.name).join(', ')}`,
    `Without them look-ups read whole tables, or two accounts may share a name. Drop what is broken, then run: ${missingIndexes
      .map((each) => `${each.statement};`)
      .join(' ')}`,
  );
}

function checkDurability({ durability }: SqlInspection): Finding[] {
  if (!durability) return [];
  const name = 'sql durability';
  const off = [
    ...(durability.fsync ? [] : ['fsync']),
    ...(durability.synchronousCommit ? [] : ['synchronous_commit']),
  ];
  if (off.length === 0) return [ok(name, 'what was answered survives a crash')];
  return [
    warn(
      name,
      `${off.join(' and ')} off: a crash may undo what was answered, or worse`,
      'Turn it on: what stands in SQL must never be lost.',
    ),
  ];
}

function checkEncryption({ addresses: { unreadable } }: SqlInspection): Finding[] {
  if (unreadable === 0) return [];
  return [
    fail(
      'sql encryption',
      `${count(unreadable, 'recent event')} cannot be read: the key is not among those of DATA_ENCRYPTION_KEY`,
      'Put the older key back, behind the one that encrypts now; without it they stay unreadable.',
    ),
  ];
}
