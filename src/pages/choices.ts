/** What people choose for themselves in this browser. */
interface Choices {
  locale: 'en' | 'fa';
  theme: 'light' | 'dark';
}

const VALUES: { [Name in keyof Choices]: readonly Choices[Name][] } = {
  locale: ['en', 'fa'],
  theme: ['light', 'dark'],
};

const keyOf = (name: keyof Choices): string => `latchkey.${name}`;

export function readChoice<Name extends keyof Choices>(name: Name): Choices[Name] | undefined {
  try {
    const stored = localStorage.getItem(keyOf(name));
    return VALUES[name].find((value) => value === stored);
  } catch {
    // A browser may refuse storage to pages: then nothing is remembered.
    return undefined;
  }
}

export function storeChoice<Name extends keyof Choices>(name: Name, value: Choices[Name]): void {
  try {
    localStorage.setItem(keyOf(name), value);
  } catch {
    // As above.
  }
}
