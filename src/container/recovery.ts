import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ExitRecord } from '#runtime/keeper/types.ts';
import { killCgroup, removeCgroup } from '#runtime/process/index.ts';
import { type Context, cgroupsPathOf, changeState, exitFileOf, isRunning, runtimeRootOf } from './context.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { ContainerRecord } from './types.ts';

/** What Docker answers for a process whose end nobody saw. */
const UNKNOWN_EXIT = 255;

/** After a start of the engine: joins what the keeper holds with what the records say. */
export async function recoverContainers(context: Context, lifecycle: Lifecycle): Promise<void> {
  const kept = new Map((await context.keeper.list()).map((one) => [one.id, one]));
  for (const record of context.records.list()) {
    const held = kept.get(record.id);
    kept.delete(record.id);
    if (held !== undefined && held.exit === undefined) {
      const status = record.state.status === 'paused' ? 'paused' : 'running';
      changeState(context, record.id, { status, pid: held.pid, startedAt: held.startedAt });
      continue;
    }
    const exit = held?.exit ?? readExit(exitFileOf(context, record.id));
    const wasUp = isRunning(record);
    if (wasUp || (exit !== undefined && exit.finishedAt > record.state.finishedAt)) {
      if (exit === undefined) cleanLost(context, record);
      await lifecycle.onExit(exit ?? lostExit(record));
    }
  }
  for (const [id, { exit, containerId }] of kept) {
    if (containerId !== undefined && exit === undefined) continue;
    if (exit === undefined) await context.keeper.signal(id, 9).catch(() => {});
    else await context.keeper.forget(id);
  }
  const live = context.records
    .list()
    .filter(isRunning)
    .flatMap(({ sandboxId }) => (sandboxId === undefined ? [] : [sandboxId]));
  context.networks?.sweepSandboxes(new Set(live));
  lifecycle.startPolicies();
}

/** Nobody saw its end: the host was restarted, or the keeper was killed. */
function cleanLost(context: Context, record: ContainerRecord): void {
  const path = cgroupsPathOf(record);
  killCgroup(path);
  removeCgroup(path);
  rmSync(join(runtimeRootOf(context), record.id), { recursive: true, force: true });
}

function readExit(path: string): ExitRecord | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ExitRecord;
  } catch {
    return undefined;
  }
}

function lostExit(record: ContainerRecord): ExitRecord {
  return {
    id: record.id,
    exitCode: UNKNOWN_EXIT,
    oomKilled: false,
    startedAt: record.state.startedAt,
    finishedAt: Date.now(),
  };
}
