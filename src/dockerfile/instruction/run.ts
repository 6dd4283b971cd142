import type { Statement } from '#dockerfile/text/types.ts';
import { parseFlags } from './flags.ts';
import { checkMount } from './run-mount.ts';
import { invalid, parseCommandLine, quote, sourceOf } from './source.ts';
import type { RunInstruction } from './types.ts';

/** `RUN [flags] command` or `RUN ["…"]`. */
export function parseRun(statement: Statement): RunInstruction {
  const flags = parseFlags(statement.flags, {
    mount: 'strings',
    network: 'string',
    security: 'string',
    device: 'strings',
  });
  const mounts = flags.strings('mount');
  for (const mount of mounts) checkMount(mount);
  return {
    kind: 'RUN',
    ...sourceOf(statement),
    ...parseCommandLine(statement),
    mounts,
    network: parseNetwork(flags.string('network') || 'default'),
    security: parseSecurity(flags.string('security') || 'sandbox'),
    devices: flags.strings('device'),
    flagsUsed: flags.used,
  };
}

function parseNetwork(value: string): RunInstruction['network'] {
  if (value === 'default' || value === 'none' || value === 'host') return value;
  throw invalid(`invalid network mode ${quote(value)}`);
}

function parseSecurity(value: string): RunInstruction['security'] {
  if (value === 'sandbox' || value === 'insecure') return value;
  throw invalid(`security ${quote(value)} is not valid`);
}
