/** What the hub's page says about images: their files, what is attached to them, what they build on. */
import type { SqlDatabase } from '#base/database/index.ts';
import {
  AttachedDocuments,
  type Catalog,
  Dockerfiles,
  DocumentReader,
  type ImageCatalog,
  ImageFamilies,
} from '#hub/catalog/index.ts';
import { ImageFiles } from '#hub/layers/index.ts';
import { ImageRoutes } from '#hub/server/index.ts';
import type { Digest } from '#oci/digest/index.ts';
import type { BlobStorage, RegistryMetadata } from '#registry/server/index.ts';

/** The parts of a hub that look into images. */
export interface HubImages {
  readonly routes: ImageRoutes;
  /** Call it with every manifest that was pushed. */
  notePush(repository: string, digest: Digest): Promise<void>;
  close(): Promise<void>;
}

/** Makes the parts; what was pushed before is noted in the background. */
export function createHubImages(options: {
  readonly tables: SqlDatabase<unknown>;
  readonly metadata: RegistryMetadata;
  readonly storage: BlobStorage;
  readonly catalog: Catalog;
  readonly images: ImageCatalog;
  readonly publicUrl: string | undefined;
  readonly onError: (error: unknown) => void;
}): HubImages {
  const { tables, metadata, storage, catalog, images, publicUrl, onError } = options;
  const reader = new DocumentReader({ metadata, storage });
  const files = new ImageFiles({ db: tables, metadata, storage });
  const families = new ImageFamilies(tables, catalog, reader);
  const attached = new AttachedDocuments(reader);
  const dockerfiles = new Dockerfiles(reader);
  const routes = new ImageRoutes({
    catalog,
    images,
    reader,
    files,
    attached,
    dockerfiles,
    families,
    publicUrl,
  });
  let noted = families.backfill().catch(onError);
  return {
    routes,
    // One at a time: a push of many images does not read them all at once.
    notePush: (repository, digest) => {
      noted = noted.then(() => families.note(repository, digest)).catch(onError);
      return noted;
    },
    close: async () => {
      families.close();
      await files.close();
      await noted;
    },
  };
}
