import { Alert, Badge, Button, Group, Stack, Table, Text, useMatches } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Fragment, useState } from 'react';
import type { ImageDetail, LayerDetail, LayerWaste, WastedPath } from '#hub/protocol/index.ts';
import { formatBytes, formatCount, plural, shortDigest } from '../format.ts';
import { familyQuery, type ImageName, wasteQuery } from '../image-api.ts';
import { CopyButton } from './copy-line.tsx';
import { IndexedView, Problems } from './indexed.tsx';
import { LinkAnchor } from './links.tsx';
import classes from './parts.module.css';

/** Below this share nobody needs advice. */
const NOTABLE_SHARE = 0.02;

/** The layers with what made them, and what of each later ones made useless. */
export function ImageLayers({ image, name }: { readonly image: ImageDetail; readonly name: ImageName }) {
  const waste = useQuery(wasteQuery(name));
  if (image.layers.length === 0) return <Text c="dimmed">This image has no layers.</Text>;
  const report = waste.data?.state === 'ready' ? waste.data : undefined;
  return (
    <Stack>
      <IndexedView query={waste}>
        {(data) => (
          <>
            <Summary contentBytes={data.contentBytes} wastedBytes={data.wastedBytes} />
            <Problems problems={data.problems} />
          </>
        )}
      </IndexedView>
      <Base name={name} />
      <LayerTable layers={image.layers} waste={report?.layers} />
    </Stack>
  );
}

/** Which layers come from the image this one builds on. */
function Base({ name }: { readonly name: ImageName }) {
  const family = useQuery(familyQuery(name));
  const base = family.data?.uses[0];
  if (base === undefined) return null;
  const [reference = base.digest] = base.tags;
  return (
    <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
      {base.sharedLayers === 1 ? 'Layer 1 is that' : `Layers 1 to ${base.sharedLayers} are those`} of{' '}
      <LinkAnchor
        to="/r/$"
        params={{ _splat: base.repository }}
        search={{ reference }}
        size="sm"
        underline="always"
      >
        {base.repository}
        {reference.includes(':') ? `@${shortDigest(reference)}` : `:${reference}`}
      </LinkAnchor>
      .
    </Text>
  );
}

function Summary({
  contentBytes,
  wastedBytes,
}: {
  readonly contentBytes: number;
  readonly wastedBytes: number;
}) {
  if (wastedBytes === 0)
    return (
      <Text size="sm">
        {formatBytes(contentBytes)} of files, nothing wasted: no layer deletes or replaces what an earlier one
        added.
      </Text>
    );
  const share = contentBytes === 0 ? 0 : wastedBytes / contentBytes;
  const text = `${formatBytes(wastedBytes)} of ${formatBytes(contentBytes)} of files are wasted: they are in the image, but a later layer deletes or replaces them.`;
  if (share < NOTABLE_SHARE) return <Text size="sm">{text}</Text>;
  return (
    <Alert color="yellow" variant="light" title={`${percent(share)} of this image is wasted`}>
      <Text size="sm">
        {text} Delete files in the RUN that makes them, and set owner and mode while copying (COPY --chown
        --chmod).
      </Text>
    </Alert>
  );
}

function percent(share: number): string {
  return share > 0 && share < 0.01 ? 'under 1 %' : `${Math.round(share * 100)} %`;
}

function LayerTable({
  layers,
  waste,
}: {
  readonly layers: readonly LayerDetail[];
  readonly waste: readonly LayerWaste[] | undefined;
}) {
  const largest = Math.max(1, ...layers.map((layer) => layer.sizeBytes));
  return (
    <Table verticalSpacing="xs" aria-label="Layers" layout="fixed" className={classes['figures'] ?? ''}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th w={44}>#</Table.Th>
          <Table.Th>Instruction</Table.Th>
          <Table.Th w={100} ta="right">
            Size
          </Table.Th>
          <Table.Th w={120} ta="right" visibleFrom="sm">
            Wasted
          </Table.Th>
          <Table.Th w={200} visibleFrom="md">
            Digest
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {layers.map((layer, index) => (
          <LayerRows
            // biome-ignore lint/suspicious/noArrayIndexKey: the same instruction may stand there twice, and the order never changes
            key={index}
            layer={layer}
            waste={layer.position === null ? undefined : waste?.[layer.position]}
            share={layer.sizeBytes / largest}
          />
        ))}
      </Table.Tbody>
    </Table>
  );
}

