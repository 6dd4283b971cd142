/** Queries about the inside of an image. What belongs to a digest never changes: it is asked for once. */
import { queryOptions } from '@tanstack/react-query';
import type {
  Attached,
  DockerfileDetail,
  DocumentText,
  FileListing,
  FilePreview,
  ImageFamily,
  Indexed,
  WasteReport,
} from '#hub/protocol/index.ts';
import { call } from './api.ts';

const FOREVER = Number.POSITIVE_INFINITY;
/** How often progress is asked for. */
const POLL_MS = 1000;

/** One platform of an image in a repository, by the digest of its manifest. */
export interface ImageName {
  readonly repository: string;
  readonly digest: string;
}

function path(kind: string, { repository, digest }: ImageName, more: Readonly<Record<string, string>> = {}) {
  return `/api/${kind}/${repository}?${new URLSearchParams({ image: digest, ...more })}`;
}

/** Progress is asked for again until the answer is there, and is not kept. */
const untilReady = {
  refetchInterval: ({ state }: Asked) => (state.data?.state === 'indexing' ? POLL_MS : false),
  staleTime: ({ state }: Asked) => (state.data?.state === 'ready' ? FOREVER : 0),
} as const;

/** What of a query these look at. */
interface Asked {
  readonly state: { readonly data?: Indexed<object> | undefined };
}

/** What later layers made useless. */
export function wasteQuery(image: ImageName) {
  return queryOptions({
    queryKey: ['waste', image.repository, image.digest],
    queryFn: () => call<Indexed<WasteReport>>('GET', path('waste', image)),
    ...untilReady,
  });
}

/** A folder, or with `text` everything whose path contains it; `layer` is a place, or `''` for all of them. */
export function treeQuery(
  image: ImageName,
  at: { readonly layer: string; readonly path?: string; readonly text?: string },
) {
  const { layer, path: folder = '', text = '' } = at;
  return queryOptions({
    queryKey: ['tree', image.repository, image.digest, layer, folder, text],
    queryFn: () => call<Indexed<FileListing>>('GET', path('tree', image, { layer, path: folder, q: text })),
    ...untilReady,
  });
}

/** The beginning of a file. */
export function fileQuery(image: ImageName, layer: string, file: string) {
  return queryOptions({
    queryKey: ['file', image.repository, image.digest, layer, file],
    queryFn: () => call<FilePreview>('GET', path('file', image, { layer, path: file })),
    staleTime: FOREVER,
  });
}

/** The Dockerfile, attached or read off the history. */
export function dockerfileQuery(image: ImageName, index: string) {
  return queryOptions({
    queryKey: ['image', image.repository, 'dockerfile', image.digest, index],
    queryFn: () => call<DockerfileDetail>('GET', path('dockerfile', image, { index })),
  });
}

/** SBOMs, provenance, signatures: whatever names the image. */
export function attachedQuery(image: ImageName, index: string) {
  return queryOptions({
    queryKey: ['image', image.repository, 'attached', image.digest, index],
    queryFn: () => call<readonly Attached[]>('GET', path('attached', image, { index })),
  });
}

/** A manifest or small blob as text. */
export function documentQuery(repository: string, digest: string) {
  return queryOptions({
    queryKey: ['document', repository, digest],
    queryFn: () =>
      call<DocumentText>('GET', `/api/document/${repository}?${new URLSearchParams({ digest })}`),
    staleTime: FOREVER,
  });
}

/** What it builds on, and what builds on it. */
export function familyQuery(image: ImageName) {
  return queryOptions({
    queryKey: ['image', image.repository, 'family', image.digest],
    queryFn: () => call<ImageFamily>('GET', path('family', image)),
  });
}
