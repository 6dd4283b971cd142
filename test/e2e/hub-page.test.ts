/** The hub's pages in a headless Chromium, as people use them: with a mouse, by keyboard, wide, narrow, light and dark. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { checkAccessibility, checkWidth, launchBrowser, NEEDS_BROWSER, visit } from '../support/browser.ts';
import { makeImageArchive, makeRootfsTar, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_DOCKER_CLI, withDaemon } from '../support/daemon.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import { HubPusher } from '../support/hub-push.ts';

const PASSWORD = 'a long password';

let browser: Browser;

before(async () => {
  if (NEEDS_BROWSER === false) browser = await launchBrowser();
});
after(() => browser?.close());

async function withHub(body: (hub: TestHub) => Promise<void>, options = {}): Promise<void> {
  const hub = await startHub(options);
  try {
    await body(hub);
  } finally {
    await hub.dispose();
  }
}

async function signIn(page: Page): Promise<void> {
  await page.goto('/signin');
  await page.getByLabel('Username or email').fill(ADMIN.username);
  await page.locator('input[autocomplete$=password]').fill(ADMIN.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await page.getByRole('heading', { name: 'Repositories' }).waitFor();
}

/** Copies with a button of the page, and reads what it put on the clipboard. */
async function copy(page: Page, label: string): Promise<string> {
  await page.getByRole('button', { name: `Copy ${label}` }).click();
  return page.evaluate<string>('navigator.clipboard.readText()');
}

