import type { HashCost } from '../../accounts/password-scheme.js';
import { isTokenId } from '../../lib/ids.js';
import type { RevokedToken } from '../../tokens/legacy-store.js';
import { type AccountReaderNeeds, createAccountReader, type ImportedAccount, RowFault } from './accounts.js';
import { type Dump, type Row, readId, readRows, readTime } from './dump.js';
import type { ImportedKey, ImportStore, Inserted } from './import-store.js';
import { DumpError } from './json-objects.js';
import { createReport, type ImportReport, showKey } from './report.js';
import { createRoles, type RolesNeeds } from './roles.js';
import { type Survey, surveyDump } from './survey.js';

export interface ImportNeeds extends Omit<AccountReaderNeeds, 'roleFor'>, RolesNeeds {
  dump: Dump;
  store: ImportStore;
  userModel: string | undefined;
  profileModel: string | undefined;
  dryRun: boolean;
  /** Told when the file is read once more from its beginning. */
  onPass(what: string): void;
}

/** A statement of theirs stays far below what either database takes, and is done in tens of milliseconds. */
const ACCOUNTS_AT_ONCE = 500;
const TOKENS_AT_ONCE = 2000;

/**
 * Imports a file of `dumpdata`. First everything is read and judged, and what cannot be stops it before anything is
 * written; then come the tokens that are refused, and only then the accounts that they are of, so that a server that
 * runs meanwhile never takes one of them. Whatever is there already stays as it is: the same file may come again.
 *
 * @throws DumpError, store_unavailable
 */
export async function importDump(needs: ImportNeeds): Promise<ImportReport> {
  const { dump, store, dryRun, onPass } = needs;
  const { report, fault, note } = createReport(dryRun);
  const roles = createRoles(needs);

  onPass('Reading');
  const survey = await surveyDump({ ...needs, learnRight: roles.learn, fault, note });
  const broken = report.faults.filter(({ model }) => model === survey.userModel).length;
  report.users.read = survey.users + broken;
  report.users.skipped = broken;

  onPass('Judging');
  const readAccount = createAccountReader({ ...needs, roleFor: roles.roleFor });
  const judged = await judgeAccounts();
  const added = await chooseRoles();
  report.roles_added = added.map(({ name }) => name);

  if (!dryRun) {
    await store.reserveLegacyIds(survey.highestId);
    await store.addRoles(added);
    await store.recordCosts(judged.costs);
  }
  if (survey.blacklisted.size > 0) {
    onPass('Revoked tokens');
    await importRevocations();
  }
  onPass(dryRun ? 'Comparing' : 'Accounts');
  await importAccounts();
  if (survey.hasKeys) {
    onPass('API keys');
    await importKeys();
  }
  return report;

  /** Every account once, in the order of the file: those that are sound. */
  async function* accountsOf(
    onFault: (row: Row, problem: string) => void,
    onNote: (what: string, row: string) => void,
  ): AsyncGenerator<ImportedAccount> {
    for await (const row of rowsOf(dump, survey.userModel)) {
      try {
        yield readAccount(row, besideOf(survey, row, needs), (what) => onNote(what, showKey(row.pk)));
      } catch (error) {
        if (!(error instanceof RowFault)) throw error;
        onFault(row, error.message);
      }
    }
  }

  /** Finds what is wrong with the rows by themselves, and with two of them together. */
  async function judgeAccounts(): Promise<{ left: Set<number>; costs: HashCost[] }> {
    const seen = createDuplicates();
    const costs = new Map<string, number>();
    const left = new Set<number>();
    const skip = (row: string, problem: string) => {
      report.users.skipped += 1;
      fault({ model: survey.userModel, row, problem });
    };
    for await (const account of accountsOf((row, problem) => skip(showKey(row.pk), problem), note)) {
      const duplicate = seen.find(account);
      if (duplicate) {
        skip(String(account.legacyId), duplicate);
        continue;
      }
      left.add(account.legacyId);
      const cost = account.passwordHash === null ? undefined : needs.readHash(account.passwordHash);
      if (cost) costs.set(cost.family, Math.max(cost.units, costs.get(cost.family) ?? 0));
    }
    return { left, costs: [...costs].map(([family, units]) => ({ family, units })) };
  }

  /** @throws DumpError when accounts would come to administer others because a role of theirs has that name here */
  async function chooseRoles() {
    const present = new Map((await store.listRoles()).map((role) => [role.name, role.permissions]));
    const meant = new Set(needs.renamed.values());
    for (const { name, permissions } of roles.used()) {
      const here = present.get(name);
      if (!here || meant.has(name)) continue;
      if (here.some(needs.isOwnPermission)) {
        throw new DumpError(
          `The file has a group or role that would be "${name}", which administers accounts here. ` +
            `Say what it is to be: --role-map '${name}=OTHER', or '${name}=${name}' if that is meant.`,
        );
      }
      if ([...here].sort().join() !== permissions.join())
        note('a role that was here already, with other permissions: it stays', name);
    }
    return roles.used().filter(({ name }) => !present.has(name));
  }

  async function importRevocations(): Promise<void> {
    const batches = inBatches(TOKENS_AT_ONCE, async (tokens: RevokedToken[]) => {
      if (!dryRun) await store.revokeTokens(tokens);
      report.revoked_tokens.imported += tokens.length;
    });
    for await (const row of rowsOf(dump, 'token_blacklist.outstandingtoken')) {
      const id = readId(row.pk);
      if (id === undefined || !survey.blacklisted.delete(id)) continue;
      const token = readOutstanding(row);
      if (!token) {
        const problem = 'it names no user, no jti or no expiry';
        fault({ model: row.model, row: showKey(row.pk), problem });
      } else if (token.expiresAt <= needs.now) report.revoked_tokens.expired += 1;
      else await batches.add(token);
    }
    await batches.end();
    for (const id of survey.blacklisted) {
      const problem = 'the file does not hold the token that was blacklisted';
      fault({ model: 'token_blacklist.outstandingtoken', row: String(id), problem });
    }
  }

  async function importAccounts(): Promise<void> {
    const write = dryRun ? store.tryAccounts : store.insertAccounts;
    const batches = inBatches(ACCOUNTS_AT_ONCE, async (accounts: ImportedAccount[]) => {
      count(await write(accounts));
    });
    const ignore = () => undefined;
    for await (const account of accountsOf(ignore, ignore)) {
      // Of two rows of one number the first was kept, and comes first here too.
      if (judged.left.delete(account.legacyId)) await batches.add(account);
    }
    await batches.end();
  }

  function count({ inserted, alreadyThere, taken }: Inserted): void {
    report.users.imported += inserted;
    report.users.already_there += alreadyThere;
    report.users.skipped += taken.length;
    for (const { legacyId, field } of taken) {
      const problem = `its ${field} is that of an account that is here already`;
      fault({ model: survey.userModel, row: String(legacyId), problem });
    }
  }

  async function importKeys(): Promise<void> {
    const batches = inBatches(TOKENS_AT_ONCE, async (keys: ImportedKey[]) => {
      const owners = await store.findByLegacyIds(keys.map(({ legacyId }) => legacyId));
      const known = new Set(owners.map(({ legacyId }) => legacyId));
      const owned = dryRun ? keys : keys.filter(({ legacyId }) => known.has(legacyId));
      if (!dryRun) await store.addKeys(owned);
      report.api_keys.imported += owned.length;
      report.api_keys.skipped += keys.length - owned.length;
    });
    for await (const row of rowsOf(dump, 'authtoken.token')) {
      const { pk: key, fields } = row;
      const legacyId = readId(fields.user);
      if (typeof key === 'string' && key !== '' && legacyId !== undefined) {
        await batches.add({ key, legacyId, createdAt: readTime(fields.created) ?? needs.now });
        continue;
      }
      report.api_keys.skipped += 1;
      // Its primary key is the secret.
      fault({
        model: row.model,
        row: `of user ${showKey(fields.user)}`,
        problem: 'no key, or no user by number',
      });
    }
    await batches.end();
  }
}

