import { existsSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { treeOf } from './driver.ts';

/** Names the layer of a stack whose tree is missing, where that is why `error` was thrown; else gives the error back. */
export function explainMissingTree(
  error: unknown,
  { root, stack, nameOf }: { root: string; stack: readonly number[]; nameOf(id: number): string | undefined },
): unknown {
  const lost = stack.find((id) => !existsSync(treeOf(root, id)));
  if (lost === undefined) return error;
  const name = nameOf(lost) ?? String(lost);
  return new CodedError('data_loss', `layer ${name} is damaged: its folder "snapshots/${lost}" is missing`, {
    cause: error,
    subject: { kind: 'layer', name },
    help: {
      id: 'snapshot/lost',
      cause: 'somebody removed files below the data root, or the disk lost them',
      fix: [
        'pull the image again, which brings the layer back; if it was built here, build it with --no-cache',
      ],
    },
  });
}

/** The error of a snapshot that is not here. */
export function snapshotNotFound(name: string): CodedError {
  return new CodedError('not_found', `snapshot "${name}" does not exist`, {
    subject: { kind: 'snapshot', name },
  });
}
