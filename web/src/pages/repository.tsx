import { Breadcrumbs, Button, Card, Group, Stack, Tabs, Text, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense } from 'react';
import type { RepositoryDetail, TagSummary } from '#hub/protocol/index.ts';
import { call, latestTagsQuery, repositoryQuery, sessionQuery } from '../api.ts';
import { formatAgo, formatBytes, formatCount, plural } from '../format.ts';
import { ClientSwitch, hubCommand, PlainNote, useClient } from '../parts/client.tsx';
import { CopyLine } from '../parts/copy-line.tsx';
import { StarIcon } from '../parts/icons.tsx';
import classes from '../parts/parts.module.css';
import { Readme } from '../parts/readme.tsx';
import { VisibilityBadge } from '../parts/repository-table.tsx';
import { Loading, QueryView } from '../parts/states.tsx';
import { TagList } from '../parts/tag-list.tsx';
import { TagTable } from '../parts/tag-table.tsx';
import type { RepositorySearch } from '../router.tsx';

// Parts that most visits do not need are loaded when they are opened.
const ImageView = lazy(async () => ({ default: (await import('./image.tsx')).ImageView }));
const SettingsTab = lazy(async () => ({ default: (await import('./settings.tsx')).SettingsTab }));

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
          <Suspense fallback={<Loading />}>
            <ImageView repository={name} reference={reference} />
          </Suspense>
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
  const { data: session } = useQuery(sessionQuery);
  const mayChange = session?.isReadOnly !== true;
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
        <Star detail={detail} name={name} />
      </Group>
      {detail.description !== '' && <Text style={{ overflowWrap: 'anywhere' }}>{detail.description}</Text>}
      {detail.categories.length > 0 && (
        <Group component="ul" gap={6} aria-label="Categories" className={classes['chips'] ?? ''}>
          {detail.categories.map((category) => (
            <li key={category}>
              <Link to="/explore" search={{ category }} className={classes['chip'] ?? ''}>
                {category}
              </Link>
            </li>
          ))}
        </Group>
      )}
      <Text size="sm" c="dimmed">
        {detail.pushedAt === null ? 'Never pushed' : `Last pushed ${formatAgo(detail.pushedAt)}`} ·{' '}
        {formatBytes(detail.sizeBytes)} · {plural(detail.tags, 'tag')} · {plural(detail.pulls, 'pull')}
      </Text>
      <Tabs
        value={tab === 'settings' && !detail.rights.includes('admin') ? 'general' : tab}
        onChange={open}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="general">General</Tabs.Tab>
          <Tabs.Tab value="tags">Tags</Tabs.Tab>
          {detail.rights.includes('admin') && <Tabs.Tab value="settings">Settings</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="general">
          <General detail={detail} name={name} />
        </Tabs.Panel>
        <Tabs.Panel value="tags">
          <TagList repository={name} canDelete={mayChange && detail.rights.includes('delete')} />
        </Tabs.Panel>
        <Tabs.Panel value="settings">
          <Suspense fallback={<Loading />}>
            <SettingsTab detail={detail} name={name} />
          </Suspense>
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

function Star({ detail, name }: { readonly detail: RepositoryDetail; readonly name: string }) {
  const client = useQueryClient();
  const { data: session } = useQuery(sessionQuery);
  const toggle = useMutation({
    mutationFn: () => call<RepositoryDetail>(detail.isStarred ? 'DELETE' : 'PUT', `/api/stars/${name}`, {}),
    onSuccess: (changed) => client.setQueryData(['repository', name], changed),
  });
  const isGuest = session?.account == null;
  return (
    <Button
      variant="default"
      size="xs"
      leftSection={<StarIcon isFilled={detail.isStarred} />}
      aria-pressed={detail.isStarred}
      aria-label={`Star, ${plural(detail.stars, 'star')}`}
      disabled={isGuest}
      title={isGuest ? 'Sign in to give a star' : ''}
      onClick={() => toggle.mutate()}
    >
      {formatCount(detail.stars)}
    </Button>
  );
}

function General({ detail, name }: { readonly detail: RepositoryDetail; readonly name: string }) {
  const latest = useQuery(latestTagsQuery(name));
  const open = useNavigate();
  return (
    <Stack gap="xl">
      <Commands detail={detail} name={name} latest={latest.data?.tags[0]} />
      <QueryView query={latest}>
        {({ tags, total }) =>
          tags.length === 0 ? (
            <Waiting mayPush={detail.rights.includes('push')} />
          ) : (
            <Stack gap="xs">
              <Title order={2} size="h4">
                Latest tags
              </Title>
              <TagTable repository={name} tags={tags} />
              {total > tags.length && (
                <Group>
                  <Button
                    variant="default"
                    size="xs"
                    onClick={() =>
                      void open({ to: '/r/$', params: { _splat: name }, search: { tab: 'tags' } })
                    }
                  >
                    All {plural(total, 'tag')}
                  </Button>
                </Group>
              )}
            </Stack>
          )
        }
      </QueryView>
      <Readme detail={detail} name={name} />
    </Stack>
  );
}

/** Nothing was pushed yet: the page says so, and that it watches. */
function Waiting({ mayPush }: { readonly mayPush: boolean }) {
  return (
    <Card withBorder p="lg" role="status">
      <Group wrap="nowrap">
        {mayPush && <span className={classes['pulse']} aria-hidden="true" />}
        <Text c="dimmed">
          No tags yet.{mayPush && ' This page shows the first one as soon as it is pushed.'}
        </Text>
      </Group>
    </Card>
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
  const [client] = useClient();
  const target = `${session?.registryHost ?? ''}/${name}`;
  const next = latest === undefined ? 'tagname' : nextTag(latest.name);
  return (
    <Stack gap="xs">
      <Group justify="space-between">
        <Title order={2} size="h4">
          Commands
        </Title>
        <ClientSwitch />
      </Group>
      <PlainNote host={session?.registryHost ?? ''} />
      {latest !== undefined && (
        <>
          <Text size="sm">Pull the latest tag:</Text>
          <CopyLine text={hubCommand(client, 'pull', `${target}:${latest.name}`)} label="the pull command" />
        </>
      )}
      {detail.rights.includes('push') && (
        <>
          <Text size="sm">
            {latest === undefined
              ? "Give your local image this repository's name, then push it:"
              : 'Name a local image after this repository, then push it:'}
          </Text>
          <CopyLine text={`${client} tag local-image:tagname ${target}:${next}`} label="the tag command" />
          <CopyLine text={hubCommand(client, 'push', `${target}:${next}`)} label="the push command" />
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
