import { createHash } from 'node:crypto';
import { type Fields, type Row, readId } from './dump.js';

export interface ImportedRole {
  name: string;
  permissions: string[];
  description: string;
}

export interface RolesNeeds {
  /** Names that a permission may have here. */
  isPermissionName(name: string): boolean;
  /** Whether a permission is one of Latchkey's own, by which accounts are administered. */
  isOwnPermission(name: string): boolean;
  /** What a group, or a role in a profile, is to be called here. */
  renamed: ReadonlyMap<string, string>;
  defaultRole: string;
}

/** What is wrong with a row, without what stands in it: names of people may. */
export type Note = (what: string) => void;

const NAME_MAX = 64;

/**
 * Django gives an account any number of groups and permissions, Latchkey one role: each combination that accounts have
 * becomes a role with all that it allows. Read first all groups and permissions, then ask for accounts.
 */
export function createRoles({ isPermissionName, isOwnPermission, renamed, defaultRole }: RolesNeeds) {
  const apps = new Map<number, string>();
  const permissions = new Map<number, { codename: string; type: unknown }>();
  const groups = new Map<number, { name: string; permissions: unknown }>();
  const groupsByName = new Map<string, number>();
  const used = new Map<string, ImportedRole>();
  const given = new Set(renamed.values());
  // The families of Latchkey's own permissions would say something else here.
  const isTheirs = (name: string): boolean => isPermissionName(name) && !isOwnPermission(name);

  /** Keeps what a row says of groups and permissions. @returns what is wrong with it */
  function learn({ model, pk, fields }: Row): string | undefined {
    const id = readId(pk);
    if (model === 'contenttypes.contenttype') {
      if (id !== undefined) apps.set(id, String(fields.app_label));
    } else if (model === 'auth.permission') {
      if (id !== undefined)
        permissions.set(id, { codename: String(fields.codename), type: fields.content_type });
    } else {
      const { name } = fields;
      if (id === undefined || typeof name !== 'string') return 'a group without a number or a name';
      groups.set(id, { name, permissions: fields.permissions });
      groupsByName.set(name, id);
    }
    return undefined;
  }

  /** `app.codename`, as `user.has_perm()` has it; of either kind of key, by number or by name. */
  function nameOf(key: unknown): string | undefined {
    if (Array.isArray(key)) return typeof key[1] === 'string' ? `${key[1]}.${key[0]}` : undefined;
    const permission = permissions.get(readId(key) ?? 0);
    if (!permission) return undefined;
    const { codename, type } = permission;
    const app = Array.isArray(type) ? String(type[0]) : apps.get(readId(type) ?? 0);
    return app && `${app}.${codename}`;
  }

  function readPermissions(list: unknown, note: Note): string[] {
    const names: string[] = [];
    for (const key of Array.isArray(list) ? list : []) {
      const name = nameOf(key);
      const here = name && [name, `django.${name}`].find(isTheirs);
      if (here) names.push(here);
      else note(name ? 'a permission whose name cannot be kept' : 'a permission that the file does not hold');
    }
    return names;
  }

  function readGroups(list: unknown, note: Note): { name: string; permissions: string[] }[] {
    const keys = Array.isArray(list) ? list : [];
    return keys.flatMap((key) => {
      const id = Array.isArray(key) ? groupsByName.get(String(key[0])) : readId(key);
      const group = groups.get(id ?? 0);
      if (!group) {
        note('a group that the file does not hold');
        return [];
      }
      const name = renamed.get(group.name) ?? (toName(group.name) || `group-${id}`);
      return [{ name, permissions: readPermissions(group.permissions, note) }];
    });
  }

  /** The name of the role that an account gets. `title`: the role that its profile says it has. */
  function roleFor(fields: Fields, title: string | undefined, note: Note): string {
    const held = readGroups(fields.groups, note);
    const own = readPermissions(fields.user_permissions, note);
    const names = [...new Set(held.map(({ name }) => name))].sort();
    if (title) names.unshift(renamed.get(title) ?? (toName(title) || 'role'));
    if (names.length === 0 && own.length === 0) return defaultRole;
    const all = [...new Set([...held.flatMap((group) => group.permissions), ...own])].sort();
    if (own.length > 0) names.push(`own-${fingerprint(all.join(' '))}`);
    const joined = names.join(':');
    return keep(
      joined.length <= NAME_MAX ? joined : `${joined.slice(0, 50)}:${fingerprint(joined)}`,
      all,
      note,
    );
  }

  /**
   * What two of them were called may come to one name here, in other letters than Latin ones above all: whoever was in
   * one is not to have what the other allowed. Those that were given one name are meant to be one.
   */
  function keep(wanted: string, permissions: readonly string[], note: Note): string {
    const before = used.get(wanted)?.permissions ?? permissions;
    const isAnother = before.join() !== permissions.join() && !given.has(wanted);
    if (isAnother) note('a role whose name another has that allows something else: it has an addition');
    const name = isAnother ? `${wanted.slice(0, 50)}:${fingerprint(permissions.join(' '))}` : wanted;
    const all = isAnother ? permissions : [...new Set([...before, ...permissions])].sort();
    used.set(name, { name, permissions: [...all], description: 'Imported from Django.' });
    return name;
  }

  return { learn, roleFor, used: (): ImportedRole[] => [...used.values()] };
}

const fingerprint = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8);

/** A letter, then letters, digits and `_ . -`; empty when nothing of the name can be kept. */
function toName(text: string): string {
  const name = text
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9_.-]+/g, '-');
  return name.replace(/^[^A-Za-z]+|-+$/g, '').slice(0, NAME_MAX);
}
