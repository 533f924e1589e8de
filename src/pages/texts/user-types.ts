const known = {
  en: { individual: 'Individual', business: 'Business' },
  fa: { individual: 'شخصی', business: 'کسب‌وکار' },
} as const;

/** An operator may have types of their own: those are shown as they are. */
const nameIn =
  (names: Record<string, string>) =>
  (type: string): string =>
    names[type] ?? type;

export const userTypeName = { en: nameIn(known.en), fa: nameIn(known.fa) };
