import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TreeSpec } from '#build/context/index.ts';
import { FileSession } from './session.ts';
import type { SourceRequest } from './sources.ts';

const root = { skip: process.getuid?.() === 0 ? false : 'changing owners needs root' };

interface Place {
  /** The build context. */
  readonly context: string;
  /** What the layers below have. */
  readonly view: string;
  /** What the copy makes. */
  readonly upper: string;
  copy(options: CopyOptions): void;
}

interface CopyOptions {
  readonly sources: readonly string[];
  readonly to: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly from?: 'stage';
  readonly createdBy?: 'ADD' | 'COPY';
  readonly ignore?: string;
  readonly tree?: Partial<Extract<TreeSpec, { kind: 'disk' }>>;
}

function withPlace(body: (place: Place) => void | Promise<void>): () => Promise<void> {
  return async () => {
    const dir = mkdtempSync(join(tmpdir(), 'slipway-copy-'));
    const place = (name: string): string => {
      mkdirSync(join(dir, name));
      return join(dir, name);
    };
    const [context, view, upper] = [place('context'), place('view'), place('upper')];
    try {
      await body({ context, view, upper, copy: (options) => copy({ context, view, upper }, options) });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  };
}

function copy(dirs: Omit<Place, 'copy'>, options: CopyOptions): void {
  const session = new FileSession();
  const tree = session.openTree({
    kind: 'disk',
    root: dirs.context,
    linkable: false,
    rootOwned: options.from === undefined,
    ...(options.ignore === undefined ? {} : { ignore: { file: '.dockerignore', text: options.ignore } }),
    ...options.tree,
  });
  const target = session.openTarget({ upper: dirs.upper, view: dirs.view });
  const request: SourceRequest = {
    sources: options.sources,
    createdBy: options.createdBy ?? 'COPY',
    isContext: options.from === undefined,
    allowEmptyWildcard: false,
  };
  try {
    session.copy({
      tree,
      target,
      sources: session.sources({ tree, request, unpack: false }),
      destination: options.to,
      destinationIsDirectory: options.to.endsWith('/') || options.sources.length > 1,
      keepOwner: options.from === 'stage',
      parents: false,
      exclude: [],
      ...(options.chown === undefined ? {} : { chown: options.chown }),
      ...(options.chmod === undefined ? {} : { chmod: options.chmod }),
    });
  } finally {
    session.closeTree(tree);
  }
}

/** Paths of a tree, directories with a slash, links with their target. */
function treeOf(dir: string, at = ''): readonly string[] {
  return readdirSync(join(dir, at), { withFileTypes: true })
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = at === '' ? entry.name : `${at}/${entry.name}`;
      if (entry.isDirectory()) return [`${path}/`, ...treeOf(dir, path)];
      return [entry.isSymbolicLink() ? `${path} -> ${readlinkSync(join(dir, path))}` : path];
    });
}

function fill(dir: string, entries: Readonly<Record<string, string | { readonly link: string }>>): void {
  for (const [path, value] of Object.entries(entries)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    if (typeof value === 'object') symlinkSync(value.link, join(dir, path));
    else if (path.endsWith('/')) mkdirSync(join(dir, path), { recursive: true });
    else writeFileSync(join(dir, path), value);
  }
}

const CONTEXT = {
  a: 'a',
  'b.txt': 'b',
  'c.txt': 'c',
  'dir/one': '1',
  'dir/sub/two': '2',
  'empty/': '',
  'with space/x y': 'xy',
  'ünïcode/名前': 'u',
  'literal[1].txt': 'l',
  link: { link: 'dir/one' },
  dirlink: { link: 'dir' },
  abslink: { link: '/dir/one' },
  outlink: { link: '../../../../dir/one' },
  'dir/broken': { link: 'nowhere' },
};

const VIEW = {
  'etc/conf': 'old',
  'usr/bin/': '',
  'var/data/kept': 'k',
  inside: { link: '/usr/bin' },
  climbing: { link: '../../../../../../usr/bin' },
  'usr/filelink': { link: '/etc/conf' },
};

