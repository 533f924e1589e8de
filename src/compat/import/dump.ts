import { DumpError, type RawObject, readObjects } from './json-objects.js';

export type Fields = Record<string, unknown>;

/** A row of a table, as `dumpdata` writes it. */
export interface Row {
  /** `app.model`, in lower case. */
  model: string;
  pk: unknown;
  fields: Fields;
}

export type Reading = { row: Row } | { broken: { model: string; offset: number } };

/** A file that can be read more than once. */
export interface Dump {
  /** Its pieces, and how far each reaches (bytes). */
  open(): AsyncIterable<Buffer>;
}

/** dumpdata writes it first; rows of other models then need not be parsed at all. */
const MODEL = /^\{\s*"model"\s*:\s*"([\w.]{1,200})"/;

/** Reads the rows of the models that are asked for, and names the others. */
export async function* readRows(dump: Dump, isWanted: (model: string) => boolean): AsyncGenerator<Reading[]> {
  for await (const objects of readObjects(dump.open())) {
    const readings: Reading[] = [];
    for (const object of objects) {
      const [, name] = MODEL.exec(object.json.toString('latin1', 0, 256)) ?? [];
      const model = name?.toLowerCase();
      if (model === undefined || isWanted(model)) readings.push(parse(object, model));
    }
    if (readings.length > 0) yield readings;
  }
}

function parse({ json, offset }: RawObject, model = '?'): Reading {
  try {
    const value = JSON.parse(json.toString('utf8')) as { model?: unknown; pk?: unknown; fields?: unknown };
    const { fields, pk } = value;
    if (typeof value.model === 'string' && isRecord(fields)) {
      return { row: { model: value.model.toLowerCase(), pk, fields } };
    }
  } catch (error) {
    if (error instanceof DumpError) throw error;
  }
  return { broken: { model, offset } };
}

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Those who register after an import get numbers above the highest, which still have to be exact. */
const MAX_ID = 2 ** 52;

/** A primary key of integers, also written as text; `undefined` for any other. */
export function readId(value: unknown): number | undefined {
  const id = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return typeof id === 'number' && Number.isSafeInteger(id) && id > 0 && id <= MAX_ID ? id : undefined;
}

const ISO = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$/;

/** A time as milliseconds. Without a zone (`USE_TZ = False`) it is taken as UTC. */
export function readTime(value: unknown): number | undefined {
  const [text, , , zone] = (typeof value === 'string' && ISO.exec(value)) || [];
  if (text === undefined) return undefined;
  const time = Date.parse(zone ? text : `${text}Z`);
  return Number.isNaN(time) ? undefined : time;
}
