import {
  Badge,
  Breadcrumbs,
  Code,
  Group,
  SegmentedControl,
  Stack,
  Table,
  Tabs,
  Text,
  Title,
} from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import type { ImageDetail, LayerDetail, ReferenceDetail } from '#hub/protocol/index.ts';
import { imageQuery, sessionQuery } from '../api.ts';
import { formatAgo, formatBytes, formatCommand, formatTime, shortDigest } from '../format.ts';
import { CopyLine } from '../parts/copy-line.tsx';
import { FileTree } from '../parts/file-tree.tsx';
import classes from '../parts/parts.module.css';
import { QueryView } from '../parts/states.tsx';

/** One tag or digest: platforms, layers, files, config, referrers. */
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
        <SegmentedControl
          data={detail.images.map((each, index) => ({
            value: String(index),
            label: each.platform || shortDigest(each.digest),
          }))}
          value={String(chosen)}
          onChange={(value) => setChosen(Number(value))}
          aria-label="Platform"
        />
      )}
      {image === undefined ? (
        <Text c="dimmed">None of the platforms this index names has been pushed here.</Text>
      ) : image.artifactType !== null ? (
        <Artifact image={image} type={image.artifactType} detail={detail} />
      ) : (
        <Image key={image.digest} repository={repository} image={image} detail={detail} />
      )}
    </Stack>
  );
}

function Image({
  repository,
  image,
  detail,
}: {
  readonly repository: string;
  readonly image: ImageDetail;
  readonly detail: ReferenceDetail;
}) {
  return (
    <Stack>
      <Group gap="xs">
        {image.platform !== '' && (
          <Badge variant="light" radius="sm" tt="none">
            {image.platform}
          </Badge>
        )}
        <Text size="sm">
          {formatBytes(image.sizeBytes)} compressed
          {image.createdAt === null ? '' : ` · created ${formatAgo(Date.parse(image.createdAt))}`}
        </Text>
      </Group>
      <Tabs defaultValue="layers" keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="layers">Layers</Tabs.Tab>
          <Tabs.Tab value="files">Files</Tabs.Tab>
          <Tabs.Tab value="config">Config</Tabs.Tab>
          {detail.referrers.length > 0 && <Tabs.Tab value="referrers">Referrers</Tabs.Tab>}
        </Tabs.List>
        <Tabs.Panel value="layers">
          <Layers layers={image.layers} />
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <FileTree repository={repository} layers={image.layers} />
        </Tabs.Panel>
        <Tabs.Panel value="config">
          <Config image={image} />
        </Tabs.Panel>
        <Tabs.Panel value="referrers">
          <Referrers detail={detail} />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}

function Referrers({ detail }: { readonly detail: ReferenceDetail }) {
  return (
    <Table aria-label="Referrers">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Type</Table.Th>
          <Table.Th>Digest</Table.Th>
          <Table.Th ta="right">Size</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {detail.referrers.map((referrer) => (
          <Table.Tr key={referrer.digest}>
            <Table.Td style={{ overflowWrap: 'anywhere' }}>{referrer.artifactType || 'artifact'}</Table.Td>
            <Table.Td ff="monospace" fz="xs" title={referrer.digest}>
              {shortDigest(referrer.digest)}
            </Table.Td>
            <Table.Td ta="right">{formatBytes(referrer.sizeBytes)}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

/** What is no image: its parts by name and type. What they hold is known to the tool that pushed it. */
function Artifact({
  image,
  type,
  detail,
}: {
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
      {detail.referrers.length > 0 && (
        <>
          <Title order={2} size="h4">
            Referrers
          </Title>
          <Referrers detail={detail} />
        </>
      )}
    </Stack>
  );
}

function Layers({ layers }: { readonly layers: readonly LayerDetail[] }) {
  if (layers.length === 0) return <Text c="dimmed">This image has no layers.</Text>;
  const largest = Math.max(1, ...layers.map((layer) => layer.sizeBytes));
  return (
    <Table verticalSpacing="xs" aria-label="Layers" layout="fixed">
      <Table.Thead>
        <Table.Tr>
          <Table.Th w={36}>#</Table.Th>
          <Table.Th>Instruction</Table.Th>
          <Table.Th w={110} ta="right">
            Size
          </Table.Th>
          <Table.Th w={170} visibleFrom="sm">
            Digest
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {layers.map((layer, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the same instruction may stand there twice, and the order never changes
          <Table.Tr key={index} data-layer={layer.digest ?? ''}>
            <Table.Td c="dimmed">{index + 1}</Table.Td>
            <Table.Td>
              <div className={classes['command']}>
                {formatCommand(layer.command) || '(the image does not say)'}
              </div>
              {layer.sizeBytes > 0 && (
                <div
                  className={classes['bar']}
                  style={{ width: `${Math.max(1, (layer.sizeBytes / largest) * 100)}%` }}
                  aria-hidden="true"
                />
              )}
            </Table.Td>
            <Table.Td ta="right">{layer.digest === null ? '–' : formatBytes(layer.sizeBytes)}</Table.Td>
            <Table.Td visibleFrom="sm" ff="monospace" fz="xs" title={layer.digest ?? ''}>
              {layer.digest === null ? '' : shortDigest(layer.digest)}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}

function Config({ image }: { readonly image: ImageDetail }) {
  const { config } = image;
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ['Entrypoint', config.entrypoint.length === 0 ? [] : [JSON.stringify(config.entrypoint)]],
    ['Command', config.cmd.length === 0 ? [] : [JSON.stringify(config.cmd)]],
    ['User', config.user === '' ? ['root'] : [config.user]],
    ['Working directory', [config.workingDir || '/']],
    ['Environment', config.env],
    ['Ports', config.exposedPorts],
    ['Volumes', config.volumes],
    ['Labels', Object.entries(config.labels).map(([key, value]) => `${key}=${value}`)],
    ['Stop signal', config.stopSignal === '' ? [] : [config.stopSignal]],
    ['Author', image.author === '' ? [] : [image.author]],
  ];
  return (
    <Table aria-label="Config" verticalSpacing="sm">
      <Table.Tbody>
        {rows
          .filter(([, values]) => values.length > 0)
          .map(([name, values]) => (
            <Table.Tr key={name}>
              <Table.Th w={160} style={{ verticalAlign: 'top' }}>
                {name}
              </Table.Th>
              <Table.Td>
                <Stack gap={4} align="flex-start">
                  {values.map((value) => (
                    <Code key={value} style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
                      {value}
                    </Code>
                  ))}
                </Stack>
              </Table.Td>
            </Table.Tr>
          ))}
      </Table.Tbody>
    </Table>
  );
}
