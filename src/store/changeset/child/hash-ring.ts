import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';

const SLOTS = 16;
const SLOT_BYTES = 512 * 1024;
const PRODUCED = 0;
const CONSUMED = 1;
const LENGTHS = 2;
/** In place of a length: the digest is wanted. */
const FINISH = -1;

/**
 * The bytes of a layer, in slots of memory that this thread fills and a second thread hashes. Up to one round of slots is
 * hashed here: small layers never start the thread. Used for one job after another.
 *
 * The two threads share two counters: `produced` slots are full, `consumed` slots are free again.
 */
export class HashRing {
  readonly #memory = new SharedArrayBuffer(SLOTS * SLOT_BYTES);
  readonly #shared = new SharedArrayBuffer((LENGTHS + SLOTS) * 4 + 32);
  readonly #control = new Int32Array(this.#shared, 0, LENGTHS + SLOTS);
  readonly #digest = Buffer.from(this.#shared, (LENGTHS + SLOTS) * 4, 32);
  readonly #slots = Array.from({ length: SLOTS }, (_, slot) =>
    Buffer.from(this.#memory, slot * SLOT_BYTES, SLOT_BYTES),
  );
  #worker: Worker | undefined;
  #isEngaged = false;
  #produced = 0;
  /** Slots filled for this job that the thread has not been told of. */
  #held: number[] = [];

  /** A slot to fill; blocks until there is a free one. The slot before last stays readable until this returns. */
  next(): Buffer {
    if (!this.#isEngaged && this.#held.length === SLOTS) this.#engage();
    if (this.#isEngaged) this.#waitForRoom();
    return this.#slotAt(this.#produced + this.#held.length);
  }

  /** Takes the first `length` bytes of the slot that `next` gave; they may be read, not changed, until the slot comes round again. */
  push(length: number): void {
    if (this.#isEngaged) this.#hand(length);
    else this.#held.push(length);
  }

  /** Hex of the sha256 over everything pushed; ends the job. */
  finish(): string {
    if (!this.#isEngaged) return this.#hashHere();
    this.#waitForRoom();
    this.#hand(FINISH);
    this.#waitFor(this.#produced);
    this.#isEngaged = false;
    return this.#digest.toString('hex');
  }

  #slotAt(count: number): Buffer {
    const slot = this.#slots[count % SLOTS];
    if (slot === undefined) throw new Error('no slot');
    return slot;
  }

  #hashHere(): string {
    const hash = createHash('sha256');
    for (const [index, length] of this.#held.entries()) {
      hash.update(this.#slotAt(this.#produced + index).subarray(0, length));
    }
    this.#held = [];
    return hash.digest('hex');
  }

  #engage(): void {
    this.#worker ??= new Worker(WORKER, {
      eval: true,
      workerData: { memory: this.#memory, shared: this.#shared, slots: SLOTS, slotBytes: SLOT_BYTES },
      stdin: false,
    });
    this.#worker.unref();
    this.#isEngaged = true;
    const held = this.#held;
    this.#held = [];
    for (const length of held) this.#hand(length);
  }

  #hand(length: number): void {
    this.#control[LENGTHS + (this.#produced % SLOTS)] = length;
    this.#produced++;
    Atomics.store(this.#control, PRODUCED, this.#produced);
    Atomics.notify(this.#control, PRODUCED);
  }

  #waitForRoom(): void {
    this.#waitFor(this.#produced - SLOTS + 1);
  }

  #waitFor(consumed: number): void {
    for (;;) {
      const now = Atomics.load(this.#control, CONSUMED);
      if (now >= consumed) return;
      Atomics.wait(this.#control, CONSUMED, now);
    }
  }
}

/** The second thread, as text: it needs no file, so it may start inside a chroot, and a bundle needs no second entry. */
const WORKER = `
const { workerData } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const { memory, shared, slots, slotBytes } = workerData;
const control = new Int32Array(shared, 0, ${LENGTHS} + slots);
const digest = Buffer.from(shared, (${LENGTHS} + slots) * 4, 32);
let hash = createHash('sha256');
for (let consumed = 0; ; ) {
  while (Atomics.load(control, ${PRODUCED}) === consumed) Atomics.wait(control, ${PRODUCED}, consumed);
  const slot = consumed % slots;
  const length = control[${LENGTHS} + slot];
  if (length === ${FINISH}) {
    hash.digest().copy(digest);
    hash = createHash('sha256');
  } else hash.update(Buffer.from(memory, slot * slotBytes, length));
  consumed++;
  Atomics.store(control, ${CONSUMED}, consumed);
  Atomics.notify(control, ${CONSUMED});
}
`;
