import { Group, Loader, Select, Stack, Table, Text, TextInput, useMatches } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import type { FileEntry, FileListing, LayerDetail } from '#hub/protocol/index.ts';
import { formatCount } from '../format.ts';
import { type ImageName, treeQuery } from '../image-api.ts';
import { FilePreviewModal } from './file-preview.tsx';
import { EntryRow, indent, isFolder } from './file-row.tsx';
import classes from './files.module.css';
import { IndexedView, Problems } from './indexed.tsx';
import { Failure } from './states.tsx';

const MERGED = '';
const SEARCH_MS = 250;

/** What every row of a tree needs. */
interface TreeContext {
  readonly image: ImageName;
  readonly layer: string;
  readonly open: ReadonlySet<string>;
  readonly onToggle: (path: string) => void;
  readonly onShow: (path: string) => void;
}

/** The files of an image, all layers over one another or one by itself: a tree, a search, and a look into files. */
export function FileTree({
  image,
  layers,
}: {
  readonly image: ImageName;
  readonly layers: readonly LayerDetail[];
}) {
  const [layer, setLayer] = useState(MERGED);
  const [text, setText] = useState('');
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [shown, setShown] = useState<string>();
  const [wanted] = useDebouncedValue(text.trim(), SEARCH_MS);
  const real = layers.filter((each) => each.position !== null);
  if (real.length === 0) return <Text c="dimmed">This image has no layers.</Text>;
  const context: TreeContext = {
    image,
    layer,
    open,
    onShow: setShown,
    onToggle: (path) => {
      const next = new Set(open);
      if (!next.delete(path)) next.add(path);
      setOpen(next);
    },
  };
  return (
    <Stack>
      <Group align="flex-end" gap="md">
        <Select
          label="Show"
          data={viewsOf(real)}
          value={layer}
          onChange={(value) => setLayer(value ?? MERGED)}
          allowDeselect={false}
          className={classes['view'] ?? ''}
          comboboxProps={{ transitionProps: { duration: 0 } }}
        />
        <TextInput
          label="Find"
          placeholder="part of a path"
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          className={classes['search'] ?? ''}
          maxLength={500}
        />
      </Group>
      {wanted === '' ? (
        <Tree context={context} />
      ) : (
        <Found
          context={context}
          text={wanted}
          onOpen={(path) => {
            setOpen(new Set([...open, ...foldersAbove(path), path]));
            setText('');
          }}
        />
      )}
      <FilePreviewModal image={image} layer={layer} path={shown} onClose={() => setShown(undefined)} />
    </Stack>
  );
}

function viewsOf(layers: readonly LayerDetail[]) {
  return [
    { value: MERGED, label: 'All layers, as a container sees them' },
    ...layers.map((layer) => ({
      value: String(layer.position),
      label: `Only layer ${(layer.position ?? 0) + 1}: ${layer.instruction.replace(/\s+/g, ' ').slice(0, 80) || layer.digest}`,
    })),
  ];
}

/** `a`, `a/b` for `a/b/c`. */
function foldersAbove(path: string): readonly string[] {
  const names = path.split('/').slice(0, -1);
  return names.map((_, at) => names.slice(0, at + 1).join('/'));
}

function Tree({ context }: { readonly context: TreeContext }) {
  const root = useQuery({
    ...treeQuery(context.image, { layer: context.layer }),
    placeholderData: keepPreviousData,
  });
  return (
    <IndexedView query={root}>
      {(listing) => (
        <>
          <Problems problems={listing.problems} />
          {listing.total === 0 ? (
            <Text c="dimmed">There are no files in it.</Text>
          ) : (
            <FileTable label="Files">
              <Rows listing={listing} context={context} depth={0} />
            </FileTable>
          )}
        </>
      )}
    </IndexedView>
  );
}

