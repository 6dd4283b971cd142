/** Tars made by hand, for tests of what unpacks them. */
import { encodeTarHeader, TAR_END, type TarHeaderInput } from '#base/tar/index.ts';

/** One entry; `body` is the content of a file. */
export type LayerEntry = TarHeaderInput & { readonly body?: string | Buffer };

/** A whole archive. */
export function tarOf(...entries: readonly LayerEntry[]): Buffer {
  const parts = entries.flatMap(({ body = '', ...header }) => {
    const bytes = Buffer.from(body);
    const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512);
    return [encodeTarHeader({ ...header, sizeBytes: bytes.length }), bytes, padding];
  });
  return Buffer.concat([...parts, TAR_END]);
}

/** A regular file. */
export const file = (
  path: string,
  body: string | Buffer = 'x',
  more: Partial<LayerEntry> = {},
): LayerEntry => ({
  path,
  type: 'file',
  mode: 0o666,
  body,
  ...more,
});

/** A symbolic link. */
export const link = (path: string, linkTarget: string, more: Partial<LayerEntry> = {}): LayerEntry => ({
  path,
  type: 'symlink',
  mode: 0o777,
  linkTarget,
  ...more,
});

/** A hard link. */
export const hardLink = (path: string, linkTarget: string): LayerEntry => ({
  path,
  type: 'hardlink',
  mode: 0o666,
  linkTarget,
});

/** A directory. */
export const folder = (path: string, more: Partial<LayerEntry> = {}): LayerEntry => ({
  path: `${path}/`,
  type: 'directory',
  mode: 0o755,
  ...more,
});
