/** What `slipway up` started: processes by pid and start time, kept in `<root>/up.json`. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CliContext } from './types.ts';

/** One process. A pid alone may belong to somebody else by now: its start time tells. */
export interface ServiceProcess {
  readonly pid: number;
  readonly startTicks: string;
  /** Socket or URL at which it answers. */
  readonly address: string;
}

/** The file's content. */
export interface ServiceState {
  readonly engine?: ServiceProcess;
  readonly hub?: ServiceProcess;
}

/** Folder under which both keep their data. */
export function serviceRoot(context: CliContext, flag: string | undefined): string {
  const chosen = flag ?? context.environment['SLIPWAY_ROOT'];
  if (chosen) return chosen;
  return process.getuid?.() === 0 ? '/var/lib/slipway' : join(context.homeDir, '.slipway');
}

/** Reads the state; what no longer runs is left out. */
export function readState(root: string): ServiceState {
  let state: ServiceState;
  try {
    state = JSON.parse(readFileSync(join(root, 'up.json'), 'utf8')) as ServiceState;
  } catch {
    return {}; // nothing was started, or not by us
  }
  return {
    ...(state.engine !== undefined && isAlive(state.engine) ? { engine: state.engine } : {}),
    ...(state.hub !== undefined && isAlive(state.hub) ? { hub: state.hub } : {}),
  };
}

/** Replaces the state in one step. */
export function writeState(root: string, state: ServiceState): void {
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const path = join(root, 'up.json');
  writeFileSync(`${path}.tmp`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}

/** Forgets the state. */
export function removeState(root: string): void {
  rmSync(join(root, 'up.json'), { force: true });
}

/** Whether the very process still runs. */
export function isAlive({ pid, startTicks }: ServiceProcess): boolean {
  return startTicksOf(pid) === startTicks;
}

/** Start time of a process in clock ticks since boot; `undefined` when it does not run (or is a zombie). */
export function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}