const RULES: readonly (readonly [
  why: string,
  sources: readonly string[],
  to: string,
  made: readonly string[],
])[] = [
  ['a file takes the name of the destination', ['a'], '/x', ['x']],
  ['a trailing slash makes a directory', ['a'], '/x/', ['x/', 'x/a']],
  ['parents are made', ['a'], '/p/q/x', ['p/', 'p/q/', 'p/q/x']],
  ['a file goes into a directory that exists', ['a'], '/usr/bin', ['usr/', 'usr/bin/', 'usr/bin/a']],
  ['a file that exists is replaced', ['a'], '/etc/conf', ['etc/', 'etc/conf']],
  ['several files go into the destination', ['a', 'b.txt'], '/x/', ['x/', 'x/a', 'x/b.txt']],
  [
    'of a directory the contents are copied',
    ['dir'],
    '/x',
    ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two'],
  ],
  ['also with a slash', ['dir/'], '/x/', ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two']],
  ['into a directory that exists', ['dir/sub'], '/var/data', ['var/', 'var/data/', 'var/data/two']],
  ['to the root', ['dir/sub'], '/', ['two']],
  ['an empty directory is made', ['empty'], '/x', ['x/']],
  ['a leading slash is the context', ['/a'], '/x', ['x']],
  ['a leading dot is the context', ['./a'], '/x', ['x']],
  ['dots inside are cleaned', ['dir/../dir/./one'], '/x', ['x']],
  ['dots in the destination are cleaned', ['a'], '/p/../q/./x', ['q/', 'q/x']],
  ['dots of the destination stop at the root', ['a'], '/../../x', ['x']],
  ['spaces', ['with space/x y'], '/to here/', ['to here/', 'to here/x y']],
  ['any letters', ['ünïcode'], '/ü', ['ü/', 'ü/名前']],
  ['star', ['*.txt'], '/x/', ['x/', 'x/b.txt', 'x/c.txt', 'x/literal[1].txt']],
  ['a star with a leading dot and slash', ['./?.txt'], '/x/', ['x/', 'x/b.txt', 'x/c.txt']],
  ['a class', ['[a-b].txt'], '/x/', ['x/', 'x/b.txt']],
  ['a negated class', ['[^b].txt'], '/x/', ['x/', 'x/c.txt']],
  ['a protected bracket', ['literal[[]1].txt'], '/x/', ['x/', 'x/literal[1].txt']],
  ['a pattern does not cross a slash', ['*/one'], '/x/', ['x/', 'x/one']],
  ['a link is followed', ['link'], '/x/', ['x/', 'x/link']],
  [
    'a link to a directory is that directory',
    ['dirlink'],
    '/x',
    ['x/', 'x/broken -> nowhere', 'x/one', 'x/sub/', 'x/sub/two'],
  ],
  ['an absolute link means the context', ['abslink'], '/x', ['x']],
  ['a link cannot climb out of the context', ['outlink'], '/x', ['x']],
  [
    'an absolute link at the destination means the image',
    ['a'],
    '/inside/',
    ['usr/', 'usr/bin/', 'usr/bin/a'],
  ],
  ['without slash, too', ['a'], '/inside', ['usr/', 'usr/bin/', 'usr/bin/a']],
  ['a link in the image cannot climb out of it', ['a'], '/climbing/x', ['usr/', 'usr/bin/', 'usr/bin/x']],
  ['a link to a file is written through inside the image', ['a'], '/usr/filelink', ['etc/', 'etc/conf']],
];

for (const [why, sources, to, made] of RULES) {
  test(
    `COPY ${sources.join(' ')} ${to}: ${why}`,
    root,
    withPlace(({ context, view, upper, copy }) => {
      fill(context, CONTEXT);
      fill(view, VIEW);
      copy({ sources, to });
      assert.deepEqual(treeOf(upper), made);
    }),
  );
}

const FAILURES: readonly (readonly [sources: readonly string[], to: string, message: string])[] = [
  [
    ['nope'],
    '/x',
    'COPY failed: file not found in build context or excluded by .dockerignore: stat nope: file does not exist',
  ],
  [
    ['dir/broken'],
    '/x',
    'COPY failed: file not found in build context or excluded by .dockerignore: stat dir/broken: file does not exist',
  ],
  [['../x'], '/x', 'COPY failed: forbidden path outside the build context: ../x ()'],
  [['/../x'], '/x', 'COPY failed: forbidden path outside the build context: ../x ()'],
  [['dir/../../x'], '/x', 'COPY failed: forbidden path outside the build context: dir/../../x ()'],
  [['*.nope'], '/x/', 'COPY failed: no source files were specified'],
  [['[z-'], '/x/', 'syntax error in pattern: [z-'],
  [['dir'], '/etc/conf', 'cannot copy to non-directory: /etc/conf'],
  [['a'], '/etc/conf/x', '"/etc/conf" is not a directory'],
];

for (const [sources, to, message] of FAILURES) {
  test(
    `COPY ${sources.join(' ')} ${to} is refused`,
    root,
    withPlace(({ context, view, upper, copy }) => {
      fill(context, CONTEXT);
      fill(view, VIEW);
      assert.throws(() => copy({ sources, to }), { message });
      assert.deepEqual(treeOf(upper), []);
    }),
  );
}

test(
  'a missing file of another stage is told without the context',
  root,
  withPlace(({ context, copy }) => {
    fill(context, CONTEXT);
    assert.throws(() => copy({ sources: ['nope'], to: '/x', from: 'stage' }), {
      message: 'COPY failed: stat nope: file does not exist',
    });
  }),
);

test(
  'help tells what an ignore line hides from what is absent, and names a near match',
  root,
  withPlace(({ context, copy }) => {
    fill(context, { 'secret.env': 's', 'app.py': 'a', 'logs/x.log': 'l' });
    const helpOf = (source: string): unknown => {
      try {
        copy({ sources: [source], to: '/x', ignore: '# nothing\n*.env\n\nlogs\n' });
      } catch (error) {
        return (error as { help?: unknown }).help;
      }
      return undefined;
    };
    assert.deepEqual(helpOf('secret.env'), {
      id: 'build/ignored',
      cause: '"secret.env" is in the build context, but line 2 of .dockerignore excludes it: *.env',
      fix: ['add the line !secret.env to .dockerignore, or copy another file'],
    });
    assert.match(JSON.stringify(helpOf('logs/x.log')), /line 4 of \.dockerignore excludes it: logs/);
    assert.match(JSON.stringify(helpOf('ap.py')), /did you mean app\.py\?/);
    assert.match(JSON.stringify(helpOf('APP.PY')), /did you mean app\.py\?/);
  }),
);

test(
  'ignored files are left out of directories, and exceptions come back',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { 'd/keep': 'k', 'd/drop': 'd', 'e/x': 'x', 'e/y': 'y', f: 'f' });
    copy({ sources: ['.'], to: '/', ignore: 'd/drop\ne\n!e/y\nf\n' });
    assert.deepEqual(treeOf(upper), ['d/', 'd/keep', 'e/', 'e/y']);
  }),
);

