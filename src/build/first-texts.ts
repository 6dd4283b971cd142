import { type ArrivedContext, listFirstTexts, type TextTree } from '#build/context/index.ts';
import type { TreeResult } from '#build/op/types.ts';
import type { Job } from './job.ts';

/** Reads a context before its tree is open for the build: what came with a small one is known, anything else is read from the disk. */
export function firstTexts(job: Job, { tree, small }: ArrivedContext, dockerfile: string): TextTree {
  const known = new Map(
    small === undefined ? [] : listFirstTexts(dockerfile).map((path, i) => [path, small.texts[i]]),
  );
  if (small !== undefined) closeLater(job, small.tree);
  let opened: Promise<number> | undefined;
  const disk = (): Promise<number> => {
    if (opened === undefined) {
      const spec = { kind: 'disk', root: tree.root, fixedDirs: [], rootOwned: true } as const;
      const opening = job.files.call('openTree', spec);
      opened = opening;
      job.defer(async () => job.files.call('closeTree', await opening));
    }
    return opened;
  };
  return {
    readText: async (path) =>
      known.has(path)
        ? known.get(path)
        : job.files.call('readText', { tree: await disk(), path, limitBytes: 16 * 1024 * 1024 }),
    list: async (path) => job.files.call('list', { tree: await disk(), path }),
  };
}

/** Opens the context for the build, with what its ignore file hides. */
export async function openContextTree(
  job: Job,
  arrived: ArrivedContext,
  ignore: { readonly file: string; readonly text: string } | undefined,
): Promise<TreeResult> {
  const plain = ignore === undefined ? arrived.small?.tree : undefined;
  const spec = { ...arrived.tree, ...(ignore === undefined ? {} : { ignore }) };
  const tree = plain ?? (await job.files.call('openTree', spec));
  if (plain === undefined) closeLater(job, tree);
  return { kind: 'tree', id: `context ${job.id}`, tree, isContext: true, isDownload: false };
}

/** Closes a tree when the job ends. Nothing waits for that: the thread keeps the order of what it is asked. */
function closeLater(job: Job, tree: number): void {
  job.defer(() => {
    job.files.call('closeTree', tree).catch(() => undefined);
  });
}
