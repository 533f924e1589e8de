import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Fastify, { type RouteOptions } from 'fastify';
import fp from 'fastify-plugin';
import t from 'tap';
import ts from 'typescript';
import { loadConfig } from '../src/config.js';
import { latchkey } from '../src/latchkey.js';
import { TEST_KEY, testApp } from './support/app.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

interface Import {
  /** As written. */
  specifier: string;
  /** The file it leads to, for one of ours. */
  file: string | undefined;
  typeOnly: boolean;
}

interface Source {
  path: string;
  text: string;
  tree: ts.SourceFile;
  imports: Import[];
}

const OURS = ['src', 'plugins', 'routes'];

const readSources = (dirs: string[]): Source[] =>
  dirs
    .filter((dir) => existsSync(join(root, dir)))
    .flatMap((dir) =>
      readdirSync(join(root, dir), { recursive: true, encoding: 'utf8' }).map((f) => join(dir, f)),
    )
    .filter((path) => /\.tsx?$/.test(path))
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      const tree = ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true);
      return { path, text, tree, imports: readImports(path, tree) };
    });

function readImports(path: string, tree: ts.SourceFile): Import[] {
  const imports: Import[] = [];
  const add = (specifier: ts.Node | undefined, typeOnly: boolean): void => {
    if (!specifier || !ts.isStringLiteral(specifier)) return;
    const { text } = specifier;
    const file = text.startsWith('.') ? sourceOf(join(dirname(path), text)) : undefined;
    imports.push({ specifier: text, file, typeOnly });
  };
  for (const node of nodesOf(tree)) {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isTypeImport(node.importClause));
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly);
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(node.argument.literal, true);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0], false);
    }
  }
  return imports;
}

/** Which source becomes this file. */
function sourceOf(compiled: string): string {
  const [plain, withMarkup] = ['.ts', '.tsx'].map((end) => compiled.replace(/\.js$/, end)) as [
    string,
    string,
  ];
  return existsSync(join(root, withMarkup)) ? withMarkup : plain;
}

function isTypeImport(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false;
  if (clause.isTypeOnly) return true;
  const { name, namedBindings } = clause;
  return (
    !name &&
    !!namedBindings &&
    ts.isNamedImports(namedBindings) &&
    namedBindings.elements.every((e) => e.isTypeOnly)
  );
}

function nodesOf(tree: ts.Node): ts.Node[] {
  const nodes: ts.Node[] = [];
  const visit = (node: ts.Node): void => {
    nodes.push(node);
    ts.forEachChild(node, visit);
  };
  visit(tree);
  return nodes;
}

const sources = readSources(OURS);
const everywhere = [...sources, ...readSources(['test', 'bench'])];
const byPath = new Map(sources.map((source) => [source.path, source]));
const paths = (found: Source[]): string[] => found.map(({ path }) => path);

const ENTRIES = ['src/server.ts', 'src/lambda.ts', 'src/cli.ts', 'src/index.ts', 'src/verify.ts'];
/** What runs elsewhere: the client's entries, and what scripts/build-assets.mjs bundles. */
const OF_BROWSERS = [
  'src/client/auth-client.ts',
  'src/client/axios.ts',
  'src/client/legacy/jwt-client.ts',
  'src/client/legacy/jwt-auth.ts',
  'src/pages/main.tsx',
  'src/pages/boot.ts',
];
const DOMAIN = ['tokens', 'accounts', 'otp', 'security', 'audit', 'delivery', 'compat'].map(
  (name) => `src/${name}`,
);
/** Where an application is put together. */
const ROOTS = ['src/app.ts', 'src/core.ts', 'src/front.ts', 'src/front-serializers.ts', 'src/host.ts'];
const CORE = ['src/contract', 'src/errors.ts', 'src/lib'];

