/** What a check came to. Nothing secret or personal stands in one: it is copied into chats and tickets. */
export interface Finding {
  name: string;
  status: 'ok' | 'warn' | 'fail';
  detail: string;
  /** What to do about it. */
  advice?: string;
}

export const ok = (name: string, detail: string): Finding => ({ name, status: 'ok', detail });

/** It works, but not as well, or not as safely, as it could. */
export const warn = (name: string, detail: string, advice: string): Finding => ({
  name,
  status: 'warn',
  detail,
  advice,
});

/** It must be put right. */
export const fail = (name: string, detail: string, advice: string): Finding => ({
  name,
  status: 'fail',
  detail,
  advice,
});

/** `1 key`, `2 keys`; groups of thousands. */
export const count = (number: number, one: string, many = `${one}s`): string =>
  `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
