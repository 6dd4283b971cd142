import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { TagSummary } from '#hub/protocol/index.ts';
import { call, sessionQuery } from '../api.ts';
import { formatAgo, formatBytes, formatCount, formatTime, shortDigest } from '../format.ts';
import { CopyButton } from './copy-line.tsx';
import classes from './parts.module.css';
import { FormError } from './states.tsx';

type Order = 'newest' | 'name' | 'size';

/** So many rows at once: a browser lays them out in no time. */
const STEP = 100;

const ORDERS: Readonly<Record<Order, (a: TagSummary, b: TagSummary) => number>> = {
  newest: (a, b) => b.pushedAt - a.pushedAt,
  name: (a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }),
  size: (a, b) => b.sizeBytes - a.sizeBytes,
};

interface TagTableProps {
  readonly repository: string;
  readonly tags: readonly TagSummary[];
  readonly canDelete: boolean;
  /** Shown beside the filter when there is one. */
  readonly filter?: {
    readonly text: string;
    readonly onChange: (text: string) => void;
  };
}

/** Tags in rows, to filter and sort. */
export function TagTable({ repository, tags, canDelete, filter }: TagTableProps) {
  const { data: session } = useQuery(sessionQuery);
  const [limit, setLimit] = useState(STEP);
  const [order, setOrder] = useState<Order>('newest');
  const [doomed, setDoomed] = useState<string>();
  const found = tags.filter((tag) => tag.name.includes(filter?.text ?? '')).sort(ORDERS[order]);
  const shown = found.slice(0, limit);
  return (
    <Stack>
      {filter !== undefined && (
        <Group>
          <TextInput
            aria-label="Filter tags"
            placeholder="Filter by name"
            value={filter.text}
            onChange={(event) => filter.onChange(event.currentTarget.value)}
          />
          <Select
            aria-label="Sort tags"
            data={[
              { value: 'newest', label: 'Newest first' },
              { value: 'name', label: 'By name' },
              { value: 'size', label: 'Largest first' },
            ]}
            value={order}
            onChange={(value) => setOrder((value ?? 'newest') as Order)}
            allowDeselect={false}
          />
        </Group>
      )}
      <Table verticalSpacing="sm" highlightOnHover aria-label="Tags" className={classes['figures'] ?? ''}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Tag</Table.Th>
            <Table.Th visibleFrom="sm">Digest</Table.Th>
            <Table.Th visibleFrom="sm">Platform</Table.Th>
            <Table.Th ta="right">Size</Table.Th>
            <Table.Th visibleFrom="sm">Pushed</Table.Th>
            <Table.Th visibleFrom="md">Last pulled</Table.Th>
            <Table.Th aria-label="Actions" w={canDelete ? 110 : 44} />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {shown.map((tag) => (
            <Row
              key={tag.name}
              repository={repository}
              tag={tag}
              host={session?.registryHost ?? ''}
              {...(canDelete ? { onDelete: () => setDoomed(tag.name) } : {})}
            />
          ))}
        </Table.Tbody>
      </Table>
      {found.length === 0 && <Text c="dimmed">No tag has this in its name.</Text>}
      {found.length > shown.length && (
        <Group>
          <Button variant="default" onClick={() => setLimit(limit + STEP)}>
            Show more
          </Button>
          <Text size="sm" c="dimmed">
            {formatCount(shown.length)} of {formatCount(found.length)} are shown.
          </Text>
        </Group>
      )}
      <DeleteTag repository={repository} tag={doomed} onClose={() => setDoomed(undefined)} />
    </Stack>
  );
}

function Row({
  repository,
  tag,
  host,
  onDelete,
}: {
  readonly repository: string;
  readonly tag: TagSummary;
  readonly host: string;
  readonly onDelete?: () => void;
}) {
  const pushed = `${formatAgo(tag.pushedAt)}${tag.pushedBy === '' ? '' : ` by ${tag.pushedBy}`}`;
  return (
    <Table.Tr data-tag={tag.name}>
      <Table.Td>
        <Link
          to="/r/$"
          params={{ _splat: repository }}
          search={{ reference: tag.name }}
          className={classes['rowLink'] ?? ''}
        >
          {tag.name}
        </Link>
        <Text size="xs" c="dimmed" hiddenFrom="sm">
          {[pushed, ...tag.platforms].join(' · ')}
        </Text>
      </Table.Td>
      <Table.Td visibleFrom="sm" ff="monospace" fz="xs" title={tag.digest}>
        {shortDigest(tag.digest)}
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Group gap={4}>
          {tag.platforms.map((platform) => (
            <Badge key={platform} variant="light" color="gray" radius="sm" tt="none">
              {platform}
            </Badge>
          ))}
        </Group>
      </Table.Td>
      <Table.Td ta="right">{formatBytes(tag.sizeBytes)}</Table.Td>
      <Table.Td visibleFrom="sm" title={formatTime(tag.pushedAt)}>
        {pushed}
      </Table.Td>
      <Table.Td visibleFrom="md">{formatAgo(tag.pulledAt)}</Table.Td>
      <Table.Td ta="right">
        <Group gap={4} wrap="nowrap" justify="flex-end">
          <CopyButton
            text={`docker pull ${host}/${repository}:${tag.name}`}
            label={`the pull command of ${tag.name}`}
          />
          {onDelete !== undefined && (
            <Button
              variant="subtle"
              color="red"
              size="compact-xs"
              onClick={onDelete}
              aria-label={`Delete tag ${tag.name}`}
            >
              Delete
            </Button>
          )}
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}

function DeleteTag({
  repository,
  tag,
  onClose,
}: {
  readonly repository: string;
  readonly tag: string | undefined;
  readonly onClose: () => void;
}) {
  const client = useQueryClient();
  const mutation = useMutation({
    mutationFn: () => call('DELETE', `/api/tags/${repository}?tag=${encodeURIComponent(tag ?? '')}`),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['tags', repository] });
      onClose();
    },
  });
  return (
    <Modal opened={tag !== undefined} onClose={onClose} title={`Delete tag ${tag ?? ''}?`}>
      <Stack>
        <Text size="sm">
          Nobody can pull {repository}:{tag} any more. Other tags of the same image stay.
        </Text>
        <FormError error={mutation.error} fields={[]} />
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            Keep it
          </Button>
          <Button color="red" loading={mutation.isPending} onClick={() => mutation.mutate()}>
            Delete tag
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
