/** What is kept of a step's output, in characters: for the record, and for a step whose turn to be shown has not come. */
const LOG_LIMIT = 64 * 1024;
const HELD_LIMIT = 16 * 1024 * 1024;

/**
 * Output of one vertex. Steps run side by side but are shown one after the other: until its turn has come a feed holds
 * what is said, then it passes it on as it comes.
 */
export class StepFeed {
  containerId: string | undefined;
  missReason: string | undefined;
  #held: string[] = [];
  #heldLength = 0;
  #log = '';
  #clipped = false;
  #shown: ((text: string) => void) | undefined;

  start(id: string): void {
    this.containerId = id;
    this.#say(` ---> Running in ${id.slice(0, 12)}\n`);
  }

  /** A line that is shown but is not the step's own output. */
  note(text: string): void {
    this.#say(text);
  }

  output(text: string): void {
    this.#remember(text);
    this.#say(text);
  }

  /** Shows what was held, and from now on everything at once. */
  show(write: (text: string) => void): void {
    this.#shown = write;
    for (const text of this.#held) write(text);
    this.#held = [];
  }

  get hasBegun(): boolean {
    return this.containerId !== undefined;
  }

  /** The output, the end of it when it is very long. */
  get log(): string {
    return this.#clipped ? `[beginning left out]\n${this.#log}` : this.#log;
  }

  #say(text: string): void {
    if (this.#shown !== undefined) {
      this.#shown(text);
      return;
    }
    this.#heldLength += text.length;
    if (this.#heldLength <= HELD_LIMIT) this.#held.push(text);
    else if (this.#heldLength - text.length <= HELD_LIMIT) this.#held.push('\n[output clipped]\n');
  }

  #remember(text: string): void {
    this.#log += text;
    if (this.#log.length <= LOG_LIMIT * 2) return;
    this.#log = this.#log.slice(-LOG_LIMIT);
    this.#clipped = true;
  }
}
