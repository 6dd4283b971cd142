/** A small image of this machine's static busybox, as a Docker archive and as the tar of a root file system. */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf } from '#oci/digest/index.ts';

const BUSYBOX = '/bin/busybox';

/** Why tests that need it are skipped, or `false`. */
export const NEEDS_BUSYBOX = existsSync(BUSYBOX) ? false : 'busybox (static) is not installed';

const APPLETS = [
  'sh',
  'cat',
  'echo',
  'ls',
  'sleep',
  'true',
  'false',
  'id',
  'env',
  'wget',
  'ip',
  'stty',
  'head',
  'yes',
  'touch',
  'mkdir',
  'rm',
  'test',
  'seq',
  'kill',
  'trap',
  'nc',
  'ping',
  'stat',
  'mount',
  'hostname',
  'tr',
  'wc',
  'date',
  'dd',
  'chmod',
  'chown',
  'ln',
  'cp',
  'mv',
  'ps',
  'nslookup',
  'httpd',
];

/** The tar of a root file system with busybox and its applets; the same bytes every time. */
export function makeRootfsTar(extra: Readonly<Record<string, string>> = {}): Buffer {
  const dir = mkdtempSync(join(tmpdir(), 'slipway-rootfs-'));
  try {
    for (const name of ['bin', 'etc', 'tmp', 'root']) mkdirSync(join(dir, name));
    copyFileSync(BUSYBOX, join(dir, 'bin/busybox'));
    for (const name of APPLETS) symlinkSync('busybox', join(dir, 'bin', name));
    writeFileSync(
      join(dir, 'etc/passwd'),
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n',
    );
    writeFileSync(join(dir, 'etc/group'), 'root:x:0:\nnogroup:x:65534:\n');
    for (const [path, text] of Object.entries(extra)) writeFileSync(join(dir, path), text);
    const stable = [
      '--sort=name',
      '--mtime=@1700000000',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mode=u+rwX,go+rX',
    ];
    return execFileSync('tar', ['-C', dir, ...stable, '-c', '.'], { maxBuffer: 64 * 1024 * 1024 });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A Docker archive (`docker load`) of one image with one layer. */
export function makeImageArchive(options: {
  readonly tags: readonly string[];
  readonly cmd?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
}): { readonly archive: Buffer; readonly id: string; readonly diffId: string } {
  const layer = makeRootfsTar(options.files);
  const diffId = digestOf(layer);
  const config = Buffer.from(
    JSON.stringify({
      created: '2026-01-02T03:04:05Z',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: options.cmd ?? ['sh'], Labels: options.labels ?? {} },
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [
        { created: '2026-01-02T03:04:05Z', created_by: '/bin/sh -c #(nop) ADD file:busybox in / ' },
        { created: '2026-01-02T03:04:05Z', created_by: '/bin/sh -c #(nop)  CMD ["sh"]', empty_layer: true },
      ],
    }),
  );
  const id = digestOf(config);
  const configName = `${id.slice('sha256:'.length)}.json`;
  const manifest = [{ Config: configName, RepoTags: options.tags, Layers: ['layer.tar'] }];
  const dir = mkdtempSync(join(tmpdir(), 'slipway-archive-'));
  try {
    writeFileSync(join(dir, 'layer.tar'), layer);
    writeFileSync(join(dir, configName), config);
    writeFileSync(join(dir, 'manifest.json'), JSON.stringify(manifest));
    const path = join(dir, 'out.tar');
    execFileSync('tar', ['-C', dir, '-cf', path, 'manifest.json', configName, 'layer.tar']);
    return { archive: readFileSync(path), id, diffId };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
