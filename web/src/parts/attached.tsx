import { Badge, Button, Group, Modal, Stack, Table, Tabs, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { Attached, AttachedBlob, AttachedKind, DocumentText } from '#hub/protocol/index.ts';
import { formatAgo, formatBytes, formatTime, shortDigest } from '../format.ts';
import { attachedQuery, documentQuery, type ImageName } from '../image-api.ts';
import { CodeView, linesOf } from './code-view.tsx';
import { CopyLine } from './copy-line.tsx';
import { QueryView } from './states.tsx';

const KINDS: Readonly<Record<AttachedKind, string>> = {
  sbom: 'SBOM',
  provenance: 'provenance',
  signature: 'signature',
  vulnerabilities: 'vulnerability report',
  dockerfile: 'Dockerfile',
  other: 'artifact',
};
const VIA: Readonly<Record<Attached['via'], string>> = {
  referrer: 'names it as its subject',
  index: 'stands beside it in the index',
  tag: 'attached by a cosign tag',
};

interface Shown {
  readonly digest: string;
  readonly title: string;
}

/** What is attached to an image, of some kinds or of all; `empty` says what would be here, and how. */
export function AttachedList({
  name,
  index,
  kinds,
  label,
  empty,
}: {
  readonly name: ImageName;
  readonly index: string;
  readonly kinds?: readonly AttachedKind[];
  readonly label: string;
  readonly empty: ReactNode;
}) {
  const attached = useQuery(attachedQuery(name, index));
  const [shown, setShown] = useState<Shown>();
  return (
    <QueryView query={attached}>
      {(list) => {
        const found = list.filter((each) => kinds === undefined || isOneOf(each, kinds));
        if (found.length === 0) return <>{empty}</>;
        return (
          <>
            <AttachedTable list={found} label={label} onShow={setShown} />
            <DocumentModal repository={name.repository} shown={shown} onClose={() => setShown(undefined)} />
          </>
        );
      }}
    </QueryView>
  );
}

function isOneOf(each: Attached, kinds: readonly AttachedKind[]): boolean {
  return kinds.includes(each.kind) || each.blobs.some((blob) => kinds.includes(blob.kind));
}

function AttachedTable({
  list,
  label,
  onShow,
}: {
  readonly list: readonly Attached[];
  readonly label: string;
  readonly onShow: (shown: Shown) => void;
}) {
  return (
    <Table aria-label={label} verticalSpacing="sm" layout="fixed">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Type</Table.Th>
          <Table.Th w={84} ta="right">
            Size
          </Table.Th>
          <Table.Th w={100} ta="right">
            View
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {list.map((each) => (
          <AttachedRows key={`${each.via} ${each.digest}`} each={each} onShow={onShow} />
        ))}
      </Table.Tbody>
    </Table>
  );
}

function AttachedRows({
  each,
  onShow,
}: {
  readonly each: Attached;
  readonly onShow: (shown: Shown) => void;
}) {
  const created = each.createdAt === null ? Number.NaN : Date.parse(each.createdAt);
  return (
    <>
      <Table.Tr>
        <Table.Td style={{ overflowWrap: 'anywhere' }}>
          <Group gap={8}>
            <Badge variant="light" radius="sm" tt="none" color={each.kind === 'other' ? 'gray' : 'cyan'}>
              {KINDS[each.kind]}
            </Badge>
            <Text size="sm">{each.artifactType || 'of no stated type'}</Text>
          </Group>
          <Text size="xs" c="dimmed">
            <span title={each.digest}>{shortDigest(each.digest)}</span> · {VIA[each.via]}
            {each.subject === 'index' ? ', for all platforms' : ''}
            {Number.isNaN(created) ? '' : <span title={formatTime(created)}> · {formatAgo(created)}</span>}
          </Text>
        </Table.Td>
        <Table.Td ta="right" style={{ verticalAlign: 'top' }}>
          {formatBytes(each.sizeBytes)}
        </Table.Td>
        <Table.Td ta="right" style={{ verticalAlign: 'top' }}>
          <ShowButton
            text="Manifest"
            label={`Manifest ${shortDigest(each.digest)}`}
            onClick={() => onShow({ digest: each.digest, title: 'Manifest' })}
          />
        </Table.Td>
      </Table.Tr>
      {each.blobs.map((blob, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the same blob may stand there twice, and the order never changes
        <BlobRow key={at} blob={blob} onShow={onShow} />
      ))}
    </>
  );
}

function BlobRow({ blob, onShow }: { readonly blob: AttachedBlob; readonly onShow: (shown: Shown) => void }) {
  const title = blob.title || blob.predicateType || blob.mediaType;
  return (
    <Table.Tr>
      <Table.Td pl={{ base: 'md', sm: 'xl' }} style={{ overflowWrap: 'anywhere' }}>
        <Text size="sm">{title}</Text>
        <Text size="xs" c="dimmed">
          {blob.mediaType}
        </Text>
      </Table.Td>
      <Table.Td ta="right" style={{ verticalAlign: 'top' }}>
        {formatBytes(blob.sizeBytes)}
      </Table.Td>
      <Table.Td ta="right" style={{ verticalAlign: 'top' }}>
        <ShowButton
          text="Content"
          label={`Content of ${title} ${shortDigest(blob.digest)}`}
          onClick={() => onShow({ digest: blob.digest, title })}
        />
      </Table.Td>
    </Table.Tr>
  );
}

function ShowButton({
  text,
  label,
  onClick,
}: {
  readonly text: string;
  readonly label: string;
  readonly onClick: () => void;
}) {
  return (
    <Button variant="default" size="compact-xs" onClick={onClick} aria-label={label}>
      {text}
    </Button>
  );
}

function DocumentModal({
  repository,
  shown,
  onClose,
}: {
  readonly repository: string;
  readonly shown: Shown | undefined;
  readonly onClose: () => void;
}) {
  return (
    <Modal
      opened={shown !== undefined}
      onClose={onClose}
      title={shown?.title}
      size="xl"
      transitionProps={{ duration: 120 }}
    >
      {shown !== undefined && <Document repository={repository} digest={shown.digest} />}
    </Modal>
  );
}

function Document({ repository, digest }: { readonly repository: string; readonly digest: string }) {
  const document = useQuery(documentQuery(repository, digest));
  return (
    <QueryView query={document}>
      {(detail) => (
        <Stack gap="sm">
          <Text size="xs" c="dimmed" style={{ overflowWrap: 'anywhere' }}>
            {detail.digest} · {formatBytes(detail.sizeBytes)}
          </Text>
          <DocumentBody detail={detail} />
        </Stack>
      )}
    </QueryView>
  );
}

function DocumentBody({ detail }: { readonly detail: DocumentText }) {
  if (detail.text === null)
    return <Text>This is not text, or too large to be shown here. The tool that pushed it can pull it.</Text>;
  const text = <CodeView lines={linesOf(detail.text)} label="the document" maxHeight="65vh" />;
  if (detail.payload === null) return text;
  return (
    <Tabs defaultValue="payload" keepMounted={false}>
      <Tabs.List mb="sm">
        <Tabs.Tab value="payload">Statement</Tabs.Tab>
        <Tabs.Tab value="envelope">Signed envelope</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="payload">
        <CodeView lines={linesOf(detail.payload)} label="the statement" maxHeight="60vh" />
      </Tabs.Panel>
      <Tabs.Panel value="envelope">{text}</Tabs.Panel>
    </Tabs>
  );
}

/** What is not there: what would be, and which commands bring it. */
export function NothingAttached({
  title,
  text,
  commands,
}: {
  readonly title: string;
  readonly text: string;
  readonly commands: readonly (readonly [label: string, command: string])[];
}) {
  return (
    <Stack gap="sm">
      <Text fw={600}>{title}</Text>
      <Text size="sm">{text}</Text>
      {commands.map(([label, command]) => (
        <Stack gap={4} key={label}>
          <Text size="sm" c="dimmed">
            {label}
          </Text>
          <CopyLine text={command} label={`the command: ${label}`} />
        </Stack>
      ))}
    </Stack>
  );
}
