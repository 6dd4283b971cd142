import { CodedError } from '#base/errors/index.ts';
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from './defaults.ts';

/**
 * The capabilities of a container: Docker's 14, plus `add`, minus `drop`; `ALL` works in both, with or without `CAP_`.
 * Names the kernel does not have are left out of `ALL`.
 * @throws {CodedError} `invalid_argument` for an unknown name, with Docker's text.
 */
export function capabilitiesFor(options: {
  readonly privileged: boolean;
  readonly add?: readonly string[];
  readonly drop?: readonly string[];
  readonly lastCapability?: number;
}): readonly string[] {
  const known = ALL_CAPABILITIES.slice(0, (options.lastCapability ?? ALL_CAPABILITIES.length - 1) + 1);
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
      throw new CodedError('invalid_argument', `invalid ${field}: unknown capability: "${name}"`);
    }
    return full;
  });
}
