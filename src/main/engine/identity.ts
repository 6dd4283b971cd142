import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isSystemError } from '#base/errors/index.ts';
import { writeFileAtomic } from '#base/fs/index.ts';

/** The id of the engine of a data root: made once, kept in `engine-id`. */
export async function ensureEngineId(root: string): Promise<string> {
  const path = join(root, 'engine-id');
  try {
    const id = readFileSync(path, 'utf8').trim();
    if (/^[0-9a-f-]{36}$/.test(id)) return id;
  } catch (error) {
    if (!isSystemError(error, 'ENOENT')) throw error;
  }
  const id = randomUUID();
  await writeFileAtomic(path, `${id}\n`);
  return id;
}
