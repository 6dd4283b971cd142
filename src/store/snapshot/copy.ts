import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { MS, mount } from '#base/posix/index.ts';
import { type SnapshotDriver, treeOf } from './driver.ts';
import { bindReadonly } from './overlay.ts';

/** The copy driver: every snapshot is a whole tree. Slow and large, works on any file system. */
export function createCopyDriver(root: string): SnapshotDriver {
  mkdirSync(`${root}/empty`, { recursive: true, mode: 0o755 });
  return {
    name: 'copy',
    createTree: async (id, lowers) => {
      mkdirSync(`${root}/${id}`, { mode: 0o700 });
      mkdirSync(treeOf(root, id));
      chmodSync(treeOf(root, id), 0o755);
      const [parent] = lowers;
      if (parent !== undefined) await copyTree(treeOf(root, parent), treeOf(root, id));
    },
    forgetTree: () => undefined,
    sealTree: () => undefined,
    mountActive: (id, _lowers, target) => mount({ source: treeOf(root, id), target, flags: MS.BIND }),
    mountView: (stack, target) => {
      const [top] = stack;
      bindReadonly(top === undefined ? `${root}/empty` : treeOf(root, top), target);
    },
  };
}

/** `cp` keeps owners, modes, times, links, attributes, devices and holes, and shares blocks where the file system can. */
function copyTree(from: string, to: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('cp', ['--archive', '--reflink=auto', '--sparse=auto', '--', `${from}/.`, to], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      if (text.length < 2000) text += chunk.toString('utf8');
    });
    child.on('error', (error) => reject(copyFailed(error.message)));
    child.on('close', (code) => {
      if (code === 0) resolve();
      else reject(copyFailed(text.trim() || `cp ended with ${code}`));
    });
  });
}

function copyFailed(detail: string): CodedError {
  const code = detail.includes('No space left') ? 'resource_exhausted' : 'internal';
  return new CodedError(code, `cannot copy a snapshot: ${detail}`);
}
