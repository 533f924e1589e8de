import { spawnSync } from 'node:child_process';

/** Debian's Python, with python3-djangorestframework-simplejwt, python3-bcrypt and python3-argon2. */
export const DJANGO_PYTHON = process.env.TEST_DJANGO_PYTHON ?? '/usr/bin/python3';

/** Runs a program with Django set up for passwords; gives what it prints. */
export function runPython(program: string, { env = {}, cwd }: { env?: object; cwd?: string } = {}): string {
  const { PATH, HOME } = process.env;
  const result = spawnSync(DJANGO_PYTHON, ['-c', program], {
    env: { PATH, HOME, ...env },
    ...(cwd && { cwd }),
    encoding: 'utf8',
    timeout: 60_000,
  });
  if (result.status !== 0) throw new Error(`Python: ${result.error ?? result.stderr}`);
  return result.stdout;
}
