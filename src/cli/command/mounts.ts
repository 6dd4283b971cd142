import { resolve } from 'node:path';
import { usageError } from './flags.ts';

/** `type=bind,source=/a,target=/b,readonly` as a `Mount` of the Engine API. */
export function parseMount(spec: string, workingDir: string): Record<string, unknown> {
  const fields = new Map(
    spec.split(',').map((part) => {
      const equals = part.indexOf('=');
      return equals < 0
        ? ([part.toLowerCase(), 'true'] as const)
        : ([part.slice(0, equals).toLowerCase(), part.slice(equals + 1)] as const);
    }),
  );
  const take = (...names: string[]): string | undefined => {
    let value: string | undefined;
    for (const name of names) {
      value ??= fields.get(name);
      fields.delete(name);
    }
    return value;
  };
  const type = take('type') ?? 'volume';
  const target = take('target', 'destination', 'dst');
  if (target === undefined)
    throw usageError(`invalid argument ${JSON.stringify(spec)} for "--mount" flag: target is required`);
  const source = take('source', 'src');
  const readonly = take('readonly', 'ro');
  const mount: Record<string, unknown> = { Type: type, Target: target };
  if (source !== undefined)
    mount['Source'] = type === 'bind' && source.startsWith('.') ? resolve(workingDir, source) : source;
  if (readonly !== undefined) mount['ReadOnly'] = readonly === 'true' || readonly === '1';
  const consistency = take('consistency');
  if (consistency !== undefined) mount['Consistency'] = consistency;
  const propagation = take('bind-propagation');
  if (propagation !== undefined) mount['BindOptions'] = { Propagation: propagation };
  const noCopy = take('volume-nocopy');
  const driver = take('volume-driver');
  if (noCopy !== undefined || driver !== undefined)
    mount['VolumeOptions'] = {
      ...(noCopy === undefined ? {} : { NoCopy: noCopy === 'true' }),
      ...(driver === undefined ? {} : { DriverConfig: { Name: driver } }),
    };
  const size = take('tmpfs-size');
  const mode = take('tmpfs-mode');
  if (size !== undefined || mode !== undefined)
    mount['TmpfsOptions'] = {
      ...(size === undefined ? {} : { SizeBytes: Number(size) }),
      ...(mode === undefined ? {} : { Mode: Number.parseInt(mode, 8) }),
    };
  const [unknown] = fields.keys();
  if (unknown !== undefined)
    throw usageError(
      `invalid argument ${JSON.stringify(spec)} for "--mount" flag: unexpected key '${unknown}' in '${spec}'`,
    );
  return mount;
}
