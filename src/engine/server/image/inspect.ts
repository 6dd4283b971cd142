import type { ContainerConfig } from '#oci/config/index.ts';
import { formatFamiliar } from '#oci/reference/index.ts';
import type { Image } from '#store/image/types.ts';
import type { RequestContext } from '../core/index.ts';
import type { ImageBackend } from './backend.ts';

/** `GET /images/{name}/json`. */
export function inspectImage(backend: ImageBackend, context: RequestContext): void {
  const image = backend.images.getImage(context.params['name'] ?? '');
  const { config } = image;
  const emptyConfig = context.atLeast(45)
    ? {}
    : { Container: '', ContainerConfig: containerConfigOf(undefined) };
  context.sendJson(200, {
    Id: image.id,
    RepoTags: image.references.map(formatFamiliar),
    RepoDigests: image.repoDigests.map(formatFamiliar),
    Parent: image.parentId ?? '',
    Comment: config.history?.at(-1)?.comment ?? '',
    Created: config.created ?? '0001-01-01T00:00:00Z',
    ...emptyConfig,
    DockerVersion: '',
    Author: config.author ?? '',
    Config: containerConfigOf(config.config),
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    ...(config['os.version'] === undefined ? {} : { OsVersion: config['os.version'] }),
    Size: image.sizeBytes,
    ...(context.atLeast(44) ? {} : { VirtualSize: image.sizeBytes }),
    GraphDriver: backend.describeStorage(image),
    RootFS: { Type: 'layers', Layers: config.rootfs.diff_ids },
    Metadata: { LastTagTime: image.taggedAt?.toISOString() ?? '0001-01-01T00:00:00Z' },
  });
}

/** The config with the fields of a container's config that an image never sets, as Docker shows it up to API 1.49. */
function containerConfigOf(config: ContainerConfig | undefined): object {
  return {
    Hostname: '',
    Domainname: '',
    User: config?.User ?? '',
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ...(config?.ExposedPorts === undefined ? {} : { ExposedPorts: config.ExposedPorts }),
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: config?.Env ?? null,
    Cmd: config?.Cmd ?? null,
    ...(config?.Healthcheck === undefined ? {} : { Healthcheck: config.Healthcheck }),
    ...(config?.ArgsEscaped === undefined ? {} : { ArgsEscaped: config.ArgsEscaped }),
    Image: '',
    Volumes: config?.Volumes ?? null,
    WorkingDir: config?.WorkingDir ?? '',
    Entrypoint: config?.Entrypoint ?? null,
    OnBuild: config?.OnBuild ?? null,
    Labels: config?.Labels ?? null,
    ...(config?.StopSignal === undefined ? {} : { StopSignal: config.StopSignal }),
    ...(config?.Shell === undefined ? {} : { Shell: config.Shell }),
  };
}

/** `GET /images/{name}/history`: newest first; a line has an id when the image of that state is here. */
export function showHistory(backend: ImageBackend, context: RequestContext): void {
  const image = backend.images.getImage(context.params['name'] ?? '');
  const history = image.config.history ?? [];
  const owners = ownersOf(backend, image);
  let layer = 0;
  const lines = history.map((entry, i) => {
    const size = entry.empty_layer === true ? 0 : (image.layers[layer++]?.contentSizeBytes ?? 0);
    const owner = owners.get(i);
    return {
      Comment: entry.comment ?? '',
      Created: Math.floor((Date.parse(entry.created ?? '') || 0) / 1000),
      CreatedBy: entry.created_by ?? '',
      Id: owner?.id ?? '<missing>',
      Size: size,
      Tags: owner !== undefined && owner.references.length > 0 ? owner.references.map(formatFamiliar) : null,
    };
  });
  context.sendJson(200, lines.reverse());
}

/** The image whose state a history line is: this one for the last, its parents where their histories end. */
function ownersOf(backend: ImageBackend, image: Image): ReadonlyMap<number, Image> {
  const owners = new Map<number, Image>();
  for (let at: Image | undefined = image; at !== undefined; ) {
    const last = (at.config.history?.length ?? 0) - 1;
    if (last < 0 || owners.has(last)) break;
    owners.set(last, at);
    at = at.parentId === undefined ? undefined : backend.images.findImage(at.parentId);
  }
  return owners;
}
