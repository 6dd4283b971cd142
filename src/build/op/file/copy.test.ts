import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { FileSession } from './session.ts';
import type { SourceRequest } from './sources.ts';
import { fill, root, treeOf, withPlace } from './testing.ts';

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
    const tree = { fixedDirs: [context] };
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
    const tree = session.openTree({ kind: 'disk', root: context, fixedDirs: [], rootOwned: true });
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
