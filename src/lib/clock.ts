/** Milliseconds since the epoch. Passed to whatever needs the time, so that tests move it instead of sleeping. */
export type Clock = () => number;

/** Whole seconds since the epoch: the NumericDate of RFC 7519 §2. */
export const toSeconds = (ms: number): number => Math.floor(ms / 1000);

/** ISO 8601 in UTC, without milliseconds: the form of every time in an answer. */
export const toIso = (ms: number): string => `${new Date(ms).toISOString().slice(0, -5)}Z`;
