import type { ByteStream } from '#base/bytes/types.ts';
import { CodedError } from '#base/errors/index.ts';
import { formatFamiliar, parseReference, type Reference, withDefaultTag } from '#oci/reference/index.ts';
import type { SavedImage } from '#store/archive/types.ts';
import type { Image } from '#store/image/types.ts';
import type { RequestContext } from '../core/index.ts';
import type { ImageBackend } from './backend.ts';
import { eventAttributes, isSameRepository, joinReference } from './names.ts';
import { ProgressWriter } from './progress-writer.ts';
import { platformOf } from './transfer.ts';

/** `GET /images/{name}/get` and `GET /images/get?names=`. */
export async function saveImages(
  backend: ImageBackend,
  context: RequestContext,
  names: readonly string[],
): Promise<void> {
  if (names.length === 0) throw new CodedError('invalid_argument', 'no image was named to be saved');
  const saved = names.flatMap((name) => findSaved(backend, name));
  const tar = await startStream(backend.archives.saveImages(saved, context.signal));
  await context.sendStream(200, { 'Content-Type': 'application/x-tar' }, tar);
  for (const { image, references } of saved) {
    const name = references[0] === undefined ? image.id : formatFamiliar(references[0]);
    backend.events.publish({
      type: 'image',
      action: 'save',
      id: image.id,
      attributes: eventAttributes(image, name),
    });
  }
}

/** A stream whose first bytes are there: what fails before them is answered as an error. */
async function startStream(stream: ByteStream): Promise<ByteStream> {
  const reader = stream[Symbol.asyncIterator]();
  const first = await reader.next();
  return (async function* () {
    try {
      if (!first.done) yield first.value;
      for (let next = await reader.next(); !next.done; next = await reader.next()) yield next.value;
    } finally {
      await reader.return?.();
    }
  })();
}

/** What a name stands for: without a tag, every tag of its repository. */
function findSaved(backend: ImageBackend, name: string): readonly SavedImage[] {
  const image = backend.images.findImage(name);
  if (image !== undefined && isIdOf(image, name)) return [{ image, references: [] }];
  const parsed = parseReference(name);
  if (parsed.tag !== undefined || parsed.digest !== undefined) {
    const named = image ?? backend.images.getImage(name);
    return [{ image: named, references: parsed.digest === undefined ? [parsed] : [] }];
  }
  const found = [...backend.images.listImages()].flatMap((candidate): SavedImage[] => {
    const references = candidate.references.filter((tag) => isSameRepository(tag, parsed));
    return references.length > 0 ? [{ image: candidate, references }] : [];
  });
  if (found.length > 0) return found;
  const named = backend.images.findImage(name);
  if (named !== undefined) return [{ image: named, references: [] }];
  // Docker's text has the name without a tag here.
  throw new CodedError('not_found', `No such image: ${name}`, { subject: { kind: 'image', name } });
}

function isIdOf(image: Image, name: string): boolean {
  return image.id.startsWith(name) || image.id.startsWith(`sha256:${name}`);
}

/** `POST /images/load`. */
export async function loadImages(backend: ImageBackend, context: RequestContext): Promise<void> {
  const quiet = context.query.flag('quiet');
  await context.streamJson(async (stream) => {
    const progress = new ProgressWriter(stream);
    const loaded = await backend.archives.loadImages(context.body, {
      onProgress: quiet ? () => undefined : progress.report,
      signal: context.signal,
    });
    await progress.flush();
    for (const { id, references } of loaded) {
      const image = backend.images.findImage(id);
      backend.events.publish({ type: 'image', action: 'load', id, attributes: eventAttributes(image, id) });
      const names = references.map((reference) => `Loaded image: ${formatFamiliar(reference)}\n`);
      for (const text of names.length > 0 ? names : [`Loaded image ID: ${id}\n`])
        await stream.write({ stream: text });
    }
  });
}

/** `POST /images/create?fromSrc=`. */
export async function importImage(backend: ImageBackend, context: RequestContext): Promise<void> {
  const { query } = context;
  const source = query.get('fromSrc') ?? '';
  if (source !== '-') {
    throw new CodedError(
      'unimplemented',
      `cannot import from "${source}": only an archive in the request is imported`,
      {
        help: { id: 'import/url', fix: [`curl -fsSL ${source} | docker import - NAME`] },
      },
    );
  }
  const repository = query.get('repo') ?? '';
  const reference: Reference | undefined =
    repository === '' ? undefined : withDefaultTag(joinReference(repository, query.get('tag')));
  if (reference?.digest !== undefined)
    throw new CodedError('invalid_argument', 'cannot import digest reference');
  const config = await backend.applyChanges(query.all('changes'));
  const platform = platformOf(query.get('platform'));
  await context.streamJson(async (stream) => {
    // As Docker, the answer is one line: people's scripts read the id from it.
    const id = await backend.archives.importImage(context.body, {
      config,
      comment: query.get('message') || `Imported from ${source}`,
      ...(platform === undefined ? {} : { platform }),
      ...(reference === undefined ? {} : { reference }),
      signal: context.signal,
    });
    const image = backend.images.findImage(id);
    if (reference !== undefined) {
      const attributes = eventAttributes(image, formatFamiliar(reference));
      backend.events.publish({ type: 'image', action: 'tag', id, attributes });
    }
    backend.events.publish({ type: 'image', action: 'import', id, attributes: eventAttributes(image, id) });
    await stream.write({ status: id });
  });
}
