/** Timing of whole processes, in turns: A B A B …, so that drift of the machine meets both. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** One side of a comparison: a name and what to time; returns milliseconds when the command times itself. */
export interface Side {
  readonly name: string;
  /** Not timed, before each run. */
  readonly prepare?: () => void | Promise<void>;
  readonly run: () => number | undefined | Promise<number | undefined>;
}

/** Figures of a case, in the unit of the case. */
export interface Figures {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly runs: number;
}

/** Runs both sides `runs` times in turn, after `warmup` runs that do not count. */
export async function compare(
  ours: Side,
  peer: Side,
  options: { readonly runs: number; readonly warmup: number },
): Promise<{ readonly ours: Figures; readonly peer: Figures }> {
  const times: Record<'ours' | 'peer', number[]> = { ours: [], peer: [] };
  for (let i = -options.warmup; i < options.runs; i++) {
    for (const [key, side] of [
      ['ours', ours],
      ['peer', peer],
    ] as const) {
      await side.prepare?.();
      const started = performance.now();
      const own = await side.run();
      const elapsed = own ?? performance.now() - started;
      if (i >= 0) times[key].push(elapsed);
    }
  }
  return { ours: figuresOf(times.ours), peer: figuresOf(times.peer) };
}

/** Median, smallest and largest. */
export function figuresOf(values: readonly number[]): Figures {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const median =
    sorted.length % 2 === 1 ? sorted[middle] : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
  return {
    median: median ?? Number.NaN,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
    runs: sorted.length,
  };
}

/** Longer than the slowest case of the slowest peer; what hangs must not hang the run. */
const COMMAND_TIMEOUT_MS = 900_000;

/** Runs a program to its end. @throws when it fails, with the end of what it said. */
export function command(
  program: string,
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly input?: string; readonly cwd?: string } = {},
): string {
  const done = spawnSync(program, args, {
    timeout: COMMAND_TIMEOUT_MS,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    env: { ...process.env, ...options.env },
    input: options.input ?? '',
    cwd: options.cwd,
  });
  if (done.status !== 0)
    throw new Error(
      `${program} ${args.join(' ')} ended with ${done.status ?? done.signal}: ${`${done.stdout}${done.stderr}`.slice(-2000)}`,
    );
  return done.stdout;
}

/** Runs a program and says how long it took after a line containing `marker` was printed. */
export async function timeAfterLine(
  program: string,
  args: readonly string[],
  marker: string,
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Promise<number> {
  const child = spawn(program, args, {
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let seenAt: number | undefined;
  let tail = '';
  const look = (chunk: Buffer): void => {
    tail = (tail + chunk.toString()).slice(-4000);
    if (tail.includes(`\n${marker}`)) seenAt ??= performance.now();
  };
  child.stdout.on('data', look);
  child.stderr.on('data', look);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0 || seenAt === undefined)
    throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${tail.slice(-1500)}`);
  return performance.now() - seenAt;
}

/** Bytes of memory that processes hold, pages they share counted once (PSS). */
export function heldBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of new Set(pids)) {
    try {
      const match = /^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'));
      sum += Number(match?.[1] ?? 0) * 1024;
    } catch {
      // It ended meanwhile.
    }
  }
  return sum;
}
