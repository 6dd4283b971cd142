import { ActionIcon, Badge, Checkbox, Group, Table, Text, Tooltip } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { TagSummary } from '#hub/protocol/index.ts';
import { sessionQuery } from '../api.ts';
import { formatAgo, formatBytes, formatTime, shortDigest } from '../format.ts';
import { hubCommand, useClient } from './client.tsx';
import { CopyButton } from './copy-line.tsx';
import { BinIcon, LockIcon } from './icons.tsx';
import classes from './parts.module.css';

/** Platforms of a row before the rest is only counted. */
const PLATFORMS_SHOWN = 3;

/** Rows that can be chosen and deleted. */
export interface TagActions {
  readonly selected: ReadonlySet<string>;
  readonly onSelect: (names: ReadonlySet<string>) => void;
  readonly onDelete: (name: string) => void;
}

interface TagTableProps {
  readonly repository: string;
  readonly tags: readonly TagSummary[];
  readonly actions?: TagActions | undefined;
}

/** Tags in rows. */
export function TagTable({ repository, tags, actions }: TagTableProps) {
  const { data: session } = useQuery(sessionQuery);
  const isAll = tags.length > 0 && tags.every((tag) => actions?.selected.has(tag.name));
  const isSome = tags.some((tag) => actions?.selected.has(tag.name));
  return (
    <Table verticalSpacing="sm" highlightOnHover aria-label="Tags" className={classes['figures'] ?? ''}>
      <Table.Thead>
        <Table.Tr>
          {actions !== undefined && (
            <Table.Th w={36} pr={0}>
              <Checkbox
                size="xs"
                aria-label="Choose all that are shown"
                checked={isAll}
                indeterminate={isSome && !isAll}
                onChange={() => actions.onSelect(new Set(isAll ? [] : tags.map((tag) => tag.name)))}
              />
            </Table.Th>
          )}
          <Table.Th>Tag</Table.Th>
          <Table.Th visibleFrom="md">Digest</Table.Th>
          <Table.Th visibleFrom="sm">Platform</Table.Th>
          <Table.Th ta="right">Size</Table.Th>
          <Table.Th visibleFrom="sm">Pushed</Table.Th>
          <Table.Th visibleFrom="md">Last pulled</Table.Th>
          <Table.Th aria-label="Actions" w={actions === undefined ? 44 : 84} />
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {tags.map((tag) => (
          <Row
            key={tag.name}
            repository={repository}
            tag={tag}
            host={session?.registryHost ?? ''}
            actions={actions}
          />
        ))}
      </Table.Tbody>
    </Table>
  );
}

interface RowProps {
  readonly repository: string;
  readonly tag: TagSummary;
  readonly host: string;
  readonly actions: TagActions | undefined;
}

function Row({ repository, tag, host, actions }: RowProps) {
  const [client] = useClient();
  const pushed = `${formatAgo(tag.pushedAt)}${tag.pushedBy === '' ? '' : ` by ${tag.pushedBy}`}`;
  const isSelected = actions?.selected.has(tag.name) ?? false;
  const toggle = () => {
    const names = new Set(actions?.selected);
    if (!names.delete(tag.name)) names.add(tag.name);
    actions?.onSelect(names);
  };
  return (
    <Table.Tr data-tag={tag.name} data-selected={isSelected || undefined}>
      {actions !== undefined && (
        <Table.Td pr={0}>
          <Checkbox size="xs" aria-label={`Choose ${tag.name}`} checked={isSelected} onChange={toggle} />
        </Table.Td>
      )}
      <Table.Td>
        <Group gap={6} wrap="nowrap">
          <Link
            to="/r/$"
            params={{ _splat: repository }}
            search={{ reference: tag.name }}
            className={classes['rowLink'] ?? ''}
          >
            {tag.name}
          </Link>
          {tag.isImmutable && (
            <Tooltip label="Immutable: it cannot be moved to another image" withArrow>
              <Text span c="dimmed" lh={1} role="img" aria-label="immutable">
                <LockIcon />
              </Text>
            </Tooltip>
          )}
          {tag.isSigned && (
            <Tooltip label="A signature is attached. The hub does not verify it." withArrow>
              <Badge variant="light" color="teal" radius="sm" size="sm">
                signed
              </Badge>
            </Tooltip>
          )}
        </Group>
        <Text size="xs" c="dimmed" hiddenFrom="sm">
          {[pushed, ...tag.platforms].join(' · ')}
        </Text>
      </Table.Td>
      <Table.Td visibleFrom="md" ff="monospace" fz="xs" title={tag.digest}>
        {shortDigest(tag.digest)}
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Platforms platforms={tag.platforms} />
      </Table.Td>
      <Table.Td ta="right">{formatBytes(tag.sizeBytes)}</Table.Td>
      <Table.Td visibleFrom="sm" title={formatTime(tag.pushedAt)}>
        {pushed}
      </Table.Td>
      <Table.Td visibleFrom="md" title={tag.pulledAt === null ? '' : formatTime(tag.pulledAt)}>
        {formatAgo(tag.pulledAt)}
      </Table.Td>
      <Table.Td ta="right">
        <Group gap={2} wrap="nowrap" justify="flex-end">
          <CopyButton
            text={hubCommand(client, 'pull', `${host}/${repository}:${tag.name}`)}
            label={`the pull command of ${tag.name}`}
          />
          {actions !== undefined && (
            <Tooltip label={`Delete tag ${tag.name}`} withArrow>
              <ActionIcon
                variant="subtle"
                color="red"
                onClick={() => actions.onDelete(tag.name)}
                aria-label={`Delete tag ${tag.name}`}
              >
                <BinIcon />
              </ActionIcon>
            </Tooltip>
          )}
        </Group>
      </Table.Td>
    </Table.Tr>
  );
}

function Platforms({ platforms }: { readonly platforms: readonly string[] }) {
  const rest = platforms.slice(PLATFORMS_SHOWN);
  return (
    <Group gap={4}>
      {platforms.slice(0, PLATFORMS_SHOWN).map((platform) => (
        <Badge key={platform} variant="light" color="gray" radius="sm" tt="none">
          {platform}
        </Badge>
      ))}
      {rest.length > 0 && (
        <Text size="xs" c="dimmed" title={rest.join(', ')}>
          and {rest.length} more
        </Text>
      )}
    </Group>
  );
}
