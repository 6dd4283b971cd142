import { Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useSearch } from '@tanstack/react-router';
import { repositoriesQuery } from '../api.ts';
import { RepositoryTable } from '../parts/repository-table.tsx';
import { QueryView } from '../parts/states.tsx';

/** Every repository the viewer may see, by part of its name. */
export function ExplorePage() {
  const { q } = useSearch({ strict: false }) as { readonly q?: string };
  const repositories = useQuery(repositoriesQuery({ text: q }));
  return (
    <Stack>
      <Title order={1} size="h2">
        {q === undefined ? 'Explore' : `Repositories like “${q}”`}
      </Title>
      <QueryView query={repositories}>
        {(found) =>
          found.length === 0 ? (
            <Text c="dimmed">
              {q === undefined
                ? 'There are no public repositories yet.'
                : 'Nothing you may see has this in its name.'}
            </Text>
          ) : (
            <RepositoryTable repositories={found} />
          )
        }
      </QueryView>
    </Stack>
  );
}