test(
  'a stage keeps its owners, the context belongs to root',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { 'd/f': 'f' });
    chownSync(join(context, 'd'), 10, 20);
    chownSync(join(context, 'd/f'), 11, 21);
    copy({ sources: ['.'], to: '/ctx' });
    copy({ sources: ['.'], to: '/stage', from: 'stage' });
    const owner = (path: string): string =>
      `${statSync(join(upper, path)).uid}:${statSync(join(upper, path)).gid}`;
    assert.deepEqual(['ctx/d', 'ctx/d/f', 'stage/d', 'stage/d/f', 'stage'].map(owner), [
      '0:0',
      '0:0',
      '10:20',
      '11:21',
      '0:0',
    ]);
  }),
);

test(
  '--chown takes names of the image, numbers, and gives new parents away too',
  root,
  withPlace(({ context, view, upper, copy }) => {
    fill(context, { f: 'f', 'd/g': 'g' });
    fill(view, {
      'etc/passwd': 'root:x:0:0::/:\nweb:x:33:44::/:\n',
      'etc/group': 'root:x:0:\nweb:x:55:\nstaff:x:50:\n',
    });
    const owner = (path: string): string =>
      `${statSync(join(upper, path)).uid}:${statSync(join(upper, path)).gid}`;
    copy({ sources: ['f'], to: '/p/f', chown: 'web' });
    assert.deepEqual(['p', 'p/f'].map(owner), ['33:55', '33:55']);
    copy({ sources: ['d'], to: '/q', chown: 'web:staff' });
    assert.deepEqual(['q', 'q/g'].map(owner), ['33:50', '33:50']);
    copy({ sources: ['f'], to: '/n', chown: '4294967294:7' });
    assert.equal(owner('n'), '4294967294:7');
    for (const [chown, detail] of [
      ['nobody', "can't find uid for user nobody: no such user: nobody"],
      ['web:nogroup', "can't find gid for group nogroup: no such group: nogroup"],
      ['4294967295', 'id 4294967295 is out of range'],
      ['a:b:c', 'invalid chown string format: a:b:c'],
    ] as const) {
      assert.throws(() => copy({ sources: ['f'], to: '/z', chown }), {
        message: `unable to convert uid/gid chown string to host mapping: ${detail}`,
      });
    }
  }),
);

