/** Stand-in for changesets by tar(1), until the real ones are there. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chownSync,
  lchownSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '#base/errors/index.ts';
import type { DiffId } from '#oci/digest/index.ts';
import type { Changesets, LayerFacts } from '#store/changeset/types.ts';

function index(dir: string): string {
  const lines: string[] = [];
  const walk = (rel: string): void => {
    for (const name of readdirSync(join(dir, rel)).sort()) {
      const path = rel === '' ? name : `${rel}/${name}`;
      const st = lstatSync(join(dir, path));
      const mode = st.mode & 0o7777;
      if (st.isDirectory()) {
        lines.push(JSON.stringify([path, 'd', 0, mode, 0]));
        walk(path);
      } else if (st.isSymbolicLink())
        lines.push(JSON.stringify([path, 'l', 0, mode, 0, null, readlinkSync(join(dir, path))]));
      else if (st.isFile())
        lines.push(
          JSON.stringify([
            path,
            'f',
            st.size,
            mode,
            0,
            `sha256:${createHash('sha256')
              .update(readFileSync(join(dir, path)))
              .digest('hex')}`,
          ]),
        );
    }
  };
  walk('');
  return lines.join('\n');
}

export function createChangesets(): Changesets {
  const no = (): never => {
    throw new CodedError('unimplemented', 'no');
  };
  return {
    async unpackLayer(o) {
      const path = 'path' in o.source ? o.source.path : undefined;
      const child = spawn('tar', ['-C', o.targetDir, ...(path ? ['-xaf', path] : ['-xf', '-'])], {
        stdio: ['pipe', 'ignore', 'inherit'],
      });
      const done = new Promise<number | null>((r) => child.on('close', r));
      if ('stream' in o.source) for await (const chunk of o.source.stream) child.stdin.write(chunk);
      child.stdin.end();
      if ((await done) !== 0) throw new CodedError('invalid_argument', 'tar failed');
      if (o.owner) {
        const own = (p: string): void => {
          lchownSync(p, o.owner!.uid, o.owner!.gid);
          if (lstatSync(p).isDirectory()) for (const n of readdirSync(p)) own(join(p, n));
        };
        for (const n of readdirSync(o.targetDir)) own(join(o.targetDir, n));
      }
      if (o.indexPath) writeFileSync(o.indexPath, index(o.targetDir));
      return {} as LayerFacts;
    },
    async describeChangeset(source, { indexPath }) {
      const child = spawn('tar', ['-C', source.dir, '--sort=name', '--numeric-owner', '-cf', '-', '.'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const hash = createHash('sha256');
      let size = 0;
      for await (const c of child.stdout) {
        hash.update(c);
        size += c.length;
      }
      const idx = index(source.dir);
      writeFileSync(indexPath, idx);
      return {
        diffId: `sha256:${hash.digest('hex')}` as DiffId,
        tarSizeBytes: size,
        contentSizeBytes: size,
        entries: idx === '' ? 0 : idx.split('\n').length,
        indexPath,
      };
    },
    packChangeset: no,
    streamChangeset: no,
    close: async () => undefined,
  };
}
void chownSync;
