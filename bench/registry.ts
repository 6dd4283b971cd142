/**
 * Our registry against Debian's docker-registry, both over a folder on the same disk, in turns.
 * By itself: node bench/registry.ts [--program SLIPWAY] [--json FILE] [--runs N] [--only CASE,…]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { CaseResult } from './engine-cases.ts';
import { compare, figuresOf, heldBytes } from './measure.ts';
import { startDockerRegistry } from './peers.ts';
import { locationPath, RawConnection } from './raw-http.ts';

/** Options of `runRegistryBench`. */
export interface RegistryBenchOptions {
  /** The `slipway` to measure; when it is not there, the checkout's sources are run. */
  readonly program?: string;
  readonly runs?: number;
  /** Cases by the first word of their name; all when left out. */
  readonly only?: readonly string[];
  readonly log?: (text: string) => void;
}

const CONCURRENCY = 16;
const MIB = 2 ** 20;
const BLOB_BYTES = 256 * MIB;
const PEER_PORT = 5918;

interface Target {
  readonly host: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** What one run of a case does, and what it returns: a rate. */
type Measure = (target: Target, run: number) => Promise<number>;

interface Case {
  readonly name: string;
  readonly unit: string;
  readonly goal: number;
  readonly measure: Measure;
}

/** Measures every case on both registries; `ratio` is ours ÷ peer's. */
export async function runRegistryBench(options: RegistryBenchOptions = {}): Promise<CaseResult[]> {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-bench-registry-'));
  const log = options.log ?? (() => {});
  const ours = await startHub(join(dir, 'ours'), options.program);
  const peer = await startPeer(join(dir, 'peer'));
  try {
    const idle = { ours: heldBytes([ours.pid]), peer: heldBytes([peer.pid]) };
    const peak = { ...idle };
    const timer = setInterval(() => {
      peak.ours = Math.max(peak.ours, heldBytes([ours.pid]));
      peak.peer = Math.max(peak.peer, heldBytes([peer.pid]));
    }, 200);
    await prepare(ours);
    await prepare(peer);
    const results: CaseResult[] = [];
    for (const one of CASES) {
      if (options.only !== undefined && !options.only.some((word) => one.name.includes(word))) continue;
      log(`registry: ${one.name}`);
      results.push(await runCase(one, ours, peer, options.runs ?? 3));
    }
    clearInterval(timer);
    results.push(memoryRow('registry: memory idle', idle), memoryRow('registry: memory peak', peak));
    return results;
  } finally {
    await ours.stop();
    await peer.stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function runCase(one: Case, ours: Target, peer: Target, runs: number): Promise<CaseResult> {
  let run = 0;
  const figures = await compare(
    { name: 'slipway', run: () => one.measure(ours, run++) },
    { name: 'docker-registry', run: () => one.measure(peer, run++) },
    { runs, warmup: 1 },
  );
  return {
    case: `registry: ${one.name}`,
    unit: one.unit,
    ...figures,
    ratio: figures.ours.median / figures.peer.median,
    goal: one.goal,
    higherIsBetter: true,
  };
}

const CASES: readonly Case[] = [
  { name: 'push 256 MiB', unit: 'MiB/s', goal: 1.2, measure: measurePush },
  { name: 'pull 256 MiB, 1 client', unit: 'MiB/s', goal: 1, measure: (target) => measurePull(target, 1) },
  { name: 'pull 256 MiB, 4 clients', unit: 'MiB/s', goal: 1, measure: (target) => measurePull(target, 4) },
  {
    name: 'manifest GET by tag',
    unit: '/s',
    goal: 4,
    measure: (target) => measureReads(target, 'GET', '/manifests/v1'),
  },
  {
    name: 'manifest HEAD by tag',
    unit: '/s',
    goal: 4,
    measure: (target) => measureReads(target, 'HEAD', '/manifests/v1'),
  },
  {
    name: 'blob HEAD',
    unit: '/s',
    goal: 4,
    measure: (target) => measureReads(target, 'HEAD', `/blobs/${CONFIG.digest}`),
  },
  { name: '4 KiB blob uploads, durable', unit: '/s', goal: 2, measure: measureSmallUploads },
  { name: 'manifest PUT, new tag', unit: '/s', goal: 2, measure: measureManifestPuts },
];

const REPOSITORY = '/v2/bench/image';
const OCTETS = 'Content-Type: application/octet-stream\r\n';
const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG = blobOf(
  Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'),
);
const BIG = randomBytes(BLOB_BYTES);
const BIG_DIGEST = blobOf(BIG).digest;

function blobOf(bytes: Buffer): { readonly bytes: Buffer; readonly digest: string } {
  return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` };
}

function manifestOf(label: string): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: CONFIG.digest,
        size: CONFIG.bytes.byteLength,
      },
      layers: [],
      annotations: { label, padding: 'x'.repeat(600) },
    }),
  );
}

/** What the reading cases read. */
async function prepare(target: Target): Promise<void> {
  const connection = await RawConnection.open(target.host);
  await pushBlob(connection, CONFIG);
  await pushBlob(connection, { bytes: BIG, digest: BIG_DIGEST });
  await putManifest(connection, 'v1', manifestOf('v1'));
  connection.close();
}

async function pushBlob(
  connection: RawConnection,
  blob: { readonly bytes: Buffer; readonly digest: string },
): Promise<void> {
  const begun = await connection.request('POST', `${REPOSITORY}/blobs/uploads/`);
  expectStatus(begun.status, 202);
  const path = locationPath(begun);
  const url = `${path}${path.includes('?') ? '&' : '?'}digest=${blob.digest}`;
  const done = await connection.request('PUT', url, { headers: OCTETS, body: piecesOf(blob.bytes) });
  expectStatus(done.status, 201);
}

async function putManifest(connection: RawConnection, tag: string, body: Buffer): Promise<void> {
  const headers = `Content-Type: ${MANIFEST_TYPE}\r\n`;
  const answer = await connection.request('PUT', `${REPOSITORY}/manifests/${tag}`, { headers, body });
  expectStatus(answer.status, 201);
}

function piecesOf(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < bytes.byteLength; at += MIB) pieces.push(bytes.subarray(at, at + MIB));
  return pieces;
}

/** A fresh blob each time: no registry has it yet. */
async function measurePush(target: Target, run: number): Promise<number> {
  BIG.writeUInt32LE(run + 1, 0);
  const blob = blobOf(BIG);
  const connection = await RawConnection.open(target.host);
  const started = performance.now();
  await pushBlob(connection, blob);
  const seconds = (performance.now() - started) / 1000;
  const deleted = await connection.request('DELETE', `${REPOSITORY}/blobs/${blob.digest}`);
  expectStatus(deleted.status, 202);
  connection.close();
  return BLOB_BYTES / MIB / seconds;
}

async function measurePull(target: Target, clients: number): Promise<number> {
  const connections = await openAll(target, clients);
  const started = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      const answer = await connection.request('GET', `${REPOSITORY}/blobs/${BIG_DIGEST}`);
      expectStatus(answer.status, 200);
      if (answer.bodyBytes !== BLOB_BYTES) throw new Error(`pulled ${answer.bodyBytes} bytes`);
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  for (const connection of connections) connection.close();
  return (clients * BLOB_BYTES) / MIB / seconds;
}

function measureReads(target: Target, method: string, path: string): Promise<number> {
  return measureRate(target, 2000, async (connection) => {
    const answer = await connection.request(method, `${REPOSITORY}${path}`, {
      headers: `Accept: ${MANIFEST_TYPE}\r\n`,
    });
    expectStatus(answer.status, 200);
  });
}

function measureSmallUploads(target: Target): Promise<number> {
  return measureRate(target, 3000, (connection) => pushBlob(connection, blobOf(randomBytes(4096))));
}

function measureManifestPuts(target: Target): Promise<number> {
  return measureRate(target, 3000, (connection) => {
    const label = randomBytes(8).toString('hex');
    return putManifest(connection, label, manifestOf(label));
  });
}

/** Runs `work` over and over on every connection for a time; returns how often per second. */
async function measureRate(
  target: Target,
  durationMs: number,
  work: (connection: RawConnection) => Promise<void>,
): Promise<number> {
  const connections = await openAll(target, CONCURRENCY);
  let count = 0;
  const started = performance.now();
  await Promise.all(
    connections.map(async (connection) => {
      while (performance.now() - started < durationMs) {
        await work(connection);
        count++;
      }
    }),
  );
  const seconds = (performance.now() - started) / 1000;
  for (const connection of connections) connection.close();
  return count / seconds;
}

function openAll(target: Target, count: number): Promise<RawConnection[]> {
  return Promise.all(Array.from({ length: count }, () => RawConnection.open(target.host)));
}

function expectStatus(status: number, wanted: number): void {
  if (status !== wanted) throw new Error(`answered ${status}, not ${wanted}`);
}

function memoryRow(name: string, values: { readonly ours: number; readonly peer: number }): CaseResult {
  const [ours, peer] = [values.ours / MIB, values.peer / MIB];
  return {
    case: name,
    unit: 'MiB',
    ours: figuresOf([ours]),
    peer: figuresOf([peer]),
    ratio: ours / peer,
    higherIsBetter: false,
  };
}

async function startHub(root: string, program: string | undefined): Promise<Target> {
  const source = resolve(import.meta.dirname, '../src/main/hub.ts');
  const flags = ['--root', root, '--open', '--listen', '127.0.0.1:0'];
  const child =
    program !== undefined && existsSync(program)
      ? spawn(program, ['hub', ...flags], { stdio: ['ignore', 'pipe', 'inherit'] })
      : spawn(process.execPath, ['--disable-warning=ExperimentalWarning', source, ...flags], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
  const line = await Promise.race([
    once(child.stdout, 'data').then(([chunk]) => String(chunk)),
    once(child, 'exit').then(([code]) => `(nothing: it ended with ${String(code)})`),
  ]);
  const host = /http:\/\/([0-9.:]+)/.exec(line)?.[1];
  if (host === undefined) throw new Error(`the hub said "${line.trim()}"`);
  return { host, pid: child.pid ?? 0, stop: () => stopChild(child) };
}

async function startPeer(dir: string): Promise<Target> {
  const peer = await startDockerRegistry(dir, PEER_PORT);
  return { host: peer.address, pid: pidListening(PEER_PORT), stop: () => peer.stop() };
}

/** The process that listens on a port of ours, through /proc. */
function pidListening(port: number): number {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const row = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .find((line) => line.includes(`0100007F:${hex} 00000000:0000 0A`));
  const inode = row?.trim().split(/\s+/)[9];
  const found = findSocketOwner(`socket:[${inode ?? ''}]`);
  return found ?? 0;
}

function findSocketOwner(link: string): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^[0-9]+$/.test(name))) {
    try {
      const fds = readdirSync(`/proc/${pid}/fd`);
      if (fds.some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === link)) return Number(pid);
    } catch {
      // It ended, or an fd was closed meanwhile.
    }
  }
  return undefined;
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

if (process.argv[1] === import.meta.filename) await main();

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      program: { type: 'string' },
      json: { type: 'string' },
      runs: { type: 'string', default: '3' },
      only: { type: 'string' },
    },
  });
  const only = values.only?.split(',');
  const results = await runRegistryBench({
    runs: Number(values.runs),
    ...(only === undefined ? {} : { only }),
    ...(values.program === undefined ? {} : { program: values.program }),
  });
  for (const row of results) {
    const [ours, peer] = [row.ours.median, row.peer.median].map((value) => value.toFixed(0).padStart(8));
    console.log(`${row.case.padEnd(44)} ${ours} ${peer} ${row.unit.padEnd(6)} ${row.ratio.toFixed(2)}`);
  }
  if (values.json === undefined) return;
  const rows = results.map((row) => ({
    case: row.case,
    ours: row.ours.median,
    peer: row.peer.median,
    ratio: row.ratio,
  }));
  writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
}
