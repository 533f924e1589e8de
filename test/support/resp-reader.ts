const CRLF = '\r\n';
const EMPTY = Buffer.alloc(0);

/** Cuts a stream of the Redis protocol (RESP2 and RESP3) into complete top-level values. */
export class RespReader {
  #pending: Buffer = EMPTY;

  read(chunk: Buffer): Buffer[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const values: Buffer[] = [];
    let start = 0;
    for (let end = valueEnd(this.#pending, 0); end !== -1; end = valueEnd(this.#pending, start)) {
      values.push(this.#pending.subarray(start, end));
      start = end;
    }
    this.#pending = this.#pending.subarray(start);
    return values;
  }
}

/** Where the value that begins at `start` ends; -1 while it is incomplete. */
function valueEnd(buffer: Buffer, start: number): number {
  const line = buffer.indexOf(CRLF, start);
  if (line === -1) return -1;
  const after = line + CRLF.length;
  const size = Number(buffer.toString('latin1', start + 1, line));
  switch (String.fromCharCode(buffer[start]!)) {
    case '$':
    case '=':
    case '!': {
      const end = size < 0 ? after : after + size + CRLF.length;
      return end <= buffer.length ? end : -1;
    }
    case '*':
    case '~':
    case '>':
      return afterValues(buffer, after, size);
    case '%':
      return afterValues(buffer, after, 2 * size);
    // An attribute precedes the value it describes.
    case '|':
      return afterValues(buffer, after, 2 * size + 1);
    default:
      return after;
  }
}

function afterValues(buffer: Buffer, start: number, count: number): number {
  let end = start;
  for (let seen = 0; seen < count && end !== -1; seen += 1) end = valueEnd(buffer, end);
  return end;
}

/** Lower-case name of a command, with its subcommand for SCRIPT: `script load`. */
export function commandName(command: Buffer): string {
  // "*3", "$6", "SCRIPT", "$4", "LOAD", …
  const [, , name = '', , second = ''] = command.toString('latin1').split(CRLF, 5);
  const lower = name.toLowerCase();
  return lower === 'script' ? `${lower} ${second.toLowerCase()}` : lower;
}