test(
  'sign up, create, push with the copied command, look, limit, delete, sign out',
  { skip: NEEDS_BROWSER || NEEDS_DOCKER_CLI || NEEDS_BUSYBOX, timeout: 120_000 },
  () =>
    withDaemon((daemon) =>
      withHub(
        async (hub) => {
          const { page, expect, leave } = await visit(browser, hub.url, {
            viewport: { width: 1280, height: 900 },
          });
          const docker = (line: string) => daemon.dockerOk(line.split(' ').slice(1));

          // The first account is the administrator's.
          await page.getByRole('heading', { name: 'Welcome: create the first account' }).waitFor();
          await page.getByLabel('Username').fill('cynthia');
          await page.getByLabel('Email').fill('cynthia@example.org');
          await page.locator('input[autocomplete$=password]').fill(PASSWORD);
          await page.getByRole('button', { name: 'Create account' }).click();
          await page.getByRole('button', { name: 'Account cynthia' }).click();
          await page.getByText('cynthia (administrator)').waitFor();
          await page.keyboard.press('Escape');

          // Create; the commands follow what is typed.
          await page.getByRole('link', { name: 'Create repository' }).click();
          await page.getByLabel(/^Name( \*)?$/).fill('demo-push');
          await page.getByText(`docker push ${hub.host}/cynthia/demo-push:tagname`).waitFor();
          await page.getByRole('button', { name: 'Create', exact: true }).click();
          await page.getByText('No tags yet').waitFor();
          const command = (await copy(page, 'the push command')).replace('tagname', 'v1');
          assert.equal(command, `docker push ${hub.host}/cynthia/demo-push:v1`);

          // Push for real: the row is there without a reload.
          await page.evaluate('globalThis.stays = true');
          daemon.dockerOk(['load'], { input: makeImageArchive({ tags: ['local:v1'] }).archive });
          daemon.dockerOk(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: PASSWORD });
          docker(`docker tag local:v1 ${hub.host}/cynthia/demo-push:v1`);
          docker(command);
          await page.locator('[data-tag=v1]').waitFor();
          assert.equal(await page.evaluate('globalThis.stays'), true, 'the page was not loaded again');

          // Layers and files of the tag.
          await page.getByRole('link', { name: 'v1', exact: true }).click();
          await page.getByRole('table', { name: 'Layers' }).getByText('ADD file:busybox in /').waitFor();
          assert.equal(await page.getByRole('table', { name: 'Layers' }).locator('tbody tr').count(), 2);
          await page.getByRole('tab', { name: 'Files' }).click();
          await page.getByRole('button', { name: 'bin', exact: true }).click();
          await page.getByRole('table', { name: 'Files' }).getByText('busybox', { exact: true }).waitFor();
          await page.getByLabel('Find').fill('etc/');
          await page.getByText('2 matches').waitFor();
          await page.getByRole('tab', { name: 'Config' }).click();
          await page.getByText('PATH=/bin').waitFor();

          // A token: copied once, good until it is switched off.
          await page.getByRole('link', { name: 'Access tokens' }).click();
          await page.getByRole('button', { name: 'Create token' }).click();
          await page.getByLabel('What is it for?').fill('CI');
          await page.getByRole('dialog').getByRole('button', { name: 'Create token' }).click();
          await page.getByText('Copy the token now').waitFor();
          const secret = await copy(page, 'the token');
          assert.match(secret, /^slp_/);
          daemon.dockerOk(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: secret });
          await page.getByRole('button', { name: 'Switch off' }).click();
          await page.getByText('off', { exact: true }).waitFor();
          const refused = daemon.docker(['login', '-u', 'cynthia', '--password-stdin', hub.host], {
            input: secret,
          });
          assert.notEqual(refused.code, 0, 'the token is of no use any more');

          // Settings: immutable tags, visibility by the typed name.
          await page.goto('/r/cynthia/demo-push?tab=settings');
          await page.getByRole('radio', { name: 'Those that fit a pattern' }).check();
          await page.getByLabel('Patterns').first().fill('v*');
          await page.keyboard.press('Enter');
          await page.getByRole('button', { name: 'Save', exact: true }).last().click();
          await page.getByText('Saved', { exact: true }).waitFor();
          await page.getByRole('button', { name: 'Make it public' }).click();
          const confirm = page.getByRole('dialog').getByRole('button', { name: 'Make it public' });
          await page.getByLabel('Type cynthia/demo-push to confirm').fill('cynthia/demo');
          assert.equal(await confirm.isDisabled(), true, 'half a name is none');
          await page.getByLabel('Type cynthia/demo-push to confirm').fill('cynthia/demo-push');
          await confirm.click();
          await page.getByText('This repository is public.').waitFor();
          const other = makeImageArchive({
            tags: [`${hub.host}/cynthia/demo-push:v1`],
            labels: { other: '1' },
          });
          daemon.dockerOk(['login', '-u', 'cynthia', '--password-stdin', hub.host], { input: PASSWORD });
          daemon.dockerOk(['load'], { input: other.archive });
          const moved = daemon.docker(['push', `${hub.host}/cynthia/demo-push:v1`]);
          assert.notEqual(moved.code, 0, 'an immutable tag does not move');
          assert.match(
            moved.stderr,
            /tag "v1" exists in repository "cynthia\/demo-push" and must not be moved/,
          );

          // Delete the tag, then make it private again, sign out: it does not exist for guests.
          await page.getByRole('tab', { name: 'Tags' }).click();
          await page.getByRole('button', { name: 'Delete tag v1' }).click();
          await page.getByRole('dialog').getByRole('button', { name: 'Delete tag' }).click();
          await page.locator('[data-tag=v1]').waitFor({ state: 'detached' });
          await page.getByRole('tab', { name: 'Settings' }).click();
          await page.getByRole('button', { name: 'Make it private' }).click();
          await page.getByLabel('Type cynthia/demo-push to confirm').fill('cynthia/demo-push');
          await page.getByRole('dialog').getByRole('button', { name: 'Make it private' }).click();
          await page.getByText('This repository is private.').waitFor();
          await page.getByRole('button', { name: 'Account cynthia' }).click();
          await page.getByRole('menuitem', { name: 'Sign out' }).click();
          await page.getByRole('heading', { name: 'Sign in' }).waitFor();
          expect(/404 \(Not Found\)/);
          await page.goto('/r/cynthia/demo-push?tab=tags');
          await page.getByText('There is no repository cynthia/demo-push, or it is private.').waitFor();
          await page.getByText('You are not signed in.').waitFor();

          // Signing in leads back to where one wanted to be.
          await page.getByRole('main').getByRole('link', { name: 'Sign in' }).click();
          await page.getByLabel('Username or email').fill('cynthia@example.org');
          await page.locator('input[autocomplete$=password]').fill(PASSWORD);
          await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
          await page.getByRole('tab', { name: 'Tags', selected: true }).waitFor();

          // Delete the repository.
          await page.getByRole('tab', { name: 'Settings' }).click();
          await page.getByRole('button', { name: 'Delete repository' }).click();
          await page.getByLabel('Type cynthia/demo-push to confirm').fill('cynthia/demo-push');
          await page.getByRole('button', { name: 'Delete repository forever' }).click();
          await page.getByText('There are no repositories in cynthia yet.').waitFor();
          await leave();
        },
        { withAdmin: false },
      ),
    ),
);

