import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import type { Test } from 'tap';
import { type Stores, type TestApp, testApp } from '../support/app.js';
import { freePort } from '../support/free-port.js';

type Owner = Pick<Test, 'teardown'>;

/** Chromium without what reaches out by itself. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function withBrowser(t: Owner): Promise<Browser> {
  const executablePath = process.env.TEST_CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  t.teardown(() => browser.close());
  return browser;
}

export interface Served extends TestApp {
  /** As browsers know it. */
  url: string;
  port: number;
}

/** The service in this process, listening. */
export async function served(
  t: Owner,
  { stores, env = {} }: { stores?: Stores; env?: Record<string, string> } = {},
): Promise<Served> {
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const app = await testApp(t, { ...(stores && { stores }), env: { PUBLIC_URL: url, ...env } });
  await app.app.listen({ host: '127.0.0.1', port });
  return { ...app, url, port };
}

/** A browser of its own for one person: nothing is shared with others, and what goes wrong in it is kept. */
export interface Visitor {
  context: BrowserContext;
  /** Opens another tab. */
  open(path: string): Promise<Page>;
  /** Errors in the console, uncaught ones, and violations of the policy. */
  complaints: string[];
}

export async function visitor(
  browser: Browser,
  { url }: Pick<Served, 'url'>,
  options: BrowserContextOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext({
    baseURL: url,
    locale: 'en-US',
    reducedMotion: 'reduce',
    ...options,
  });
  // Other tests may have the machine to themselves for a while.
  context.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  context.on('weberror', (error) => complaints.push(`uncaught: ${error.error().message}`));
  context.on('console', (message) => {
    // A refused request is no fault of the page's; what it makes of it the tests look at.
    const isAnswer = message.text().startsWith('Failed to load resource');
    if (['error', 'warning'].includes(message.type()) && !isAnswer) complaints.push(message.text());
  });
  return {
    context,
    complaints,
    async open(path) {
      const page = await context.newPage();
      await page.goto(path);
      return page;
    },
  };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe finds wrong, in a line each. By the debugger's way in: the policy lets no other script run. */
export async function findBarriers(page: Page, rules: 'all' | 'colours' = 'all'): Promise<string[]> {
  if (!(await page.evaluate("'axe' in globalThis"))) await page.evaluate(AXE);
  return page.evaluate(async (rules) => {
    interface Axe {
      run(options: object): Promise<{
        violations: { id: string; help: string; nodes: { html: string; failureSummary: string }[] }[];
      }>;
    }
    const { axe } = globalThis as unknown as { axe: Axe };
    const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
    const runOnly = rules === 'all' ? tags : { type: 'rule', values: ['color-contrast'] };
    const { violations } = await axe.run({ runOnly, resultTypes: ['violations'] });
    return violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 120)} ${failureSummary}`),
    );
  }, rules);
}
