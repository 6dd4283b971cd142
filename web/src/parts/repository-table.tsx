import { Badge, Group, Stack, Table, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import type { RepositorySummary, Visibility } from '#hub/protocol/index.ts';
import { formatAgo, formatBytes, formatCount, formatTime, plural } from '../format.ts';
import classes from './parts.module.css';

/** Whether a repository is seen by everybody. */
export function VisibilityBadge({ visibility }: { readonly visibility: Visibility }) {
  return (
    <Badge variant="light" color={visibility === 'public' ? 'teal' : 'gray'} radius="sm">
      {visibility}
    </Badge>
  );
}

/** Repositories in rows; on a narrow page the figures go below the name. */
export function RepositoryTable({ repositories }: { readonly repositories: readonly RepositorySummary[] }) {
  return (
    <Table
      verticalSpacing="sm"
      highlightOnHover
      aria-label="Repositories"
      className={classes['figures'] ?? ''}
    >
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Name</Table.Th>
          <Table.Th visibleFrom="sm" w={150}>
            Last pushed
          </Table.Th>
          <Table.Th visibleFrom="sm" w={110} ta="right">
            Size
          </Table.Th>
          <Table.Th visibleFrom="sm" w={80} ta="right">
            Tags
          </Table.Th>
          <Table.Th visibleFrom="sm" w={90} ta="right">
            Pulls
          </Table.Th>
          <Table.Th visibleFrom="sm" w={80} ta="right">
            Stars
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {repositories.map((repository) => (
          <Row key={`${repository.namespace}/${repository.name}`} repository={repository} />
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Row({ repository }: { readonly repository: RepositorySummary }) {
  const name = `${repository.namespace}/${repository.name}`;
  const pushed = repository.pushedAt === null ? 'never pushed' : formatAgo(repository.pushedAt);
  return (
    <Table.Tr>
      <Table.Td>
        <Stack gap={2}>
          <Group gap="xs">
            <Link to="/r/$" params={{ _splat: name }} className={classes['rowLink'] ?? ''}>
              {name}
            </Link>
            <VisibilityBadge visibility={repository.visibility} />
          </Group>
          {repository.description !== '' && (
            <Text size="sm" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
              {repository.description}
            </Text>
          )}
          <Text size="xs" c="dimmed" hiddenFrom="sm">
            {pushed} · {formatBytes(repository.sizeBytes)} · {plural(repository.tags, 'tag')} ·{' '}
            {plural(repository.pulls, 'pull')}
          </Text>
        </Stack>
      </Table.Td>
      <Table.Td visibleFrom="sm" title={repository.pushedAt === null ? '' : formatTime(repository.pushedAt)}>
        {pushed}
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right">
        {formatBytes(repository.sizeBytes)}
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right">
        {formatCount(repository.tags)}
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right">
        {formatCount(repository.pulls)}
      </Table.Td>
      <Table.Td visibleFrom="sm" ta="right">
        {formatCount(repository.stars)}
      </Table.Td>
    </Table.Tr>
  );
}
