/** The page of an image in a headless Chromium: what people find out there, and that it is for everybody. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { checkAccessibility, checkWidth, launchBrowser, NEEDS_BROWSER, visit } from '../support/browser.ts';
import { ADMIN, startHub, type TestHub } from '../support/hub.ts';
import { HubPusher } from '../support/hub-push.ts';
import { file, folder, link, tarOf } from '../support/layer-tar.ts';

const skip = NEEDS_BROWSER;
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const EVIL = '<img src=x onerror=alert(1)><script>alert(2)</script>';
const IMAGE = '/r/admin/app?reference=v1';
let browser: Browser;
let hub: TestHub;
let cookie: string;

before(async () => {
  if (NEEDS_BROWSER !== false) return;
  browser = await launchBrowser();
  hub = await startHub();
  cookie = await hub.signIn(ADMIN.username, ADMIN.password);
  await fill();
});
after(async () => {
  await browser?.close();
  await hub?.dispose();
});

/** An image of two platforms with waste, a base, a child and attachments, and everything in it is hostile text. */
async function fill(): Promise<void> {
  const pusher = new HubPusher(hub.url, ADMIN.username, ADMIN.password);
  const base = tarOf(folder('etc'), file('etc/os-release', 'ID=test\n'), file('lists/a', 'x'.repeat(30_000)));
  const app = tarOf(
    file('.wh.lists', ''),
    file('app/main.py', `print("hello")\n# ${EVIL}\n`, { mode: 0o644, uid: 1000, gid: 1000 }),
    file(`app/${EVIL.slice(0, 28)}`, ''),
    file('app/data.bin', Buffer.from([0, 1, 2])),
    link('app/run', 'main.py'),
  );
  const history = [{ created_by: `/bin/sh -c #(nop) ADD file:${'0a'.repeat(32)} in / ` }];
  const more = [
    {
      created_by: `RUN /bin/sh -c echo '${EVIL}' && \\\n   ${'apt-get install thing '.repeat(20)} # buildkit`,
    },
    { created_by: 'CMD ["run"]', empty_layer: true },
  ];
  const config = {
    Env: [`LONG=${'x'.repeat(400)}`],
    Labels: { [EVIL]: EVIL },
    Healthcheck: { Test: ['CMD-SHELL', 'wget -q localhost'], Interval: 5e9 },
    Volumes: { '/data': {} },
    ExposedPorts: { '80/tcp': {} },
  };
  await pusher.pushImage('library/base', 'slim', { layers: [base], history });
  const parts = { layers: [base, app], history: [...history, ...more], config };
  const amd = await pusher.pushImage('admin/app', undefined, parts);
  const arm = await pusher.pushImage('admin/app', undefined, {
    ...parts,
    layers: [base, tarOf(file('arm', ''))],
  });
  await pusher.pushIndex('admin/app', 'v1', [
    { ...amd, platform: { os: 'linux', architecture: 'amd64' } },
    { ...arm, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
  ]);
  await pusher.pushImage('admin/child', 'v2', { layers: [base, app, tarOf(file('child', ''))] });
  await pusher.pushImage('admin/broken', 'v1', { layers: [base, tarOf(file('../../evil', 'x'))] });
  await pusher.pushImage('admin/carried', 'v1', {
    layers: [base],
    config: { Labels: { 'slipway.dockerfile': `FROM scratch\n# ${EVIL}\n` } },
  });
  const empty = await pusher.pushBlob('admin/app', Buffer.from('{}'), 'application/vnd.oci.empty.v1+json');
  const sbom = await pusher.pushBlob(
    'admin/app',
    Buffer.from(JSON.stringify({ name: EVIL })),
    'application/spdx+json',
  );
  await pusher.pushManifest('admin/app', undefined, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: `application/spdx+json; ${EVIL}`,
    config: empty,
    layers: [{ ...sbom, annotations: { 'org.opencontainers.image.title': `sbom ${EVIL}` } }],
    subject: amd,
  });
}

/** Visits as the administrator. */
async function visitSignedIn(options: BrowserContextOptions = {}) {
  const visitor = await visit(browser, hub.url, options);
  const [name = '', value = ''] = cookie.split('=');
  await visitor.context.addCookies([{ name, value, url: hub.url }]);
  return visitor;
}

