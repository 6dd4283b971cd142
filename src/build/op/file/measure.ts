import { lstatSync, readdirSync } from 'node:fs';

/** Bytes of the regular files below a directory that nobody else writes to; a file with several names counts once. */
export function measureFiles(dir: string): number {
  const seen = new Set<number>();
  const pending = [dir];
  let sizeBytes = 0;
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = `${at}/${entry.name}`;
      if (entry.isDirectory()) pending.push(path);
      if (!entry.isFile()) continue;
      const { size, nlink, ino } = lstatSync(path);
      if (nlink > 1) {
        if (seen.has(ino)) continue;
        seen.add(ino);
      }
      sizeBytes += size;
    }
  }
  return sizeBytes;
}
