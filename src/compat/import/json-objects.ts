/** An object of the file as its bytes stand there. */
export interface RawObject {
  json: Buffer;
  /** Where it begins (bytes). */
  offset: number;
}

/** The file is not what it should be; nothing can be read beyond that. */
export class DumpError extends Error {
  override name = 'DumpError';
}

/** No row of a table is larger; a quotation mark that is missing somewhere would make one. */
const MAX_OBJECT_BYTES = 67_108_864;

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];
const WHITESPACE = new Set([0x20, 0x09, 0x0a, 0x0d]);
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * Takes apart an array of objects, or objects one after another (`dumpdata --format jsonl`), without holding more than
 * one of them and one chunk. What is between the braces is not judged here.
 *
 * @throws DumpError
 */
export async function* readObjects(chunks: AsyncIterable<Buffer>): AsyncGenerator<RawObject[]> {
  const splitter = createSplitter();
  for await (const chunk of chunks) {
    const found = splitter.feed(chunk);
    if (found.length > 0) yield found;
  }
  splitter.end();
}

function createSplitter() {
  let position = 0;
  let depth = 0;
  let inString = false;
  let isEscaped = false;
  let isArray = false;
  let isClosed = false;
  let start = 0;
  let kept: Buffer[] = [];
  let keptBytes = 0;

  function between(byte: number, at: number): void {
    if (byte === OPEN_BRACE && !isClosed) {
      depth = 1;
      start = at;
    } else if (byte === OPEN_BRACKET && !isArray) {
      isArray = true;
    } else if (byte === CLOSE_BRACKET && isArray && !isClosed) {
      isClosed = true;
    } else if (!(WHITESPACE.has(byte) || (byte === COMMA && isArray))) {
      throw new DumpError(`The file is not what dumpdata writes: see byte ${at}.`);
    }
  }

  /** Whether the object ends with this byte. */
  function within(byte: number): boolean {
    if (inString) {
      if (isEscaped) isEscaped = false;
      else if (byte === BACKSLASH) isEscaped = true;
      else if (byte === QUOTE) inString = false;
      return false;
    }
    if (byte === QUOTE) inString = true;
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) depth += 1;
    else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1;
    return depth === 0;
  }

  function keep(part: Buffer): void {
    kept.push(part);
    keptBytes += part.length;
    if (keptBytes > MAX_OBJECT_BYTES) throw new DumpError(`An object is too large: see byte ${start}.`);
  }

  return {
    feed(given: Buffer): RawObject[] {
      const isMarked = position === 0 && given.subarray(0, 3).equals(BYTE_ORDER_MARK);
      const found: RawObject[] = [];
      let from = 0;
      for (let i = isMarked ? 3 : 0; i < given.length; i += 1) {
        const byte = given[i]!;
        if (depth === 0) {
          between(byte, position + i);
          from = i;
        } else if (within(byte)) {
          keep(given.subarray(from, i + 1));
          found.push({ json: kept.length === 1 ? kept[0]! : Buffer.concat(kept), offset: start });
          kept = [];
          keptBytes = 0;
        }
      }
      // The reader may fill its buffer anew.
      if (depth > 0) keep(Buffer.from(given.subarray(from)));
      position += given.length;
      return found;
    },
    end() {
      if (position === 0) throw new DumpError('The file is empty.');
      if (depth > 0) throw new DumpError(`The file ends within the object at byte ${start}.`);
      if (isArray && !isClosed) throw new DumpError('The file ends before its array does: it is cut off.');
    },
  };
}
