/** Milliseconds since the epoch. Passed to whatever needs the time, so that tests move it instead of sleeping. */
export type Clock = () => number;

/** Whole seconds since the epoch: the NumericDate of RFC 7519 §2. */
export const toSeconds = (ms: number): number => Math.floor(ms / 1000);

const MAX_WRITTEN = 1024;
const written = new Map<number, string>();

/**
 * ISO 8601 in UTC, without milliseconds: the form of every time in an answer. Answers to one caller name the same
 * moments again and again, and writing one costs more than all the rest of such an answer's body.
 */
export function toIso(ms: number): string {
  let text = written.get(ms);
  if (text === undefined) {
    text = `${new Date(ms).toISOString().slice(0, -5)}Z`;
    if (written.size >= MAX_WRITTEN) written.clear();
    written.set(ms, text);
  }
  return text;
}
