import { Alert, Button, Group, List, Modal, Skeleton, Stack, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { TagRemoval } from '#hub/protocol/index.ts';
import { call } from '../api.ts';
import { formatBytes, plural } from '../format.ts';
import classes from './parts.module.css';
import { Failure, FormError } from './states.tsx';

interface RemoveTagsProps {
  readonly repository: string;
  /** Empty: nothing is asked. */
  readonly tags: readonly string[];
  readonly onClose: () => void;
  readonly onRemoved: (removal: TagRemoval) => void;
}

/** Asks before tags go, and says what goes with them. */
export function RemoveTags({ repository, tags, onClose, onRemoved }: RemoveTagsProps) {
  const client = useQueryClient();
  const preview = useQuery({
    queryKey: ['removal', repository, ...tags],
    queryFn: () => call<TagRemoval>('POST', `/api/tags-preview/${repository}`, { tags }),
    enabled: tags.length > 0,
    staleTime: 0,
  });
  const remove = useMutation({
    mutationFn: () => call<TagRemoval>('POST', `/api/tags-delete/${repository}`, { tags }),
    onSuccess: async (removal) => {
      for (const key of ['tags', 'repository'])
        await client.invalidateQueries({ queryKey: [key, repository] });
      onRemoved(removal);
      onClose();
    },
  });
  const what = tags.length === 1 ? `tag ${tags[0]}` : plural(tags.length, 'tag');
  return (
    <Modal opened={tags.length > 0} onClose={onClose} title={`Delete ${what}?`}>
      <Stack>
        {tags.length > 1 && (
          <List
            size="sm"
            listStyleType="none"
            className={classes['scrollBox'] ?? ''}
            aria-label="Tags that go"
            // It scrolls, also by keyboard.
            tabIndex={0}
          >
            {tags.map((tag) => (
              <List.Item key={tag}>{tag}</List.Item>
            ))}
          </List>
        )}
        <Text size="sm">
          Nobody can pull {tags.length === 1 ? `${repository}:${tags[0]}` : 'them'} any more. This cannot be
          undone.
        </Text>
        {preview.data === undefined && preview.error === null && <Skeleton height={20} />}
        {preview.error !== null && <Failure error={preview.error} />}
        {preview.data !== undefined && <Consequence removal={preview.data} />}
        <FormError error={remove.error} fields={[]} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            {tags.length === 1 ? 'Keep it' : 'Keep them'}
          </Button>
          <Button color="red" loading={remove.isPending} onClick={() => remove.mutate()}>
            Delete {tags.length === 1 ? 'tag' : plural(tags.length, 'tag')}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** What goes beside the names. */
export function Consequence({ removal }: { readonly removal: TagRemoval }) {
  const { manifests, freedBytes } = removal;
  if (manifests.length === 0) {
    return (
      <Alert color="gray" p="xs">
        No image goes and no space is freed: other tags, or an index, still name what they point at.
      </Alert>
    );
  }
  return (
    <Alert color="yellow" p="xs">
      {plural(manifests.length, 'image')} that nothing else names {manifests.length === 1 ? 'goes' : 'go'}{' '}
      too;{' '}
      {freedBytes === 0
        ? 'every layer is still used elsewhere, so no space is freed.'
        : `this frees ${formatBytes(freedBytes)}.`}
    </Alert>
  );
}
