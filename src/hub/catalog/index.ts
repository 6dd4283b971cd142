export { Catalog, type CatalogOptions, type RepositorySettings } from './catalog.ts';
export { HubDirectory, type SignInListener } from './directory.ts';
export { ImageCatalog, type ImageSources } from './images.ts';
export { decideRights, namespaceOf, OFFICIAL_NAMESPACE, type PolicyInput } from './policy.ts';
