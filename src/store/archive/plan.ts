import type { ImageConfig } from '#oci/config/index.ts';
import type { DiffId, Digest } from '#oci/digest/index.ts';
import type { Reference } from '#oci/reference/index.ts';
import { type FileMember, invalidArchive, type Members } from './members.ts';

/** A layer of an image in an archive. */
export interface PlannedLayer {
  readonly diffId: DiffId;
  readonly member: FileMember;
  /** What the archive calls the bytes, when it does: they are checked against it. */
  readonly blob?: { readonly digest: Digest; readonly mediaType: string };
}

/** An image in an archive, read but not yet unpacked. */
export interface PlannedImage {
  readonly config: ImageConfig;
  readonly configBytes: Uint8Array;
  readonly layers: readonly PlannedLayer[];
  readonly references: readonly Reference[];
  /** The manifest as it stands in the archive. */
  readonly manifest?: { readonly bytes: Uint8Array; readonly digest: Digest; readonly mediaType: string };
  /** Image id that the archive calls its parent. */
  readonly parent?: string;
}

/** Puts an image's diffIDs and the members that hold its layers together. */
export function joinLayers(
  config: ImageConfig,
  members: readonly FileMember[],
  blobs?: readonly PlannedLayer['blob'][],
): readonly PlannedLayer[] {
  const { diff_ids: diffIds } = config.rootfs;
  if (diffIds.length !== members.length) {
    throw invalidArchive(`layers length mismatch: expected ${members.length}, got ${diffIds.length}`);
  }
  if (config.os !== 'linux') throw invalidArchive(`cannot load ${config.os} image on linux`);
  return diffIds.map((diffId, i) => {
    const blob = blobs?.[i];
    return { diffId, member: members[i] as FileMember, ...(blob === undefined ? {} : { blob }) };
  });
}

/** Plans of an archive: one of the three forms finds itself in it. */
export type Planner = (members: Members) => Promise<readonly PlannedImage[]>;
