// What a hand-made Fastify application reaches that does no more than it must: verify HS256 with fast-jwt, ask
// Redis once, auto-pipelined; its refresh verifies, runs one script and signs two tokens. The bench's yardstick.
import { randomUUID } from 'node:crypto';
import { createSigner, createVerifier } from 'fast-jwt';
import Fastify from 'fastify';
import { Redis } from 'ioredis';

const { PORT, REDIS_URL, JWT_SIGNING_KEY: key } = process.env;
const redis = new Redis(REDIS_URL, { enableAutoPipelining: true, keyPrefix: 'ceiling:' });
const sign = createSigner({ key, algorithm: 'HS256' });
const verify = createVerifier({ key, algorithms: ['HS256'] });

redis.defineCommand('rotate', {
  numberOfKeys: 1,
  lua: `if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'EX', 604800) return 1`,
});

const app = Fastify();
const object = (properties) => ({
  type: 'object',
  properties: Object.fromEntries(properties.map((name) => [name, { type: 'string' }])),
});

app.get('/hello', { schema: { response: { 200: object(['hello']) } } }, async () => ({ hello: 'world' }));

app.get('/me', { schema: { response: { 200: object(['sub', 'email']) } } }, async (request) => {
  const claims = verify(request.headers.authorization.slice(7));
  if (await redis.exists(`blacklist:${claims.jti}`)) throw new Error('revoked');
  return { sub: claims.sub, email: claims.email };
});

app.post('/verify', { schema: { response: { 200: object(['sub']) } } }, async (request) => {
  const claims = verify(request.body.token);
  if (await redis.exists(`blacklist:${claims.jti}`)) throw new Error('revoked');
  return { sub: claims.sub };
});

app.post('/refresh', { schema: { response: { 200: object(['access', 'refresh']) } } }, async (request) => {
  const claims = verify(request.body.refresh);
  const jti = randomUUID();
  if ((await redis.rotate(`session:${claims.sid}`, claims.jti, jti)) !== 1) throw new Error('spent');
  return pair(claims.sub, claims.sid, jti);
});

app.post('/login', async () => {
  const [sid, jti] = [randomUUID(), randomUUID()];
  await redis.set(`session:${sid}`, jti, 'EX', 604_800);
  return pair(randomUUID(), sid, jti);
});

function pair(sub, sid, jti) {
  const iat = Math.floor(Date.now() / 1000);
  return {
    access: sign({ sub, sid, jti: randomUUID(), iat, exp: iat + 900, email: 'test@example.com' }),
    refresh: sign({ sub, sid, jti, iat, exp: iat + 604_800 }),
  };
}

await app.listen({ port: Number(PORT), host: '127.0.0.1' });