test('sign-up and the create form need no mouse', { skip: NEEDS_BROWSER }, () =>
  withHub(
    async (hub) => {
      const { page, leave } = await visit(browser, hub.url);
      const press = async (...keys: readonly string[]) => {
        for (const key of keys) await page.keyboard.press(key);
      };
      /** Goes on by Tab until the element with this name has the focus. */
      const tabTo = async (name: string) => {
        for (let step = 0; step < 40; step++) {
          await press('Tab');
          const focused = await page.evaluate<string>(
            '(() => { const e = document.activeElement; return e.labels?.[0]?.textContent ?? e.ariaLabel ?? e.textContent ?? ""; })()',
          );
          if (focused.replace(/ \*$/, '').trim() === name) return;
        }
        assert.fail(`Tab never reaches "${name}"`);
      };
      await page.getByRole('heading', { name: 'Welcome: create the first account' }).waitFor();
      await press('Tab');
      assert.equal(await page.evaluate('document.activeElement.textContent'), 'Skip to the content');
      await tabTo('Username');
      await page.keyboard.type('cynthia');
      await tabTo('Email');
      await page.keyboard.type('cynthia@example.org');
      await tabTo('Password');
      await page.keyboard.type(PASSWORD);
      await press('Enter');
      await page.getByRole('heading', { name: 'Repositories' }).waitFor();
      await tabTo('Create repository');
      await press('Enter');
      await page.getByRole('heading', { name: 'Create repository' }).waitFor();
      await tabTo('Name');
      await page.keyboard.type('by-keyboard');
      await tabTo('Private');
      await press('ArrowDown');
      await tabTo('Create');
      await press('Enter');
      await page.getByRole('heading', { name: 'cynthia/by-keyboard' }).waitFor();
      await page.getByText('public', { exact: true }).waitFor();
      await leave();
    },
    { withAdmin: false },
  ),
);

test(
  'the guide ticks itself; tags are chosen and go; a star, a README, another name',
  {
    skip: NEEDS_BROWSER || NEEDS_BUSYBOX,
    timeout: 90_000,
  },
  () =>
    withHub(async (hub) => {
      const { page, leave } = await visit(browser, hub.url);
      await signIn(page);
      const done = () => page.locator('li[data-done]').count();
      await page.getByRole('heading', { name: 'Your first image' }).waitFor();
      assert.equal(await done(), 0);
      assert.equal(await copy(page, 'the command: Push'), `docker push ${hub.host}/admin/demo-push:v1`);
      await page.getByText('Podman', { exact: true }).click();
      assert.equal(
        await copy(page, 'the command: Sign in'),
        `podman login --tls-verify=false -u admin ${hub.host}`,
      );

      // What a client does is ticked while one looks.
      const basic = `Basic ${Buffer.from(`${ADMIN.username}:${ADMIN.password}`).toString('base64')}`;
      await hub.api('GET', '/token?service=slipway-hub', { headers: { authorization: basic } });
      await page.locator('li[data-done]', { hasText: 'Sign in' }).waitFor();
      assert.equal(await done(), 1);
      const pusher = new HubPusher(hub.url, ADMIN.username, ADMIN.password);
      for (const tag of ['v1', 'dev-1', 'dev-2'])
        await pusher.pushImage('admin/demo-push', tag, { layers: [makeRootfsTar({ 'etc/tag': tag })] });
      await page.getByText('Your image is here.').waitFor();
      assert.equal(await done(), 4);

      await page.goto('/r/admin/demo-push?tab=tags');
      await page.getByLabel('Filter tags').fill('dev');
      await page.locator('[data-tag=v1]').waitFor({ state: 'detached' });
      await page.getByLabel('Choose all that are shown').check();
      await page.getByRole('button', { name: 'Delete 2 tags…' }).click();
      await page.getByText(/^2 images that nothing else names go too; this frees /).waitFor();
      await page.getByRole('dialog').getByRole('button', { name: 'Delete 2 tags' }).click();
      await page.getByText(/^2 tags deleted, .* freed\.$/).waitFor();
      await page.getByLabel('Filter tags').fill('');
      await page.locator('[data-tag=v1]').waitFor();
      assert.equal(await page.locator('tr[data-tag]').count(), 1);

      await page.getByRole('tab', { name: 'General' }).click();
      await page.getByRole('button', { name: 'Star, 0 stars' }).click();
      await page.getByRole('button', { name: 'Star, 1 star' }).waitFor();
      await page.getByRole('button', { name: 'Write a README' }).click();
      await page.getByLabel('README (Markdown)').fill('# For you');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.getByRole('heading', { name: 'For you' }).waitFor();

      await page.getByRole('tab', { name: 'Settings' }).click();
      await page.getByRole('button', { name: 'Rename' }).click();
      await page.getByLabel('New name').fill('renamed');
      await page.getByLabel('Type admin/demo-push to confirm').fill('admin/demo-push');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'admin/renamed' }).waitFor();
      assert.equal(await page.title(), 'admin/renamed · Slipway');
      await leave();
    }),
);