/** What each part may import for its values; of what stands further in it may know the types besides. */
const MAY_IMPORT: Record<string, { values: string[]; types?: string[] }> = {
  'src/contract': { values: ['src/contract', 'src/lib'] },
  'src/lib': { values: ['src/lib', 'src/contract'] },
  'src/client': { values: ['src/client', 'src/contract'] },
  'src/pages': { values: ['src/pages', 'src/client', 'src/contract', 'src/lib'] },
  'src/errors.ts': { values: ['src/contract'] },
  'src/version.ts': { values: [] },
  // It judges the keys it is given, so that a bad one stops the start.
  'src/config.ts': {
    values: ['src/tokens', 'src/otp', 'src/delivery', ...CORE],
    types: ['src/lambda', ...DOMAIN],
  },
  'src/lambda': { values: ['src/lambda', ...CORE] },
  'src/commands': { values: ['src/commands', 'src/stores', ...DOMAIN, ...CORE], types: ['src/config.ts'] },
  ...Object.fromEntries(DOMAIN.map((folder) => [folder, { values: [folder, ...CORE], types: DOMAIN }])),
  // Runs in other services: nothing of the server's.
  'src/verify': { values: ['src/verify', 'src/tokens', 'src/stores', ...CORE] },
  'src/stores': { values: ['src/stores', ...DOMAIN, ...CORE] },
  plugins: {
    values: ['plugins', 'src/stores', 'src/verify', 'src/pages', ...DOMAIN, ...CORE],
    types: ['src/config.ts'],
  },
  // Of the domain only what shapes the old systems' answers: their contract.
  routes: { values: ['routes', 'plugins', 'src/pages', 'src/compat', ...CORE], types: DOMAIN },
  'src/latchkey.ts': {
    values: ['plugins', 'routes', 'src/compat', 'src/core.ts', 'src/version.ts', ...CORE],
    types: ['src/config.ts', ...DOMAIN],
  },
  'src/options.ts': { values: ['src/config.ts', ...CORE], types: DOMAIN },
  'src/plugin.ts': { values: ['src/latchkey.ts', 'src/options.ts', ...CORE], types: DOMAIN },
};

/** `src/tokens` for a file below it, `src/config.ts` for that file, `plugins` and `routes` for all of theirs. */
function partOf(path: string): string {
  const [top = '', second = ''] = path.split('/');
  return top === 'src' ? `${top}/${second}` : top;
}

t.test('imports point inward', async (t) => {
  for (const { path, imports } of sources) {
    const part = partOf(path);
    // The entries and the composition roots put everything together.
    if (ENTRIES.includes(path) || ROOTS.includes(path)) continue;
    const rule = MAY_IMPORT[part];
    if (!rule) {
      t.fail(`${path}: style has no place for ${part}`);
      continue;
    }
    const wrong = imports.filter(({ file, typeOnly }) => {
      if (file === undefined) return false;
      const allowed = typeOnly ? [...rule.values, ...(rule.types ?? [])] : rule.values;
      return !allowed.includes(partOf(file));
    });
    t.same(
      wrong.map(({ specifier }) => specifier),
      [],
      path,
    );
  }
});

t.test('libraries stay where they belong', async (t) => {
  const users = (library: RegExp) =>
    sources.filter(({ imports }) => imports.some(({ specifier }) => library.test(specifier)));
  const outside = (library: RegExp, place: RegExp) =>
    paths(users(library)).filter((path) => !place.test(path));

  const web = /^(plugins|routes)\/|^src\/(app|core|front|host|latchkey|plugin|server|cli|lambda|index)\.ts$/;
  t.same(outside(/^(fastify|fastify-plugin|@fastify\/.+)$/, web), [], 'Fastify');
  t.same(outside(/^(ioredis|kysely|pg|libsql|@libsql\/.+)(\/|$)/, /^src\/stores\//), [], 'databases');
  t.same(outside(/^argon2$/, /^src\/accounts\/argon2-scheme\.ts$/), [], 'password hashes');
  t.same(outside(/^node:/, /^(?!src\/(contract|client|pages)\/)/), [], 'what runs in a browser');
});

t.test('only src/config.ts reads the environment', async (t) => {
  const readsEnvironment = ({ tree, imports }: Source): boolean =>
    imports.some(({ specifier }) => /^(node:)?process$|^dotenv/.test(specifier)) ||
    nodesOf(tree).some(
      (node) =>
        ((ts.isPropertyAccessExpression(node) && node.name.text === 'env') ||
          (ts.isElementAccessExpression(node) && node.argumentExpression.getText() === "'env'") ||
          (ts.isVariableDeclaration(node) && ts.isObjectBindingPattern(node.name))) &&
        /^(globalThis\.)?process$/.test(
          (ts.isVariableDeclaration(node) ? node.initializer : node.expression)?.getText() ?? '',
        ),
    );
  t.same(paths(sources.filter(readsEnvironment)), ['src/config.ts']);
});

t.test('every file is used', async (t) => {
  const reached = new Set<string>();
  const follow = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { file } of byPath.get(path)?.imports ?? []) if (file) follow(file);
  };
  for (const entry of [...ENTRIES, ...OF_BROWSERS]) if (byPath.has(entry)) follow(entry);
  t.same(
    paths(sources).filter((path) => !reached.has(path)),
    [],
    'no orphans',
  );
  t.same(
    [...reached].filter((path) => !byPath.has(path)),
    [],
    'no import leads nowhere',
  );
});

