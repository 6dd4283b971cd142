import { mkdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, wrapError } from '#base/errors/index.ts';
import type { SourceOp } from '#build/graph/types.ts';
import type { OpCall } from '#build/solver/types.ts';
import { digestOf } from '#oci/digest/index.ts';
import type { BuildJob, BuildResult, TreeResult } from '../types.ts';
import { cloneGit, parseGitUrl } from './clone.ts';
import type { Fetcher } from './http.ts';

type Call = OpCall<BuildResult, BuildJob>;

/** ADD of a URL: one file of mode 600 with the time the server gives. */
export async function fetchHttp(
  fetcher: Fetcher,
  call: Call,
  source: Extract<SourceOp, { kind: 'http' }>,
): Promise<TreeResult> {
  const dir = join(call.job.dir, `http-${digestOf(source.url).slice(7, 23)}`);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const download = await fetcher
    .download(source.url, join(dir, source.filename), { signal: call.signal })
    .catch((error) => {
      throw error instanceof CodedError ? wrapError(error, 'ADD failed') : error;
    });
  if (source.checksum !== undefined && download.digest !== source.checksum) {
    throw new CodedError('data_loss', `digest mismatch ${download.digest}: ${source.checksum}`, {
      subject: { kind: 'url', name: source.url },
      help: {
        id: 'build/checksum',
        cause: 'what the server sent is not what --checksum names',
        fix: [`if the new file is the right one, write --checksum=${download.digest}`],
      },
    });
  }
  const modified = download.lastModified ?? new Date(0);
  await utimes(join(dir, source.filename), modified, modified);
  return openTree(call, dir, { id: download.digest, isDownload: true });
}

/** ADD of a git repository. */
export async function fetchGit(call: Call, source: Extract<SourceOp, { kind: 'git' }>): Promise<TreeResult> {
  const dir = join(call.job.dir, `git-${digestOf(JSON.stringify(source)).slice(7, 23)}`);
  const { url } = parseGitUrl(source.url);
  const tree = await cloneGit(
    {
      url,
      ...(source.ref === undefined ? {} : { ref: source.ref }),
      ...(source.subdir === undefined ? {} : { subdir: source.subdir }),
    },
    dir,
    { keepGitDir: source.keepGitDir, signal: call.signal },
  );
  return openTree(call, tree.root, { id: `git:${tree.commit}`, isDownload: false });
}

async function openTree(
  call: Call,
  root: string,
  facts: { readonly id: string; readonly isDownload: boolean },
): Promise<TreeResult> {
  const { files } = call.job;
  const tree = await files.call('openTree', { kind: 'disk', root, fixedDirs: [root], rootOwned: true });
  call.job.defer(() => files.call('closeTree', tree));
  return { kind: 'tree', tree, isContext: false, ...facts };
}
