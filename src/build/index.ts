/** The builder: a Dockerfile and a context to an image in the store. */
export { type BuilderOptions, createBuilder } from './builder.ts';
