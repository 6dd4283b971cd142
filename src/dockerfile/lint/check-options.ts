import { trimSpace } from '#dockerfile/expand/index.ts';
import type { CheckOptions } from './types.ts';

/** Reads the value of `# check=` or `BUILDKIT_DOCKERFILE_CHECK`; what it does not know is ignored, and so is what follows `//`. */
export function parseCheckOptions(value: string): CheckOptions {
  let [skip, error] = ['', false];
  for (const part of value.replace(/\s\/\/.*$/, '').split(';')) {
    const equals = part.indexOf('=');
    const key = trimSpace(part.slice(0, Math.max(equals, 0))).toLowerCase();
    const text = trimSpace(part.slice(equals + 1));
    if (key === 'skip') skip = text;
    if (key === 'error') error = text.toLowerCase() === 'true';
  }
  const names = skip.split(',').map((name) => trimSpace(name).toLowerCase());
  return { skip: new Set(names), skipAll: names.includes('all'), error };
}
