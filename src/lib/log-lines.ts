import { hostname } from 'node:os';
import { describeError } from './describe-error.js';

export const LOG_FORMATS = ['json', 'gelf'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** What an answer calls `request_id`, as a log line names it. */
export const REQUEST_ID_LABEL = { json: 'request_id', gelf: '_request_id' } as const satisfies Record<
  LogFormat,
  string
>;

/** How a log line looks: pino's JSON with a readable time and level, or GELF for Graylog. */
export const LOG_LINES = {
  json: {
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  },
  // GELF 1.1: one object a line, times in seconds, levels as syslog counts them, every other name after a `_`.
  gelf: {
    base: null,
    timestamp: () => `,"version":"1.1","host":${HOST},"timestamp":${Date.now() / 1000}`,
    messageKey: 'short_message',
    formatters: {
      level: (label: string) => ({ level: SYSLOG_LEVELS[label] ?? SYSLOG_LEVELS.info }),
      log: prefixNames,
    },
    hooks: {
      // Graylog refuses a line without a message.
      logMethod(this: unknown, args: unknown[], log: (...args: never[]) => void) {
        const hasMessage = args.some((each) => typeof each === 'string' && each !== '');
        log.apply(this, (hasMessage ? args : [args[0], 'event']) as never[]);
      },
    },
  },
} as const satisfies Record<LogFormat, object>;

const HOST = JSON.stringify(hostname());

/** RFC 5424 §6.2.1. */
const SYSLOG_LEVELS: Record<string, number> = { fatal: 2, error: 3, warn: 4, info: 6, debug: 7, trace: 7 };

/** Values are texts and numbers; what is inside another value becomes a name of its own, as `err.message` does. */
function prefixNames(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(flatten('_', fields));
}

function flatten(prefix: string, fields: object): [name: string, value: string | number][] {
  return Object.entries(fields).flatMap(([name, value]): [string, string | number][] => {
    const full = prefix + name.replace(/[^\w.-]/g, '_');
    if (value === undefined || value === null) return [];
    if (typeof value === 'number' || typeof value === 'string') return [[full, value]];
    if (value instanceof Error) return flatten(`${full}.`, describeError(value));
    if (isPlain(value)) return flatten(`${full}.`, value);
    return [[full, Array.isArray(value) ? JSON.stringify(value) : String(value)]];
  });
}

/** Whatever else a library hangs on a line may be a whole connection, and go round in circles. */
const isPlain = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