function FileTable({ label, children }: { readonly label: string; readonly children: ReactNode }) {
  return (
    <Table aria-label={label} layout="fixed" verticalSpacing={3} className={classes['files'] ?? ''}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Name</Table.Th>
          <Table.Th w={92} ta="right">
            Size
          </Table.Th>
          <Table.Th w={110} visibleFrom="sm">
            Mode
          </Table.Th>
          <Table.Th w={110} visibleFrom="sm">
            Owner
          </Table.Th>
          <Table.Th w={72} ta="right" visibleFrom="xs">
            Layer
          </Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>{children}</Table.Tbody>
    </Table>
  );
}

function Rows({
  listing,
  context,
  depth,
}: {
  readonly listing: FileListing;
  readonly context: TreeContext;
  readonly depth: number;
}) {
  return (
    <>
      {listing.entries.map((entry) => (
        <EntryRows key={entry.path} entry={entry} context={context} depth={depth} />
      ))}
      {listing.total > listing.entries.length && (
        <NoteRow depth={depth}>
          The first {formatCount(listing.entries.length)} of {formatCount(listing.total)} are shown; the
          search finds the others.
        </NoteRow>
      )}
    </>
  );
}

function EntryRows({
  entry,
  context,
  depth,
}: {
  readonly entry: FileEntry;
  readonly context: TreeContext;
  readonly depth: number;
}) {
  const isOpen = context.open.has(entry.path);
  const name = entry.path.slice(entry.path.lastIndexOf('/') + 1);
  return (
    <>
      <EntryRow
        entry={entry}
        name={name}
        depth={depth}
        isOpen={isOpen}
        onClick={isFolder(entry) ? () => context.onToggle(entry.path) : () => context.onShow(entry.path)}
      />
      {isOpen && isFolder(entry) && <Folder path={entry.path} context={context} depth={depth + 1} />}
    </>
  );
}

function Folder({
  path,
  context,
  depth,
}: {
  readonly path: string;
  readonly context: TreeContext;
  readonly depth: number;
}) {
  const folder = useQuery(treeQuery(context.image, { layer: context.layer, path }));
  if (folder.error !== null)
    return (
      <NoteRow depth={depth}>
        <Failure error={folder.error} onRetry={() => void folder.refetch()} />
      </NoteRow>
    );
  if (folder.data?.state !== 'ready')
    return (
      <NoteRow depth={depth}>
        <Loader size="xs" aria-label="Loading" />
      </NoteRow>
    );
  if (folder.data.total === 0) return <NoteRow depth={depth}>empty</NoteRow>;
  return <Rows listing={folder.data} context={context} depth={depth} />;
}

function NoteRow({ depth, children }: { readonly depth: number; readonly children: ReactNode }) {
  const columns = useMatches({ base: 2, xs: 3, sm: 5 });
  return (
    <Table.Tr>
      <Table.Td colSpan={columns} c="dimmed" fz="sm">
        <div className={classes['note']} style={{ paddingLeft: indent(depth) }}>
          {children}
        </div>
      </Table.Td>
    </Table.Tr>
  );
}

function Found({
  context,
  text,
  onOpen,
}: {
  readonly context: TreeContext;
  readonly text: string;
  readonly onOpen: (path: string) => void;
}) {
  const found = useQuery({
    ...treeQuery(context.image, { layer: context.layer, text }),
    placeholderData: keepPreviousData,
  });
  return (
    <IndexedView query={found}>
      {(listing) => (
        <Stack gap="xs">
          <Problems problems={listing.problems} />
          <Text size="sm" c="dimmed" role="status">
            {formatCount(listing.total)} {listing.total === 1 ? 'match' : 'matches'}
            {listing.total > listing.entries.length
              ? `, of which ${formatCount(listing.entries.length)} are shown`
              : ''}
          </Text>
          {listing.total > 0 && (
            <FileTable label="Matches">
              {listing.entries.map((entry) => (
                <EntryRow
                  key={entry.path}
                  entry={entry}
                  name={entry.path}
                  depth={0}
                  isOpen={undefined}
                  onClick={() => (isFolder(entry) ? onOpen(entry.path) : context.onShow(entry.path))}
                />
              ))}
            </FileTable>
          )}
        </Stack>
      )}
    </IndexedView>
  );
}
