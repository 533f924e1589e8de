import { isImported } from './accounts.js';
import { type Dump, type Fields, type Row, readId, readRows } from './dump.js';
import type { ImportStore } from './import-store.js';
import { DumpError } from './json-objects.js';
import { type Fault, showKey } from './report.js';

/** What the rows of a model are to an import. */
type Kind = 'user' | 'profile' | 'right' | 'address' | 'blacklisted' | 'outstanding' | 'key' | 'other';

const KINDS: Record<string, Kind> = {
  'auth.group': 'right',
  'auth.permission': 'right',
  'contenttypes.contenttype': 'right',
  'account.emailaddress': 'address',
  'token_blacklist.blacklistedtoken': 'blacklisted',
  'token_blacklist.outstandingtoken': 'outstanding',
  'authtoken.token': 'key',
};

/** What of a file must be known before its accounts can be read. */
export interface Survey {
  userModel: string;
  users: number;
  highestId: number;
  /** Fields of profiles, by the number of the user. */
  profiles: Map<number, Fields>;
  /** Addresses that django-allauth has confirmed, by the number of the user. */
  confirmed: Map<number, string[]>;
  /** Primary keys of the outstanding tokens that were blacklisted. */
  blacklisted: Set<number>;
  hasKeys: boolean;
}

export interface SurveyNeeds {
  dump: Dump;
  store: Pick<ImportStore, 'findByLegacyIds'>;
  /** `app.model`, in lower case; without it the one whose rows have a password and a last login. */
  userModel: string | undefined;
  /** Without it every model of a name that ends in `profile`. */
  profileModel: string | undefined;
  /** Fields of other names; the `user` of a profile may be its `pk`. */
  map: ReadonlyMap<string, string>;
  /** Takes a row of groups, permissions or content types. @returns what is wrong with it */
  learnRight(row: Row): string | undefined;
  fault(fault: Fault): void;
  note(what: string, row: string): void;
}

const IDS_AT_ONCE = 1000;

/**
 * Reads the file once through, and compares its numbers with those of the accounts that are there.
 * @throws DumpError, also when a number belongs to an account that did not come from this file
 */
export async function surveyDump(needs: SurveyNeeds): Promise<Survey> {
  const { dump, learnRight, fault, note } = needs;
  const userField = needs.map.get('user') ?? 'user';
  const kinds = new Map<string, Kind>();
  const requireFree = createNumberCheck(needs.store);
  const survey: Survey = {
    userModel: needs.userModel ?? '',
    users: 0,
    highestId: 0,
    profiles: new Map(),
    confirmed: new Map(),
    blacklisted: new Set(),
    hasKeys: false,
  };

  function classify({ model, fields }: Row): Kind {
    if (model === needs.userModel || (!needs.userModel && 'password' in fields && 'last_login' in fields)) {
      if (survey.userModel && survey.userModel !== model) {
        throw new DumpError(
          `Both ${survey.userModel} and ${model} have passwords: name one by --user-model.`,
        );
      }
      survey.userModel = model;
      return 'user';
    }
    if (needs.profileModel ? model === needs.profileModel : model.endsWith('profile')) return 'profile';
    return KINDS[model] ?? 'other';
  }

  /** Django leaves a field that is the primary key out of the others. */
  function learnProfile({ pk, fields, model }: Row): string | undefined {
    const named = userField === 'pk' ? pk : fields[userField];
    if (named === undefined && !needs.profileModel) {
      note('nothing of a profile that does not say whose it is: see --map user=', `${model} ${showKey(pk)}`);
      return undefined;
    }
    const user = readId(named);
    if (user === undefined) return 'its user is not named by number';
    survey.profiles.set(user, { ...survey.profiles.get(user), ...fields });
    return undefined;
  }

  function learn(row: Row): string | undefined {
    const { pk, fields } = row;
    const user = readId(fields.user);
    switch (kinds.get(row.model)) {
      case 'user': {
        survey.users += 1;
        const id = readId(pk);
        survey.highestId = Math.max(survey.highestId, id ?? 0);
        if (id !== undefined) requireFree.add(id);
        return undefined;
      }
      case 'right':
        return learnRight(row);
      case 'profile':
        return learnProfile(row);
      case 'address':
        if (user !== undefined && fields.verified === true && typeof fields.email === 'string')
          survey.confirmed.set(user, [...(survey.confirmed.get(user) ?? []), fields.email]);
        return undefined;
      case 'blacklisted': {
        const token = readId(fields.token);
        if (token === undefined) return 'its token is not named by number';
        survey.blacklisted.add(token);
        return undefined;
      }
      case 'key':
        survey.hasKeys = true;
        return undefined;
      default:
        return undefined;
    }
  }

  for await (const readings of readRows(dump, (model) => !UNREAD.has(kinds.get(model)))) {
    for (const reading of readings) {
      if ('broken' in reading) {
        const { model, offset } = reading.broken;
        fault({ model, row: `byte ${offset}`, problem: 'it cannot be read' });
        continue;
      }
      const { row } = reading;
      if (!kinds.has(row.model)) kinds.set(row.model, classify(row));
      const problem = learn(row);
      if (problem) fault({ model: row.model, row: String(readId(row.pk) ?? '?'), problem });
    }
    await requireFree.settle(IDS_AT_ONCE);
  }
  await requireFree.settle(1);
  if (survey.users === 0) {
    const model = needs.userModel ? `of ${needs.userModel} ` : '';
    throw new DumpError(`The file has no users ${model}in it: see --user-model.`);
  }
  return survey;
}

/** What the survey learns nothing from, once it has seen what it is. */
const UNREAD = new Set<Kind | undefined>(['other', 'outstanding', 'key']);

function createNumberCheck(store: Pick<ImportStore, 'findByLegacyIds'>) {
  let waiting: number[] = [];
  return {
    add: (id: number) => waiting.push(id),
    /** As soon as so many wait. */
    async settle(atLeast: number): Promise<void> {
      if (waiting.length < atLeast) return;
      for (let from = 0; from < waiting.length; from += IDS_AT_ONCE) {
        requireOwn(await store.findByLegacyIds(waiting.slice(from, from + IDS_AT_ONCE)));
      }
      waiting = [];
    },
  };
}

/** @throws DumpError when one is of an account that no import made */
export function requireOwn(found: readonly { legacyId: number; id: string }[]): void {
  const foreign = found
    .filter(({ legacyId, id }) => !isImported(id, legacyId))
    .map(({ legacyId }) => legacyId);
  if (foreign.length === 0) return;
  const some = foreign.slice(0, 10).join(', ');
  throw new DumpError(
    `Accounts that are here already have the number${foreign.length > 1 ? 's' : ''} ${some} of users in the file: ` +
      'import before anybody registers.',
  );
}
