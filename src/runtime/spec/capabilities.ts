import { readFileSync } from 'node:fs';
import { CodedError } from '#base/errors/index.ts';
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from './defaults.ts';

/**
 * The capabilities of a container: Docker's 14, plus `add`, minus `drop`; `ALL` works in both, with or without `CAP_`.
 * What the kernel does not have, or this process may not pass on, is left out of `ALL`.
 * @throws {CodedError} `invalid_argument` for an unknown name, with Docker's text.
 */
export function capabilitiesFor(options: {
  readonly privileged: boolean;
  readonly add?: readonly string[];
  readonly drop?: readonly string[];
  /** Bits of the capabilities this process may pass on; by default all. */
  readonly available?: bigint;
}): readonly string[] {
  const { available } = options;
  const known =
    available === undefined
      ? ALL_CAPABILITIES
      : ALL_CAPABILITIES.filter((_, bit) => ((available >> BigInt(bit)) & 1n) === 1n);
  if (options.privileged) return known;
  const add = normalize(options.add ?? [], 'CapAdd');
  const drop = normalize(options.drop ?? [], 'CapDrop');
  const start = add.includes('ALL') ? known : drop.includes('ALL') ? [] : DEFAULT_CAPABILITIES;
  const kept = start.filter((name) => !drop.includes(name));
  const added = add.filter((name) => name !== 'ALL' && !kept.includes(name) && known.includes(name));
  return [...kept, ...added];
}

function normalize(names: readonly string[], field: string): readonly string[] {
  return names.map((name) => {
    const upper = name.toUpperCase();
    if (upper === 'ALL') return upper;
    const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
    if (!ALL_CAPABILITIES.includes(full)) {
      throw new CodedError('invalid_argument', `invalid ${field}: unknown capability: "${full}"`);
    }
    return full;
  });
}

/** Capabilities in this process's bounding set: more than these nobody can be given. */
export function availableCapabilities(): bigint {
  const bits = /^CapBnd:\s+([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
  return BigInt(`0x${bits ?? 'ffffffffff'}`);
}
