import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  becomeSubreaper,
  changeOwner,
  dropProgramPages,
  findXattr,
  getWindowSize,
  hardLink,
  listXattrs,
  MNT,
  makeDevice,
  makeFifo,
  makeNode,
  mount,
  openFile,
  openInRoot,
  openPidfd,
  RENAME,
  receiveFd,
  removeXattr,
  renameExtended,
  sendFd,
  setTimes,
  setXattr,
  splitDevice,
  spreadDirectories,
  syncFileSystem,
  trimHeap,
  tryLock,
  unlock,
  unmount,
  watchReadable,
} from './index.ts';
import { native } from './library.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? {} : { skip: 'needs root' };

describe('base/posix', () => {
  let dir = '';
  before(() => {
    dir = fs.mkdtempSync(join(os.tmpdir(), 'posix-'));
  });
  after(() => fs.rmSync(dir, { recursive: true, force: true }));

  it('throws errors with the code of a system error', () => {
    assert.throws(() => openFile(join(dir, 'none'), fs.constants.O_RDONLY), {
      code: 'ENOENT',
      syscall: 'open',
    });
    assert.throws(() => openFile('a\0b', 0), { code: 'EINVAL' });
  });

  it('takes a path of raw bytes', () => {
    const name = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff, 0xe9])]);
    fs.closeSync(openFile(name, fs.constants.O_CREAT | fs.constants.O_WRONLY));
    assert.ok(fs.existsSync(name));
  });

  it('keeps a path inside the root, whatever the links say', () => {
    fs.mkdirSync(join(dir, 'root'));
    fs.symlinkSync('/etc', join(dir, 'root', 'out'));
    const root = openFile(join(dir, 'root'), fs.constants.O_DIRECTORY);
    assert.throws(() => openInRoot(root, 'out/passwd', { flags: 0 }), { code: 'ENOENT' });
    assert.throws(() => openInRoot(root, '../../../../../../etc/passwd', { flags: 0 }), { code: 'ENOENT' });
    fs.closeSync(root);
  });

  it('sets, lists, finds and removes extended attributes', needsRoot, () => {
    const path = join(dir, 'x');
    fs.writeFileSync(path, '');
    const value = Buffer.alloc(1000, 7);
    setXattr(path, 'trusted.a', value);
    setXattr(path, 'trusted.empty', Buffer.alloc(0));
    assert.deepEqual([...listXattrs(path)].sort(), ['trusted.a', 'trusted.empty']);
    assert.deepEqual(findXattr(path, 'trusted.a'), value);
    assert.equal(findXattr(path, 'trusted.empty')?.length, 0);
    removeXattr(path, 'trusted.a');
    removeXattr(path, 'trusted.a');
    assert.equal(findXattr(path, 'trusted.a'), undefined);
  });

  it('sets nanoseconds, before the epoch too, on a link itself', () => {
    const path = join(dir, 'link');
    fs.symlinkSync('nowhere', path);
    const time = { seconds: -5, nanoseconds: 123_456_789 };
    setTimes(path, time, time);
    assert.equal(fs.lstatSync(path, { bigint: true }).mtimeNs, -5n * 1_000_000_000n + 123_456_789n);
  });

  it('makes nodes, pipes and links, and owns links', needsRoot, () => {
    makeNode(join(dir, 'node'), fs.constants.S_IFCHR | 0o600, makeDevice(259, 70_000));
    assert.deepEqual(splitDevice(fs.lstatSync(join(dir, 'node')).rdev), { major: 259, minor: 70_000 });
    makeFifo(join(dir, 'pipe'), 0o644);
    assert.ok(fs.lstatSync(join(dir, 'pipe')).isFIFO());
    fs.symlinkSync('/etc/passwd', join(dir, 'sym'));
    changeOwner(join(dir, 'sym'), 4_294_967_294, 12);
    assert.equal(fs.lstatSync(join(dir, 'sym')).uid, 4_294_967_294);
    hardLink(join(dir, 'sym'), join(dir, 'sym2'));
    assert.ok(fs.lstatSync(join(dir, 'sym2')).isSymbolicLink());
  });

  it('exchanges two names and refuses to replace', () => {
    fs.writeFileSync(join(dir, 'one'), '1');
    fs.writeFileSync(join(dir, 'two'), '2');
    renameExtended(join(dir, 'one'), join(dir, 'two'), RENAME.EXCHANGE);
    assert.equal(fs.readFileSync(join(dir, 'one'), 'utf8'), '2');
    assert.throws(() => renameExtended(join(dir, 'one'), join(dir, 'two'), RENAME.NOREPLACE), {
      code: 'EEXIST',
    });
  });

  it('locks a file against another descriptor', () => {
    const path = join(dir, 'lock');
    const [a, b] = [fs.openSync(path, 'w'), fs.openSync(path, 'w')];
    assert.equal(tryLock(a, 'exclusive'), true);
    assert.equal(tryLock(b, 'exclusive'), false);
    unlock(a);
    assert.equal(tryLock(b, 'shared'), true);
    syncFileSystem(a);
    fs.closeSync(a);
    fs.closeSync(b);
  });

  it('mounts and unmounts, and refuses options that the kernel would cut', needsRoot, () => {
    const target = join(dir, 'mnt');
    fs.mkdirSync(target);
    assert.throws(() => mount({ target, type: 'tmpfs', data: 'x'.repeat(4096) }), /4095/);
    mount({ source: 'test', target, type: 'tmpfs', data: 'size=64k' });
    assert.ok(fs.readFileSync('/proc/mounts', 'utf8').includes(target));
    unmount(target, MNT.DETACH);
    assert.ok(!fs.readFileSync('/proc/mounts', 'utf8').includes(target));
    assert.throws(() => unmount(target), { code: 'EINVAL' });
  });

  it('tells through a pidfd that a process has ended', async () => {
    const child = spawn('sleep', ['0.1']);
    assert.ok(child.pid !== undefined);
    const pidfd = openPidfd(child.pid);
    await new Promise<void>((resolve) => watchReadable(pidfd, resolve));
    fs.closeSync(pidfd);
  });

  it('passes a descriptor over a socket pair', () => {
    const pair = Buffer.alloc(8);
    native('int socketpair(int domain, int type, int protocol, uint8_t *pair)')(1, 1, 0, pair);
    const [left, right] = [pair.readInt32LE(0), pair.readInt32LE(4)];
    const file = fs.openSync('/etc/passwd', 'r');
    sendFd(left, file);
    const received = receiveFd(right);
    assert.equal(fs.fstatSync(received).ino, fs.fstatSync(file).ino);
    assert.throws(() => receiveFd(right, { timeoutMs: 10 }), { code: 'ETIMEDOUT' });
    for (const fd of [left, right, file, received]) fs.closeSync(fd);
  });

  it('waits for a descriptor through the end of a child', async () => {
    const pair = Buffer.alloc(8);
    native('int socketpair(int domain, int type, int protocol, uint8_t *pair)')(1, 1, 0, pair);
    const [left, right] = [pair.readInt32LE(0), pair.readInt32LE(4)];
    const children = ['0.05', '0.1', '0.15'].map((seconds) => spawn('sleep', [seconds]));
    const ended = Promise.all(children.map((child) => once(child, 'exit')));
    assert.throws(() => receiveFd(right, { timeoutMs: 400 }), { code: 'ETIMEDOUT' });
    await ended;
    for (const fd of [left, right]) fs.closeSync(fd);
  });

  it('spreads directories where the file system can', () => {
    const EXT4 = 0xef53;
    const path = fs.mkdtempSync(join(dir, 'spread-'));
    if (fs.statfsSync(path).type === EXT4) {
      assert.equal(spreadDirectories(path), true);
      assert.match(execFileSync('lsattr', ['-d', path]).toString(), /^[^ ]*T/);
    }
    assert.equal(spreadDirectories('/proc'), false);
    assert.throws(() => spreadDirectories(join(dir, 'none')), { code: 'ENOENT' });
  });

  it('says what is not a terminal', () => {
    const fd = fs.openSync('/dev/null', 'r');
    assert.throws(() => getWindowSize(fd), { code: 'ENOTTY' });
    fs.closeSync(fd);
    becomeSubreaper();
  });

  it('takes pages of the program file that are not in use out of the process, which goes on', () => {
    const before = process.memoryUsage.rss();
    const dropped = dropProgramPages();
    assert.ok(dropped > 10e6, `${dropped} bytes`);
    const given = before - process.memoryUsage.rss();
    assert.ok(given > 10e6, `${given} bytes`);
    assert.equal(
      JSON.stringify([...new Intl.NumberFormat('de').format(1234.5)].reverse()),
      '["5",",","4","3","2",".","1"]',
    );
  });

  it('gives freed memory of the heap back', () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let buffers: ArrayBuffer[] = [];
    for (let i = 0; i < 2000; i++) {
      const buffer = new ArrayBuffer(40_000);
      new Uint8Array(buffer).fill(1);
      buffers.push(buffer);
    }
    const last = buffers.at(-1);
    buffers = [];
    collect();
    const before = process.memoryUsage.rss();
    trimHeap();
    const given = before - process.memoryUsage.rss();
    assert.ok(given > 20e6, `${given} bytes`);
    assert.equal(last?.byteLength, 40_000);
  });
});
