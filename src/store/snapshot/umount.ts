import { spawn } from 'node:child_process';
import { MNT, unmount } from '#base/posix/index.ts';

/** umount(8): the kernel syncs the file system below a writable overlay, which can take seconds. */
export function runUmount(target: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('umount', ['--', target], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code) => {
      try {
        const isDone = code === 0 || /not mounted|no mount point|not found/.test(text);
        if (!isDone) unmount(target, MNT.NOFOLLOW | MNT.DETACH);
        resolve();
      } catch (error) {
        reject(error instanceof Error ? error : new Error(text));
      }
    });
  });
}
