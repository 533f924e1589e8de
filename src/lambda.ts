import { setImmediate as turn } from 'node:timers/promises';
import awsLambdaFastify, { type LambdaResponse, type PromiseHandler } from '@fastify/aws-lambda';
import type { FastifyInstance } from 'fastify';
import { loadConfigOnLambda } from './config.js';
import { buildFront } from './front.js';
import { fetchParameters } from './lambda/parameters.js';

/** Of an HTTP API or a function URL (payload format 2.0): what is read here. */
interface HttpApiEvent {
  version: '2.0';
  rawPath: string;
  rawQueryString: string;
  queryStringParameters?: Record<string, string>;
  requestContext?: { http?: { method?: string; sourceIp?: string } };
}

/** Of a REST API (1.0). */
interface RestApiEvent {
  version?: '1.0';
  httpMethod?: string;
  path?: string;
  requestContext?: { identity?: { sourceIp?: string } };
}

type HttpEvent = HttpApiEvent | RestApiEvent;
type Context = Parameters<PromiseHandler>[1];

// Once per instance. Redis is being connected meanwhile, SQL with the first request.
const config = await loadConfigOnLambda(fetchParameters);
const { app: front, answers } = await buildFront(config);
for (const warning of config.warnings) front.log.warn(warning);
const { attackWatch, events, log, roles } = front;
const answerInFront = await serve(front);
let whole: Promise<Service> | undefined;
let sqlOpened: Promise<void> | undefined;
if (config.startsAhead) await openWhole();

/** Answers one request. When it resolves, everything is stored and nothing is under way: the instance may freeze. */
export async function handler(event: HttpEvent, context: Context): Promise<LambdaResponse> {
  await hearOfLostConnections();
  // What earlier requests made suspicious; nobody waits for it longer than for SQL.
  const looking = attackWatch.inspect();
  // Nearly every answer takes the roles: SQL is being connected while the first request is with Redis.
  sqlOpened ??= roles.prepare();
  const request = readRequest(event);
  const answer = isInFront(event) ? answerInFront : (await openWhole()).answer;
  const response = await answer(request, context);
  await Promise.all([looking, sqlOpened]);
  await storeEvents();
  return response;
}

type Answer = (event: HttpEvent, context: Context) => Promise<LambdaResponse>;

interface Service {
  app: FastifyInstance;
  answer: Answer;
}

async function serve(app: FastifyInstance): Promise<Answer> {
  // Not decorated: a client could once forge the decorator's event (GHSA-m93c-jj3f-68ph), and nobody here needs it.
  const answer = awsLambdaFastify<HttpEvent>(app, { decorateRequest: false });
  await app.ready();
  return answer;
}

/** The whole service, from the first request on that is for more than what stands in front. */
function openWhole(): Promise<Service> {
  whole ??= buildWhole().catch((error) => {
    whole = undefined;
    throw error;
  });
  return whole;
}

async function buildWhole(): Promise<Service> {
  const { buildApp } = await import('./app.js');
  const app = await buildApp(config, { opened: front });
  return { app, answer: await serve(app) };
}

function isInFront(event: HttpEvent): boolean {
  const { method = '', path = '' } =
    event.version === '2.0'
      ? { method: event.requestContext?.http?.method, path: event.rawPath }
      : { method: event.httpMethod, path: event.path };
  return answers(method, path);
}

/** How long before the function's time is over the cleaning ends by itself (ms). */
const RESERVE_MS = 15_000;

/** `latchkey clean`, on a schedule: nothing else runs in the background here. */
export async function clean(_event: unknown, context: Context): Promise<string> {
  await hearOfLostConnections();
  const { clean: cleanOnce } = await import('./commands/clean.js');
  const { cleaner, alertWebhooks } = (await openWhole()).app;
  const report = await cleanOnce({
    cleaner,
    postAlerts: alertWebhooks && (() => alertWebhooks.deliver()),
    json: false,
    show: (line) => log.info(line),
    signal: AbortSignal.timeout(Math.max(0, context.getRemainingTimeInMillis() - RESERVE_MS)),
    now: Date.now,
  });
  await storeEvents();
  log.info(report);
  return report;
}

/** While the instance was frozen its peers may have hung up: a turn of the event loop reads what they had to say. */
const hearOfLostConnections = (): Promise<void> => turn();

/** What is only counted, as refreshes are, is stored with the next event, or after this (ms). */
const COUNTS_MS = 10_000;
let storedAt = 0;

/** The log tells of a failure. Then they wait in memory for the next request: no answer is withheld for that. */
async function storeEvents(): Promise<void> {
  if (events.waiting() === 0 && Date.now() < storedAt + COUNTS_MS) return;
  storedAt = Date.now();
  await events.flush().catch(() => undefined);
}

/**
 * The event as the adapter is to read it. Who the caller is stands in the request context, which API Gateway writes and no
 * caller can; an event without it would count as this machine's own.
 */
function readRequest(event: HttpEvent): HttpEvent {
  if (event.version !== '2.0') {
    requireCaller(event.requestContext?.identity?.sourceIp);
    return event;
  }
  requireCaller(event.requestContext?.http?.sourceIp);
  // As it was sent: in `queryStringParameters` one value with a comma and two values are the same.
  const { queryStringParameters: _, rawPath, ...rest } = event;
  return { ...rest, rawPath: rest.rawQueryString ? `${rawPath}?${rest.rawQueryString}` : rawPath };
}

function requireCaller(sourceIp: unknown): void {
  if (typeof sourceIp === 'string' && sourceIp !== '') return;
  throw new Error('this is no event of an HTTP API, a REST API or a function URL');
}
