import { UsageError } from './keys.js';

/** Where passwords come from: `process.stdin`, or in tests something like it. */
export interface PasswordSource extends AsyncIterable<Buffer | string> {
  isTTY?: boolean | undefined;
  setRawMode?(raw: boolean): unknown;
}

/** Far beyond the longest password; more than that is no password but a wrong file (characters). */
const MAX_LENGTH = 4096;

/**
 * Reads the password that comes through a pipe with `--password-stdin`, or asks for it at a terminal, twice and without
 * showing it. It never comes as an argument: those stand in the list of processes and in the shell's history.
 */
export async function readPassword(
  source: PasswordSource,
  { fromStdin, ask }: { fromStdin: boolean; ask(text: string): void },
): Promise<string> {
  if (fromStdin) return readPiped(source);
  if (!source.isTTY || !source.setRawMode)
    throw new UsageError('There is no terminal to ask for the password at: use --password-stdin.');
  source.setRawMode(true);
  const typed = typedLines(source);
  try {
    ask('Password: ');
    const password = await nextLine(typed);
    ask('\nAgain: ');
    const again = await nextLine(typed);
    if (password !== again) throw new UsageError('The two passwords are not the same.');
    return password;
  } finally {
    ask('\n');
    source.setRawMode(false);
    // Lets go of the terminal: the process would wait for its next key for ever.
    await typed.return(undefined);
  }
}

/** All of it but the line break at its end, which `echo` adds. */
async function readPiped(source: PasswordSource): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of source) {
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > MAX_LENGTH) throw new UsageError('What came on stdin is too long for a password.');
  }
  const password = Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  if (/[\r\n]/.test(password)) throw new UsageError('What came on stdin is more than one line.');
  return password;
}

const [INTERRUPT, END, BACKSPACE, DELETE] = ['\u0003', '\u0004', '\b', '\u007f'];

/** In raw mode the terminal edits nothing and shows nothing: each key comes as it is pressed. */
async function* typedLines(source: PasswordSource): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let line: string[] = [];
  for await (const chunk of source) {
    for (const key of decoder.decode(Buffer.from(chunk), { stream: true })) {
      if (key === '\r' || key === '\n') {
        yield line.join('');
        line = [];
      } else if (key === INTERRUPT || key === END) {
        return;
      } else if (key === BACKSPACE || key === DELETE) {
        line.pop();
      } else if (line.length < MAX_LENGTH) {
        line.push(key);
      }
    }
  }
}

async function nextLine(lines: AsyncGenerator<string>): Promise<string> {
  const { done, value } = await lines.next();
  if (done) throw new UsageError('No password was given.');
  return value;
}
