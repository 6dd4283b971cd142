import {
  Badge,
  Breadcrumbs,
  Code,
  Group,
  SegmentedControl,
  Select,
  Stack,
  Table,
  Tabs,
  Text,
  Title,
} from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useSearch } from '@tanstack/react-router';
import { useEffect, useRef, useState } from 'react';
import type { ImageDetail, ReferenceDetail } from '#hub/protocol/index.ts';
import { imageQuery, sessionQuery } from '../api.ts';
import { formatAgo, formatBytes, formatTime, shortDigest } from '../format.ts';
import type { ImageName } from '../image-api.ts';
import { AttachedList } from '../parts/attached.tsx';
import { AttachedPanels } from '../parts/attached-panels.tsx';
import { CopyLine } from '../parts/copy-line.tsx';
import { FileTree } from '../parts/file-tree.tsx';
import { ImageConfig } from '../parts/image-config.tsx';
import { ImageDockerfile } from '../parts/image-dockerfile.tsx';
import { ImageFamilyView } from '../parts/image-family.tsx';
import { ImageLayers } from '../parts/image-layers.tsx';
import classes from '../parts/parts.module.css';
import { QueryView } from '../parts/states.tsx';
import type { RepositorySearch } from '../router.tsx';

/** One tag or digest: its platforms, and everything about one of them. */
export function ImageView({
  repository,
  reference,
}: {
  readonly repository: string;
  readonly reference: string;
}) {
  const image = useQuery(imageQuery(repository, reference));
  return (
    <QueryView query={image}>{(detail) => <Detail repository={repository} detail={detail} />}</QueryView>
  );
}

function Detail({ repository, detail }: { readonly repository: string; readonly detail: ReferenceDetail }) {
  const { data: session } = useQuery(sessionQuery);
  const [chosen, setChosen] = useState(0);
  const image = detail.images[chosen] ?? detail.images[0];
  const isImage = image === undefined || image.artifactType === null;
  const separator = detail.reference.includes(':') ? '@' : ':';
  const name = `${session?.registryHost ?? ''}/${repository}${separator}${detail.reference}`;
  return (
    <Stack>
      <Breadcrumbs className={classes['crumbs'] ?? ''}>
        <Link className={classes['anchor'] ?? ''} to="/r/$" params={{ _splat: repository }}>
          {repository}
        </Link>
        <Link
          className={classes['anchor'] ?? ''}
          to="/r/$"
          params={{ _splat: repository }}
          search={{ tab: 'tags' }}
        >
          Tags
        </Link>
      </Breadcrumbs>
      <Title order={1} size="h2" style={{ overflowWrap: 'anywhere' }}>
        {repository}
        {separator}
        {detail.reference.includes(':') ? shortDigest(detail.reference) : detail.reference}
      </Title>
      <Text size="sm" c="dimmed" title={formatTime(detail.pushedAt)}>
        Pushed {formatAgo(detail.pushedAt)}
        {detail.pushedBy === '' ? '' : ` by ${detail.pushedBy}`} ·{' '}
        <span title={detail.digest}>{shortDigest(detail.digest)}</span>
      </Text>
      {isImage ? (
        <CopyLine text={`docker pull ${name}`} label="the pull command" />
      ) : (
        <CopyLine text={name} label="the reference" />
      )}
      {detail.images.length > 1 && (
        <PlatformSwitch images={detail.images} chosen={chosen} onChoose={setChosen} />
      )}
      {image === undefined ? (
        <Text c="dimmed">None of the platforms this index names has been pushed here.</Text>
      ) : image.artifactType !== null ? (
        <Artifact repository={repository} image={image} type={image.artifactType} detail={detail} />
      ) : (
        <Image key={image.digest} repository={repository} image={image} detail={detail} reference={name} />
      )}
    </Stack>
  );
}

/** More than fit beside one another on a phone stand in a list. */
const PLATFORMS_IN_A_ROW = 3;

function PlatformSwitch({
  images,
  chosen,
  onChoose,
}: {
  readonly images: readonly ImageDetail[];
  readonly chosen: number;
  readonly onChoose: (index: number) => void;
}) {
  const data = images.map((each, index) => ({
    value: String(index),
    label: each.platform || shortDigest(each.digest),
  }));
  if (images.length > PLATFORMS_IN_A_ROW)
    return (
      <Select
        label="Platform"
        data={data}
        value={String(chosen)}
        onChange={(value) => onChoose(Number(value ?? chosen))}
        allowDeselect={false}
        maw={320}
      />
    );
  return (
    <SegmentedControl
      data={data}
      value={String(chosen)}
      onChange={(value) => onChoose(Number(value))}
      aria-label="Platform"
      className={classes['platforms'] ?? ''}
    />
  );
}

