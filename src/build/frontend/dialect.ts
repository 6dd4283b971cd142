/** What only BuildKit understands, and the classic builder says so. */
import { CodedError } from '#base/errors/index.ts';
import type { FrontendOptions } from './types.ts';

/** @throws {CodedError} `unimplemented` with Docker's text when the classic builder meets one of these flags. */
export function refuseBuildkitFlags(dialect: FrontendOptions['dialect'], flags: readonly string[]): void {
  const [flag] = flags;
  if (dialect !== 'classic' || flag === undefined) return;
  throw new CodedError(
    'unimplemented',
    `the --${flag} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled`,
  );
}