test(
  'a hub that is read-only says so on every page, and why a change is refused',
  { skip: NEEDS_BROWSER },
  () =>
    withHub(
      async (hub) => {
        const { page, expect, leave } = await visit(browser, hub.url);
        expect(/409 \(Conflict\)/);
        await page.getByText('The hub is read-only for now').waitFor();
        await signIn(page);
        await page.getByText('The hub is read-only for now').waitFor();
        await page.getByRole('link', { name: 'Create repository' }).click();
        await page.getByLabel(/^Name( \*)?$/).fill('late');
        await page.getByRole('button', { name: 'Create', exact: true }).click();
        await page.getByText('The hub is read-only for now: nothing can be changed.').waitFor();
        await leave();
      },
      { args: ['--read-only'] },
    ),
);

/** Pages that are checked in every form; `act` opens what is behind a click. */
const PAGES: readonly (readonly [path: string, act?: (page: Page) => Promise<unknown>])[] = [
  ['/'],
  ['/explore'],
  ['/new'],
  ['/tokens'],
  ['/tokens', (page) => page.getByRole('button', { name: 'Create token' }).click()],
  ['/r/admin/empty'],
  ['/r/admin/app'],
  ['/r/admin/app', (page) => page.getByRole('button', { name: 'Edit README' }).click()],
  ['/r/admin/app?tab=tags'],
  ['/r/admin/app?tab=tags', (page) => page.getByRole('button', { name: 'Delete tag v1' }).click()],
  ['/r/admin/app?tab=settings'],
  ['/r/admin/app?tab=settings', (page) => page.getByRole('button', { name: 'Make it public' }).click()],
  ['/r/admin/app?tab=settings', (page) => page.getByRole('button', { name: 'Rename' }).click()],
  ['/r/admin/app?tab=settings', (page) => page.getByRole('button', { name: 'Transfer' }).click()],
  ['/r/admin/app?tab=settings', showRules],
  ['/r/admin/app?reference=v1'],
  ['/r/admin/app?reference=chart'],
  [`/r/admin/${'long-name-'.repeat(20)}x`],
  ['/activate'],
  ['/r/admin/missing'],
  ['/no/such/page'],
];

async function showRules(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Add a rule' }).click();
  await page.getByLabel('Tags like').fill('*');
  await page.getByLabel('Days').fill('1');
  await page.getByRole('button', { name: 'Show what would go' }).click();
  await page.getByText('None of 2 tags would go.').waitFor();
}

const GUEST_PAGES = ['/signin', '/signup', '/explore', '/r/admin/app'];

const EVIL = '<img src=x onerror=alert(1)><script>alert(2)</script>';

async function fill(hub: TestHub): Promise<void> {
  const cookie = await hub.signIn(ADMIN.username, ADMIN.password);
  const create = (name: string, readme: string, visibility = 'private') =>
    hub.api('POST', '/api/repositories', {
      cookie,
      body: { namespace: ADMIN.username, name, description: EVIL.slice(0, 100), visibility, readme },
    });
  const readme = `# ${EVIL}\n\n[one](javascript:alert(3)) [two](data:text/html,<script>alert(4)</script>)\n\n${EVIL}\n\n![x](javascript:alert(5)) ![y](http://evil.example/x.png)\n\n    ${'long '.repeat(60)}\n`;
  await create('empty', '');
  await create('app', readme);
  await create(`${'long-name-'.repeat(20)}x`, '');
  const pusher = new HubPusher(hub.url, ADMIN.username, ADMIN.password);
  await pusher.pushImage('admin/app', 'v1', {
    layers: [makeRootfsTar({ 'etc/<img src=x onerror=alert(8)>': '' })],
    history: [{ created_by: `RUN /bin/sh -c echo ${EVIL} && \\\n   ${'apt-get install thing '.repeat(30)}` }],
    config: {
      Labels: { [EVIL]: EVIL, 'org.opencontainers.image.url': 'javascript:alert(6)' },
      Env: [`LONG=${'x'.repeat(500)}`],
      User: EVIL,
    },
    author: `${EVIL} javascript:alert(7)`,
  });
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const config = await pusher.pushBlob(
    'admin/app',
    Buffer.from('{}'),
    'application/vnd.cncf.helm.config.v1+json',
  );
  const annotations = { 'org.opencontainers.image.title': EVIL };
  await pusher.pushManifest('admin/app', 'chart', {
    schemaVersion: 2,
    mediaType,
    config,
    layers: [{ ...config, annotations }],
  });
  const body = { description: EVIL, scope: 'read', repositories: ['admin/app'] };
  await hub.api('POST', '/api/tokens', { cookie, body });
}

