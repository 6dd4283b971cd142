import { randomUUID } from 'node:crypto';
import type { ContentStore } from '#store/content/types.ts';
import type { Database } from '#store/metadata/index.ts';
import type { SnapshotStore } from '#store/snapshot/types.ts';
import { collect } from './collect.ts';
import { dropExpiredLeases } from './reclaim.ts';
import type { GcReport, Lease, LeaseStore } from './types.ts';

const GRACE_MS = 60 * 60 * 1000;

/** What leases protect, and the age below which nothing is collected. */
export interface LeaseStoreOptions {
  readonly db: Database;
  readonly content: ContentStore;
  readonly snapshots: SnapshotStore;
  readonly graceMs?: number;
}

/** Makes the lease store and its collector. */
export function createLeaseStore(options: LeaseStoreOptions): LeaseStore {
  const { db, content, snapshots, graceMs = GRACE_MS } = options;
  const now = createCautiousClock();
  let running: Promise<GcReport> | undefined;

  return {
    createLease: ({ ttlMs, label = '' } = {}) => {
      const id = randomUUID();
      // A lease keeps what nobody was told of yet; after a power loss the grace is all that is left of it.
      db.runSoon(
        'INSERT INTO leases (id, label, created_at, expires_at) VALUES (?, ?, ?, ?)',
        id,
        label,
        Date.now(),
        ttlMs === undefined ? null : Date.now() + ttlMs,
      );
      return openLease(db, id);
    },
    collectGarbage: (signal) => {
      running ??= collect({ db, content, snapshots, before: now() - graceMs, graceMs, signal }).finally(
        () => {
          running = undefined;
        },
      );
      return running;
    },
    dropProcessLeases: () => {
      db.runSoon('DELETE FROM leases WHERE expires_at IS NULL');
      dropExpiredLeases(db);
    },
    isLeased: ({ kind, key }) =>
      db.get(
        `SELECT 1 FROM lease_resources JOIN leases ON leases.id = lease_id
         WHERE kind = ? AND key = ? AND (expires_at IS NULL OR expires_at >= ?) LIMIT 1`,
        kind,
        key,
        Date.now(),
      ) !== undefined,
  };
}

function openLease(db: Database, id: string): Lease {
  return {
    id,
    add: ({ kind, key }) => {
      db.runLate(
        'INSERT OR IGNORE INTO lease_resources (lease_id, kind, key) VALUES (?, ?, ?)',
        id,
        kind,
        key,
      );
    },
    [Symbol.asyncDispose]: async () => {
      db.runSoon('DELETE FROM leases WHERE id = ?', id);
    },
  };
}

/** The earlier of the wall clock and our own count since the start: a jump in either direction makes things look younger. */
function createCautiousClock(): () => number {
  const [wall, started] = [Date.now(), performance.now()];
  return () => Math.min(Date.now(), wall + (performance.now() - started));
}
