/** A store that was damaged on the disk: what is hit says so and how to mend it, everything else goes on, and a pull mends it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { makeImageArchive, NEEDS_BUSYBOX } from '../support/busybox.ts';
import { NEEDS_ENGINE, startDaemon, type TestDaemon } from '../support/daemon.ts';
import { startRegistry } from '../support/registry.ts';

const skip = NEEDS_ENGINE || NEEDS_BUSYBOX;
const PROGRAM = resolve(import.meta.dirname, '../../bin/slipway');

interface Said {
  readonly code: number;
  readonly text: string;
}

/** The registry is in this process: a command must not stop it. */
async function slipway(daemon: TestDaemon, args: readonly string[]): Promise<Said> {
  const child = spawn(PROGRAM, args, {
    env: { ...process.env, DOCKER_HOST: daemon.host, DOCKER_CONFIG: daemon.dir, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (text += String(chunk)));
  const [code] = (await once(child, 'close')) as [number];
  return { code, text };
}

/** Where the parts of an image lie. */
interface Parts {
  readonly config: string;
  readonly manifest: string;
  readonly layer: string;
  readonly tree: string;
}

function findParts(root: string, id: string): Parts {
  const db = new DatabaseSync(join(root, 'state.db'), { readOnly: true });
  const one = (sql: string): string => String(Object.values(db.prepare(sql).get(id) ?? {})[0]);
  const blob = (digest: string): string => join(root, 'content/blobs', digest.replace(':', '/'));
  try {
    return {
      config: blob(id),
      manifest: blob(one('SELECT digest FROM image_manifests WHERE image_id = ?')),
      layer: blob(
        one('SELECT b.digest FROM layer_blobs b JOIN image_layers USING (diff_id) WHERE image_id = ?'),
      ),
      tree: join(
        root,
        'snapshots',
        one('SELECT snapshot_id FROM snapshot_names JOIN image_layers ON chain_id = name WHERE image_id = ?'),
      ),
    };
  } finally {
    db.close();
  }
}

function flipByte(path: string): void {
  const bytes = readFileSync(path);
  const middle = bytes.length >> 1;
  bytes[middle] = (bytes[middle] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

interface Damage {
  readonly name: string;
  readonly harm: (parts: Parts) => void;
  /** A command that needs what is damaged, `IMAGE` for its name, and what it says then. */
  readonly needs: readonly string[];
  readonly says: readonly RegExp[];
}

const RUN = ['run', '--rm', 'IMAGE', 'true'];
// Not /dev/null: the docker CLI puts a new file in its place, for the whole machine.
const SAVE = ['save', '-o', '/tmp/slipway-corrupt-store.tar', 'IMAGE'];
const PULL_FIX = /fix: {3}(?:slipway pull|pull the image again|pull or build the image again)/;

const DAMAGES: readonly Damage[] = [
  {
    name: 'a byte of the config',
    harm: ({ config }) => flipByte(config),
    needs: RUN,
    says: [/image \S+\/a:v1 is damaged: its config has other bytes/, PULL_FIX],
  },
  {
    name: 'an empty config',
    harm: ({ config }) => truncateSync(config),
    needs: ['inspect', 'IMAGE'],
    says: [/image \S+\/a:v1 is damaged: its config has other bytes/, PULL_FIX],
  },
  {
    name: 'a missing config',
    harm: ({ config }) => rmSync(config),
    needs: RUN,
    says: [/image \S+\/a:v1 is damaged: its config is missing/, PULL_FIX],
  },
  {
    name: 'a byte of the manifest',
    harm: ({ manifest }) => flipByte(manifest),
    needs: ['push', 'IMAGE'],
    says: [/blob sha256:\w+ is damaged: its file has other bytes/, PULL_FIX],
  },
  {
    name: 'a missing manifest',
    harm: ({ manifest }) => rmSync(manifest),
    needs: ['push', 'IMAGE'],
    says: [/blob sha256:\w+ is damaged: its file is missing/, PULL_FIX],
  },
  {
    name: 'a byte of the compressed layer',
    harm: ({ layer }) => flipByte(layer),
    needs: ['push', 'ELSEWHERE'],
    says: [/blob sha256:\w+ is damaged: its file has other bytes/, PULL_FIX],
  },
  {
    name: 'a missing compressed layer',
    harm: ({ layer }) => rmSync(layer),
    needs: SAVE,
    says: [/blob sha256:\w+ is damaged: its file is missing/, PULL_FIX],
  },
  {
    name: 'a missing tree',
    harm: ({ tree }) => rmSync(tree, { recursive: true }),
    needs: RUN,
    says: [/layer sha256:\w+ is damaged: its folder "snapshots\/\d+" is missing/, PULL_FIX],
  },
];

test('what is damaged on the disk says so, harms nothing else, and a pull mends it', { skip }, async () => {
  await using registry = await startRegistry();
  await using elsewhere = await startRegistry();
  const [image, other] = ['a', 'b'].map((name) => `${new URL(registry.url).host}/${name}:v1`) as [
    string,
    string,
  ];
  const copy = `${new URL(elsewhere.url).host}/a:v1`;
  let daemon = await startDaemon();
  const run = (args: readonly string[]): Promise<Said> => {
    const words: Readonly<Record<string, string>> = {
      IMAGE: image,
      ELSEWHERE: copy,
      FILE: join(daemon.dir, 'saved'),
    };
    const named = args.map((arg) => words[arg] ?? arg);
    return slipway(daemon, named);
  };
  const works = async (...args: readonly string[]): Promise<string> => {
    const { code, text } = await run(args);
    assert.equal(code, 0, `${args.join(' ')}: ${text}`);
    return text;
  };
  try {
    const path = join(daemon.dir, 'image.tar');
    for (const name of [image, other]) {
      writeFileSync(path, makeImageArchive({ tags: [name], files: { only: name } }).archive);
      for (const args of [
        ['load', '-i', path],
        ['push', name],
        ['rmi', '-f', name],
        ['pull', name],
      ])
        await works(...args);
    }
    await works('tag', 'IMAGE', 'ELSEWHERE');
    const [{ Id }] = JSON.parse(await works('inspect', 'IMAGE')) as [{ Id: string }];
    for (const { name, harm, needs, says } of DAMAGES) {
      await daemon.stop();
      harm(findParts(daemon.root, Id));
      daemon = await daemon.restart();
      const { code, text } = await run(needs);
      assert.notEqual(code, 0, name);
      for (const pattern of says) assert.match(text, pattern, name);
      const list = await works('images');
      for (const one of [image, other]) assert.ok(list.includes(one.replace(':v1', '')), `${name}: ${list}`);
      await works('run', '--rm', other, 'true');
      await works('pull', 'IMAGE');
      await works(...needs);
      await works(...RUN);
    }
  } finally {
    await daemon.dispose();
  }
});

const ROWS: readonly string[] = [
  `INSERT INTO containers (id, name, created_at, document) VALUES ('${'a'.repeat(64)}', 'unreadable', 1, '{oops')`,
  "INSERT INTO volumes (name, created_at, document) VALUES ('unreadable', 1, '{oops')",
  "INSERT INTO networks (id, name, created_at, document) VALUES ('zz', 'unreadable', 1, '{oops')",
  "INSERT INTO build_records (id, created_at, document) VALUES ('r', 1, '{oops')",
  `INSERT INTO build_cache (cache_key, snapshot_name, size, created_at, used_at, record_id, document)
   VALUES ('k', 'nowhere', 1, 1, 1, 'r', '{oops')`,
];

test('rows that cannot be read are passed over, told in the log, and their names can be used again', {
  skip,
}, async () => {
  let daemon = await startDaemon();
  const works = async (...args: readonly string[]): Promise<string> => {
    const { code, text } = await slipway(daemon, args);
    assert.equal(code, 0, `${args.join(' ')}: ${text}`);
    return text;
  };
  try {
    const path = join(daemon.dir, 'image.tar');
    writeFileSync(path, makeImageArchive({ tags: ['box:v1'] }).archive);
    await works('load', '-i', path);
    await daemon.stop();
    const db = new DatabaseSync(join(daemon.root, 'state.db'));
    for (const sql of ROWS) db.exec(sql);
    db.close();
    mkdirSync(join(daemon.root, 'volumes/unreadable/_data'), { recursive: true });
    writeFileSync(join(daemon.root, 'volumes/unreadable/_data/kept'), 'kept');
    daemon = await daemon.restart();
    for (const kind of ['container', 'volume', 'network'])
      assert.match(daemon.log(), new RegExp(`error .*${kind}.* cannot be read`), kind);
    for (const args of [
      ['ps', '-a'],
      ['volume', 'ls'],
      ['network', 'ls'],
      ['system', 'df'],
    ])
      await works(...args);
    await works('network', 'create', 'unreadable');
    await works(
      'run',
      '--name',
      'unreadable',
      '--network',
      'unreadable',
      '-v',
      'unreadable:/data',
      'box:v1',
      'cat',
      '/data/kept',
    );
    await works('rm', 'unreadable');
    await works('network', 'rm', 'unreadable');
    assert.match(await works('system', 'prune', '-f'), /Deleted build cache objects:\s+k\b/);
  } finally {
    await daemon.dispose();
  }
});
