/** What people may write into the settings of a repository, and how it is refused. */
import { CodedError } from '#base/errors/index.ts';
import { CATEGORIES, type TagMutability, type UpdateRepositoryRequest } from '#hub/protocol/index.ts';
import { isRepository } from '#oci/reference/index.ts';
import { parsePatterns } from './patterns.ts';
import type { CatalogTables } from './schema.ts';

const DESCRIPTION_MAX = 100;
const README_MAX = 256 * 1024;
const CATEGORIES_MAX = 3;

/**
 * The full name of a repository that people name on the page.
 * @throws {CodedError} `invalid_argument` about the field `name`.
 */
export function checkName(namespace: string, name: string): string {
  const full = `${namespace}/${name}`;
  if (name.length >= 2 && isRepository(name) && !name.includes('/') && isRepository(full)) return full;
  throw invalidField(
    'name',
    'use 2 to 255 lower-case letters, digits, "-", "_" or ".", beginning and ending with a letter or digit',
  );
}

/** Whether it is a word for which tags may move. */
export function isMutability(text: string): text is TagMutability {
  return text === 'mutable' || text === 'immutable' || text === 'patterns';
}

/** The columns a request changes. @throws {CodedError} `invalid_argument` (subject names the field). */
export function changesOf(
  name: string,
  request: UpdateRepositoryRequest,
): Partial<CatalogTables['repository_settings']> {
  checkText(request.description ?? '', request.readme);
  const { visibility, tagMutability, immutablePatterns, categories } = request;
  if (visibility !== undefined && visibility !== 'public' && visibility !== 'private')
    throw invalidField('visibility', 'choose public or private');
  if (visibility !== undefined && request.confirm !== name)
    throw invalidField('confirm', `type ${name} to confirm`);
  if (tagMutability !== undefined && !isMutability(tagMutability))
    throw invalidField('tagMutability', 'choose mutable, immutable or patterns');
  if (tagMutability === 'patterns' && (immutablePatterns ?? []).length === 0)
    throw invalidField('immutablePatterns', 'give at least one pattern');
  return {
    ...(request.description === undefined ? {} : { description: request.description.trim() }),
    ...(request.readme === undefined ? {} : { readme: request.readme }),
    ...(visibility === undefined ? {} : { visibility }),
    ...(tagMutability === undefined ? {} : { tag_mutability: tagMutability }),
    ...(immutablePatterns === undefined
      ? {}
      : { immutable_patterns: JSON.stringify(parsePatterns(immutablePatterns, 'immutablePatterns')) }),
    ...(categories === undefined ? {} : { categories: JSON.stringify(checkCategories(categories)) }),
  };
}

function checkCategories(value: unknown): readonly string[] {
  const chosen = [...new Set(Array.isArray(value) ? value.map(String) : [])];
  if (chosen.length > CATEGORIES_MAX)
    throw invalidField('categories', `choose at most ${CATEGORIES_MAX} categories`);
  const wrong = chosen.find((name) => !CATEGORIES.some((category) => category === name));
  if (wrong !== undefined) throw invalidField('categories', `there is no category "${wrong.slice(0, 100)}"`);
  return chosen;
}

/** @throws {CodedError} `invalid_argument` (subject names the field). */
export function checkText(description: string, readme = ''): void {
  if (description.length > DESCRIPTION_MAX)
    throw invalidField('description', `use at most ${DESCRIPTION_MAX} characters`);
  if (Buffer.byteLength(readme) > README_MAX)
    throw invalidField('readme', `use at most ${README_MAX / 1024} KiB`);
}

/** A refusal that names the field at fault. */
export function invalidField(field: string, message: string): CodedError {
  return new CodedError('invalid_argument', message, { subject: { kind: 'field', name: field } });
}
