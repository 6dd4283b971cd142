import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import type { Database, Row } from './database.ts';

/** When bytes that were written without waiting for the disk become durable. */
export interface Durability {
  /** Value of `unsynced_boot` for a row whose bytes the disk may not have yet. */
  readonly bootId: string;
  /** Whether any row waits for `settle`. */
  isPending(): boolean;
  /**
   * Returns when every row written before the call is durable. Callers that come while the disk is busy share the next
   * sync. Nothing that was written without waiting may be acknowledged before this.
   */
  settle(): Promise<void>;
  /** Starts a `settle` in the background, so that a later one has less to wait for. */
  startEarly(): void;
}

/** Makes the durability point of the file system that holds `root`. Several instances over one database agree. */
export function createDurability(options: { readonly root: string; readonly db: Database }): Durability {
  const { root, db } = options;
  const bootId = readBootId();
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;

  async function run(): Promise<void> {
    const snapshots = db.all('SELECT id FROM snapshots WHERE unsynced_boot IS NOT NULL');
    const blobs = db.all('SELECT digest FROM blobs WHERE unsynced_boot IS NOT NULL');
    if (snapshots.length === 0 && blobs.length === 0) return;
    await syncFileSystemOf(root);
    db.transaction(() => {
      for (const row of snapshots) db.run('UPDATE snapshots SET unsynced_boot = NULL WHERE id = ?', id(row));
      for (const row of blobs)
        db.run('UPDATE blobs SET unsynced_boot = NULL WHERE digest = ?', row['digest'] ?? null);
    });
  }

  function settle(): Promise<void> {
    if (running === undefined) {
      running = run().finally(() => {
        running = undefined;
      });
      return running;
    }
    // What was written after the running sync began needs one of its own; everyone who waits meanwhile shares it.
    next ??= running
      .catch(() => undefined)
      .then(() => {
        next = undefined;
        return settle();
      });
    return next;
  }

  return {
    bootId,
    isPending: () =>
      db.get(
        'SELECT 1 FROM snapshots WHERE unsynced_boot IS NOT NULL UNION ALL SELECT 1 FROM blobs WHERE unsynced_boot IS NOT NULL LIMIT 1',
      ) !== undefined,
    settle,
    startEarly: () => {
      settle().catch(() => undefined); // the settle that somebody waits for reports the failure
    },
  };
}

/**
 * Drops the rows whose bytes were never made durable and whose boot has ended; returns what they were. Called once,
 * when the store is opened, before anyone reads.
 */
export function dropLostRows(
  db: Database,
  bootId: string,
): { readonly snapshotIds: readonly number[]; readonly digests: readonly string[] } {
  return db.transaction(() => {
    const digests = db
      .all('SELECT digest FROM blobs WHERE unsynced_boot <> ?', bootId)
      .map((row) => String(row['digest']));
    db.run('DELETE FROM blobs WHERE unsynced_boot <> ?', bootId);
    const snapshotIds = db
      .all(
        `WITH RECURSIVE lost(id) AS (
           SELECT id FROM snapshots WHERE unsynced_boot <> ?
           UNION SELECT snapshots.id FROM snapshots JOIN lost ON snapshots.parent_id = lost.id)
         SELECT id FROM lost ORDER BY id DESC`,
        bootId,
      )
      .map(id);
    for (const snapshot of snapshotIds) {
      db.run(
        `DELETE FROM layer_chains WHERE chain_id IN (SELECT name FROM snapshot_names WHERE snapshot_id = ?)`,
        snapshot,
      );
      db.run(
        `DELETE FROM build_cache WHERE snapshot_name IN (SELECT name FROM snapshot_names WHERE snapshot_id = ?)`,
        snapshot,
      );
      db.run('DELETE FROM snapshot_names WHERE snapshot_id = ?', snapshot);
      db.run('DELETE FROM snapshots WHERE id = ?', snapshot);
    }
    if (snapshotIds.length > 0 || digests.length > 0) {
      db.run(
        `DELETE FROM layers WHERE NOT EXISTS (SELECT 1 FROM layer_chains WHERE layer_chains.diff_id = layers.diff_id)`,
      );
    }
    return { snapshotIds, digests };
  });
}

function id(row: Row): number {
  return Number(row['id']);
}

function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** syncfs(2) can take seconds: it runs in a child (`sync -f`), not on the event loop. */
function syncFileSystemOf(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('sync', ['-f', path], { stdio: ['ignore', 'ignore', 'pipe'] });
    let text = '';
    child.stderr.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    child.on('error', (error) => reject(syncFailed(path, error.message)));
    child.on('close', (code) =>
      code === 0 ? resolve() : reject(syncFailed(path, text.trim() || `exit ${code}`)),
    );
  });
}

function syncFailed(path: string, detail: string): CodedError {
  return new CodedError('data_loss', `cannot sync the file system of "${path}": ${detail}`);
}
