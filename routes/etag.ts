/** RFC 9110 §13.1.2: a list or `*`, compared weakly; proxies that compress make an ETag weak. */
export const matchesEtag = (header: string | undefined, etag: string): boolean =>
  header === '*' || (header ?? '').split(',').some((each) => each.trim().replace(/^W\//, '') === etag);