/** What cannot be read was reported by the survey. */
async function* rowsOf(dump: Dump, model: string): AsyncGenerator<Row> {
  for await (const readings of readRows(dump, (name) => name === model)) {
    for (const reading of readings) if ('row' in reading && reading.row.model === model) yield reading.row;
  }
}

function besideOf({ profiles, confirmed }: Survey, { pk }: Row, { readEmail }: ImportNeeds) {
  const id = readId(pk) ?? 0;
  const addresses = confirmed.get(id);
  return {
    profile: profiles.get(id),
    confirmed: addresses && new Set(addresses.map((address) => readEmail(address)?.key ?? '')),
  };
}

/** Two rows that would be one account here, though they were two there. */
function createDuplicates() {
  const numbers = new Set<number>();
  const first = {
    email: new Map<string, number>(),
    username: new Map<string, number>(),
    phone: new Map<string, number>(),
  };

  return {
    find({ legacyId, email, username, phone }: ImportedAccount): string | undefined {
      if (numbers.has(legacyId)) return 'its number came before in the file';
      const keys = { email: email?.key, username: username?.key, phone: phone ?? undefined };
      for (const field of ['email', 'username', 'phone'] as const) {
        const other = first[field].get(keys[field] ?? '');
        if (other !== undefined) return `its ${field} is, but for spelling, that of user ${other}`;
      }
      numbers.add(legacyId);
      for (const field of ['email', 'username', 'phone'] as const) {
        const key = keys[field];
        if (key) first[field].set(key, legacyId);
      }
      return undefined;
    },
  };
}

/** SimpleJWT does not always note whose a token is; the token says so itself, and was verified when it was blacklisted. */
function readOutstanding({ fields }: Row): RevokedToken | undefined {
  const claims = readPayload(fields.token);
  const legacyId = readId(fields.user) ?? readId(claims.user_id);
  const expiresAt = readTime(fields.expires_at) ?? Number(claims.exp) * 1000;
  const { jti } = fields;
  if (legacyId === undefined || !isTokenId(jti) || !Number.isSafeInteger(expiresAt)) return undefined;
  return { legacyId, jti, expiresAt };
}

function readPayload(token: unknown): Record<string, unknown> {
  try {
    const [, payload = ''] = String(token).split('.');
    return Object(JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')));
  } catch {
    return {};
  }
}

function inBatches<T>(size: number, work: (batch: T[]) => Promise<void>) {
  let batch: T[] = [];
  async function flush(): Promise<void> {
    const full = batch;
    batch = [];
    if (full.length > 0) await work(full);
  }
  return {
    async add(item: T): Promise<void> {
      batch.push(item);
      if (batch.length >= size) await flush();
    },
    end: flush,
  };
}
