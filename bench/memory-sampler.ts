/**
 * The thread that samples memory: the main thread stands still while a client runs. Told `{watch}` it adds an engine, told
 * `'stop'` it answers with the peak of each side in bytes. One engine of several on a side is the peak: they are not summed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { heldBytes } from './measure.ts';

/** Which processes make up an engine. */
export interface Watched {
  readonly side: 'ours' | 'peer';
  /** The process that was started; what lies below it counts. */
  readonly pid: number;
  /** Processes outside that tree count when their command line names this. */
  readonly path?: string;
  /** Only processes of these names: what runs in containers is not the engine. */
  readonly names: string;
}

/** Highest memory of each side so far, in bytes. */
export interface Peaks {
  readonly ours: number;
  readonly peer: number;
}

const INTERVAL_MS = 200;

/** Process ids of an engine at this moment. */
export function findProcesses({ pid, path, names }: Watched): number[] {
  const all = listProcesses();
  const inside = new Set<number>([pid]);
  // A parent may have a higher number than its child: until nothing is added.
  for (let before = 0; before !== inside.size; ) {
    before = inside.size;
    for (const entry of all) if (inside.has(entry.parent)) inside.add(entry.pid);
  }
  const pattern = new RegExp(names);
  return all
    .filter((entry) => pattern.test(entry.name))
    .filter((entry) => inside.has(entry.pid) || (path !== undefined && commandOf(entry.pid).includes(path)))
    .map((entry) => entry.pid);
}

function listProcesses(): { readonly pid: number; readonly parent: number; readonly name: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      // `pid (name) state parent …`; the name may hold anything.
      const stat = readText(`/proc/${name}/stat`);
      const end = stat.lastIndexOf(')');
      if (end < 0) return [];
      const parent = Number(stat.slice(end + 2).split(' ')[1]);
      return [{ pid: Number(name), parent, name: stat.slice(stat.indexOf('(') + 1, end) }];
    });
}

function commandOf(pid: number): string {
  return readText(`/proc/${pid}/cmdline`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const watched: Watched[] = [];
const peaks = { ours: 0, peer: 0 };
const port = parentPort;

function sample(): void {
  for (const engine of watched)
    peaks[engine.side] = Math.max(peaks[engine.side], heldBytes(findProcesses(engine)));
}

if (port !== null) {
  const timer = setInterval(sample, INTERVAL_MS);
  port.on('message', (message: { readonly watch: Watched } | 'stop') => {
    if (message !== 'stop') {
      watched.push(message.watch);
      return;
    }
    clearInterval(timer);
    port.postMessage(peaks satisfies Peaks);
    port.close();
  });
}
