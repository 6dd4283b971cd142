import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createNetns, removeNetns } from '#base/posix/index.ts';
import type { Sandbox } from './types.ts';

const READY = 3;
const REFILL_DELAY_MS = 40;
const LOOPBACK_INDEX = 1;

/** Network namespaces, a few of them made ahead of time so that a start does not wait for one. */
export class SandboxPool {
  readonly #dir: string;
  readonly #ready: Sandbox[] = [];
  #refill: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(dir: string) {
    this.#dir = dir;
  }

  acquire(): Sandbox {
    const sandbox = this.#ready.pop() ?? this.#create();
    this.#scheduleRefill();
    return sandbox;
  }

  remove(sandbox: Sandbox): void {
    removeNetns(sandbox.path);
  }

  /** Drops every namespace but those in `keep`: what a crash left behind. */
  sweep(keep: ReadonlySet<string>): void {
    for (const id of this.#list()) {
      if (!keep.has(id) && !this.#ready.some((ready) => ready.id === id)) removeNetns(join(this.#dir, id));
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#refill);
    for (const sandbox of this.#ready.splice(0)) removeNetns(sandbox.path);
  }

  #list(): string[] {
    try {
      return readdirSync(this.#dir);
    } catch {
      return [];
    }
  }

  #create(): Sandbox {
    const id = randomBytes(6).toString('hex');
    const path = join(this.#dir, id);
    createNetns(path, (socket) => {
      socket.setUp(LOOPBACK_INDEX);
      // /proc/sys/net is that of the namespace of the thread that opens it: here, the new one.
      writeFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', '0');
      writeFileSync('/proc/sys/net/ipv4/ping_group_range', '0 2147483647');
      trySysctl('/proc/sys/net/ipv6/conf/default/disable_ipv6', '1');
    });
    return { id, path };
  }

  #scheduleRefill(): void {
    if (this.#refill !== undefined || this.#closed) return;
    this.#refill = setTimeout(() => {
      this.#refill = undefined;
      if (this.#closed || this.#ready.length >= READY) return;
      this.#ready.push(this.#create());
      this.#scheduleRefill();
    }, REFILL_DELAY_MS);
    this.#refill.unref();
  }
}

function trySysctl(path: string, value: string): void {
  try {
    writeFileSync(path, value);
  } catch {
    // A kernel without IPv6 has nothing to switch off.
  }
}