/** The sides of an image; the first is what a link without `view` shows. */
const VIEWS = [
  ['layers', 'Layers'],
  ['files', 'Files'],
  ['config', 'Config'],
  ['dockerfile', 'Dockerfile'],
  ['provenance', 'Provenance & SBOM'],
  ['vulnerabilities', 'Vulnerabilities'],
  ['referrers', 'Referrers'],
  ['family', 'Uses & used by'],
] as const;

function Image({
  repository,
  image,
  detail,
  reference,
}: {
  readonly repository: string;
  readonly image: ImageDetail;
  readonly detail: ReferenceDetail;
  /** As a client writes it. */
  readonly reference: string;
}) {
  const { view } = useSearch({ strict: false }) as RepositorySearch;
  const navigate = useNavigate();
  const name: ImageName = { repository, digest: image.digest };
  const list = useRef<HTMLDivElement>(null);
  const shown = VIEWS.find(([value]) => value === view)?.[0] ?? 'layers';
  // biome-ignore lint/correctness/useExhaustiveDependencies: the tab that is shown now is to be seen, also where not all fit
  useEffect(() => {
    const tab = list.current?.querySelector('[aria-selected=true]');
    tab?.scrollIntoView({ block: 'nearest', inline: 'center' });
  }, [shown]);
  const open = (next: string | null): void => {
    const search: RepositorySearch = {
      reference: detail.reference,
      ...(next === null || next === 'layers' ? {} : { view: next }),
    };
    void navigate({ to: '/r/$', params: { _splat: repository }, search, replace: true });
  };
  return (
    <Stack>
      <Group gap="xs">
        {image.platform !== '' && detail.images.length < 2 && (
          <Badge variant="light" radius="sm" tt="none">
            {image.platform}
          </Badge>
        )}
        <Text size="sm">
          {formatBytes(image.sizeBytes)} compressed
          {image.createdAt === null ? '' : ` · created ${formatAgo(Date.parse(image.createdAt))}`}
        </Text>
      </Group>
      <Tabs value={shown} onChange={open} keepMounted={false}>
        <Tabs.List mb="md" className={classes['tabs'] ?? ''} ref={list}>
          {VIEWS.map(([value, title]) => (
            <Tabs.Tab value={value} key={value}>
              {title}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value="layers">
          <ImageLayers image={image} name={name} />
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <FileTree image={name} layers={image.layers} />
        </Tabs.Panel>
        <Tabs.Panel value="config">
          <ImageConfig image={image} />
        </Tabs.Panel>
        <Tabs.Panel value="dockerfile">
          <ImageDockerfile name={name} index={detail.digest} />
        </Tabs.Panel>
        <AttachedPanels name={name} index={detail.digest} reference={reference} />
        <Tabs.Panel value="family">
          <ImageFamilyView name={name} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

/** What is no image: its parts by name and type. What they hold is known to the tool that pushed it. */
function Artifact({
  repository,
  image,
  type,
  detail,
}: {
  readonly repository: string;
  readonly image: ImageDetail;
  readonly type: string;
  readonly detail: ReferenceDetail;
}) {
  return (
    <Stack>
      <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
        This is no container image but an artifact of type <Code>{type}</Code>, {formatBytes(image.sizeBytes)}
        . The tool that pushed it can pull it.
      </Text>
      <Table aria-label="Blobs" verticalSpacing="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Content</Table.Th>
            <Table.Th visibleFrom="sm">Digest</Table.Th>
            <Table.Th ta="right">Size</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {image.layers.map((layer, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the same blob may stand there twice, and the order never changes
            <Table.Tr key={index}>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>
                {layer.title !== '' && <div>{layer.title}</div>}
                <Text size="xs" c="dimmed">
                  {layer.mediaType}
                </Text>
              </Table.Td>
              <Table.Td visibleFrom="sm" ff="monospace" fz="xs" title={layer.digest ?? ''}>
                {layer.digest === null ? '' : shortDigest(layer.digest)}
              </Table.Td>
              <Table.Td ta="right">{formatBytes(layer.sizeBytes)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Title order={2} size="h4">
        Referrers
      </Title>
      <AttachedList
        name={{ repository, digest: image.digest }}
        index={detail.digest}
        label="Referrers"
        empty={<Text c="dimmed">Nothing names this artifact as its subject.</Text>}
      />
    </Stack>
  );
}
