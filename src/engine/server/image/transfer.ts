import { CodedError } from '#base/errors/index.ts';
import { hostPlatform, type Platform, parsePlatform } from '#oci/platform/index.ts';
import { familiarName, formatFamiliar, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import { credentialsFor, decodeRegistryAuth } from '#registry/auth/index.ts';
import type { TransferOptions } from '#registry/transfer/types.ts';
import type { JsonStream, RequestContext } from '../core/index.ts';
import type { ImageBackend } from './backend.ts';
import { eventAttributes, isSameRepository, joinReference, noLocalTag } from './names.ts';
import { ProgressWriter } from './progress-writer.ts';

/** `POST /images/create?fromImage=`. Without a tag every tag of the repository is pulled. */
export async function pullImage(backend: ImageBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const reference = joinReference(query.get('fromImage') ?? '', query.get('tag'));
  const platform = platformOf(query.get('platform'));
  const credentials = credentialsFor(
    reference.registry,
    decodeRegistryAuth(context.header('x-registry-auth')),
  );
  await context.streamJson(async (stream) => {
    const progress = new ProgressWriter(stream);
    const options = { credentials, onProgress: progress.report, signal: context.signal };
    const names =
      reference.tag === undefined && reference.digest === undefined
        ? await listTags(backend, reference, options)
        : [reference];
    for (const name of names) {
      const { image } = await backend.transfer.pullImage(name, {
        ...options,
        ...(platform === undefined ? {} : { platform }),
      });
      const text = formatFamiliar(name);
      backend.events.publish({
        type: 'image',
        action: 'pull',
        id: text,
        attributes: eventAttributes(image, familiarName(name)),
      });
    }
    await progress.flush();
  });
}

async function listTags(
  backend: ImageBackend,
  reference: Reference,
  options: TransferOptions,
): Promise<readonly Reference[]> {
  const names: Reference[] = [];
  for await (const tag of backend.transfer.listRemoteTags(reference, options))
    names.push({ ...reference, tag });
  return names;
}

/** A `platform` parameter. @throws `invalid_argument`. */
export function platformOf(text: string | undefined): Platform | undefined {
  return text === undefined || text === '' ? undefined : parsePlatform(text, hostPlatform());
}

/** `POST /images/{name}/push`. Without a tag every local tag of the repository is pushed. */
export async function pushImage(backend: ImageBackend, context: RequestContext): Promise<void> {
  const reference = joinReference(context.params['name'] ?? '', context.query.get('tag'));
  if (reference.digest !== undefined) {
    throw new CodedError('invalid_argument', 'cannot push a digest reference', {
      subject: { kind: 'image', name: formatFamiliar(reference) },
    });
  }
  const credentials = credentialsFor(
    reference.registry,
    decodeRegistryAuth(context.header('x-registry-auth')),
  );
  await context.streamJson(async (stream) => {
    const names = localTags(backend, reference);
    if (names.length === 0) {
      // Docker names the destination first: the error is part of the stream.
      await stream.write({
        status: `The push refers to repository [${reference.registry}/${reference.repository}]`,
      });
      throw noLocalTag(reference, backend.images.listImages(), new Date());
    }
    for (const name of names) await pushOne(backend, context, stream, name, credentials);
  });
}

async function pushOne(
  backend: ImageBackend,
  context: RequestContext,
  stream: JsonStream,
  name: Reference,
  credentials: TransferOptions['credentials'],
): Promise<void> {
  const image = backend.images.getImage(formatFamiliar(name));
  const progress = new ProgressWriter(stream);
  const { digest, sizeBytes } = await backend.transfer.pushImage(image, name, {
    credentials,
    onProgress: progress.report,
    signal: context.signal,
  });
  await progress.flush();
  await stream.write({ progressDetail: {}, aux: { Tag: name.tag ?? '', Digest: digest, Size: sizeBytes } });
  backend.events.publish({
    type: 'image',
    action: 'push',
    id: formatFamiliar(name),
    attributes: eventAttributes(image, familiarName(name)),
  });
}

function localTags(backend: ImageBackend, reference: Reference): readonly Reference[] {
  if (reference.tag !== undefined)
    return backend.images.findImage(formatFamiliar(reference)) === undefined ? [] : [reference];
  return [...backend.images.listImages()].flatMap((image) =>
    image.references.filter((tag) => isSameRepository(tag, reference)),
  );
}

/** `POST /images/{name}/tag`. */
export function tagImage(backend: ImageBackend, context: RequestContext): void {
  const image = backend.images.getImage(context.params['name'] ?? '');
  const repository = context.query.get('repo') ?? '';
  const target = withDefaultTag(joinReference(repository, context.query.get('tag')));
  backend.images.tagImage(target, image.id);
  backend.events.publish({
    type: 'image',
    action: 'tag',
    id: image.id,
    attributes: eventAttributes(image, formatFamiliar(target)),
  });
  context.sendStatus(201);
}
