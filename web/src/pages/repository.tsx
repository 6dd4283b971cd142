import { Breadcrumbs, Group, SegmentedControl, Stack, Tabs, Text, Title } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';
import type { RepositoryDetail, TagSummary } from '#hub/protocol/index.ts';
import { repositoryQuery, sessionQuery, tagsQuery } from '../api.ts';
import { formatAgo, formatBytes, formatCount, plural } from '../format.ts';
import { CopyLine } from '../parts/copy-line.tsx';
import classes from '../parts/parts.module.css';
import { VisibilityBadge } from '../parts/repository-table.tsx';
import { QueryView } from '../parts/states.tsx';
import { TagTable } from '../parts/tag-table.tsx';
import type { RepositorySearch } from '../router.tsx';
import { ImageView } from './image.tsx';
import { SettingsTab } from './settings.tsx';

/** As many tags as one answer of the hub holds. */
const SENT_AT_ONCE = 1000;

/** Loaded when there is a README to show. */
const Markdown = lazy(async () => ({ default: (await import('../parts/markdown.tsx')).Markdown }));

/** A repository: General, Tags, Settings; or one of its tags. */
export function RepositoryPage() {
  const { _splat: name = '' } = useParams({ strict: false });
  const { reference, tab = 'general' } = useSearch({ strict: false }) as RepositorySearch;
  const repository = useQuery(repositoryQuery(name));
  return (
    <QueryView query={repository}>
      {(detail) =>
        reference === undefined ? (
          <Repository detail={detail} name={name} tab={tab} />
        ) : (
          <ImageView repository={name} reference={reference} />
        )
      }
    </QueryView>
  );
}

function Repository({
  detail,
  name,
  tab,
}: {
  readonly detail: RepositoryDetail;
  readonly name: string;
  readonly tab: string;
}) {
  const navigate = useNavigate();
  const open = (next: string | null) => {
    const search: RepositorySearch = next === 'tags' || next === 'settings' ? { tab: next } : {};
    void navigate({ to: '/r/$', params: { _splat: name }, search });
  };
  return (
    <Stack>
      <Breadcrumbs className={classes['crumbs'] ?? ''}>
        <Link className={classes['anchor'] ?? ''} to="/explore" search={{ q: `${detail.namespace}/` }}>
          {detail.namespace}
        </Link>
        <Text style={{ overflowWrap: 'anywhere' }}>{detail.name}</Text>
      </Breadcrumbs>
      <Group gap="sm">
        <Title order={1} size="h2" style={{ overflowWrap: 'anywhere' }}>
          {name}
        </Title>
        <VisibilityBadge visibility={detail.visibility} />
      </Group>
      {detail.description !== '' && <Text style={{ overflowWrap: 'anywhere' }}>{detail.description}</Text>}
      <Text size="sm" c="dimmed">
        {detail.pushedAt === null ? 'Never pushed' : `Last pushed ${formatAgo(detail.pushedAt)}`} ·{' '}
        {formatBytes(detail.sizeBytes)} · {plural(detail.tags, 'tag')} · {plural(detail.pulls, 'pull')}
      </Text>
      <Tabs value={tab} onChange={open} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="general">General</Tabs.Tab>
          <Tabs.Tab value="tags">Tags</Tabs.Tab>
          {detail.rights.includes('admin') && <Tabs.Tab value="settings">Settings</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="general">
          <General detail={detail} name={name} />
        </Tabs.Panel>
        <Tabs.Panel value="tags">
          <Tags name={name} total={detail.tags} canDelete={detail.rights.includes('delete')} />
        </Tabs.Panel>
        <Tabs.Panel value="settings">
          <SettingsTab detail={detail} name={name} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

function General({ detail, name }: { readonly detail: RepositoryDetail; readonly name: string }) {
  const tags = useQuery(tagsQuery(name));
  return (
    <Stack gap="lg">
      <Commands detail={detail} name={name} latest={tags.data?.[0]} />
      <QueryView query={tags}>
        {(list) =>
          list.length === 0 ? (
            <Text c="dimmed" role="status">
              No tags yet. This page shows the first one as soon as it is pushed.
            </Text>
          ) : (
            <Stack gap="xs">
              <Title order={2} size="h4">
                Latest tags
              </Title>
              <TagTable repository={name} tags={list.slice(0, 5)} canDelete={false} />
            </Stack>
          )
        }
      </QueryView>
      {detail.readme !== '' && (
        <Stack gap="xs">
          <Title order={2} size="h4">
            README
          </Title>
          <Suspense fallback={<Text c="dimmed">…</Text>}>
            <Markdown text={detail.readme} />
          </Suspense>
        </Stack>
      )}
    </Stack>
  );
}

function Commands({
  detail,
  name,
  latest,
}: {
  readonly detail: RepositoryDetail;
  readonly name: string;
  readonly latest: TagSummary | undefined;
}) {
  const { data: session } = useQuery(sessionQuery);
  const [client, setClient] = useState('docker');
  const host = session?.registryHost ?? '';
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Title order={2} size="h4">
          Commands
        </Title>
        <SegmentedControl
          size="xs"
          data={['docker', 'podman', 'slipway']}
          value={client}
          onChange={setClient}
          aria-label="Client"
        />
      </Group>
      {detail.rights.includes('push') && (
        <>
          <Text size="sm">Push a new tag:</Text>
          <CopyLine
            text={`${client} push ${host}/${name}:${latest === undefined ? 'tagname' : nextTag(latest.name)}`}
            label="the push command"
          />
        </>
      )}
      {latest !== undefined && (
        <>
          <Text size="sm">Pull:</Text>
          <CopyLine text={`${client} pull ${host}/${name}:${latest.name}`} label="the pull command" />
        </>
      )}
    </Stack>
  );
}

/** `v1` becomes `v2`; other tags are suggested again. */
function nextTag(tag: string): string {
  const match = /^(.*?)(\d+)$/.exec(tag);
  return match === null ? tag : `${match[1]}${Number(match[2]) + 1}`;
}

function Tags({
  name,
  total,
  canDelete,
}: {
  readonly name: string;
  readonly total: number;
  readonly canDelete: boolean;
}) {
  const [text, setText] = useState('');
  const [searched] = useDebouncedValue(text, 250);
  // What the hub sends at once is enough to filter here; beyond that it is asked.
  const isPartial = total > SENT_AT_ONCE;
  const tags = useQuery({
    ...tagsQuery(name, isPartial ? searched : ''),
    placeholderData: keepPreviousData,
  });
  if (total === 0 && tags.data?.length === 0) return <Text c="dimmed">No tags yet.</Text>;
  return (
    <QueryView query={tags}>
      {(list) => (
        <Stack>
          {isPartial && (
            <Text size="sm" c="dimmed">
              This repository has {formatCount(total)} tags. The newest {formatCount(SENT_AT_ONCE)} are
              listed; filter by name to find the others.
            </Text>
          )}
          <TagTable
            repository={name}
            tags={list}
            canDelete={canDelete}
            filter={{ text, onChange: setText }}
          />
        </Stack>
      )}
    </QueryView>
  );
}
