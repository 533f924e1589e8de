import { runtime } from './runtime.js';

/** Where a session is kept between pages and restarts, as one text; `null` is none. */
export interface AuthStorage {
  get(): string | null | Promise<string | null>;
  set(text: string | null): void | Promise<void>;
  /** Others may write to it at any time, as tabs do: it is read again before each request. */
  readonly shared?: boolean;
}

/** Gone with the page. */
export function memoryStorage(): AuthStorage {
  let kept: string | null = null;
  return {
    get: () => kept,
    set: (text) => {
      kept = text;
    },
  };
}

/** Kept by the browser and shared by the tabs of an origin; where the browser forbids it, as good as memory. */
export function browserStorage(key: string): AuthStorage {
  try {
    const storage = runtime.localStorage;
    if (storage) {
      storage.getItem(key);
      return {
        shared: true,
        get: () => storage.getItem(key),
        set: (text) => (text === null ? storage.removeItem(key) : storage.setItem(key, text)),
      };
    }
  } catch {
    // Blocked by the user, or the page is in a sandbox.
  }
  return memoryStorage();
}
