import { type ExitedChild, findExitedChild, reapChild } from '#base/posix/index.ts';

/**
 * Waits for processes this one did not start through Node: containers, whose runtime has ended, become its children
 * because it is a subreaper. Children of Node's own are left to Node; other orphans are reaped and forgotten.
 */
export class Reaper {
  readonly #watched = new Map<number, (exit: ExitedChild) => void>();
  readonly #nodeChildren = new Set<number>();
  #starting = 0;
  readonly #onSignal = (): void => this.#sweep();

  /** Begins to listen; call once. */
  listen(): void {
    process.on('SIGCHLD', this.#onSignal);
  }

  /** Calls `onExit` once when `pid` has ended; it may have ended already. */
  watch(pid: number, onExit: (exit: ExitedChild) => void): void {
    this.#watched.set(pid, onExit);
    this.#collect(pid);
  }

  /**
   * Runs `body` while a runtime starts a process whose id is not known yet: until it ends, no unknown orphan is reaped,
   * for it may be that one.
   */
  async whileStarting<T>(body: (own: (pid: number | undefined) => void) => Promise<T>): Promise<T> {
    this.#starting++;
    const pids: number[] = [];
    try {
      return await body((pid) => {
        if (pid === undefined) return;
        pids.push(pid);
        this.#nodeChildren.add(pid);
      });
    } finally {
      for (const pid of pids) this.#nodeChildren.delete(pid);
      this.#starting--;
      this.#sweep();
    }
  }

  #collect(pid: number): boolean {
    const exit = reapChild(pid);
    if (exit === undefined) return false;
    const onExit = this.#watched.get(pid);
    this.#watched.delete(pid);
    onExit?.(exit);
    return true;
  }

  #sweep(): void {
    for (;;) {
      const found = findExitedChild();
      if (found === undefined) return;
      if (this.#watched.has(found.pid)) {
        this.#collect(found.pid);
        continue;
      }
      if (this.#nodeChildren.has(found.pid) || this.#starting > 0) {
        // It hides those behind it: ask for each of ours by name.
        for (const pid of [...this.#watched.keys()]) this.#collect(pid);
        return;
      }
      reapChild(found.pid);
    }
  }
}
