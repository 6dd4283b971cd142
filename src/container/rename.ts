import { CodedError } from '#base/errors/index.ts';
import { type Context, publish } from './context.ts';
import { naming } from './lifecycle.ts';
import { checkName } from './names.ts';
import { updateNames } from './resolver.ts';
import type { ContainerRecord } from './types.ts';

/**
 * Gives a container another name, on its networks as well.
 * @throws {CodedError} with Docker's texts.
 */
export function renameContainer(context: Context, record: ContainerRecord, name: string): void {
  if (name === '') throw new CodedError('invalid_argument', 'Neither old nor new names may be empty');
  const own = name.startsWith('/') ? name.slice(1) : name;
  if (own === record.name) {
    throw new CodedError('invalid_argument', 'Renaming a container with the same name as its current name');
  }
  const renamed = naming('Error when allocating new name', () =>
    context.records.change(record.id, { name: checkName(`/${own}`) }),
  );
  publish(context, renamed, 'rename', { oldName: `/${record.name}` });
  context.networks?.renameContainer(record.id, renamed.name);
  updateNames(context, renamed, renamed.attachments).catch((error) => {
    context.log.warn('a new name cannot be looked up', { container: record.id, error });
  });
}
