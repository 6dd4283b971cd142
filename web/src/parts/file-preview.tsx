import { Modal, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { FilePreview } from '#hub/protocol/index.ts';
import { ApiFailure } from '../api.ts';
import { formatBytes, sentence } from '../format.ts';
import { fileQuery, type ImageName } from '../image-api.ts';
import { CodeView, linesOf } from './code-view.tsx';
import { QueryView } from './states.tsx';

/** Not found, no file, not shown: the message says all. */
const SAID = new Set([404, 422, 501]);

/** The beginning of a file, in a dialog; nothing while there is no path. */
export function FilePreviewModal({
  image,
  layer,
  path,
  onClose,
}: {
  readonly image: ImageName;
  readonly layer: string;
  readonly path: string | undefined;
  readonly onClose: () => void;
}) {
  return (
    <Modal
      opened={path !== undefined}
      onClose={onClose}
      title={<span style={{ overflowWrap: 'anywhere' }}>/{path}</span>}
      size="xl"
      transitionProps={{ duration: 120 }}
    >
      {path !== undefined && <Preview image={image} layer={layer} path={path} />}
    </Modal>
  );
}

function Preview({
  image,
  layer,
  path,
}: {
  readonly image: ImageName;
  readonly layer: string;
  readonly path: string;
}) {
  const file = useQuery(fileQuery(image, layer, path));
  // A link that leads nowhere, or to a folder, is a fact about the image and no failure of the page.
  if (file.error instanceof ApiFailure && SAID.has(file.error.status))
    return <Text style={{ overflowWrap: 'anywhere' }}>{sentence(file.error.message)}</Text>;
  return (
    <QueryView query={file}>
      {(preview) => (
        <Stack gap="sm">
          <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
            {preview.path === path ? '' : `Link to /${preview.path} · `}
            {formatBytes(preview.sizeBytes)} · from layer {preview.layer + 1}
          </Text>
          <Content preview={preview} />
        </Stack>
      )}
    </QueryView>
  );
}

function Content({ preview }: { readonly preview: FilePreview }) {
  if (preview.isBinary)
    return <Text>This is a binary file: there is no text to show. It is whole in the image.</Text>;
  if (preview.sizeBytes === 0) return <Text>This file is empty.</Text>;
  return (
    <>
      <CodeView lines={linesOf(preview.text)} label="the file" maxHeight="65vh" />
      {preview.isTruncated && (
        <Text size="sm" c="dimmed">
          This is its beginning: the first 256 KiB of {formatBytes(preview.sizeBytes)}.
        </Text>
      )}
    </>
  );
}
