import { open } from 'node:fs/promises';
import { detectCompression, MAGIC_BYTES } from '#base/bytes/index.ts';
import { type DiffId, digestOf } from '#oci/digest/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import { type FileMember, invalidArchive } from './members.ts';

/** The diffID of a layer of an archive that does not name it. Such archives hold plain tars. */
export async function collectDiffId(
  member: FileMember,
  content: Pick<ContentStore, 'hashFile'>,
): Promise<DiffId> {
  if (detectCompression(await readHead(member)) !== 'none') {
    throw invalidArchive('a layer of an archive without "manifest.json" is compressed');
  }
  const digest = member.kind === 'bytes' ? digestOf(member.bytes) : await content.hashFile(member.path);
  return digest as DiffId;
}

/** The first bytes of a member. */
export async function readHead(member: FileMember): Promise<Uint8Array> {
  if (member.kind === 'bytes') return member.bytes.subarray(0, MAGIC_BYTES);
  const handle = await open(member.path, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
