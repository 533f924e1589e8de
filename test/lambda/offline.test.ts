import { execFile } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { openDatabase } from '../../src/stores/sql/database.js';
import { TEST_KEY } from '../support/app.js';
import { launch } from '../support/daemon.js';
import { freePort } from '../support/free-port.js';
import { api } from '../support/http.js';
import { freshDatabase } from '../support/postgres-server.js';
import { makeTempDir } from '../support/process-records.js';
import { freshPrefix, sharedRedisUrl } from '../support/redis-namespace.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const OSLS = join(root, 'node_modules/serverless/bin/serverless.js');
const { PATH, HOME } = process.env;

async function run(script: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args], {
    cwd: root,
    env: { PATH, HOME, ...env },
    maxBuffer: 64e6,
  });
  return stdout;
}

interface Resource {
  Type: string;
  Properties: Record<string, unknown>;
}

t.test('what is deployed', async (t) => {
  await run(join(root, 'scripts/build-lambda.mjs'), []);
  const dir = makeTempDir('package');
  await run(OSLS, ['package', '--package', dir, '--stage', 'prod']);

  const mib = statSync(join(dir, 'latchkey.zip')).size / 2 ** 20;
  t.ok(mib < 3, `${mib.toFixed(2)} MiB, zipped`);
  // The names of files stand in a zip as they are.
  const names =
    readFileSync(join(dir, 'latchkey.zip'), 'latin1').match(/build\/lambda\/[\w.-]+?\.(mjs|node)/g) ?? [];
  t.strictSame(
    [...new Set(names)].filter((name) => !/-[A-Z0-9]{8}\.mjs/.test(name)).map((name) => name.slice(13)),
    ['argon2.armv8.glibc.node', 'bcrypt.glibc.node', 'index.mjs'],
  );

  const template = readFileSync(join(dir, 'cloudformation-template-update-stack.json'), 'utf8');
  const { Resources: all, Parameters: parameters } = JSON.parse(template) as {
    Resources: Record<string, Resource>;
    Parameters: object;
  };
  const typed = (type: string) =>
    Object.entries(all)
      .filter(([, { Type }]) => Type === type)
      .map(([name]) => name);
  t.strictSame(typed('AWS::Lambda::Function'), ['ApiLambdaFunction', 'CleanLambdaFunction']);
  for (const name of typed('AWS::Lambda::Function')) {
    t.match(all[name]?.Properties, {
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      VpcConfig: { SubnetIds: { 'Fn::Split': [',', { Ref: 'SubnetIds' }] } },
      Environment: {
        Variables: {
          NODE_ENV: 'production',
          DATABASE_URL: 'ssm:/latchkey/prod/database-url',
          REDIS_URL: 'ssm:/latchkey/prod/redis-url',
          JWT_SIGNING_KEY: 'ssm:/latchkey/prod/jwt-signing-key',
        },
      },
    });
  }
  t.match(all.ApiLambdaFunction?.Properties, {
    Handler: 'build/lambda/index.handler',
    FunctionName: 'latchkey-prod-api',
  });
  t.match(all.CleanLambdaFunction?.Properties, {
    Handler: 'build/lambda/index.clean',
    ReservedConcurrentExecutions: 1,
  });
  t.match(all.HttpApiIntegrationApi?.Properties, { PayloadFormatVersion: '2.0' });
  t.match(all.HttpApiRouteDefault?.Properties, { RouteKey: '$default' });
  t.match(all.CleanEventsRuleSchedule1?.Properties, {
    ScheduleExpression: 'rate(5 minutes)',
    State: 'ENABLED',
  });
  t.equal(typed('AWS::CloudWatch::Alarm').length, 5);
  t.strictSame(Object.keys(parameters).sort(), ['PublicUrl', 'SecurityGroupIds', 'SubnetIds']);

  const policies = JSON.stringify(all.IamRoleLambdaExecution?.Properties);
  t.match(policies, /"Action":\["?ssm:GetParameters|"Action":"ssm:GetParameters"/);
  t.match(policies, /parameter\/latchkey\/prod\/\*/);
  t.match(policies, /AWSLambdaVPCAccessExecutionRole/);
  t.notMatch(policies, /"Action":"?\[?"\*|:\*"\]?,"Resource":"\*"/, 'and not everything');
});

t.test('what goes into a container is there', async (t) => {
  const text = readFileSync(join(root, 'Dockerfile'), 'utf8');
  const copied = [...text.matchAll(/^COPY (?!--)(.+) \S+$/gm)].flatMap(([, names = '']) => names.split(' '));
  t.ok(copied.length > 5);
  const letIn = readFileSync(join(root, '.dockerignore'), 'utf8').match(/(?<=^!).+/gm);
  t.strictSame(copied.sort(), [...(letIn ?? [])].sort(), 'and nothing else is sent to the builder');
  for (const name of copied) t.ok(existsSync(join(root, name)), name);
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [, entry = ''] = /^CMD \["node", "(.+?)",/m.exec(text) ?? [];
  t.match(scripts.start, entry, 'and what is started is what npm start starts');
  t.match(readFileSync(join(root, 'compose.yaml'), 'utf8'), /JWT_SIGNING_KEY: \$\{JWT_SIGNING_KEY:\?/);
});

t.test('npm run offline answers as the server does', async (t) => {
  await run(join(root, 'scripts/build-lambda.mjs'), ['--local']);
  const stores = {
    REDIS_URL: sharedRedisUrl(),
    REDIS_PREFIX: freshPrefix(t),
    DATABASE_URL: await freshDatabase(t),
  };
  const database = openDatabase({ url: stores.DATABASE_URL, dataDir: '' });
  await database.migrate();
  await database.close();

  const ports = [await freePort(), await freePort(), await freePort()].map(String);
  const [httpPort = '', lambdaPort = '', albPort = ''] = ports;
  const clock = join(makeTempDir('clock'), 'offset');
  writeFileSync(clock, '0');
  const base = `http://127.0.0.1:${httpPort}`;
  const preload = new URL('../support/offline-preload.js', import.meta.url).href;
  const off = ['LOGIN', 'REFRESH', 'USER', 'ANON'].map((name) => [`RATE_LIMIT_${name}`, 'off']);
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const [, ...args] = scripts.offline.split(' && ').at(-1).split(' ');
  const places = [
    '--host',
    '127.0.0.1',
    '--httpPort',
    httpPort,
    '--lambdaPort',
    lambdaPort,
    '--albPort',
    albPort,
  ];
  const offline = await launch(process.execPath, [OSLS, ...args, ...places], {
    cwd: root,
    env: {
      PATH,
      HOME,
      ...stores,
      ...Object.fromEntries(off),
      JWT_SIGNING_KEY: TEST_KEY,
      LOG_LEVEL: 'warn',
      NODE_OPTIONS: `--import=${preload}`,
      TEST_CLOCK_FILE: clock,
    },
    ready: () =>
      api(base)
        .get('/healthz')
        .then(
          ({ status }) => status === 200,
          () => false,
        ),
    seconds: 60,
  });
  t.teardown(() => offline.stop('SIGTERM'));

  const file = fileURLToPath(new URL('../http/auth-flow.test.js', import.meta.url));
  const told = await run(file, [], {
    TAP_GREP: '/^servers$/',
    TAP_TIMEOUT: '120',
    TEST_BASE_URL: base,
    TEST_CLOCK_FILE: clock,
    TEST_STORES: JSON.stringify(stores),
    TEST_REDIS_URL: sharedRedisUrl(),
    TEST_DATABASE_URL: process.env.TEST_DATABASE_URL as string,
    TEST_RUN_DIR: process.env.TEST_RUN_DIR as string,
  }).catch((error: { stdout: string }) => error.stdout);
  t.notMatch(told, /^\s*not ok/m, `every test passes ${offline.output()}`);
  t.match(told, /^ok .*servers/m, 'and did run');
});