test(
  'the passwd file is looked up inside the image only',
  root,
  withPlace(({ context, view, copy }) => {
    fill(context, { f: 'f' });
    fill(view, { 'etc/passwd': { link: '/../../../../../../../../etc/shadow' } });
    assert.throws(() => copy({ sources: ['f'], to: '/f', chown: 'daemon' }), /no such user: daemon/);
    rmSync(join(view, 'etc/passwd'));
    execFileSync('mkfifo', [join(view, 'etc/passwd')]);
    assert.throws(() => copy({ sources: ['f'], to: '/f', chown: 'daemon' }), /no such user: daemon/);
  }),
);

test(
  '--chmod, special bits and times',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { 'd/f': 'f', 'd/suid': 's', 'd/sub/': '' });
    chmodSync(join(context, 'd/f'), 0o640);
    chmodSync(join(context, 'd/suid'), 0o6755);
    chmodSync(join(context, 'd/sub'), 0o1777);
    const time = new Date('2001-02-03T04:05:06.789Z');
    utimesSync(join(context, 'd/f'), time, time);
    utimesSync(join(context, 'd/sub'), time, time);
    const mode = (path: string): string => (statSync(join(upper, path)).mode & 0o7777).toString(8);
    copy({ sources: ['d'], to: '/x' });
    assert.deepEqual(['x', 'x/f', 'x/suid', 'x/sub'].map(mode), ['755', '640', '6755', '1777']);
    assert.equal(statSync(join(upper, 'x/f')).mtimeMs, time.getTime());
    assert.equal(statSync(join(upper, 'x/sub')).mtimeMs, time.getTime());
    copy({ sources: ['d'], to: '/o', chmod: '4711' });
    assert.deepEqual(['o', 'o/f', 'o/sub'].map(mode), ['4711', '4711', '4711']);
    copy({ sources: ['d'], to: '/s', chmod: 'u=rwX,g+w,o-rwx' });
    assert.deepEqual(['s/f', 's/suid', 's/sub'].map(mode), ['660', '2770', '1770']);
    assert.throws(() => copy({ sources: ['d'], to: '/z', chmod: 'rwx' }), /invalid chmod parameter/);
  }),
);

test(
  'directories of the layers below keep mode, owner and time when something is put into them',
  root,
  withPlace(({ context, view, upper, copy }) => {
    fill(context, { f: 'f' });
    fill(view, { 'home/user/': '' });
    chownSync(join(view, 'home/user'), 1000, 1001);
    chmodSync(join(view, 'home/user'), 0o2750);
    const time = new Date('2002-02-02T02:02:02Z');
    utimesSync(join(view, 'home'), time, time);
    copy({ sources: ['f'], to: '/home/user/' });
    const user = statSync(join(upper, 'home/user'));
    assert.deepEqual([user.uid, user.gid, user.mode & 0o7777], [1000, 1001, 0o2750]);
  }),
);

test(
  'a directory of the source sets the mode of one that exists, the source itself does not',
  root,
  withPlace(({ context, view, upper, copy }) => {
    fill(context, { 'd/sub/f': 'f' });
    fill(view, { 'x/sub/': '' });
    chmodSync(join(context, 'd'), 0o700);
    chmodSync(join(context, 'd/sub'), 0o700);
    copy({ sources: ['d'], to: '/x' });
    assert.equal(statSync(join(upper, 'x')).mode & 0o777, 0o755);
    assert.equal(statSync(join(upper, 'x/sub')).mode & 0o777, 0o700);
  }),
);

test(
  'a file takes the place of a directory and a directory that of a file or link',
  root,
  withPlace(({ context, view, upper, copy }) => {
    fill(context, { 'd/was-dir': 'now a file', 'd/was-file/x': 'x', 'd/was-link/y': 'y' });
    fill(view, { 'was-dir/old': 'o', 'was-file': 'f', 'was-link': { link: '/etc' }, 'etc/': '' });
    copy({ sources: ['d'], to: '/' });
    assert.deepEqual(treeOf(upper), ['was-dir', 'was-file/', 'was-file/x', 'was-link/', 'was-link/y']);
  }),
);