for (const [colorScheme, width] of [
  ['light', 1280],
  ['light', 390],
  ['dark', 1280],
  ['dark', 390],
] as const) {
  test(
    `every page is accessible, ${colorScheme}, ${width} wide, and what people wrote into it stays text`,
    { skip: NEEDS_BROWSER || NEEDS_BUSYBOX, timeout: 180_000 },
    () =>
      withHub(async (hub) => {
        await fill(hub);
        const { page, expect, leave } = await visit(browser, hub.url, {
          colorScheme,
          viewport: { width, height: 800 },
        });
        expect(/404 \(Not Found\)/);
        const check = async (path: string, act?: (page: Page) => Promise<unknown>) => {
          await page.goto(path);
          await page.locator('h1').first().waitFor();
          await page.locator('.mantine-Loader-root').first().waitFor({ state: 'detached' });
          await act?.(page);
          if (act !== undefined) await page.waitForTimeout(300); // dialogs fade in; half-way colors are nobody's
          await checkWidth(page, path);
          await checkAccessibility(page, `${path} (${act ?? 'as it opens'})`);
        };
        for (const path of GUEST_PAGES) await check(path);
        await signIn(page);
        for (const [path, act] of PAGES) await check(path, act);
        await page.goto('/r/admin/app');
        await page
          .getByText('[one]')
          .or(page.getByText('one', { exact: true }))
          .first()
          .waitFor();
        const links = await page
          .locator('a[href^="javascript:" i], a[href^="data:" i], main img, main script')
          .count();
        assert.equal(links, 0, 'no link that runs something, no image, no script');
        await leave();
      }),
  );
}

test('a hub that is gone, and too many tries, are said in words', { skip: NEEDS_BROWSER }, () =>
  withHub(async (hub) => {
    const { page, expect, leave } = await visit(browser, hub.url);
    expect(/401 \(Unauthorized\)|429 \(Too Many Requests\)|net::ERR_/);
    await page.goto('/signin');
    await page.getByLabel('Username or email').fill('admin');
    for (let tries = 0; tries < 12; tries++) {
      await page.locator('input[autocomplete$=password]').fill(`wrong password ${tries}`);
      await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
      await page.locator('main button[type=submit]:not([data-loading])').waitFor();
    }
    await page.getByRole('alert').getByText('Too many failed sign-ins.').waitFor();
    await page
      .getByRole('alert')
      .getByText(/^Try again in \d+ seconds?\.$/)
      .waitFor();
    await page.context().setOffline(true);
    await page.getByRole('link', { name: 'browse as a guest' }).click();
    await page.getByRole('alert').getByText('The hub does not answer').first().waitFor();
    await page.context().setOffline(false);
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.getByText('There are no public repositories yet.').waitFor();
    await leave();
  }),
);

test('a command line is approved on the page, after signing in', { skip: NEEDS_BROWSER }, () =>
  withHub(async (hub) => {
    const device = (await hub.api('POST', '/api/device', { body: { client: 'slipway on a laptop' } })).body;
    const { page, leave } = await visit(browser, hub.url);
    await page.goto(device.verification_uri_complete);
    await page.getByLabel('Username or email').fill(ADMIN.username);
    await page.locator('input[autocomplete$=password]').fill(ADMIN.password);
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click();
    await page.getByText(device.user_code, { exact: true }).waitFor();
    await page.getByText('slipway on a laptop').waitFor();
    await checkAccessibility(page, 'the approval');
    await page.getByRole('button', { name: 'Approve' }).click();
    await page.getByText('Your terminal is signed in now').waitFor();
    const body = { device_code: device.device_code };
    assert.equal((await hub.api('POST', '/api/device/token', { body })).body.username, ADMIN.username);
    const again = await hub.api('POST', '/api/device/token', { body });
    assert.deepEqual([again.status, again.body.error.code], [400, 'expired_token']);
    await leave();
  }),
);
