import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { CaseResult } from './engine-cases.ts';
import { figuresOf, heldBytes } from './measure.ts';
import { findProcesses, type Peaks, type Watched } from './memory-sampler.ts';
import type { EngineUnderTest } from './peers.ts';

/** Memory while both are idle, and the peak of everything that is run until it is stopped. */
export class MemoryWatch {
  readonly #worker = new Worker(new URL('./memory-sampler.ts', import.meta.url));
  readonly #idle: Peaks;

  constructor(ours: EngineUnderTest, peer: EngineUnderTest) {
    const held = (side: Watched['side'], { processes }: EngineUnderTest): number =>
      heldBytes(findProcesses({ side, ...processes }));
    this.#idle = { ours: held('ours', ours), peer: held('peer', peer) };
    this.add('ours', ours);
    this.add('peer', peer);
  }

  /** One more engine of a side. */
  add(side: Watched['side'], { processes }: EngineUnderTest): void {
    this.#worker.postMessage({ watch: { side, ...processes } });
  }

  async stop(): Promise<readonly CaseResult[]> {
    this.#worker.postMessage('stop');
    const [peaks] = (await once(this.#worker, 'message')) as [Peaks];
    const row = (name: string, values: Peaks): CaseResult => ({
      case: name,
      unit: 'MiB',
      ours: figuresOf([values.ours / 2 ** 20]),
      peer: figuresOf([values.peer / 2 ** 20]),
      ratio: values.ours / values.peer,
      goal: 1,
      higherIsBetter: false,
    });
    return [row('memory (PSS): engine idle', this.#idle), row('memory (PSS): engine peak', peaks)];
  }
}
