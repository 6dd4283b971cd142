/** A headless Chromium for tests of pages, and everything about them that must never happen. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';

const PATHS = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
];
const EXECUTABLE = PATHS.find((path) => existsSync(path));

/** Why tests in a browser are skipped, or `false`. */
export const NEEDS_BROWSER =
  EXECUTABLE === undefined ? `no Chromium: none of ${PATHS.join(', ')} is there` : false;

/** Starts a browser that talks to nobody by itself. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    ...(EXECUTABLE === undefined ? {} : { executablePath: EXECUTABLE }),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/** A visitor of a hub. */
export interface Visitor {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors that belong to the test, such as the 404 of a page that is not there. */
  expect(error: RegExp): void;
  /** Checks that the pages logged no error, broke no policy, asked no other host, opened no dialog; then leaves. */
  leave(): Promise<void>;
}

/** Opens a page at `url` in a context of its own. */
export async function visit(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<Visitor> {
  const context = await browser.newContext({ baseURL: url, ...options });
  context.setDefaultTimeout(10_000);
  await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
  const page = await context.newPage();
  const wrong: string[] = [];
  const expected: RegExp[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || /Content Security Policy/i.test(message.text()))
      wrong.push(`console: ${message.text()} ${message.location().url}`);
  });
  page.on('pageerror', (error) => wrong.push(`thrown: ${error.message}`));
  page.on('dialog', (dialog) => {
    wrong.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('request', (request) => {
    if (!request.url().startsWith(`${url}/`) && !/^(?:data|blob|about):/.test(request.url()))
      wrong.push(`request to another host: ${request.url()}`);
  });
  await page.goto('/');
  return {
    page,
    context,
    expect: (error) => void expected.push(error),
    leave: async () => {
      await context.close();
      const left = wrong.filter((line) => !expected.some((error) => error.test(line)));
      assert.deepEqual(left, [], 'nothing went wrong in the browser');
    },
  };
}

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string | null;
    readonly help: string;
    readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
  }[];
}

/** Checks a page with axe-core; anything serious or critical fails. */
export async function checkAccessibility(page: Page, where: string): Promise<void> {
  // evaluate() goes past the page's policy, which forbids the script as it should.
  await page.evaluate(AXE);
  const result = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run(): Promise<AxeResult> } }).axe.run(),
  );
  const found = result.violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, nodes }) =>
      nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`),
    );
  assert.deepEqual(found, [], `${where} is accessible`);
}

/** Checks that a page does not scroll sideways. */
export async function checkWidth(page: Page, where: string): Promise<void> {
  const [content = 0, window = 0] = await page.evaluate<number[]>(
    '[document.documentElement.scrollWidth, document.documentElement.clientWidth]',
  );
  assert.ok(content <= window, `${where} scrolls sideways: ${content} in ${window}`);
}
