import { CodedError } from '#base/errors/index.ts';
import { formatError } from '#cli/output/index.ts';
import type { CliContext } from './types.ts';

/**
 * Does the same to each of several names: one that fails is told and the others go on, as docker does.
 * Returns the exit code.
 */
export async function forEachName(
  context: CliContext,
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<number> {
  let code = 0;
  for (const name of names) {
    try {
      await work(name);
    } catch (error) {
      if (context.signal.aborted) throw error;
      // Without an engine there is no use in going on.
      if (error instanceof CodedError && error.data?.['endpoint'] !== undefined) throw error;
      context.stderr.write(formatError(error, { color: context.stderr.isTTY }));
      code = 1;
    }
  }
  return code;
}
