/** What a person may have meant by a path that is not there. */
import { editDistance } from '#base/similar/index.ts';
import type { Tree } from '#build/context/index.ts';

const MAX_NAMES_IN_DIRECTORY = 2000;
const MAX_ENTRIES_SEARCHED = 20_000;

/**
 * A path that a person may have meant by the missing `path`: another letter case or a small typing error in the same
 * directory, or else the same name in another directory (the one nearest to the root).
 */
export function findNear(tree: Tree, path: string): string | undefined {
  return findSibling(tree, path) ?? findElsewhere(tree, path);
}

function findSibling(tree: Tree, path: string): string | undefined {
  const slash = path.lastIndexOf('/');
  const [directory, wanted] = [path.slice(0, Math.max(slash, 0)), path.slice(slash + 1)];
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of tree.list(directory).slice(0, MAX_NAMES_IN_DIRECTORY)) {
    const distance = name.toLowerCase() === wanted.toLowerCase() ? 0 : editDistance(name, wanted);
    if (
      distance <= Math.max(1, Math.floor(wanted.length / 3)) &&
      (best === undefined || distance < best.distance)
    )
      best = { name, distance };
  }
  return best === undefined ? undefined : join(directory, best.name);
}

/** Breadth first, so that the result is the nearest to the root; gives up on a large tree. */
function findElsewhere(tree: Tree, path: string): string | undefined {
  const wanted = path.slice(path.lastIndexOf('/') + 1);
  const directories = [''];
  let searched = 0;
  for (const directory of directories) {
    for (const name of tree.list(directory)) {
      searched += 1;
      if (searched > MAX_ENTRIES_SEARCHED) return undefined;
      const at = join(directory, name);
      if (name === wanted && at !== path) return at;
      if (tree.find(at)?.type === 'd') directories.push(at);
    }
  }
  return undefined;
}

function join(directory: string, name: string): string {
  return directory === '' ? name : `${directory}/${name}`;
}