t.test('what verifies in another service brings no server along', async (t) => {
  const reached = new Set<string>();
  const follow = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { file, typeOnly } of byPath.get(path)?.imports ?? []) if (file && !typeOnly) follow(file);
  };
  follow('src/verify.ts');
  t.same(
    [...reached].filter((path) =>
      /^routes|^src\/(app|latchkey|server|config|cli)\.ts|^src\/(accounts|stores\/sql)/.test(path),
    ),
    [],
  );
  const packages = [...reached].flatMap((path) =>
    (byPath.get(path) as Source).imports
      .filter(({ typeOnly }) => !typeOnly)
      .map(({ specifier }) => specifier),
  );
  t.same(
    [...new Set(packages)].filter((name) => !/^(\.|node:)/.test(name)).sort(),
    ['fastify-plugin', 'ioredis', 'uuid'],
    'and few packages',
  );
});

t.test('no exported value is dead', async (t) => {
  const used = new Set<string>();
  for (const { tree, imports } of everywhere) {
    for (const node of nodesOf(tree)) {
      for (const { specifier, name } of importedLater(node)) {
        const { file } = imports.find((each) => each.specifier === specifier) as Import;
        used.add(`${file}:${name}`);
      }
      const declaration = ts.isImportDeclaration(node) || ts.isExportDeclaration(node) ? node : undefined;
      const specifier = declaration?.moduleSpecifier;
      if (!declaration || !specifier || !ts.isStringLiteral(specifier)) continue;
      const { file } = imports.find((each) => each.specifier === specifier.text) as Import;
      const bindings = ts.isImportDeclaration(declaration)
        ? declaration.importClause?.namedBindings
        : declaration.exportClause;
      if (bindings && (ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) {
        for (const each of bindings.elements) used.add(`${file}:${(each.propertyName ?? each.name).text}`);
      } else if (bindings) {
        used.add(`${file}:*`);
      }
    }
  }
  const dead = sources.flatMap(({ path, tree }) => {
    // What the function's two entries are for stands in serverless.yml.
    if (used.has(`${path}:*`) || path === 'src/lambda.ts') return [];
    const names = nodesOf(tree).filter(ts.isIdentifier);
    const isUsedHere = (name: string) => names.filter(({ text }) => text === name).length > 1;
    return exportedValues(tree)
      .filter((name) => !used.has(`${path}:${name}`) && !isUsedHere(name))
      .map((name) => `${path}: ${name}`);
  });
  t.same(dead, []);
});

/** What `const { name } = await import('…')` takes. */
function importedLater(node: ts.Node): { specifier: string; name: string }[] {
  if (!ts.isVariableDeclaration(node) || !ts.isObjectBindingPattern(node.name)) return [];
  const call = node.initializer && ts.isAwaitExpression(node.initializer) && node.initializer.expression;
  if (!call || !ts.isCallExpression(call) || call.expression.kind !== ts.SyntaxKind.ImportKeyword) return [];
  const [specifier] = call.arguments;
  if (!specifier || !ts.isStringLiteral(specifier)) return [];
  return node.name.elements.map((each) => ({
    specifier: specifier.text,
    name: (each.propertyName ?? each.name).getText(),
  }));
}

/** Names of exported functions, classes and constants. */
function exportedValues(tree: ts.SourceFile): string[] {
  return tree.statements.flatMap((node) => {
    const modifiers = ts.canHaveModifiers(node) ? (ts.getModifiers(node) ?? []) : [];
    const kinds = modifiers.map(({ kind }) => kind);
    if (!kinds.includes(ts.SyntaxKind.ExportKeyword) || kinds.includes(ts.SyntaxKind.DefaultKeyword))
      return [];
    if (ts.isVariableStatement(node))
      return node.declarationList.declarations.map(({ name }) => name.getText());
    if (ts.isFunctionDeclaration(node) || ts.isClassDeclaration(node)) return [node.name?.text ?? ''];
    return [];
  });
}

t.test('the manner of writing', async (t) => {
  const having = (what: (source: Source) => boolean, among = sources) => paths(among.filter(what));
  const hasNode = (is: (node: ts.Node) => boolean) => (source: Source) => nodesOf(source.tree).some(is);

  const kebab = /^([a-z0-9]+(-[a-z0-9]+)*\/)*[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.tsx?$/;
  t.same(
    having(({ path }) => !kebab.test(path), everywhere),
    [],
    'file names are in kebab case',
  );
  t.same(
    having(({ path }) => /(^|\/)(utils?|helpers?|misc|common)\.ts$/.test(path), everywhere),
    [],
    'and say what is in them',
  );
  t.same(
    having(
      hasNode((node) => node.kind === ts.SyntaxKind.AnyKeyword),
      everywhere,
    ),
    [],
    'no any',
  );
  t.same(having(hasNode(ts.isEnumDeclaration), everywhere), [], 'no enum');
  // Put together here, so that this file does not hold them.
  const unfinished = new RegExp(
    `\\b(${['TO', 'FIX'].map((word) => `${word}${word === 'TO' ? 'DO' : 'ME'}`).join('|')}|X{3})\\b`,
  );
  t.same(
    having(({ text }) => unfinished.test(text), everywhere),
    [],
    'nothing unfinished',
  );
  const silenced = new RegExp(['ts-ignore', 'ts-nocheck'].map((name) => `@${name}`).join('|'));
  t.same(
    having(({ text }) => silenced.test(text), everywhere),
    [],
    'the compiler is not silenced',
  );

  const isBarrel = ({ tree }: Source): boolean =>
    tree.statements.some((node) => ts.isExportDeclaration(node) && !node.exportClause) ||
    (tree.statements.length > 0 &&
      tree.statements.every((node) => ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined));
  t.same(
    having((source) => !ENTRIES.includes(source.path) && isBarrel(source)),
    [],
    'no barrels',
  );

  const hasDefault = hasNode(
    (node) => ts.isExportAssignment(node) || node.kind === ts.SyntaxKind.DefaultKeyword,
  );
  t.same(
    having((source) => !source.path.startsWith('plugins/') && hasDefault(source)),
    [],
    'named exports',
  );
});

t.test('plugins have names, and list those whose decorators they use', async (t) => {
  interface Plugin {
    name: string | undefined;
    dependencies: string[];
  }
  const plugins = new Map<string, Plugin>();
  const makerOf = new Map<string, string>();
  for (const { path, tree } of sources.filter((source) => source.path.startsWith('plugins/'))) {
    const wrapped = tree.statements.find(ts.isExportAssignment)?.expression;
    if (!wrapped) continue;
    const options = ts.isCallExpression(wrapped) ? wrapped.arguments[1] : undefined;
    const field = (name: string) =>
      options && ts.isObjectLiteralExpression(options)
        ? options.properties.filter(ts.isPropertyAssignment).find((each) => each.name.getText() === name)
            ?.initializer
        : undefined;
    const [name, list] = [field('name'), field('dependencies')];
    plugins.set(path, {
      name: name && ts.isStringLiteral(name) ? name.text : undefined,
      dependencies:
        list && ts.isArrayLiteralExpression(list)
          ? list.elements.filter(ts.isStringLiteral).map((e) => e.text)
          : [],
    });
    for (const node of nodesOf(tree).filter(ts.isInterfaceDeclaration)) {
      if (node.name.text !== 'FastifyInstance') continue;
      for (const member of node.members) makerOf.set(member.name?.getText() ?? '', path);
    }
  }
  t.ok(plugins.size > 10 && makerOf.size > 5);

  const pathOf = new Map([...plugins].map(([path, { name }]) => [name, path]));
  const closure = (path: string): Set<string> =>
    new Set(
      (plugins.get(path)?.dependencies ?? []).flatMap((name) => {
        const below = pathOf.get(name);
        return below ? [below, ...closure(below)] : [];
      }),
    );
  for (const [path, { name, dependencies }] of plugins) {
    t.type(name, 'string', `${path} has a name`);
    t.same(
      dependencies.filter((each) => !pathOf.has(each)),
      [],
      `${path} depends on what there is`,
    );
    const reachable = closure(path).add(path);
    const missing = usedDecorators(byPath.get(path)!.tree)
      .map((decorator) => makerOf.get(decorator))
      .filter((maker) => maker !== undefined && !reachable.has(maker));
    t.same(missing, [], `${path} lists what it uses`);
  }
});

/** `app.x` and `const { x } = app`. */
function usedDecorators(tree: ts.SourceFile): string[] {
  return nodesOf(tree).flatMap((node) => {
    if (ts.isPropertyAccessExpression(node) && node.expression.getText() === 'app') return [node.name.text];
    if (!ts.isVariableDeclaration(node) || node.initializer?.getText() !== 'app') return [];
    return ts.isObjectBindingPattern(node.name)
      ? node.name.elements.map((each) => (each.propertyName ?? each.name).getText())
      : [];
  });
}

t.test('packages', async (t) => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
    peerDependencies: Record<string, string>;
  };
  // Fastify is the application's: a copy of our own would have other types.
  const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
  const all = [...dependencies, ...Object.keys(manifest.devDependencies)];

  const packagesOf = (among: Source[]): string[] => {
    const specifiers = among.flatMap(({ imports }) => imports.map(({ specifier }) => specifier));
    const bare = specifiers.filter((specifier) => !/^(\.|node:)/.test(specifier));
    return [
      ...new Set(bare.map((specifier) => specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/'))),
    ];
  };
  // The pages are bundled: who installs the package needs nothing of what they are made of.
  const imported = packagesOf(sources.filter(({ path }) => !path.startsWith('src/pages/')));
  t.same(
    imported.filter((name) => !dependencies.includes(name)),
    [],
    'what is imported is a dependency',
  );
  t.same(
    dependencies.filter((name) => !imported.includes(name)),
    [],
    'and the other way round',
  );
  t.same(
    packagesOf(everywhere).filter((name) => !all.includes(name)),
    [],
    'tests too import what is listed',
  );
  t.same(
    packagesOf(everywhere).filter((name) => builtinModules.includes(name)),
    [],
    'node: stands before its own',
  );
  t.same(
    Object.entries({ ...manifest.dependencies, ...manifest.devDependencies }).filter(
      ([, v]) => !/^\d+\.\d+\.\d+$/.test(v),
    ),
    [],
    'versions are exact',
  );

  const readme = existsSync(join(root, 'README.md')) && readFileSync(join(root, 'README.md'), 'utf8');
  if (!readme) return;
  const named = new Set(Array.from(readme.matchAll(/`([^`\n]+)`/g), ([, text]) => text));
  t.same(
    all.filter((name) => !named.has(name)),
    [],
    'the README names every package',
  );
  const settings = settingsRead();
  t.same(
    settings.filter((name) => !named.has(name)),
    [],
    'and every setting',
  );
  const chapter = /^## Settings$(.*?)^## /ms.exec(readme)?.[1] ?? '';
  const rows = chapter.split('\n').filter((line) => line.startsWith('| `'));
  t.ok(rows.length > 20, `${rows.length} rows of settings`);
  const promised = rows.flatMap((row) =>
    Array.from((row.split('|')[1] as string).matchAll(/`([A-Z_]+)`/g), ([, name]) => name),
  );
  t.same(
    promised.filter((name) => !settings.includes(name as string)),
    [],
    'and no setting that does nothing',
  );
});

/** Routes that speak like a system that Latchkey takes over from. */
const isCompat = (tags: readonly string[] | undefined): boolean => COMPAT_TAGS.has(tags?.[0] ?? '');

const COMPAT_TAGS = new Set(['simplejwt', 'neuralflow', 'phone-otp', 'pycoder']);

/** Which variables src/config.ts asks for. */
function settingsRead(): string[] {
  const asked = new Set<string>();
  const env = {
    JWT_SIGNING_KEY: TEST_KEY,
    LATCHKEY_DATA_DIR: root,
    NODE_ENV: 'production',
    LATCHKEY_ALLOW_EMBEDDED: '1',
  };
  loadConfig(
    new Proxy<Record<string, string>>(env, {
      get(target, name) {
        asked.add(String(name));
        return Reflect.get(target, name);
      },
    }),
  );
  return [...asked].sort();
}

t.test('every route has a schema', async (t) => {
  const { config } = await testApp(t);
  const routes: RouteOptions[] = [];
  const app = Fastify({ logger: false });
  app.addHook('onRoute', (route) => {
    routes.push(route);
  });
  await app.register(fp(latchkey), { config, now: Date.now });
  await app.ready();
  t.teardown(() => app.close());

  interface Schema {
    hide?: boolean;
    operationId?: string;
    summary?: string;
    tags?: string[];
    security?: object[];
    body?: { type: string; additionalProperties?: boolean };
    response?: Record<string, unknown>;
  }
  const ids = new Set<string>();
  for (const route of routes) {
    const schema = (route.schema ?? {}) as Schema;
    const methods = [route.method].flat();
    if (schema.hide || methods.includes('HEAD')) continue;
    const name = `${methods} ${route.url}`;
    t.ok(schema.operationId && schema.summary && schema.tags?.length === 1, `${name} is described`);
    t.notOk(ids.has(schema.operationId as string), `${name} has an id of its own`);
    ids.add(schema.operationId as string);
    const statuses = Object.keys(schema.response ?? {});
    t.equal(statuses.filter((status) => /^2\d\d$/.test(status)).length, 1, `${name} says what it answers`);
    if (route.url.startsWith('/api/')) t.ok(statuses.includes('503'), `${name} says how it fails`);
    if (methods.some((method) => method === 'POST' || method === 'PATCH')) {
      // Old systems passed over what they did not know.
      const additionalProperties = isCompat(schema.tags) ? undefined : false;
      t.match(schema.body, { type: 'object', additionalProperties }, `${name} takes a closed body`);
    }
  }
  t.ok(ids.size > 15, `${ids.size} routes`);
});

/** How each of the old systems asks for a token. */
const ASKS_FOR_TOKEN = /credentials were not provided|خطا در احراز هویت/;

t.test('a route is guarded when its schema says so', async (t) => {
  const { app, send } = await testApp(t);
  interface Operation {
    tags?: string[];
    security?: object[];
    requestBody?: { content: Record<string, { schema: { properties?: Record<string, object> } }> };
  }
  const { paths: documented } = app.swagger() as { paths: Record<string, Record<string, Operation>> };
  const methods = { get: 'GET', post: 'POST', patch: 'PATCH', delete: 'DELETE', put: 'PUT' } as const;
  const guarded: string[] = [];
  for (const [path, operations] of Object.entries(documented)) {
    const url = path.replace(/\{\w+\}/g, 'x');
    for (const [verb, { security, requestBody, tags }] of Object.entries(operations)) {
      const method = methods[verb as keyof typeof methods];
      const name = `${method} ${path}`;
      const isOpen = Array.isArray(security) && security.length === 0;
      const { properties } = requestBody?.content['application/json']?.schema ?? {};
      // Whatever an open route needs to be told, so that it is not a token in the body that is missing.
      const payload =
        isOpen && properties && Object.fromEntries(Object.keys(properties).map((key) => [key, 'x']));
      const response = await send({ method, url, ...(payload && { payload }) });
      if (security?.some((one) => 'client' in one)) {
        t.equal(response.statusCode, 401, `${name} asks for a client`);
        t.match(response.json(), { code: 'invalid_credentials', error: 'invalid_client' });
        t.match(response.headers['www-authenticate'], /^Basic realm="latchkey"/);
        continue;
      }
      if (isCompat(tags)) {
        const asksForToken = response.statusCode === 401 && ASKS_FOR_TOKEN.test(response.body);
        t.equal(
          asksForToken,
          !isOpen,
          `${name} ${isOpen ? 'is open' : 'asks for a token'}: ${response.body}`,
        );
        if (!isOpen)
          t.equal(response.headers['www-authenticate'], 'Bearer realm="api"', `${name} says which`);
        continue;
      }
      const isMissing = response.statusCode === 401 && response.json().code === 'token_missing';
      t.equal(
        isMissing,
        !isOpen,
        `${name} ${isOpen ? 'is open' : 'asks for a token'}: ${response.statusCode}`,
      );
      if (isOpen) continue;
      guarded.push(name);
      t.match(response.headers['www-authenticate'], /^Bearer realm="latchkey"$/, `${name} says which`);
      t.equal(response.headers['x-auth-status'], 'anonymous');
    }
  }
  t.ok(guarded.length >= 9, guarded.join(', '));
});
