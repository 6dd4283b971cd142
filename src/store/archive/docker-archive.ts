/**
 * Docker archives.
 *
 *     manifest.json    [{"Config": path, "RepoTags": ["name:tag"] | null, "Layers": [path, …], "Parent"?: image id}]
 *     <path>           config (JSON); layer (tar, maybe compressed)
 *
 * Before docker 1.10 (`planLegacyArchive`):
 *
 *     repositories     {"name": {"tag": id}}
 *     <id>/json        {"id", "parent"?, "created", "config", "architecture", "os", …}
 *     <id>/layer.tar
 */

import {
  CONFIG_LIMIT_BYTES,
  type ContainerConfig,
  decodeImageConfig,
  type HistoryEntry,
} from '#oci/config/index.ts';
import { encodeDocument, MANIFEST_LIMIT_BYTES } from '#oci/manifest/index.ts';
import { parseReference, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { ContentStore } from '#store/content/types.ts';
import { collectDiffId } from './legacy-layer.ts';
import { type FileMember, invalidArchive, type Members } from './members.ts';
import { joinLayers, type PlannedImage } from './plan.ts';

const LEGACY_DEPTH_LIMIT = 128;

/** Reads `manifest.json`. */
export async function planDockerArchive(members: Members): Promise<readonly PlannedImage[]> {
  const manifest = await members.readJson('manifest.json', MANIFEST_LIMIT_BYTES);
  if (manifest === null) throw invalidArchive('invalid manifest, manifest cannot be null (but can be [])');
  if (!Array.isArray(manifest)) throw invalidArchive('"manifest.json" is not a list');
  const planned: PlannedImage[] = [];
  for (const entry of manifest as unknown[]) planned.push(await planEntry(members, entry));
  return planned;
}

async function planEntry(members: Members, entry: unknown): Promise<PlannedImage> {
  const { Config, RepoTags, Layers, Parent } = (entry ?? {}) as Record<string, unknown>;
  if (typeof Config !== 'string') throw invalidArchive('an entry of "manifest.json" has no Config');
  const { value: config, bytes } = decodeImageConfig(await members.read(Config, CONFIG_LIMIT_BYTES));
  const paths = stringsOf(Layers, 'Layers');
  return {
    config,
    configBytes: bytes,
    layers: joinLayers(
      config,
      paths.map((path) => members.get(path)),
    ),
    references: stringsOf(RepoTags, 'RepoTags').map(parseTag),
    ...(typeof Parent === 'string' ? { parent: Parent } : {}),
  };
}

function stringsOf(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value as string[];
  throw invalidArchive(`${what} of "manifest.json" is not a list of names`);
}

function parseTag(text: string): Reference {
  const reference = parseReference(text);
  if (reference.tag === undefined || reference.digest !== undefined)
    throw invalidArchive(`invalid tag "${text}"`);
  return reference;
}

/** The fields of a legacy `json` that become part of an image config. */
interface LegacyImage {
  readonly id: string;
  readonly parent?: string;
  readonly created?: string;
  readonly author?: string;
  readonly comment?: string;
  readonly architecture?: string;
  readonly os?: string;
  readonly config?: ContainerConfig;
  readonly container_config?: { readonly Cmd?: readonly string[] };
}

/** Reads `repositories` and one folder per layer. */
export async function planLegacyArchive(
  members: Members,
  content: Pick<ContentStore, 'hashFile'>,
): Promise<readonly PlannedImage[]> {
  const named = new Map<string, Reference[]>();
  if (members.has('repositories')) {
    const repositories = await members.readJson('repositories', MANIFEST_LIMIT_BYTES);
    for (const [name, tags] of Object.entries((repositories ?? {}) as Record<string, unknown>)) {
      for (const [tag, id] of Object.entries((tags ?? {}) as Record<string, unknown>)) {
        const reference = withDefaultTag(parseReference(`${name}:${tag}`));
        named.set(legacyId(id), [...(named.get(legacyId(id)) ?? []), reference]);
      }
    }
  } else {
    for (const id of await findTops(members)) named.set(id, []);
  }
  const planned: PlannedImage[] = [];
  for (const [id, references] of named) planned.push(await planLegacyImage(members, id, references, content));
  return planned;
}

/** Without names, the images are those that are nobody's parent. */
async function findTops(members: Members): Promise<readonly string[]> {
  const ids = Array.from(members.paths(), (path) => /^([a-f0-9]{64})\/json$/.exec(path)?.[1]).filter(
    (id) => id !== undefined,
  );
  const parents = new Set<string>();
  for (const id of ids) {
    const { parent } = await readLegacy(members, id);
    if (parent !== undefined) parents.add(parent);
  }
  return ids.filter((id) => !parents.has(id));
}

async function planLegacyImage(
  members: Members,
  top: string,
  references: readonly Reference[],
  content: Pick<ContentStore, 'hashFile'>,
): Promise<PlannedImage> {
  const chain = await readLegacyChain(members, top);
  const files: FileMember[] = chain.map(({ id }) => members.get(`${id}/layer.tar`));
  const diffIds = [];
  for (const file of files) diffIds.push(await collectDiffId(file, content));
  const last = chain.at(-1) as LegacyImage;
  const document = {
    ...(last.created === undefined ? {} : { created: last.created }),
    ...(last.author === undefined ? {} : { author: last.author }),
    architecture: last.architecture ?? 'amd64',
    os: last.os ?? 'linux',
    config: last.config ?? {},
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: chain.map(historyOf),
  };
  const { value: config, bytes } = decodeImageConfig(encodeDocument(document));
  return { config, configBytes: bytes, layers: joinLayers(config, files), references };
}

/** From the base up; a chain that comes back to itself or does not end is refused. */
async function readLegacyChain(members: Members, top: string): Promise<readonly LegacyImage[]> {
  const chain: LegacyImage[] = [];
  const seen = new Set<string>();
  for (let id: string | undefined = top; id !== undefined; ) {
    if (seen.has(id)) throw invalidArchive(`image ${id} is its own ancestor`);
    if (seen.size === LEGACY_DEPTH_LIMIT)
      throw invalidArchive(`image ${top} has more than ${LEGACY_DEPTH_LIMIT} layers`);
    seen.add(id);
    const image: LegacyImage = await readLegacy(members, id);
    chain.unshift(image);
    id = image.parent;
  }
  return chain;
}

async function readLegacy(members: Members, id: string): Promise<LegacyImage> {
  const value = (await members.readJson(`${id}/json`, CONFIG_LIMIT_BYTES)) as Partial<LegacyImage> | null;
  const parent = value?.parent;
  return { ...value, id, ...(parent ? { parent: legacyId(parent) } : {}) };
}

function legacyId(value: unknown): string {
  if (typeof value === 'string' && /^[a-f0-9]{64}$/.test(value)) return value;
  throw invalidArchive(`${JSON.stringify(value)?.slice(0, 100)} is not an image id`);
}

function historyOf({ created, author, comment, container_config: made }: LegacyImage): HistoryEntry {
  return {
    ...(created === undefined ? {} : { created }),
    ...(author === undefined ? {} : { author }),
    ...(comment === undefined ? {} : { comment }),
    ...(made?.Cmd === undefined ? {} : { created_by: made.Cmd.join(' ') }),
  };
}
