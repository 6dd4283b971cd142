import { Badge, Group, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import type { LayerDetail, LayerFile, LayerFiles } from '#hub/protocol/index.ts';
import { filesQuery } from '../api.ts';
import { formatBytes, formatCommand } from '../format.ts';
import { QueryView } from './states.tsx';

const SHOWN = 500;
const KINDS: Readonly<Record<string, string>> = {
  d: 'folder',
  l: 'link',
  h: 'hard link',
  c: 'device',
  b: 'device',
  p: 'pipe',
  w: 'deleted',
  o: 'folder replaced',
};

/** The files of one layer, largest first, filtered by part of the path. */
export function FileTree({
  repository,
  layers,
}: {
  readonly repository: string;
  readonly layers: readonly LayerDetail[];
}) {
  const real = layers.filter((layer) => layer.digest !== null);
  const [digest, setDigest] = useState(real.at(-1)?.digest ?? '');
  if (real.length === 0) return <Text c="dimmed">This image has no layers.</Text>;
  const options = [
    ...new Map(
      real.map((layer, index) => [
        layer.digest ?? '',
        {
          value: layer.digest ?? '',
          label: `${index + 1}: ${formatCommand(layer.command).slice(0, 80) || layer.digest}`,
        },
      ]),
    ).values(),
  ];
  return (
    <Stack>
      <Select
        label="Layer"
        data={options}
        value={digest}
        onChange={(value) => setDigest(value ?? digest)}
        allowDeselect={false}
      />
      <Files key={digest} repository={repository} digest={digest} />
    </Stack>
  );
}

function Files({ repository, digest }: { readonly repository: string; readonly digest: string }) {
  const files = useQuery(filesQuery(repository, digest));
  return <QueryView query={files}>{(layer) => <FileTable layer={layer} />}</QueryView>;
}

function FileTable({ layer }: { readonly layer: LayerFiles }) {
  const [filter, setFilter] = useState('');
  const found = layer.files.filter(([path]) => path.includes(filter));
  const shown = [...found].sort(bySize).slice(0, SHOWN);
  return (
    <Stack gap="xs">
      <TextInput
        aria-label="Filter files"
        placeholder="Filter by path"
        value={filter}
        onChange={(event) => setFilter(event.currentTarget.value)}
        maw={360}
      />
      <Text size="sm" c="dimmed">
        {found.length} entries{layer.isTruncated ? ' of the first 20000' : ''}
        {found.length > shown.length ? `, the largest ${shown.length} are shown` : ', largest first'}
      </Text>
      <Table verticalSpacing={4} aria-label="Files" layout="fixed">
        <Table.Tbody>
          {shown.map((file) => (
            <FileRow key={file[0]} file={file} />
          ))}
        </Table.Tbody>
      </Table>
    </Stack>
  );
}

function FileRow({ file: [path, type, sizeBytes, mode, target] }: { readonly file: LayerFile }) {
  const kind = KINDS[type];
  return (
    <Table.Tr>
      <Table.Td ff="monospace" fz="xs" style={{ overflowWrap: 'anywhere' }}>
        <Group gap="xs" wrap="nowrap">
          <span>
            {path}
            {target === undefined ? '' : ` → ${target}`}
          </span>
          {kind !== undefined && (
            <Badge
              size="xs"
              variant="light"
              color={type === 'w' || type === 'o' ? 'red' : 'gray'}
              radius="sm"
            >
              {kind}
            </Badge>
          )}
        </Group>
      </Table.Td>
      <Table.Td w={70} ff="monospace" fz="xs" visibleFrom="sm">
        {mode}
      </Table.Td>
      <Table.Td w={90} ta="right" fz="sm">
        {type === 'f' ? formatBytes(sizeBytes) : ''}
      </Table.Td>
    </Table.Tr>
  );
}

function bySize(a: LayerFile, b: LayerFile): number {
  return b[2] - a[2] || (a[0] < b[0] ? -1 : 1);
}
