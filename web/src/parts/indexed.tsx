import { Alert, Progress, Stack, Text } from '@mantine/core';
import type { UseQueryResult } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import type { Indexed, LayerProblem } from '#hub/protocol/index.ts';
import { formatBytes, plural, sentence } from '../format.ts';
import { QueryView } from './states.tsx';

/** What needs the lists of files of all layers: progress while they are made, then the answer. */
export function IndexedView<T extends object>({
  query,
  children,
}: {
  readonly query: UseQueryResult<Indexed<T>>;
  readonly children: (data: Indexed<T> & { readonly state: 'ready' }) => ReactNode;
}) {
  return (
    <QueryView query={query}>
      {(data) => (data.state === 'indexing' ? <Reading {...data} /> : children(data))}
    </QueryView>
  );
}

function Reading({
  readyLayers,
  layers,
  readBytes,
  totalBytes,
}: {
  readonly readyLayers: number;
  readonly layers: number;
  readonly readBytes: number;
  readonly totalBytes: number;
}) {
  return (
    <Stack gap="xs" role="status" py="md">
      <Text size="sm">
        Reading the layers: {readyLayers} of {layers} are done
        {totalBytes > 0 && `, ${formatBytes(readBytes)} of ${formatBytes(totalBytes)} of the others`}. This is
        done once for each layer.
      </Text>
      <Progress
        value={totalBytes === 0 ? 100 : (readBytes / totalBytes) * 100}
        animated
        aria-label="Layers read"
      />
    </Stack>
  );
}

/** Layers whose files are not known, and why. */
export function Problems({ problems }: { readonly problems: readonly LayerProblem[] }) {
  if (problems.length === 0) return null;
  return (
    <Alert
      color="yellow"
      title={`The files of ${plural(problems.length, 'layer')} are not known`}
      variant="light"
    >
      {problems.map(({ layer, message }) => (
        <Text size="sm" key={layer} style={{ overflowWrap: 'anywhere' }}>
          Layer {layer + 1}: {sentence(message)}
        </Text>
      ))}
    </Alert>
  );
}
