/**
 * The thread that lays layers over one another and answers about the result. It is given lists of files, never layers.
 *
 *     in:  TreeRequest    out: TreeReply
 */
import { parentPort } from 'node:worker_threads';
import { codeOf, type ErrorCode, messageOf } from '#base/errors/index.ts';
import { ImageTree } from './tree.ts';

/** What is asked of an image that was loaded. */
export type TreeQuestion =
  | { readonly kind: 'list'; readonly layer: number | null; readonly path: string }
  | { readonly kind: 'find'; readonly layer: number | null; readonly text: string }
  | { readonly kind: 'locate'; readonly layer: number | null; readonly path: string }
  | { readonly kind: 'waste' };

/** A question about the image `key`, or the lists it is made of. */
export type TreeRequest =
  | { readonly id: number; readonly key: string; readonly question: TreeQuestion }
  | { readonly id: number; readonly key: string; readonly lists: readonly Uint8Array[] };

/** `isMissing`: load the image first. */
export type TreeReply =
  | { readonly id: number; readonly isMissing: true }
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly code: ErrorCode; readonly message: string };

/** Images kept for the next question, and names in all of them. */
const IMAGE_LIMIT = 8;
const NODE_LIMIT = 1_000_000;
const images = new Map<string, ImageTree>();

parentPort?.on('message', (request: TreeRequest) => {
  parentPort?.postMessage(answer(request));
});

function answer(request: TreeRequest): TreeReply {
  const { id, key } = request;
  try {
    if ('lists' in request) {
      images.delete(key);
      makeRoom();
      images.set(key, new ImageTree(request.lists));
      return { id, answer: undefined };
    }
    const image = images.get(key);
    if (image === undefined) return { id, isMissing: true };
    images.delete(key);
    images.set(key, image); // the one used last goes last
    return { id, answer: ask(image, request.question) };
  } catch (error) {
    return { id, code: codeOf(error), message: messageOf(error) };
  }
}

function ask(image: ImageTree, question: TreeQuestion): unknown {
  switch (question.kind) {
    case 'list':
      return image.list(question.layer, question.path);
    case 'find':
      return image.find(question.layer, question.text);
    case 'locate':
      return image.locate(question.layer, question.path);
    case 'waste':
      return image.waste;
  }
}

function makeRoom(): void {
  let nodes = 0;
  for (const image of images.values()) nodes += image.countNodes();
  for (const [key, image] of images) {
    if (images.size < IMAGE_LIMIT && nodes < NODE_LIMIT) return;
    nodes -= image.countNodes();
    images.delete(key);
  }
}
