import { Group, Select, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { CATEGORIES } from '#hub/protocol/index.ts';
import { repositoriesQuery } from '../api.ts';
import { RepositoryTable } from '../parts/repository-table.tsx';
import { QueryView } from '../parts/states.tsx';
import type { ExploreSearch } from '../router.tsx';

/** Every repository the viewer may see, by a part of its name or description and by category. */
export function ExplorePage() {
  const navigate = useNavigate();
  const { q, category } = useSearch({ strict: false }) as ExploreSearch;
  const repositories = useQuery(repositoriesQuery({ text: q, category }));
  const choose = (next: string | null) => {
    const search: ExploreSearch = {
      ...(q === undefined ? {} : { q }),
      ...(next === null ? {} : { category: next }),
    };
    void navigate({ to: '/explore', search });
  };
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2" style={{ overflowWrap: 'anywhere' }}>
          {q === undefined ? 'Explore' : `Repositories like “${q}”`}
        </Title>
        <Select
          aria-label="Category"
          placeholder="All categories"
          data={[...CATEGORIES]}
          value={category ?? null}
          onChange={choose}
          clearable
          w={{ base: '100%', xs: 220 }}
        />
      </Group>
      <QueryView query={repositories}>
        {(found) =>
          found.length === 0 ? (
            <Text c="dimmed">
              {q === undefined && category === undefined
                ? 'There are no public repositories yet.'
                : `Nothing you may see ${q === undefined ? 'is in this category' : 'has this in its name or description'}.`}
            </Text>
          ) : (
            <RepositoryTable repositories={found} />
          )
        }
      </QueryView>
    </Stack>
  );
}