test(
  'fifos and devices are copied, sockets are left out, hard links stay links',
  root,
  withPlace(async ({ context, upper, copy }) => {
    fill(context, { 'd/f': 'f' });
    linkSync(join(context, 'd/f'), join(context, 'd/g'));
    execFileSync('mkfifo', ['-m', '600', join(context, 'd/fifo')]);
    execFileSync('mknod', [join(context, 'd/null'), 'c', '1', '3']);
    const server = createServer().listen(join(context, 'd/socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    try {
      copy({ sources: ['d'], to: '/x', from: 'stage' });
    } finally {
      server.close();
    }
    assert.deepEqual(treeOf(upper), ['x/', 'x/f', 'x/fifo', 'x/g', 'x/null']);
    assert.ok(lstatSync(join(upper, 'x/fifo')).isFIFO());
    assert.equal(lstatSync(join(upper, 'x/null')).rdev, lstatSync('/dev/null').rdev);
    assert.equal(lstatSync(join(upper, 'x/f')).ino, lstatSync(join(upper, 'x/g')).ino);
  }),
);

test(
  'capabilities of a stage are kept',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { ping: 'p' });
    execFileSync('setcap', ['cap_net_raw+ep', join(context, 'ping')]);
    copy({ sources: ['ping'], to: '/ping', from: 'stage' });
    assert.match(execFileSync('getcap', [join(upper, 'ping')], { encoding: 'utf8' }), /cap_net_raw/);
  }),
);

test(
  'a private context shares its files by hard link, unless owner or mode must differ',
  root,
  withPlace(({ context, upper, copy }) => {
    fill(context, { f: 'f', g: 'g' });
    chmodSync(join(context, 'f'), 0o644);
    const inode = lstatSync(join(context, 'f')).ino;
    const tree = { linkable: true };
    copy({ sources: ['f'], to: '/same', tree });
    copy({ sources: ['f'], to: '/chmod', chmod: '600', tree });
    copy({ sources: ['f'], to: '/chown', chown: '5', tree });
    assert.equal(lstatSync(join(upper, 'same')).ino, inode);
    assert.notEqual(lstatSync(join(upper, 'chmod')).ino, inode);
    assert.notEqual(lstatSync(join(upper, 'chown')).ino, inode);
    assert.equal(lstatSync(join(context, 'f')).mode & 0o777, 0o644);
    assert.equal(readFileSync(join(upper, 'chown'), 'utf8'), 'f');
  }),
);

test(
  'a link that is laid in a directory context while the build runs leads nowhere outside',
  root,
  withPlace(({ context, upper }) => {
    fill(context, { 'd/f': 'inside' });
    const session = new FileSession();
    const tree = session.openTree({ kind: 'disk', root: context, linkable: false, rootOwned: true });
    const target = session.openTarget({ upper });
    const request: SourceRequest = {
      sources: ['d/f'],
      createdBy: 'COPY',
      isContext: true,
      allowEmptyWildcard: false,
    };
    const sources = session.sources({ tree, request, unpack: false });
    rmSync(join(context, 'd'), { recursive: true });
    symlinkSync('/etc', join(context, 'd'));
    session.copy({
      tree,
      target,
      sources: sources.map((source) => ({ ...source, path: 'd/hostname' })),
      destination: '/x',
      destinationIsDirectory: false,
      keepOwner: false,
      parents: false,
      exclude: [],
    });
    session.closeTree(tree);
    assert.equal(existsSync(join(upper, 'x')), false);
  }),
);

test(
  'heredoc files and WORKDIR directories are written inside the root',
  root,
  withPlace(({ view, upper }) => {
    fill(view, {
      link: { link: '/../../../real' },
      'real/': '',
      'etc/passwd': 'web:x:33:33::/:\n',
      'etc/group': '',
    });
    const session = new FileSession();
    const target = session.openTarget({ upper, view });
    session.write({ target, path: '/link/f', content: 'text', modeOctal: '0644' });
    session.mkdir({ target, path: '/link/w/x', modeOctal: '0755', parents: true, chown: 'web:0' });
    session.mkdir({ target, path: '/etc', modeOctal: '0700', parents: true });
    assert.deepEqual(treeOf(upper), ['real/', 'real/f', 'real/w/', 'real/w/x/']);
    assert.equal(statSync(join(upper, 'real/w')).uid, 33);
    assert.throws(() => session.write({ target, path: '/real', content: '', modeOctal: '0644' }), {
      message: 'cannot write file: "/real" is a directory',
    });
    session.remove({ target, path: '/etc/passwd', allowMissing: false });
    assert.ok(lstatSync(join(upper, 'etc/passwd')).isCharacterDevice());
    assert.throws(() => session.remove({ target, path: '/etc/passwd', allowMissing: false }), {
      code: 'not_found',
    });
  }),
);
