import { Button, Group, Select, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useInfiniteQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { TagOrder } from '#hub/protocol/index.ts';
import { tagsQuery } from '../api.ts';
import { formatBytes, formatCount, plural } from '../format.ts';
import { RemoveTags } from './remove-tags.tsx';
import { QueryView } from './states.tsx';
import { TagTable } from './tag-table.tsx';

const ORDERS: readonly { readonly value: TagOrder; readonly label: string }[] = [
  { value: 'newest', label: 'Newest first' },
  { value: 'name', label: 'By name' },
  { value: 'size', label: 'Largest first' },
];
const NOTHING: ReadonlySet<string> = new Set();

interface TagListProps {
  readonly repository: string;
  readonly canDelete: boolean;
}

/** All tags of a repository, page by page: to filter, sort, choose and delete. */
export function TagList({ repository, canDelete }: TagListProps) {
  const [text, setText] = useState('');
  const [searched] = useDebouncedValue(text.trim(), 200);
  const [order, setOrder] = useState<TagOrder>('newest');
  const [selected, setSelected] = useState(NOTHING);
  const [doomed, setDoomed] = useState<readonly string[]>([]);
  const [done, setDone] = useState('');
  const query = useInfiniteQuery({
    ...tagsQuery(repository, { text: searched, order }),
    placeholderData: keepPreviousData,
  });
  const isEmpty = searched === '' && query.data?.pages[0]?.total === 0;
  if (isEmpty) return <Text c="dimmed">No tags yet.</Text>;
  return (
    <Stack>
      <Group align="flex-end">
        <TextInput
          aria-label="Filter tags"
          placeholder="Filter by name"
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          w={{ base: '100%', xs: 240 }}
        />
        <Select
          aria-label="Sort tags"
          data={ORDERS}
          value={order}
          onChange={(value) => setOrder(value ?? 'newest')}
          allowDeselect={false}
          w={160}
        />
        {selected.size > 0 && (
          <Group gap="xs" role="group" aria-label="Chosen tags">
            <Button color="red" variant="light" onClick={() => setDoomed([...selected])}>
              Delete {plural(selected.size, 'tag')}…
            </Button>
            <Button variant="subtle" color="gray" onClick={() => setSelected(NOTHING)}>
              Clear
            </Button>
          </Group>
        )}
      </Group>
      <Text size="sm" c="teal" role="status" hidden={done === ''}>
        {done}
      </Text>
      <QueryView query={query}>
        {({ pages }) => {
          const tags = pages.flatMap((page) => page.tags);
          const total = pages.at(-1)?.total ?? 0;
          if (tags.length === 0) return <Text c="dimmed">No tag has this in its name.</Text>;
          return (
            <>
              <TagTable
                repository={repository}
                tags={tags}
                actions={
                  canDelete
                    ? { selected, onSelect: setSelected, onDelete: (name) => setDoomed([name]) }
                    : undefined
                }
              />
              <Group>
                {query.hasNextPage && (
                  <Button
                    variant="default"
                    loading={query.isFetchingNextPage}
                    onClick={() => void query.fetchNextPage()}
                  >
                    Show more
                  </Button>
                )}
                <Text size="sm" c="dimmed">
                  {tags.length < total
                    ? `${formatCount(tags.length)} of ${formatCount(total)} tags are shown.`
                    : plural(total, 'tag')}
                </Text>
              </Group>
            </>
          );
        }}
      </QueryView>
      <RemoveTags
        repository={repository}
        tags={doomed}
        onClose={() => setDoomed([])}
        onRemoved={(removal) => {
          setSelected(new Set([...selected].filter((name) => !removal.tags.includes(name))));
          const freed = removal.freedBytes === 0 ? '' : `, ${formatBytes(removal.freedBytes)} freed`;
          setDone(`${plural(removal.tags.length, 'tag')} deleted${freed}.`);
        }}
      />
    </Stack>
  );
}
