/** What a snapshot driver is asked: where trees are, how they begin and how they are mounted. */
export interface SnapshotDriver {
  readonly name: 'overlay' | 'copy';
  /** Fills the new folder `id`; `lowers` are the ids of the stack below, topmost first. */
  createTree(id: number, lowers: readonly number[]): Promise<void>;
  /** Undoes what `createTree` left outside the folder. */
  forgetTree(id: number): void;
  /** The active snapshot is finished: nothing will be written any more. */
  sealTree(id: number): void;
  mountActive(
    id: number,
    lowers: readonly number[],
    target: string,
    options: { readonly volatile: boolean },
  ): void;
  /** `stack`: topmost first; empty for an empty tree. */
  mountView(stack: readonly number[], target: string): void;
}

/** `<root>/<id>/fs`: a snapshot's own tree. */
export function treeOf(root: string, id: number): string {
  return `${root}/${id}/fs`;
}
