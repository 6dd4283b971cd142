import { CodedError } from '#base/errors/index.ts';
import type { RepositoryClient } from './types.ts';

/**
 * A repository read through mirrors: each read asks the clients in order and goes on to the next when one fails.
 * The last client is the registry itself, so its failure is the one that is told. Writes never get here.
 */
export function createMirroredRepository(
  openers: readonly (() => Promise<RepositoryClient>)[],
): RepositoryClient {
  const opened = new Map<number, Promise<RepositoryClient>>();
  const at = (index: number): Promise<RepositoryClient> => {
    const known = opened.get(index);
    if (known !== undefined) return known;
    const opening = openers[index]?.() ?? Promise.reject(new CodedError('internal', 'no endpoint is left'));
    opened.set(index, opening);
    opening.catch(() => opened.delete(index));
    return opening;
  };
  let current: RepositoryClient | undefined;
  const read = async <T>(
    ask: (client: RepositoryClient) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> => {
    for (let index = 0; ; index++) {
      try {
        const client = await at(index);
        const answer = await ask(client);
        current = client;
        return answer;
      } catch (error) {
        if (index === openers.length - 1 || signal?.aborted) throw error;
      }
    }
  };
  const refuse = async (): Promise<never> => {
    throw new CodedError('internal', 'a mirror is for reading only');
  };
  return {
    get registry() {
      return current?.registry ?? '';
    },
    get repository() {
      return current?.repository ?? '';
    },
    get origin() {
      return current?.origin ?? '';
    },
    get access() {
      return current?.access ?? { authenticated: false };
    },
    resolveManifest: (tagOrDigest, signal) => read((c) => c.resolveManifest(tagOrDigest, signal), signal),
    fetchManifest: (tagOrDigest, signal) => read((c) => c.fetchManifest(tagOrDigest, signal), signal),
    openBlob: (digest, options) => read((c) => c.openBlob(digest, options), options?.signal),
    hasBlob: (digest, signal) => read((c) => c.hasBlob(digest, signal), signal),
    async *listTags(signal) {
      const tags = await read(async (client) => {
        const list: string[] = [];
        for await (const tag of client.listTags(signal)) list.push(tag);
        return list;
      }, signal);
      yield* tags;
    },
    listReferrers: (digest, type, signal) => read((c) => c.listReferrers(digest, type, signal), signal),
    mountBlob: refuse,
    uploadBlob: refuse,
    uploadUnfinished: refuse,
    putManifest: refuse,
    deleteManifest: refuse,
  };
}
