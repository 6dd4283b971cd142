import { loadPosix } from '#base/posix/index.ts';
import { Answerer } from './answer.ts';
import { Forwarder } from './forward.ts';
import { Listener } from './listener.ts';
import type { NamesAnswer, NamesChange, NamesEntry } from './types.ts';
import { Zone } from './zone.ts';

/** Resolvers of many network namespaces. */
export class NamesServer {
  readonly #zone = new Zone();
  readonly #answerer: Answerer;
  readonly #listeners = new Map<string, Listener>();
  readonly #forwarder = new Forwarder();

  constructor() {
    this.#answerer = new Answerer(this.#zone, this.#forwarder);
  }

  /** Carries out a change; a new namespace is served on `port`, or one that is chosen. @throws a system error. */
  change(change: NamesChange, port = 0): NamesAnswer {
    switch (change.kind) {
      case 'put':
        return this.#put(change.entry, port);
      case 'drop':
        this.#drop(change.sandboxId);
        break;
      case 'keep': {
        const kept = new Set(change.sandboxIds);
        for (const id of this.#zone.ids()) if (!kept.has(id)) this.#drop(id);
        break;
      }
      case 'warm':
        loadPosix();
    }
    return { port: 0, isNew: false };
  }

  /** Closes everything. */
  close(): void {
    this.change({ kind: 'keep', sandboxIds: [] });
  }

  #put(entry: NamesEntry, port: number): NamesAnswer {
    const { sandboxId } = entry;
    const known = this.#listeners.get(sandboxId);
    const listener =
      known ??
      new Listener(entry.netnsPath, port, (packet, options) =>
        this.#answerer.answer(sandboxId, packet, options),
      );
    this.#listeners.set(sandboxId, listener);
    this.#zone.put(entry);
    return { port: listener.port, isNew: known === undefined };
  }

  #drop(sandboxId: string): void {
    this.#listeners.get(sandboxId)?.close();
    this.#listeners.delete(sandboxId);
    this.#forwarder.drop(sandboxId);
    this.#zone.drop(sandboxId);
  }
}
