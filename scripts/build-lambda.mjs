// npm run build:lambda [-- --arch x64 | --local] [--out DIR]
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ARCHITECTURES, bundleLambda } from './bundle-lambda.mjs';

const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: 'arm64' },
    // For this machine.
    local: { type: 'boolean', default: false },
    out: { type: 'string', default: 'build/lambda' },
  },
});
if (!ARCHITECTURES.includes(values.arch)) {
  process.stderr.write(`--arch must be ${ARCHITECTURES.join(' or ')}\n`);
  process.exit(2);
}

const outdir = resolve(fileURLToPath(new URL('..', import.meta.url)), values.out);
await bundleLambda({ outdir, arch: values.arch, local: values.local });
const bytes = readdirSync(outdir).reduce((sum, name) => sum + statSync(join(outdir, name)).size, 0);
process.stdout.write(`${outdir}: ${(bytes / 2 ** 20).toFixed(1)} MiB\n`);
