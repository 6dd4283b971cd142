import { Button, Group, SegmentedControl, Stack, Text, TextInput, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, Navigate } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import type { Account } from '#hub/protocol/index.ts';
import { guideQuery, repositoriesQuery, sessionQuery } from '../api.ts';
import { FirstImageGuide } from '../parts/first-image-guide.tsx';
import { RepositoryTable } from '../parts/repository-table.tsx';
import { QueryView } from '../parts/states.tsx';

/** The start page: my repositories, and the guide until the first image is here. */
export function HomePage() {
  const session = useQuery(sessionQuery);
  return (
    <QueryView query={session}>
      {({ account, isFirstRun, registryHost }) =>
        account === null ? (
          <Navigate to={isFirstRun ? '/signup' : '/explore'} />
        ) : (
          <Repositories account={account} host={registryHost} />
        )
      }
    </QueryView>
  );
}

function Repositories({ account, host }: { readonly account: Account; readonly host: string }) {
  const [filter, setFilter] = useState('');
  const [namespace, setNamespace] = useState(account.username);
  const repositories = useQuery(repositoriesQuery({ namespace }));
  const guide = useQuery(guideQuery);
  // Who came without an image sees the last step being ticked; others are not shown the guide.
  const [isGuided, setGuided] = useState(false);
  const isNew = guide.data?.pushedTag === false;
  useEffect(() => {
    if (isNew) setGuided(true);
  }, [isNew]);
  return (
    <Stack>
      <Group justify="space-between">
        <Title order={1} size="h2">
          Repositories
        </Title>
        <Button component={Link} to="/new">
          Create repository
        </Button>
      </Group>
      {guide.data !== undefined && (isNew || isGuided) && (
        <FirstImageGuide state={guide.data} account={account} host={host} onClose={() => setGuided(false)} />
      )}
      <Group>
        {account.isAdmin && (
          <SegmentedControl
            size="sm"
            data={[account.username, 'library']}
            value={namespace}
            onChange={setNamespace}
            aria-label="Namespace"
          />
        )}
        {(repositories.data?.length ?? 0) > 5 && (
          <TextInput
            aria-label="Filter repositories"
            placeholder="Filter by name"
            value={filter}
            onChange={(event) => setFilter(event.currentTarget.value)}
            w={{ base: '100%', xs: 280 }}
          />
        )}
      </Group>
      <QueryView query={repositories}>
        {(all) => {
          const shown = all.filter((repository) => repository.name.includes(filter));
          if (all.length === 0) return <Text c="dimmed">There are no repositories in {namespace} yet.</Text>;
          if (shown.length === 0) return <Text c="dimmed">No repository has this in its name.</Text>;
          return <RepositoryTable repositories={shown} />;
        }}
      </QueryView>
    </Stack>
  );
}