test('waste, files, previews, the Dockerfile, attachments and relatives of an image are found on its page', {
  skip,
}, async () => {
  const { page, leave } = await visitSignedIn({ viewport: { width: 1280, height: 900 } });
  await page.goto(IMAGE);
  await page.getByText(/^30\.0.kB of 30\.1.kB of files are wasted/).waitFor();
  await page
    .getByRole('button', { name: /of layer 1 wasted: which files/ })
    .first()
    .click();
  await page.getByText('deleted by layer 2').waitFor();

  await page.getByText('Layer 1 is that of library/base:slim.').waitFor();

  // The tree by keyboard, merged and by layer.
  await page.getByRole('tab', { name: 'Files' }).click();
  assert.match(page.url(), /view=files/, 'the view has an address of its own');
  const files = page.getByRole('table', { name: 'Files' });
  const folderOf = (name: string) => files.getByRole('button', { name, exact: true });
  await folderOf('app').focus();
  await page.keyboard.press('Enter');
  await folderOf('main.py').waitFor();
  assert.equal(await folderOf('app').getAttribute('aria-expanded'), 'true');
  assert.match(
    (await files.locator('[data-path="app/main.py"]').textContent()) ?? '',
    /-rw-r--r--.*1000:1000.*2/,
  );
  assert.equal(await files.locator('[data-path=lists]').count(), 0, 'what is deleted is not there');
  await page.keyboard.press('Enter');
  await folderOf('main.py').waitFor({ state: 'detached' });
  await page.getByRole('combobox', { name: 'Show' }).click();
  await page.getByRole('option', { name: /Only layer 2/ }).click();
  await files.getByText('deleted here').waitFor();

  // Search, and a look into a file: where a link leads, as text.
  await page.getByLabel('Find').fill('RUN');
  await page.getByText('1 match', { exact: true }).waitFor();
  await page.getByRole('button', { name: /app\/run/ }).click();
  const text = page.getByRole('region', { name: 'the file' });
  await text.getByText('print("hello")').waitFor();
  await page.getByText('Link to /app/main.py').waitFor();
  await text.getByText(EVIL).waitFor();
  await page.keyboard.press('Escape');
  await page.getByLabel('Find').fill('data.bin');
  await page.getByRole('button', { name: /data\.bin/ }).click();
  await page.getByText('This is a binary file').waitFor();
  await page.keyboard.press('Escape');

  // The Dockerfile says which of the two it is, and is copied as it stands there.
  await page.getByRole('tab', { name: 'Dockerfile' }).click();
  await page.getByText('Reconstructed, not the original').waitFor();
  await page.getByRole('button', { name: 'Copy the Dockerfile' }).click();
  const copied = await page.evaluate<string>('navigator.clipboard.readText()');
  assert.match(copied, new RegExp(`^FROM ${hub.host}/library/base:slim\\nRUN echo`));
  await page.goto('/r/admin/carried?reference=v1&view=dockerfile');
  await page.getByText('The Dockerfile that came with the image').waitFor();

  // Attachments, vulnerabilities, relatives, the other platform.
  await page.goto(`${IMAGE}&view=provenance`);
  await page.getByRole('button', { name: /^Content of sbom/ }).click();
  await page.getByRole('region', { name: 'the document' }).getByText('"name":').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('tab', { name: 'Vulnerabilities' }).click();
  await page.getByText('No scanner is connected to this hub yet.').waitFor();
  await page.getByText('linux/arm64/v8').click();
  await page.getByRole('tab', { name: 'Referrers' }).click();
  await page.getByText('Nothing refers to this image.').waitFor();
  await page.getByText('linux/amd64').first().click();
  await page.getByRole('tab', { name: 'Uses & used by' }).click();
  await page.getByRole('table', { name: 'Used by' }).getByText('admin/child:v2').waitFor();
  await page.getByRole('table', { name: 'Uses' }).getByRole('link', { name: 'library/base:slim' }).click();
  await page.getByRole('heading', { name: 'library/base:slim' }).waitFor();

  // A layer that cannot be listed is named, and hides nothing else.
  await page.goto('/r/admin/broken?reference=v1&view=files');
  await page.getByText('The files of 1 layer are not known').waitFor();
  await page.getByText(/the path climbs/).waitFor();
  await page.getByRole('button', { name: 'etc', exact: true }).waitFor();
  await leave();
});

/** Everything an image's page can show; `act` opens what is behind a click. */
const VIEWS: readonly (readonly [path: string, act?: (page: Page) => Promise<unknown>])[] = [
  [IMAGE, (page) => page.locator('[data-layer] [aria-expanded]').filter({ visible: true }).first().click()],
  [`${IMAGE}&view=files`, (page) => page.getByRole('button', { name: 'app', exact: true }).click()],
  [`${IMAGE}&view=files`, (page) => page.getByLabel('Find').fill('app')],
  [`${IMAGE}&view=files`, openFile],
  [`${IMAGE}&view=config`],
  [`${IMAGE}&view=dockerfile`],
  ['/r/admin/carried?reference=v1&view=dockerfile'],
  [`${IMAGE}&view=provenance`],
  [`${IMAGE}&view=provenance`, (page) => page.getByRole('button', { name: /^Content of sbom/ }).click()],
  [`${IMAGE}&view=vulnerabilities`],
  [`${IMAGE}&view=referrers`],
  ['/r/admin/child?reference=v2&view=referrers'],
  [`${IMAGE}&view=family`],
  ['/r/admin/broken?reference=v1'],
];

async function openFile(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'app', exact: true }).click();
  await page.getByRole('button', { name: 'main.py', exact: true }).click();
  await page.getByRole('region', { name: 'the file' }).waitFor();
}

for (const [colorScheme, width] of [
  ['light', 1280],
  ['light', 390],
  ['dark', 1280],
  ['dark', 390],
] as const) {
  test(`every view of an image is accessible, ${colorScheme}, ${width} wide, and runs nothing it shows`, {
    skip,
    timeout: 120_000,
  }, async () => {
    const { page, leave } = await visitSignedIn({ colorScheme, viewport: { width, height: 800 } });
    for (const [path, act] of VIEWS) {
      await page.goto(path);
      await page.locator('h1').first().waitFor();
      await page.getByRole('tabpanel').locator(':not([role=status])').first().waitFor();
      await page.locator('.mantine-Loader-root').first().waitFor({ state: 'detached' });
      await act?.(page);
      await page.waitForTimeout(300); // dialogs fade in; half-way colors are nobody's
      await checkWidth(page, path);
      await checkAccessibility(page, `${path} (${act ?? 'as it opens'})`);
      assert.equal(await page.locator('main img, main script, [role=dialog] img').count(), 0, path);
    }
    await leave();
  });
}
