export { AttachedDocuments, digestIn } from './attached.ts';
export { Catalog, type CatalogOptions, type RepositorySettings } from './catalog.ts';
export { HubDirectory, type SignInListener } from './directory.ts';
export { Dockerfiles } from './dockerfile.ts';
export { ImageFamilies } from './family.ts';
export { checkName } from './fields.ts';
export { ImageCatalog, type ImageSources } from './images.ts';
export { moveRepository } from './moves.ts';
export {
  decideRights,
  isFixed,
  namespaceOf,
  OFFICIAL_NAMESPACE,
  type PolicyInput,
  type RepositoryRules,
} from './policy.ts';
export { DocumentReader, type DocumentSources, type StoredImage } from './reader.ts';
export { RetentionRunner, type RetentionServices } from './retention-runner.ts';
export { type ManifestFacts, TagCatalog, type TagQuery, type TagSources } from './tags.ts';
