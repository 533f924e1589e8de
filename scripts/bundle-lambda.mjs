// The service as one ECMAScript module for AWS Lambda, with what it loads later beside it.
import { readFileSync, rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import fastJsonStringify from 'fast-json-stringify';

export const ARCHITECTURES = ['arm64', 'x64'];

/** What is never reached on Lambda: src/config.ts refuses the embedded stores there, src/latchkey.ts serves no docs. */
const LEFT_OUT =
  /\/(plugins\/docs|routes\/system\/docs|src\/stores\/sql\/sqlite|src\/stores\/sqlite\/state-store)\.ts$/;

/** Packages with a native module: the file that loads it, the call that looks for it, and what Lambda runs. */
const NATIVE = {
  'argon2/argon2.cjs': {
    call: 'gypBuild(__dirname)',
    prebuilds: { arm64: 'argon2.armv8.glibc.node', x64: 'argon2.glibc.node' },
  },
  'bcrypt/bcrypt.js': {
    call: "require('node-gyp-build')(path.resolve(__dirname))",
    prebuilds: { arm64: 'bcrypt.glibc.node', x64: 'bcrypt.glibc.node' },
  },
};

/** What a Fastify application that is given compilers never asks for. */
const COMPILERS = /\/node_modules\/@fastify\/(ajv-compiler|fast-json-stringify-compiler)\/index\.js$/;

const leaveOut = {
  name: 'leave-out',
  setup({ onLoad }) {
    onLoad({ filter: LEFT_OUT }, ({ path }) => {
      const names = readFileSync(path, 'utf8').matchAll(/^export (?:const|(?:async )?function) (\w+)/gm);
      const stubs = [...names].map(([, name]) => `export const ${name} = undefined;`);
      return { contents: [...stubs, 'export default undefined;'].join('\n'), loader: 'js' };
    });
    onLoad({ filter: COMPILERS }, () => ({ contents: 'module.exports = undefined;', loader: 'js' }));
  },
};

/** Instead of looking through folders at each start, the packages load the one file that is there. */
const nativeModules = (platform, arch) => ({
  name: 'native-modules',
  setup({ onLoad }) {
    onLoad({ filter: /\/node_modules\/(argon2\/argon2\.cjs|bcrypt\/bcrypt\.js)$/ }, ({ path }) => {
      const { call, prebuilds } = NATIVE[`${basename(dirname(path))}/${basename(path)}`];
      const text = readFileSync(path, 'utf8');
      if (!text.includes(call)) throw new Error(`${path} no longer loads its native module by ${call}`);
      const file = `./prebuilds/${platform}-${arch}/${prebuilds[arch]}`;
      return { contents: text.replace(call, `require('${file}')`), loader: 'js' };
    });
  },
});

/** The serializers of the front as code, by their schemas: see src/front-serializers.ts. */
const compiledSerializers = {
  name: 'compiled-serializers',
  setup({ onLoad, initialOptions }) {
    onLoad({ filter: /\/src\/front-serializers\.ts$/ }, async ({ path }) => {
      const { FRONT_ANSWERS, readSerializedSchemas } = await importSource(initialOptions.absWorkingDir);
      const options = { schema: readSerializedSchemas(), mode: 'standalone' };
      const compiled = FRONT_ANSWERS.map((schema) => {
        const code = fastJsonStringify(schema, options);
        return `[${JSON.stringify(JSON.stringify(schema))}, ((module) => {${code}\nreturn module.exports;})({})]`;
      });
      return {
        contents: `export const frontSerializers = new Map([${compiled.join(',')}]);`,
        resolveDir: dirname(path),
        loader: 'js',
      };
    });
  },
};

/** The two modules of the contract that say what is serialized, as they are now. */
async function importSource(root) {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        export * from './src/contract/front-answers.ts';
        export { readSerializedSchemas } from './src/contract/shared-schemas.ts';
      `,
      resolveDir: root,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    write: false,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString('base64')}`);
}

/**
 * Bundles for Linux on `arch`, or for this machine. What is in the folder afterwards is all that is deployed.
 * @returns esbuild's options, for whoever wants to bundle something else alike
 */
export async function bundleLambda({ outdir, arch = 'arm64', local = false }) {
  rmSync(outdir, { recursive: true, force: true });
  const options = makeOptions({
    outdir,
    platform: local ? process.platform : 'linux',
    arch: local ? process.arch : arch,
  });
  await build(options);
  return options;
}

const makeOptions = ({ outdir, platform, arch }) => ({
  absWorkingDir: fileURLToPath(new URL('..', import.meta.url)),
  entryPoints: { index: 'src/lambda.ts' },
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  // Of a package of CommonJS that is loaded later only the default export would be there.
  mainFields: ['module', 'main'],
  format: 'esm',
  // What few requests need is read when one does: messages by AWS, the list of common passwords.
  splitting: true,
  target: 'node22',
  // Plugins are known by name, and stack traces are for people.
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  // A package of CommonJS inside asks for Node.js's own modules by `require`.
  banner: {
    js: "import { createRequire as $createRequire } from 'node:module'; const require = $createRequire(import.meta.url);",
  },
  // For pg's sake, which works without it.
  external: ['pg-native'],
  loader: { '.node': 'copy' },
  assetNames: '[name]',
  plugins: [leaveOut, compiledSerializers, nativeModules(platform, arch)],
  logLevel: 'warning',
});
