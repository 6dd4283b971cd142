/**
 * The peers, set up from Debian's packages: a root of the newest suite with dockerd, entered in a
 * mount namespace of its own so that nothing is left mounted. Kept between runs under the cache folder.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Watched } from './memory-sampler.ts';

const SUITE = 'trixie';
/** A bridge of its own: another Docker on this host keeps docker0. */
const PEER_BRIDGE = 'slipwaybench0';
const PACKAGES = 'docker.io,docker-cli,containerd,runc,iptables,iproute2,ca-certificates';

/** Names of the processes of each engine and of what it starts for its own work; its shims and containers are no part of it. */
const PEER_PROCESSES = '^(dockerd|containerd|docker-.*|exe|unpigz|unxz|xz|gzip)$';
const OUR_PROCESSES = '^(node.*|MainThread|slipway.*|igzip|gzip|zstd|xz)$';

/** A running engine to measure: where its socket is, and the processes that make it up. */
export interface EngineUnderTest {
  readonly name: string;
  readonly socket: string;
  /** Processes whose memory counts. */
  readonly processes: Omit<Watched, 'side'>;
  stop(): Promise<void>;
}

/** Makes (once) the root with the peer's packages; returns its path. */
export function ensurePeerRoot(cache: string): string {
  const root = join(cache, SUITE);
  if (existsSync(join(root, 'usr/sbin/dockerd'))) return root;
  mkdirSync(cache, { recursive: true });
  const sources = debianSources().replaceAll(/bookworm|bullseye|noble|jammy/g, SUITE);
  const options = aptOptions().flatMap((option) => ['--aptopt', option]);
  const args = ['--variant=minbase', '--mode=root', ...options, `--include=${PACKAGES}`, SUITE, root, '-'];
  const made = spawnSync('mmdebstrap', args, { input: sources, stdio: ['pipe', 'ignore', 'inherit'] });
  if (made.status !== 0) {
    rmSync(root, { recursive: true, force: true });
    throw new Error('cannot make a root with the peer engine: mmdebstrap failed');
  }
  return root;
}

/** The apt sources of this machine, or Debian's own address. */
export function debianSources(): string {
  const file = '/etc/apt/sources.list.d/debian.sources';
  if (existsSync(file)) return readFileSync(file, 'utf8');
  return 'Types: deb\nURIs: http://deb.debian.org/debian\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n';
}

/** Settings of this machine's apt that a mirror may need. */
export function aptOptions(): string[] {
  const dump = spawnSync('apt-config', ['dump'], { encoding: 'utf8' }).stdout ?? '';
  return dump
    .split('\n')
    .filter((line) => /^Acquire::(Check-Valid-Until|Check-Date|https?::Proxy) /.test(line))
    .map((line) => line.replace(/;$/, ''));
}

/** Starts the peer's dockerd (with its containerd) on a socket below `dir`. */
export async function startDockerd(root: string, dir: string): Promise<EngineUnderTest> {
  const sock = join(dir, 'sock');
  const data = join(dir, 'data');
  mkdirSync(sock, { recursive: true });
  mkdirSync(data, { recursive: true });
  const script = `
set -e
mount --make-rprivate /
mount --bind ${root} ${root}
mkdir -p ${root}/data ${root}/sock ${root}/mnt
mount -t proc proc ${root}/proc; mount --rbind /sys ${root}/sys; mount --rbind /dev ${root}/dev
mount --bind ${data} ${root}/data; mount --bind ${sock} ${root}/sock
mount -t tmpfs tmpfs ${root}/run
cp /etc/resolv.conf ${root}/etc/resolv.conf
ip link add ${PEER_BRIDGE} type bridge 2>/dev/null || true
ip addr replace 172.31.99.1/24 dev ${PEER_BRIDGE}
ip link set ${PEER_BRIDGE} up
cd ${root}; pivot_root . mnt; umount -l /mnt
exec dockerd --data-root /data --exec-root /run/docker -H unix:///sock/docker.sock --pidfile /run/docker.pid --bridge ${PEER_BRIDGE} --insecure-registry 127.0.0.0/8
`;
  writeFileSync(join(dir, 'start.sh'), script);
  const child = spawn('unshare', ['-m', 'bash', join(dir, 'start.sh')], {
    stdio: 'ignore',
    detached: true,
  });
  const socket = join(sock, 'docker.sock');
  await waitForSocket(socket, child);
  return {
    name: 'dockerd',
    socket,
    processes: { pid: child.pid ?? 0, names: PEER_PROCESSES },
    stop: async () => {
      await stopChild(child);
      spawnSync('ip', ['link', 'del', PEER_BRIDGE]);
    },
  };
}

/** Starts our engine from `program` (`bin/slipway`) on roots below `dir`. */
export async function startSlipway(program: string, dir: string): Promise<EngineUnderTest> {
  const socket = join(dir, 'slipway.sock');
  mkdirSync(dir, { recursive: true });
  const args = [
    'daemon',
    '--root',
    join(dir, 'root'),
    '--exec-root',
    join(dir, 'exec'),
    '--host',
    `unix://${socket}`,
  ];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  await waitForSocket(socket, child);
  return {
    name: 'slipway',
    socket,
    processes: { pid: child.pid ?? 0, path: join(dir, 'exec'), names: OUR_PROCESSES },
    stop: () => stopChild(child),
  };
}

/** A docker-registry of Debian on a free port with an empty store. */
export async function startDockerRegistry(
  dir: string,
  port: number,
): Promise<{ readonly address: string; stop(): Promise<void> }> {
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  const config = `version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: ${dir}/data}, delete: {enabled: true}}\nhttp: {addr: 127.0.0.1:${port}}\n`;
  writeFileSync(join(dir, 'config.yml'), config);
  const child = spawn('docker-registry', ['serve', join(dir, 'config.yml')], { stdio: 'ignore' });
  await waitForPort(port, child);
  return { address: `127.0.0.1:${port}`, stop: () => stopChild(child) };
}

async function waitForSocket(path: string, child: ChildProcess): Promise<void> {
  await waitFor(() => canConnect({ path }), child, path);
}

async function waitForPort(port: number, child: ChildProcess): Promise<void> {
  await waitFor(() => canConnect({ host: '127.0.0.1', port }), child, `port ${port}`);
}

async function waitFor(isReady: () => Promise<boolean>, child: ChildProcess, what: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`${what}: the process ended with ${child.exitCode}`);
    if (await isReady()) return;
    await sleep(100);
  }
  throw new Error(`${what} did not answer within 30 s`);
}

function canConnect(
  target: { readonly path: string } | { readonly host: string; readonly port: number },
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(target as { path: string });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  child.kill('SIGTERM');
  await Promise.race([once(child, 'exit'), sleep(15_000)]);
  if (child.exitCode === null) child.kill('SIGKILL');
}
