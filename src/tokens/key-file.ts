import { readFile, stat } from 'node:fs/promises';

export interface KeyFileNeeds<Keys> {
  path: string;
  /** Makes of the file's text what is used; throws when it cannot be used. */
  read(text: string): Promise<Keys>;
  onChange(keys: Keys): void;
  /** Told once of each trouble: what cannot be used is read again at every look. */
  onTrouble(error: unknown): void;
}

export interface KeyFile<Keys> {
  /** Reads it for the first time. Throws what `read` and the file system throw. */
  open(): Promise<Keys>;
  /** Reads it again if it has changed. Never throws; looks that run at once are one. */
  look(): Promise<void>;
  /** The same for a token by an unknown key, which anybody may send: once a second and no more. */
  lookForKey(): Promise<void>;
}

const LOOK_MS = 1000;

/** A file of keys that may change while the service runs. */
export function createKeyFile<Keys>(needs: KeyFileNeeds<Keys>): KeyFile<Keys> {
  const { path } = needs;
  let seen: string | undefined;
  let complaint: string | undefined;
  let looking: Promise<void> | undefined;
  let lastLookForKey = Number.NEGATIVE_INFINITY;

  async function load(found: string): Promise<Keys> {
    const keys = await needs.read(await readFile(path, 'utf8'));
    seen = found;
    return keys;
  }

  async function reload(): Promise<void> {
    try {
      const found = await fingerprint(path);
      if (found !== seen) needs.onChange(await load(found));
      complaint = undefined;
    } catch (error) {
      if (String(error) !== complaint) needs.onTrouble(error);
      complaint = String(error);
    } finally {
      looking = undefined;
    }
  }

  function look(): Promise<void> {
    looking ??= reload();
    return looking;
  }

  return {
    // The fingerprint is taken before the file is read: what is written meanwhile is seen at the next look.
    open: async () => load(await fingerprint(path)),
    look,
    async lookForKey() {
      if (looking) return looking;
      if (performance.now() - lastLookForKey < LOOK_MS) return;
      lastLookForKey = performance.now();
      await look();
    },
  };
}

/** Changes with every write and every replacement, also of what a symbolic link leads to. */
async function fingerprint(path: string): Promise<string> {
  const { mtimeNs, size, ino } = await stat(path, { bigint: true });
  return `${mtimeNs} ${size} ${ino}`;
}
