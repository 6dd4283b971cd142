/**
 * The tutorial from start to end on real images, each step with the ordinary command it stands for and its time.
 * `--down` ends what it started; SLIPWAY_ROOT says where everything is kept.
 */
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const here = resolve(import.meta.dirname, '..');
const slipway = join(here, 'bin/slipway');
const root = resolve(process.env['SLIPWAY_ROOT'] || '/var/lib/slipway-quickstart');
const port = Number(process.env['SLIPWAY_HUB_PORT'] || 5050);
const hub = `localhost:${port}`;
const socket = join(root, 'slipway.sock');
const client = {
  ...process.env,
  SLIPWAY_HOST: `unix://${socket}`,
  DOCKER_HOST: `unix://${socket}`,
  DOCKER_CONFIG: join(root, 'client'),
};
const work = mkdtempSync(join(tmpdir(), 'slipway-quickstart-'));
const times: { readonly what: string; readonly seconds: number }[] = [];

interface Ran {
  readonly code: number;
  readonly output: string;
}

/** Accounts of the demonstration; the passwords are made up once and kept with the data. */
interface People {
  readonly admin: string;
  readonly cynthia: string;
}

try {
  await main();
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function main(): Promise<void> {
  if (process.argv.includes('--down')) {
    process.exitCode = (await show('Stop', ['down', '--root', root])).code;
    return;
  }
  const started = performance.now();
  await services();
  const people = await accounts();
  await baseImages(people);
  await firstSteps();
  await pulls(people);
  await build();
  await publish(people);
  report(performance.now() - started);
}

async function services(): Promise<void> {
  heading('1. Engine and hub');
  await must('Start engine and hub in the background', [
    'up',
    '--root',
    root,
    '--hub-listen',
    `127.0.0.1:${port}`,
  ]);
  await must('Client and server', ['version']);
  await must('Are the services running?', ['status', '--root', root]);
}

async function accounts(): Promise<People> {
  const file = join(root, 'quickstart-accounts.json');
  if (!existsSync(file)) {
    mkdirSync(root, { recursive: true, mode: 0o700 });
    const people: People = {
      admin: randomBytes(12).toString('base64url'),
      cynthia: randomBytes(12).toString('base64url'),
    };
    writeFileSync(file, JSON.stringify(people), { mode: 0o600 });
  }
  const people = JSON.parse(readFileSync(file, 'utf8')) as People;
  for (const username of ['admin', 'cynthia'] as const) {
    const answer = await api('POST', '/api/signup', {
      username,
      email: `${username}@example.org`,
      password: people[username],
    });
    if (answer.status !== 201 && answer.status !== 409)
      throw new Error(`cannot make the account ${username}: ${answer.text}`);
  }
  return people;
}

/** Bases made from Debian packages, once, and pushed to the hub: no internet registry is needed. */
async function baseImages(people: People): Promise<void> {
  heading('2. Base images');
  if (await dockerHubAnswers()) {
    for (const image of ['debian:bookworm-slim', 'busybox:latest', 'hello-world:latest'])
      await must('From Docker Hub', ['pull', image]);
    return;
  }
  say('Docker Hub cannot be reached: the bases are made from Debian packages, signatures checked.');
  await must(
    'Sign in as administrator to push official images',
    ['login', '-u', 'admin', '--password-stdin', hub],
    people.admin,
  );
  await base('busybox:latest', () => fromTar('busybox', 'CMD ["sh"]'));
  await base('hello-world:latest', () => {
    const folder = join(work, 'hello-world');
    mkdirSync(folder, { recursive: true });
    for (const name of ['Dockerfile', 'hello.txt'])
      copyFileSync(join(here, 'examples/hello-world', name), join(folder, name));
    copyFileSync('/bin/busybox', join(folder, 'busybox'));
    return folder;
  });
  await base('debian:bookworm-slim', () => fromTar('debian', 'CMD ["bash"]'));
  await must('Sign out again', ['logout', hub]);
}

/** Builds `library/<name>` from the folder `make` fills and pushes it, unless the hub has it. */
async function base(name: string, make: () => string): Promise<void> {
  const target = `${hub}/library/${name}`;
  const [repository = '', tag = ''] = name.split(':');
  const known = await fetch(`http://${hub}/v2/library/${repository}/manifests/${tag}`, {
    method: 'HEAD',
    headers: await anonymous(`repository:library/${repository}:pull`),
  });
  if (known.ok) {
    say(`${target} is on the hub already`);
    if ((await run(['image', 'inspect', name])).code === 0) return;
    await must(`Bring ${name} back`, ['pull', '-q', target]);
    await must('', ['tag', target, name]);
    return;
  }
  const folder = make();
  await must(`Build ${name}`, ['build', '-q', '-t', target, folder]);
  await must(`Push ${name}`, ['push', '-q', target]);
  await must(`Give ${name} its short name`, ['tag', target, name]);
}

/** A build folder whose one layer is a root file system made from packages. */
function fromTar(kind: 'busybox' | 'debian', command: string): string {
  const folder = join(work, kind);
  mkdirSync(folder, { recursive: true });
  say(`making the ${kind} root file system ...`);
  const made = spawnSync('bash', [join(here, 'scripts/make-base.sh'), kind, join(folder, 'rootfs.tar')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (made.status !== 0) throw new Error(`cannot make the ${kind} base`);
  writeFileSync(join(folder, 'Dockerfile'), `FROM scratch\nADD rootfs.tar /\n${command}\n`);
  return folder;
}

async function firstSteps(): Promise<void> {
  heading('3. The first container');
  await must('Run hello-world', ['run', '--rm', 'hello-world']);
}

async function pulls(people: People): Promise<void> {
  heading('4. Base images from a public and a private repository');
  await must('Pull from a public repository', ['pull', `${hub}/library/debian:bookworm-slim`]);
  const secret = `${hub}/cynthia/private-base:v1`;
  await must('Cynthia signs in', ['login', '-u', 'cynthia', '--password-stdin', hub], people.cynthia);
  await must('(she keeps a private image here)', ['tag', 'busybox:latest', secret]);
  await must('', ['push', '-q', secret]);
  await must('', ['rmi', secret]);
  await must('', ['logout', hub]);
  await mustFail('Pull from a private repository without signing in', ['pull', secret]);
  await must('Sign in', ['login', '-u', 'cynthia', '--password-stdin', hub], people.cynthia);
  await must('Pull it', ['pull', secret]);
}

async function build(): Promise<void> {
  heading('5. Build (h5py and pandas; the whole set with gensim is npm run test:long)');
  const folder = join(here, 'examples/tutorial');
  say(readFileSync(join(folder, 'Dockerfile'), 'utf8').trimEnd());
  await must('Build', ['build', '-t', 'demo-push:v1', folder]);
  await must('Build again with another file name: all from the cache', [
    'build',
    '-t',
    'demo-push:v1',
    '-f',
    join(folder, 'MyDockerfile'),
    folder,
  ]);
  await must('Run it', ['run', '--rm', 'demo-push:v1']);
}

async function publish(people: People): Promise<void> {
  heading('6. Publish');
  const target = `${hub}/cynthia/demo-push:v1`;
  const cookie = await signIn('cynthia', people.cynthia);
  const created = await api(
    'POST',
    '/api/repositories',
    { namespace: 'cynthia', name: 'demo-push', description: 'The tutorial image', visibility: 'public' },
    cookie,
  );
  say(
    created.status === 201
      ? 'made the repository cynthia/demo-push on the hub'
      : 'the repository cynthia/demo-push is on the hub already',
  );
  await run(['rmi', target]);
  await mustFail("Push before the image has the repository's name", ['push', target]);
  await must('Give it the name', ['tag', 'demo-push:v1', target]);
  const pushed = await must('Push', ['push', target]);
  await must('Remove it here', ['rmi', '-f', 'demo-push:v1', target]);
  const pulled = await must('Pull it again', ['pull', target]);
  const digest = (text: string): string => /digest: (sha256:[0-9a-f]{64})/i.exec(text)?.[1] ?? '';
  if (digest(pushed.output) === '' || digest(pushed.output) !== digest(pulled.output))
    throw new Error('the digest changed on the way');
  say(`the same digest both ways: ${digest(pulled.output)}`);
  await must('Run what was pulled', ['run', '--rm', target]);
  const tags = await api('GET', '/api/tags/cynthia/demo-push', undefined, cookie);
  if (!tags.text.includes('"name":"v1"')) throw new Error('the tag is not on the page');
  say("the tag v1 is on the repository's page");
}

function report(elapsedMs: number): void {
  heading('Done');
  const images = spawnSync(slipway, ['images'], { env: client, encoding: 'utf8' }).stdout.trimEnd();
  const disk = spawnSync(slipway, ['system', 'df'], { env: client, encoding: 'utf8' }).stdout.trimEnd();
  console.log(`${images}\n\n${disk}\n`);
  const slowest = [...times].sort((a, b) => b.seconds - a.seconds).slice(0, 6);
  for (const { what, seconds } of slowest) console.log(`  ${seconds.toFixed(2).padStart(7)} s  ${what}`);
  console.log(`  ${(elapsedMs / 1000).toFixed(2).padStart(7)} s  everything`);
  console.log(`
The page:     http://${hub}/r/cynthia/demo-push
Sign in as:   cynthia (the password is in ${join(root, 'quickstart-accounts.json')})
Go on with:   export SLIPWAY_HOST=unix://${socket}   and   export DOCKER_HOST=unix://${socket}   for docker
Stop it:      npm run quickstart -- --down
`);
}

async function must(title: string, args: readonly string[], input?: string): Promise<Ran> {
  const ran = await show(title, args, input);
  if (ran.code !== 0) {
    console.error(
      `\nquickstart: this step failed with exit code ${ran.code}; "bin/slipway doctor" looks for the cause.`,
    );
    process.exit(1);
  }
  return ran;
}

async function mustFail(title: string, args: readonly string[]): Promise<void> {
  const ran = await show(`${title} (is refused)`, args);
  if (ran.code === 0) throw new Error(`slipway ${args.join(' ')} was expected to be refused`);
}

/** Prints a step with its command, runs it, prints its time. */
async function show(title: string, args: readonly string[], input?: string): Promise<Ran> {
  const shown = args.map((word) => word.replace(`${here}/`, '')).join(' ');
  if (title !== '') console.log(`\n  # ${title}`);
  console.log(`  $ slipway ${shown}${input === undefined ? '' : ' < password'}`);
  const started = performance.now();
  const ran = await run(args, input, (line) => console.log(`    ${line}`));
  const seconds = (performance.now() - started) / 1000;
  times.push({ what: `slipway ${shown}`, seconds });
  console.log(`    (${seconds.toFixed(2)} s)`);
  return ran;
}

function run(args: readonly string[], input = '', onLine: (line: string) => void = () => {}): Promise<Ran> {
  const child = spawn(slipway, args, { env: client, stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.end(input);
  let output = '';
  let rest = '';
  const take = (chunk: Buffer): void => {
    output += chunk.toString();
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (!isNoise(line)) onLine(line.trimEnd());
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  return new Promise((resolve) => {
    child.on('close', (code) => {
      if (rest !== '') onLine(rest);
      resolve({ code: code ?? 1, output });
    });
  });
}

/** apt says hundreds of lines while it unpacks. */
function isNoise(line: string): boolean {
  return /^(Get:|Selecting previously|Preparing to unpack|Unpacking |Setting up |\(Reading database|Processing triggers|debconf:|Reading |Building dep|update-alternatives|E: Can't set locale)/.test(
    line.trim(),
  );
}

function heading(text: string): void {
  console.log(`\n${text}\n${'-'.repeat(text.length)}`);
}

function say(text: string): void {
  for (const line of text.split('\n')) console.log(`    ${line}`);
}

async function dockerHubAnswers(): Promise<boolean> {
  if (process.env['SLIPWAY_OFFLINE']) return false;
  try {
    const response = await fetch('https://registry-1.docker.io/v2/', { signal: AbortSignal.timeout(3000) });
    return response.status === 401 || response.ok;
  } catch {
    return false;
  }
}

async function anonymous(scope: string): Promise<Record<string, string>> {
  const answer = await api('GET', `/token?service=slipway-hub&scope=${encodeURIComponent(scope)}`);
  const token = (JSON.parse(answer.text) as { readonly token?: string }).token ?? '';
  return { authorization: `Bearer ${token}`, accept: 'application/vnd.docker.distribution.manifest.v2+json' };
}

async function signIn(login: string, password: string): Promise<string> {
  const response = await fetch(`http://${hub}/api/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ login, password }),
  });
  if (!response.ok) throw new Error(`cannot sign in as ${login}: ${await response.text()}`);
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

async function api(
  method: string,
  path: string,
  body?: object,
  cookie = '',
): Promise<{ readonly status: number; readonly text: string }> {
  const response = await fetch(`http://${hub}${path}`, {
    method,
    headers: { cookie, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
}