function LayerRows({
  layer,
  waste,
  share,
}: {
  readonly layer: LayerDetail;
  readonly waste: LayerWaste | undefined;
  readonly share: number;
}) {
  const [isOpen, setOpen] = useState(false);
  const columns = useMatches({ base: 3, sm: 4, md: 5 });
  const wasted = waste !== undefined && waste.wastedBytes > 0 ? waste : undefined;
  const button = wasted !== undefined && (
    <Button
      variant="light"
      color="yellow"
      size="compact-xs"
      aria-expanded={isOpen}
      aria-label={`${formatBytes(wasted.wastedBytes)} of layer ${(layer.position ?? 0) + 1} wasted: which files`}
      onClick={() => setOpen(!isOpen)}
      className={classes['wasteButton'] ?? ''}
    >
      {formatBytes(wasted.wastedBytes)} {isOpen ? '▴' : '▾'}
    </Button>
  );
  return (
    <>
      <Table.Tr data-layer={layer.digest ?? ''}>
        <Table.Td c="dimmed" style={{ verticalAlign: 'top' }}>
          {layer.position === null ? '' : layer.position + 1}
        </Table.Td>
        <Table.Td style={{ verticalAlign: 'top' }}>
          <div className={classes['command']}>{layer.instruction || '(the image does not say)'}</div>
          {layer.sizeBytes > 0 && (
            <div
              className={classes['bar']}
              style={{ width: `${Math.max(1, share * 100)}%` }}
              aria-hidden="true"
            />
          )}
          {button !== false && (
            <Group hiddenFrom="sm" mt={4} gap={6}>
              <Text size="xs" c="dimmed">
                wasted
              </Text>
              {button}
            </Group>
          )}
        </Table.Td>
        <Table.Td ta="right" style={{ verticalAlign: 'top' }}>
          {layer.digest === null ? '–' : formatBytes(layer.sizeBytes)}
          {waste !== undefined && (
            <Text size="xs" c="dimmed" title={plural(waste.files, 'file')}>
              {formatBytes(waste.contentBytes)} files
            </Text>
          )}
        </Table.Td>
        <Table.Td ta="right" visibleFrom="sm" style={{ verticalAlign: 'top' }}>
          {button === false ? (waste === undefined ? '' : '–') : button}
        </Table.Td>
        <Table.Td visibleFrom="md" style={{ verticalAlign: 'top' }}>
          {layer.digest !== null && (
            <Group gap={2} wrap="nowrap">
              <Text ff="monospace" size="xs" title={layer.digest}>
                {shortDigest(layer.digest)}
              </Text>
              <CopyButton text={layer.digest} label={`the digest of layer ${(layer.position ?? 0) + 1}`} />
            </Group>
          )}
        </Table.Td>
      </Table.Tr>
      {isOpen && wasted !== undefined && (
        <Table.Tr>
          <Table.Td colSpan={columns}>
            <WastedPaths waste={wasted} />
          </Table.Td>
        </Table.Tr>
      )}
    </>
  );
}

const WORDS: Readonly<Record<WastedPath['kind'], string>> = {
  deleted: 'deleted by',
  replaced: 'replaced by',
  rewritten: 'same content again in',
};

function WastedPaths({ waste }: { readonly waste: LayerWaste }) {
  return (
    <Stack gap={6} pl={{ base: 0, sm: 44 }} py={4}>
      <div className={classes['wasted']}>
        {waste.paths.map((path) => (
          <Fragment key={`${path.path} ${path.by}`}>
            <Text ff="monospace" size="xs" style={{ overflowWrap: 'anywhere' }}>
              /{path.path}
              {path.files > 1 && (
                <Text span c="dimmed" size="xs">
                  {' '}
                  {plural(path.files, 'file')}
                </Text>
              )}
            </Text>
            <Text size="xs" ta="right">
              {formatBytes(path.sizeBytes)}
            </Text>
            <Badge size="sm" variant="light" color="gray" radius="sm" tt="none">
              {WORDS[path.kind]} layer {path.by + 1}
            </Badge>
          </Fragment>
        ))}
      </div>
      {waste.total > waste.paths.length && (
        <Text size="xs" c="dimmed">
          The largest {formatCount(waste.paths.length)} of {formatCount(waste.total)} are shown.
        </Text>
      )}
    </Stack>
  );
}
